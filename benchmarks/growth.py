"""How a training step's time and memory grow with the model's width, the context and the batch.

Each point runs in a process of its own, so that its peak memory is its own; what the smallest model's process holds is
taken off. A power law is fitted to the measured points, and another to what the formulas of benchmarks/sizes.py say for
the same points: exponents side by side. Memory must not grow with the square of the context: attention keeps no table
of T x T scores, and the last column says how large such tables would be beside everything that was held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import machine, train
from benchmarks.harness import Contender, race, say
from benchmarks.sizes import SIZES, Size, scaled
from benchmarks.table import disturbed, figure, save, show
from minipost.config import parse
from minipost.model import threads
from minipost.report import style

START = scaled(SIZES["S"], name="growth", batch=8)
CURVES = {  # axis: sizes along it
    "dim": [scaled(START, dim=d, hidden=d * 11 // 4) for d in (64, 128, 256, 512)],
    "context": [scaled(START, tokens=t, batch=4) for t in (128, 256, 512, 1024)],
    "batch": [scaled(START, batch=b) for b in (4, 8, 16, 32, 64)],
}
FIELDS = {"dim": "dim", "context": "tokens", "batch": "batch"}


@dataclass(frozen=True)
class GrowthConfig:
    rounds: int = 2  # how many blocks each point runs
    seconds: float = 1.0  # how long a block lasts
    json: Path | None = None  # where to write the results
    plot: Path | None = None  # where to draw the curves (PNG); default: beside the JSON file


def point(size: Size, rounds: int, seconds: float) -> dict[str, Any]:
    """One size, in a process of its own."""
    row = race([Contender("minipost", train.ours, (size,))], rounds=rounds, seconds=seconds)["minipost"].summary()
    return {name: row[name] for name in ("median", "p10", "p90", "peak_mb", "disturbed")}


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The b of the power law y = a x^b that fits best in logarithms (least squares)."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def curve(axis: str, sizes: Sequence[Size], base_mb: float, rounds: int, seconds: float) -> dict[str, Any]:
    """All points along an axis, and the exponents."""
    points = []
    for size in sizes:
        x = getattr(size, FIELDS[axis])
        p = point(size, rounds, seconds)
        tables = 4 * size.layers * size.batch * size.heads * size.tokens**2
        points.append(
            {
                "x": x,
                **p,
                "held_mb": p["peak_mb"] - base_mb,
                "flops": size.step_flops,
                "memory": size.step_memory(threads()),
                "tables_mb": tables / 1e6,
            }
        )
        say(f"  {axis} {x}: {p['median']:.4g} s a step, {p['peak_mb']:.0f} MB")
    xs = [p["x"] for p in points]
    fits = {
        name: exponent(xs, [p[key] for p in points])
        for name, key in (
            ("time", "median"),
            ("time_theory", "flops"),
            ("memory", "held_mb"),
            ("memory_theory", "memory"),
        )
    }
    return {"axis": axis, "points": points, "exponents": fits}


def title(record: Mapping[str, Any]) -> str:
    return f"growth of a training step: {START.layers} layers, dim {START.dim}, {START.batch} x {START.tokens} tokens"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "ms a step", "p10-p90", "GFLOP/s", "held MB", "formula MB", "T x T tables MB", "disturbed"]
    rows = []
    for c in record["results"]:
        rows += [
            [
                f"{c['axis']} {p['x']}",
                figure(1e3 * p["median"]),
                f"{figure(1e3 * p['p10'])}-{figure(1e3 * p['p90'])}",
                figure(p["flops"] / p["median"] / 1e9),
                figure(p["held_mb"]),
                figure(p["memory"] / 1e6),
                figure(p["tables_mb"]),
                disturbed(p["disturbed"]),
            ]
            for p in c["points"]
        ]
        e = c["exponents"]
        time, memory = (f"{e[k]:.2f} (theory {e[k + '_theory']:.2f})" for k in ("time", "memory"))
        rows.append([f"exponent in {c['axis']}", time, "", "", memory, "", "", ""])
    return columns, rows


@style.styled
def chart(record: Mapping[str, Any]) -> Figure:
    """Time and memory along each axis, relative to its first point; dashed: the formulas."""
    drawing = Figure(figsize=(7.6, 3.2), layout="constrained")
    for ax, measured, theory, name in zip(
        drawing.subplots(1, 2), ("median", "held_mb"), ("flops", "memory"), ("time", "memory held"), strict=True
    ):
        for c, colour in zip(record["results"], ("sft", "ppo", "best_of_n"), strict=True):
            x = [p["x"] / c["points"][0]["x"] for p in c["points"]]
            for key, look in ((measured, "o-"), (theory, "--")):
                y = [p[key] / c["points"][0][key] for p in c["points"]]
                label = c["axis"] if key == measured else None
                ax.loglog(x, y, look, color=style.colour(colour), label=label, markersize=4)
        ax.set(xlabel="times the first point", ylabel="times the first point", title=name)
        ax.legend(loc="upper left")
    return drawing


def command(argv: Sequence[str]) -> None:
    config = parse(GrowthConfig, argv, "python -m benchmarks growth", __doc__ or "")
    this_machine = machine.measure()
    base = point(SIZES["nano"], 1, 0.2)["peak_mb"]
    curves = [curve(axis, sizes, base, config.rounds, config.seconds) for axis, sizes in CURVES.items()]
    record = {"benchmark": "growth", "base_mb": base, "machine": this_machine.to_dict(), "results": curves}
    show(title(record), *table(record), notes=[str(this_machine)])
    save(config.json, record)
    plot = config.plot or (config.json.with_suffix(".png") if config.json else None)
    if plot is not None:
        style.png(chart(record), plot)
        say(f"  drew {plot}")
