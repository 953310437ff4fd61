"""What a row of data means, whatever format it came in: six kinds of record.

Conversations are tuples of `Message`; a plain prompt is one user turn. Stages never see formats, only these.
"""

from __future__ import annotations

from dataclasses import dataclass

from minipost.text import Message

Turns = tuple[Message, ...]


@dataclass(frozen=True)
class Text:
    """A piece of text to continue. A long document comes in several pieces, of which the first one `opens` it."""

    text: str
    opens: bool = True


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for the assistant's turn."""

    prompt: Turns


@dataclass(frozen=True)
class Demonstration:
    """A conversation to imitate: the assistant's turns from index `first` on."""

    turns: Turns
    first: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two responses to one prompt, the better one first. `margin`: by how much, if the file says so."""

    prompt: Turns
    chosen: str
    rejected: str
    margin: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """A response that someone found good or bad, on its own."""

    prompt: Turns
    response: str
    label: bool


@dataclass(frozen=True)
class Scored:
    """A response with a score."""

    prompt: Turns
    response: str
    score: float


Record = Text | Prompt | Demonstration | Comparison | Verdict | Scored


def prompt_of(record: Record) -> Turns:
    """What the assistant is asked in a record of any kind; of a demonstration, before the first turn to imitate."""
    match record:
        case Text(text):
            return (Message("user", text),)
        case Demonstration(turns, first):
            return turns[: next(i for i, turn in enumerate(turns) if i >= first and turn.role == "assistant")]
        case _:
            return record.prompt
