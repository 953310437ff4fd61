# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Lesson 10: DPO and its family
#
# **You will do:** derive DPO from the objective that PPO maximises, check it where everything can be summed, train it on the
# village's comparisons, and meet its relatives on labels of which a quarter are wrong.
#
# **You will learn:** what exactly is equal to what, and in which limit; why the chosen answer's probability may *fall*; and
# what one gives up with the reward model.
#
# **You need:** lesson 5 (an SFT model), lesson 7 (comparisons), lesson 9 helps. About three minutes on two cores, most of it
# in the micro-world; seconds if the results are there already.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.direct import BETA, FLIPPED, PAIRS, SMOOTHING, examined, reference, trained
from lessons.experiments.measured.micro_reward import micro_world
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, sweep, token_timeline
from minipost.autograd import Tensor
from minipost.losses import dpo as losses
from minipost.model import Model
from minipost.report.style import MARKERS, canvas, colour, note, styled
from minipost.runs import read_metrics
from minipost.stages import dpo, ppo
from minipost.stages.pairs import encode_pair
from minipost.text.batching import pack
from minipost.world.collect import read_pairs
from minipost.world.micro import exact_dpo_loss, exact_objective, log_partition, optimal_policy

lab = Lab()
SEEDS = range(lab.pick(3, 2))

# %% [markdown]
# ## 1. The best policy is a formula
#
# *Takeaway: the optimum of "reward minus β KL" is the reference, reweighted by exp(r / β).*
#
# RLHF maximises, for each prompt, $J(\pi) = E_\pi[r] - \beta\,\mathrm{KL}(\pi \| \pi_{ref})$. Write the reward into the logarithm:
#
# $$J(\pi) = -\beta\, E_\pi\Big[\log \frac{\pi(y)}{\pi_{ref}(y)\, e^{r(y)/\beta}}\Big]
#         = -\beta\,\mathrm{KL}(\pi \| \pi^*) + \beta \log Z,
# \qquad \pi^*(y) = \frac{1}{Z}\,\pi_{ref}(y)\, e^{r(y)/\beta}.$$
#
# A KL is never negative and 0 only for equals, so $\pi^*$ is the optimum and $\beta \log Z$ its value (Rafailov et al. 2023,
# eq. 4). For real answers $Z$ is a sum over all texts. In a micro-world with 85 answers it is a line of NumPy:

# %%
world = micro_world(0)
ref = reference(world)  # [P, N] log-probabilities: two prompts, 85 responses
best = optimal_policy(ref, world.rewards, BETA)  # [P, N]
print("rewards", world.rewards.shape, " reference", ref.shape, " best policy", best.shape)
J, bound = exact_objective(best, ref, world.rewards, BETA), BETA * log_partition(ref, world.rewards, BETA)
assert np.allclose(J, bound)
say(f"Its objective is {J.round(3)}, one number a prompt, and β log Z is {bound.round(3)}.")
source_of(optimal_policy)

# %% [markdown]
# ## 2. Turn it around
#
# *Takeaway: every policy is a reward model; in a comparison the part that nobody can compute cancels.*
#
# Solve for the reward: $r(y) = \beta \log \frac{\pi^*(y)}{\pi_{ref}(y)} + \beta \log Z$. Labelers compare two answers to one
# prompt, with $P(w \succ l) = \sigma(r_w - r_l)$ (Bradley-Terry). In the difference $\beta \log Z$ cancels, and what is left is a loss
# on the policy itself (eq. 7):
#
# $$L = -\log \sigma(\beta h), \qquad
# h = \log\frac{\pi(w)}{\pi_{ref}(w)} - \log\frac{\pi(l)}{\pi_{ref}(l)}.$$
#
# **Predict:** train a policy with this loss on *all* pairs of the micro-world, never showing it a reward. Draw its
# $\beta \log \pi/\pi_{ref}$ against the true rewards: what will the two prompts look like?


# %%
@styled
def implicit_rewards(learned, true):
    """Learned against true reward, one marker a response; prompts differ in colour and marker."""
    figure, ax = canvas(None)
    for p, (name, marker) in enumerate((("sft", "o"), ("dpo", "v"))):
        ax.plot(true[p], learned[p], marker, color=colour(name), markersize=3.5, alpha=0.7, label=f"prompt {p + 1}")
    ends = np.array([true.min(), true.max()])
    ax.plot(ends, ends, color=colour("muted"), linestyle=":", linewidth=1)
    ax.legend()
    ax.set(xlabel="true reward r", ylabel="implicit reward β log(π / ref)")
    return figure


steps = lab.pick(800, 20)
direct = lab.numbers(
    "dpo-all-pairs",
    {"world": 0, "beta": BETA, "steps": steps},
    lambda: {"logps": trained(world, lambda x: exact_dpo_loss(x, ref, world.rewards, BETA, ref).sum(), steps)},
)["logps"]
implicit = BETA * (direct - ref)
show(
    implicit_rewards(implicit, world.rewards),
    "implicit",
    alt="Implicit against true reward for 85 responses to two prompts. Each prompt's points lie on a line of slope one, "
    "shifted by a constant of its own.",
)
shift = (world.rewards - implicit).mean(axis=1)
say(
    f"Two lines of slope one. They are shifted down by {shift[0]:.2f} and {shift[1]:.2f}; β log Z of the two prompts is "
    f"{bound[0]:.2f} and {bound[1]:.2f}. That constant is what no comparison tells, and what DPO never needs."
)

# %% [markdown]
# ## 3. The loss, three times
#
# *Takeaway: four log-probabilities in, one number out; they are sums over tokens, never averages.*
#
# In plain NumPy it is one line. The package's own works on arrays and on Tensors, and `minipost laws dpo.sigmoid` holds both
# to the same laws:


# %%
def dpo_in_numpy(policy_w, policy_l, ref_w, ref_l, beta):
    return np.logaddexp(0, -beta * ((policy_w - ref_w) - (policy_l - ref_l))).mean()  # [B] x 4 -> scalar


source_of(losses.log_ratio_margin)
source_of(losses.sigmoid)
four = np.random.default_rng(0).normal(-20, 3, (4, 6))
leaf = Tensor(four[0])
loss = losses.sigmoid(leaf, *four[1:], beta=0.1)
loss.backward()
h = (four[0] - four[2]) - (four[1] - four[3])
assert np.isclose(loss.item(), dpo_in_numpy(*four, 0.1))
assert np.allclose(leaf.grad, -0.1 / (1 + np.exp(0.1 * h)) / 6)  # law P61
start = losses.sigmoid(*[four[0], four[1]] * 2, beta=0.1)
say(
    f"At π = π_ref the loss is {float(start):.4f} = ln 2 (law P57), and its gradient is *not* zero: β/2 in the direction of h. "
    "Everybody asks about the first; the second is why training starts at all."
)

# %% [markdown]
# Where do the four numbers come from? One pair of the village, packed as the stage packs it, chosen and rejected each
# with its own copy of the prompt. Below each token: how much DPO has changed its log-probability.

# %%
sft, tuned = Model.load(village.sft(lab)), Model.load(village.dpo(lab))
pairs = read_pairs(village.reward(lab) / "preferences.jsonl")
encoded = [encode_pair(sft.tokenizer, p) for p in pairs]


def awkward(i):
    """How far a pair is from what fits on this page: two answers of some ten tokens that begin alike."""
    chosen, rejected = (side.response for side in encoded[i])
    return chosen[0] != rejected[0], abs(len(chosen) - 10) + abs(len(rejected) - 10)


pick = min(range(len(pairs)), key=awkward)
batch = pack(encoded[pick], 128)
print("packed tokens", batch.tokens.shape, " mask", batch.mask.shape, " response lengths", batch.lengths)
print(f"prompt    {pairs[pick].prompt}\nchosen    {pairs[pick].chosen}\nrejected  {pairs[pick].rejected}")
change = np.subtract(*[m.token_logps(batch) for m in (tuned, sft)])  # [2, R]
for side, name in enumerate(("chosen", "rejected")):
    example, ratios = encoded[pick][side], change[side][batch.mask[side]]
    prompt, R = example.prompt[-2:], min(len(example.response), 14)
    pieces = [sft.tokenizer.decode([t]) for t in [*prompt, *example.response[:R]]]
    roles = ["prompt"] * len(prompt) + ["response"] * R
    show(
        token_timeline(
            pieces,
            roles,
            [role == "response" for role in roles],
            [0.0] * len(prompt) + ratios[:R].tolist(),
            "log π − log ref",
        ),
        name,
        alt=f"The tokens of the {name} answer, each with its change in log-probability by DPO.",
    )
lr = change.sum(axis=1)
say(
    f"Summed, the chosen answer has changed by {lr[0]:+.2f} nats and the rejected one by {lr[1]:+.2f}: h = {lr[0] - lr[1]:+.2f}. "
    "Tokens that both answers share with the same past cancel, if one sums. If one averages, a longer answer dilutes them, and "
    "they do not (law P59)."
)

# %% [markdown]
# The kernel under it is the one of PPO: hidden states in, log-probabilities of the chosen tokens out, without a table of
# the vocabulary on the tape (`fused.token_logps`, lesson 9). The reference's log-probabilities are computed once, before
# training; then the reference may go. This is the loop:

# %%
source_of(dpo.train)

# %% [markdown]
# ## 4. The family
#
# *Takeaway: relatives differ in what they do once a pair is right: never content, content, or pulled back.*

# %%
h = np.linspace(-15, 25, 161)
beta = 0.1


def over(loss, **more):
    """The loss of one pair, as a function of h."""
    zero = np.zeros(1)
    return np.array([float(loss(np.array([x]), zero, zero, zero, beta=beta, **more)) for x in h])


family = {
    "sigmoid": over(losses.sigmoid),
    "conservative, e = 0.25": over(losses.sigmoid, label_smoothing=SMOOTHING),
    "robust, e = 0.25": over(losses.robust, label_smoothing=SMOOTHING),
    "hinge": over(losses.hinge),
    "IPO, scaled by β²": over(losses.ipo) * beta**2,
}
figure = curve(h, family, "h: log-ratio of chosen over rejected, nats", "loss of a pair")
figure.axes[0].set_ylim(-1.3, 4.2)
figure.axes[0].get_legend().set_loc("upper center")
show(
    figure,
    "family",
    alt="Loss against h for five members of the family. Sigmoid falls for ever, hinge is flat from h = 10 on, IPO and the "
    "conservative loss have a minimum and rise again, the robust loss goes below zero.",
)
lowest = {name: h[np.argmin(values)] for name, values in family.items()}
say(
    f"At β = {beta} IPO wants h = 1/(2β) = {lowest['IPO, scaled by β²']:g} and no more; the conservative loss wants "
    f"h = logit(1 − e)/β = {np.log((1 - SMOOTHING) / SMOOTHING) / beta:.1f}. The hinge is content from 1/β on. The sigmoid never is, "
    "only more and more slowly. The robust loss has no floor at all: on one wrong label it *rewards* a large mistake."
)

# %% [markdown]
# ## 5. Is it the same? The answer of a world that can be summed
#
# *Takeaway: with all comparisons yes, exactly; with the comparisons that one has, no.*
#
# **Predict:** three ways to spend the same exact knowledge: gradient ascent on $J$, DPO on all pairs, and the best of n samples
# (for the best n). Which share of the possible gain in $J$ does each get?

# %%
same = measure("dpo-same-optimum", lab)
table(["method", "share of the gain in J"], [[name, f"{same.mean(name):.3f}"] for name in same.arms])
say(f"{same}. Best-of-n is another curve through the same plane: near the optimum, not on it.")

# %% [markdown]
# Now the knob: the number of comparisons. The control has 10,000 a prompt, for 85 answers.
#
# **Predict:** at 100 a prompt, is DPO trained to its end at least better than the reference it started from (0)?

# %%
few = measure("dpo-few-pairs", lab)
figure = sweep(
    {f"{np.log10(float(n)):.2f}": values for n, values in few.arms.items()},
    "share of the gain in J",
    control="4.00",
    knob="log₁₀ of comparisons a prompt",
)
show(
    figure,
    "pairs",
    alt="Share of the possible gain against the logarithm of the number of comparisons, a dot a seed, mean and interval.",
)
say(
    f"{few}. An answer that lost all of its few comparisons is pushed towards probability 0, for ever: the sigmoid is never "
    "content, and the KL that would hold it back exists only where there are samples. That is what people mean by DPO "
    "overfitting, and why one epoch is the habit."
)

# %% [markdown]
# And wrong labels: the same pairs for all, a quarter of them the wrong way round. Conservative and robust are told so.
#
# **Predict:** which wins, the loss that is unbiased under flips (robust), or one that merely restrains itself?

# %%
flips = measure("robust-to-flips", lab)
show(
    sweep(
        {name.replace("conservative", "conser-\nvative"): values for name, values in flips.arms.items()},
        "share of the gain in J",
        control="sigmoid",
    ),
    "flips",
    alt=f"Share of the possible gain for five losses on {PAIRS} pairs a prompt, {FLIPPED:.0%} of them flipped.",
)
winner = max(flips.arms, key=flips.mean)
say(
    f"{flips}. Best on average is {winner} with {flips.mean(winner):.2f}. "
    + {
        "confirmed": "Knowing the share of flips pays.",
        "refuted": "Unbiased is not the same as good: robust's loss has no floor, and with finite pairs, trained to the end, it "
        "trusts its noise.",
        "inconclusive": "Unbiased is not the same as good: what it gains in bias it can lose in noise.",
    }[flips.verdict]
    + " All are judged at the same β, which means something else for IPO and the hinge: this ranks settings, not ideas."
)

# %% [markdown]
# ## 6. In the village: what happens to the chosen answer?
#
# *Takeaway: DPO raises a difference; the chosen answer's own probability may well go down.*
#
# **Predict:** after an epoch on 2,500 comparisons, has the log-probability of the *chosen* answers risen?


# %%
@styled
def two_sides(runs):
    """Change of log-probability of chosen and rejected answers over updates; thin lines are seeds."""
    figure, ax = canvas(None, width=5.2)
    width, beta = lab.pick(8, 1), village.stages(lab).dpo.beta
    for side, name, style in (("chosen", "best_of_n", "-"), ("rejected", "ppo", "--")):
        lines = [[row[f"rewards/{side}"] / beta for row in read_metrics(run)] for run in runs]
        updates = min(map(len, lines))  # seeds differ a little in how many pairs they have
        smooth = np.array([np.convolve(line[:updates], np.ones(width) / width, "valid") for line in lines])
        x = np.arange(smooth.shape[1]) + width
        ax.plot(x, smooth.T, style, color=colour(name), linewidth=0.7, alpha=0.5)
        ax.plot(x, smooth.mean(axis=0), style, color=colour(name), linewidth=2.2, label=side)
    ax.axhline(0, color=colour("muted"), linewidth=1)
    ax.legend()
    ax.set(xlabel="update", ylabel="log π − log ref, nats")
    return figure


show(
    two_sides([village.dpo(lab, seed) for seed in SEEDS]),
    "falls",
    alt="Log-ratio of chosen and rejected answers against updates, thin lines for seeds, running means. Both start at 0.",
)
falls = measure("dpo-chosen-falls", lab)
say(
    f"{falls}. Rejected: {falls.mean('rejected'):+.2f}. "
    + ("Both fall, the rejected one further. " if falls.mean("rejected") < falls.mean("chosen") < 0 else "")
    + "There is a reason. The pairs are samples of the SFT model itself, and no other policy gives those more log-probability on "
    "average: $E_{y \\sim ref}[\\log \\pi(y) - \\log \\pi_{ref}(y)] = -\\mathrm{KL}(\\pi_{ref} \\| \\pi) \\le 0$. So the mean of chosen and "
    "rejected *must* fall, and the loss asks for their difference only. The mass goes to answers that are in no pair, which is worth "
    "watching, and by itself no error."
)

# %% [markdown]
# ## 7. Simpler, and as good?
#
# *Takeaway: fewer models, no sampling; compare utilities at the same distance from the reference, or not at all.*

# %%
ppo_rows = read_metrics(village.ppo(lab))
table(
    ["", "PPO", "DPO"],
    [
        ["networks that run in training", "4: policy, reference, reward, value", "1: the reference has spoken before"],
        ["trained first", "reward model", "nothing"],
        ["answers sampled in training", f"{sum(row['episode'] for row in ppo_rows):.0f}", "0"],
        ["can use a reward that is no comparison", "yes", "no"],
        [
            "knobs in its configuration",
            str(len(ppo.PPOConfig.__dataclass_fields__)),
            str(len(dpo.DPOConfig.__dataclass_fields__)),
        ],
    ],
)

# %% [markdown]
# A method that has moved further from SFT has paid more. So DPO is trained with three β, and PPO compared with the curve
# through them at PPO's own KL.
#
# **Predict:** above the curve, on it, or below?


# %%
@styled
def frontier(found):
    """KL against gold: DPO's curve and PPO's point, a thin set a seed, the means in colour."""
    figure, ax = canvas(None, width=5.2)
    means = {name: np.mean([row[name] for row in found], axis=0) for name in found[0]}  # (KL, gold)
    path = [name for name in sorted(means, key=lambda n: means[n][0]) if name != "PPO"]
    for row in found:
        ax.plot(*np.array([row[name] for name in path]).T, color=colour("muted"), linewidth=0.7, alpha=0.6)
        ax.plot(*row["PPO"], MARKERS["ppo"], color=colour("ppo"), markersize=3, alpha=0.5)
    ax.plot(*np.array([means[name] for name in path]).T, "-", marker=MARKERS["dpo"], color=colour("dpo"))
    ax.plot(*means["PPO"], MARKERS["ppo"], color=colour("ppo"), markersize=8)
    for name, (kl, gold) in means.items():
        note(ax, name.replace("beta", "β"), (kl, gold), (0, 9), ha="center", size=7.5)
    ax.margins(x=0.18, y=0.15)
    ax.set(xlabel="KL to SFT, nats", ylabel="true utility")
    return figure


found = [examined(lab, seed) for seed in SEEDS]
show(
    frontier(found),
    "frontier",
    alt="True utility against KL to SFT: a curve from SFT through DPO at three values of beta, and PPO as a point.",
)
equal = measure("dpo-as-good-at-equal-kl", lab)
beyond = sum(row["PPO"][0] > max(kl for name, (kl, _) in row.items() if name != "PPO") for row in found)
say(
    f"{equal}. SFT itself has {equal.mean('SFT'):+.2f}. The margin, 0.3, is less than half of what one warm phrase is worth. In "
    f"{beyond} of {len(found)} seeds PPO went further from SFT than any of the three DPO models; there the end of DPO's curve stands "
    "in for it."
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` | ln 2 at the first update, then falls a little | another start: reference and policy disagree; towards 0: memorised |
# | `rewards/margins` | β h; 0 at first, grows | stays 0: β or the learning rate is far too small |
# | `rewards/accuracies` | from one half to about what a rater reaches | 1.0: the pairs are known by heart |
# | `rewards/chosen` | near 0 or slowly falling | falls by many nats: the policy leaves all answers that anybody wrote |
# | `rewards/rejected` | falls faster than `rewards/chosen` | rises: sides are swapped |
# | `logps/chosen`, `logps/rejected` | the same in nats, without the reference; noisy from batch to batch | |
# | `grad_norm` | not 0 at the first update | 0: the reference is being trained, too |
# | `learning_rate` | up for a tenth of the run, then down | |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 10` checks them, and `--hint` helps in steps.
#
# 1. **`best_policy`**: section 1 in two lines, for rewards hundreds of times β.
# 2. **`dpo_loss`**: with label smoothing, safe at log-probabilities of ±10,000.
# 3. **`ipo_loss`**: the relative that wants no more than a margin.
# 4. **`sequence_logps`** has a hidden bug. DPO with it trains and its loss falls. What does it learn from the prompt?
# 5. *Open:* `village.dpo(lab, loss_type="ipo", beta=...)`: which β gives IPO the KL of section 7's middle point? Then
#    compare their gold, over three seeds.
# 6. *Open:* add 0.1 times the SFT loss of the chosen answers to `preference_loss`. Does the chosen answer still fall? Is the
#    utility higher?
#
# ## This bug shipped
#
# **"My chosen reward falls."** Section 6, and the question that DPO's authors are asked most:
# [#8](https://github.com/eric-mitchell/direct-preference-optimization/issues/8),
# [#32](https://github.com/eric-mitchell/direct-preference-optimization/issues/32),
# [#36](https://github.com/eric-mitchell/direct-preference-optimization/issues/36),
# [trl#800](https://github.com/huggingface/trl/issues/800). Their answer: only the margin is optimised.
#
# **Sum or mean.** Whether IPO averages over tokens changes what a β means by the length of an answer:
# [trl#1677](https://github.com/huggingface/trl/issues/1677), [torchtune#1291](https://github.com/meta-pytorch/torchtune/issues/1291).
# Here it is an argument, `lengths`.
#
# **"Should the loss be 0 at the start?"**
# [#46](https://github.com/eric-mitchell/direct-preference-optimization/issues/46). No: ln 2, and the stage checks it.
#
# ## References
#
# - Rafailov et al. 2023, *Direct preference optimization*, eq. 4 (the optimum), eq. 7 (the loss).
# - Azar et al. 2023, *A general theoretical paradigm to understand learning from human preferences*, eq. 17 (IPO).
# - Chowdhury et al. 2024, *Provably robust DPO*, eq. 12. Mitchell 2023, *A note on DPO with noisy preferences* (conservative).
# - Zhao et al. 2023, *SLiC-HF* (the hinge). Bradley and Terry 1952, *Rank analysis of incomplete block designs*.
