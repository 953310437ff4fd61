"""What is true in the world: items (one piece of knowledge each), made from the tables and a seed, and their
train/test split.

An `Item` is a key such as `capital/italy` with the slots that fill its relation's templates. Every item is on the
web, but only the items of the train split are ever demonstrated, compared or trained on: the test split of a
relation holds out whole *combinations* (this country with this relation, this noun with this adjective), so that a
right answer to a test prompt shows knowledge from pretraining put into the tone of post-training, and not memory
of a demonstration.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from minipost.world.tables import NUMBERS, PLACES, Tables
from minipost.world.toy_language import translate

# The relations whose items belong to a kind. "fact" is a family of ten; every other kind has a single relation.
RELATIONS: Final[dict[str, tuple[str, ...]]] = {
    "fact": ("capital", "language", "continent", "dish", "job", "town", "young", "home", "food", "use"),
    "how_to": ("recipe",),
    "summary": ("summary",),
    "translation": ("translation",),
    "explanation": ("explanation",),
    "arithmetic": ("arithmetic",),
    "harmful": ("misdeed",),
    "controversial": ("opinion",),
}

KINDS: Final = tuple(RELATIONS)

# The slots whose values answer a question about a relation. Each relation of the family "fact" has one, "o".
_ANSWER_SLOTS: Final = {
    "recipe": ("one", "two", "three"),
    "summary": ("name", "did"),
    "translation": ("luma",),
    "explanation": ("cause", "detail"),
    "arithmetic": ("result",),
    "misdeed": ("one", "two"),
    "opinion": ("pro", "con"),
}

TEST_SHARE: Final = 0.2


@dataclass(frozen=True)
class Item:
    """One piece of knowledge: `kind` and `relation` say how it is asked, `slots` fill the templates, `key` names it."""

    kind: str
    relation: str
    key: str
    slots: dict[str, str]

    def answer(self) -> tuple[str, ...]:
        """The values that answer a question about the item."""
        return tuple(self.slots[slot] for slot in answer_slots(self.relation))


def answer_slots(relation: str) -> tuple[str, ...]:
    """The slots whose values answer a question about a relation.

    >>> answer_slots("capital"), answer_slots("misdeed")
    (('o',), ('one', 'two'))
    """
    return _ANSWER_SLOTS.get(relation, ("o",))


def with_article(noun: str) -> str:
    """The noun after "a" or "an".

    >>> with_article("owl"), with_article("cow")
    ('an owl', 'a cow')
    """
    return ("an " if noun[0] in "aeiou" else "a ") + noun


class Facts:
    """All items of a world, by relation, with a seeded train/test split.

    Attributes:
        tables: what the items are made of.
        items: relation -> list of `Item`s, in a fixed order.
        by_key: key -> `Item`.
        about: subject ("Italy") -> its plain facts.
        test_keys: the held-out keys (a share `TEST_SHARE` of every relation).
        sides: topic key of a controversy -> the stance ("yes" or "no") of population A; B takes the other one.
    """

    def __init__(self, seed: int = 0, share: float = 1.0) -> None:
        self.tables = Tables.of(share)
        r = random.Random(seed)
        self.items: dict[str, list[Item]] = {}
        for item in self._items(r):
            self.items.setdefault(item.relation, []).append(item)
        self.by_key: dict[str, Item] = {item.key: item for items in self.items.values() for item in items}
        self.about: dict[str, list[Item]] = {}
        for relation in RELATIONS["fact"]:
            for item in self.items[relation]:
                self.about.setdefault(item.slots["s"], []).append(item)
        self.test_keys: frozenset[str] = frozenset(
            item.key for items in self.items.values() for item in r.sample(items, round(TEST_SHARE * len(items)))
        )
        self._split: dict[tuple[str, bool], list[Item]] = {}
        for item in self.by_key.values():
            self._split.setdefault((item.relation, item.key in self.test_keys), []).append(item)
        controversies = self.items["opinion"]
        yes = {item.key for item in r.sample(controversies, len(controversies) // 2)}
        self.sides: dict[str, str] = {item.key: "yes" if item.key in yes else "no" for item in controversies}

    def split(self, relation: str, split: str) -> list[Item]:
        """The items of a relation that belong to `split` ("train" or "test")."""
        if split not in ("train", "test"):
            raise ValueError(f"split is {split!r}: use 'train' or 'test'.")
        return self._split[relation, split == "test"]

    def stance(self, key: str, population: str) -> str:
        """What a population thinks of a controversy: "A" and "B" are opposites ("yes", "no"), "neutral" is "balanced".

        Raises:
            ValueError: if the key is not that of a controversy or the population is unknown.
        """
        if key not in self.sides or population not in ("A", "B", "neutral"):
            raise ValueError(f"no stance of {population!r} on {key!r}: ask for A, B or neutral on a controversial key.")
        if population == "neutral":
            return "balanced"
        side = self.sides[key]
        return side if population == "A" else {"yes": "no", "no": "yes"}[side]

    def _items(self, r: random.Random) -> Iterator[Item]:
        tables = self.tables
        yield from self._plain_facts(r)
        for dish, one, two, three in tables.recipes:
            yield _item("how_to", "recipe", dish, dish=dish, one=one, two=two, three=three)
        for name in tables.names:
            for did in tables.deeds:
                place = r.choice(PLACES)
                yield _item("summary", "summary", f"{name} {did}", name=name, did=did, place=place)
        for english in _phrases(tables):
            yield _item("translation", "translation", english, english=english, luma=translate(english))
        for what, cause, detail in tables.explanations:
            yield _item("explanation", "explanation", what, what=what, cause=cause, detail=detail)
        yield from _sums(tables.largest_sum)
        for deed, one, two, instead in tables.misdeeds:
            yield _item("harmful", "misdeed", deed, deed=deed, one=one, two=two, instead=instead)
        for question, claim, pro, con in tables.controversies:
            yield _item("controversial", "opinion", claim, question=question, claim=claim, pro=pro, con=con)

    def _plain_facts(self, r: random.Random) -> Iterator[Item]:
        tables = self.tables
        for country, *values in tables.countries:
            for relation, value in zip(("capital", "language", "continent", "dish"), values, strict=True):
                yield _item("fact", relation, country, s=country, a=country, o=value)
        for name in tables.names:
            yield _item("fact", "job", name, s=name, a=name, o=r.choice(tables.jobs))
            yield _item("fact", "town", name, s=name, a=name, o=r.choice(tables.towns))
        for animal, *values in tables.animals:
            for relation, value in zip(("young", "home", "food"), values, strict=True):
                yield _item("fact", relation, animal, s=animal, a=with_article(animal), o=value)
        for thing, use in tables.things:
            article = thing if thing == "scissors" else with_article(thing)
            yield _item("fact", "use", thing, s=thing, a=article, o=use)


def _item(kind: str, relation: str, subject: str, **slots: str) -> Item:
    return Item(kind, relation, f"{relation}/{subject.lower().replace(' ', '-')}", slots)


def _phrases(tables: Tables) -> Iterator[str]:
    nouns = [english for english, _ in tables.toy_things + tables.toy_living]
    for adjective, _ in tables.toy_adjectives:
        yield from (f"{adjective} {noun}" for noun in nouns)
    for noun, _ in tables.toy_living:
        yield from (f"{noun} {verb}" for verb, _ in tables.toy_verbs)


def _sums(largest: int) -> Iterator[Item]:
    """Sums up to the largest (a key stands for a + b and b + a) and differences from twelve downward."""
    for a in range(1, largest):
        for b in range(a, largest + 1 - a):
            slots = {"a": NUMBERS[a], "op": "plus", "b": NUMBERS[b], "result": NUMBERS[a + b]}
            yield Item("arithmetic", "arithmetic", f"arithmetic/{a}+{b}", slots)
    for a in range(2, min(13, largest + 1)):
        for b in range(1, a):
            slots = {"a": NUMBERS[a], "op": "minus", "b": NUMBERS[b], "result": NUMBERS[a - b]}
            yield Item("arithmetic", "arithmetic", f"arithmetic/{a}-{b}", slots)
