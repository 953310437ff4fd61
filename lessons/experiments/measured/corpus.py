"""Better pretraining (claims 35, 36): how much do SFT and preferences have left to do, the better the web is?

One knob, the quality q of the web that a small model reads. It turns two things at once, as it does in life: the noise
1 - q (typos, shuffled and broken-off pages, wrong answers, adverts) and the share of good dialogue (as q^3). What comes
after pretraining is the same for all: so many demonstrations, so many comparisons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.asking import in_a_thread, in_chat
from minipost.model import Model
from minipost.stages.reward import RewardConfig, collect_pairs
from minipost.world import Demonstrator, Task, Utility
from minipost.world.collect import write_pairs
from minipost.world.pages import Pages
from minipost.world.utility import Judgement

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
QUALITIES = (0.4, 0.7, 1.0)
STAGES = ("base", "base, asked as the web asks", "SFT", "DPO")


# ------------------------------------------------------------------------------------------------------------- models
def base(lab: Lab, quality: float, seed: int) -> Path:
    """A small base model that has read a web of this quality."""
    size = {"tokens": 250_000, "dim": 96, "heads": 4, "kv_heads": 4, "hidden": 256, "layers": 3}
    return village.base(lab, seed, quality=quality, **lab.pick(size, {}))


def sft(lab: Lab, quality: float, seed: int) -> Path:
    """That model after demonstrations, as many as for any other quality."""
    return village.sft(lab, seed, start=base(lab, quality, seed), demonstrations=lab.pick(1500, 100))


def dpo(lab: Lab, quality: float, seed: int) -> Path:
    """That one after DPO on comparisons of its own answers. (No reward model is trained for it.)"""
    policy = sft(lab, quality, seed)
    config = RewardConfig(policy=policy, seed=seed, **village.WORLD, pairs=lab.pick(1000, 64))

    def compared(folder: Path) -> None:
        write_pairs(folder / "preferences.jsonl", collect_pairs(Model.load(policy), config))

    pairs = lab.artefact("comparisons", config, compared, lab.pick("4 s", "1 s"))
    return village.dpo(lab, seed, policy=policy, reward_model=pairs)


# --------------------------------------------------------------------------------------------------------- measurements
def evaluation_set(lab: Lab, seed: int) -> list[Task]:
    """Held-out prompts, the same for all qualities."""
    return village.world().tasks("test", lab.pick(200, 16), np.random.default_rng([seed, 41]))


def evaluated(lab: Lab, quality: float, seed: int) -> Arrays:
    """The answers of each of `STAGES`: stage -> gold utility [T], and "<stage>: text" -> answers [T]."""
    folders = base(lab, quality, seed), sft(lab, quality, seed), dpo(lab, quality, seed)

    def make() -> Arrays:
        tasks, utility, results = evaluation_set(lab, seed), Utility(village.world()), {}
        models = [Model.load(folder) for folder in folders]
        for stage, model in zip(STAGES, (models[0], *models), strict=True):
            rng = np.random.default_rng([seed, 42])
            texts = (in_a_thread if stage == STAGES[1] else in_chat)(model, tasks, rng)
            results[stage] = np.array([utility(t, text) for t, text in zip(tasks, texts, strict=True)])
            results[f"{stage}: text"] = np.array(texts)
        return results

    return lab.numbers("marks", {"models": folders, "seed": seed, "stages": STAGES}, make)


def gold(lab: Lab, quality: float, seed: int) -> dict[str, float]:
    """Stage -> mean gold utility."""
    results = evaluated(lab, quality, seed)
    return {stage: float(results[stage].mean()) for stage in STAGES}


def speakers(quality: float, count: int, seed: int = 0) -> dict[str, list[Judgement]]:
    """What a web of this quality says in its dialogues: judged answers of its everyday users and of its experts."""
    rng, utility = np.random.default_rng([seed, 43]), Utility(village.world())
    tasks, pages = village.world().tasks("test", count, rng), Pages(village.world().facts, quality)
    by: dict[str, Demonstrator] = {"users": pages.users, "experts": pages.experts}
    return {name: [utility.judge(t, who.respond(t, rng)) for t in tasks] for name, who in by.items()}


# --------------------------------------------------------------------------------------------------------------- claims
def noise(quality: float) -> str:
    """How much noise a web of this quality has, as an arm's name."""
    return f"{1 - quality:.1f}"


@claim(
    35,
    "sft-mends-noise",
    "Does SFT gain more, the noisier the web was?",
    knob="noise of the web",
    metric="utility gained by SFT",
    arm=noise(QUALITIES[0]),
    control=noise(QUALITIES[-1]),
    expects="up",
    lesson=14,
    seeds=3,
)
def sft_mends_noise(seed: int, lab: Lab) -> dict[str, float]:
    """SFT against the base model asked as the web asks: what a base model can do is not hidden by the template."""
    gold_by_quality = {q: gold(lab, q, seed) for q in reversed(QUALITIES)}
    return {noise(q): g["SFT"] - g[STAGES[1]] for q, g in gold_by_quality.items()}


@claim(
    35,
    "preferences-mend-noise",
    "Does the preference stage gain more, the noisier the web was?",
    knob="noise of the web",
    metric="utility gained by DPO",
    arm=noise(QUALITIES[0]),
    control=noise(QUALITIES[-1]),
    expects="up",
    lesson=14,
    seeds=3,
)
def preferences_mend_noise(seed: int, lab: Lab) -> dict[str, float]:
    """DPO against the SFT model that it starts from."""
    gold_by_quality = {q: gold(lab, q, seed) for q in reversed(QUALITIES)}
    return {noise(q): g["DPO"] - g["SFT"] for q, g in gold_by_quality.items()}


@claim(
    36,
    "better-web-less-to-do",
    "Is there less left for post-training to do when pretraining is better?",
    knob="quality of the web",
    metric="utility gained by SFT and DPO together",
    arm=f"{QUALITIES[-1]}",
    control=f"{QUALITIES[0]}",
    expects="down",
    lesson=14,
    seeds=3,
)
def better_web_less_to_do(seed: int, lab: Lab) -> dict[str, float]:
    """The assistant against the base model asked as the web asks."""
    gold_by_quality = {q: gold(lab, q, seed) for q in QUALITIES}
    return {f"{q}": g["DPO"] - g[STAGES[1]] for q, g in gold_by_quality.items()}


@claim(
    36,
    "good-pages-suffice",
    "Is a base model of a good web as good as an assistant made from a bad one?",
    knob="where the good text comes in",
    metric="gold utility",
    arm="good web, base",
    control="bad web, assistant",
    expects="up",
    lesson=14,
    seeds=3,
)
def good_pages_suffice(seed: int, lab: Lab) -> dict[str, float]:
    """The strongest form of the claim: nothing after pretraining, only a prompt in the web's own manner."""
    bad, good = gold(lab, QUALITIES[0], seed), gold(lab, QUALITIES[-1], seed)
    return {
        "bad web, base": bad[STAGES[1]],
        "good web, base": good[STAGES[1]],
        "bad web, assistant": bad["DPO"],
        "good web, assistant": good["DPO"],
    }
