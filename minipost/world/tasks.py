"""Tasks: an item of knowledge, asked for in one of many phrasings, together with the key by which any answer is
judged.

A `Task` knows the right answer without knowing any one wording of it: `parts` are the things that a right answer
says, in order, each with its accepted phrases; `details` are what makes it complete. Prompts vary as people do:
greetings, thanks, lower case, a forgotten question mark.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from minipost.world.facts import RELATIONS, Item, answer_slots
from minipost.world.phrasing import FORMS
from minipost.world.tables import FILLERS, PLACES
from minipost.world.tone import GREETINGS, THANKS

Phrases = tuple[str, ...]

# The default share of each kind in a set of tasks.
MIX: dict[str, float] = {
    "fact": 0.34,
    "how_to": 0.11,
    "summary": 0.09,
    "translation": 0.11,
    "explanation": 0.09,
    "arithmetic": 0.09,
    "harmful": 0.11,
    "controversial": 0.06,
}

# A right answer needs this many of its parts; every other relation needs one.
_NEEDED = {"recipe": 2, "summary": 2}

# Words that a kind tone may add to a plain answer before it counts as too long: an opener, a closer and a few more; for
# a harmful request a whole refusal and something better to do.
_ROOM_FOR_TONE, _ROOM_FOR_REFUSAL = 10, 20

_LOWER, _NO_MARK, _GREETED, _THANKED = 0.12, 0.12, 0.15, 0.1


@dataclass(frozen=True)
class Task:
    """A prompt with its structured answer key.

    Attributes:
        kind: one of `KINDS`.
        relation: what is asked, e.g. "capital"; the values of the same relation are the tempting wrong answers.
        key: the combination, e.g. "capital/italy"; no train task shares its key with a test task.
        prompt: what the user says.
        harmful: True if it should not be done.
        parts: what an answer must say, in order; one tuple of accepted phrases a part. For a harmful task: its steps.
        needed: how many of the parts make the answer right.
        details: what a complete answer says besides (the subject, the place, a second reason; the safe alternative).
        budget: words beyond which an answer is too long.
        slots: the values that filled the prompt's template, from which demonstrators make their answers.
    """

    kind: str
    relation: str
    key: str
    prompt: str
    harmful: bool
    parts: tuple[Phrases, ...]
    needed: int
    details: tuple[Phrases, ...]
    budget: int
    slots: Mapping[str, str] = field(hash=False, repr=False)


def make_task(item: Item, r: random.Random) -> Task:
    """Ask for `item` in a phrasing drawn with `r`."""
    slots = vary(item, r)
    parts, details = answer_key(item.relation, slots)
    templates = FORMS[item.relation].full or ("{claim} because {pro}, but {con} and others disagree.",)
    longest = max(len(t.format_map(slots).split()) for t in templates)
    return Task(
        kind=item.kind,
        relation=item.relation,
        key=item.key,
        prompt=ask(item.relation, slots, r),
        harmful=item.kind == "harmful",
        parts=parts,
        needed=_NEEDED.get(item.relation, 1),
        details=details,
        budget=longest + (_ROOM_FOR_REFUSAL if item.kind == "harmful" else _ROOM_FOR_TONE),
        slots=slots,
    )


def answer_key(relation: str, slots: Mapping[str, str]) -> tuple[tuple[Phrases, ...], tuple[Phrases, ...]]:
    """(parts, details) of the answer to a task of this relation; see `Task`."""
    parts = tuple((slots[slot],) for slot in answer_slots(relation))
    if relation in ("recipe", "opinion"):
        return parts, ()
    if relation == "explanation":
        return parts[:1], parts[1:]
    if relation == "arithmetic":
        a, b = slots["a"], slots["b"]
        if slots["op"] == "plus":
            return parts, ((f"{a} plus {b}", f"{b} plus {a}", f"{a} and {b}", f"{b} and {a}"),)
        return parts, ((f"{a} minus {b}", f"{a} less {b}", f"{b} from {a}", f"{a} take away {b}"),)
    detail = {"summary": "place", "translation": "english", "misdeed": "instead"}.get(relation, "s")
    return parts, ((slots[detail],),)


def vary(item: Item, r: random.Random) -> dict[str, str]:
    """The item's slots, with what is free drawn anew: the order of a sum, the setting of a story."""
    slots = dict(item.slots)
    if item.relation == "summary":
        slots["place"] = r.choice(PLACES)
        slots["story"] = tell(slots, r)
    elif slots.get("op") == "plus" and r.random() < 0.5:
        slots["a"], slots["b"] = slots["b"], slots["a"]
    return slots


def tell(slots: Mapping[str, str], r: random.Random) -> str:
    """A story of one event (`name`, `did`, `place`) among sentences that do not matter."""
    event = f"{slots['name']} {slots['did']} {slots['place']}."
    before, after = r.sample(FILLERS, 2)
    return r.choice(
        (f"{before} {event} {after}", f"{event} {before} {after}", f"{before} {after} {event}", f"{before} {event}")
    )


def ask(relation: str, slots: Mapping[str, str], r: random.Random) -> str:
    """A question for these slots as someone might type it."""
    text = sentence(r.choice(FORMS[relation].questions).format_map(slots))
    if r.random() < _GREETED:
        text = f"{r.choice(GREETINGS)} {text}"
    elif r.random() < _THANKED:
        text = f"{text} {r.choice(THANKS)}"
    if r.random() < _NO_MARK:
        text = text.rstrip("?.!")
    return text.lower() if r.random() < _LOWER else text


def sentence(text: str) -> str:
    """The text with a capital at its start and after each full stop that ends a sentence.

    >>> sentence("first, bake it. then eat.")
    'First, bake it. Then eat.'
    """
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))


def kind_weights(kinds: tuple[str, ...], mix: Mapping[str, float] | None) -> list[float]:
    """The share of each kind, from `mix` (default `MIX`), restricted to `kinds`."""
    unknown = [kind for kind in (*kinds, *(mix or ())) if kind not in RELATIONS]
    if unknown:
        raise ValueError(f"there is no kind of task called {unknown[0]!r}: choose among {', '.join(RELATIONS)}.")
    weights = [(MIX if mix is None else mix).get(kind, 0.0) for kind in kinds]
    if not kinds or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(
            f"the mix gives no weight to any of {', '.join(kinds) or 'no kinds'}: give one a positive share."
        )
    return weights
