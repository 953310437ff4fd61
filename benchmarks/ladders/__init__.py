"""How a kernel became fast: every attempt from the reference to what the package runs, failures included.

A rung is a small function that stays runnable, so that its figure is measured anew on each machine. A failed attempt is
worth its line: it saves the next reader from trying it again. All on one thread, in turns, results compared first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.harness import BenchmarkError, say, spread
from benchmarks.kernels import bound, interleaved, verify
from benchmarks.ladders import adamw, attention, cross_entropy, matmul, rms_norm
from benchmarks.ladders.rungs import Ladder
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse

IDEA = "what it changes"


@dataclass(frozen=True)
class LaddersConfig:
    size: str = "S"  # size of the model that gives the shapes: XS, S or M
    only: str = ""  # only ladders whose name contains this text
    rounds: int = 6  # how many blocks each rung runs
    seconds: float = 0.03  # how long a block lasts
    json: Path | None = None  # where to write the results


def ladders(size: Size) -> list[Ladder]:
    """At the shapes of a training step of `size`."""
    N = size.batch * size.tokens
    return [
        matmul.ladder(N // 2, size.dim, 3 * size.dim),
        attention.ladder(size.batch, size.tokens, size.heads, size.dim),
        cross_entropy.ladder(N, size.dim, size.vocab_size),
        rms_norm.ladder(N, size.dim),
        adamw.ladder(size.matrix_parameters),
    ]


def climb(ladder: Ladder, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row of JSON values for each rung."""
    calls = {r.name: bound(r.run, ladder.make_inputs(np.random.default_rng(4))) for r in ladder.rungs}
    first = ladder.rungs[0].name
    verify(ladder.name, calls, first)
    times, lost = interleaved(calls, rounds, seconds)
    spreads = {name: spread(seconds) for name, seconds in times.items()}
    return [
        {
            "ladder": ladder.name,
            "rung": rung.name,
            **spreads[rung.name],
            "faster": spreads[first]["median"] / spreads[rung.name]["median"],
            "disturbed": lost,
        }
        for rung in ladder.rungs
    ]


def title(record: Mapping[str, Any]) -> str:
    return f"ladders on one thread, shapes of {record['size']}"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results; failed attempts in brackets. Reasons stand in the code, figures in `record`."""
    rungs = {(x.name, rung.name): rung for x in ladders(size_named(record["size"])) for rung in x.rungs}
    columns = ["", "microseconds", "p10-p90", "faster", IDEA, "disturbed"]
    rows: list[list[str]] = []
    for name, measured in groupby(record["results"], key=lambda r: r["ladder"]):
        rows.append([name, *[""] * (len(columns) - 1)])
        rows += [
            [
                f"- {r['rung']}" if rungs[name, r["rung"]].kept else f"- ({r['rung']})",
                figure(1e6 * r["median"]),
                f"{figure(1e6 * r['p10'])}-{figure(1e6 * r['p90'])}",
                ratio(r["faster"]),
                rungs[name, r["rung"]].idea,
                disturbed(r["disturbed"]),
            ]
            for r in measured
        ]
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(LaddersConfig, argv, "python -m benchmarks ladders", __doc__ or "")
    every = ladders(size_named(config.size))
    wanted = [ladder for ladder in every if config.only.lower() in ladder.name.lower()]
    if not wanted:
        raise BenchmarkError(
            f"no ladder's name has {config.only!r} in it: they are {', '.join(x.name for x in every)}."
        )
    this_machine = machine.measure()
    results = []
    for ladder in wanted:
        say(f"  {ladder.name}")
        results += climb(ladder, config.rounds, config.seconds)
    record = {"benchmark": "ladders", "size": config.size, "machine": this_machine.to_dict(), "results": results}
    show(title(record), *table(record), notes=[str(this_machine), "(in brackets: a failed attempt)"], prose=IDEA)
    save(config.json, record)
