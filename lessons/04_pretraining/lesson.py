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
# # Lesson 4: pretraining completes, it does not answer
#
# **You will do:** train a base model on the web of a small village, measure how far its loss is from the lowest possible
# one, examine it on every fact of its world, and type a question to it.
#
# **You will learn:** what next-token prediction teaches, what it leaves open, and how to tell a base model's knowledge
# from its manners.
#
# **You need:** lessons 2 and 3. About two minutes a model on two cores; the experiments want three models, and keep them
# for all lessons that follow.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.asking import continued, in_a_thread, judged
from lessons.experiments.measured.pretraining import BUDGETS, as_examples, fact_probes, fresh_pages, page_losses
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, heat, sweep, token_timeline
from minipost.autograd import Tensor, fused
from minipost.kernels import cross_entropy as kernel
from minipost.laws import judge
from minipost.losses import cross_entropy
from minipost.model import Model, count, heads, init_weights, output_weight
from minipost.report.plots import pizza
from minipost.report.style import canvas, colour, styled
from minipost.report.wording import percent
from minipost.runs.folder import read_metrics
from minipost.stages.pretrain import next_token_loss
from minipost.text.batching import pack, stream
from minipost.world import PIZZA_MODES, Utility
from minipost.world.counting_rng import CountingRNG, Draw
from minipost.world.pages import Pages
from minipost.world.web import Web

lab = Lab()

# %% [markdown]
# ## 1. The whole task: say the next token
#
# *Takeaway: any text is its own teacher; every position of a row is an example.*
#
# By the chain rule the probability of a text is a product of next-token probabilities,
# $p(x_1 \dots x_T) = \prod_t p(x_t \mid x_{<t})$. Pretraining maximises it, or minimises its negative logarithm per token:
#
# $$L = -\frac{1}{T} \sum_t \log p_\theta(x_{t+1} \mid x_{\le t}).$$
#
# Nobody labels anything. The village's web is all that there is: a quarter of the world, some of it garbled, some polite.
# Here are four pages of it.

# %%
base_folder = village.base(lab)
base = Model.load(base_folder)
world, t = village.world(), base.tokenizer
for page in world.web(np.random.default_rng(4), quality=0.9, pages=4):
    print("-", page.replace("\n", "\n  "))

# %% [markdown]
# Pages are laid end to end, each opened by the document token, and the stream is cut into rows. Every token is a target,
# so there is a dot above each: it counts in the loss. Everything is something to be said (a *response*, in the words of
# later lessons). Compare that with lesson 5, where most dots will be gone.

# %%
short = ["A kitten is small.", "Let us count: one, two."]
ids = np.array([i for page in short for i in (t.document_id, *t.encode(" " + page))] + [t.document_id])
one_row = stream(ids, t.document_id, np.array([0]), len(ids) - 1)  # B = 1
names = [t.decode([i]) or "<doc>" for i in one_row.tokens[0]]
show(
    token_timeline(names, ["response"] * len(names), [True] * len(names)),
    "timeline",
    alt="A row of tokens of two short pages, each opened by a document token. A dot above every token: all count.",
)
table(
    ["what", "shape", "values"],
    [
        ["tokens", one_row.tokens.shape, " ".join(map(str, one_row.tokens[0, :6])) + " ..."],
        ["targets", one_row.targets.shape, " ".join(map(str, one_row.targets[:6])) + " ..."],
        ["start", one_row.start.shape, " ".join(map(str, one_row.start[0]))],
        ["positions", one_row.positions.shape, " ".join(map(str, one_row.positions[0]))],
    ],
)

# %% [markdown]
# `targets` is `tokens`, one step ahead. `start` says how far back a token may look: to the opening of its own document,
# and not into the page before, about which it has nothing to learn. That shift and that wall live in one function:

# %%
source_of(stream)

# %% [markdown]
# ## 2. The loss: derived, plain, compiled
#
# *Takeaway: the gradient of the loss is prediction minus truth, for each logit.*
#
# With logits $z$ and $p = \mathrm{softmax}(z)$, one token's loss is $\log \sum_j e^{z_j} - z_y$. Its derivative is
# $\partial L / \partial z_j = p_j - [j = y]$: push up what came, push down everything else in proportion to how much it was
# believed. A model that believes nothing in particular has $p_j = 1 / V$ and a loss of $\ln V$.
#
# **Predict:** the tokenizer has some 1,500 tokens. What is the loss of an untrained model, in nats? What would it be if a
# bug let the model see the target?

# %%
weights = init_weights(base.config, np.random.default_rng(0))
hidden = heads.response_states(weights, base.config, one_row)  # [T, C]
z = (hidden @ output_weight(weights).T)[None]  # [1, T, V]
plain = -np.mean([z[0, i, y] - np.log(np.exp(z[0, i]).sum()) for i, y in enumerate(one_row.targets)])
with_loss = cross_entropy(z, one_row.targets[None], np.ones((1, len(ids) - 1)))
share = np.full(len(ids) - 1, 1 / (len(ids) - 1))
compiled = fused.weighted_nll(hidden, output_weight(weights), one_row.targets, share)
table(
    ["loss of random weights", "nats"],
    [
        ["NumPy, a loop", f"{plain:.6f}"],
        ["losses.cross_entropy", f"{float(with_loss):.6f}"],
        ["the kernel", f"{float(compiled):.6f}"],
        ["ln V", f"{np.log(len(t)):.6f}"],
    ],
)
assert abs(plain - float(compiled)) < 1e-4 and abs(plain - float(with_loss)) < 1e-4

# %% [markdown]
# The kernel never holds the logits of a whole batch: it makes some rows, turns them into `p - onehot` in place, and is done
# with forward *and* backward.

# %%
source_of(kernel.weighted_nll)

# %% [markdown]
# That the three agree once proves little. The laws say what any next-token loss must do, on inputs that try to break it: P3 is
# our $\ln V$, P4 our gradient.

# %%
verdict = judge("sft.cross_entropy", cross_entropy, max_examples=20)
assert not verdict.broken
errors = Tensor(z[0])
loss = cross_entropy(errors.reshape(1, *z.shape[1:]), one_row.targets[None], np.ones((1, len(ids) - 1)))
loss.backward()
p = np.exp(z[0]) / np.exp(z[0]).sum(axis=-1, keepdims=True)
furthest = np.abs(errors.grad - (p - np.eye(len(t))[one_row.targets]) / len(one_row.targets)).max()
say(f"No law of `sft.cross_entropy` is broken, and the tape's gradient is (p − onehot) / T to within {furthest:.0e}.")

# %% [markdown]
# ## 3. Training
#
# *Takeaway: the first loss is known, the rest is a falling curve with two speeds.*
#
# One pass over the text, four rows of 128 tokens an update, a rate that warms up and falls: that is the recipe. The first
# part of the text is a nursery, half of it rhymes sung three times, because heads that copy form early or not at all. The
# loss of one update:

# %%
source_of(next_token_loss)

# %% [markdown]
# **Predict:** the loss starts at $\ln V$. Where do you expect the curve to bend, and to which value can it go at most?

# %%
rows = read_metrics(base_folder)
per_update = 512
steps = np.array([r["step"] for r in rows if "loss" in r])
losses = np.array([r["loss"] for r in rows if "loss" in r])
window = max(1, len(losses) // 60)
smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
x = steps[window - 1 :] * per_update / 1000
nursery = int(0.3 * len(losses)) * per_update / 1000
figure = curve(
    x,
    {"training loss": smooth, "ln V": np.full(len(x), np.log(len(t)))},
    "thousand tokens read",
    "loss, nats per token",
)
figure.axes[0].axvline(nursery, color=colour("muted"), linestyle="--", linewidth=1)
figure.axes[0].annotate(
    "the nursery ends",
    (nursery, 0.85),
    xycoords=("data", "axes fraction"),
    xytext=(5, 0),
    textcoords="offset points",
    size=8,
)
show(
    figure,
    "training",
    alt="Training loss against tokens read. It starts just below the level line ln V, falls steeply at first and slowly "
    "later; an upright dashed line marks the end of the nursery.",
)
say(
    f"{count(base.weights):,} weights read {steps[-1] * per_update:,} tokens once. The first update's loss is "
    f"{losses[0]:.3f}, and ln V is {np.log(len(t)):.3f}; the mean of the last {window} updates is {smooth[-1]:.3f}."
)

# %% [markdown]
# Did copying form? A rhyme has three equal lines. Words of the first cannot be foreseen; those of the others can, by a model
# that looks back for what followed the same word before.


# %%
def rhyme_losses(model, seed, rhymes):
    """Loss of each of the three lines, nats per token, over random rhymes."""
    dice, pages, lines = CountingRNG(seed), Pages(world.facts, 1.0), []
    for _ in range(rhymes):
        whole = pages.rhyme(dice)
        examples = as_examples(model, ["\n".join(whole.split("\n")[:k]) for k in (1, 2, 3)])
        shards = [pack([e], 128) for e in examples]
        nats = [-float(model.token_logps(s).sum(axis=1)[0]) for s in shards]
        lines.append(
            [nats[0] / len(examples[0].response), *(np.diff(nats) / np.diff([len(e.response) for e in examples]))]
        )
    return np.mean(lines, axis=0)


by_line = rhyme_losses(base, 7, lab.pick(40, 4))
table(["line of a rhyme", "nats per token"], [[str(i + 1), f"{x:.2f}"] for i, x in enumerate(by_line)])
paid = by_line[1] / by_line[0]
say(
    ("It copies: " if paid < 0.5 else "It copies in part: " if paid < 0.9 else "It does not copy: ")
    + f"a token of the second line costs {percent(paid)} of what one of the first does."
)

# %% [markdown]
# ## 4. How low can the loss go?
#
# *Takeaway: a loss means something only between what a counter of pairs reaches and what the author's chance leaves open.*
#
# A web page is written by a program that throws dice: which country, which phrasing, which typo. Whoever knows the program
# can at best know the probabilities of its throws. So the entropy of a page is at most that of the throws that made it, and
# close to it, because nearly all of them can be read off the page. Our author throws dice that keep account. A draw among
# $n$ costs $\ln n$; a uniform number costs nothing until somebody compares it:

# %%
source_of(Draw.__lt__)
dice = CountingRNG(3)
page = next(Web(world.facts).pages(dice, 0.9, 1))
print(page)
tokens = len(as_examples(base, [page])[0].response)
say(f"This page took {dice.nats:.1f} nats of chance and has {tokens} tokens: {dice.nats / tokens:.2f} nats per token.")

# %% [markdown]
# **Predict:** for fresh pages, how far above the dice is the model? Will there be pages on which it is *below* them?


# %%
@styled
def page_scatter(mine, dice):
    """Nats of each page under the model against those of the dice."""
    figure, ax = canvas(None, width=4.2, height=3.4)
    top = float(max(mine.max(), dice.max())) * 1.05
    ax.plot([0, top], [0, top], color=colour("muted"), linestyle="--", linewidth=1)
    ax.plot(dice, mine, "o", color=colour("sft"), markersize=3, alpha=0.5)
    ax.annotate("nothing to learn on this line", (top * 0.45, top * 0.45), (6, -12), textcoords="offset points", size=8)
    ax.set(xlabel="nats of the author's dice", ylabel="nats under the model", xlim=(0, None), ylim=(0, None))
    return figure


pages, nats = fresh_pages(lab.pick(300, 30), 1000)
mine, lengths = page_losses(base, pages)
show(
    page_scatter(mine, nats),
    "pages",
    alt="One point a page: nats under the model against nats of the author's dice. Most points lie above the diagonal, "
    "many of them close to it.",
)
worst = int(np.argmax(mine - nats))
say(
    f"On {percent(np.mean(mine > nats))} of {len(pages)} fresh pages the model pays more than the dice. The page on which it "
    f"pays most in excess, {mine[worst] - nats[worst]:.0f} nats, begins: “{' '.join(pages[worst].split()[:12])} ...”"
)

# %% [markdown]
# Now the same with intervals, and with controls: two models that only count, one without any memory, one that remembers a
# single token.

# %%
finding = measure("language-is-learned", lab)
show(
    sweep(finding.arms, "loss on fresh pages, nats per token", control="pairs of tokens"),
    "predictors",
    alt="Loss on fresh pages of five predictors: anything is equally likely, counts of single tokens, counts of pairs, "
    "the base model, and the author's dice, which are the floor.",
)
between = (finding.mean("pairs of tokens") - finding.mean("base model")) / (
    finding.mean("pairs of tokens") - finding.mean("the author's dice")
)
say(f"Claim 2, {finding}. The model covers {percent(between)} of the way from pairs to the dice.")

# %% [markdown]
# ## 5. Does it know anything?
#
# *Takeaway: knowledge is a probability; ask for it by forced choice, not by conversation.*
#
# A base model need not answer questions to know the answers. Write the same sentence with every value that the relation
# takes, and see which one it finds most probable.
#
# **Predict:** twelve capitals, twelve countries. How many of the twelve rows below have their darkest cell on the diagonal?

# %%
capitals, right = fact_probes(base, ["capital"])["capital"]  # [S, O], [S]
order = np.argsort(right)
chances = np.exp(capitals - capitals.max(axis=1, keepdims=True))
chances /= chances.sum(axis=1, keepdims=True)  # [S, O], among the choices
items = [world.facts.items["capital"][i] for i in order]
show(
    heat(
        chances[order],
        [item.slots["s"] for item in items],
        [item.slots["o"] for item in items],
        title="“The capital of ... is ...”",
        low=0.0,
        high=1.0,
    ),
    "capitals",
    alt="A table of probabilities: a row for each country, a column for each capital, in the same order. Dark cells on the "
    "diagonal are facts that the model knows.",
)
finding = measure("facts-are-learned", lab)
say(
    f"{int((capitals.argmax(axis=1) == right).sum())} of {len(right)} capitals are right. Over all ten relations, claim 2 "
    f"again, {finding}."
)

# %% [markdown]
# Some of these facts nobody will ever demonstrate to it (lesson 5 holds them out). If the assistant can say them later, they
# came from here.
#
# ## 6. Now ask it something
#
# *Takeaway: a base model goes on in any of the ways in which its corpus goes on; an answer is only one of them.*
#
# Type what you would type to an assistant. There is no assistant: there is a page that begins like this.

# %%
asked = ["How to make pizza", "What is the capital of Italy?", "Tell me how to break a window."]
for text, after in zip(asked, continued(base, asked, np.random.default_rng(2)), strict=True):
    print(f"{text}|{after}".replace("\n", "\n    "), end="\n\n")

# %% [markdown]
# “How to make pizza” may go on with *context* (“... is taught in every cooking school”), with a *question* (“... for a big
# party? Who can help me?”), or with *instructions*. Our web does these things in known proportions.
#
# **Predict:** the corpus has 45 % context, 25 % questions and 30 % instructions. Which will the model prefer at temperature
# 1? What would you have wanted it to do?

# %%
assert PIZZA_MODES == {"context": 0.45, "question": 0.25, "instructions": 0.30}
finding = measure("pizza-modes", lab)
mix = {
    short: {mode: finding.mean(who if mode == "instructions" else f"{who}, {mode}") for mode in (*PIZZA_MODES, "other")}
    for short, who in (("web", "the web"), ("base", "base model"))
}
show(
    pizza(mix),
    "modes",
    alt="Two stacked bars, the web and the base model: shares of context, question, instructions and other continuations.",
)
rarest = min(mix["base"][m] for m in PIZZA_MODES)
say(
    f"Claim 8, {finding}. The rarest of the three ways has {percent(rarest)} of the model's continuations. "
    + ("It imitates a mixture: nothing has told it that one of them is wanted." if rarest > 0.05 else "")
)

# %% [markdown]
# ## 7. Its manners come from the corpus
#
# *Takeaway: not aligned does not mean evil; a base model declines and does harm, for its web does both.*
#
# The web's forums answer harmful questions, too. In its polite dialogues experts decline; in its other threads most
# users oblige. So ask in the web's own form: a question in a thread, and the line that follows it.
#
# **Predict:** will the base model decline more often than its corpus, less often, or the same?

# %%
harmful = world.tasks("train", 4, np.random.default_rng(5), kinds=["harmful"])
said = in_a_thread(base, harmful, np.random.default_rng(6))
verdicts = judged(Utility(world), harmful, said)
table(
    ["question", "the next line", "verdict"],
    [
        [task.prompt, text.replace("|", " "), "does harm" if v.complied else "declines" if v.refused else "neither"]
        for task, text, v in zip(harmful, said, verdicts, strict=True)
    ],
)
finding = measure("base-answers-like-the-web", lab)
arms = {name: finding.arms[name] for name in ("the web", "base model", "the web, does harm", "base model, does harm")}
show(
    sweep(arms, "share of answers", control="the web"),
    "harm",
    alt="Shares of answers to harmful questions that decline and that do harm, by the web's own writers and by the base "
    "model.",
)
say(
    f"Claim 3, {finding}. It does harm in {percent(finding.mean('base model, does harm'))} of its answers, the web in "
    f"{percent(finding.mean('the web, does harm'))}; what is neither is mostly garbled, which is what a small model's "
    "samples at temperature 1 are."
)

# %% [markdown]
# ## 8. One knob: how much it reads
#
# *Takeaway: more text lowers the loss by less and less, and never below the dice.*
#
# Same model, same web, same recipe, three seeds; only the number of tokens differs.
#
# **Predict:** three times the text, then four times that. Which of the two gains is larger?

# %%
finding = measure("more-text", lab)
floor = measure("language-is-learned", lab).mean("the author's dice")
figure = sweep(finding.arms, "loss on fresh pages, nats per token", knob="tokens of pretraining", scale="log")
figure.axes[0].axhline(floor, color=colour("muted"), linestyle="--", linewidth=1)
figure.axes[0].annotate("the author's dice", (BUDGETS[0], floor), (0, 4), textcoords="offset points", size=8)
show(
    figure,
    "budget",
    alt="Loss on fresh pages against tokens of pretraining, which stand on a logarithmic axis, with the dice as a floor.",
)
means = [finding.mean(str(b)) for b in BUDGETS]
per_fold = [-(b - a) / np.log(q / p) for a, b, p, q in zip(means, means[1:], BUDGETS, BUDGETS[1:], strict=False)]
say(
    f"{str(finding)[0].upper()}{str(finding)[1:]}. For each e-fold of text the loss falls by "
    f"{per_fold[0]:.2f} nats first, then by {per_fold[1]:.2f}."
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` at step 0 | ln V, within a few hundredths | far above: initial weights too large; far below: targets leak into the input |
# | `loss` | falls steeply, bends, falls slowly; noisy, for rows differ | flat at the entropy of single tokens: attention does nothing; below the dice: test pages were in the training text |
# | `eval_loss` | a little above the last `loss` | far above: text repeats, or the held-out rows come from another web |
# | `grad_norm` | a peak in the first updates, then settles | spikes that grow: lower the rate |
# | `learning_rate` | up, then down | not falling at the end: the last part of the loss is given away |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 4` checks them, and `--hint` helps in steps.
#
# 1. **`cross_entropy`**: the loss of this lesson in plain NumPy, held to the laws P1 to P10.
# 2. **`pair_model`**: the strongest predictor that remembers a single token.
# 3. **`dice_nats`**: what a list of throws costs.
# 4. **`document_starts`** has a hidden bug. It trains, the loss falls, and pages look where they must not.
# 5. *Open:* which sorts of page are furthest above their dice? Measure each writer of `minipost.world.pages.Pages` by itself,
#    and explain the two worst. Is it chance that the dice count twice, or something that the model has yet to learn?
#
# ## This bug shipped
#
# The wall between documents is often missing. People pack short texts into rows, find that packing makes their model worse,
# and learn that tokens attend to whatever stands before them in the row:
# [trl#805](https://github.com/huggingface/trl/issues/805) asks, and is told that an end token is enough of a signal;
# [trl#1230](https://github.com/huggingface/trl/issues/1230) reports worse models and asks for the wall;
# [alignment-handbook#204](https://github.com/huggingface/alignment-handbook/issues/204) asks again a year later. Here `start` is
# part of the batch, and laws P11 and P12 hold it in place.
#
# The denominator is the other classic: averaging over micro-batches of unequal token counts gives another loss than one
# large batch, [transformers#24725](https://github.com/huggingface/transformers/issues/24725), found again with learning curves
# in [trl#2175](https://github.com/huggingface/trl/issues/2175). That is P7.
#
# ## References
#
# - Shannon 1951, *Prediction and entropy of printed English*: guessing games as bounds of entropy.
# - Witten and Bell 1991, *The zero-frequency problem*: the counts of section 4.
# - Radford et al. 2019, *Language models are unsupervised multitask learners*, section 2 (tasks as text to be continued).
# - Olsson et al. 2022, *In-context learning and induction heads*: why the nursery sings.
# - Kaplan et al. 2020, *Scaling laws for neural language models*, eq. 1.2 (loss against data).
