"""The tables that a world is made of: all of them, or rows picked evenly from each.

`share` is the world's size. At 1 the world has 48 countries, 60 people and some 3,000 words, and a model of a million
weights needs minutes to learn it. At 0.25 it is a village: twelve countries, fifteen people, sums up to ten; the kinds
of task and the ways of asking are the same, so that everything that a model can learn in the world can be learned here
too, by a model small enough for an experiment with several seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from minipost.world import lexicon, luma, topics, wordlist
from minipost.world.lexicon import Row

T = TypeVar("T")
Rows = tuple[Row, ...]

LEAST = 8  # rows of every table, so that each split of each relation has some


@dataclass(frozen=True)
class Almanac:
    """See `minipost.world.lexicon`, `luma` and `topics` for the columns of each table."""

    countries: Rows
    recipes: Rows
    animals: Rows
    things: Rows
    explanations: Rows
    controversies: Rows
    misdeeds: Rows
    names: Row
    jobs: Row
    towns: Row
    deeds: Row
    luma_things: Rows
    luma_living: Rows
    luma_adjectives: Rows
    luma_verbs: Rows
    tail: Row  # rare words, which nursery rhymes are made of
    largest_sum: int

    @classmethod
    def of(cls, share: float = 1.0) -> Almanac:
        """A `share` of every table, though never fewer than `LEAST` rows.

        Raises:
            ValueError: if `share` is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}: choose how much of the world there is, above 0 and at most 1.")

        def some(rows: tuple[T, ...]) -> tuple[T, ...]:
            size = min(len(rows), max(LEAST, round(share * len(rows))))
            return tuple(rows[i * len(rows) // size] for i in range(size))  # evenly: not only Europe's countries

        countries = some(lexicon.COUNTRIES)
        dishes = {dish for *_, dish in countries}
        return cls(
            countries=countries,
            recipes=tuple(row for row in lexicon.RECIPES if row[0] in dishes),
            animals=some(lexicon.ANIMALS),
            things=some(lexicon.THINGS),
            explanations=some(topics.EXPLANATIONS),
            controversies=some(topics.CONTROVERSIES),
            misdeeds=some(topics.MISDEEDS),
            names=some(lexicon.NAMES),
            jobs=some(lexicon.JOBS),
            towns=some(lexicon.TOWNS),
            deeds=some(lexicon.DEEDS),
            luma_things=some(luma.THINGS),
            luma_living=some(luma.LIVING),
            luma_adjectives=some(luma.ADJECTIVES),
            luma_verbs=some(luma.VERBS),
            tail=some(wordlist.WORDS),
            largest_sum=20 if share > 0.5 else 10,
        )

    @property
    def luma(self) -> Rows:
        """The whole dictionary."""
        return self.luma_things + self.luma_living + self.luma_adjectives + self.luma_verbs
