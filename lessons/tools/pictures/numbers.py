"""Pictures of numbers: a knob against a metric, two histograms, a table of colours, a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lessons.experiments.statistics import interval
from minipost.report.style import WIDTH, canvas, colour, styled
from minipost.report.wording import number

LINES = (("sft", "-", "o"), ("ppo", "--", "D"), ("best_of_n", "-.", "^"), ("dpo", ":", "v"), ("grpo", "-", "P"))


@styled
def sweep(
    arms: Mapping[str, Sequence[float]],
    metric: str,
    control: str | None = None,
    knob: str = "",
    scale: Literal["even", "linear", "log"] = "even",
    ax: Axes | None = None,
) -> Figure:
    """The effect of one knob: for each arm its values (small dots, one per seed), their mean and 95 % interval.

    Arms stand side by side in the order of the mapping; with another `scale` their names are numbers, and each stands
    at its number. The `control` is hollow, and a dotted line goes through its mean.
    """
    names = list(arms)
    figure, ax = canvas(ax, width=max(WIDTH, 1.1 * len(names) if scale == "even" else 0))
    places = [float(i if scale == "even" else name) for i, name in enumerate(names)]
    means = []
    for place, name in zip(places, names, strict=True):
        mean, low, high = interval(arms[name])
        means.append(mean)
        ax.plot([place] * len(arms[name]), arms[name], "o", color=colour("muted"), markersize=2.5, alpha=0.6)
        if np.isfinite([low, high]).all():
            ax.plot([place, place], [low, high], color=colour("sft"), linewidth=5, alpha=0.35, solid_capstyle="butt")
        face = colour("paper") if name == control else colour("sft")
        ax.plot(place, mean, "o", markersize=7, markerfacecolor=face, markeredgecolor=colour("sft"), zorder=4)
        if name == control:
            ax.axhline(mean, color=colour("muted"), linestyle=":", linewidth=1, zorder=0)
    if scale == "even":
        ax.set_xticks(places, [fill(name, 15) for name in names])
        ax.margins(x=0.15)
    else:
        ax.plot(places, means, color=colour("sft"), linewidth=1, alpha=0.7)
        ax.set_xscale(scale)
    ax.set(xlabel=knob, ylabel=metric)
    return figure


@styled
def curve(
    x: npt.ArrayLike,
    lines: Mapping[str, npt.ArrayLike],
    x_name: str,
    y_name: str,
    log: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Up to five lines y[K] over x[K]. `log` names the axes with a logarithmic scale: "x", "xy"."""
    figure, ax = canvas(ax)
    x = np.asarray(x)
    for (name, y), (hue, style, marker) in zip(lines.items(), LINES, strict=False):
        y = np.asarray(y)
        few: dict[str, Any] = {"marker": marker, "markersize": 4} if len(x) <= 12 else {}
        ax.plot(x, y, color=colour(hue), linestyle=style, label=name, **few)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    if len(lines) > 1:
        ax.legend()
    ax.set(xlabel=x_name, ylabel=y_name)
    return figure


@styled
def histogram_pair(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    names: tuple[str, str],
    x_name: str,
    bins: int = 30,
    ax: Axes | None = None,
) -> Figure:
    """Two samples on one axis, as shares: the first filled, the second an outline; a tick marks each mean."""
    figure, ax = canvas(ax)
    a, b = np.asarray(first, float), np.asarray(second, float)
    edges = np.histogram_bin_edges(np.concatenate([a, b]), bins).tolist()
    ax.hist(a, edges, weights=np.full(len(a), 1 / len(a)), color=colour("sft"), alpha=0.45, label=names[0])
    ax.hist(
        b,
        edges,
        weights=np.full(len(b), 1 / len(b)),
        histtype="step",
        color=colour("ppo"),
        linewidth=1.8,
        label=names[1],
    )
    for sample, hue, style in ((a, "sft", "-"), (b, "ppo", "--")):
        ax.axvline(float(sample.mean()), color=colour(hue), linestyle=style, linewidth=1.2)
    ax.legend()
    ax.set(xlabel=x_name, ylabel="share")
    return figure


@styled
def heat(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    x_name: str = "",
    y_name: str = "",
    title: str = "",
    low: float | None = None,
    high: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A table [R, C] as colours from paper to blue, with the numbers in it where there is room (up to 12 by 12).

    Masked entries stay empty.
    """
    table = np.ma.asarray(values).astype(float)
    R, C = table.shape
    figure, ax = canvas(ax, height=0.9 + 0.3 * max(R, 3), width=1.4 + 0.42 * max(C, 4))
    shades = LinearSegmentedColormap.from_list("shades", [colour("paper"), colour("sft")])
    image = ax.imshow(table, cmap=shades, vmin=low, vmax=high, aspect="auto")
    slanted = max(map(len, columns)) > 4
    ax.set_xticks(range(C), columns, rotation=45 if slanted else 0, ha="right" if slanted else "center")
    ax.set_yticks(range(R), rows)
    ax.grid(visible=False)
    if max(R, C) <= 12:
        shade: Any = image.norm(table)
        for (r, c), x in np.ndenumerate(table):
            if table[r, c] is not np.ma.masked:
                ink = colour("paper" if shade[r, c] > 0.6 else "ink")
                ax.text(c, r, number(x), ha="center", va="center", size=6.5, color=ink)
    ax.set(xlabel=x_name, ylabel=y_name)
    ax.set_title(title)
    return figure
