"""The tables that a world is made of: all of them, or rows picked evenly from each.

`share` is the world's size. At 1 the world has 48 countries, 60 people and some 3,000 words, and a model of a million
weights needs minutes to learn it. At 0.25 it is a village: twelve countries, fifteen people, sums up to ten; the kinds
of task and the ways of asking are the same, so that everything that a model can learn in the world can be learned here
too, by a model small enough for an experiment with several seeds.

The tables are text files in this folder, and `reading` reads them: `facts.txt` and `toy_language.txt` (what there is),
`phrasing.txt` and `tone.txt` (how it is said), `pages.txt` (what the web adds), `cues.txt` and `words.txt` (how answers
are judged, and rare words).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from minipost.world.tables.reading import Row, Rows, lines, rows, word_list

T = TypeVar("T")

LEAST = 8  # rows of every table, so that each split of each relation has some

# The same in every world.
NUMBERS: Final = word_list("facts", "numbers")
PLACES: Final = lines("facts", "places")
FILLERS: Final = lines("pages", "fillers")


@dataclass(frozen=True)
class Tables:
    """The tables of one world; `facts.txt` and `toy_language.txt` name the columns of each."""

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
    toy_things: Rows
    toy_living: Rows
    toy_adjectives: Rows
    toy_verbs: Rows
    rare_words: Row  # nursery rhymes are made of them
    largest_sum: int

    @classmethod
    def of(cls, share: float = 1.0) -> Tables:
        """A `share` of every table, though never fewer than `LEAST` rows.

        Raises:
            ValueError: if `share` is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}: choose how much of the world there is, above 0 and at most 1.")

        def some(table: tuple[T, ...]) -> tuple[T, ...]:
            size = min(len(table), max(LEAST, round(share * len(table))))
            return tuple(table[i * len(table) // size] for i in range(size))  # evenly: not only Europe's countries

        countries = some(rows("facts", "countries"))
        dishes = {dish for *_, dish in countries}
        return cls(
            countries=countries,
            recipes=tuple(row for row in rows("facts", "recipes") if row[0] in dishes),
            animals=some(rows("facts", "animals")),
            things=some(rows("facts", "things")),
            explanations=some(rows("facts", "explanations")),
            controversies=some(rows("facts", "controversies")),
            misdeeds=some(rows("facts", "misdeeds")),
            names=some(word_list("facts", "names")),
            jobs=some(word_list("facts", "jobs")),
            towns=some(word_list("facts", "towns")),
            deeds=some(lines("facts", "deeds")),
            toy_things=some(rows("toy_language", "things")),
            toy_living=some(rows("toy_language", "living")),
            toy_adjectives=some(rows("toy_language", "adjectives")),
            toy_verbs=some(rows("toy_language", "verbs")),
            rare_words=some(word_list("words", "rare")),
            largest_sum=20 if share > 0.5 else 10,
        )

    @property
    def toy_language(self) -> Rows:
        """The words of the toy language, with their English."""
        return self.toy_things + self.toy_living + self.toy_adjectives + self.toy_verbs
