"""A held-out part of a user's files: chosen by seed, and with no prompt on both sides, whatever file it stands in.

    held out   <=>   hash(seed, prompt) < share

The prompt alone decides, as people compare prompts (case and white space do not count: `survey.asked`). So a prompt
that comes twice, or once as a demonstration and once as a comparison, is held out everywhere or nowhere; and which ones
are held out depends neither on the order of rows and files nor on what other rows there are. The price is that the
share is met only on average. Rows pass by one at a time and are written as they came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minipost.data.problems import DataError, Dropped
from minipost.data.reader import Read, Reader
from minipost.data.records import Comparison, Demonstration, Record, prompt_of
from minipost.data.stats import asked


@dataclass
class Parts:
    """The files of one kind of data after the split, JSONL in their own formats, and how many rows they have."""

    train: list[Path] = field(default_factory=list)
    held_out: list[Path] = field(default_factory=list)
    counts: tuple[int, int] = (0, 0)


def is_held_out(record: Record, seed: int, share: float) -> bool:
    """Whether a record's prompt is among the held-out ones."""
    drawn = hashlib.blake2b(f"{seed}:{asked(record)}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "little") < share * 2**64


def split(
    files: Sequence[Path],
    kind: type[Demonstration] | type[Comparison],
    out: Path,
    seed: int,
    share: float,
    dropped: Dropped | None = None,
    each: Callable[[Record], None] = lambda record: None,
) -> Parts:
    """Write the rows of `files` to `out/NAME.train.jsonl` and `out/NAME.heldout.jsonl`, numbered where names repeat.

    `each` is told of every training record. Bad rows refuse a file, or go to `dropped`.
    Errors: `DataError`, also where a file holds another kind of rows.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts, trained, held = Parts(), 0, 0
    for number, path in enumerate(files):
        name = f"{number}-{path.stem}"
        paths = out / f"{name}.train.jsonl", out / f"{name}.heldout.jsonl"
        reader = Reader(path, on_bad=dropped)
        with paths[0].open("w", encoding="utf-8") as train, paths[1].open("w", encoding="utf-8") as held_out:
            for read in reader:
                _require(path, read, kind)
                apart = is_held_out(read.record, seed, share)
                trained, held = trained + (not apart), held + apart
                (held_out if apart else train).write(json.dumps(read.row.value, ensure_ascii=False) + "\n")
                if not apart:
                    each(read.record)
        if dropped is None:
            reader.finish("Correct them, or go on without them: --skip-bad")
        parts.train += [paths[0]] if paths[0].stat().st_size else []
        parts.held_out += [paths[1]] if paths[1].stat().st_size else []
    parts.counts = trained, held
    return parts


def _require(path: Path, read: Read, kind: type[Record]) -> None:
    if not isinstance(read.record, kind):
        name = "comparisons" if kind is Comparison else "demonstrations"
        raise DataError(f"{path} holds no {name}; minipost data {path} shows what it holds.")


def pages(record: Record) -> str:
    """A record as a page to continue: the turns, then what was answered; of a comparison the chosen answer."""
    texts = [turn.content for turn in (record.turns if isinstance(record, Demonstration) else prompt_of(record))]
    return "\n\n".join([*texts, record.chosen] if isinstance(record, Comparison) else texts)
