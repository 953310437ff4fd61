"""`minipost tour`: the whole pipeline, in the simulated world or on data of one's own.

On own data, the files are first split into a training and a held-out part (`minipost.data.split`):

    DIR/data                                               the parts, and what the base model reads of them
    DIR/pretrain  DIR/sft  DIR/reward  DIR/ppo  DIR/dpo     the run folders of the stages
    DIR/summary.json  DIR/report.html  DIR/figures          what came out

There is no gold: nobody knows what an answer is truly worth. See `minipost.tour.own_measures`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minipost import data
from minipost.config import parse
from minipost.data import Comparison, Demonstration, Record, Turns
from minipost.data.problems import Dropped
from minipost.data.split import Parts, pages, split
from minipost.files import write_text
from minipost.model import Array, Model
from minipost.runs import read_metrics
from minipost.stages import dpo, ppo, pretrain, reward, sft
from minipost.stages.base import StageError
from minipost.stages.best_of_n import candidates, curve_of_proxy
from minipost.stages.pairs import EncodedPair
from minipost.text.batching import Example
from minipost.tour.own_measures import Answers, ask, held_out_loss, implicit_accuracy, judge_the_judge, measure, picked
from minipost.tour.own_plan import OwnTourConfig, own_plan
from minipost.tour.world import NAMES, Clock, Plan, prepare, show, tour

SHOWN = 12  # prompts whose answers the report shows
FEW = 8  # answers are drawn for so many prompts at a time

HELP = """Pretrain, finetune, and compare best-of-N, PPO and DPO, with a report: in the simulated world, where the true
utility of every answer is known, or on data of your own, where it is not.

Examples:
  minipost tour
  minipost tour --size nano --out runs/quick
  minipost tour --sft-data demonstrations.jsonl --preference-data pairs.jsonl --skip-bad --out runs/mine
  minipost tour --sft-data demonstrations.jsonl --preference-data pairs.jsonl --skip-bad --out runs/smol \\
    --base runs/smollm2 --lora-rank 16 --methods best_of_n dpo"""


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


def own_tour(config: OwnTourConfig) -> dict[str, Any]:
    """Run all stages on the user's files, measure all models, write summary and report; returns the summary."""
    prepare(config)
    clock = Clock(config.out / "seconds.json")
    parts = clock.time("data", lambda: prepared(config))
    p = parts.plan
    again: dict[str, Any] = {"resume": config.resume, "overwrite": config.overwrite}
    runs: dict[str, Any] = {"sft": sft.run, "reward": reward.run, "ppo": ppo.run, "dpo": dpo.run}
    models = {"base": Model.load(config.base)} if config.base else {}
    if not config.base:
        models["base"] = clock.time("pretrain", lambda: pretrain.run(replace(p.pretrain, **again)))
    for name in [name for name in runs if name in ("sft", "reward", *config.methods)]:
        models[name] = clock.time(name, lambda name=name: runs[name](replace(getattr(p, name), **again)))  # type: ignore[misc]
    judge = models.pop("reward")
    summary, details = clock.time("evaluate", lambda: compare_models(config, parts, models, judge))
    summary["seconds"] = dict(clock.seconds)
    stages = ("sft", "reward", *config.methods) if config.base else ("pretrain", "sft", "reward", *config.methods)
    details["curves"] = {name: read_metrics(config.out / name) for name in stages if name != "best_of_n"}
    details["config"] = {name: vars(getattr(p, name)) for name in stages}
    write_text(config.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_text(config.out / "details.json", json.dumps(details, indent=2, default=str) + "\n")
    return show(config.out, summary, details)


def prepared(config: OwnTourConfig) -> Split:
    """Split the files, write the base model's pages, and refuse what is too little before anything is trained."""
    folder = config.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    dropped = Dropped(folder / "dropped.jsonl") if config.skip_bad else None
    characters = 0
    with (folder / "pages.jsonl").open("w", encoding="utf-8") as file:

        def each(record: Record) -> None:
            nonlocal characters
            page = pages(record)
            characters += len(page)
            file.write(json.dumps({"text": page}, ensure_ascii=False) + "\n")

        shown, compared = (
            split(files, kind, folder / name, config.seed, config.held_out, dropped, each)
            for files, kind, name in (
                (config.sft_data, Demonstration, "sft"),
                (config.preference_data, Comparison, "preference"),
            )
        )
    if dropped is not None and dropped.count:
        print(f"  data: {dropped.count:,} bad rows are left out; {dropped.path} says which and why", file=sys.stderr)
    p = own_plan(config, shown, compared, folder / "pages.jsonl", characters)
    for parts, name, least in (
        (shown, "demonstrations", p.sft.batch_size),
        (compared, "comparisons", p.dpo.batch_size),
    ):
        train, held_out = parts.counts
        print(f"  data: {train:,} {name} to train on, {held_out:,} held out", file=sys.stderr)
        if train < least or held_out < 2:
            fix = "give more data" if train < least else "raise --held-out, or give more data"
            raise StageError(f"{train} {name} to train on and {held_out} held out are too few; {fix}.")
    return Split(shown, compared, p)


# ------------------------------------------------------------------------------------------------------- measurements
def compare_models(
    config: OwnTourConfig, parts: Split, models: Mapping[str, Model], judge: Model
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(summary, details for the report)."""
    reference, limit, n = models["sft"], config.max_new_tokens, parts.plan.best_of_n.n
    held_out = read_held_out(config, parts, reference)
    answers = {name: ask(m, judge, held_out.prompts, config.seed, limit, reference) for name, m in models.items()}
    rival = ask(reference, judge, held_out.prompts, config.seed + 1, limit, reference)  # independent of SFT's answers
    frontier: dict[str, Any] = {}
    if "best_of_n" in config.methods:
        rng = np.random.default_rng([config.seed, 9])
        found = candidates(reference, judge, held_out.prompts, rng, n, max_new_tokens=limit, at_a_time=FEW)
        answers["best_of_n"] = picked(found)
        frontier["best_of_n"] = curve_of_proxy(found)
    measured = {name: measure(answers[name], rival) for name in NAMES if name in answers}
    for name, model in models.items():
        measured[name] |= held_out_loss(model, held_out.demonstrations)
        if name in ("ppo", "dpo"):
            measured[name] |= implicit_accuracy(model, reference, held_out.pairs)
            frontier[name] = [point(measured[name])]
    summary = {
        "seed": config.seed,
        "size": config.size,
        "prompts": len(held_out.prompts),
        "n": n if "best_of_n" in config.methods else None,
        "data": {
            "sft": {"files": named(config.sft_data), **counted(parts.demonstrations)},
            "preference": {"files": named(config.preference_data), **counted(parts.comparisons)},
            "pretrain": {"files": named(config.pretrain_data), "base": str(config.base) if config.base else None},
        },
        "models": measured,
        "reward_model": judge_the_judge(judge, held_out.pairs, np.random.default_rng([config.seed, 10])),
    }
    return summary, {"frontier": frontier | {"sft": point(measured["sft"])}, "samples": shown(held_out, answers)}


def read_held_out(config: OwnTourConfig, parts: Split, model: Model) -> HeldOut:
    """The held-out files by the model's own tokens."""
    files = parts.demonstrations.held_out, parts.comparisons.held_out
    t, context, folder = model.tokenizer, model.config.context, config.out / "data"

    def dropped(name: str) -> Path | None:
        return folder / f"dropped-{name}.jsonl" if config.skip_bad else None

    asked = data.prompts([*files[0], *files[1]], t, context - config.max_new_tokens, dropped("prompts"))
    once = list(dict.fromkeys(asked))
    some = np.random.default_rng([config.seed, 8]).permutation(len(once))[: parts.plan.prompts]
    return HeldOut(
        data.demonstrations(files[0], t, context, dropped("demonstrations")),
        data.comparisons(files[1], t, context, dropped("comparisons")),
        [once[i] for i in np.sort(some)],
    )


def point(row: Mapping[str, Any]) -> dict[str, Any]:
    """A model's place on the plane of proxy over KL."""
    return {"kl": max(0.0, row["kl_to_sft"]), "proxy": row["proxy_mean"], "proxy_ci95": row["proxy_ci95"]}


def shown(held_out: HeldOut, answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Some prompts with the answers of all models beside each other."""
    every: Array = np.linspace(0, len(held_out.prompts) - 1, min(SHOWN, len(held_out.prompts))).astype(int)
    return [
        {
            "kind": "held-out prompt",
            "prompt": "\n".join(turn.content for turn in held_out.prompts[i]),
            "answers": {name: {"text": a.texts[i], "proxy": float(a.proxy[i])} for name, a in answers.items()},
        }
        for i in every
    ]


def named(files: Sequence[Path]) -> list[str]:
    return [path.name for path in files]


def counted(parts: Parts) -> dict[str, int]:
    return dict(zip(("train", "held_out"), parts.counts, strict=True))


def command(argv: Sequence[str]) -> int:
    config = parse(OwnTourConfig, argv, "minipost tour", HELP)
    with redirect_stdout(sys.stderr) if config.json else nullcontext():
        summary = own_tour(config) if config.sft_data else tour(config)
    if config.json:
        print(json.dumps(summary, indent=2))
    return 0
