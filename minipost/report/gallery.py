"""Which figures a run can show: each with a title, the sentence that it supports, and words for who cannot see it.

A figure whose data is missing is not in the gallery; nothing else in the report has to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from minipost.report import plots, story
from minipost.report.curves import CURVES, learning_curve
from minipost.report.rows import complete, shares
from minipost.report.style import DARK, LIGHT, WIDTH, png, styled, theme
from minipost.report.summary import (
    Details,
    Measure,
    Models,
    RewardModelMeasures,
    Summary,
    cleaned,
    measure_of,
    measured,
)
from minipost.report.wording import label, number, percent

OVERVIEW = ("gold", "proxy", "frontier", "ppo-proxy-gold", "pizza", "calibration", "harm")


@dataclass(frozen=True)
class Plate:
    """One figure: `draw(ax)` draws it, `finding` is the sentence above it, `description` says what is to be seen."""

    slug: str
    section: str
    title: str
    finding: str
    description: str
    draw: Callable[[Axes | None], Figure]

    @property
    def alt(self) -> str:
        """The figure in words, for who cannot see it."""
        return f"{self.description} {self.finding}".strip()


def gallery(summary: Summary, details: Details) -> list[Plate]:
    """All figures that the data allows, in the order of the page."""
    summary, details = cleaned(summary), cleaned(details)
    models = summary.get("models") or {}
    measure = measure_of(models)
    return [
        *_results(models, measure),
        *_prices(details, measure),
        *_gaps(details),
        *_reward_model(summary.get("reward_model") or {}, measure),
        *_kinds(details.get("pizza") or {}, models),
        *_curves(details),
    ]


def _results(models: Models, measure: Measure) -> Iterator[Plate]:
    """Every model's mean reward."""
    if not measured(models, f"{measure}_mean"):
        return
    means, draw = story.means(models, measure), partial(plots.reward_by_model, models, measure)
    marks = "A mark and an interval for each model."
    if measure == "gold":  # the table below says it in digits: no finding above the figure
        yield Plate("gold", "result", "Gold utility", "", f"{marks} {means}", draw)
    else:
        yield Plate("proxy", "result", "Proxy reward", means, marks, draw)


def _prices(details: Details, measure: Measure) -> Iterator[Plate]:
    """Reward over KL."""
    frontier, rollouts = details.get("frontier") or {}, details.get("rollouts") or []
    if not any(complete(rows, "kl", measure) for name, rows in frontier.items() if name != "sft"):
        return
    finding, draw = story.price(frontier, measure), partial(plots.frontier, frontier, measure, rollouts)
    if measure == "gold":
        finding += " The thin line follows PPO's rollouts while it trained." if rollouts else ""
        description = "Gold over KL: best-of-n's curve, and a point for each other method."
        yield Plate("frontier", "price", "KL-reward frontier", finding, description, draw)
    else:
        yield Plate(
            "frontier", "price", "KL and proxy reward", finding, "Curves of the reward model's score over KL.", draw
        )


def _gaps(details: Details) -> Iterator[Plate]:
    """Proxy and gold over PPO's steps and over the n of best-of-n."""
    best_of_n = (details.get("frontier") or {}).get("best_of_n")
    for slug, rows, by, method in (
        ("ppo-proxy-gold", details.get("rollouts"), "step", "ppo"),
        ("best-of-n-proxy-gold", best_of_n, "n", "best_of_n"),
    ):
        if len(known := complete(rows, by, "proxy", "gold")) > 1:
            title, finding = f"{label(method)}: proxy and gold", story.exploited(known, by, method)
            description = f"Two curves over {by}: proxy dashed, gold solid."
            draw = partial(plots.overoptimisation, known, by, method)
            yield Plate(slug, "proxy", title, finding, description, draw)


def _reward_model(reward_model: RewardModelMeasures, measure: Measure) -> Iterator[Plate]:
    if complete(reward_model.get("calibration"), "predicted", "empirical"):
        finding, draw = story.ranking(reward_model, measure), partial(plots.calibration, reward_model)
        description = "Dots near a diagonal: predicted against observed wins."
        yield Plate("calibration", "reward", "Reward model calibration", finding, description, draw)


def _kinds(pizza: Mapping[str, Mapping[str, float]], models: Models) -> Iterator[Plate]:
    """What the mean over all prompts hides: one prompt of which all is known, kinds of task, harmful requests."""
    if any(pizza.values()):
        description = "Stacked bars: instructions, a question back, more context. " + _bars(pizza)
        draw = partial(plots.pizza, pizza)
        yield Plate("pizza", "pizza", "“How to make pizza”", story.modes(pizza), description, draw)
    if any(model.get("by_kind") for model in models.values()):
        description = "Rows of marks, one row for each kind of task, one mark for each model."
        finding, draw = story.hardest(models), partial(plots.by_kind, models)
        yield Plate("kinds", "kinds", "Gold utility by kind of task", finding, description, draw)
    if measured(models, "harmful_compliance_served"):
        finding, draw = story.harmless(models), partial(plots.harm, models)
        yield Plate("harm", "kinds", "Harmful compliance", finding, "A mark and an interval for each model.", draw)


def _curves(details: Details) -> Iterator[Plate]:
    """A learning curve for each stage."""
    for stage, curve in CURVES.items():
        if rows := complete((details.get("curves") or {}).get(stage), "step", curve.metric):
            first, last = number(rows[0][curve.metric]), number(rows[-1][curve.metric])
            description = f"{curve.axis} over {len(rows)} steps, from {first} to {last}."
            draw = partial(learning_curve, stage, rows)
            yield Plate(f"curve-{stage}", "curves", curve.title, "", description, draw)


def _bars(pizza: Mapping[str, Mapping[str, float]]) -> str:
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
