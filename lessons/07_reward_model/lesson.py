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
# # Lesson 7: the reward model
#
# **You will do:** watch people compare answers, derive the loss that learns from it, train a reward model, and examine
# it against a truth that nobody outside of this world has.
#
# **You will learn:** why people are asked for comparisons and not for scores; what a reward model can know at best;
# what ours sees and what it does not; how a second number, the likelihood, helps; why accuracy is not calibration.
#
# **You need:** lesson 5's assistant (trained for you if it is not there), the sigmoid, and about two minutes on two
# cores.

# %%
import numpy as np
from matplotlib.figure import Figure

from lessons.experiments import Lab, measure, village
from lessons.experiments.candidates import encoded, preferred
from lessons.experiments.measured.margins import trained
from lessons.experiments.measured.reward_accuracy import agreement, answers_and_scores, by_gap, minimal_pairs, ranking
from lessons.experiments.measured.triples import learned_reward
from lessons.experiments.statistics import interval
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, sweep, token_timeline
from minipost import losses
from minipost.autograd import Tensor
from minipost.model import Model
from minipost.report.style import HEIGHT, WIDTH, canvas, colour, styled
from minipost.runs import read_metrics
from minipost.world import Labeler
from minipost.world.utility import Weights

lab = Lab()

# %% [markdown]
# ## 1. What a label is
#
# *Takeaway: a label is a noisy look at a difference; even someone who knows everything cannot predict all of them.*
#
# Preference finetuning starts with people who compare two answers to the same prompt. Here the people are simulated, so
# we can look inside. What a labeler feels about an answer $y$ to a prompt $x$ is its utility plus noise, drawn anew at
# each look: $V = u(x, y) + T\, G$ with $G$ from a Gumbel distribution. The difference of two Gumbel variables is
# logistic, hence
#
# $$P(a \succ b) = \sigma\!\left(\frac{u(x, a) - u(x, b)}{T}\right), \qquad \sigma(z) = \frac{1}{1 + e^{-z}}.$$
#
# This is the model of Bradley and Terry (1952), and it is how our labelers are made:

# %%
source_of(Labeler.probability)

# %% [markdown]
# These are answers of lesson 5's assistant to prompts that it was never trained on, with their true utility, and the
# share of labelers who would prefer the first of each two:

# %%
# answers [T, N], and the scores of a reward model that we meet in section 5
found, proxy = answers_and_scores(lab, 0, 2500)
task_of, first, second = found.pairs()
gaps = np.abs(found.gold[task_of, first] - found.gold[task_of, second])
rows = []
for share in (0.35, 0.7, 0.95):  # a narrow pair, a middling one, a wide one
    k = int(np.argsort(gaps, kind="stable")[int(share * (len(gaps) - 1))])
    t, a, b = int(task_of[k]), int(first[k]), int(second[k])
    a, b = (a, b) if found.gold[t, a] >= found.gold[t, b] else (b, a)
    share_of_labelers = f"{100 * float(preferred(found.gold[t, a] - found.gold[t, b])):.0f} %"
    for n, prompt, share_shown in ((a, found.tasks[t].prompt, share_of_labelers), (b, "", "")):
        text = " ".join(str(found.texts[t, n]).split())  # on one line
        rows.append([prompt, text, f"{found.gold[t, n]:+.2f}", share_shown])
table(["prompt", "answer", "utility", "prefer the first"], rows)

# %% [markdown]
# So there is a ceiling. A rater who knows every utility, and always names the better answer, is still contradicted in
# $1 - \sigma(|\Delta u| / T)$ of the cases. Call this one the *informed rater*. No reward model can agree with labels
# more often.
#
# **Predict:** half of all pairs are closer together than the median gap. How often does the informed rater agree with a
# single label: 75 %, 85 %, or 95 %?

# %%
learned, informed = agreement(found, proxy)
say(
    f"Over {len(gaps)} pairs of unseen answers (median gap {np.median(gaps):.2f}) the informed rater agrees with "
    f"{100 * informed:.1f} % of labels. Keep that number in mind when a paper reports a reward model's accuracy."
)

# %% [markdown]
# ## 2. From comparisons to a loss
#
# *Takeaway: the loss is the log-likelihood of the comparisons; only differences of scores are learned.*
#
# Let a network score each answer, $r(x, y)$, and put it where the utility was, in units of $T$. The probability of
# what the labelers said is then $\prod \sigma(r_w - r_l)$ over triples (prompt, winning, losing). Its negative mean
# logarithm is the loss (Ouyang et al. 2022, eq. 1):
#
# $$L = -\log \sigma(r_w - r_l) = \mathrm{softplus}(-(r_w - r_l)), \qquad
# \frac{\partial L}{\partial r_w} = -\frac{\partial L}{\partial r_l} = -\sigma(-(r_w - r_l)).$$
#
# The push is the probability that the model gave to the *other* outcome: strong where it was wrong, nearly nothing
# where it was sure and right. In plain NumPy, then the package's own:


# %%
def bradley_terry(chosen, rejected):  # [B], [B] -> scalar
    return np.logaddexp(0, -(chosen - rejected)).mean()


source_of(losses.bradley_terry)

# %% [markdown]
# `logaddexp` and not `log(sigmoid(.))`: at a difference of −1000 the latter is the logarithm of 0. Some laws that every
# correct implementation obeys, by their names in the law suite, held against both:

# %%
rng = np.random.default_rng(0)
chosen, rejected = rng.normal(0, 2, 5), rng.normal(0, 2, 5)  # [B], [B]
d = chosen - rejected
for loss in (bradley_terry, losses.bradley_terry):
    assert np.isclose(loss(chosen + 7, rejected + 7), loss(chosen, rejected))  # P14: no origin
    assert np.isclose(loss(chosen, chosen), np.log(2))  # P15: undecided
    assert np.isclose(loss(chosen, rejected) - loss(rejected, chosen), -d.mean())  # P16: a swap costs the difference
    assert np.isclose(loss(np.zeros(1), np.full(1, 1e4)), 1e4)  # P22: no overflow
tensors = Tensor(chosen), Tensor(rejected)
losses.bradley_terry(*tensors).backward()
expected = -1 / (1 + np.exp(d)) / len(d)  # P17: the push, divided by the batch
assert np.allclose(tensors[0].grad, expected) and np.allclose(tensors[1].grad, -expected)
table(
    ["pair", "difference", "push on the chosen score"],
    [[i, f"{x:+.2f}", f"{g:+.3f}"] for i, (x, g) in enumerate(zip(d, tensors[0].grad, strict=True))],
)

# %%
z = np.linspace(-5, 5, 101)
show(
    curve(z, {"loss": np.logaddexp(0, -z), "push": 1 / (1 + np.exp(z))}, "chosen score minus rejected score", "nats"),
    "push",
    alt="The loss over the difference of scores falls from 5 to 0 like a softened hinge; the push falls from 1 to 0 "
    "like a mirrored sigmoid and is one half at a difference of 0.",
)

# %% [markdown]
# All of them, and the smallest counterexample for an implementation of your own: `minipost laws reward.bradley_terry
# my_losses.py:my_loss`.
#
# ## 3. Where the score is read
#
# *Takeaway: one number is read off one place, the last real token; whoever reads the pad instead trains on noise.*
#
# The reward model is the assistant with one more row of weights: a linear head on the final hidden state. A causal
# model has read everything only at the end, so the head reads there. Ours has a second head beside it, which reads how
# probable the assistant finds each token of the answer; section 6 says why.

# %%
reward_model = Model.load(village.reward(lab), "score")
names = {i: name for name, i in reward_model.tokenizer.specials.items()}
answers = [
    encoded(reward_model.tokenizer, task, str(text))
    for task, row in zip(found.tasks, found.texts, strict=True)
    for text in row
]
pair = sorted(answers, key=len)[:2]  # two short ones, which fit the page
ids = [*pair[0].prompt, *pair[0].response]
words = [names.get(i) or reward_model.tokenizer.decode([i]) for i in ids]
roles = ["prompt"] * len(pair[0].prompt) + ["response"] * len(pair[0].response)
padded = [*words, "pad", "pad"]
show(
    token_timeline(padded, [*roles, "padding", "padding"], [t == len(ids) - 1 for t in range(len(padded))]),
    "timeline",
    alt="A prompt and an answer as boxes of tokens, followed by two pads. The only dot stands on the last real token, "
    "the end token, before the pads.",
)
alone, together = reward_model.scores(pair[:1])[0], reward_model.scores(pair)[0]
print(
    f"prompt [{len(pair[0].prompt)}] + response [{len(pair[0].response)}] tokens -> hidden [{len(ids)}, "
    f"{reward_model.config.dim}] -> last row [{reward_model.config.dim}] -> score []"
)
assert abs(alone - together) < 1e-4  # P24: neither batch mates nor padding matter
say(f"Scored alone this answer gets {alone:+.4f}, scored beside another one {together:+.4f}: law P24.")

# %% [markdown]
# ## 4. Why comparisons?
#
# *Takeaway: whatever is personal about a scale cancels in a comparison; if nothing is personal, scores say more.*
#
# One could ask people for scores from 1 to 7 and do regression. But people use scales differently: each has an
# offset, a spread, and a mood that drifts during the day. In a comparison all three cancel.
#
# Eight labelers read the same responses of a world so small that all responses can be written down (85 a prompt),
# with a linear reward model that can represent the truth exactly. So whatever is missing is missing in the *labels*.
# The budget is in responses read: N scores, or N / 2 comparisons of one bit each.
#
# **Predict:** two arms with personal scales, two with ideal raters. Which of the four is best, and which is worst?

# %%
scales = measure("comparisons-vs-scores", lab)
show(
    sweep(scales.arms, "rank correlation with the utility", control="scores", knob="what labelers are asked for"),
    "scales",
    alt="Four arms with their intervals over seeds: scores and comparisons by people with personal scales, then by "
    "ideal raters.",
)
ideal = {kind: scales.mean(f"{kind}, ideal raters") for kind in ("scores", "comparisons")}
meaning = {
    "confirmed": "What is personal costs scores more than comparisons lose by saying less.",
    "inconclusive": "At this budget what is personal costs scores about as much as comparisons lose by saying less.",
    "refuted": "Even from quirky people, twice as many scores say more than comparisons.",
}
say(
    f"**Verdict:** {scales}. {meaning[scales.verdict]} Comparisons do not care who makes them: "
    f"{scales.mean('comparisons'):.2f} from people, {ideal['comparisons']:.2f} from ideal raters. Scores do: "
    f"{scales.mean('scores'):.2f} and {ideal['scores']:.2f}. The larger the quirks and the drift, the better "
    "comparisons look; whether they are *easier* for a person is not something that this experiment can say."
)

# %% [markdown]
# ### Triples are enough, up to a constant
#
# Bradley-Terry sees differences within a prompt. From enough triples, does the fit become the utility itself, in its
# own units? (Law P25.) On the same small world, centred on each prompt:


# %%
@styled
def scatter(sizes):
    """Fitted against true reward, for several numbers of triples."""
    figure, ax = canvas(None)
    for count, hue, marker in zip(sizes, ("dpo", "ppo", "sft"), "vDo", strict=True):
        fit, utility = learned_reward(0, count)
        ax.plot(
            utility.ravel(), fit.ravel(), marker, color=colour(hue), markersize=3, alpha=0.6, label=f"{count} triples"
        )
    reach = [utility.min(), utility.max()]
    ax.plot(reach, reach, ":", color=colour("muted"))
    ax.legend()
    ax.set(xlabel="utility, centred on its prompt", ylabel="fitted reward, centred", ylim=(2 * reach[0], 2 * reach[1]))
    return figure


show(
    scatter((50, 300, lab.pick(5000, 600))),
    "triples",
    alt="Fitted reward against utility for every response. With few triples the points are a wide cloud, with many "
    "they lie on the diagonal.",
)
triples = measure("triples-suffice", lab)
say(
    f"**Verdict:** {triples}. The diagonal has slope 1: not only the order, the units are recovered. What no number "
    "of triples recovers is one prompt's level against another's, because nobody ever compared across prompts."
)

# %% [markdown]
# ## 5. Training one
#
# *Takeaway: compare a reward model with a rater who knows the truth, not with 100 %.*
#
# Now the real thing: 2500 comparisons of the assistant's own answers in the village, two passes, a transformer.

# %%
rows = read_metrics(village.reward(lab))
steps = np.array([row["step"] for row in rows])
window = max(1, min(9, len(rows) // 2))
smooth = {
    name: np.convolve([row[name] for row in rows], np.ones(window) / window, mode="valid")
    for name in ("accuracy", "loss")
}
show(
    curve(steps[window - 1 :], smooth, "update of 32 pairs", f"mean of {window} updates"),
    "training",
    alt="Loss and accuracy over the updates, both noisy.",
)
say(
    f"A head of zeros starts at a loss of ln 2 = {np.log(2):.3f} and agrees with half of the labels. Ours starts at "
    f"{rows[0]['loss']:.3f}: before any training its score is how probable the assistant finds the answer. In the first "
    "pass these are accuracies on pairs that the model had not learned from yet; in the second it has seen each once."
)

# %% [markdown]
# **Predict:** section 1 gave the informed rater's agreement. A coin agrees in 50 %. Where between them is our model?

# %%
near = measure("reward-near-ceiling", lab)
model_mean, rater_mean = near.mean("reward model"), near.mean("informed rater")
bridged = (model_mean - 0.5) / (rater_mean - 0.5)
say(
    f"**Verdict:** {near}. The model agrees with {100 * model_mean:.1f} % of labels, the informed rater with "
    f"{100 * rater_mean:.1f} %. From a coin to the ceiling it has gone {100 * bridged:.0f} % of the way."
)

# %% [markdown]
# ### One knob: the number of comparisons
#
# The same answers, judged by reward models from 150, 600 and 2500 comparisons. The metric is the rank correlation with
# the utility *within* a prompt, because across prompts a score has no meaning.

# %%
pairs = measure("reward-learns-utility", lab)
show(
    sweep(pairs.arms, "rank correlation within prompts", control="150 pairs", knob="comparisons learned from"),
    "pairs",
    alt="Rank correlation with the utility for three numbers of comparisons, one dot a seed with mean and interval.",
)
few, many = pairs.arms["150 pairs"], pairs.arms["2500 pairs"]
say(
    f"**Verdict:** {pairs}. It rises in {sum(b > a for a, b in zip(few, many, strict=True))} of {len(few)} seeds. "
    "A rank correlation of 1 would order every prompt's answers as the utility does; "
    f"with seed 0 and all pairs it is {ranking(found, proxy):.2f}."
)

# %% [markdown]
# ## 6. What it sees
#
# *Takeaway: ask what a reward model can see; what people care about most may be the hardest.*
#
# *Minimal pairs* show what a reward model looks at: two answers that differ in one thing only.

# %%
examples, weights = minimal_pairs(lab, 0), Weights()
assert weights.harmless > weights.correct > weights.tone
say(
    f"To people, harm is worth {weights.harmless}, being right {weights.correct}, and tone {weights.tone} at most. A "
    "model that valued what they value would look at harm first and at tone last."
)
table(
    ["differs in", "prompt", "better", "worse"],
    [[kind, triples[0][0].prompt, triples[0][1], triples[0][2]] for kind, triples in examples.items()],
)

# %% [markdown]
# **Predict:** for which of the three does the better answer score higher most often? For which is it no better than a
# coin toss?

# %%
sees = measure("tone-before-truth", lab)
show(
    sweep(sees.arms, "better one scores higher", control="truth", knob="the only difference"),
    "sees",
    alt="How often the better of two answers scores higher, for pairs that differ in truth, in tone, or in harm; one "
    "dot a seed. A coin toss would be 0.5.",
)
shares = {kind: 100 * sees.mean(kind) for kind in ("truth", "tone", "harm")}
truth_low, truth_high = interval(sees.arms["truth"])[1:]
say(
    f"**Verdict:** {sees}. Tone is seen in {shares['tone']:.0f} % of pairs, harm in {shares['harm']:.0f} %, truth in "
    f"{shares['truth']:.0f} %. "
    + (
        "For the truth a coin toss is within the interval."
        if truth_low <= 0.5 <= truth_high
        else "For the truth the whole interval is above a coin toss."
        if truth_low > 0.5
        else "For the truth it is worse than a coin toss."
    )
)

# %% [markdown]
# A warm opener is one of a dozen phrases, and every comparison teaches it again. A wrong capital is wrong only for its
# country; to see it, the model has to use what pretraining left in its weights. Whoever optimises a score gets what the
# score sees. Lessons 9 and 12 collect the bill.
#
# ### One knob: what the head reads
#
# The assistant itself is a better judge of truth than one would think: a wrong capital surprises it. But three layers
# are too few to predict a word, to meet another one, and to carry the surprise to the last token, where a scalar head
# reads. So our score reads the surprises directly. With $l_t$, the log-probability of the answer's token $t$ under the
# frozen SFT model, and $h_t$, the reward model's hidden state after it,
#
# $$r(x, y) = v \cdot h_{end} + \sum_t (g \cdot h_t)\, l_t + a\, \frac{1}{n} \sum_t l_t + b \sum_t l_t + c.$$
#
# $v$, $g$, $a$, $b$, $c$ are trained. The gate $g$ learns which surprises matter: that of a capital, not that of a
# greeting. Two reward models from the same comparisons, and pairs that differ in the truth only:

# %%
truth = measure("likelihoods-show-truth", lab)
show(
    sweep(truth.arms, "the true one scores higher", control="the end token", knob="the head reads"),
    "likelihood",
    alt="How often the true one of two answers scores higher, by a reward model that reads the end token and by one "
    "that reads likelihoods too; one dot a seed with mean and interval.",
)
say(f"**Verdict:** {truth}.")

# %% [markdown]
#
# ## 7. Are larger gaps easier?
#
# *Takeaway: people follow a sigmoid of the gap; the model follows it only as far as it sees the gap.*
#
# Bin all pairs of unseen answers by how far their true utilities are apart. People prefer the better one with
# probability $\sigma(\text{gap} / T)$.
#
# **Predict:** on the whole the model's curve will be lower. Where does it fall behind: at narrow gaps, or at wide ones?

# %%
bins = by_gap(found, proxy)
show(
    curve(
        bins["gap"],
        {"people": bins["people"], "reward model": bins["right"]},
        "gap of the utilities",
        "the better one preferred",
    ),
    "gaps",
    alt="How often the truly better answer is preferred, against the gap of utilities: one curve for people, which "
    "rises as a sigmoid to nearly 1, and one for the reward model.",
)
rises, sigmoid = measure("preferred-scores-higher", lab), measure("follows-the-sigmoid", lab)
columns = [bins[name] for name in ("gap", "pairs", "people", "right", "truth")]
table(
    ["gap", "pairs", "people", "reward model", "differ in truth"],
    [
        [f"{g:.2f}", f"{n:.0f}", f"{p:.2f}", f"{r:.2f}", f"{100 * t:.0f} %"]
        for g, n, p, r, t in zip(*columns, strict=True)
    ],
)
behind = int(np.argmax(bins["people"] - bins["right"]))
say(
    f"The model is furthest behind where the gap is about {bins['gap'][behind]:.1f}. There "
    f"{100 * bins['truth'][behind]:.0f} % of the pairs differ in being right, against {100 * bins['truth'][0]:.0f} % "
    "at the narrowest gaps."
)
say(
    f"Does the better answer score higher more often where the gap is widest than where it is narrowest? **Verdict:** "
    f"{rises}."
    + ("" if np.all(np.diff(bins["right"]) > 0) else " From bin to bin, in the table, it does not always rise.")
    + "\n\n"
    f"Is the model right as often as people are? **Verdict:** {sigmoid}."
)

# %% [markdown]
# ## 8. Longer is not surer
#
# *Takeaway: the loss keeps widening margins after they have stopped meaning anything; accuracy does not show it.*
#
# A margin is a probability in disguise: $\sigma(r_w - r_l)$. If labels are so few that scores can fit them all, the loss
# is never satisfied, and the margins grow without end. Back to the small world, with 40 comparisons a prompt and all
# pairs summed exactly:
#
# **Predict:** with more updates the training loss falls. What do margins and loss on *unseen* pairs do?

# %%
updates = (3, 10, 30, 100, 300, lab.pick(1000, 400))
runs = [[trained(seed, u) for u in updates] for seed in range(lab.pick(8, 2))]
means = {
    name: np.mean([[getattr(t, name) for t in run] for run in runs], axis=0)
    for name in ("seen", "unseen", "loss", "overconfidence")
}


@styled
def margins():
    """Margins, and what they cost, over the length of training."""
    figure = Figure(figsize=(2 * WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    curve(
        updates,
        {"pairs learned from": means["seen"], "unseen pairs": means["unseen"]},
        "updates",
        "mean margin",
        log="x",
        ax=left,
    )
    curve(
        updates,
        {"loss on unseen pairs": means["loss"], "overconfidence": means["overconfidence"]},
        "updates",
        "",
        log="x",
        ax=right,
    )
    right.axhline(np.log(2), color=colour("muted"), linestyle=":", linewidth=1)
    return figure


show(
    margins(),
    "margins",
    alt="Left: mean margins of seen and of unseen pairs over the updates. Right: the loss on unseen pairs, with ln 2 "
    "dotted, and overconfidence.",
)
widen, late = measure("margins-widen", lab), measure("late-overconfident", lab)
best = updates[int(np.argmin(means["loss"]))]
say(f"**Verdict:** {widen}. And: {late}. The loss on unseen pairs is least after {best} updates.")

# %% [markdown]
# This is why reward models are trained for one epoch or two, and watched on pairs that they have not seen.
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` | about ln 2 at step 0 (exactly, with a scalar head), then slowly down | below the informed rater's: it knows the labels by heart |
# | `accuracy` | from 50 % towards the informed rater's, never above for long | above it: leakage, or pairs learned by heart |
# | `rewards/margins` | rises, then flattens within one epoch | grows for ever: too many passes, see section 8 |
# | `rewards/chosen`, `rewards/rejected` | apart, their mean near 0 | both drift: no centring; that alone is harmless |
# | `grad_norm` | large at first | 0 at step 0: identical pairs, or the head is not trained |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 7` checks them, and `--hint` helps in steps.
#
# 1. **`reward_loss`**: Bradley-Terry with a margin and a centring term, safe at differences of 10,000.
# 2. **`informed_agreement`**: the ceiling of section 1, for labelers who sometimes toss a coin.
# 3. **`best_difference`**: with labels flipped at a rate e, which difference of scores is optimal?
# 4. **`end_scores`** has a hidden bug. It ran for months in several libraries; find the law first.
# 5. *Open:* make the model see truth. More pairs? Pairs that differ in nothing else (`minimal_pairs`)? Measure with
#    `minimal_pair_accuracy`, and say what it costs the labelers.
#
# ## This bug shipped
#
# Section 3's timeline, with the dot in the wrong place. Llama had no pad token, so people took the end token for it,
# and the score was read one or many tokens off:
# [RLHF-Reward-Modeling#49](https://github.com/RLHFlow/RLHF-Reward-Modeling/issues/49) (both answers get the same
# score), [pytorch/rl#3887](https://github.com/pytorch/rl/pull/3887) (the pad of another tokenizer). Left padding, or
# another batch size, changes scores: [reward-bench#137](https://github.com/allenai/reward-bench/issues/137),
# [trlx#474](https://github.com/CarperAI/trlx/issues/474). And pairs that are equal once they are cut to the context,
# which give ln 2 and no gradient for ever: [rlhf-book#503](https://github.com/natolambert/rlhf-book/issues/503),
# [OpenRLHF#1311](https://github.com/OpenRLHF/OpenRLHF/issues/1311). Here the last token comes from lengths, never
# from `id == pad`, and equal pairs are dropped when they are collected.
#
# ## References
#
# - Bradley and Terry 1952, *Rank analysis of incomplete block designs*: the model of section 1.
# - McFadden 1974, *Conditional logit analysis of qualitative choice behavior*: where the Gumbel noise comes from.
# - Ouyang et al. 2022, *Training language models to follow instructions with human feedback*, eq. 1: the loss.
# - Touvron et al. 2023, *Llama 2*, eq. 2: a margin for labelers who were sure.
# - Stiennon et al. 2020, *Learning to summarize from human feedback*: comparisons, and what happens to those who
#   optimise.
