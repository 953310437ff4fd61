"""Reading a table: plain text with one entry per line, under headings in brackets, with bars between columns.

    # A comment.
    [countries]
    Italy | Rome | Italian | Europe | pizza

Tables are named by their file and heading: `rows("facts", "countries")` reads `facts.txt` beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

Row = tuple[str, ...]
Rows = tuple[Row, ...]

FOLDER = Path(__file__).parent


@cache
def sections(path: Path) -> Mapping[str, Row]:
    """Heading -> the lines below it, without comments and empty lines.

    Raises:
        ValueError: for a line above the first heading, and for a heading that comes twice.
    """
    entries: dict[str, list[str]] = {}
    heading = None
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = text.strip()
        if line.startswith("[") and line.endswith("]"):
            heading = line[1:-1]
            if heading in entries:
                raise ValueError(f"{path}:{number}: the heading [{heading}] comes twice; merge the two.")
            entries[heading] = []
        elif line and not line.startswith("#"):
            if heading is None:
                raise ValueError(f"{path}:{number}: put a heading such as [countries] above this line.")
            entries[heading].append(line)
    return {heading: tuple(lines) for heading, lines in entries.items()}


def lines(file: str, heading: str, folder: Path = FOLDER) -> Row:
    """The lines below a heading.

    Raises:
        ValueError: if the file has no such heading.
    """
    entries = sections(folder / f"{file}.txt")
    if heading not in entries:
        raise ValueError(f"{folder / file}.txt has no heading [{heading}]; add it, or correct the name.")
    return entries[heading]


def rows(file: str, heading: str, folder: Path = FOLDER) -> Rows:
    """The lines below a heading, split into columns.

    >>> rows("toy_language", "verbs")[0]
    ('sings', 'lani')

    Raises:
        ValueError: as for `lines`, or if a line has more or fewer columns than the first.
    """
    table = tuple(tuple(cell.strip() for cell in line.split("|")) for line in lines(file, heading, folder))
    for row in table:
        if len(row) != len(table[0]):
            raise ValueError(
                f"{folder / file}.txt: under [{heading}] the line {' | '.join(row)!r} has {len(row)} columns, "
                f"and the first one has {len(table[0])}."
            )
    return table


def word_list(file: str, heading: str) -> Row:
    """The words below a heading, however many there are on a line."""
    return tuple(" ".join(lines(file, heading)).split())


def pairs(file: str, heading: str) -> dict[str, str]:
    """The two columns below a heading, as a dictionary."""
    return {key: value for key, value in rows(file, heading)}  # noqa: C416 (`dict` does not take rows of any length)


def weights(file: str, heading: str) -> dict[str, float]:
    """The lines `name | number` below a heading: name -> number."""
    return {name: float(number) for name, number in pairs(file, heading).items()}
