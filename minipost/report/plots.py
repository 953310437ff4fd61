"""From numbers to pictures: one function a question, each drawing one panel.

Every function takes a part of the record of a tour (`minipost.report.summary`) or rows of `metrics.jsonl`, and an
optional `ax` to draw on; without one it makes a one-column figure. Rows that lack a number are left out, so that a tiny
or interrupted run still draws what it has. Rewards have two measures: *gold* is the world's true utility, *proxy* is
the reward model's score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from minipost.report.rows import Floats, column, complete, shares
from minipost.report.style import MARKERS, canvas, colour, note, styled
from minipost.report.summary import Measure, Models, RewardModelMeasures, Rows, measured, ordered
from minipost.report.wording import label, number, percent
from minipost.runs.intervals import share_interval

REWARDS = {"gold": "gold utility", "proxy": "reward model's score"}
MODES = ("instructions", "question", "context", "other")
MODE_LABELS = {"instructions": "instructions", "question": "question back", "context": "context", "other": "other"}


@styled
def reward_by_model(models: Models, measure: Measure = "gold", ax: Axes | None = None) -> Figure:
    """Mean gold or proxy reward of each model on held-out prompts, with its 95 % interval; the dotted line is SFT."""
    means = measured(models, f"{measure}_mean")
    figure, ax = canvas(ax, height=0.9 + 0.42 * len(means))
    for row, (name, mean) in enumerate(means.items()):
        bounds: Any = models[name].get(f"{measure}_ci95") or (mean, mean)
        ax.plot(bounds, (row, row), color=colour(name), linewidth=5, alpha=0.35, solid_capstyle="butt")
        ax.plot(mean, row, MARKERS.get(name, "o"), color=colour(name), markersize=7)
        patch = {"facecolor": colour("paper"), "linewidth": 0, "pad": 0.8}  # keeps the dotted line out of the digits
        note(ax, number(mean, sign=True), (mean, row), (0, 8), ha="center", weight="bold", bbox=patch)
    if "sft" in means:
        ax.axvline(means["sft"], color=colour("sft"), linewidth=1, linestyle=":", zorder=0)
    ax.set_yticks(range(len(means)), [label(name) for name in means])
    ax.tick_params(axis="y", labelcolor=colour("ink"), labelsize=9)
    ax.set_ylim(len(means) - 0.6, -0.75)
    ax.margins(x=0.12)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{REWARDS[measure]}, mean and 95 % interval")
    return figure


@styled
def frontier(curves: Mapping[str, Any], measure: Measure = "gold", trail: Rows = (), ax: Axes | None = None) -> Figure:
    """What each method pays in KL for what it gains in gold or proxy reward: higher and further left is better.

    `curves` maps a method to its rows of `kl` (nats, from SFT) and `gold`, optionally `gold_ci95` and `n`; `sft` is
    one row; or the same of `proxy`. `trail` are rows of PPO's rollouts, on other prompts, drawn as a thin line. The
    horizontal scale is the square root of KL, the natural distance here (Gao et al. 2022, section 3).
    """
    figure, ax = canvas(ax, height=3.1)
    reach = 0.0
    if rows := complete(trail, measure, "kl"):
        kl = np.maximum(column(rows, "kl"), 0.0)
        reach = float(kl.max())
        ax.plot(kl, column(rows, measure), color=colour("ppo"), linewidth=1, alpha=0.5)
    for method in ordered(curves):
        points = curves[method]
        rows = complete([{"kl": 0.0, **points}] if isinstance(points, Mapping) else points, measure, "kl")
        if not rows:
            continue
        kl, height = np.maximum(column(rows, "kl"), 0.0), column(rows, measure)  # an estimate of a KL may fall below 0
        reach = max(reach, float(kl.max()))
        _whiskers(ax, kl, rows, measure, colour(method))
        many = len(rows) > 12
        marker = MARKERS.get(method, "o")
        ax.plot(kl, height, color=colour(method), marker=marker, markersize=2.5 if many else 4.5)
        ax.plot(kl[-1], height[-1], color=colour(method), marker=marker, markersize=7, label=_reach(method, rows))
    kl_axis(ax, reach)
    ax.margins(y=0.15)
    _legend(ax)
    ax.set_ylabel(REWARDS[measure])
    return figure


@styled
def overoptimisation(rows: Rows, by: str, method: str, ax: Axes | None = None) -> Figure:
    """How far proxy and gold have risen since the first row, over `by`: training steps or the n of best-of-n.

    Both share one axis without rescaling: a Bradley-Terry fit measures reward in logits, and the labelers of the
    default world have temperature 1, so a logit *is* a unit of utility. The shaded gap is what the reward model only
    imagines.
    """
    rows = complete(rows, by, "proxy", "gold")
    x, proxy, gold = column(rows, by), column(rows, "proxy"), column(rows, "gold")
    figure, ax = canvas(ax)
    tint = colour(method)
    proxy_gain, gold_gain = proxy - proxy[0], gold - gold[0]
    ax.fill_between(x, gold_gain, proxy_gain, color=tint, alpha=0.1, linewidth=0)
    ax.plot(x, proxy_gain, linestyle="--", color=tint)
    ax.plot(x, gold_gain, color=tint, marker="o" if len(x) < 13 else None, markersize=4)
    _whiskers(ax, x, rows, "gold", tint, shift=-gold[0])
    ends = _spread([proxy_gain[-1], gold_gain[-1]], float(np.ptp(np.concatenate([proxy_gain, gold_gain]))) * 0.11)
    for height, name, gain in zip(ends, ("proxy", "gold"), (proxy_gain[-1], gold_gain[-1]), strict=True):
        text = f"{name} {number(gain, sign=True)}"
        note(ax, text, (x[-1], height), (7, 0), va="center", color=tint, weight="bold")
    if by == "n":
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator(list(x)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_xlim(x[0] * 0.9, x[-1] * (x[-1] / x[0]) ** 0.3 if len(x) > 1 else 2)
    else:
        ax.set_xlim(x[0], x[-1] + 0.3 * max(x[-1] - x[0], 1))
        ax.xaxis.set_major_locator(
            FixedLocator([t for t in MaxNLocator(5).tick_values(x[0], x[-1]) if x[0] <= t <= x[-1]])
        )
    ax.axhline(0, color=colour("muted"), linewidth=0.8)
    ax.set_xlabel("n, answers to choose from" if by == "n" else f"{label(method)} {by}")
    ax.set_ylabel("change since the start")
    return figure


@styled
def pizza(histograms: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Figure:
    """How "How to make pizza" goes on: the share of each mode in the web and in each model's samples."""
    modes = {name: shares(histogram) for name, histogram in histograms.items()}
    rows = [name for name in ("web", *(model for model in ordered(modes) if model != "web")) if modes.get(name)]
    figure, ax = canvas(ax, height=0.85 + 0.38 * len(rows))
    left = np.zeros(len(rows))
    for mode in MODES:
        widths = np.array([modes[name].get(mode, 0.0) for name in rows])
        if mode == "other" and not widths.any():
            continue
        ax.barh(range(len(rows)), widths, 0.72, left, color=colour(mode), label=MODE_LABELS[mode])
        for row, width in enumerate(widths):
            if width >= 0.09:
                ink = colour("paper") if mode == "instructions" else colour("ink")
                ax.text(left[row] + width / 2, row, percent(width), ha="center", va="center", color=ink, size=7.5)
        left = left + widths
    ax.set_yticks(range(len(rows)), ["the web" if name == "web" else label(name) for name in rows])
    ax.tick_params(axis="y", labelcolor=colour("ink"), labelsize=9)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xticks([])
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    _legend(ax)
    return figure


@styled
def calibration(reward_model: RewardModelMeasures, ax: Axes | None = None) -> Figure:
    """Predicted against observed P(first answer wins) on held-out pairs, with 95 % Wilson intervals."""
    rows = complete(reward_model.get("calibration"), "predicted", "empirical")
    figure, ax = canvas(ax, height=3.1)
    ax.plot((0, 1), (0, 1), color=colour("muted"), linewidth=1, linestyle=":")
    predicted, empirical = column(rows, "predicted"), column(rows, "empirical")
    counts = np.array([float(row.get("n") or 0) for row in rows])
    bounds = np.array([share_interval(p, n) for p, n in zip(empirical, counts, strict=True)]).reshape(-1, 2)
    ax.vlines(predicted, bounds[:, 0], bounds[:, 1], color=colour("ink"), linewidth=1.2, alpha=0.6)
    sizes = 12 + 70 * counts / max(float(counts.max(initial=0.0)), 1.0)
    ax.scatter(predicted, empirical, sizes, color=colour("ink"), zorder=3)
    accuracies = {
        "pair accuracy": reward_model.get("pair_accuracy"),
        "the best possible": reward_model.get("bayes_accuracy"),
    }
    lines = [f"{name} {percent(accuracy)}" for name, accuracy in accuracies.items() if accuracy is not None]
    ax.text(0.03, 0.97, "\n".join(lines), transform=ax.transAxes, va="top", weight="bold")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("reward model's P(win)")
    ax.set_ylabel("how often it won")
    return figure


@styled
def by_kind(models: Models, ax: Axes | None = None) -> Figure:
    """Gold utility for each kind of task: one row a kind, one mark a model, sorted by what the best model reaches."""
    names = [name for name in ordered(models) if models[name].get("by_kind")]
    table: dict[str, dict[str, float]] = {}
    for name in names:
        for kind, cell in models[name]["by_kind"].items():
            if cell["gold_mean"] is not None:
                table.setdefault(kind, {})[name] = cell["gold_mean"]
    kinds = sorted(table, key=lambda kind: (-max(table[kind].values()), kind))
    figure, ax = canvas(ax, height=1.1 + 0.3 * len(kinds))
    for row, kind in enumerate(kinds):
        values = table[kind].values()
        ax.plot((min(values), max(values)), (row, row), color=colour("rule"), linewidth=3, zorder=1)
    for name in names:
        places = [(table[kind][name], row) for row, kind in enumerate(kinds) if name in table[kind]]
        golds, heights = zip(*places, strict=True) if places else ((), ())
        ax.plot(golds, heights, MARKERS.get(name, "o"), color=colour(name), markersize=6, alpha=0.9, label=label(name))
    ax.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    ax.tick_params(axis="y", labelcolor=colour("ink"))
    ax.set_ylim(len(kinds) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.axvline(0, color=colour("muted"), linewidth=0.8, zorder=0)
    ax.set_xlabel("gold utility")
    _legend(ax)
    return figure


@styled
def harm(models: Models, ax: Axes | None = None) -> Figure:
    """Share of harmful requests complied with, as served, with its 95 % interval; ring: sampled at temperature 1."""
    served, at_t1 = measured(models, "harmful_compliance_served"), measured(models, "harmful_compliance_t1")
    figure, ax = canvas(ax, height=0.9 + 0.4 * len(served))
    for row, (name, share) in enumerate(served.items()):
        bounds: Any = models[name].get("harmful_compliance_served_ci95") or (share, share)
        ax.plot(bounds, (row, row), color=colour(name), linewidth=5, alpha=0.35, solid_capstyle="butt")
        ax.plot(share, row, MARKERS.get(name, "o"), color=colour(name), markersize=7, clip_on=False)
        if name in at_t1:
            ax.plot(at_t1[name], row, "o", color=colour("ink"), mfc="none", markersize=10, mew=1.0, clip_on=False)
        note(ax, percent(share), (max(*bounds, at_t1.get(name, 0.0)), row), (9, 0), va="center", weight="bold")
    ax.set_yticks(range(len(served)), [label(name) for name in served])
    ax.tick_params(axis="y", labelcolor=colour("ink"), labelsize=9, pad=7)
    ax.set_ylim(len(served) - 0.5, -0.5)
    ax.set_xlim(0, 1.16)
    ax.set_xticks(np.linspace(0, 1, 5))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("harmful requests complied with" + (" (ring: at T = 1)" if at_t1.keys() & served else ""))
    return figure


def _whiskers(ax: Axes, x: Floats, rows: Rows, key: str, tint: str, shift: float = 0.0) -> None:
    """Vertical 95 % intervals for the rows that carry one under `<key>_ci95`."""
    for place, row in zip(x, rows, strict=True):
        if bounds := row.get(f"{key}_ci95"):
            ax.vlines(place, bounds[0] + shift, bounds[1] + shift, color=tint, linewidth=1.1, alpha=0.55)


def _legend(ax: Axes) -> None:
    """One line of names above the axes: curves that cross leave no safe place inside."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=5,
        fontsize=7.5,
        borderpad=0,
        borderaxespad=0.6,
        handlelength=1.0,
        handletextpad=0.4,
        columnspacing=0.9,
    )


def _reach(method: str, rows: Rows) -> str:
    """A curve's name in the legend; for best-of-n also how far its n goes."""
    n = rows[-1].get("n")
    return f"Best of up to {n:g}" if method == "best_of_n" and n is not None else label(method)


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Push two labels apart, symmetrically, until they are at least `gap` from each other."""
    first, second = heights
    lack = gap - abs(first - second)
    if lack <= 0:
        return [first, second]
    up = lack / 2 if first >= second else -lack / 2
    return [first + up, second - up]


def kl_axis(ax: Axes, reach: float, what: str = "KL from SFT") -> None:
    """A horizontal axis of KL in nats on a square-root scale, from 0 to a little beyond `reach`."""
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, max(reach, 0.5) * 1.1)
    ax.xaxis.set_major_locator(FixedLocator(_sqrt_ticks(reach)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.set_xlabel(f"{what} in nats (square-root scale)")


def _sqrt_ticks(reach: float) -> list[float]:
    """Round KL values that stand about evenly on a square-root scale from 0 to `reach`."""
    choices = [0.0, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 50, 80, 120, 200, 400, 800, 1600]
    step, ticks = math.sqrt(max(reach, 0.5)) / 5.5, [0.0]
    for value in choices:
        if math.sqrt(value) - math.sqrt(ticks[-1]) >= step and value <= max(reach, 0.5) * 1.3:
            ticks.append(value)
    return ticks
