"""What a file holds, counted as it goes by: turns, token lengths, duplicates, swapped pairs, leakage.

Of a row nothing is kept but a few integers: its line, its examples' lengths, and 8-byte fingerprints of its text. Two
different texts share a fingerprint once in 10^19, so that a count of duplicates may be trusted.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minipost.data.reader import Read
from minipost.data.records import Comparison, Record, Text, prompt_of
from minipost.data.tokens import contents, truncated
from minipost.text import Tokenizer

SHOWN = 10  # lines that a warning lists


@dataclass
class Survey:
    """The counts of one file."""

    tokenizer: Tokenizer
    turns: Counter[int] = field(default_factory=Counter)  # rows by how many turns they have, responses included
    kept: list[Read] = field(default_factory=list)  # the first rows, to be shown
    show: int = 3
    cut: int = 0  # responses that did not fit into the context
    lengths: array[int] = field(default_factory=lambda: array("I"))  # tokens of each example
    lines: array[int] = field(default_factory=lambda: array("Q"))
    rows: array[int] = field(default_factory=lambda: array("Q"))  # fingerprints of whole rows
    mirrored: array[int] = field(default_factory=lambda: array("Q"))  # of comparisons with their sides exchanged

    def add(self, read: Read) -> None:
        if len(self.kept) < self.show:
            self.kept.append(read)
        parts = contents(read.record)
        if not isinstance(read.record, Text):
            answered = 1 if isinstance(read.record, Comparison) else 0  # chosen and rejected are one turn
            self.turns[len(parts) - answered] += 1
        self.cut += truncated(read.examples, self.tokenizer) if not isinstance(read.record, Text) else 0
        self.lengths.extend(len(example) for example in read.examples)
        self.lines.append(read.row.line)
        texts = [text for _, text in parts]
        self.rows.append(fingerprint(texts))
        if isinstance(read.record, Comparison):
            self.mirrored.append(fingerprint([*texts[:-2], texts[-1], texts[-2]]))

    def duplicates(self) -> list[int]:
        """Lines of the rows that were there before."""
        prints = np.frombuffer(self.rows, np.uint64)
        _, first = np.unique(prints, return_index=True)
        again = np.ones(len(prints), bool)
        again[first] = False
        return [int(line) for line in np.frombuffer(self.lines, np.uint64)[again]]

    def swapped(self) -> list[int]:
        """Lines of the comparisons that are there the other way round, too."""
        if not self.mirrored:
            return []
        both = np.isin(np.frombuffer(self.rows, np.uint64), np.frombuffer(self.mirrored, np.uint64))
        return [int(line) for line in np.frombuffer(self.lines, np.uint64)[both]]

    def tokens(self) -> dict[str, Any]:
        """Of the examples: how many, the sum, quartiles, the extremes, and a histogram {upper bound: count}."""
        sizes = np.frombuffer(self.lengths, np.uint32)
        if not len(sizes):
            return {"examples": 0}
        low, median, high = (int(q) for q in np.quantile(sizes, (0.25, 0.5, 0.75)))
        return {
            "examples": len(sizes),
            "total": int(sizes.sum(dtype=np.int64)),
            "min": int(sizes.min()),
            "quartiles": [low, median, high],
            "max": int(sizes.max()),
            "histogram": histogram(sizes),
        }


def histogram(sizes: npt.NDArray[np.uint32], bins: int = 8) -> dict[int, int]:
    """{upper bound, inclusive: count} in bins of one round width, from 0 on.

    >>> histogram(np.array([3, 20, 21, 39], np.uint32), bins=4)
    {10: 1, 20: 1, 30: 1, 40: 1}
    """
    least = -(-int(sizes.max()) // bins)
    scale = 10 ** max(0, len(str(least)) - 1)
    width = next(w * scale for w in (1, 2, 5, 10) if w * scale >= least)
    counts = np.bincount((np.maximum(sizes, 1).astype(np.int64) - 1) // width)
    return {(i + 1) * width: int(count) for i, count in enumerate(counts)}


def fingerprint(texts: Iterable[str]) -> int:
    """8 bytes of a hash of these texts; where one ends and the next begins counts."""
    hashed = hashlib.blake2b(digest_size=8)
    for text in texts:
        hashed.update(text.encode())
        hashed.update(b"\xff")  # in no UTF-8 text
    return int.from_bytes(hashed.digest(), "little")


def asked(record: Record) -> int:
    """Fingerprint of a record's prompt as people compare prompts: case and white space do not count.

    For leakage between a training and a test file, in whatever formats they are; of texts, all of it counts.
    """
    return fingerprint(" ".join(turn.content.casefold().split()) for turn in prompt_of(record))
