"""The pictures for lessons draw what they are given, in both themes, and say by more than colour what is what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lessons.tools import pictures
from lessons.tools.pictures.sequences import runs, visible
from minipost.autograd import Tensor, exp
from minipost.autograd.inspecting import gradients, operation, parents
from minipost.report import style

TOKENS = ["<user>", " Hi", "\n", "<assistant>", " Hello", "<end>", "<pad>"]
ROLES = ["prompt"] * 4 + ["response"] * 2 + ["padding"]
MASK = [0, 0, 0, 0, 1, 1, 0]


def a_tape() -> Tensor:
    a = Tensor(np.array(3.0))
    b = a + a
    return b * b + b * 2.0


DRAWINGS: dict[str, Any] = {
    "timeline": lambda: pictures.token_timeline(TOKENS, ROLES, MASK),
    "timeline with values": lambda: pictures.token_timeline(TOKENS, ROLES, MASK, np.linspace(-2, -1, 7), "log p"),
    "tape": lambda: pictures.tape_graph(a_tape()),
    "tape with gradients": lambda: pictures.tape_graph(a_tape(), with_gradients=True),
    "attention": lambda: pictures.attention_map(np.tril(np.ones((7, 7))) / np.arange(1, 8)[:, None], TOKENS),
    "clipping": lambda: pictures.clip_regions(0.2),
    "sweep of names": lambda: pictures.sweep({"a": [1.0, 2.0], "b": [2.0, 3.0]}, "metric", control="a"),
    "sweep of numbers": lambda: pictures.sweep({"1": [1.0], "10": [2.0]}, "metric", knob="n", scale="log"),
    "curve": lambda: pictures.curve([1, 10], {"u": [1, 2], "v": [3, 4]}, "x", "y", log="xy"),
    "histograms": lambda: pictures.histogram_pair(np.arange(9), np.arange(5), ("a", "b"), "x"),
    "heat": lambda: pictures.heat(np.eye(3), list("abc"), ["long name", "b", "c"], title="t"),
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in (*ax.texts, *ax.get_xticklabels())]


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_every_picture_can_be_drawn_in_both_themes(draw: Any, tmp_path: Path) -> None:
    sizes = []
    for theme in (style.LIGHT, style.DARK):
        with style.theme(theme):
            sizes.append(style.png(draw(), tmp_path / f"{theme.name}.png").stat().st_size)
    assert min(sizes) > 2000 and sizes[0] != sizes[1]


def test_a_timeline_shows_every_token_and_dots_what_counts() -> None:
    figure = pictures.token_timeline(TOKENS, ROLES, MASK, np.arange(7) - 6.0, "log p")
    assert {visible(token) for token in TOKENS} <= set(texts(figure))
    assert {"prompt", "response", "padding", "−2.00", "−1.00"} <= set(texts(figure)) and "−3.00" not in texts(figure)
    assert len(figure.axes[0].lines) == sum(MASK)
    assert runs(ROLES) == [(0, 4), (4, 6), (6, 7)] and visible(" a\n") == "␣a↵"


def test_the_tape_is_drawn_with_its_operations_values_and_gradients() -> None:
    root = a_tape()
    labels = texts(pictures.tape_graph(root, {"c": root}, with_gradients=True))
    assert "c = add\n48\ngradient 1" in labels and "leaf\n3\ngradient 28" in labels
    assert sum("multiply" in text for text in labels) == 2
    root.backward()  # looking at it has not used it up


def test_inspecting_walks_as_backward_does() -> None:
    x, y = Tensor(np.array([1.0, 2.0])), Tensor(np.array(3.0))
    root = (exp(x) * y + x * 2.0).sum()
    by_tensor = {id(tensor): g for tensor, g in gradients(root)}
    assert operation(root) == "sum" and operation(parents(root)[0]) == "add" and operation(x) == ""
    root.backward()
    assert x.grad is not None and y.grad is not None
    np.testing.assert_allclose(by_tensor[id(x)], x.grad)
    np.testing.assert_allclose(by_tensor[id(y)], y.grad)


def test_the_control_of_a_sweep_is_hollow() -> None:
    figure = pictures.sweep({"a": [1.0, 2.0], "b": [2.0, 3.0]}, "metric", control="a")
    faces = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_markersize() == 7]
    assert faces == [style.LIGHT["paper"], style.LIGHT["sft"]]


def test_attention_leaves_the_future_empty() -> None:
    labels = texts(pictures.attention_map(np.full((2, 2), 0.5), ["a", "b"]))
    assert labels.count("0.50") == 3
