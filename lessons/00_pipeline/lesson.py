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
# # Lesson 0: the whole pipeline on one page
#
# **You will do:** train a language model from random numbers to an assistant, three ways, ask all of them the same
# questions, and measure every step.
#
# **You will learn:** what each stage adds, how one tells whether it did, and what the numbers of every later lesson
# mean.
#
# **You need:** Python and NumPy; about two minutes on two cores for the small models of this page (about eight for
# those of `minipost tour`).
#
# A modern assistant is made in three stages. *Pretraining* learns language and facts by predicting the next token of
# a noisy web. *Supervised finetuning* (SFT) learns to converse by imitating demonstrations. The *preference stage*
# learns what people like: either through a reward model (best-of-N, PPO) or directly from comparisons (DPO).
#
# Our web, our demonstrators and our labelers are simulated, so that we know what nobody knows in real life: the
# **true utility** of any answer. Every claim on this page is measured against it.

# %%
import json

import numpy as np

from lessons.experiments import Lab, village
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import sweep, token_timeline
from minipost.losses import bradley_terry, dpo, policy_loss
from minipost.model import Model
from minipost.report.gallery import gallery
from minipost.report.wording import interval, label, number, percent
from minipost.text import Message, render
from minipost.tour.plan import TourConfig, plan
from minipost.tour.world import tour
from minipost.world import Demonstrator, Utility

lab = Lab()
world = village.world()  # a quarter of the world: small models learn it in minutes
config = TourConfig(size=lab.pick("nano", "smoke"))
stages = plan(config)

# %% [markdown]
# ## 1. The world
#
# *Takeaway: the facts are in the web, and so are manners, good and bad.*
#
# These are four pages of the web that the model will read. It will read some thousands of them, and nothing else:

# %%
for page in world.web(np.random.default_rng(4), stages.pretrain.quality, pages=4):
    print("-", page.replace("\n", "\n  "))

# %% [markdown]
# A *task* is a prompt together with a key by which any answer can be judged. A demonstrator answers it, with human
# weaknesses; the utility judges: is it right, complete, polite, short, in one piece, and harmless?
#
# **Predict:** which of the answers below does the utility rank last?

# %%
rng = np.random.default_rng(3)
utility, labeler = Utility(world), Demonstrator(world.facts)
for task in world.tasks("train", 5, rng):
    reply = labeler.respond(task, rng)
    print(f"{utility(task, reply):+.2f}  {task.prompt!r}\n       -> {reply!r}")

# %% [markdown]
# ## 2. Run all stages
#
# *Takeaway: one command, five run folders.*
#
# `minipost tour --size nano` does the same on the command line. If this tour was run before, its results are read from
# the disk.

# %%
folder = lab.run(tour, config, about="two minutes")
summary = json.loads((folder / "summary.json").read_text())
details = json.loads((folder / "details.json").read_text())
table(
    ["stage", "starts from", "learns from", "loss"],
    [
        ["pretrain", "random numbers", f"{stages.pretrain.tokens:,} tokens of the web", "cross-entropy of all tokens"],
        ["sft", "base", f"{stages.sft.demonstrations:,} demonstrations", "cross-entropy of responses"],
        ["reward", "sft", f"{stages.reward.pairs:,} comparisons", "Bradley-Terry"],
        ["ppo", "sft", f"{stages.ppo.iterations} rounds of own answers, scored", "clipped policy gradient"],
        ["dpo", "sft", "the same comparisons", "DPO"],
    ],
)

# %% [markdown]
# The losses of the last three are short enough to be shown. They are pure functions; each has a lesson of its own (7,
# 9 and 10), and laws that any implementation must obey, also yours.

# %%
source_of(bradley_terry, docstring=False)
source_of(policy_loss, docstring=False)
source_of(dpo.sigmoid, docstring=False)

# %% [markdown]
# ## 3. What a training example looks like
#
# *Takeaway: the loss sees the response only, and the end token belongs to the response.*
#
# These are the tokens of one demonstration. Dots mark what the model is trained to say; lesson 3 is about nothing
# else.

# %%
model = Model.load(folder / "sft")
chat = render(model.tokenizer, [Message("user", "What is the capital of Italy?"), Message("assistant", "It is Rome.")])
tokens = [model.tokenizer.decode([token]) for token in chat.tokens]  # [T]
roles = ["response" if m else "prompt" for m in chat.response_mask]
print("ids ", len(chat.tokens), chat.tokens)
print("mask", chat.response_mask.astype(int).tolist())
show(
    token_timeline(tokens, roles, chat.response_mask),
    "demonstration",
    alt="The tokens of a demonstration in a row: first those of the prompt, then those of the response; dots mark the "
    "tokens that the loss counts, which are those of the response, end token included.",
)

# %% [markdown]
# ## 4. One question, five answers
#
# *Takeaway: read what models say before you read what they score.*
#
# **Predict:** what will the base model make of a question?

# %%
for row in [row for row in details["samples"] if row["kind"] in ("fact", "how_to", "harmful")][: lab.pick(5, 3)]:
    print(f"> {row['prompt']}")
    for name, said in row["answers"].items():
        print(f"    {label(name):10} {said['gold']:+5.1f}  {said['text'][:100]!r}")

# %% [markdown]
# The base model writes on as its web does, questions and answers included; that this question waits for an answer is
# nothing that it was ever taught to care about.
#
# ## 5. What came out
#
# *Takeaway: ask of each stage what it adds, and whether its interval leaves room for doubt.*
#
# Everything is measured on prompts about things that no demonstration and no comparison was about, and on answers that
# are sampled as the model is served, at temperature 0.7. *Gold* is their mean true utility, with its 95 % interval;
# *right* is counted on harmless prompts, *harmful* on the others. Best-of-n can only choose among samples: its answers
# are those that it picks.
#
# **Predict:** which model complies with the most harmful requests: the base model, SFT, or PPO? And which is right
# most often?

# %%
models = summary["models"]
table(
    ["model", "gold", "95 % interval", "wins against SFT", "right", "harmful", "KL to SFT"],
    [
        [
            label(name),
            number(row["gold_mean"], sign=True),
            interval(row["gold_ci95"]),
            percent(row["win_rate_vs_sft"]),
            percent(row["correct_served"]),
            percent(row["harmful_compliance_served"]),
            number(row["kl_to_sft"], 1),
        ]
        for name, row in models.items()
    ],
)
judge = summary["reward_model"]
say(
    f"The reward model agrees with the labelers in {judge['pair_accuracy']:.0%} of held-out pairs; a rater who knows "
    f"the truth would in {judge['bayes_accuracy']:.0%}, because labelers are noisy."
)

# %% [markdown]
# ## 6. The pictures
#
# *Takeaway: what the reward model says and what is true are two things; look at both.*
#
# Where a sentence stands above a picture, it was computed from the same numbers. All pictures are in `report.html`,
# beside the run folders.
#
# **Predict:** when PPO pushes the reward model's score up, does the true utility rise as much?

# %%
plates = {plate.slug: plate for plate in gallery(summary, details)}
for slug in ("gold", "frontier", "ppo-proxy-gold", "calibration"):
    if slug in plates:
        say(f"**{plates[slug].title}.** {plates[slug].finding}")
        show(plates[slug].draw(None), slug, alt=plates[slug].alt)

# %% [markdown]
# **Predict:** a page begins with "How to make pizza". In how many ways may it go on? And an assistant?

# %%
for slug in ("pizza", "harm"):
    if slug in plates:
        say(f"**{plates[slug].title}.** {plates[slug].finding}")
        show(plates[slug].draw(None), slug, alt=plates[slug].alt)

# %% [markdown]
# ## 7. One knob: the temperature
#
# *Takeaway: one knob at a time, several seeds, an interval, and a control; every experiment of these lessons looks
# like this.*
#
# The SFT model answers at several temperatures: 0 takes the most probable token, 1 samples as it learnt, above that it
# gambles. Each seed has prompts of its own. The control is 1.
#
# **Predict:** where is the share of right answers highest?


# %%
def right(seed, temperature):
    """The share of right answers to harmless prompts."""
    tasks = [task for task in village.tasks(lab, 80, seed) if not task.harmful]
    rng = np.random.default_rng([seed, 0])
    prompts = [task.prompt for task in tasks]
    said = model.answer(prompts, rng, temperature, max_new_tokens=48)
    return float(np.mean([utility.judge(task, text).right for task, (text, _) in zip(tasks, said, strict=True)]))


HEATS = lab.pick((0.0, 0.5, 1.0, 1.5), (0.0, 1.0))
arms = {f"{heat:g}": [right(seed, heat) for seed in range(lab.pick(4, 2))] for heat in HEATS}
show(
    sweep(arms, "share of right answers", control="1", knob="temperature"),
    "temperature",
    alt="Share of right answers of the SFT model against the temperature; dots are seeds, bars 95 % intervals of the "
    "mean, the hollow dot is the control.",
)
mean = {name: float(np.mean(values)) for name, values in arms.items()}
say(", ".join(f"{share:.0%} at temperature {name}" for name, share in mean.items()).capitalize() + ".")

# %% [markdown]
# The same model, the same weights: how one samples belongs to every number that one reports.
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | gold | rises from base to SFT to the preference stage | a stage that does not raise it costs more than it gives |
# | wins against SFT | 50 % for SFT itself, above for what comes after | SFT far from 50 %: the two samples are not alike |
# | right | low for base, high after SFT | falls later: samples (best-of-n), or a reward that likes other things |
# | harmful | low at the end | the demonstrations comply, and the comparisons have not taught otherwise yet |
# | KL to SFT | 0 for SFT, one or a few nats after that | tens: the policy has left all that was ever judged |
# | pair accuracy | below that of a rater who knows the truth | near 50 %: it has learnt nothing; above: you leak labels |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 0` checks them, and `--hint` helps in steps.
#
# 1. **`win_rate`**: how often one model's answers beat another's, ties half.
# 2. **`mean_interval`**: a mean and its 95 % interval.
# 3. **`best_of_n`**: the true utility of the answer that a reward model picks.
# 4. **`kl_to_reference`** has a hidden bug. Which law does it break?
# 5. *Open:* run `minipost tour --size nano --quality 0.5 --out runs/noisy`, a web with less good dialogue. Which stage
#    makes up for it? `minipost plot` shows two runs in one figure.
#
# ## This bug shipped
#
# The first number that goes wrong in practice is the KL. It cannot be negative, yet people see it:
# [trl#351](https://github.com/huggingface/trl/issues/351), [trl#925](https://github.com/huggingface/trl/issues/925),
# [trl#1161](https://github.com/huggingface/trl/issues/1161),
# [MedicalGPT#374](https://github.com/shibing624/MedicalGPT/issues/374). An *estimate* of it may be, a little, by
# chance. If it stays negative, sampling and scoring do not agree: another temperature, top-k, or tokens of the
# padding. Here sampling records the log-probabilities of the very distribution that it drew from, and the first step
# of PPO asserts that the two agree.
#
# ## References
#
# - Ouyang et al. 2022, *Training language models to follow instructions with human feedback*, section 3 (the stages).
# - Bradley and Terry 1952, *Rank analysis of incomplete block designs*; Schulman et al. 2017, *PPO*, eq. 7; Rafailov
#   et al. 2023, *DPO*, eq. 7.
# - Gao et al. 2022, *Scaling laws for reward model overoptimization*, section 3 (gold and proxy).
