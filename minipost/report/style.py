"""One look for every figure: a model has the same colour and the same marker wherever it appears.

Colour always means *model*; line style means *which reward* (solid: gold, the true utility; dashed: proxy, the reward
model). The hues follow Okabe and Ito's colour-blind safe set, moved until each has a contrast of 3 to 1 with the
paper and all pairs stay apart under simulated protanopia and deuteranopia; the tests measure both. Markers say it
again.

A figure is drawn once, in the light theme. `svg` then replaces each of the theme's colours by a CSS variable, so that
the page, and not the drawing, decides what "ink" looks like in the dark. A PNG cannot do that: it is drawn once per
theme.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

MARKERS = {"base": "s", "sft": "o", "best_of_n": "^", "ppo": "D", "dpo": "v", "grpo": "P", "rloo": "X"}


@dataclass(frozen=True)
class Theme:
    """Named colours. Every name is a CSS variable of the page (`--ink`, `--ppo`, ...), so no two may share a value."""

    name: str
    colours: dict[str, str]

    def __getitem__(self, name: str) -> str:
        """The colour of a name; one that is no model of ours is drawn in the muted ink."""
        return self.colours.get(name, self.colours["muted"])


COLOURS = {  # name: on light paper, on dark
    "ink": ("#1d2129", "#e9eaec"),
    "muted": ("#5f6774", "#a2a9b4"),
    "rule": ("#d9dce1", "#3a404a"),
    "paper": ("#fffefb", "#1b1e24"),
    "base": ("#8b9099", "#7b828c"),
    "sft": ("#0b62c4", "#4fbcf5"),
    "best_of_n": ("#12a066", "#3cc48f"),
    "ppo": ("#d86a00", "#f0903f"),
    "dpo": ("#984fa3", "#d970c8"),
    "grpo": ("#957500", "#d9b630"),
    "rloo": ("#5b50c8", "#a59cf5"),
    "instructions": ("#22577a", "#6db5dd"),
    "question": ("#7fa9c4", "#3f7191"),
    "context": ("#c6d6e1", "#2f4757"),
    "other": ("#e8eaed", "#2a2f37"),
}
LIGHT = Theme("light", {name: light for name, (light, _) in COLOURS.items()})
DARK = Theme("dark", {name: dark for name, (_, dark) in COLOURS.items()})

_STYLE = dict(rc_params_from_file(str(files("minipost.report") / "figures.mplstyle"), use_default_template=False))
_theme: ContextVar[Theme] = ContextVar("theme", default=LIGHT)
WIDTH, HEIGHT = 3.9, 2.8  # inches: one column of the page, legible at a phone's width without scrolling


def colour(name: str) -> str:
    """The current theme's colour of a model, a mode or a role (`ink`, `muted`, `rule`, `paper`)."""
    return _theme.get()[name]


@contextmanager
def theme(chosen: Theme) -> Iterator[None]:
    """Draw everything inside in `chosen`."""
    token = _theme.set(chosen)
    try:
        with matplotlib.rc_context(_parameters(chosen)):
            yield
    finally:
        _theme.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run a drawing function under the current theme's parameters, and leave the caller's as they were."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_parameters(_theme.get())):
            return draw(*args, **kwargs)

    return inner


def canvas(ax: Axes | None, height: float = HEIGHT, width: float = WIDTH) -> tuple[Figure, Axes]:
    """The axes to draw on: the caller's, or those of a new figure, one column wide unless told otherwise (inches)."""
    if ax is not None:
        figure = ax.get_figure(root=True)
        assert figure is not None, "axes belong to a figure"
        return figure, ax
    figure = Figure(figsize=(width, height), layout="constrained")  # no pyplot: no global list of open figures
    return figure, figure.subplots()


def note(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **look: Any) -> None:
    """Write `text` beside the data point `at`, shifted by (right, up) points."""
    ax.annotate(text, at, shift, textcoords="offset points", **look)


def _parameters(chosen: Theme) -> dict[Any, Any]:
    """Matplotlib's parameters of a theme."""
    ink, muted, rule, paper = (chosen[name] for name in ("ink", "muted", "rule", "paper"))
    return {
        **_STYLE,
        **dict.fromkeys(("text.color", "axes.titlecolor"), ink),
        **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), muted),
        **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), rule),
        **dict.fromkeys(("figure.facecolor", "savefig.facecolor"), paper),
    }


def png(figure: Figure, path: Path) -> Path:
    """Write a figure of the current theme as PNG at twice the screen's resolution."""
    with matplotlib.rc_context(_parameters(_theme.get())):
        figure.savefig(path, format="png", dpi=192)
    return path


def svg(figure: Figure, slug: str, alt: str) -> str:
    """A figure of the light theme as an `<svg>` element to inline in a page.

    Ids get `slug` as a prefix, since all figures of a page share one namespace. Colours become CSS variables with the
    light value as fallback, sizes give way to the view box, and `alt` is what a screen reader says.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_parameters(LIGHT)):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL
    )  # its one style rule would reach all of the page
    text = re.sub(r'\bid="', f'id="{slug}-', text)
    text = re.sub(r'href="#', f'href="#{slug}-', text)
    text = text.replace("url(#", f"url(#{slug}-")
    for name, value in LIGHT.colours.items():
        text = text.replace(value, f"var(--{name}, {value})")
    head, _, body = text.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None, "Matplotlib writes a view box"
    label = html.escape(alt, quote=True)
    return (
        f'<svg {view[0]} role="img" aria-label="{label}" stroke-linejoin="round" stroke-linecap="butt">{body}'.strip()
    )


def css_variables() -> str:
    """Both themes as CSS: the light colours, and the dark ones for readers who prefer them."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in t.colours.items()) for t in (LIGHT, DARK))
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
