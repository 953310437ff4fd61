"""A figure with a slider: everything that it can show is computed when the site is built, the browser only chooses.

A figure has one frame for each position of its slider. The page carries all frames as JSON, and `play.js` draws the one
that is asked for: no network, no framework, and no second implementation of any formula in another language. Without
JavaScript the page shows what the frames *say*, as a table.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

Say = tuple[str, str]  # what is measured, and its value in this frame


@dataclass(frozen=True)
class Series:
    """One line, one set of bars or one cloud of points; `colour` is a name of `minipost.report.style`."""

    name: str
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Frame:
    """What the figure shows at one position of the slider.

    `at` is the slider's value in words. `y[S][X]` has a row for each series; `None` leaves a gap.
    """

    at: str
    y: list[list[float | None]]
    says: list[Say]


@dataclass(frozen=True)
class Play:
    """A figure. `x[X]` are numbers for lines and points, names for bars; `start` is the frame shown first.

    `lesson` is the number of the lesson whose page shows it, `try_this` what to look for.
    """

    slug: str
    lesson: int
    title: str
    about: str
    try_this: str
    slider: str
    kind: Literal["lines", "bars", "points"]
    x: list[float] | list[str]
    x_label: str
    y_label: str
    series: list[Series]
    frames: list[Frame]
    start: int = 0

    def __post_init__(self) -> None:
        for frame in self.frames:
            shape = {len(row) for row in frame.y}
            if len(frame.y) != len(self.series) or shape != {len(self.x)}:
                raise ValueError(
                    f"{self.slug} at {frame.at}: needs {len(self.series)} rows of {len(self.x)} numbers, "
                    f"got {len(frame.y)} rows of {sorted(shape)}."
                )

    @property
    def y_range(self) -> tuple[float, float]:
        """The range of all frames: the axes stand still while the slider moves."""
        values = [value for frame in self.frames for row in frame.y for value in row if value is not None]
        low, high = min(values), max(values)
        low, high = (min(low, 0.0), max(high, 0.0)) if self.kind == "bars" else (low, high)
        margin = 0.05 * (high - low)
        return (low if low == 0 and self.kind == "bars" else low - margin), high + margin


def figure_html(play: Play) -> str:
    """The figure as an element of a page: controls, data, and a table for readers without JavaScript."""
    slider = f"play-{play.slug}-slider"
    return "\n".join(
        [
            f'<figure class="play" id="play-{play.slug}" data-slug="{play.slug}">',
            f"<figcaption><strong>{html.escape(play.title)}</strong> {html.escape(play.about)}</figcaption>",
            '<div class="play-controls" hidden>',
            f'<label for="{slider}">{html.escape(play.slider)}</label>',
            f'<input type="range" id="{slider}" min="0" max="{len(play.frames) - 1}" step="1" value="{play.start}">',
            f'<output for="{slider}"></output>',
            "</div>",
            '<div class="play-legend" aria-hidden="true"></div>',
            '<div class="play-drawing"></div>',
            '<dl class="play-says" aria-live="polite"></dl>',
            f'<p class="play-try"><em>Try:</em> {html.escape(play.try_this)}</p>',
            f'<script type="application/json">{_json(play)}</script>',
            f"<noscript>{''.join(_table(play))}</noscript>",
            "</figure>",
        ]
    )


def _json(play: Play) -> str:
    """The data, four digits each; `<` is escaped, as a script element ends at the first `</script`."""
    data = asdict(play) | {"y_range": play.y_range}
    return json.dumps(_rounded(data), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _rounded(data: object) -> object:
    if isinstance(data, float):
        return float(f"{data:.4g}")
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    return [_rounded(value) for value in data] if isinstance(data, list | tuple) else data


def _table(play: Play) -> Iterator[str]:
    names = [name for name, _ in play.frames[0].says]
    yield "<p>The slider needs JavaScript. This is what it would show:</p>"
    yield '<div class="table-wrapper"><table><tr>'
    yield from (f"<th>{html.escape(name)}</th>" for name in [play.slider, *names])
    yield "</tr>"
    for frame in play.frames:
        cells = [frame.at, *(value for _, value in frame.says)]
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table></div>"
