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
# # Lesson 5: supervised finetuning copies its teachers
#
# **You will do:** turn the base model of lesson 4 into an assistant with three thousand demonstrations, look at every token
# that is learned from, and vary who demonstrates, how many, how well, and to whom.
#
# **You will learn:** that SFT is lesson 4's loss with a mask, why the end token is the most important token of an answer,
# and that a model copies whatever its teachers do.
#
# **You need:** lessons 3 and 4. Under three minutes on two cores the first time, for the experiments train two dozen small
# models beside the large one; they are kept.

# %%
from itertools import pairwise

import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.asking import continued, in_chat
from lessons.experiments.measured.demonstrations import COUNTS, QUIRK, from_scratch
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, sweep, token_timeline
from minipost.autograd import Tensor
from minipost.laws import judge
from minipost.losses import cross_entropy
from minipost.model import Model, logits
from minipost.report.plots import pizza
from minipost.report.wording import percent
from minipost.runs.folder import read_metrics
from minipost.stages import sft as stage
from minipost.text import prompt_tokens, response_tokens
from minipost.text.batching import Example, pack
from minipost.world import PIZZA_MODES, Demonstrator
from minipost.world.collect import demonstrate

lab = Lab()
base, world = Model.load(village.base(lab)), village.world()
t = base.tokenizer

# %% [markdown]
# ## 1. A demonstration, token by token
#
# *Takeaway: the prompt is read, the response is learned, and the end token belongs to the response.*
#
# A labeler gets a prompt and writes an answer. Ours have human weaknesses: some five in a hundred of their answers are wrong,
# some are rude, some ramble, and most of them oblige when asked for mischief.

# %%
labeler = Demonstrator(world.facts)
shown = demonstrate(world, labeler, 6, np.random.default_rng(12))
for d in shown:
    print(f"> {d.prompt}\n  {d.response}")

# %% [markdown]
# The pair becomes one row of tokens: a role's token opens each turn, `<|end|>` closes the answer. The template is written by
# us and never by the model, so it is part of the prompt.
#
# **Predict:** the row below has a dot above each token that counts in the loss. Which is the last one with a dot?

# %%
pair = min(shown, key=lambda d: len(d.prompt) + len(d.response))
example = Example(prompt_tokens(t, pair.prompt), response_tokens(t, pair.response))
names = [t.decode([i]) for i in (*example.prompt, *example.response)]
roles = ["prompt"] * len(example.prompt) + ["response"] * len(example.response)
mask = np.arange(len(example)) >= len(example.prompt)  # [T], about the token itself
show(
    token_timeline(names, roles, mask),
    "mask",
    alt="A demonstration as a row of tokens. Those of the prompt, the assistant's role token included, have no dot; "
    "those of the response, the end token included, have one.",
)
say(
    f"{len(example)} tokens, of which {int(mask.sum())} are learned; the last is `{names[-1]}`. It is how one stops talking."
)

# %% [markdown]
# Logits at a position predict the *next* token, so the first learned token is read off at the last position of the prompt. Here
# is that shift for two sequences in one row, from the module that does it for the whole project:

# %%
batch = pack([example, Example(prompt_tokens(t, "Hi"), response_tokens(t, "Hello."))], 64)
table(
    ["array", "shape", "what it holds"],
    [
        ["tokens", batch.tokens.shape, "rows of several sequences, then padding"],
        ["start", batch.start.shape, "as far back as attention may look"],
        ["index", batch.index.shape, f"whose logits predict a response: {batch.index.tolist()}"],
        ["targets", batch.targets.shape, " ".join(repr(t.decode([i])) for i in batch.targets)],
        ["last", batch.last.shape, "each sequence's last token, for lesson 7"],
    ],
)

# %% [markdown]
# ## 2. The loss is lesson 4's, with a mask
#
# *Takeaway: maximum likelihood on demonstrations pulls the model's distribution over the demonstrators'.*
#
# With demonstrators $q(y \mid x)$ and a model $p_\theta(y \mid x)$, SFT minimises
#
# $$L = -\frac{\sum_t m_t \log p_\theta(y_t \mid x, y_{<t})}{\sum_t m_t}, \qquad
# \mathbb{E}_q[-\log p_\theta(y \mid x)] = H(q) + \mathrm{KL}(q \,\|\, p_\theta).$$
#
# The entropy of the teachers is a constant, so the minimum is $p_\theta = q$: not the best teacher, and not the best answer, but
# all teachers in their proportions. Hold on to that equation; sections 5 and 6 and all of lesson 6 are consequences of it.
#
# The stage says it twice. Once slowly, one sequence at a time with all logits; that is asserted at step 0 of every run:

# %%
source_of(stage.plain_loss)

# %% [markdown]
# and once fast, packed into rows, with logits for the learned positions only (`heads.response_states`, then the kernel of
# lesson 4). The two against a loop in NumPy:

# %%
examples = [Example(prompt_tokens(t, d.prompt), response_tokens(t, d.response)) for d in shown]
loop = []
for e in examples:
    z = logits(base.weights, base.config, np.array([[*e.prompt, *e.response]]))[0]  # [T, V]
    for j, y in enumerate(e.response):
        row = z[len(e.prompt) - 1 + j]  # the position before the token
        loop.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[y])
slow = stage.plain_loss(base.weights, base.config, examples)
packed = pack(examples, 128)
fast = -base.token_logps(packed).sum() / len(packed.targets)
table(
    ["loss of the base model on six demonstrations", "nats per token"],
    [["NumPy, a loop", f"{np.mean(loop):.6f}"], ["plain_loss", f"{slow:.6f}"], ["packed, compiled", f"{fast:.6f}"]],
)
assert abs(np.mean(loop) - slow) < 1e-4 and abs(slow - fast) < 1e-4

# %% [markdown]
# The laws that matter here: P1, what the mask leaves out changes neither value nor gradient; P7, micro-batches weighted by their
# tokens make up the batch; P11 and P12, sequences in one row do not see each other. A mask that is off by one is still a
# mask: it trains, and only a law will tell.

# %%
assert not judge("sft.cross_entropy", cross_entropy, max_examples=20).broken


def shifted(logits: Tensor, labels: np.ndarray, mask: np.ndarray, reduction: str = "token") -> Tensor:
    """The same loss with a mask that is one token late."""
    return cross_entropy(logits, labels, np.roll(mask, 1, axis=1), reduction)


broken = judge("sft.cross_entropy", shifted, max_examples=20).broken
say(
    f"The loss of the package breaks no law. With its mask one token late it breaks {', '.join(b.law for b in broken)}."
)

# %% [markdown]
# ## 3. Training takes seconds, for there is little to learn
#
# *Takeaway: SFT moves few bits; watch which tokens they belong to.*
#
# Three thousand demonstrations, each seen once, with some web pages mixed in so that what nobody demonstrates is not forgotten.
# The same row before and after; below each learned token stands its log-probability.
#
# **Predict:** on which token will the two models differ most?

# %%
folder = village.sft(lab)
tuned = Model.load(folder)


def learned_logps(model):
    """log p of each response token of our example, [R]."""
    return model.token_logps(pack([example], 128))[0]


before, after = learned_logps(base), learned_logps(tuned)
for name, model, values in (("before", "base model", before), ("after", "SFT model", after)):
    show(
        token_timeline(names, roles, mask, [*np.zeros(len(example.prompt)), *values], "log p"),
        name,
        alt=f"The demonstration's tokens under the {model}, with the log-probability of each learned token below it.",
    )
jump = int(np.argmax(after - before))
say(
    f"The whole answer goes from {before.sum():.1f} to {after.sum():.1f} nats. The largest step is that of "
    f"`{names[len(example.prompt) + jump]}`: {after[jump] - before[jump]:.1f} nats. The end token alone gains "
    f"{after[-1] - before[-1]:.1f}: the base model had never seen it."
)

# %%
rows = [r for r in read_metrics(folder) if "loss" in r]
losses = np.array([r["loss"] for r in rows])
show(
    curve([r["step"] for r in rows], {"loss": losses}, "update", "loss, nats per learned token"),
    "loss",
    alt="SFT's loss against updates: it falls within the first twenty updates or so, and slowly and noisily afterwards.",
)
half = int(np.argmax(losses < (losses[0] + losses[-1]) / 2)) + 1
say(f"Half of the way from {losses[0]:.2f} to {losses[-1]:.2f} is done after {half} of {len(losses)} updates.")

# %% [markdown]
# ## 4. Now it answers
#
# *Takeaway: the knowledge was there; after SFT a plain question is enough to get at it.*
#
# The prompts below are about things that nobody demonstrated. Look at the form first: which replies are an answer, and
# nothing but an answer? How many are right is counted below.
#
# **Predict:** the base model can be asked in three ways: as a user would, in the chat template, or as a question in a forum's
# thread. Which of them comes closest to SFT?

# %%
asked = village.tasks(lab)[:4]
replies = in_chat(tuned, asked, np.random.default_rng(0))
loose = continued(base, [task.prompt for task in asked], np.random.default_rng(0))
for task, reply, text in zip(asked, replies, loose, strict=True):
    print(f"> {task.prompt}\n  base: {' / '.join(text.strip().splitlines())[:110]}\n  SFT:  {reply}")

finding = measure("sft-converses", lab)
show(
    sweep(finding.arms, "share of right answers", control="base model, plain question"),
    "converses",
    alt="Share of right answers to held-out prompts: the base model asked plainly, in the chat template and in a thread, "
    "and SFT.",
)
bare, thread, best = (finding.mean(arm) for arm in ("base model, plain question", "base model, thread", "SFT"))
say(
    f"Claim 4, {finding}. A prompt that looks like a thread brings the base model from {percent(bare)} to {percent(thread)}; "
    f"SFT is at {percent(best)}."
    + (
        " All that SFT adds to this share could be had by asking well."
        if thread >= best
        else " Much of what SFT adds could be had by asking well."
        if thread - bare > best - thread
        else ""
    )
)

# %% [markdown]
# And pizza? The base model may go on with context, a question back, or instructions.

# %%
finding = measure("pizza-instructions", lab)
mix = {
    short: {mode: finding.mean(who if mode == "instructions" else f"{who}, {mode}") for mode in (*PIZZA_MODES, "other")}
    for short, who in (("base", "base model"), ("sft", "SFT"))
}
show(
    pizza(mix),
    "pizza",
    alt="How “How to make ...” goes on: shares of context, question and instructions in the base model and after SFT.",
)
say(f"Claim 8, {finding}.")

# %% [markdown]
# ## 5. Cloning copies everything
#
# *Takeaway: a habit of some of the teachers becomes a habit of the model, whatever it is worth.*
#
# The equation of section 2 has no term for what a habit is worth. So let three in ten demonstrators sign their answers, with a
# sentence that no page of the web contains.

# %%
print(QUIRK)

# %% [markdown]
# **Predict:** what share of the model's answers will be signed: none (it is a minority's habit), 30 %, or all?

# %%
finding = measure("quirks-are-copied", lab)
show(
    sweep(finding.arms, "share of signed answers", control="its demonstrators"),
    "quirk",
    alt="Share of answers that are signed: by the demonstrators and by the model that was trained on them.",
)
shown_signed, said_signed = finding.mean("its demonstrators"), finding.mean("the model")
say(
    f"Claim 5, {finding}. {percent(shown_signed)} of the demonstrations are signed, and {percent(said_signed)} of the "
    "model's answers to prompts that it has not seen."
)

# %% [markdown]
# ## 6. Three knobs: how many, how good, how diverse
#
# *Takeaway: few demonstrations go far, even if many of them are wrong.*
#
# **How many.** Who has few demonstrations sees them more often, so that every arm makes 31 to 50 updates.
#
# **Predict:** 32 demonstrations against 1,000: what share of the gain is had with 180?

# %%
finding = measure("more-demonstrations", lab)
show(
    sweep(finding.arms, "gold utility", knob="different demonstrations", scale="log"),
    "count",
    alt="Gold utility of the model's answers against the number of different demonstrations, on a logarithmic axis.",
)
means = [finding.mean(str(n)) for n in COUNTS]
steps = ", ".join(f"{b - a:+.2f}".replace("-", "−") for a, b in pairwise(means))
say(f"Claim 9, {finding}. The gains from step to step are {steps}: each step has five to six times the demonstrations.")

# %% [markdown]
# **How good.** Now some of the thousand are wrong: another city, another dish's steps, a sum slightly off.
#
# **Predict:** half of the demonstrations are wrong. Is half of what the model says wrong? Remember that it knows better.

# %%
finding = measure("labeler-errors", lab)
show(
    sweep(finding.arms, "gold utility", knob="share of wrong demonstrations", scale="linear"),
    "errors",
    alt="Gold utility of the model's answers against the share of wrong demonstrations.",
)
values = [finding.mean(arm) for arm in finding.arms]
say(
    f"Claim 11, {finding}. "
    + (
        "The mean utility falls with every step."
        if all(a > b for a, b in pairwise(values))
        else "It does not fall with every step."
    )
)

# %% [markdown]
# **How diverse.** A thousand demonstrations of one kind of task, or of four. The models are asked for translations and sums, of
# which neither was shown any.

# %%
finding = measure("diverse-demonstrations", lab)
show(
    sweep(finding.arms, "right answers to kinds never shown", control="1 kind"),
    "kinds",
    alt="Share of right translations and sums against the number of other kinds of task among the demonstrations.",
)
say(f"Claim 10, {finding}.")

# %% [markdown]
# ## 7. Without pretraining
#
# *Takeaway: demonstrations teach what they show, and little beyond; the rest has to be known before.*
#
# Why not start from random weights? Give them the same demonstrations, once, and then ten times over, which is about the
# compute of pretraining and SFT together. That takes the better part of a minute, so this page has one seed of three;
# `minipost claims run from-scratch` measures all.
#
# **Predict:** how does the model from scratch do on things that *were* demonstrated, and how on others?

# %%
found = from_scratch(0, lab)
table(
    ["model", "right on held-out things", "right on demonstrated things"],
    [
        [name, percent(found[name]), percent(found[f"{name}, demonstrated things"])]
        for name in ("pretrained", "from scratch", "from scratch, equal compute")
    ],
)
gap = found["from scratch, equal compute, demonstrated things"] - found["from scratch, equal compute"]
say(
    f"Claim 17, one seed of it. From scratch, at equal compute, the gap between demonstrated and held-out things is "
    f"{100 * gap:.0f} percentage points: a fact that nobody demonstrates it has no way to know."
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` at step 0 | the plain loss of the base model on the same batch, to 1e-3 | masks, positions or packing are wrong: the run refuses to start |
# | `loss` | falls in a dozen or two updates, then slowly | near 0: it memorises, lower the epochs; flat from the start: the rate is too small, or everything is masked |
# | `num_tokens` | varies from batch to batch | constant: padding is counted |
# | `grad_norm` | large at first, since the template is new | stays large: bad rows in the data, look with `minipost data` |
# | end rate | above 95 % | lower: the end token is masked or missing; look at the dots of section 1 |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 5` checks them, and `--hint` helps in steps.
#
# 1. **`target_mask`**: which targets count, from the lengths of prompts and responses.
# 2. **`sequence_logps`**: the log-probability of an answer, held to the laws.
# 3. **`may_look`**: from `start`, which token may attend to which.
# 4. **`mask_without_padding`** has a hidden bug, the most popular one of all. Find the law that it breaks.
# 5. *Open:* a labeled token costs money. Use `village.sft` with fewer, better demonstrators (`skill=1.0`) against many mediocre
#    ones at the same price, and draw the curve on which they break even.
#
# ## This bug shipped
#
# *The model never stops.* The padding id is set to that of the end token, the mask is made from `id == pad`, and the one token
# that says stop is never learned: [trl#1623](https://github.com/huggingface/trl/issues/1623),
# [alignment-handbook#127](https://github.com/huggingface/alignment-handbook/issues/127), and once more after a rewrite,
# [trl#3091](https://github.com/huggingface/trl/pull/3091). Masks here come from lengths.
#
# *Off by one.* A mask about inputs is used as one about targets, and the first token of every answer is not learned:
# [verl#3287](https://github.com/verl-project/verl/pull/3287), [OpenRLHF#973](https://github.com/OpenRLHF/OpenRLHF/issues/973).
#
# *Nothing is learned at all.* The answer's beginning is searched for as a sequence of tokens and not found, for a blank in front
# changes the tokens; everything is masked: [trl#1920](https://github.com/huggingface/trl/issues/1920),
# [trl#1191](https://github.com/huggingface/trl/issues/1191). Here an all-masked batch is an error (P9).
#
# ## References
#
# - Ouyang et al. 2022, *Training language models to follow instructions with human feedback*, section 3 (demonstrations).
# - Pomerleau 1989, *ALVINN*: behaviour cloning, and that it copies.
# - Zhou et al. 2023, *LIMA: less is more for alignment*: a thousand demonstrations.
# - Wei et al. 2022, *Finetuned language models are zero-shot learners*: kinds of task never shown.
# - Gudibande et al. 2023, *The false promise of imitating proprietary LLMs*: style is copied before substance.
