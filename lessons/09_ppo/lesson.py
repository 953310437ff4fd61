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
# # Lesson 9: PPO
#
# **You will do:** sample answers, turn one score into a reward for every token, work out advantages, clip, update; then
# watch what the reward model likes and what is really good drift apart.
#
# **You will learn:** why a single number at the end of an answer can teach its first word, what the clip forbids and
# what it does not, and how to read the twenty numbers that a PPO run logs.
#
# **You need:** lesson 5 (an SFT model), lesson 7 (a reward model), lesson 1 (the tape). About three minutes on two cores,
# nearly all of it training; seconds if the runs are there already.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.optimising import GOLD, PROXY, diary, without_kl
from lessons.experiments.statistics import interval
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import clip_regions, curve, heat, sweep, token_timeline
from minipost.autograd import Tensor, fused
from minipost.losses import gae, policy_loss, token_rewards
from minipost.model import Model
from minipost.report.style import canvas, colour, styled
from minipost.stages import ppo, rollouts
from minipost.world import Utility

lab = Lab()
SEEDS = range(lab.pick(3, 2))

# %% [markdown]
# ## 1. Sample, and let the reward model speak once
#
# *Takeaway: the reward model gives one number for a whole answer; everything else is bookkeeping about tokens.*
#
# PPO's data are the policy's own answers. To have something to see we look at a policy that has trained already, the one
# of section 6; the reference is the SFT model that it began as. It answers some prompts, and the reward model scores
# the answers. This is the stage's own code; its tables are [S, R]: S answers, R tokens in the longest of them.

# %%
sft, reward_model = Model.load(village.sft(lab)), Model.load(village.reward(lab), "score")
policy = Model.load(village.ppo(lab))
config = ppo.PPOConfig(beta=0.25)
prompts = rollouts.WorldPrompts(village.world(), sft.tokenizer)
rng = np.random.default_rng(9)
roll = rollouts.sample_answers(
    policy.weights,
    sft,
    prompts.draw(rng, lab.pick(48, 4)),
    lambda examples: rollouts.reward_scores(reward_model, examples, 128),
    rng,
    config,
)
for name in ("scores", "old_logps", "ref_logps", "mask"):
    print(f"{name:10} {getattr(roll, name).shape}")

# %% [markdown]
# One answer of about ten tokens, with the end of its prompt. Dots mark the tokens that PPO may learn from: the response, its end
# token included, and nothing of the prompt. Below stands how much more likely each token is under the policy than
# under the reference, in nats.


# %%
def words(i, most=16):
    """The last tokens of prompt i, the first of its answer, and where the answer's end is."""
    prompt, response = roll.examples[i].prompt[-4:], roll.examples[i].response[:most]
    pieces = [sft.tokenizer.decode([t]) for t in [*prompt, *response]]
    roles = ["prompt"] * len(prompt) + ["response"] * len(response)
    return pieces, roles, len(prompt), len(response)


some = int(np.abs(roll.mask.sum(axis=1) - 10).argmin())
pieces, roles, P, R = words(some)
ratios = (roll.old_logps - roll.ref_logps)[some, :R]
show(
    token_timeline(pieces, roles, [r == "response" for r in roles], [0.0] * P + ratios.tolist(), "log π − log ref"),
    "timeline",
    alt="The tokens of a prompt and of its answer in a row of boxes. The answer's tokens carry a dot; below each stands "
    "its log-ratio between policy and reference.",
)

# %% [markdown]
# ## 2. From one score to a reward for every token
#
# *Takeaway: every token pays for leaving the reference; the last one also collects the score.*
#
# What RLHF maximises is $E[s(x,y)] - \beta\,\mathrm{KL}(\pi \| \pi_{ref})$. The KL of whole answers is the expectation of a
# sum of log-ratios over tokens, so each token can pay its own part (Ziegler et al. 2019, eq. 2):
#
# $$r_t = -\beta\,(\log \pi_{old} - \log \pi_{ref})_t + [t = \text{end}]\; s(x, y).$$
#
# **Predict:** add up the rewards of all tokens of an answer. What is the sum?

# %%
rewards = token_rewards(roll.scores, roll.old_logps, roll.ref_logps, roll.mask, config.beta)  # [S, R]
show(
    token_timeline(pieces, roles, [r == "response" for r in roles], [0.0] * P + rewards[some, :R].tolist(), "r"),
    "rewards",
    alt="The same tokens with their rewards: small prices on all of them, and the score added on the last one.",
)
paid = roll.scores - config.beta * roll.log_ratios  # [S]
assert np.allclose(rewards.sum(axis=1), paid, atol=1e-4)
say(
    f"The sum is the score minus β times the log-ratio of the whole answer (law P42): here {paid[some]:+.3f}, from a score of "
    f"{roll.scores[some]:+.3f}. If the sum is off, the score has landed on padding, or twice."
)
source_of(token_rewards)

# %% [markdown]
# ## 3. Advantages: who deserves the credit?
#
# *Takeaway: λ decides how far a surprise travels back: 0 teaches one token, 1 teaches all of them alike.*
#
# The policy gradient weighs $\nabla \log \pi(y_t)$ by how much better things went than expected after $y_t$ was chosen. What
# was expected is the job of a second network, $V_t$. Its surprise at one step is $\delta_t = r_t + \gamma V_{t+1} - V_t$. The
# estimate that PPO uses adds up the surprises to come, discounted (Schulman et al. 2016, eq. 16):
#
# $$A_t = \sum_k (\gamma\lambda)^k \delta_{t+k}, \qquad\text{which is}\qquad A_t = \delta_t + \gamma\lambda\,A_{t+1}.$$
#
# In plain NumPy, as the sum says it:


# %%
def advantages_by_sum(r, v, gamma, lam):
    """r[T], v[T] -> A[T], straight from the definition."""
    T, v = len(r), np.append(v, 0.0)  # beyond the end nothing is expected
    delta = r + gamma * v[1:] - v[:-1]
    return np.array([sum((gamma * lam) ** k * delta[t + k] for k in range(T - t)) for t in range(T)])


T = 10
r, v = np.zeros(T), np.zeros(T)
r[-1] = 1.0
lines = {f"λ = {lam}": advantages_by_sum(r, v, 1.0, lam) for lam in (0.0, 0.5, 0.95, 1.0)}

# %% [markdown]
# **Predict:** one score of 1 at the end, and a value network that knows nothing ($V = 0$). What advantage does the *first* of
# ten tokens get for λ = 1? And for λ = 0?

# %%
show(
    curve(np.arange(1, T + 1), lines, "token", "advantage"),
    "gae",
    alt="Advantage of ten tokens for four values of lambda, with one reward at the end. Lambda 1 is flat at 1, lambda 0 is "
    "0 everywhere but at the last token, the others decay towards the first token.",
)
say(
    f"The first token gets {lines['λ = 1.0'][0]:g} for λ = 1, {lines['λ = 0.95'][0]:.2f} for λ = 0.95 and "
    f"{lines['λ = 0.0'][0]:g} for λ = 0: with values that know nothing, $A_t = s\\,\\lambda^{{T-1-t}}$ (law P31). A good value "
    "network changes that: it hands the surprise on to the token at which the outcome was decided."
)

# %% [markdown]
# The package walks backwards instead, over all answers at once, and stops at each answer's end whatever stands in the
# padding behind it. A response's end is never bootstrapped through.

# %%
source_of(gae, docstring=False)
values = np.random.default_rng(0).standard_normal(rewards.shape)
advantages, returns = gae(rewards, values, roll.mask, 1.0, config.lam)  # [S, R], [S, R]
for row in range(len(rewards)):
    n = roll.mask[row].sum()
    assert np.allclose(
        advantages[row, :n], advantages_by_sum(rewards[row, :n], values[row, :n], 1.0, config.lam), atol=1e-5
    )
    assert not advantages[row, n:].any()

# %% [markdown]
# Law P29 holds: both agree on every answer. The *returns* that the value network learns from are $A + V$, taken before the
# advantages are whitened (mean 0, variance 1 over the rollout); taken after, they would be in no unit at all.
#
# ## 4. The clip
#
# *Takeaway: the clip takes away the reason to go further; it does not hold anything in place.*
#
# One rollout is used for several updates. From the second on, the policy is no longer the one that sampled; the ratio
# $\rho = \pi / \pi_{old}$ corrects for that, and the clip limits it (Schulman et al. 2017, eq. 7):
#
# $$L = \max\big(-A\rho,\; -A\,\mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon)\big).$$
#
# **Predict:** a token had a *bad* advantage, and yet it has become twice as likely. Does the clip switch its gradient off?

# %%
show(
    clip_regions(config.clip),
    "clip",
    alt="Two panels: PPO's objective over the ratio for a good and for a bad action. For the good one it is flat beyond "
    "1 + epsilon, for the bad one below 1 - epsilon. Arrows on the sloped parts show where a step moves the ratio.",
)

# %% [markdown]
# It does not: pulling it back is exactly what should happen. The flat parts are two of four corners, not four. A
# table of gradients says the same in numbers, from the tape (a row an advantage, a column a ratio):

# %%
at = np.array([0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 2.0])
slopes = []
for A in (1.0, -1.0):
    logp = Tensor(np.log(at)[None])  # [1, 7], old log-probabilities 0
    policy_loss(logp, np.zeros((1, 7)), np.full((1, 7), A), np.ones((1, 7)), config.clip).backward()
    slopes.append(-7 * logp.grad[0])  # the direction of a step; the loss is a mean over 7 tokens
show(
    heat(np.abs(slopes), ["A = 1", "A = −1"], [f"{x:g}" for x in at], x_name="ratio ρ", title="size of the gradient"),
    "slopes",
    alt="A table of gradient sizes. For A = 1 they are 0 at ratios 1.3 and 2, for A = -1 at ratios 0.5 and 0.7; elsewhere "
    "they equal the ratio.",
)
assert np.array_equal(slopes[0] == 0, at > 1 + config.clip) and np.array_equal(slopes[1] == 0, at < 1 - config.clip)

# %% [markdown]
# That is law P37, and `minipost laws ppo.policy_loss` checks it on any implementation. The package's own takes the
# minimum in logs, before `exp`, so that a ratio that would overflow is clipped first:

# %%
source_of(policy_loss)

# %% [markdown]
# The log-probabilities come from one kernel that goes from hidden states to the log-probability of the chosen token
# and back, without keeping [tokens, vocabulary] tables for the tape. Prompts cost attention, but no logits.

# %%
source_of(fused.token_logps, docstring=False)

# %% [markdown]
# ## 5. The whole loop
#
# *Takeaway: four networks, four steps, and three numbers that are known before training starts.*
#
# The policy, the reference (a frozen copy), the reward model and the value network:

# %%
source_of(ppo.train)
source_of(rollouts.UpdateEpochs)

# %% [markdown]
# On the very first minibatch nothing has moved: the ratio must be 1, the approximate KL 0, the clip fraction 0. The
# loop stops with a sentence if they are not (law P43). That one check finds a wrong temperature, dropout that is on, a
# shifted mask: nearly everything that goes wrong between sampling and training.
#
# ## 6. What happens
#
# *Takeaway: the proxy is what PPO sees; the gold, which only our world knows, is what we wanted.*
#
# **Predict:** in 14 rollouts of 64 answers, which rises more steadily, the reward model's score or the true utility?


# %%
@styled
def two_curves(runs, title):
    """Proxy and gold over rollouts; thin lines are seeds, the thick one their mean."""
    figure, left = canvas(None, height=2.4, width=7.4)
    left.remove()
    for ax, metric, name, style in zip(
        figure.subplots(1, 2),
        (PROXY, GOLD),
        ("proxy: reward model's score", "gold: true utility"),
        ("--", "-"),
        strict=True,
    ):
        lines = np.array([diary(run, metric) for run in runs])  # [seeds, rollouts]
        x = np.arange(1, lines.shape[1] + 1)
        ax.plot(x, lines.T, color=colour("muted"), linewidth=0.8, alpha=0.7)
        ax.plot(x, lines.mean(axis=0), style, color=colour("ppo"), linewidth=2.2)
        ax.set(xlabel="rollout", title=name)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


tuned = [village.ppo(lab, seed) for seed in SEEDS]
show(
    two_curves(tuned, "PPO at β = 0.25"),
    "training",
    alt="Two panels over rollouts, one thin line a seed: the reward model's score and the true utility.",
)
proxy, gold = measure("ppo-raises-its-reward", lab), measure("ppo-raises-gold", lab)
table(
    ["", "first rollouts", "last rollouts", "verdict"],
    [
        [name, f"{f.mean('first rollouts'):+.2f}", f"{f.mean('last rollouts'):+.2f}", f.verdict]
        for name, f in (("proxy", proxy), ("gold", gold))
    ],
)
say(f"Proxy, {proxy}.\n\nGold, {gold}.")
show(
    sweep(gold.arms, "true utility", control="first rollouts"),
    "gold",
    alt="True utility of sampled answers in the first and in the last three rollouts: a dot a seed, mean and interval.",
)
say(
    "The two are in different units: a reward model's scale has neither origin nor size. What can be compared is the "
    "direction. A rollout of 64 answers is also a small sample: look at the width of the gold's wiggles before you explain "
    "one of them."
)

# %% [markdown]
# What does it sound like? The same prompts, which no training prompt was about, answered greedily:

# %%
tasks = village.tasks(lab, 200)[:4]
utility = Utility(village.world())
for task in tasks:
    print(f"\n{task.prompt}")
    for name, model in (("SFT", sft), ("PPO", policy)):
        text = model.answer([task.prompt], np.random.default_rng(0), 0.0)[0][0]
        print(f"  {name}  {utility(task, text):+.1f}  {text}")

# %% [markdown]
# ## 7. Pushed
#
# *Takeaway: without a price of KL the proxy goes on rising; whether anybody is better off is another question.*
#
# One knob: β = 0, with longer and larger steps. The control is the run itself, earlier.
#
# **Predict:** proxy and gold, at the end of such a run: up, up? up, down?

# %%
pushed = [without_kl(lab, seed) for seed in SEEDS]
show(
    two_curves(pushed, "PPO at β = 0"),
    "pushed",
    alt="Two panels over rollouts at beta 0, one thin line a seed: the reward model's score and the true utility.",
)
far = measure("ppo-pushed-too-far", lab)
show(
    sweep(far.arms, "true utility", control="second quarter"),
    "quarters",
    alt="True utility in the first, second and last quarter of pushed runs: a dot a seed, mean and interval.",
)
rise, low, high = interval([np.mean(diary(run, PROXY)[-4:]) - np.mean(diary(run, PROXY)[:4]) for run in pushed])
kl = [diary(runs[0], "objective/kl")[-1] for runs in (tuned, pushed)]
say(
    f"The proxy rises by {rise:+.2f} [{low:+.2f}, {high:+.2f}]. The gold: {far}. "
    + {
        "confirmed": "The policy has found what the reward model likes and people do not.",
        "refuted": "In this village the reward model is good enough, or 20 rollouts are too few, for the gold to turn.",
        "inconclusive": "Three seeds do not settle it: the seeds differ more than the quarters do.",
    }[far.verdict]
    + f" The KL to SFT ends at {kl[1]:.1f} nats, with a price at {kl[0]:.1f} (seed 0)."
)

# %% [markdown]
# Lesson 12 goes on from here: how the turn depends on the reward model, and what shape the curves have.
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `objective/kl` | 0 at the start, rises, levels off where β balances the score | negative for long: sampling and training disagree about log-probabilities |
# | `objective/scores` | rises | flat: look at `val/explained_variance` and `updates` |
# | `objective/rlhf_reward` | rises: score minus β KL, what PPO really maximises | falls while scores rise: β too large for this learning rate |
# | `objective/non_score_reward` | −β KL | as above |
# | `objective/entropy` | falls slowly | collapses: the policy says one thing to everybody |
# | `policy/ratio`, `val/ratio` | `val/ratio` is exactly 1: the first minibatch | anything else: another temperature, dropout, a shifted mask |
# | `policy/approxkl_avg` | 0.001 to 0.1 | large: too many epochs or too high a rate; `target_kl` ends the updates early |
# | `policy/clipfrac_avg` | 0 to 0.3 | 0: one could go faster; large: most of the batch teaches nothing any more |
# | `val/explained_variance` | from about 0 towards 1 | below 0: the values are worse than a constant |
# | `val/clipfrac_avg` | small | the value network is far behind its returns |
# | `val/num_eos_tokens` | near the rollout's size | falls: answers are cut, and the score judges fragments |
# | `response/length` | settles | grows without end: the reward model likes length |
# | `beta` | constant, or moves if adaptive | runs away: the target cannot be met |
# | `loss/policy_avg`, `loss/value_avg` | near 0; falls | the policy loss is *not* a measure of progress |
# | `gold` | only a simulated world has it | |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 9` checks them, and `--hint` helps in steps.
#
# 1. **`advantages`**: GAE, walking backwards over masked rows.
# 2. **`clipped_loss`**: the clipped objective, safe where the ratio would overflow.
# 3. **`whiten`**: over what counts, and only that.
# 4. **`token_rewards`** has a hidden bug, and it shipped. Which law breaks, and for which answers does nobody notice?
# 5. *Open:* run `village.ppo(lab, lam=1.0)` and `lam=0.0`. Which needs the value network less? Compare
#    `val/explained_variance` and gold over three seeds before you answer.
# 6. *Open:* `--value-network shared` saves a network. What does the value's gradient do to the policy's trunk?
#
# ## This bug shipped
#
# **The ratio is not 1 at the start.** A maintainer printed it in the first epoch of an example and found it anything but 1:
# [trl#454](https://github.com/huggingface/trl/issues/454). Sampling at a temperature that the log-probabilities did not
# know of: [OpenRLHF#853](https://github.com/OpenRLHF/OpenRLHF/pull/853).
#
# **Negative KL.** The estimate is a difference of log-probabilities, so a batch may be below 0, but not for long; if it stays
# there, other settings sampled than were assumed: [trl#235](https://github.com/huggingface/trl/issues/235),
# [trl#925](https://github.com/huggingface/trl/issues/925), [trl#1161](https://github.com/huggingface/trl/issues/1161).
#
# **One answer for every prompt.** The reward converges and the KL grows and grows:
# [trl#204](https://github.com/huggingface/trl/issues/204). Section 7 lets the KL grow, on purpose.
#
# ## References
#
# - Schulman et al. 2016, *High-dimensional continuous control using generalized advantage estimation*, eq. 16.
# - Schulman et al. 2017, *Proximal policy optimization algorithms*, eq. 7, figure 1.
# - Ziegler et al. 2019, *Fine-tuning language models from human preferences*, eq. 2 (the reward), section 2.2 (adaptive β).
# - Stiennon et al. 2020, *Learning to summarize from human feedback* (a separate value network).
# - Huang et al. 2022, *The 37 implementation details of proximal policy optimization*.
