"""Learning curves: one small panel a stage, with the value that it must start from drawn in.

A stage's first step has a known answer: uniform guessing costs ln V, a reward model that knows nothing and a policy
equal to its reference both cost ln 2, and the KL of a policy that has not moved is 0. A curve that starts elsewhere
is a bug.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minipost.report.rows import Floats, column, complete
from minipost.report.style import canvas, colour, note, styled
from minipost.report.summary import Rows
from minipost.report.wording import number


@dataclass(frozen=True)
class Curve:
    """What to show of a stage: the metric, its name on the axis, the answer known at step 0, and the colour."""

    title: str
    metric: str
    axis: str
    start: tuple[float, str] | None
    tint: str


CURVES: Mapping[str, Curve] = {
    "pretrain": Curve("Pretraining", "loss", "nats a token", None, "base"),
    "sft": Curve("Supervised finetuning", "loss", "nats a token", None, "sft"),
    "reward": Curve("Reward model", "loss", "Bradley-Terry loss", (math.log(2), "ln 2: a coin"), "ink"),
    "ppo": Curve("PPO", "objective/kl", "KL from SFT in nats", (0.0, "0: not moved"), "ppo"),
    "dpo": Curve("DPO", "loss", "DPO loss", (math.log(2), "ln 2: not moved"), "dpo"),
}


@styled
def learning_curve(stage: str, rows: Rows, ax: Axes | None = None) -> Figure:
    """A stage's metric over its steps: each step faint, a running mean strong."""
    curve = CURVES[stage]
    drawn = complete(rows, "step", curve.metric)
    steps, values = column(drawn, "step"), column(drawn, curve.metric)
    figure, ax = canvas(ax, height=2.15, width=3.2)
    tint = colour(curve.tint)
    ax.plot(steps, values, color=tint, linewidth=0.8, alpha=0.35)
    smooth = running_mean(values, max(1, len(values) // 25))
    ax.plot(steps, smooth, color=tint, linewidth=2)
    if curve.start is not None:
        ax.axhline(curve.start[0], color=colour("muted"), linewidth=1, linestyle=":")
        across = ax.get_yaxis_transform()
        ax.text(1, *curve.start, transform=across, ha="right", va="bottom", size=7.5, color=colour("muted"))
    last = (steps[-1], smooth[-1])
    note(ax, number(smooth[-1]), last, (5, 0), va="center", color=tint, weight="bold", annotation_clip=False)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel("step")
    ax.set_ylabel(curve.axis)
    return figure


def running_mean(values: Floats, window: int) -> Floats:
    """Mean over `window` steps on either side, fewer at the ends. values [N] -> [N].

    >>> running_mean(np.array([0.0, 3.0, 6.0]), 1).tolist()
    [1.5, 3.0, 4.5]
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - window, 0), np.minimum(index + window + 1, len(values))
    smooth: Floats = (total[high] - total[low]) / (high - low)
    return smooth
