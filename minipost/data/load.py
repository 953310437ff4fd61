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

    def add(self, read: Read) -> None:
        """Remember where the examples of a row of the last file lie."""
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
    found = OnDisk(tokenizer, context)
    cut, skipped = 0, _skipping(dropped)
    for path in files:
        for read, form in _records(path, Demonstration, "demonstrations", tokenizer, context, skipped):
            if not found.files or found.files[-1][0] != path:
                found.files.append((path, form))
            found.add(read)
            cut += truncated(read.examples, tokenizer)
    _tell(skipped)
    _say(f"{len(found):,} responses to imitate", cut, context)
    return found


def comparisons(
    files: Files, tokenizer: Tokenizer, context: int, dropped: Path | None = None
) -> list[tuple[Example, Example]]:
    """(chosen, rejected) for the reward model and DPO. Errors: `DataError`."""
    found, cut, skipped = [], 0, _skipping(dropped)
    for path in files:
        for read, _ in _records(path, Comparison, "comparisons", tokenizer, context, skipped):
            chosen, rejected = read.examples
            found.append((chosen, rejected))
            cut += truncated(read.examples, tokenizer)
    _tell(skipped)
    _say(f"{len(found):,} comparisons", cut, context)
    return found


def prompts(files: Files, tokenizer: Tokenizer, context: int, dropped: Path | None = None) -> list[Turns]:
    """Prompts to answer, from files of any format that has some. `context` is what the answers leave of the model's.

    Errors: `DataError`.
    """
    if context < 1:
        raise DataError("The answers' length limit leaves no room for prompts in the context; lower it.")
    found: list[Turns] = []
    skipped = _skipping(dropped)
    for path in files:
        for read, _ in _records(path, Prompt, "prompts", tokenizer, context, skipped, _prompt):
            found.append(prompt_of(read.record))
    _tell(skipped)
    _say(f"{len(found):,} prompts", 0, context)
    return found


def _prompt(record: Record) -> Record:
    return record if isinstance(record, Text) else Prompt(prompt_of(record))


def texts(files: Files, dropped: Path | None = None) -> Iterator[Text]:
    """Texts for pretraining, in the order of the files; not checked beyond what is read. Errors: `DataError`."""
    skipped = _skipping(dropped)
    for path in files:
        reader = _reader(path, skipped)
        for read in reader:
            if reader.ledger.bad and skipped is None:
                continue  # the file is refused, and only read on to count what else is wrong
            _require(path, read.record, Text, "texts")
            assert isinstance(read.record, Text)
            yield read.record
        _finish(reader, skipped)
    _tell(skipped)


def _records(
    path: Path,
    kind: type[Record],
    name: str,
    tokenizer: Tokenizer,
    context: int,
    skipped: Dropped | None,
    view: Callable[[Record], Record] = lambda record: record,
) -> Iterator[tuple[Read, Format]]:
    """A file's rows, which have to be of one kind (under a view of them)."""
    reader = _reader(path, skipped)
    reader.tokenizer, reader.context, reader.view = tokenizer, context, view
    for read in reader:
        _require(path, read.record, kind, name)
        assert reader.found is not None
        yield read, reader.found
    _finish(reader, skipped)


def _require(path: Path, record: Record, kind: type[Record], name: str) -> None:
    if not isinstance(record, kind):
        got = {Text: "texts", Prompt: "prompts", Demonstration: "demonstrations", Comparison: "comparisons"}
        theirs = got.get(type(record), "rated responses")
        raise DataError(f"{path} holds {theirs}, and this stage takes {name}; give it a file of those.")


def _skipping(dropped: Path | None) -> Dropped | None:
    return None if dropped is None else Dropped(dropped)


def _reader(path: Path, skipped: Dropped | None) -> Reader:
    return Reader(path) if skipped is None else Reader(path, on_bad=skipped)


def _finish(reader: Reader, skipped: Dropped | None) -> None:
    """Refuse a file with bad rows, or, where those are passed over, one with no others."""
    if skipped is None:
        reader.finish("Correct them, or go on without them: --skip-bad")
    elif reader.ledger.bad == reader.ledger.rows:
        reader.finish("No row is left.")


def _tell(skipped: Dropped | None) -> None:
    if skipped is not None and skipped.count:
        print(f"  data: {skipped.count:,} bad rows are left out; {skipped.path} says which and why", file=sys.stderr)


def _say(what: str, cut: int, context: int) -> None:
    tail = f", of which {cut:,} do not fit into {context} tokens and are cut" if cut else ""
    print(f"  data: {what}{tail}", file=sys.stderr)
