"""`minipost eval`: a model's answers to held-out prompts of the simulated world, measured by the true utility."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from minipost.config import parse
from minipost.model import Model
from minipost.report.summary import ModelMeasures
from minipost.stages.world import WorldConfig, world_of
from minipost.tour.measures import ask, held_out_tasks, measure
from minipost.world import Utility

HELP = """Measure a model's answers to held-out prompts of the simulated world.

Examples:
  minipost eval --model runs/tour/sft
  minipost eval --model runs/tour/ppo --reference runs/tour/sft --json"""


@dataclass(frozen=True, kw_only=True)
class EvalConfig(WorldConfig):
    model: Path  # the run folder of the model to measure
    reference: Path | None = None  # the run folder of an SFT model, for win rate and KL
    prompts: int = 400  # held-out prompts
    seed: int = 0  # of prompts and samples
    json: bool = False  # print JSON instead of a table


def evaluate(config: EvalConfig) -> ModelMeasures:
    """Measure one model on held-out prompts."""
    model = Model.load(config.model)
    reference = Model.load(config.reference) if config.reference else None
    world = world_of(config, config.model)
    tasks, utility = held_out_tasks(world, config.prompts, config.seed), Utility(world)
    rival = ask(reference, tasks, utility, config.seed + 1) if reference else None
    return measure(tasks, ask(model, tasks, utility, config.seed, reference), rival)


def command(argv: Sequence[str]) -> int:
    config = parse(EvalConfig, argv, "minipost eval", HELP)
    result = evaluate(config)
    if config.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return 0
    print_measures(result)
    return 0


def print_measures(result: ModelMeasures) -> None:
    table = Table("measure", "value")
    for name, value in result.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.3f}")
        elif isinstance(value, list):
            table.add_row(name, " to ".join(f"{v:.3f}" for v in value))
    for kind, row in result["by_kind"].items():
        table.add_row(f"  {kind} ({row['n']})", f"gold {row['gold_mean']:.2f}, right {row['correct']:.2f}")
    Console().print(table)
