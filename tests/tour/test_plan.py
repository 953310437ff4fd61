"""What a tour's size means, in literal numbers: results are published for them, so none may change by accident."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig
from minipost.tour.plan import Plan, TourConfig, plan


def changed(config: Any) -> dict[str, Any]:
    """The fields that differ from the stage's defaults, paths apart."""
    defaults = {f.name: f.default for f in fields(config)}
    values = {name: value for name, value in vars(config).items() if not isinstance(value, Path)}
    return {name: value for name, value in values.items() if value != defaults[name]}


@pytest.mark.parametrize(
    ("size", "pretrain", "sft", "reward", "ppo", "n", "prompts"),
    [
        (
            "smoke",
            {"tokens": 40_000, "dim": 32, "layers": 2, "hidden": 64, "vocab_size": 512, "quality": 0.9},
            {"demonstrations": 256},
            {"pairs": 128},
            {"iterations": 2, "rollout": 16},
            4,
            40,
        ),
        (
            "nano",
            {"tokens": 800_000, "nursery": 0.3, "quality": 0.9},
            {"demonstrations": 8000, "replay": 0.3},
            {"pairs": 2500},
            {"iterations": 14},
            8,
            150,
        ),
        ("default", {}, {}, {}, {}, 16, 400),
        (
            "small",
            {
                "tokens": 11_000_000,
                "dim": 160,
                "layers": 4,
                "heads": 5,
                "kv_heads": 5,
                "hidden": 432,
                "vocab_size": 4096,
                "batch_size": 8,
            },
            {"demonstrations": 24_000},
            {"pairs": 24_000},
            {"iterations": 120},
            16,
            800,
        ),
    ],
)
def test_what_a_size_means(size: Any, pretrain: Any, sft: Any, reward: Any, ppo: Any, n: int, prompts: int) -> None:
    p = plan(TourConfig(out=Path("t"), size=size, seed=3))
    share = {"default": 0.5, "small": 1.0}.get(size, 0.25)
    world = {"world_seed": 0, "world_share": share}
    of_pretrain = {"world_share": share} if size != "default" else {}
    assert changed(p.pretrain) == {"seed": 3, **of_pretrain, **pretrain}
    assert changed(p.sft) == {"seed": 3, **world, **sft}
    assert changed(p.reward) == {"seed": 3, **world, **reward}
    assert changed(p.ppo) == {"seed": 3, **world, **ppo}
    assert changed(p.dpo) == {"seed": 3, "beta": 0.2}
    assert (p.best_of_n.n, p.prompts) == (n, prompts)


def test_stages_start_from_each_others_folders() -> None:
    p: Plan = plan(TourConfig(out=Path("t")))
    assert (p.pretrain.out, p.sft.base, p.sft.out) == (Path("t/pretrain"), Path("t/pretrain"), Path("t/sft"))
    assert p.reward.policy == p.ppo.policy == p.dpo.policy == p.best_of_n.policy == Path("t/sft")
    assert p.ppo.reward == p.best_of_n.reward == p.reward.out == Path("t/reward")
    assert p.dpo.preferences == Path("t/reward/preferences.jsonl")


def test_what_is_asked_for_wins_over_the_size() -> None:
    p = plan(TourConfig(size="nano", world_seed=2, world_share=0.5, quality=0.1))
    assert isinstance(p.pretrain, PretrainConfig) and p.pretrain.quality == 0.1
    for config in (p.pretrain, p.sft, p.reward, p.ppo):
        assert isinstance(config, PretrainConfig | SFTConfig | RewardConfig | PPOConfig)
        assert (config.world_seed, config.world_share) == (2, 0.5)
