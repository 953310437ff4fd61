"""A file from its first byte to checked records, in one pass and in constant memory.

    rows (files.py)  ->  format (formats.py)  ->  record  ->  examples, if a tokenizer is given (tokens.py)

Bad rows go to a ledger. Whoever reads decides what that means: the stages refuse the file (`Reader.finish`),
`minipost data --skip-bad` goes on with the rest and writes down what was dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minipost.data.files import Row, pieces, rows
from minipost.data.formats import Format, detect, named, parse, unknown_keys
from minipost.data.problems import DataError, Ledger, Problem, RowError
from minipost.data.records import Record, Text
from minipost.data.tokens import examples, forged
from minipost.text import Tokenizer
from minipost.text.batching import Example

PLAIN = Format("plain text", (), Text, lambda row: Text(row["text"]))


@dataclass(frozen=True)
class Read:
    """A good row: where it came from, what it means, and its examples (none without a tokenizer)."""

    row: Row
    record: Record
    examples: list[Example]


@dataclass
class Reader:
    """Reads one file. Iterate over it once; then the counts are there."""

    path: Path
    format: str | None = None  # its name, if it is not to be detected
    tokenizer: Tokenizer | None = None  # without one, nothing is said about tokens
    context: int = 1 << 62  # tokens
    view: Callable[[Record], Record] = lambda record: record  # what to make of a record before it becomes tokens
    on_bad: Callable[[Problem, Any], None] | None = None  # told of every bad row
    accept: Callable[[Read], RowError | None] = lambda read: None  # a further check of one's own
    ledger: Ledger = field(default_factory=Ledger)
    detected: Format | None = None  # what the file is, once the first row was understood
    ignored: Counter[str] = field(default_factory=Counter)  # keys that no format knows
    spelled: int = 0  # pieces of text that spell a special token

    def __iter__(self) -> Iterator[Read]:
        """The good rows. Errors: `DataError` for a file in which there are none to be found."""
        wanted = named(self.format) if self.format else None
        if self.path.suffix == ".txt" and wanted is None:
            yield from self._plain()
            return
        for row in rows(self.path):
            self.ledger.rows += 1
            try:
                if isinstance(row.value, RowError):
                    raise row.value
                if wanted is None:
                    wanted = detect(row.value)
                record = self.view(parse(row.value, wanted, forced=self.format is not None))
                self.detected = wanted
                read = Read(row, record, self._examples(record))
                if (error := self.accept(read)) is not None:
                    raise error
            except RowError as error:
                problem = error.at(self.path, row.line)
                self.ledger.add(problem)
                if self.on_bad is not None:
                    self.on_bad(problem, None if isinstance(row.value, RowError) else row.value)
                continue
            self.ignored.update(unknown_keys(row.value))
            yield read
        if not self.ledger.rows:
            raise DataError(f"{self.path} has no rows; give a file with at least one.")

    def _plain(self) -> Iterator[Read]:
        self.detected, place = PLAIN, 0
        for line, text in pieces(self.path):
            self.ledger.rows += 1
            record, size = Text(text, opens=place == 0), len(text.encode())
            yield Read(Row(line, place, place + size, None), record, self._examples(record))
            place += size

    def _examples(self, record: Record) -> list[Example]:
        if self.tokenizer is None:
            return []
        if (error := forged(record, self.tokenizer)) is not None:
            if not isinstance(record, Text):
                raise error
            self.spelled += 1  # in a page of the web it is only a page about chat templates
        return examples(record, self.tokenizer, self.context)

    def finish(self, fix: str) -> None:
        """Refuse the file if a row was bad; `fix` says what else can be done. Errors: `DataError`."""
        if self.ledger.bad:
            raise DataError(f"{self.path}: {self.ledger.message()}\n{fix}")
