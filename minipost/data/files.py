"""Rows of a file, one at a time: a file of a gigabyte needs no more memory than its longest row.

    .jsonl   one JSON value a line
    .json    one JSON array; its elements are parsed as the file goes by
    .txt     one document, in pieces

Which it is follows from the first character of the content, not from the name (save for `.txt`). Each row knows its
line, for messages, and its bytes, so that it can be read again by itself.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from minipost.data.problems import DataError, RowError

CHUNK = 1 << 16  # bytes
PIECE = 1 << 16  # characters of a plain text
LONGEST_PIECE = 1 << 20  # where there is no line's end to cut at
LONGEST_ROW = 1 << 26  # characters of an array's element: a broken one must not draw the whole file into memory

_BLANK = re.compile(r"[ \t\r\n]*")
_CUT = re.compile(r"(?<=\S)\n")


@dataclass(frozen=True)
class Row:
    """One row: its line (from 1), its bytes in the file, and its JSON value, or the error of one that has none."""

    line: int
    start: int
    stop: int
    value: Any


def rows(path: Path) -> Iterator[Row]:
    """All rows of a JSONL file or a JSON array. A row that is no valid JSON has a `RowError` as its value.

    Errors: `DataError` for a file that cannot be read at all, or in which nothing can be found after a broken place.
    """
    with opened(path) as file:
        first = first_character(file, path)
        yield from array_rows(file, path) if first == "[" else line_rows(file)


def opened(path: Path) -> IO[bytes]:
    """The file, refused where it is missing, a folder, or starts with a byte-order mark."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"Cannot read {path} ({error.strerror}); check the path.") from None
    head = file.read(4)
    for mark, name in ((codecs.BOM_UTF8, "UTF-8"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16")):
        if head.startswith(mark):
            file.close()
            raise DataError(f"{path}:1: the file starts with a byte-order mark ({name}); save it as UTF-8 without one.")
    file.seek(0)
    return file


def first_character(file: IO[bytes], path: Path) -> str:
    """The first character that is no white space; the file is rewound. Errors: `DataError` for a blank file."""
    while chunk := file.read(CHUNK):
        if stripped := chunk.lstrip(b" \t\r\n"):
            file.seek(0)
            return chr(stripped[0])
    raise DataError(f"{path} is blank; give a file with at least one row.")


def line_rows(file: IO[bytes]) -> Iterator[Row]:
    """JSONL. Blank lines are no rows."""
    start = 0
    for number, line in enumerate(file, 1):
        if line.strip():
            yield Row(number, start, start + len(line), guarded(lambda raw=line: decoded(raw)))  # type: ignore[misc]
        start += len(line)


def decoded(raw: bytes) -> Any:
    """The JSON value of one row's bytes. Errors: as `guarded` catches them."""
    return DECODER.decode(raw.decode("utf-8"))


def guarded(parse: Callable[[], Any]) -> Any:
    """What `parse` returns, or a `RowError` that says why there is nothing."""
    try:
        return parse()
    except RowError as error:
        return error
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} of the row (0x{error.object[error.start]:02x}) is not UTF-8"
        return RowError("not UTF-8", "", None, what, "save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        return RowError("invalid JSON", "", None, f"invalid JSON ({error})", "correct the row")


def array_rows(file: IO[bytes], path: Path) -> Iterator[Row]:
    """The elements of one JSON array, each parsed as it goes by."""
    array = _Array(file, path)
    array.peek()
    array.skip(1)  # the opening bracket, which the caller has seen
    follows = False
    while (character := array.peek()) not in ("", "]"):
        if follows:
            if character != ",":
                raise array.broken("a comma is missing between two rows")
            array.skip(1)
            array.peek()
        yield array.row()
        follows = True
    if not character:
        raise array.broken("the array is not closed")
    array.skip(1)
    if array.peek():
        raise array.broken("something follows the array")


class _Array:
    """The text of an array: `text[at:]` is read and not yet parsed; it begins at byte `offset`, in line `line`."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path = file, path
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text, self.at, self.offset, self.line, self.more = "", 0, 0, 1, True

    def broken(self, what: str) -> DataError:
        place = f"{self.path}:{self.line}"
        return DataError(f"{place}: invalid JSON: {what}; correct the array, or write one JSON object a line.")

    def read(self) -> None:
        """Read more: at least as much as is not parsed yet, so that a long row is not tried again and again."""
        raw = self.file.read(max(CHUNK, len(self.text) - self.at))
        try:
            self.text, self.at = self.text[self.at :] + self.decoder.decode(raw, final=not raw), 0
        except UnicodeDecodeError as error:
            raise self.broken(f"0x{error.object[error.start]:02x} is not UTF-8") from None
        self.more = bool(raw)

    def skip(self, count: int) -> None:
        passed = self.text[self.at : self.at + count]
        self.at += count
        self.offset += len(passed.encode())
        self.line += passed.count("\n")

    def peek(self) -> str:
        """The next character that is no white space, or "" at the end."""
        while True:
            self.skip(_BLANK.match(self.text, self.at).end() - self.at)  # type: ignore[union-attr]
            if self.at < len(self.text) or not self.more:
                return self.text[self.at : self.at + 1]
            self.read()

    def row(self) -> Row:
        """The next element."""
        while True:
            try:
                value, stop = self._parsed()
            except RecursionError:
                raise self.broken("it is nested too deeply") from None
            except ValueError as error:  # perhaps the rest of the row has yet to come
                if not self.more or len(self.text) - self.at >= LONGEST_ROW:
                    raise self.broken(getattr(error, "msg", str(error))) from None
            else:
                if stop < len(self.text) or not self.more:  # a number at the end of what was read may go on
                    break
            self.read()
        line, start = self.line, self.offset
        self.skip(stop - self.at)
        return Row(line, start, self.offset, value)

    def _parsed(self) -> tuple[Any, int]:
        """(value, where it ends). Where keys repeat, a decoder that does not mind finds the end."""
        try:
            return DECODER.raw_decode(self.text, self.at)
        except RowError as error:
            return error, json.JSONDecoder().raw_decode(self.text, self.at)[1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that comes twice contradicts itself, and Python's parser would silently take the last."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError("contradictory keys", "", None, f"the key {twice!r} comes twice", "keep one of them")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object)


# ------------------------------------------------------------------------------------------------------- plain text
def pieces(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of a plain text in pieces of about `PIECE` characters that join up to the whole.

    Cuts are made before a line's end that follows a word, where no token of ours can lie across, so that the pieces
    give the same tokens as the whole. Errors: `DataError` for a blank file or one that is not UTF-8.
    """
    with opened(path) as file:
        first_character(file, path)
        decoder = codecs.getincrementaldecoder("utf-8")()
        text, line, scanned = "", 1, PIECE
        while True:
            raw = file.read(CHUNK)
            try:
                text += decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                at = line + text.count("\n") + error.object[: error.start].count(b"\n")
                bad = f"0x{error.object[error.start]:02x} is not UTF-8"
                raise DataError(f"{path}:{at}: {bad}; save the file as UTF-8.") from None
            text = text.replace("\r\n", "\n")
            while len(text) > PIECE and (cut := _cut(text, scanned)):
                yield line, text[:cut]
                line += text.count("\n", 0, cut)
                text, scanned = text[cut:], PIECE
            scanned = max(PIECE, len(text) - 1)  # a long line is not searched twice
            if not raw:
                break
    if text:
        yield line, text


def _cut(text: str, scanned: int) -> int:
    """Where to cut `text`: at the first good place from `scanned` on, or anywhere if there is none for too long."""
    if place := _CUT.search(text, scanned):
        return place.start()
    return LONGEST_PIECE if len(text) > LONGEST_PIECE else 0
