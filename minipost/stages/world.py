"""The simulated world in which a stage draws its prompts: the one that its model already knows, if none is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minipost.runs import read_setting
from minipost.world import World


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """The simulated world in which something happens."""

    world_seed: int | None = None  # which world; that of the model's own run, if not given
    world_share: float | None = None  # 1: the whole world, 0.25: a village; that of the model's own run, if not given


def world_of(config: WorldConfig, parent: Path) -> World:
    """The world that a configuration names, or else the one in which the run `parent` has learned."""
    seed, share = config.world_seed, config.world_share
    return World(
        read_setting(parent, "world_seed", 0) if seed is None else seed,
        read_setting(parent, "world_share", 1.0) if share is None else share,
    )
