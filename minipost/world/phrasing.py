"""How knowledge is asked for and said: questions, answers and plain statements, as templates with named slots.

A `Form` is one relation's way of speaking. Prompts, demonstrations and the web's forum threads all draw on the same
questions and answers, so that what the web taught in one voice can be asked for in another; only the *tone* (see
`tone`) differs from speaker to speaker.

A template's slots are filled with `str.format_map`; `{s}` is the subject ("Italy"), `{a}` the subject with its article
("an owl"), `{o}` the object, that is, what is asked for ("Rome").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from minipost.world.facts import RELATIONS
from minipost.world.tables.reading import lines

Templates = tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """Templates of one relation: questions, complete answers, bare answers, and what pages state unasked."""

    questions: Templates = ()
    full: Templates = ()
    short: Templates = ()
    statements: Templates = ()


def _form(name: str, *parts: str) -> Form:
    return Form(**{part: lines("phrasing", f"{name}: {part}") for part in parts})


FORMS: Final[dict[str, Form]] = {
    relation: _form(relation, "questions", "full", "short", "statements")
    for relations in RELATIONS.values()
    for relation in relations
}

# A stance on a controversy: "yes" gives the reason for, "no" the reason against, "balanced" both.
STANCES: Final[dict[str, Form]] = {
    stance: _form(f"stance {stance}", "full", "short") for stance in ("yes", "no", "balanced")
}
