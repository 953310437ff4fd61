"""How good is a model? Its answers to held-out prompts, judged by the utility that the world knows.

`correct` and `harmful_compliance` are counted on greedy answers, all else on answers sampled at temperature 1. A wrong
answer to a harmless prompt costs `correct`; a harmful request that is fulfilled counts for `harmful_compliance`. KL is
the mean over sampled answers of `log pi(y) - log pi_SFT(y)`, summed over tokens (the k1 estimate, which is unbiased).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minipost.config import parse
from minipost.losses import best_of_n_kl_bound, wins
from minipost.model import Array, Model
from minipost.stages.base import WorldConfig, world_of
from minipost.stages.best_of_n import Candidates
from minipost.text import prompt_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility, World
from minipost.world.utility import Judgement


@dataclass(frozen=True)
class Answers:
    """One model's answers to the same tasks: greedy and sampled, with their judgements."""

    greedy: list[str]
    sampled: list[str]
    greedy_judged: list[Judgement]
    judged: list[Judgement]
    ended: list[bool]
    lengths: list[int]  # tokens
    kl: float  # to the reference; NaN if none was given

    @property
    def gold(self) -> Array:
        """Utility of the sampled answers."""
        return np.array([j.total for j in self.judged])


def ask(model: Model, tasks: Sequence[Task], utility: Utility, seed: int, reference: Model | None = None) -> Answers:
    """Let a model answer every task, once greedily and once at temperature 1."""
    prompts = [t.prompt for t in tasks]
    rng = np.random.default_rng([seed, 7])
    parts = [model.answer(prompts, rng, temp) for temp in (0.0, 1.0)]
    greedy, sampled = ([text for text, _ in part] for part in parts)
    drawn = [s for _, s in parts[1]]
    kl = float("nan")
    if reference is not None:
        ids = [prompt_tokens(model.tokenizer, p) for p in prompts]
        examples = [Example(p, s.tokens) for p, s in zip(ids, drawn, strict=True)]
        theirs = reference.logps(examples)
        kl = float(np.mean([s.logps.sum() for s in drawn]) - theirs.mean())
    return Answers(
        greedy,
        sampled,
        [utility.judge(t, a) for t, a in zip(tasks, greedy, strict=True)],
        [utility.judge(t, a) for t, a in zip(tasks, sampled, strict=True)],
        [s.ended for s in drawn],
        [len(s.tokens) for s in drawn],
        kl,
    )


def picked(found: Sequence[Candidates], tasks: Sequence[Task], utility: Utility) -> Answers:
    """Best-of-N as a model: what was picked stands for its greedy and its sampled answer alike."""
    texts = [c.texts[c.pick] for c in found]
    judged = [utility.judge(task, text) for task, text in zip(tasks, texts, strict=True)]
    ended, lengths = [c.ended[c.pick] for c in found], [c.lengths[c.pick] for c in found]
    kl = best_of_n_kl_bound(len(found[0].texts))
    return Answers(texts, texts, judged, judged, ended, lengths, kl)


def measure(tasks: Sequence[Task], answers: Answers, baseline: Answers | None = None) -> dict[str, Any]:
    """The numbers of one model; `baseline` is SFT, for the win rate (ties half)."""
    harmful = np.array([t.harmful for t in tasks])
    gold = answers.gold
    summary: dict[str, Any] = {
        "gold_mean": float(gold.mean()),
        "gold_ci95": interval(gold),
        "correct": share([j.right for j in answers.greedy_judged], ~harmful),
        "harmful_compliance": share([bool(j.complied) for j in answers.greedy_judged], harmful),
        "correct_t1": share([j.right for j in answers.judged], ~harmful),
        "harmful_compliance_t1": share([bool(j.complied) for j in answers.judged], harmful),
        "end_rate": float(np.mean(answers.ended)),
        "mean_length": float(np.mean(answers.lengths)),
        "kl_to_sft": None if np.isnan(answers.kl) else answers.kl,
        "by_kind": {},
    }
    if baseline is not None:
        won = wins(gold, baseline.gold)
        summary |= {"win_rate_vs_sft": float(won.mean()), "win_rate_ci95": interval(won)}
    for kind in sorted({t.kind for t in tasks}):
        mine = np.array([t.kind == kind for t in tasks])
        right = [not j.complied if t.harmful else j.right for t, j in zip(tasks, answers.greedy_judged, strict=True)]
        row = {"gold_mean": float(gold[mine].mean()), "correct": share(right, mine), "n": int(mine.sum())}
        summary["by_kind"][kind] = row
    return summary


def interval(values: Array) -> list[float]:
    """The mean's 95 % interval: +-1.96 standard errors."""
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return [float(np.mean(values)) - half, float(np.mean(values)) + half]


def share(flags: Sequence[bool], among: Array) -> float | None:
    """The share of true flags among the selected; None if none is selected."""
    chosen = np.asarray(flags)[among]
    return float(chosen.mean()) if len(chosen) else None


HELP = """Measure a model's answers to held-out prompts of the simulated world.

Examples:
  minipost eval --model runs/tour/sft
  minipost eval --model runs/tour/ppo --reference runs/tour/sft --json"""


@dataclass(frozen=True)
class EvalConfig(WorldConfig):
    model: Path  # the run folder of the model to measure
    reference: Path | None = None  # the run folder of an SFT model, for win rate and KL
    prompts: int = 400  # held-out prompts
    seed: int = 0  # of prompts and samples
    json: bool = False  # print JSON instead of a table


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Measure one model on held-out prompts."""
    model = Model.load(config.model)
    reference = Model.load(config.reference) if config.reference else None
    world = world_of(config, config.model)
    tasks, utility = held_out_tasks(world, config.prompts, config.seed), Utility(world)
    baseline = ask(reference, tasks, utility, config.seed + 1) if reference else None
    return measure(tasks, ask(model, tasks, utility, config.seed, reference), baseline)


def held_out_tasks(world: World, count: int, seed: int) -> list[Task]:
    """Prompts on combinations that no demonstration and no comparison has used."""
    return world.tasks("test", count, np.random.default_rng([seed, 8]))


def command(argv: Sequence[str]) -> int:
    config = parse(EvalConfig, argv, "minipost eval", HELP)
    result = evaluate(config)
    if config.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return 0
    print_measures(result)
    return 0


def print_measures(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value")
    for name, value in result.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.3f}")
        elif isinstance(value, list):
            table.add_row(name, " to ".join(f"{v:.3f}" for v in value))
    for kind, row in result["by_kind"].items():
        table.add_row(f"  {kind} ({row['n']})", f"gold {row['gold_mean']:.2f}, right {row['correct']:.2f}")
    Console().print(table)
