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
# **You will do:** train a language model from random numbers to an assistant, three ways, and measure every step.
#
# **You will learn:** what each stage adds, and how one tells whether it did.
#
# **You need:** Python and NumPy; about two minutes on two cores for the small model that this page trains (ten for
# the one of `minipost tour`).
#
# A modern assistant is made in three stages. *Pretraining* learns language and facts by predicting the next token of
# a noisy web. *Supervised finetuning* (SFT) learns to converse by imitating demonstrations. The *preference stage*
# learns what people like: either through a reward model (best-of-N, PPO) or directly from comparisons (DPO).
#
# Our web, our demonstrators and our labelers are simulated, so that we know what nobody knows in real life: the
# **true reward** of any answer. Every claim on this page is measured against it.

# %%
import json

import numpy as np

from minipost.claims import Lab
from minipost.lessons import say, show, table
from minipost.report.gallery import OVERVIEW, gallery
from minipost.report.pictures import token_timeline
from minipost.report.wording import interval, label, number, percent
from minipost.stages.training import Model
from minipost.text import Message, render
from minipost.tour import TourConfig, tour
from minipost.world import Demonstrator, Utility, World

lab = Lab()

# %% [markdown]
# ## 1. The world
#
# *Takeaway: the facts are in the web, the manners are not.* These are four pages of the web that the model will read:

# %%
world = World(seed=0)
for page in world.web(np.random.default_rng(1), quality=0.5, pages=4):
    print("-", page.replace("\n", "\n  "))

# %% [markdown]
# A *task* is a prompt together with a key by which any answer can be judged. A demonstrator answers it, with human
# weaknesses; the utility judges. **Predict:** which of the answers below does the utility rank last?

# %%
rng = np.random.default_rng(3)
utility, labeler = Utility(world), Demonstrator(world)
for task in world.tasks("train", 5, rng):
    reply = labeler.respond(task, rng)
    print(f"{utility(task, reply):+.2f}  {task.prompt!r}\n       -> {reply!r}")

# %% [markdown]
# ## 2. Run all stages
#
# *Takeaway: one command, six run folders.* If this tour was run before, its results are read from disk.

# %%
folder = lab.run(tour, TourConfig(size=lab.pick("nano", "smoke")), about="two minutes")
summary = json.loads((folder / "summary.json").read_text())
details = json.loads((folder / "details.json").read_text())

# %% [markdown]
# ## 3. What a training example looks like
#
# *Takeaway: the loss sees the response only, and the end token belongs to the response.* Here are the tokens of one
# demonstration; the mask marks what the model is trained to say.

# %%
model = Model.load(folder / "sft")
chat = render(model.tokenizer, [Message("user", "What is the capital of Italy?"), Message("assistant", "It is Rome.")])
tokens = [model.tokenizer.decode([token]) for token in chat.tokens]  # [T]
first = list(chat.response_mask).index(True)
roles = ["prompt" if t < first else "response" for t in range(len(tokens))]
show(
    token_timeline(tokens, roles, chat.response_mask),
    "demonstration",
    alt="The tokens of a demonstration in a row: first those of the prompt, then those of the response; dots mark the "
    "tokens that the loss counts, which are those of the response, end token included.",
)

# %% [markdown]
# ## 4. What came out
#
# *Takeaway: each stage adds something else.*
#
# **Predict:** which model complies with the most harmful
# requests, the base model, SFT, or PPO? Gold is the mean true utility of sampled answers, with its 95 % interval.

# %%
table(
    ["model", "gold", "95 % interval", "wins against SFT", "right", "harmful", "KL to SFT"],
    [
        [
            label(name), number(row["gold_mean"], sign=True), interval(row["gold_ci95"]), percent(row["win_rate_vs_sft"]),
            percent(row["correct"]), percent(row["harmful_compliance"]), number(row["kl_to_sft"], 1),
        ]
        for name, row in summary["models"].items()
    ],
)  # fmt: skip
judge = summary["reward_model"]
say(
    f"The reward model agrees with the labelers in {judge['pair_accuracy']:.0%} of held-out pairs; a rater who knows the "
    f"truth would in {judge['bayes_accuracy']:.0%}."
)

# %% [markdown]
# ## 5. The pictures
#
# *Takeaway: what the reward model says and what is true are two things; look at the curves of both.*
#
# Every picture has a sentence that was computed from the same numbers. More of them are in `report.html`, beside the run
# folders.

# %%
for plate in gallery(summary, details):
    if plate.slug in OVERVIEW:
        say(f"**{plate.title}.** {plate.finding}")
        show(plate.draw(None), plate.slug, alt=plate.alt)

# %% [markdown]
# ## Exercises
#
# 1. Repeat the tour with `quality=0.9`, a web with much good dialogue. Which stage gains least from its data, and why?
# 2. Set `reward.pairs` to 300 and run PPO. Compare proxy and gold over its steps.
# 3. Ask every model "How to make pizza" with `minipost chat`, and count its three ways to go on.
#
# ## References
#
# Ouyang et al. 2022, *Training language models to follow instructions with human feedback*, section 3 (the three
# stages). Rafailov et al. 2023, *Direct Preference Optimization*, eq. 7. Gao et al. 2022, *Scaling laws for reward
# model overoptimization*, section 3 (gold and proxy).
