"""Turns our docstrings, which are plain text, into the reStructuredText that Sphinx reads.

Our docstrings are plain text for the eye that reads the source: `code` between single backticks, drawings and formulas
indented by four blanks, lists with dashes. To reStructuredText `*`, `|` and a trailing `_` mean something, and what is
indented is a quotation. So text is escaped, `code` becomes a literal, and an indented block stays as it was drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

ITEM = re.compile(r"(\s*)([-*]|\d+\.) ")
EMPHASIS = re.compile(r"(?<![\w*])\*(\w[\w ,'-]*\w)\*(?![\w*])")


def restructured(lines: Sequence[str]) -> list[str]:
    """The lines of a docstring (its indentation already removed) as reStructuredText."""
    blocks = [list(block) for full, block in groupby(lines, key=lambda line: bool(line.strip())) if full]
    made: list[str] = []
    for drawn, run in groupby(blocks, key=lambda block: block[0].startswith("    ")):
        if drawn:
            made += ["::", "", *(line for block in run for line in [*block, ""])]
        else:
            made += [line for block in run for line in [*_text(block), ""]]
    return made


def _text(block: Sequence[str]) -> Iterator[str]:
    """One paragraph, list or doctest. A drawing that follows its sentence without an empty line becomes one too."""
    if block[0].startswith(">>>"):
        yield from block
        return
    escaped = _escaped("\n".join(block)).split("\n")
    in_list = in_drawing = False
    for raw, line in zip(block, escaped, strict=True):
        starts = bool(ITEM.match(raw))
        if raw.startswith("    ") and not in_list:
            if not in_drawing:
                yield from ("", "::", "")
            in_drawing = True
            yield raw
            continue
        if (starts and not in_list) or in_drawing:
            yield ""  # reStructuredText wants a list, and what follows a drawing, set apart
        in_list, in_drawing = in_list or starts, False
        yield line


def _escaped(text: str) -> str:
    """Text outside of backticks says what it says; inside them it is code, also across a line's end."""
    pieces = re.split(r"(`+[^`]+`+)", text)
    for i, piece in enumerate(pieces):
        if i % 2:
            pieces[i] = re.sub(r"\S.*\S|\S", r"``\g<0>``", piece.strip("`"))  # line by line: `.` stops at a line's end
        else:
            piece = EMPHASIS.sub("\0\\g<1>\0", piece)  # kept from being escaped, and put back below
            pieces[i] = re.sub(r"([*|\\`]|_(?=\W|$)|(?<=\s)_)", r"\\\1", piece)
            pieces[i] = re.sub(r"(?m)^(\s*)\\\* ", r"\1* ", pieces[i]).replace("\0", "*")
    joined = ""
    for piece in pieces:  # markup must not touch a letter: a backslash and a blank part them invisibly
        touches = joined and (joined.endswith("``") and re.match(r"\w", piece))
        touched = piece.startswith("``") and re.search(r"\w\Z", joined)
        joined += ("\\ " if touches or touched else "") + piece
    return joined
