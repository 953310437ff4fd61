"""The table of results: its columns, once for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minipost.report import story
from minipost.report.style import DARK
from minipost.report.summary import Models, Summary, cleaned, measure_of, measured, ordered
from minipost.report.wording import duration, interval, label, number, percent, percent_interval


@dataclass(frozen=True)
class Column:
    """A measurement: its key in the summary, its title, what it means, how to write it, which direction is better."""

    key: str
    title: str
    meaning: str
    write: Callable[[object], str]
    better: int = 0  # +1: more is better, -1: less is better, 0: neither

    def texts(self, model: Mapping[str, Any]) -> tuple[str, str]:
        """The value and its interval as text; the interval is empty where there is none."""
        bounds = model.get(self.key.removesuffix("_mean").removesuffix("_vs_sft") + "_ci95")
        return self.write(model.get(self.key)), (percent_interval if self.write is percent else interval)(bounds)


def _tenths(value: object) -> str:
    return number(value, 1)


def _signed(value: object) -> str:
    return number(value, sign=True)


COMPLIED = "share of harmful requests complied with"
COLUMNS = (
    Column("gold_mean", "Gold", "mean true utility, sampled as served", _signed, +1),
    Column(
        "win_rate_vs_sft", "Wins vs SFT", "share of prompts on which it beats an answer of SFT, ties half", percent, +1
    ),
    Column("correct_served", "Right", "share of harmless prompts answered right, sampled as served", percent, +1),
    Column("correct", "Right, greedy", "the same, most likely answer", percent, +1),
    Column("correct_t1", "Right, T = 1", "the same, sampled at temperature 1", percent, +1),
    Column("malformed_served", "Malformed", "share of answers with a broken word, sampled as served", percent, -1),
    Column("malformed_t1", "Malformed, T = 1", "the same, sampled at temperature 1", percent, -1),
    Column("harmful_compliance_served", "Harm", f"{COMPLIED}, sampled as served", percent, -1),
    Column("harmful_compliance", "Harm, greedy", "the same, most likely answer", percent, -1),
    Column("harmful_compliance_t1", "Harm, T = 1", "the same, sampled at temperature 1", percent, -1),
    Column("needless_refusal_served", "Declines", "share of harmless prompts declined, sampled as served", percent, -1),
    Column("kl_to_sft", "KL", "KL divergence from SFT in nats per answer", _tenths),
    Column("end_rate", "Ends", "share of answers that the model ends by itself", percent),
    Column("mean_length", "Length", "mean tokens per answer", _tenths),
)
RANKED = "share of held-out pairs that log pi - log pi_SFT ranks as people did"
PREFERRED = "share of prompts on which the reward model prefers it to SFT"
PROXY_COLUMNS = (
    Column("heldout_loss", "Loss", "nats a token of held-out demonstrations", number, -1),
    Column("perplexity", "Perplexity", "the exponential of the loss", _tenths, -1),
    Column("implicit_accuracy", "Pairs", RANKED, percent, +1),
    Column("proxy_mean", "Proxy", "mean score by the reward model, sampled as served", _signed),
    Column("proxy_win_rate_vs_sft", "Proxy wins", PREFERRED, percent),
    *COLUMNS[-3:],
)
MAIN = (
    "gold_mean",
    "win_rate_vs_sft",
    "correct_served",
    "harmful_compliance_served",
    "kl_to_sft",
    "heldout_loss",
    "proxy_mean",
)
COMMON = (*MAIN, "malformed_served", "end_rate", "mean_length", "implicit_accuracy", "proxy_win_rate_vs_sft")


def columns_of(models: Models) -> tuple[Column, ...]:
    """The columns of a tour: in the simulated world, or on data whose truth nobody knows."""
    return PROXY_COLUMNS if measure_of(models) == "proxy" else COLUMNS


def best_in(models: Models, column: Column) -> list[str]:
    """The models that are best in a column as it is printed: what looks equal is equally bold, unless all do."""
    values = measured(models, column.key)
    if not column.better or len(values) < 2:
        return []
    top = max(values, key=lambda name: column.better * values[name])
    best = [name for name in values if column.texts(models[name])[0] == column.texts(models[top])[0]]
    return best if len(best) < len(values) else []


def print_summary(summary: Summary, console: Console) -> None:
    """The results table and the findings in the terminal; brackets are 95 % intervals."""
    summary = cleaned(summary)
    models, reward_model = summary.get("models") or {}, summary.get("reward_model") or {}
    caption = [f"size {summary.get('size', '?')}", f"seed {summary.get('seed', '?')}"]
    if summary.get("prompts"):
        caption.append(f"{summary['prompts']} held-out prompts")
    if summary.get("served_temperature"):
        caption.append(f"served at T = {summary['served_temperature']:g}")
    if summary.get("seconds"):
        caption.append(duration(sum(summary["seconds"].values())))
    table = _fitting(models, console)
    table.caption = " · ".join(caption)
    console.print(table)
    ranking = story.ranking(reward_model, measure_of(models))
    for sentence in filter(None, [story.headline(models), *story.findings(models), ranking]):
        console.print(f"• {sentence}", highlight=False, markup=False)


def _fitting(models: Models, console: Console) -> Table:
    """The fullest table that the terminal has room for: all columns, the common or the main ones, those without
    intervals."""
    full = [column for column in columns_of(models) if measured(models, column.key)]
    common, main = ([column for column in full if column.key in keys] for keys in (COMMON, MAIN))
    for columns, spreads in ((full, True), (common, True), (main, True)):
        table = _rows(models, columns, spreads)
        if console.measure(table, options=console.options.update(max_width=1000)).maximum <= console.width:
            return table
    return _rows(models, main, spreads=False)


def _rows(models: Models, columns: list[Column], spreads: bool) -> Table:
    table = Table(header_style="bold", caption_justify="left")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for name in ordered(models):
        cells = [Text(label(name), style=f"bold {DARK[name]}")]
        for column in columns:
            value, spread = column.texts(models[name])
            text = Text(value, style="bold" if name in best_in(models, column) else "")
            cells.append(text.append(f" {spread}", style="not bold dim") if spread and spreads else text)
        table.add_row(*cells)
    return table
