"""The tape as a graph: what a tensor was computed from, drawn layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minipost.autograd import Array, Tensor
from minipost.autograd.inspecting import gradients, operation, parents
from minipost.report.style import canvas, colour, styled


@styled
def tape_graph(
    root: Tensor, names: Mapping[str, Tensor] | None = None, with_gradients: bool = False, ax: Axes | None = None
) -> Figure:
    """The history of `root`, leaves at the left. Call it before `backward`, which frees the graph.

    Square boxes are leaves, round ones what operations made; `names` labels some of them. `with_gradients` adds what
    `backward` would send to each from a scalar `root`.
    """
    labels = {id(tensor): name for name, tensor in (names or {}).items()}
    arriving = {id(t): g for t, g in gradients(root)} if with_gradients else {}
    nodes, depth = layers(root)
    columns: dict[int, list[Tensor]] = {}
    for tensor in nodes:
        columns.setdefault(depth[id(tensor)], []).append(tensor)
    places: dict[int, tuple[float, float]] = {}
    for column, members in columns.items():
        members.sort(key=lambda t: np.mean([places[id(p)][1] for p in parents(t)] or [0.0]))
        for row, tensor in enumerate(members):
            places[id(tensor)] = (1.6 * column, row - (len(members) - 1) / 2)
    figure, ax = canvas(ax, height=0.9 + 0.75 * max(map(len, columns.values())), width=max(3.9, 1.25 * len(columns)))
    boxes = {}
    for tensor in nodes:
        leaf = not parents(tensor)
        look = {
            "boxstyle": "square,pad=0.4" if leaf else "round,pad=0.45,rounding_size=0.9",
            "facecolor": colour("context" if leaf else "paper"),
            "edgecolor": colour("sft" if leaf else "muted"),
        }
        label = described(tensor, labels.get(id(tensor), ""), arriving.get(id(tensor)))
        text = ax.text(*places[id(tensor)], label, ha="center", va="center", size=7.5, bbox=look)
        boxes[id(tensor)] = text.get_bbox_patch()
    for tensor in nodes:
        for k, parent in enumerate(parents(tensor)):
            twice = sum(p is parent for p in parents(tensor)) > 1
            far = depth[id(tensor)] - depth[id(parent)] > 1  # it goes over what stands between
            bend = -0.45 if far else (0.25 if k else -0.25) if twice else 0.0
            arrow = {
                "arrowstyle": "-|>",
                "color": colour("muted"),
                "linewidth": 1.1,
                "shrinkA": 1,
                "shrinkB": 1,
                "patchA": boxes[id(parent)],
                "patchB": boxes[id(tensor)],  # from one box's edge to the other's
                "connectionstyle": f"arc3,rad={bend}",
            }
            ax.annotate("", places[id(tensor)], places[id(parent)], arrowprops=arrow, zorder=4)
    x, y = np.array(list(places.values())).T
    ax.set(xlim=(x.min() - 0.8, x.max() + 0.8), ylim=(y.min() - 0.7, y.max() + 0.9))
    ax.axis("off")
    return figure


def layers(root: Tensor) -> tuple[list[Tensor], dict[int, int]]:
    """All tensors that `root` was computed from, parents first, and how many steps each is from the leaves."""
    order: list[Tensor] = []
    depth: dict[int, int] = {}
    stack = [root]
    while stack:
        tensor = stack[-1]
        unseen = [p for p in parents(tensor) if id(p) not in depth]
        if unseen:
            stack += unseen
            continue
        stack.pop()
        if id(tensor) not in depth:
            depth[id(tensor)] = 1 + max((depth[id(p)] for p in parents(tensor)), default=-1)
            order.append(tensor)
    return order, depth


def described(tensor: Tensor, name: str, gradient: Array | None) -> str:
    """A node's text: its name and operation, its value or shape, the gradient that arrives there."""
    lines = [" = ".join(part for part in (name, operation(tensor)) if part) or "leaf", short(tensor.data)]
    return "\n".join(lines if gradient is None else [*lines, f"gradient {short(gradient)}"])


def short(array: Array) -> str:
    """A single number as such, an array by its shape."""
    return f"{array.item():.4g}".replace("-", "−") if array.size == 1 else f"{array.shape}"
