"""The village's settings in literal numbers: another configuration would train every model of the lessons anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lessons.experiments import village
from lessons.experiments.lab import Lab
from minipost.stages.dpo import DPOConfig
from minipost.stages.grpo import GRPOConfig
from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig

WORLD: dict[str, Any] = {"world_seed": 0, "world_share": 0.25}


class Recorder(Lab):
    """A laboratory that trains nothing: it keeps the configuration of the stage that was asked for last."""

    def run(self, stage: Any, config: Any, about: str = "") -> Path:
        self.config = config
        return self.root / type(config).__name__


@pytest.mark.parametrize(
    ("fast", "pretrain", "sft", "reward", "ppo", "grpo"),
    [
        (
            False,
            {"tokens": 800_000},
            {"demonstrations": 8000, "replay": 0.3},
            {"pairs": 2500},
            {"iterations": 14},
            {"iterations": 14},
        ),
        (
            True,
            {"tokens": 40_000, "vocab_size": 512, "dim": 32, "layers": 2, "hidden": 64},
            {"demonstrations": 200},
            {"pairs": 96},
            {"iterations": 2, "rollout": 16},
            {"iterations": 2, "prompts": 4},
        ),
    ],
)
def test_settings(fast: bool, pretrain: Any, sft: Any, reward: Any, ppo: Any, grpo: Any) -> None:
    lab, root = Recorder(Path("lab"), fast), Path("lab")
    talker, judge = root / "SFTConfig", root / "RewardConfig"
    expected = {
        "base": PretrainConfig(seed=3, quality=0.9, nursery=0.3, **WORLD, **pretrain),
        "sft": SFTConfig(base=root / "PretrainConfig", seed=3, **WORLD, **sft),
        "reward": RewardConfig(policy=talker, seed=3, **WORLD, **reward),
        "ppo": PPOConfig(policy=talker, reward=judge, seed=3, **WORLD, **ppo),
        "grpo": GRPOConfig(policy=talker, reward=judge, seed=3, **WORLD, **grpo),
        "dpo": DPOConfig(policy=talker, preferences=judge / "preferences.jsonl", beta=0.2, seed=3),
    }
    for name, config in expected.items():
        getattr(village, name)(lab, 3)
        assert lab.config == config, name


def test_changes_win() -> None:
    lab = Recorder(Path("lab"), fast=True)
    village.base(lab, nursery=0.0, vocab_size=300, quality=0.5)
    assert (lab.config.nursery, lab.config.vocab_size, lab.config.quality) == (0.0, 300, 0.5)
    village.ppo(lab, policy=Path("p"), reward_model=Path("j"), rollout=32)
    assert (lab.config.policy, lab.config.reward, lab.config.rollout) == (Path("p"), Path("j"), 32)
