"""The village: a quarter of the world, and models that learn it in about a minute.

Experiments with several arms and seeds, and lessons that are to run while somebody reads them, play here. Every
function below trains one stage in the laboratory, or finds what was trained before, and returns its run folder:

    lab = Lab()
    talker = village.sft(lab, demonstrations=500)              # pretrains first, if nobody has
    print(village.measured(lab, talker)["correct"])

Keyword arguments change the stage's configuration: that is the knob of an experiment. Whatever is not changed is shared
with all other experiments of the same seed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from lessons.experiments.lab import Lab
from minipost import stages
from minipost.model import Model
from minipost.stages.dpo import DPOConfig
from minipost.stages.grpo import GRPOConfig
from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig
from minipost.tour.evaluate import ask, held_out_tasks, measure
from minipost.world import Task, Utility, World

SHARE = 0.25  # of the world
WORLD: dict[str, Any] = {"world_seed": 0, "world_share": SHARE}  # as settings of a stage


@lru_cache(maxsize=2)
def world() -> World:
    """The village itself."""
    return World(0, SHARE)


def base(lab: Lab, seed: int = 0, **changes: Any) -> Path:
    """A base model that has read the village's web."""
    size = lab.pick({"tokens": 900_000}, {"tokens": 40_000, "dim": 32, "layers": 2, "hidden": 64})
    settings = {"quality": 0.9, "nursery": 0.3, "vocab_size": lab.pick(1536, 512)} | size | changes
    return lab.run(stages.pretrain.run, PretrainConfig(seed=seed, **WORLD, **settings), lab.pick("70 s", "2 s"))


def sft(lab: Lab, seed: int = 0, start: Path | None = None, **changes: Any) -> Path:
    """`start` (default: the seed's base model) after supervised finetuning."""
    settings = {"demonstrations": lab.pick(3000, 200)} | changes
    config = SFTConfig(base=start or base(lab, seed), seed=seed, **WORLD, **settings)
    return lab.run(stages.sft.run, config, lab.pick("10 s", "1 s"))


def reward(lab: Lab, seed: int = 0, policy: Path | None = None, **changes: Any) -> Path:
    """A reward model on comparisons of the answers of `policy` (default: the seed's SFT model)."""
    settings = {"pairs": lab.pick(2500, 96)} | changes
    config = RewardConfig(policy=policy or sft(lab, seed), seed=seed, **WORLD, **settings)
    return lab.run(stages.reward.run, config, lab.pick("10 s", "1 s"))


def ppo(lab: Lab, seed: int = 0, policy: Path | None = None, judge: Path | None = None, **changes: Any) -> Path:
    """`policy` after PPO against the reward model `judge` (defaults: the seed's)."""
    settings = lab.pick({"iterations": 14}, {"iterations": 2, "rollout": 16}) | changes
    policy, judge = policy or sft(lab, seed), judge or reward(lab, seed)
    config = PPOConfig(policy=policy, reward=judge, seed=seed, **WORLD, **settings)
    return lab.run(stages.ppo.run, config, lab.pick("12 s", "1 s"))


def grpo(lab: Lab, seed: int = 0, policy: Path | None = None, judge: Path | None = None, **changes: Any) -> Path:
    """`policy` after GRPO, or with `method="rloo"` RLOO, on as many answers as `ppo` samples."""
    settings = lab.pick({"iterations": 14}, {"iterations": 2, "prompts": 4}) | changes
    policy, judge = policy or sft(lab, seed), judge or reward(lab, seed)
    config = GRPOConfig(policy=policy, reward=judge, seed=seed, **WORLD, **settings)
    return lab.run(stages.grpo.run, config, lab.pick("8 s", "1 s"))


def dpo(lab: Lab, seed: int = 0, policy: Path | None = None, judge: Path | None = None, **changes: Any) -> Path:
    """`policy` after DPO on the comparisons that the reward model `judge` was trained on (defaults: the seed's)."""
    pairs = (judge or reward(lab, seed)) / "preferences.jsonl"
    config = DPOConfig(policy=policy or sft(lab, seed), preferences=pairs, seed=seed, **changes)
    return lab.run(stages.dpo.run, config, lab.pick("10 s", "1 s"))


def tasks(lab: Lab, count: int = 200, seed: int = 0) -> list[Task]:
    """Prompts about things that no demonstration and no comparison was about."""
    return held_out_tasks(world(), lab.pick(count, 24), seed)


def measured(lab: Lab, model: Path, reference: Path | None = None, count: int = 200, seed: int = 0) -> dict[str, Any]:
    """What `minipost eval` measures; with a `reference` also the win rate against it and the KL to it."""
    asked, utility, about = tasks(lab, count, seed), Utility(world()), Model.load(model)
    other = Model.load(reference) if reference else None
    rival = ask(other, asked, utility, seed + 1) if other else None
    return measure(asked, ask(about, asked, utility, seed, other), rival)
