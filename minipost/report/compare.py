"""`minipost plot`: the metrics of several runs in one figure, a panel for each metric.

    minipost plot runs/tour/sft runs/other/sft                     all metrics that both have
    minipost plot runs/ppo* --metric objective/kl --out kl.png     one of them

A run has one colour and one kind of line in all panels. Single steps are faint, their running mean strong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minipost.config import parse
from minipost.errors import UserError
from minipost.report.curves import running_mean
from minipost.report.rows import column, complete
from minipost.report.style import colour, png, styled
from minipost.report.summary import Rows
from minipost.runs import read_metrics

HELP = """Plot the metrics of runs side by side.

Examples:
  minipost plot runs/tour/sft runs/other/sft
  minipost plot runs/ppo-a runs/ppo-b --metric objective/kl gold --out kl.png
  minipost plot runs/tour/dpo --json"""
TINTS, STYLES = ("sft", "ppo", "best_of_n", "dpo", "grpo", "rloo", "base"), ("-", "--", ":")
SIDE = 3  # panels beside each other
UNSHOWN = ("step", "seconds")


@dataclass(frozen=True)
class PlotConfig:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]  # run folders
    metric: tuple[str, ...] = ()  # which metrics; default: those that all runs have
    out: Path = Path("metrics.png")  # the picture
    json: bool = False  # print the last value of each metric as JSON


def check(config: PlotConfig) -> None:
    """Refuse what cannot be meant, before anything is read or written. Errors: `UserError`."""
    if not config.runs:
        raise UserError("Name at least one run folder: minipost plot runs/sft.")
    if len({path.resolve() for path in config.runs}) < len(config.runs):
        raise UserError("A run folder is named twice; name each one once.")
    if len(config.runs) > len(TINTS) * len(STYLES):
        raise UserError(f"More than {len(TINTS) * len(STYLES)} runs cannot be told apart; plot fewer.")
    if config.out.suffix != ".png":
        raise UserError(f"--out {config.out} must end with .png.")


def names(runs: Mapping[str, Rows], wanted: Sequence[str] = ()) -> list[str]:
    """The metrics to plot: those wanted, or all that every run has. Errors: `UserError` if there are none."""
    known = {name: list(dict.fromkeys(key for row in rows for key in row)) for name, rows in runs.items()}
    have = {
        name: [key for key in keys if key not in UNSHOWN and complete(runs[name], "step", key)]
        for name, keys in known.items()
    }
    union = list(dict.fromkeys(key for keys in have.values() for key in keys))
    if missing := [key for key in wanted if key not in union]:
        raise UserError(f"No run has the metric {missing[0]!r}; they have {', '.join(union) or 'none'}.")
    shared = [key for key in union if all(key in keys for keys in have.values())]
    if not (wanted or shared):
        raise UserError("The runs have no metric in common; choose one of theirs by --metric.")
    return list(wanted) or shared


@styled
def compare(runs: Mapping[str, Rows], metrics: Sequence[str]) -> Figure:
    """A panel for each metric, in which a run that lacks it is missing. `runs` maps labels to rows of metrics.jsonl."""
    across = min(SIDE, len(metrics))
    down = -(-len(metrics) // across)
    figure = Figure(figsize=(3.2 * across, 2.15 * down + 0.3), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    looks = dict(zip(runs, product(STYLES, TINTS), strict=False))
    handles: dict[str, Any] = {}
    for ax, metric in zip(axes, metrics, strict=False):
        for run, (style, tint) in looks.items():
            if not (rows := complete(runs[run], "step", metric)):
                continue
            steps, values = column(rows, "step"), column(rows, metric)
            ax.plot(steps, values, color=colour(tint), linewidth=0.8, alpha=0.25)
            smooth = running_mean(values, len(values) // 25)
            mark = "o" if len(values) == 1 else None
            (handles[run],) = ax.plot(steps, smooth, color=colour(tint), linestyle=style, marker=mark)
        ax.set_ylabel(metric)
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes[len(metrics) :]:
        ax.set_visible(False)
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=min(4, len(handles)))
    return figure


def labels(paths: Sequence[Path]) -> list[str]:
    """Paths without the folders that they all share.

    >>> labels([Path("runs/a/sft"), Path("runs/b/sft")])
    ['a/sft', 'b/sft']
    """
    whole = [path.resolve() for path in paths]
    shared = os.path.commonpath([path.parent for path in whole])
    return [path.relative_to(shared).as_posix() for path in whole]


def command(argv: Sequence[str]) -> int:
    config = parse(PlotConfig, argv, "minipost plot", HELP)
    check(config)
    runs = {label: read_metrics(path) for label, path in zip(labels(config.runs), config.runs, strict=True)}
    metrics = names(runs, config.metric)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    png(compare(runs, metrics), config.out)
    if config.json:
        last = {m: {run: column(r, m)[-1].item() for run in runs if (r := complete(runs[run], m))} for m in metrics}
        print(json.dumps({"picture": str(config.out), "last": last}, indent=2))
    else:
        print(f"{config.out}: {len(metrics)} metrics of {len(runs)} runs")
    return 0
