"""Prints results: one table to stdout, the same numbers to a JSON file, the roofline to a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.harness import BenchmarkError, say


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = (), prose: str = ""
) -> None:
    """A table: the first column is a name, the others are figures, but for the column `prose`, which wraps."""
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
    for i, column in enumerate(columns):
        words = column == prose and column != ""
        table.add_column(column, justify="left" if i == 0 or words else "right", no_wrap=not words)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: names may hold square brackets
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, style="dim", soft_wrap=True)


def save(path: Path | None, results: Mapping[str, Any]) -> None:
    """Write the results as JSON; nothing without a path. Errors: `BenchmarkError` where it cannot be written."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path} ({error.strerror}): give --json a file that can be made.") from None
    say(f"  wrote {path}")


def figure(x: float, digits: int = 3) -> str:
    """Three significant digits, thousands separated: 12300 -> 12,300; 0.01234 -> 0.0123."""
    if x == 0:
        return "0"
    text = f"{x:.{digits}g}"
    return f"{float(text):,.0f}" if abs(x) >= 100 else f"{float(text):g}"


def ratio(x: float | None) -> str:
    return "" if x is None else f"{x:.2f}x"


def disturbed(share: float) -> str:
    """Empty for an undisturbed row (up to 3 % of the cores' time went elsewhere)."""
    return f"{share:.0%}" if share > 0.03 else ""
