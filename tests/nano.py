"""The smallest runs that go through every line of the stages: a model of 30,000 weights, a few updates each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minipost.stages import best_of_n, dpo, grpo, ppo, pretrain, reward, sft

STAGES: dict[str, Callable[[Any], Any]] = {
    module.__name__.rpartition(".")[2]: module.run for module in (pretrain, sft, reward, dpo, ppo, grpo, best_of_n)
}


def configs(runs: Path) -> dict[str, Any]:
    """A configuration of every stage; parents and results live in the folder `runs`."""
    model, judge = runs / "sft", runs / "reward"
    return {
        "pretrain": pretrain.PretrainConfig(
            out=runs / "pretrain",
            tokens=8_000,
            vocab_size=400,
            dim=32,
            layers=2,
            heads=2,
            kv_heads=1,
            hidden=48,
            context=160,
            batch_size=8,
            row_length=64,
            save_every=4,
        ),
        "sft": sft.SFTConfig(
            base=runs / "pretrain", out=model, demonstrations=64, epochs=2, batch_size=16, save_every=3
        ),
        "reward": reward.RewardConfig(policy=model, out=judge, pairs=32, epochs=2, batch_size=8, save_every=3),
        "dpo": dpo.DPOConfig(
            policy=model,
            preferences=judge / "preferences.jsonl",
            out=runs / "dpo",
            epochs=2,
            batch_size=8,
            save_every=3,
        ),
        "ppo": ppo.PPOConfig(
            policy=model,
            reward=judge,
            out=runs / "ppo",
            iterations=5,
            rollout=8,
            epochs=2,
            max_new_tokens=16,
            save_every=2,
        ),
        "grpo": grpo.GRPOConfig(
            policy=model,
            reward=judge,
            out=runs / "grpo",
            iterations=5,
            prompts=4,
            group=2,
            max_new_tokens=16,
            save_every=2,
        ),
        "best_of_n": best_of_n.BestOfNConfig(
            policy=model, reward=judge, out=runs / "best_of_n", n=4, prompts=20, max_new_tokens=16
        ),
    }


def rows(run: Path) -> list[dict[str, Any]]:
    """A run's metrics without the time that they took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: x for name, x in line.items() if name != "seconds"} for line in lines]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
