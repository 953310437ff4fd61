"""The roofline of a run: each result against what this machine allows at its ratio of arithmetic to memory traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness import say
from benchmarks.machine import Machine
from minipost.report import style

LOOKS = {  # colour of the style, marker
    "minipost": ("sft", "o"),
    "torch": ("ppo", "D"),
    "torch-bf16": ("ppo", "d"),
    "compile": ("dpo", "v"),
    "jax": ("best_of_n", "^"),
    "transformers": ("rloo", "X"),
    "NumPy": ("grpo", "s"),
}


@dataclass(frozen=True)
class Point:
    """A result: whose, operations a byte, operations a second; `label` stands beside minipost's own."""

    name: str
    intensity: float
    flops: float
    label: str = ""


@style.styled
def roofline(this_machine: Machine, points: Sequence[Point], title: str, threads: int | None = None) -> Figure:
    """Both axes are logarithmic. `threads=1` draws the roof of one thread."""
    peak, bandwidth = (
        (this_machine.sgemm_one, this_machine.triad_one) if threads == 1 else (this_machine.sgemm, this_machine.triad)
    )
    figure, ax = style.canvas(None, height=3.6, width=6.4)
    ridge = peak / bandwidth
    low = min([ridge / 4, *(p.intensity for p in points)]) / 2
    high = max([ridge * 8, *(p.intensity for p in points)]) * 2
    x = np.geomspace(low, high, 200)
    ax.loglog(x, np.minimum(peak, bandwidth * x) / 1e9, color=style.colour("ink"), label="roofline, measured")
    for name in dict.fromkeys(p.name for p in points):
        own_points = [p for p in points if p.name == name]
        colour, marker = LOOKS.get(name, ("muted", "P"))
        ax.plot(
            [p.intensity for p in own_points],
            [p.flops / 1e9 for p in own_points],
            marker,
            color=style.colour(colour),
            label=name,
            markersize=5,
        )
        for i, p in enumerate(sorted(own_points, key=lambda p: p.flops)):  # neighbours' labels above and below in turn
            if p.label:
                at, shift = (p.intensity, p.flops / 1e9), (4.0, 3.0 if i % 2 else -8.0)
                style.note(ax, p.label, at, shift, fontsize=6.5, color=style.colour("muted"))
    ax.set(xlabel="operations a byte", ylabel="GFLOP/s", title=title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    ax.legend(loc="lower right")
    return figure


def save(
    this_machine: Machine,
    points: Sequence[Point],
    title: str,
    plot: Path | None,
    json: Path | None,
    threads: int | None = None,
) -> None:
    """Draw into `plot`, else beside the JSON file, else not at all."""
    path = plot or (json.with_suffix(".png") if json is not None else None)
    if path is not None and points:
        path.parent.mkdir(parents=True, exist_ok=True)
        style.png(roofline(this_machine, points, title, threads), path)
        say(f"  drew {path}")
