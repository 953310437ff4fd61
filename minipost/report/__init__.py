"""The face of a run: figures, a page to look at, a table in the terminal.

`write_report` turns the numbers of a run into one self-contained `report.html`, `print_summary` into a table. Figures
are functions from rows to Matplotlib figures in `plots` and `curves`, and may be used by themselves. Importing this
package does not import Matplotlib; the first report does.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from minipost.report.summary import Details, Summary

__all__ = ["print_summary", "write_report"]


def write_report(out: Path, summary: Summary, details: Details) -> Path:
    """Write `out/report.html` and `out/figures/*.png`; return the page's path. See `minipost.report.page`."""
    from minipost.report.page import write_report

    return write_report(out, summary, details)


def print_summary(summary: Summary, console: Console) -> None:
    """Print the results table and the findings. See `minipost.report.table`."""
    from minipost.report.table import print_summary

    print_summary(summary, console)
