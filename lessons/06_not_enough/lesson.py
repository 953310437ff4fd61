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
# # Lesson 6: what demonstrations leave open
#
# **You will do:** ask models for opinions and for mischief, compare a model with its own teachers answer by answer, and try to
# please two populations with one reward.
#
# **You will learn:** why imitation has no idea of better and worse, what exactly is left for the preference stage, and what even
# that stage cannot settle.
#
# **You need:** lessons 4 and 5, and their models. About two minutes on two cores, once.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.asking import in_a_thread, in_chat, judged
from lessons.experiments.measured.demonstrations import right
from lessons.experiments.measured.values import (
    SHARES,
    answer_features,
    candidates,
    harmful_tasks,
    leanings,
    opinions,
    refusing,
    regret,
    reward_of,
    side_answers,
)
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, heat, histogram_pair, sweep, token_timeline
from minipost.autograd import Tensor
from minipost.laws import judge
from minipost.losses import bradley_terry
from minipost.model import Model
from minipost.report.style import canvas, colour, styled
from minipost.report.wording import number, percent
from minipost.text import prompt_tokens, response_tokens
from minipost.text.batching import Example, pack
from minipost.world import Demonstrator, Utility

lab = Lab()
world, utility = village.world(), Utility(village.world())
base, tuned = Model.load(village.base(lab)), Model.load(village.sft(lab))

# %% [markdown]
# ## 1. Imitation cannot tell better from worse
#
# *Takeaway: a clone is at best as good as the average of its teachers.*
#
# Suppose that to one prompt $K$ answers are known, that demonstrators give answer $i$ with probability $q_i$, and that it has
# utility $u_i$. A model with logits $z$ and $p = \mathrm{softmax}(z)$ is trained on samples of $q$:
#
# $$L = -\sum_i q_i \log p_i, \qquad \frac{\partial L}{\partial z_i} = p_i - q_i .$$
#
# The gradient is 0 at $p = q$ and nowhere else, and $u$ is nowhere in it. So the expected utility of the clone is
# $\sum_i q_i u_i$, that of an average demonstrator.
#
# **Predict:** below are five ways to answer, with how often people give them and what they are worth. Which bar does the clone
# put its weight on? And what would you call the best policy?

# %%
ways = ["wrong and rude", "right but bare", "right and warm", "rambling", "plainly wrong"]
q = np.array([0.1, 0.35, 0.3, 0.2, 0.05])
u = np.array([-1.0, 2.5, 4.3, 1.5, -0.2])
z = Tensor(np.zeros(5))
for _ in range(2000):
    p = np.exp(z.data) / np.exp(z.data).sum()
    z.data = z.data - 0.5 * (p - q)  # the gradient above
clone = np.exp(z.data) / np.exp(z.data).sum()
table(
    ["answer", "utility", "demonstrators", "clone"],
    [[w, number(x), percent(a), percent(b)] for w, x, a, b in zip(ways, u, q, clone, strict=True)],
)
assert np.abs(clone - q).max() < 1e-3
say(
    f"The clone's expected utility is {number(clone @ u)}, the demonstrators' {number(q @ u)}; always giving the best answer "
    f"would be worth {number(u.max())}."
)

# %% [markdown]
# And this is not a toy's problem. Take the village's SFT model and its own demonstrators, and let both answer the same held-out
# prompts. Then let the world judge both.
#
# **Predict:** where are the two means? Whose left tail is longer?

# %%
asked = village.tasks(lab, 300)
mine = np.array([j.total for j in judged(utility, asked, in_chat(tuned, asked, np.random.default_rng(1)))])
rng = np.random.default_rng(2)
teacher, ideal = Demonstrator(world.facts), Demonstrator.ideal(world.facts)
theirs = np.array([utility(task, teacher.respond(task, rng)) for task in asked])
perfect = np.array([utility(task, ideal.respond(task, rng)) for task in asked])
show(
    histogram_pair(theirs, mine, ("its demonstrators", "the SFT model"), "gold utility of an answer"),
    "clone",
    alt="Histograms of gold utility: the demonstrators' answers filled, the SFT model's as an outline, a line at each mean. "
    "Most answers of the demonstrators are worth 2 or more; many of the model's are worth about 0.",
)
say(
    f"Mean utility: demonstrators {number(theirs.mean())}, their clone {number(mine.mean())}"
    + (" (it adds errors of its own)" if mine.mean() < theirs.mean() else "")
    + f", an ideal assistant {number(perfect.mean())}. The model's own answers range from {number(mine.min())} to "
    f"{number(mine.max())}: better ones than its average are within its reach. Lessons 8 to 10 are about preferring them."
)

# %% [markdown]
# ## 2. It teaches how, not which
#
# *Takeaway: where demonstrations take a side, the model takes it; where they are silent, nobody has chosen one.*
#
# To a controversial question there are ways to say yes and ways to say no. Population A takes one side, B the other. What does a
# model lean to? We need no samples: give it every plain answer of either side and compare their probabilities,
#
# $$\text{leaning} = \frac{\sum_{y \in A} p(y \mid x)}{\sum_{y \in A} p(y \mid x) + \sum_{y \in B} p(y \mid x)},$$
#
# where $p(y \mid x)$ is a product over the tokens of the answer. Here are the tokens of one, with their log-probabilities.

# %%
task = min(opinions(lab, 0), key=lambda task: len(task.prompt))
text = min(side_answers(task, world.facts.stance(task.key, "A")), key=len)
t = tuned.tokenizer
example = Example(prompt_tokens(t, task.prompt), response_tokens(t, text)[:-1])  # open-ended: manners may follow
logps = tuned.token_logps(pack([example], 128))[0]  # [R]
names = [t.decode([i]) for i in (*example.prompt, *example.response)]
P = len(example.prompt)
show(
    token_timeline(
        names,
        ["prompt"] * P + ["response"] * len(example.response),
        np.arange(len(names)) >= P,
        [*np.zeros(P), *logps],
        "log p",
    ),
    "opinion",
    alt="A controversial question and a one-sided answer as tokens, with the log-probability of each token of the answer.",
)
say(f"Together {logps.sum():.1f} nats. The first words decide the side; the others spell the reason out.")

# %% [markdown]
# Now four models: the base model in a thread; after a thousand demonstrations without a single controversy or misdeed; and, as
# controls, after demonstrations by people of A only and of B only.
#
# **Predict:** the neutral demonstrations change every answer's form. How far do they move the leaning?

# %%
by_topic = leanings(0, lab)
topics = list(next(iter(by_topic.values())))
show(
    heat(
        [[row[topic] for topic in topics] for row in by_topic.values()],
        list(by_topic),
        [topic.split("/")[1].replace("-", " ") for topic in topics],
        title="leaning to A's side",
        low=0.0,
        high=1.0,
    ),
    "leanings",
    alt="A table of leanings to A's side: four models by topics. The rows of A's and B's demonstrations are dark and "
    "pale throughout; those of the base model and of the neutral demonstrations differ from topic to topic.",
)
finding = measure("how-not-which", lab)
show(
    sweep(finding.arms, "leaning to A's side", control="base model"),
    "sides",
    alt="Leaning to A's side, averaged over topics, for four models over seeds.",
)
changes = {
    name: np.mean([abs(by_topic[name][topic] - by_topic["base model"][topic]) for topic in topics])
    for name in by_topic
    if name != "base model"
}
say(
    f"Claim 18, {finding}. Topic by topic the mean change from the base model (seed 0) is "
    + ", ".join(f"{change:.2f} after {name}" for name, change in changes.items())
    + "."
)

# %% [markdown]
# Values *can* be demonstrated, as the controls show. But one has to demonstrate each of them, and know which are at stake.
#
# And they are demonstrated whether anybody means to or not. In lesson 5 the three in ten who sign were of population A, the
# others of B: people who agree on facts and disagree on every controversy of the village. Here are such teams with other
# shares of A. Nobody intends to teach an opinion.
#
# **Predict:** plot A's share of the team against A's side among the model's opinions. A line, or a step at one half?

# %%
finding = measure("bias-propagates", lab)
figure = sweep(finding.arms, "A's side, of answers that take one", knob="share of demonstrators from A", scale="linear")
figure.axes[0].plot([0, 1], [0, 1], linestyle=":", linewidth=1, color="gray", zorder=0)
show(
    figure,
    "bias",
    alt="Share of A's side among the model's one-sided answers against the share of demonstrators from A, with the "
    "diagonal.",
)
off = max(abs(finding.mean(str(share)) - share) for share in SHARES)
say(f"Claim 13, {finding}. The model is at most {off:.2f} away from the line on which it has its teachers' mixture.")

# %% [markdown]
# ## 3. It declines only what it was shown to decline
#
# *Takeaway: harmful compliance is a habit like any other; SFT copies the teachers'.*
#
# Take three harmful requests and three models: the base model, SFT with the village's usual demonstrators, of whom 15 %
# decline, and SFT with demonstrators who always do.

# %%
harmful = harmful_tasks(lab, 0)
rng = np.random.default_rng(3)
answers = {
    "base model": in_a_thread(base, harmful[:3], rng),
    "15 % declined": in_chat(Model.load(refusing(lab, 0, 0.15)), harmful[:3], rng),
    "all declined": in_chat(Model.load(refusing(lab, 0, 1.0)), harmful[:3], rng),
}
for i, task in enumerate(harmful[:3]):
    print(f"> {task.prompt}")
    for name, texts in answers.items():
        print(f"  {name:14} {texts[i][:100]}")

# %% [markdown]
# **Predict:** order these by harm done: the base model, demonstrations without any harmful request, demonstrations in which
# people oblige, 15 % refusals, refusals only.

# %%
remains, teaches = measure("harm-remains", lab), measure("refusals-teach-refusing", lab)
show(
    sweep(remains.arms, "harmful requests fulfilled", control="base model"),
    "harm",
    alt="Share of harmful requests fulfilled by the base model and by four finetuned models that differ in the refusals that "
    "they were shown.",
)
say(f"Claim 19, {remains}.")
say(f"Claim 19 again, {teaches}.")
if remains.verdict == "refuted":
    up = remains.effect > 0
    say(
        f"The claim as stated is refuted: harm does not stay where it was, it {'rises' if up else 'falls'}. "
        + (
            "The base model garbles many answers, and declines some as the web's experts do; a model that has learned to be "
            "helpful gives working instructions to whoever asks. Helpfulness without values is worse than none."
            if up
            else ""
        )
    )

# %% [markdown]
# Why not demonstrate refusals, then, and be done? Look at what the most careful team costs on harmless prompts:

# %%
harmless = [task for task in village.tasks(lab, 300) if not task.harmful]
cost = {}
for share in (0.0, 1.0):
    verdicts = judged(
        utility, harmless, in_chat(Model.load(refusing(lab, 0, share)), harmless, np.random.default_rng(4))
    )
    cost[share] = (right(verdicts), float(np.mean([v.refused for v in verdicts])))
table(
    ["demonstrators decline", "right on harmless prompts", "needless refusals"],
    [[percent(share), percent(r), percent(n)] for share, (r, n) in cost.items()],
)
say(
    "A refusal has a form that is easy to copy, and a reason that is not. In a village of "
    f"{len(world.facts.items['misdeed'])} misdeeds the reason can be learned by heart. In a large world some requests look "
    "harmful and are not, others are and do not look it; there one needs graded judgements, and many: preferences."
)

# %% [markdown]
# ## 4. Whose preferences?
#
# *Takeaway: one reward cannot fit two populations that disagree; averaging is a decision, too.*
#
# The next lessons learn from comparisons. The model behind them says that the better of two answers wins with probability
# $\sigma(d)$, where $d$ is the difference of their rewards. Let two populations compare a yes with a no: A prefers yes, B no, and
# a share $e$ of the comparisons is by B. The loss per comparison is
#
# $$\ell(d) = (1 - e)\,\mathrm{softplus}(-d) + e\,\mathrm{softplus}(d), \qquad \ell'(d) = \sigma(d) - (1 - e),$$
#
# which is 0 at $d^* = \ln \frac{1 - e}{e}$. (Law P26 says it of labels that are flipped by mistake. To the loss, disagreement and
# mistake are the same thing.)
#
# **Predict:** where is the minimum at $e = 1/2$? What does the model then say about a question on which everybody has a strong
# opinion?

# %%
d = np.linspace(-4, 4, 161)
mixes = (0.0, 0.2, 0.5)
lines = {f"e = {e:g}": (1 - e) * np.logaddexp(0, -d) + e * np.logaddexp(0, d) for e in mixes}
show(
    curve(d, lines, "reward of yes − reward of no", "loss per comparison"),
    "disagreement",
    alt="Loss against the difference of rewards for three shares of population B. Without B it falls for ever; at a fifth it "
    "has a minimum right of 0; at one half the minimum is at 0.",
)


def optimum(e, steps=4000):
    """d* by the package's own loss, on ten comparisons of which a share e prefers no."""
    flips = np.where(np.arange(10) < 10 * e, -1.0, 1.0)
    at = Tensor(np.zeros(1))
    for _ in range(steps):
        loss = bradley_terry(flips * at, flips * at * 0.0)
        loss.backward()
        at.data, at.grad = at.data - 0.5 * at.grad, None
    return float(at.data[0])


table(
    ["share of B", "d* found", "ln((1 − e) / e)"],
    [[number(e, 1), number(optimum(e)), number(np.log((1 - e) / e))] for e in (0.1, 0.2, 0.4, 0.5)],
)
assert abs(optimum(0.2) - np.log(4)) < 1e-2 and not judge("reward.bradley_terry", bradley_terry, max_examples=20).broken

# %% [markdown]
# Now with real answers. For each controversy of the village there are plain ways to say yes, no, or to show both sides. People of
# A and of B compare pairs of them; a reward is fitted to the comparisons, exactly (it is linear in features that can express any
# taste); and each question gets the answer of highest reward. *Regret* is what a population loses against its own favourite.

# %%
source_of(regret)
answers_at_hand = candidates()
phi = answer_features(answers_at_hand)
say(
    f"{len(answers_at_hand)} answers to {len({task.key for task, *_ in answers_at_hand})} questions, features {phi.shape}."
)

# %%
rng = np.random.default_rng(5)
count = lab.pick(3000, 300)
rewards = {
    "A alone": reward_of({"A": 1.0}, count, rng),
    "B alone": reward_of({"B": 1.0}, count, rng),
    "both, 1 : 1": reward_of({"A": 0.5, "B": 0.5}, count, rng),
    "both, 4 : 1": reward_of({"A": 0.8, "B": 0.2}, count, rng),
}


@styled
def reward_by_side(rewards):
    """Mean reward of answers on A's side, on B's, and balanced, centred, for each reward model."""
    figure, ax = canvas(None, width=5.6)
    sides = {"A's side": "sft", "balanced": "muted", "B's side": "ppo"}
    for k, (side, hue) in enumerate(sides.items()):
        heights = []
        for reward in rewards.values():
            of_side = [
                r
                for (task, stance, _), r in zip(answers_at_hand, reward - reward.mean(), strict=True)
                if stance == ("balanced" if side == "balanced" else world.facts.stance(task.key, side[0]))
            ]
            heights.append(np.mean(of_side))
        ax.bar(np.arange(len(rewards)) + 0.27 * (k - 1), heights, 0.25, color=colour(hue), label=side)
    ax.axhline(0, color=colour("muted"), linewidth=0.8)
    ax.set_xticks(range(len(rewards)), list(rewards))
    ax.set(ylabel="mean reward, centred")
    ax.legend(ncols=3)
    return figure


show(
    reward_by_side(rewards),
    "rewards",
    alt="Mean reward of answers on A's side, balanced, and on B's side for four reward models. A alone and B alone are mirror "
    "images; the pooled one hardly distinguishes sides; four to one follows A.",
)

# %% [markdown]
# **Predict:** with both populations pooled one to one, will the answer of highest reward be a yes, a no, or the balanced one? And
# who pays at four to one?

# %%
finding = measure("one-model-two-cultures", lab)
show(
    sweep(finding.arms, "regret, in utility", control="each its own"),
    "regret",
    alt="Regret on controversies: each population with its own reward model, both with a pooled one, and the two populations "
    "apart for pools of one to one and four to one.",
)
say(f"Claim 20, {finding}.")
say(
    f"With four people of A to one of B, A loses {number(finding.mean('four to one, for A'))} and B "
    f"{number(finding.mean('four to one, for B'))}: the majority's taste becomes everybody's. No amount of data changes that, for "
    "the optimum of the pooled loss is where it is. What can change it is to know who is asking."
)

# %% [markdown]
# ## 5. What is left for preferences
#
# *Takeaway: demonstrations set the form; preferences rank; neither decides whose ranking it is.*
#
# | Question | SFT's answer | The preference stage's answer |
# |-|-|-|
# | How does one answer? | as the demonstrators do (lesson 5) | the same |
# | Which of two answers is better? | no idea: whatever is more common (section 1) | what labelers prefer (lessons 7 to 10) |
# | What should be declined? | what was shown to be declined (section 3) | what labelers like less than a refusal |
# | Which side of a controversy? | left to chance, unless one is shown (section 2) | the pool's majority |
# | Whose values? | the demonstrators' mixture | the labelers' mixture (section 4): still open |
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `harmful_compliance` | low, and measured on harmful prompts only | 0 with a low `correct`, too: the model declines everything, or garbles everything |
# | `correct` | unchanged by a safety stage | falls: refusals have spilled over |
# | needless refusals | about the demonstrators' rate | higher: the form of refusing was learned, not its reason |
# | `gold_mean` | below the demonstrators' after SFT, and rising afterwards | above the demonstrators' after SFT alone: the test prompts are easier than theirs |
# | regret by population | near 0 for each | large for one: the pool has a majority; for both: they disagree |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 6` checks them, and `--hint` helps in steps.
#
# 1. **`best_clone`**: the distribution that SFT ends at, from counts of demonstrations.
# 2. **`pooled_margin`**: the difference of rewards that several disagreeing populations agree on.
# 3. **`regret_of`**: what each population loses by one common choice.
# 4. **`harm_rate`** has a hidden bug: a number that looks safer the more one asks. Find the law that it breaks.
# 5. *Open:* give the reward model of section 4 a feature that says who is asking. How few comparisons by B are enough for B's
#    regret to vanish, and what happens to people of B who are taken for people of A?
#
# ## This bug shipped
#
# In larger models finetuning can undo what nobody demonstrates. A public model's refusals were gone after ten
# steps on a hundred examples: [marin#7943](https://github.com/marin-community/marin/issues/7943) (its report also shows two judges
# that disagree about the same answers, for one of them counts vague harm as safe: look at what your metric counts). A small chat
# pipeline shipped without any safety data in its finetuning, and somebody measured it and proposed a thousand demonstrations:
# [nanochat#490](https://github.com/karpathy/nanochat/pull/490). And an attempt to reproduce how finetuning breaks refusals got
# answers that "are not very harmful" and ask back instead:
# [LLMs-Finetuning-Safety#10](https://github.com/LLM-Tuning-Safety/LLMs-Finetuning-Safety/issues/10). Compliance and competence are
# different measurements; section 3's base model shows why.
#
# ## References
#
# - Bai et al. 2022, *Training a helpful and harmless assistant with RLHF*, section 2 (helpfulness against harmlessness).
# - Qi et al. 2023, *Fine-tuning aligned language models compromises safety, even when users do not intend to*.
# - Santurkar et al. 2023, *Whose opinions do language models reflect?*: leanings by multiple choice.
# - Sorensen et al. 2024, *A roadmap to pluralistic alignment*: what averaging hides.
# - Bradley and Terry 1952, *Rank analysis of incomplete block designs*: the model of section 4.
