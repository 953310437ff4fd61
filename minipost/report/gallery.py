"""Which figures a run can show: each with a title, the sentence that it supports, and words for who cannot see it.

A figure whose data is missing is not in the gallery; nothing else in the report has to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from minipost.report import own, plots, story
from minipost.report.curves import CURVES, learning_curve
from minipost.report.rows import column, complete, finite, shares
from minipost.report.style import DARK, LIGHT, WIDTH, png, styled, theme
from minipost.report.wording import label, number, percent

Data = Mapping[str, Any]
OVERVIEW = ("gold", "proxy", "frontier", "ppo-proxy-gold", "pizza", "calibration", "harm")


@dataclass(frozen=True)
class Plate:
    """One figure: `draw(ax)` draws it, `finding` is the sentence above it, `alt` says what is to be seen."""

    slug: str
    section: str
    title: str
    finding: str
    alt: str
    draw: Callable[[Axes | None], Figure]


def gallery(summary: Data, details: Data) -> list[Plate]:
    """All figures that the data allows, in the order of the page."""
    models, reward_model = summary.get("models") or {}, summary.get("reward_model") or {}
    frontier, pizza = details.get("frontier") or {}, details.get("pizza") or {}
    rollouts = details.get("rollouts") or []
    plates = []

    def hang(
        slug: str, section: str, title: str, finding: str, alt: str, draw: Callable[..., Figure], *data: Any
    ) -> None:
        plates.append(Plate(slug, section, title, finding, f"{alt} {finding}".strip(), partial(draw, *data)))

    if any(finite(model.get("gold_mean")) is not None for model in models.values()):
        alt = "A mark and an interval for each model. " + story.utilities(models)
        hang(
            "gold", "result", "Gold utility", "", alt, plots.reward_by_model, models, "gold"
        )  # the table below says it in digits
    if any(complete(rows, "kl", "gold") for name, rows in frontier.items() if name != "sft"):
        finding = story.price(frontier)
        if rollouts:
            finding += " The thin line follows PPO's rollouts while it trained."
        alt = "Gold over KL: best-of-n's curve, and a point for each other method."
        hang("frontier", "price", "KL-reward frontier", finding, alt, plots.frontier, frontier, "gold", rollouts)
    if own.proxy_only(models):
        alt = "A mark and an interval for each model."
        hang("proxy", "result", "Proxy reward", own.proxies(models), alt, plots.reward_by_model, models, "proxy")
        if any(complete(rows, "kl", "proxy") for name, rows in frontier.items() if name != "sft"):
            finding, alt = own.moved(models), "Curves of the reward model's score over KL."
            hang("frontier", "price", "KL and proxy reward", finding, alt, plots.frontier, frontier, "proxy", [])
    for slug, rows, by, method in (
        ("ppo-proxy-gold", rollouts, "step", "ppo"),
        ("best-of-n-proxy-gold", frontier.get("best_of_n"), "n", "best_of_n"),
    ):
        if len(complete(rows, by, "proxy", "gold")) > 1:
            finding, alt = story.exploited(rows, by, method), f"Two curves over {by}: proxy dashed, gold solid."
            hang(
                slug,
                "proxy",
                f"{label(method)}: proxy and gold",
                finding,
                alt,
                plots.overoptimisation,
                rows,
                by,
                method,
            )
    if complete(reward_model.get("calibration"), "predicted", "empirical"):
        judged = own.judged if own.proxy_only(models) else story.judged
        finding, alt = judged(reward_model), "Dots near a diagonal: predicted against observed wins."
        hang("calibration", "reward", "Reward model calibration", finding, alt, plots.calibration, reward_model)
    if any(pizza.values()):
        alt = "Stacked bars: instructions, a question back, more context. " + _bars(pizza)
        hang("pizza", "pizza", "“How to make pizza”", story.modes(pizza), alt, plots.pizza, pizza)
    if any(model.get("by_kind") for model in models.values()):
        alt = "Rows of marks, one row for each kind of task, one mark for each model."
        hang("kinds", "kinds", "Gold utility by kind of task", story.hardest(models), alt, plots.by_kind, models)
    if any(finite(model.get("harmful_compliance")) is not None for model in models.values()):
        hang("harm", "kinds", "Harmful compliance", story.harmless(models), "A bar for each model.", plots.harm, models)
    for stage, curve in CURVES.items():
        if rows := complete((details.get("curves") or {}).get(stage), "step", curve.metric):
            values = column(rows, curve.metric)
            alt = f"{curve.axis} over {len(rows)} steps, from {number(values[0])} to {number(values[-1])}."
            hang(f"curve-{stage}", "curves", curve.title, "", alt, learning_curve, stage, rows)
    return plates


def _bars(pizza: Data) -> str:
    """Every bar in words."""
    bars = []
    for name, histogram in pizza.items():
        parts = [f"{plots.MODE_LABELS.get(mode, mode)} {percent(share)}" for mode, share in shares(histogram).items()]
        bars += [f"{name}: {', '.join(parts)}"] if parts else []
    return "; ".join(bars) + "."


@styled
def _entitle(ax: Axes, title: str) -> None:
    """Write a title above the axes and above the legend that may stand there. The page has headings of its own."""
    ax.set_title(title, pad=21 if ax.get_legend() else 9)


@styled
def overview(plates: list[Plate]) -> Figure | None:
    """Up to six of the figures on one wide sheet, for a README; None if there is nothing to show."""
    chosen = [plate for slug in OVERVIEW for plate in plates if plate.slug == slug]
    if not chosen:
        return None
    columns = min(3, len(chosen))
    lines = -(-len(chosen) // columns)
    sheet = Figure(figsize=(WIDTH * columns, 3.0 * lines), layout=ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.14))
    for plate, ax in zip(chosen, sheet.subplots(lines, columns, squeeze=False).flat, strict=False):
        plate.draw(ax)
        _entitle(ax, plate.title)
    for ax in sheet.axes[len(chosen) :]:
        ax.set_axis_off()
    return sheet


def write_figures(plates: list[Plate], folder: Path) -> list[Path]:
    """Every figure and the overview as PNG: `NAME.png` on light paper, `NAME-dark.png` on dark."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chosen, suffix in ((LIGHT, ""), (DARK, "-dark")):
        with theme(chosen):
            for plate in plates:
                figure = plate.draw(None)
                _entitle(figure.axes[0], plate.title)
                written.append(png(figure, folder / f"{plate.slug}{suffix}.png"))
            if (sheet := overview(plates)) is not None:
                written.append(png(sheet, folder / f"overview{suffix}.png"))
    return written
