"""The tour on a user's files, where nobody knows the true utility of an answer.

The files are first split into a training and a held-out part (`minipost.data.split`); `DIR/data` holds the parts, and
the pages that the base model reads of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minipost import data
from minipost.data import Comparison, Demonstration, Record, Turns
from minipost.data.problems import Dropped
from minipost.data.split import Parts, pages, split
from minipost.model import SERVED_TEMPERATURE, Array, Model
from minipost.report.summary import Details, Summary, ordered
from minipost.stages.base import StageError
from minipost.stages.best_of_n import candidates, curve_of_proxy
from minipost.stages.pairs import EncodedPair
from minipost.text.batching import Example
from minipost.tour.folder import TourFolder
from minipost.tour.measures import (
    Answers,
    ask_by_proxy,
    held_out_loss,
    implicit_accuracy,
    measure_by_proxy,
    picked,
    point,
    reward_model_accuracy_on_files,
)
from minipost.tour.plan import FilesTourConfig, Plan, files_plan

SHOWN = 12  # prompts whose answers the report shows
GROUP = 8  # prompts that are answered at a time, n times each


@dataclass(frozen=True)
class HeldOut:
    """What models are measured on."""

    demonstrations: Sequence[Example]
    pairs: Sequence[EncodedPair]
    prompts: list[Turns]


@dataclass(frozen=True)
class Split:
    """The files after the split, and the plan for them."""

    demonstrations: Parts
    comparisons: Parts
    plan: Plan


def tour(config: FilesTourConfig) -> Summary:
    """Run all stages on the user's files, measure all models, write summary and report; returns the summary."""
    folder = TourFolder(config)
    parts = folder.time("data", lambda: prepared(config))
    stages = (*(() if config.base else ("pretrain",)), "sft", "reward", *config.methods)
    base = {"base": Model.load(config.base)} if config.base else {}
    trained = folder.train(parts.plan, stages)
    reward_model = trained.pop("reward")
    models = base | {"base" if name == "pretrain" else name: model for name, model in trained.items()}
    summary, details = folder.time("evaluate", lambda: measure_all(config, parts, models, reward_model))
    details["curves"] = folder.curves([name for name in stages if name != "best_of_n"])
    return folder.finish(summary, details, parts.plan, stages)


def prepared(config: FilesTourConfig) -> Split:
    """Split the files, write the base model's pages, and refuse what is too little before anything is trained."""
    folder = config.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    dropped = Dropped(folder / "dropped.jsonl") if config.skip_bad else None
    characters = 0
    with (folder / "pages.jsonl").open("w", encoding="utf-8") as file:

        def write_page(record: Record) -> None:
            nonlocal characters
            page = pages(record)
            characters += len(page)
            file.write(json.dumps({"text": page}, ensure_ascii=False) + "\n")

        demonstrations, comparisons = (
            split(files, kind, folder / name, config.seed, config.held_out, dropped, write_page)
            for files, kind, name in (
                (config.sft_data, Demonstration, "sft"),
                (config.preference_data, Comparison, "preference"),
            )
        )
    if dropped is not None and dropped.count:
        print(f"  data: {dropped.count:,} bad rows are left out; {dropped.path} says which and why", file=sys.stderr)
    stages = files_plan(config, demonstrations, comparisons, folder / "pages.jsonl", characters)
    require_enough(demonstrations, "demonstrations", stages.sft.batch_size)
    require_enough(comparisons, "comparisons", stages.dpo.batch_size)
    return Split(demonstrations, comparisons, stages)


def require_enough(parts: Parts, name: str, least: int) -> None:
    """Say how many rows there are. Errors: `StageError` if they are fewer than one batch, or than two to measure on."""
    train, held_out = parts.counts
    print(f"  data: {train:,} {name} to train on, {held_out:,} held out", file=sys.stderr)
    if train < least or held_out < 2:
        fix = "give more data" if train < least else "raise --held-out, or give more data"
        raise StageError(f"{train} {name} to train on and {held_out} held out are too few; {fix}.")


# ------------------------------------------------------------------------------------------------------- measurements
def measure_all(
    config: FilesTourConfig, parts: Split, models: Mapping[str, Model], reward_model: Model
) -> tuple[Summary, Details]:
    """What summary.json and details.json hold, but for the learning curves."""
    sft, seed, limit, n = models["sft"], config.seed, config.max_new_tokens, parts.plan.best_of_n.n
    held_out = read_held_out(config, parts, sft)
    prompts = held_out.prompts
    answers = {name: ask_by_proxy(model, reward_model, prompts, seed, limit, sft) for name, model in models.items()}
    rival = ask_by_proxy(sft, reward_model, prompts, seed + 1, limit, sft)  # independent of SFT's answers
    frontier: dict[str, Any] = {}
    if "best_of_n" in config.methods:
        rng = np.random.default_rng([seed, 9])
        choices = candidates(sft, reward_model, prompts, rng, n, max_new_tokens=limit, at_a_time=GROUP)
        answers["best_of_n"] = picked(choices)
        frontier["best_of_n"] = curve_of_proxy(choices)
    measures = {name: measure_by_proxy(answers[name], rival) for name in ordered(answers)}
    for name, model in models.items():
        measures[name] |= held_out_loss(model, held_out.demonstrations)
        if name in ("ppo", "dpo"):
            measures[name] |= implicit_accuracy(model, sft, held_out.pairs)
            frontier[name] = [point(measures[name], "proxy")]
    summary: Summary = {
        "seed": seed,
        "size": config.size,
        "prompts": len(prompts),
        "n": n if "best_of_n" in config.methods else None,
        "served_temperature": SERVED_TEMPERATURE,
        "data": {
            "sft": {"files": file_names(config.sft_data), **counts(parts.demonstrations)},
            "preference": {"files": file_names(config.preference_data), **counts(parts.comparisons)},
            "pretrain": {"files": file_names(config.pretrain_data), "base": str(config.base) if config.base else None},
        },
        "models": measures,
        "reward_model": reward_model_accuracy_on_files(reward_model, held_out.pairs, np.random.default_rng([seed, 10])),
    }
    return summary, {
        "frontier": frontier | {"sft": point(measures["sft"], "proxy")},
        "samples": side_by_side(prompts, answers),
    }


def read_held_out(config: FilesTourConfig, parts: Split, model: Model) -> HeldOut:
    """The held-out files by the model's own tokens."""
    files = parts.demonstrations.held_out, parts.comparisons.held_out
    tokenizer, context, folder = model.tokenizer, model.config.context, config.out / "data"

    def dropped(name: str) -> Path | None:
        return folder / f"dropped-{name}.jsonl" if config.skip_bad else None

    every = data.prompts([*files[0], *files[1]], tokenizer, context - config.max_new_tokens, dropped("prompts"))
    distinct = list(dict.fromkeys(every))
    ids = np.random.default_rng([config.seed, 8]).permutation(len(distinct))[: parts.plan.prompts]
    return HeldOut(
        data.demonstrations(files[0], tokenizer, context, dropped("demonstrations")),
        data.comparisons(files[1], tokenizer, context, dropped("comparisons")),
        [distinct[i] for i in np.sort(ids)],
    )


def side_by_side(prompts: Sequence[Turns], answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Some prompts with the answers of all models."""
    ids: Array = np.linspace(0, len(prompts) - 1, min(SHOWN, len(prompts))).astype(int)
    return [
        {
            "kind": "held-out prompt",
            "prompt": "\n".join(turn.content for turn in prompts[i]),
            "answers": {
                name: {"text": a.texts[i], "proxy": float(a.proxy[i])}
                for name, a in answers.items()
                if a.proxy is not None
            },
        }
        for i in ids
    ]


def file_names(files: Sequence[Path]) -> list[str]:
    return [path.name for path in files]


def counts(parts: Parts) -> dict[str, int]:
    return dict(zip(("train", "held_out"), parts.counts, strict=True))
