"""Counts the lines on `docs/reading.md`, whose sentences are written by hand.

    python tests/reading.py            is every number on the page the files' number?
    python tests/reading.py --write    put the files' numbers into the page

A path is a section `## NAME: ...` with three tables: what to read, in order; the plumbing, which a run enters too; and
what Python only imports. A row names a file, or a folder and files in it, or a folder alone: that stands for those of
its files that the path imports and that no row above names. Every file on the way is in one row, or `rows` raises.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from layout import FILES, MODULES, ROOT, TEXTS, import_closure, name_of, room

PAGE = ROOT / "docs" / "reading.md"
COMMANDS = {"DPO": "minipost.stages.dpo", "PPO": "minipost.stages.ppo"}
TABLES = ("to read", "plumbing", "imported")
CORE = ("kernels", "autograd", "losses", "text", "model", "stages")
ROW = re.compile(r"^(\| (?:\d+ \| )?(`minipost/[^|]*?) \|)[^|]*(\|.*)$", re.MULTILINE)
Rows = dict[str, list[Path]]  # what a row names -> its files


class ReadingError(ValueError):
    """A page that does not fit the files."""


def sections(text: str) -> dict[str, list[str]]:
    """The three tables of each path as text."""
    parts = re.split(r"^## (\w+):", text, flags=re.MULTILINE)
    return {
        name: re.split(r"^### ", section, flags=re.MULTILINE)[1:]
        for name, section in zip(parts[1::2], parts[2::2], strict=True)
    }


def rows(text: str, name: str) -> dict[str, Rows]:
    """The files of a path by table and row. Errors: `ReadingError`, if a row has no file, or a file no row."""
    left = import_closure(COMMANDS[name]) | {FILES["minipost.cli"]}
    tables: dict[str, Rows] = {}
    for title, table in zip(TABLES, sections(text)[name], strict=True):
        tables[title] = {}
        for _, cell, _ in ROW.findall(table):
            first, *names = (ROOT / path for path in re.findall("`([^`]*)`", cell))
            if names:
                files = [first / file.relative_to(ROOT) for file in names]
            else:
                files = sorted(file for file in left if file.is_relative_to(first))
            if not files or not left.issuperset(files):
                raise ReadingError(f"{name}, {title}: {cell} is imported by nothing on the way, or has two rows.")
            tables[title][cell] = files
            left -= set(files)
    if left:
        missing = ", ".join(sorted(file.relative_to(ROOT).as_posix() for file in left))
        raise ReadingError(f"{name} imports {missing}: give each a row in docs/reading.md.")
    return tables


def files_of(table: Rows) -> list[Path]:
    return [file for files in table.values() for file in files]


def lines(files: list[Path]) -> int:
    """As `wc -l` counts."""
    return sum(TEXTS[file].count("\n") for file in files)


def counted(text: str) -> str:
    """The page with the numbers of today's files."""
    paths = {name: rows(text, name) for name in COMMANDS}
    for name, tables in paths.items():
        for table, old in zip(tables.values(), sections(text)[name], strict=True):
            text = text.replace(old, ROW.sub(lambda row: f"{row[1]} {_amount(table[row[2]])} {row[3]}", old))  # noqa: B023
    read = {name: files_of(tables["to read"]) for name, tables in paths.items()}
    totals = {name: [files_of(table) for table in tables.values()] for name, tables in paths.items()}
    totals["PPO, after DPO"] = [[file for file in read["PPO"] if file not in read["DPO"]]]
    totals["the core"] = [[file for file in MODULES if room(name_of(file)) in CORE]]
    totals["all of `minipost/`"] = [MODULES]
    for name, amounts in totals.items():
        cells = [f"{len(files)} files, {lines(files):,} lines" for files in amounts]
        row = " | ".join(cells + [""] * (3 - len(cells))).replace("|  |", "| |")
        text = re.sub(
            rf"^(\| {re.escape(name)}(?:: [^|]*)? \|)[^|]*\|[^|]*\|[^|]*\|$",
            rf"\1 {row} |".replace("  ", " "),
            text,
            flags=re.MULTILINE,
        )
    return text


def _amount(files: list[Path]) -> str:
    return f"{lines(files):,}" if len(files) == 1 else f"{lines(files):,} in {len(files)} files"


def main(argv: list[str]) -> int:
    old = PAGE.read_text(encoding="utf-8")
    try:
        new = counted(old)
    except ReadingError as error:
        print(error, file=sys.stderr)
        return 1
    if argv == ["--write"]:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
