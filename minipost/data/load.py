"""What the stages take from a user's files: token ids, in the shape of what they would have taken from the world.

Each function reads its files once from end to end and refuses them if anything is wrong, before training starts; or,
given a file for them (`dropped`), it writes the bad rows down there and goes on with the good ones.
Demonstrations stay on the disk: what is kept of a row is where it lies (three integers), and an example is read,
parsed and tokenised when the loop asks for it, so that memory does not grow with the length of texts.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

from minipost.data.files import decoded
from minipost.data.formats import Format
from minipost.data.problems import DataError, Dropped
from minipost.data.reader import Read, Reader
from minipost.data.records import Comparison, Demonstration, Prompt, Record, Text, Turns, prompt_of
from minipost.data.tokens import examples, truncated
from minipost.text import Tokenizer
from minipost.text.batching import Example

Files = Sequence[Path]


class OnDisk(Sequence[Example]):
    """Examples that are read from their files when they are asked for.

    Example i is number `turn[i]` of those in the row at bytes `start[i]` to `stop[i]` of file `which[i]`.
    """

    def __init__(self, tokenizer: Tokenizer, context: int) -> None:
        self.tokenizer, self.context = tokenizer, context
        self.files: list[tuple[Path, Format]] = []
        self.which, self.turn, self.start, self.stop = array("H"), array("H"), array("Q"), array("Q")

    def add(self, path: Path, form: Format, read: Read) -> None:
        """Remember where the examples of a row lie. Rows come file by file."""
        if not self.files or self.files[-1][0] != path:
            self.files.append((path, form))
        for turn in range(len(read.examples)):
            self.which.append(len(self.files) - 1)
            self.turn.append(turn)
            self.start.append(read.row.start)
            self.stop.append(read.row.stop)

    def __len__(self) -> int:
        return len(self.start)

    @overload
    def __getitem__(self, i: int) -> Example: ...
    @overload
    def __getitem__(self, i: slice) -> list[Example]: ...
    def __getitem__(self, i: int | slice) -> Example | list[Example]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        path, form = self.files[self.which[i]]
        with path.open("rb") as file:
            file.seek(self.start[i])
            raw = file.read(self.stop[i] - self.start[i])
        try:
            return examples(form.parse(decoded(raw)), self.tokenizer, self.context)[self.turn[i]]
        except (ValueError, LookupError):
            raise DataError(f"{path} has changed while it was being trained on; start anew.") from None


def demonstrations(files: Files, tokenizer: Tokenizer, context: int, dropped: Path | None = None) -> OnDisk:
    """Examples for SFT. Errors: `DataError`."""
    examples_of_files = OnDisk(tokenizer, context)
    intake = Intake(dropped, tokenizer, context)
    for path in files:
        for read, form in intake.rows(path, Demonstration, "demonstrations"):
            examples_of_files.add(path, form, read)
    intake.report(f"{len(examples_of_files):,} responses to imitate")
    return examples_of_files


def comparisons(
    files: Files, tokenizer: Tokenizer, context: int, dropped: Path | None = None
) -> list[tuple[Example, Example]]:
    """(chosen, rejected) for the reward model and DPO. Errors: `DataError`."""
    intake = Intake(dropped, tokenizer, context)
    rows = (row for path in files for row, _ in intake.rows(path, Comparison, "comparisons"))
    pairs = [(row.examples[0], row.examples[1]) for row in rows]
    intake.report(f"{len(pairs):,} comparisons")
    return pairs


def prompts(files: Files, tokenizer: Tokenizer, context: int, dropped: Path | None = None) -> list[Turns]:
    """Prompts to answer, from files of any format that has some. `context` is what the answers leave of the model's.

    Errors: `DataError`.
    """
    if context < 1:
        raise DataError("The answers' length limit leaves no room for prompts in the context; lower it.")
    intake = Intake(dropped, tokenizer, context)
    rows = (row for path in files for row, _ in intake.rows(path, Prompt, "prompts", _prompt))
    turns = [prompt_of(row.record) for row in rows]
    intake.report(f"{len(turns):,} prompts")
    return turns


def _prompt(record: Record) -> Record:
    return record if isinstance(record, Text) else Prompt(prompt_of(record))


def texts(files: Files, dropped: Path | None = None) -> Iterator[Text]:
    """Texts for pretraining, in the order of the files; not checked beyond what is read. Errors: `DataError`."""
    intake = Intake(dropped)
    for path in files:
        for read, _ in intake.rows(path, Text, "texts"):
            assert isinstance(read.record, Text)
            yield read.record
    intake.report_dropped()


class Intake:
    """Reads a stage's files: a bad row refuses its file, or, if there is a file `dropped` for it, is left out."""

    def __init__(self, dropped: Path | None, tokenizer: Tokenizer | None = None, context: int = 1 << 62) -> None:
        self.dropped = None if dropped is None else Dropped(dropped)
        self.tokenizer, self.context, self.truncated = tokenizer, context, 0

    def rows(
        self, path: Path, kind: type[Record], name: str, view: Callable[[Record], Record] = lambda record: record
    ) -> Iterator[tuple[Read, Format]]:
        """A file's rows with their format; all of them have to be of one kind, under a view of them."""
        reader = Reader(path, None, self.tokenizer, self.context, view, self.dropped)
        for read in reader:
            _require(path, read.record, kind, name)
            if reader.ledger.bad and self.dropped is None:
                continue  # the file is refused, and only read on to count what else is wrong
            assert reader.detected is not None
            if self.tokenizer is not None:
                self.truncated += truncated(read.examples, self.tokenizer)
            yield read, reader.detected
        if self.dropped is None:
            reader.finish("Correct them, or go on without them: --skip-bad")
        elif reader.ledger.bad == reader.ledger.rows:
            reader.finish("No row is left.")

    def report_dropped(self) -> None:
        if self.dropped is not None and self.dropped.count:
            left_out = f"{self.dropped.count:,} bad rows are left out; {self.dropped.path} says which and why"
            print(f"  data: {left_out}", file=sys.stderr)

    def report(self, what: str) -> None:
        """Say on standard error what was read, and what of it was not read whole."""
        self.report_dropped()
        tail = (
            f", of which {self.truncated:,} do not fit into {self.context} tokens and are cut" if self.truncated else ""
        )
        print(f"  data: {what}{tail}", file=sys.stderr)


def _require(path: Path, record: Record, kind: type[Record], name: str) -> None:
    if not isinstance(record, kind):
        names = {Text: "texts", Prompt: "prompts", Demonstration: "demonstrations", Comparison: "comparisons"}
        actual = names.get(type(record), "rated responses")
        raise DataError(f"{path} holds {actual}, and this stage takes {name}; give it a file of those.")
