"""Pictures of tokens: which are read, which are learned from, which look at which."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lessons.tools.pictures.numbers import heat
from minipost.report.style import canvas, colour, note, styled
from minipost.report.wording import number

FILLS = {"prompt": "context", "response": "question", "padding": "paper"}  # role -> colour's name


@styled
def token_timeline(
    tokens: Sequence[str],
    roles: Sequence[str],
    mask: Sequence[object],
    values: Sequence[float] | None = None,
    value_name: str = "",
    ax: Axes | None = None,
) -> Figure:
    """One box per token. `roles[T]` are "prompt", "response" or "padding"; dots mark `mask[T]`, what the loss counts.

    `values[T]` (a log-probability, an advantage) are written below, where the mask counts.
    """
    T = len(tokens)
    widths = [max(0.6, 0.085 * len(visible(token)) + 0.3) for token in tokens]
    left = np.concatenate([[0.0], np.cumsum(widths)])
    figure, ax = canvas(ax, height=1.25 if values is None else 1.5, width=max(3.9, float(left[-1]) * 0.8 + 0.6))
    for t in range(T):
        box = Rectangle((left[t], 0), widths[t], 1, facecolor=colour(FILLS[roles[t]]), edgecolor=colour("muted"))
        box.set_hatch("///" if roles[t] == "padding" else "")
        ax.add_patch(box)
        middle = left[t] + widths[t] / 2
        ax.text(middle, 0.5, visible(tokens[t]), ha="center", va="center", size=7.5)
        if mask[t]:
            ax.plot(middle, 1.3, "o", color=colour("ppo"), markersize=5)
        if values is not None and mask[t]:
            ax.text(middle, -0.35, number(values[t]), ha="center", va="center", size=7, color=colour("muted"))
    for start, end in runs(roles):
        note(ax, roles[start], ((left[start] + left[end]) / 2, 1.7), (0, 0), ha="center", size=8, color=colour("muted"))
    if values is not None:
        note(ax, value_name, (0, -0.35), (-4, 0), ha="right", va="center", size=7, color=colour("muted"))
    ax.set(xlim=(-0.1, left[-1] + 0.1), ylim=(-0.7 if values is not None else -0.2, 2.4))
    ax.axis("off")
    return figure


@styled
def attention_map(weights: npt.ArrayLike, tokens: Sequence[str], title: str = "", ax: Axes | None = None) -> Figure:
    """Attention weights[T, T]: the row's token looks at the column's. Entries that causality forbids stay empty."""
    shown = np.ma.masked_array(np.asarray(weights, float), mask=np.triu(np.ones((len(tokens),) * 2, bool), 1))
    names = [visible(token) for token in tokens]
    return heat(shown, names, names, x_name="is looked at", y_name="looks", title=title, low=0.0, high=1.0, ax=ax)


def visible(token: str) -> str:
    """A token as one reads it: blanks and line ends have a sign, and none vanishes."""
    return token.replace(" ", "\N{OPEN BOX}").replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}") or "∅"


def runs(roles: Sequence[str]) -> list[tuple[int, int]]:
    """(start, end) of every run of equal roles."""
    edges = [0, *(t for t in range(1, len(roles)) if roles[t] != roles[t - 1]), len(roles)]
    return list(pairwise(edges))
