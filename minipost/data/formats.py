"""The formats: which keys a row has, and what they mean.

A format is known by its keys; where two share theirs, by the type of a value. Keys that no format knows ("id",
"source") are ignored, and counted, so that nothing goes unseen; keys of another format beside a row's own are a
contradiction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minipost.data.fields import (
    Fields,
    ending_with,
    filled,
    messages,
    number,
    prompt,
    response,
    sharegpt,
    text,
    transcript,
    truth,
    wrong_type,
)
from minipost.data.problems import DataError, RowError, listed
from minipost.data.records import Comparison, Demonstration, Prompt, Record, Scored, Text, Turns, Verdict
from minipost.text import Message


@dataclass(frozen=True)
class Format:
    """A format's name, its keys, the kind of record that its rows are, and how a row becomes one."""

    name: str
    keys: tuple[str, ...]
    kind: type[Record]
    parse: Callable[[Fields], Record]
    optional: tuple[str, ...] = ()


def from_messages(row: Fields) -> Demonstration:
    return Demonstration(ending_with("assistant", messages(row, "messages"), row, "messages"))


def from_conversations(row: Fields) -> Demonstration:
    return Demonstration(ending_with("assistant", sharegpt(row, "conversations"), row, "conversations"))


def completed(turns: Turns, answer: str) -> Demonstration:
    """Only the completion is imitated, also where the prompt holds turns of the assistant."""
    return Demonstration((*turns, Message("assistant", answer)), first=len(turns))


def instruction(row: Fields) -> Turns:
    """Alpaca's prompt: the instruction, then its input, if there is one, after an empty line."""
    parts = filled(row, "instruction", "empty prompt").strip(), text(row, "input").strip()
    return (Message("user", "\n\n".join(part for part in parts if part)),)


def pair(row: Fields, turns: Turns, chosen: str = "chosen", rejected: str = "rejected") -> Comparison:
    """A comparison whose sides are fields beside the prompt."""
    return compared(row, turns, response(row, chosen), response(row, rejected), chosen)


def compared(row: Fields, turns: Turns, chosen: str, rejected: str, name: str = "chosen") -> Comparison:
    """A comparison, refused if it says nothing (equal sides) or if a side holds the prompt as well."""
    if chosen == rejected:
        raise RowError("chosen equals rejected", name, chosen, "both responses are the same", "drop the row")
    asked = turns[-1].content
    if asked in chosen and (len(asked.split()) >= 3 or (chosen.startswith(asked) and rejected.startswith(asked))):
        raise RowError("prompt repeated", name, chosen, "it repeats the prompt", "leave only the response")
    margin = number(row, "margin") if "margin" in row else 0.0
    return Comparison(turns, chosen, rejected, margin)


def from_shared_prefix(row: Fields) -> Comparison:
    """The prompt is what both conversations begin with."""
    sides = [messages(row, name) for name in ("chosen", "rejected")]
    chosen, rejected = sides
    if chosen == rejected:
        raise RowError("chosen equals rejected", "chosen", row["chosen"], "both are the same", "drop the row")
    shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(map(len, sides)))
    if shared == min(len(chosen), len(rejected)):
        name = "chosen" if len(chosen) < len(rejected) else "rejected"
        what = "it is a prefix of the other side, so that nothing is left of it to compare"
        raise RowError("one side is a prefix", name, row[name], what, "let both end with a response of their own")
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        ending_with("assistant", side, row, name)
        if len(side) != shared + 1:
            what = f"the sides part at turn {shared}, before its last"
            raise RowError("prompts differ", name, row[name], what, "let the sides differ in their last turn only")
    return compared(row, chosen[:shared], chosen[-1].content, rejected[-1].content)


def from_transcripts(row: Fields) -> Comparison:
    """HH-RLHF: each side is split at its own last turn."""
    (turns, chosen), (other, rejected) = transcript(row, "chosen"), transcript(row, "rejected")
    if turns != other:
        what = r'up to the last "\n\nAssistant:" it differs from chosen'
        raise RowError("prompts differ", "rejected", row["rejected"], what, "compare responses to one prompt")
    return compared(row, turns, chosen, rejected)


FORMATS = {
    f.name: f
    for f in (
        Format("text", ("text",), Text, lambda row: Text(filled(row, "text"))),
        Format("messages", ("messages",), Demonstration, from_messages),
        Format("prompt", ("prompt",), Prompt, lambda row: Prompt(prompt(row))),
        Format(
            "prompt-completion",
            ("prompt", "completion"),
            Demonstration,
            lambda row: completed(prompt(row), response(row, "completion")),
        ),
        Format(
            "preference", ("prompt", "chosen", "rejected"), Comparison, lambda row: pair(row, prompt(row)), ("margin",)
        ),
        Format("implicit-prompt", ("chosen", "rejected"), Comparison, from_shared_prefix, ("margin",)),
        Format("hh-rlhf", ("chosen", "rejected"), Comparison, from_transcripts, ("margin",)),
        Format(
            "unpaired",
            ("prompt", "completion", "label"),
            Verdict,
            lambda row: Verdict(prompt(row), response(row, "completion"), truth(row, "label")),
        ),
        Format(
            "alpaca",
            ("instruction", "input", "output"),
            Demonstration,
            lambda row: completed(instruction(row), response(row, "output")),
        ),
        Format(
            "alpaca-preference",
            ("instruction", "input", "chosen", "rejected"),
            Comparison,
            lambda row: pair(row, instruction(row)),
            ("output", "margin"),
        ),
        Format("sharegpt", ("conversations",), Demonstration, from_conversations),
        Format(
            "seed-triple",
            ("prompt", "winning_response", "losing_response"),
            Comparison,
            lambda row: pair(row, prompt(row), "winning_response", "losing_response"),
        ),
        Format(
            "scored",
            ("prompt", "completion", "score"),
            Scored,
            lambda row: Scored(prompt(row), response(row, "completion"), number(row, "score")),
        ),
    )
}
KEYS = tuple(dict.fromkeys(key for f in FORMATS.values() for key in (*f.keys, *f.optional)))


def named(name: str) -> Format:
    """The format of this name. Errors: `DataError`."""
    if name not in FORMATS:
        raise DataError(f"There is no format {name!r}; choose one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def detect(row: Any) -> Format:
    """The format of a row, by its keys. Errors: `RowError` if there is none, or more than one."""
    if not isinstance(row, dict):
        raise wrong_type("the row", row, "an object")
    present = [key for key in KEYS if key in row]
    fitting = [f for f in FORMATS.values() if set(f.keys) <= set(present) <= {*f.keys, *f.optional}]
    if len(fitting) == 2:  # chosen and rejected alone: conversations or transcripts
        return FORMATS["implicit-prompt" if isinstance(row["chosen"], list) else "hh-rlhf"]
    if fitting:
        return fitting[0]
    if whole := [f for f in FORMATS.values() if present and set(present) <= {*f.keys, *f.optional}]:
        near = min(whole, key=lambda f: len(f.keys))
        lacking = listed(key for key in near.keys if key not in row)
        what, fix = f"of the format {near.name} it lacks {lacking}", f"add {lacking}"
        raise RowError("missing key", "the row", row, what, fix)
    if partly := [f for f in FORMATS.values() if set(f.keys) <= set(present)]:
        near = max(partly, key=lambda f: len(f.keys))
        others = listed(key for key in present if key not in (*near.keys, *near.optional))
        what = f"beside the keys of {near.name} ({listed(near.keys)}) it has {others}"
        raise RowError("contradictory keys", "the row", row, what, "keep those of one format, or name it by --format")
    what = f"its keys {listed(row)} are those of no format" if row else "it has no keys"
    raise RowError("missing key", "the row", row, what, f"give it the keys of one of {', '.join(FORMATS)}")


def parse(row: Any, wanted: Format, forced: bool) -> Record:
    """A row as a record of the file's format. If the format was `forced`, keys of others are ignored.

    Errors: `RowError`.
    """
    if not isinstance(row, dict):
        raise wrong_type("the row", row, "an object")
    if missing := [key for key in wanted.keys if key not in row]:
        what, fix = f"the key {missing[0]} is missing", f"a row of {wanted.name} has {listed(wanted.keys)}"
        raise RowError("missing key", missing[0], None, what, fix)
    if not forced and (form := detect(row)) != wanted:
        what = f"the row is of the format {form.name}, those before it are of {wanted.name}"
        raise RowError("mixed formats", "the row", row, what, "put the formats into files of their own")
    return wanted.parse(row)


def unknown_keys(row: Mapping[str, Any]) -> list[str]:
    """Keys that no format knows."""
    return [key for key in row if key not in KEYS]
