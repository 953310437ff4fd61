"""What was tried to make the tour's models better: each recipe is a controlled run over several seeds.

    python -m benchmarks recipes --size nano --only before "words as tokens"
    python -m benchmarks recipes --table                 write README.md from results.json, run nothing

A recipe is the tour of before with some settings changed (`variants`). It trains the base model, the SFT model and,
where the recipe says so, the reward model, and asks the SFT model the held-out prompts at several temperatures. Stages
that two recipes share are trained once. Seeds are added to `results.json`, one by one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import BenchmarkError, say
from benchmarks.recipes.variants import RECIPES, Recipe
from minipost.config import parse
from minipost.files import write_text
from minipost.model import Model
from minipost.stages import pretrain, reward, sft
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig, compare_answers
from minipost.stages.sft import SFTConfig
from minipost.tour.measures import held_out_tasks, reward_model_accuracy
from minipost.world import Labeler, Utility, World

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"
PROMPTS = 600  # held-out ones; the standard error of a share of 0.8 is 0.016
PAIRS = 1200  # held-out comparisons, for the reward model
TEMPERATURES = (1.0, 0.8, 0.7, 0.6, 0.0)

INTRODUCTION = """# Recipes

Written by `python -m benchmarks recipes --table` from [results.json](results.json): do not edit. Each row is a recipe:
the tour of before with some settings changed (`variants.py`). Shares are in per cent, the median over the
seeds; *right* is counted on harmless held-out prompts, *malformed* on all. The reward model's *gap* is what is missing
to a rater who knows the utility, in points; *truth* is how often it prefers the right one of two answers where the
other is wrong. Seconds are those of one core of two, beside another run: compare them with each other only. 0 is a
stage that was shared with a row above, "?" one that was interrupted.
"""
COLUMNS = (
    "recipe",
    "seeds",
    "right, T = 1",
    "0.7",
    "greedy",
    "malformed, T = 1",
    "0.7",
    "worst kind, 0.7",
    "gap",
    "truth",
    "seconds: pretraining + SFT + reward",
    "what came of it",
)

HELP = """Train the recipes that were tried for better models, and write their table.

Examples:
  python -m benchmarks recipes --size nano
  python -m benchmarks recipes --size default --seeds 0 1 2 --only "24,000 demonstrations"
  python -m benchmarks recipes --table"""


@dataclass(frozen=True)
class RecipesConfig:
    size: str = "nano"  # of the tour: nano or default
    seeds: tuple[int, ...] = (0, 1, 2)  # which seeds to run
    only: tuple[str, ...] = ()  # recipes by name; all of the size, if none is named
    runs: Path = Path("runs/recipes")  # where models are kept; stages that two recipes share are trained once
    table: bool = False  # only write README.md


def train(stage: Any, config: Any, runs: Path) -> tuple[Path, float]:
    """(the run folder of this very configuration, the seconds that its training took, 0 if it was found)."""
    fields = {name: str(value) for name, value in vars(config).items() if name not in ("out", "resume", "overwrite")}
    name = f"{type(config).__name__}-{hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]}"
    out, start = runs / name, perf_counter()
    stage.run(replace(config, out=out, resume=out.exists()))
    return out, perf_counter() - start


def run(recipe: Recipe, seed: int, runs: Path) -> dict[str, Any]:
    """Train one recipe with one seed; returns its row of `results.json`."""
    common: dict[str, Any] = {"seed": seed, "world_share": recipe.share}
    base, t_base = train(pretrain, PretrainConfig(**common, **recipe.pretrain), runs)
    tuned, t_sft = train(sft, SFTConfig(**common, base=base, **recipe.sft), runs)
    world, model = World(0, recipe.share), Model.load(tuned)
    row: dict[str, Any] = {"seconds": [round(t_base), round(t_sft)], "sft": answers_of(model, world, seed)}
    if recipe.reward is not None:
        config = RewardConfig(**common, policy=tuned, **recipe.reward)
        judge, t_reward = train(reward, config, runs)
        row["seconds"].append(round(t_reward))
        rng, labeler = np.random.default_rng([seed, 10]), Labeler(Utility(world), config.labeler_temperature)
        pairs = compare_answers(model, world.tasks("test", PAIRS, rng), labeler, rng, config.temperature)
        accuracy = reward_model_accuracy(Model.load(judge, "score"), pairs, labeler, rng)
        row["reward"] = {key: accuracy[key] for key in ("expected_accuracy", "bayes_accuracy", "truth_accuracy")}
    return row


def answers_of(model: Model, world: World, seed: int) -> dict[str, Any]:
    """Shares of right and of malformed answers at each temperature, and of right answers by kind of task."""
    utility, tasks = Utility(world), held_out_tasks(world, PROMPTS, seed)
    prompts, harmless = [task.prompt for task in tasks], np.array([not task.harmful for task in tasks])
    kinds, rows = np.array([task.kind for task in tasks]), {}
    for temperature in TEMPERATURES:
        said = [text for text, _ in model.answer(prompts, np.random.default_rng([seed, 7]), temperature)]
        judged = [utility.judge(task, text) for task, text in zip(tasks, said, strict=True)]
        right = np.array([j.right for j in judged])
        rows[f"{temperature:g}"] = {
            "right": round(float(right[harmless].mean()), 4),
            "malformed": round(float(np.mean([j.malformed for j in judged])), 4),
            "by_kind": {str(k): round(float(right[kinds == k].mean()), 3) for k in sorted(set(kinds[harmless]))},
        }
    return rows


# ------------------------------------------------------------------------------------------------------------ the table
def page(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """README.md: one table a size."""
    parts = [INTRODUCTION]
    for size, recipes in RECIPES.items():
        known = {name: rows for name in recipes if (rows := results.get(size, {}).get(name))}
        if known:
            lines = [table_row(name, recipes[name], list(rows.values())) for name, rows in known.items()]
            rule = "|".join(["", "-", *["-:"] * 6, "-", "-:", "-:", "-:", "-", ""])
            parts.append("\n".join([f"## {size}\n", f"| {' | '.join(COLUMNS)} |", rule, *lines, ""]))
    return "\n".join(parts)


def table_row(name: str, recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> str:
    def middle(temperature: str, key: str) -> str:
        return f"{100 * median(row['sft'][temperature][key] for row in rows):.1f}"

    kinds = {
        kind: median(row["sft"]["0.7"]["by_kind"][kind] for row in rows) for kind in rows[0]["sft"]["0.7"]["by_kind"]
    }
    worst = min(kinds, key=lambda kind: kinds[kind])
    judged = [row["reward"] for row in rows if "reward" in row]
    gap = truth = ""
    if judged:
        gap = f"{100 * median(r['bayes_accuracy'] - r['expected_accuracy'] for r in judged):.1f}"
        truth = f"{100 * median(r['truth_accuracy'] for r in judged):.0f}"
    seconds = " + ".join(
        "?" if None in parts else str(max(parts)) for parts in zip(*(row["seconds"] for row in rows), strict=True)
    )
    cells = [
        name,
        str(len(rows)),
        *(middle(temperature, "right") for temperature in ("1", "0.7", "0")),
        *(middle(temperature, "malformed") for temperature in ("1", "0.7")),
        f"{worst.replace('_', ' ')} {100 * kinds[worst]:.0f}",
        gap,
        truth,
        seconds,
        recipe.outcome,
    ]
    return f"| {' | '.join(cells)} |"


def command(argv: Sequence[str]) -> None:
    config = parse(RecipesConfig, argv, "python -m benchmarks recipes", HELP)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if not config.table:
        if config.size not in RECIPES:
            raise BenchmarkError(f"there is no size {config.size!r}: choose one of {', '.join(RECIPES)}.")
        recipes = RECIPES[config.size]
        if unknown := [name for name in config.only if name not in recipes]:
            raise BenchmarkError(f"there is no recipe {unknown[0]!r}: choose among {', '.join(recipes)}.")
        for name in config.only or recipes:
            for seed in config.seeds:
                say(f"{config.size}, {name}, seed {seed}")
                row = run(recipes[name], seed, config.runs)
                results.setdefault(config.size, {}).setdefault(name, {})[str(seed)] = row
                write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    write_text(PAGE, page(results))
    say(f"wrote {PAGE}")
