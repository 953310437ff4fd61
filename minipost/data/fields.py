"""Typed access to a row's fields, and conversations in the three ways in which people write them down.

    messages      [{"role": "user", "content": "..."}, ...]
    ShareGPT      [{"from": "human", "value": "..."}, ...]
    transcript    "\\n\\nHuman: ...\\n\\nAssistant: ..."

Whatever does not fit raises `RowError` with the field, the value and the fix. That a conversation is one (roles,
turns, the place of the system's) is checked where the chat template checks it: `minipost.text.chat.check`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from minipost.data.problems import RowError
from minipost.data.records import Turns
from minipost.text import ChatError, Message
from minipost.text.chat import check

Fields = Mapping[str, Any]

SPEAKERS = {"human": "user", "gpt": "assistant", "system": "system"}  # ShareGPT's names
_TURN = re.compile(r"\n\n(Human|Assistant):")
LAST_TURN = "\n\nAssistant:"


def wrong_type(name: str, value: Any, wanted: str) -> RowError:
    kinds = {type(None): "null", bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    got = kinds.get(type(value), "a number")
    return RowError("wrong type", name, value, f"it is {got} and must be {wanted}", f"make it {wanted}")


def text(row: Fields, name: str) -> str:
    """A text, possibly empty. A lone surrogate ("\\ud800") is no character, and has no bytes to be encoded."""
    value = row[name]
    if not isinstance(value, str):
        raise wrong_type(name, value, "a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        what = f"it holds the lone surrogate U+{ord(value[error.start]):04X}, which is no character"
        raise RowError("no character", name, ascii(value), what, "replace it") from None
    return value


def filled(row: Fields, name: str, kind: str = "empty text") -> str:
    """A text that is not blank."""
    value = text(row, name)
    if not value.strip():
        raise RowError(kind, name, value, "it is empty", "fill it in, or drop the row")
    return value


def response(row: Fields, name: str) -> str:
    """What the assistant said: a text, or a list with one message of the assistant."""
    if not isinstance(row[name], list):
        return filled(row, name, "empty response").strip()
    turns = messages(row, name, whole=False)
    if len(turns) != 1 or turns[0].role != "assistant":
        what = f"its turns are {', '.join(t.role for t in turns)}; beside a prompt it is one turn of the assistant"
        raise RowError("wrong turns", name, row[name], what, "leave the prompt's turns out of it")
    return turns[0].content


def prompt(row: Fields, name: str = "prompt") -> Turns:
    """A text, which is one user turn, or messages that end with the user's."""
    if not isinstance(row[name], list):
        return (Message("user", filled(row, name, "empty prompt").strip()),)
    return ending_with("user", messages(row, name), row, name)


def number(row: Fields, name: str) -> float:
    """A finite number; true and false are none."""
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, "a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        finite = False
    if not finite:
        raise RowError("NaN or infinity", name, str(value), "it is not finite", "give a number, or drop the row")
    return float(value)


def truth(row: Fields, name: str) -> bool:
    """true or false; 0 and 1 are numbers."""
    if not isinstance(row[name], bool):
        raise wrong_type(name, row[name], "true or false")
    return bool(row[name])


# -------------------------------------------------------------------------------------------------- conversations
def messages(row: Fields, name: str, whole: bool = True) -> Turns:
    """A list of {role, content}; a `whole` conversation begins with the system or the user."""
    return _turns(row, name, "role", "content", None, whole)


def sharegpt(row: Fields, name: str) -> Turns:
    """A list of {from, value}."""
    return _turns(row, name, "from", "value", SPEAKERS, True)


def _turns(row: Fields, name: str, who: str, what: str, names: Mapping[str, str] | None, whole: bool) -> Turns:
    value = row[name]
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list of turns")
    turns = []
    for i, turn in enumerate(value):
        place = f"{name}[{i}]"
        if not isinstance(turn, dict):
            raise wrong_type(place, turn, f"an object with {who} and {what}")
        if missing := [key for key in (who, what) if key not in turn]:
            raise RowError("missing key", place, turn, f"it has no {missing[0]}", f"give it {who} and {what}")
        role = text({f"{place}.{who}": turn[who]}, f"{place}.{who}")
        if names is not None and role not in names:
            known = ", ".join(f"{name} ({role})" for name, role in names.items())
            raise RowError("unknown role", f"{place}.{who}", role, "the role is unknown", f"use one of {known}")
        content = filled({f"{place}.{what}": turn[what]}, f"{place}.{what}").strip()
        turns.append(Message(role if names is None else names[role], content))
    if whole:
        conversation(turns, row, name)
    return tuple(turns)


def conversation(turns: list[Message], row: Fields, name: str) -> None:
    """Refuse what the chat template refuses, in its words."""
    try:
        check(turns)
    except ChatError as error:
        what, _, fix = str(error).rstrip(".").rpartition("; ")
        raise RowError("no conversation", name, row[name], what, fix) from None


def ending_with(role: str, turns: Turns, row: Fields, name: str) -> Turns:
    """The turns, if they end with this role's; where the assistant is to be imitated, it has to speak at all."""
    if turns[-1].role == role:
        return turns
    if role == "assistant" and all(t.role != role for t in turns):
        raise RowError("no assistant turn", name, row[name], "the assistant says nothing", "add its answer")
    what = f"the last turn is the {turns[-1].role}'s and must be the {role}'s"
    raise RowError("wrong last turn", name, row[name], what, "drop that turn, or add the missing one")


def transcript(row: Fields, name: str) -> tuple[Turns, str]:
    """(prompt, response) of "\\n\\nHuman: ...\\n\\nAssistant: ...", split at the last turn of the assistant."""
    value = text(row, name)
    if not value.startswith("\n\nHuman:"):
        raise RowError("no transcript", name, value, r'it does not start with "\n\nHuman:"', "begin it with that")
    if LAST_TURN not in value:
        raise RowError("no transcript", name, value, r'it has no "\n\nAssistant:"', "add the assistant's turn")
    before, _, answer = value.rpartition(LAST_TURN)
    if not answer.strip():
        raise RowError("empty response", name, value, "the last turn is empty", "fill it in, or drop the row")
    if "\n\nHuman:" in answer:
        raise RowError("wrong last turn", name, value, "the last turn is the human's", "drop it")
    _, *parts = _TURN.split(before)
    roles = ("user" if who == "Human" else "assistant" for who in parts[0::2])
    turns = [Message(role, content.strip()) for role, content in zip(roles, parts[1::2], strict=True)]
    conversation(turns, row, name)
    for i, turn in enumerate(turns):
        if not turn.content:
            raise RowError("empty text", name, value, f"turn {i} is empty", "fill it in, or drop the row")
    return ending_with("user", tuple(turns), row, name), answer.strip()
