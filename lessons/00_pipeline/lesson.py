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
# **You will learn:** what each stage adds, and how one tells whether it did.
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
import os
from pathlib import Path

import numpy as np

from minipost.stages.training import Model
from minipost.text import Message, render
from minipost.tour import TourConfig, tour
from minipost.world import Demonstrator, Utility, World

FAST = os.environ.get("MINIPOST_FAST") == "1"
OUT = Path(os.environ.get("MINIPOST_LESSONS", "runs/lessons")) / ("tour-smoke" if FAST else "tour-nano")

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
# weaknesses; the utility judges. **Write down a guess:** which of the answers below does the utility rank last?

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
summary_file = OUT / "summary.json"
if summary_file.exists():
    print("reusing", OUT)
    summary = json.loads(summary_file.read_text())
else:
    summary = tour(TourConfig(out=OUT, size="smoke" if FAST else "nano", resume=OUT.exists()))

# %% [markdown]
# ## 3. What a training example looks like
#
# *Takeaway: the loss sees the response only, and the end token belongs to the response.* Here are the tokens of one
# demonstration; the mask marks what the model is trained to say.

# %%
model = Model.load(OUT / "sft")
chat = render(model.tokenizer, [Message("user", "What is the capital of Italy?"), Message("assistant", "It is Rome.")])
for token, counts in zip(chat.tokens, chat.response_mask, strict=True):  # [T]
    print(f"{model.tokenizer.decode([token])!r:16} {'learned' if counts else '.'}")

# %% [markdown]
# ## 4. What came out
#
# *Takeaway: each stage adds something else.* **Before you look:** which model complies with the most harmful
# requests, the base model, SFT, or PPO? Gold is the mean true utility of sampled answers, with its 95 % interval.

# %%
print(f"{'model':10} {'gold':>6}  {'95 % interval':16} {'win rate':>8} {'correct':>8} {'harmful':>8} {'KL':>6}")
for name, row in summary["models"].items():
    low, high = row["gold_ci95"]
    print(
        f"{name:10} {row['gold_mean']:6.2f}  [{low:5.2f}, {high:5.2f}]   {row['win_rate_vs_sft']:8.0%}"
        f" {row['correct']:8.0%} {row['harmful_compliance']:8.0%} {row['kl_to_sft']:6.1f}"
    )
judge = summary["reward_model"]
print(f"\nreward model: {judge['pair_accuracy']:.1%} of held-out pairs right")
print(f"a rater who knows the truth: {judge['bayes_accuracy']:.1%}")

# %% [markdown]
# ## 5. The pictures
#
# The same run in pictures, and more of them in `report.html` beside the run folders.

# %%
for picture in sorted((OUT / "figures").glob("*.png")):
    print(picture)

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
