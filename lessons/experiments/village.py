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

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lessons.experiments.lab import Lab
from minipost.model import Model
from minipost.stages import grpo as grpo_stage
from minipost.stages.grpo import GRPOConfig
from minipost.tour.folder import STAGES
from minipost.tour.measures import ask, held_out_tasks, measure
from minipost.tour.plan import SIZES, VILLAGE, Plan, TourConfig, plan
from minipost.world import Task, Utility, World

WORLD: dict[str, Any] = {"world_seed": 0, "world_share": VILLAGE}  # as settings of a stage


@lru_cache(maxsize=2)
def world() -> World:
    """The village itself."""
    return World(0, VILLAGE)


def stages(lab: Lab, seed: int = 0) -> Plan:
    """The stages' settings: those of `minipost tour --size nano`, or in fast mode of its smoke, and a little less."""
    p = plan(TourConfig(out=Path("runs"), size=lab.pick("nano", "smoke"), seed=seed))
    if not lab.fast:
        return p
    return replace(
        p,
        pretrain=replace(p.pretrain, nursery=SIZES["nano"]["pretrain"]["nursery"]),
        sft=replace(p.sft, demonstrations=200),
        reward=replace(p.reward, pairs=96),
    )


def base(lab: Lab, seed: int = 0, **changes: Any) -> Path:
    """A base model that has read the village's web."""
    return lab.run(STAGES["pretrain"], replace(stages(lab, seed).pretrain, **changes), lab.pick("70 s", "2 s"))


def sft(lab: Lab, seed: int = 0, start: Path | None = None, **changes: Any) -> Path:
    """`start` (default: the seed's base model) after supervised finetuning."""
    config = replace(stages(lab, seed).sft, base=start or base(lab, seed), **changes)
    return lab.run(STAGES["sft"], config, lab.pick("10 s", "1 s"))


def reward(lab: Lab, seed: int = 0, policy: Path | None = None, **changes: Any) -> Path:
    """A reward model on comparisons of the answers of `policy` (default: the seed's SFT model)."""
    config = replace(stages(lab, seed).reward, policy=policy or sft(lab, seed), **changes)
    return lab.run(STAGES["reward"], config, lab.pick("10 s", "1 s"))


def ppo(lab: Lab, seed: int = 0, policy: Path | None = None, reward_model: Path | None = None, **changes: Any) -> Path:
    """`policy` after PPO against the reward model `reward_model` (defaults: the seed's)."""
    policy, reward_model = policy or sft(lab, seed), reward_model or reward(lab, seed)
    config = replace(stages(lab, seed).ppo, policy=policy, reward=reward_model, **changes)
    return lab.run(STAGES["ppo"], config, lab.pick("12 s", "1 s"))


def grpo(lab: Lab, seed: int = 0, policy: Path | None = None, reward_model: Path | None = None, **changes: Any) -> Path:
    """`policy` after GRPO, or with `method="rloo"` RLOO, on as many answers as `ppo` samples."""
    policy, reward_model = policy or sft(lab, seed), reward_model or reward(lab, seed)
    settings = {"iterations": stages(lab, seed).ppo.iterations} | lab.pick({}, {"prompts": 4}) | changes
    config = GRPOConfig(policy=policy, reward=reward_model, seed=seed, **WORLD, **settings)
    return lab.run(grpo_stage.run, config, lab.pick("8 s", "1 s"))


def dpo(lab: Lab, seed: int = 0, policy: Path | None = None, reward_model: Path | None = None, **changes: Any) -> Path:
    """`policy` after DPO on the comparisons that `reward_model` was trained on (defaults: the seed's)."""
    pairs = (reward_model or reward(lab, seed)) / "preferences.jsonl"
    config = replace(stages(lab, seed).dpo, policy=policy or sft(lab, seed), preferences=pairs, **changes)
    return lab.run(STAGES["dpo"], config, lab.pick("10 s", "1 s"))


def tasks(lab: Lab, count: int = 200, seed: int = 0) -> list[Task]:
    """Prompts about things that no demonstration and no comparison was about."""
    return held_out_tasks(world(), lab.pick(count, 24), seed)


def measured(lab: Lab, model: Path, reference: Path | None = None, count: int = 200, seed: int = 0) -> dict[str, Any]:
    """What `minipost eval` measures; with a `reference` also the win rate against it and the KL to it."""
    prompts, utility, sft_model = (
        tasks(lab, count, seed),
        Utility(world()),
        Model.load(reference) if reference else None,
    )
    rival = ask(sft_model, prompts, utility, seed + 1) if sft_model else None
    return dict(measure(prompts, ask(Model.load(model), prompts, utility, seed, sft_model), rival))
