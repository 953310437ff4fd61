"""Is a text in one piece? Broken words, word salad, repetition and answers that break off, by comparison with the
world's own English.

The yardstick is what any page or person of the world could say: the set of its words, and the set of its pairs of
adjacent words within a sentence. A pair that nobody would say is a sign of salad; a few are allowed, since people
do put things anew.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from minipost.world import tone
from minipost.world.facts import Facts
from minipost.world.matching import words
from minipost.world.pages import Pages
from minipost.world.phrasing import FORMS, STANCES
from minipost.world.tables.reading import lines, word_list
from minipost.world.tasks import vary

_SENTENCE_END = re.compile(r"[.!?:;\n]+")

# Words that do not end a sentence.
_DANGLING: Final = frozenset(word_list("words", "dangling"))

# The tables of tone whose phrases are whole sentences.
_TONE: Final = (
    "greetings",
    "thanks",
    "warm openers",
    "warm closers",
    "rude",
    "rambles",
    "kind refusals",
    "curt refusals",
    "unhelpful",
)

# What each flaw costs.
_BROKEN, _REPEATED, _ODD_PAIR, _DANGLES = 0.35, 0.3, 0.12, 0.5
_ODD_PAIRS_ALLOWED = 2


class Fluency:
    """The world's English: `vocabulary` (its words) and `pairs` (its adjacent pairs of words)."""

    def __init__(self, facts: Facts) -> None:
        self.vocabulary: set[str] = set(word_list("words", "common"))
        self.pairs: set[tuple[str, str]] = set()
        r = random.Random(0)
        for text in _everything(facts, r):
            self._learn(text)
        pages = Pages(facts, quality=1.0)
        writers = (pages.how_to, pages.diary, pages.advert, pages.story, pages.chorus, pages.counting, pages.listing)
        for write in writers:
            for _ in range(300):
                self._learn(write(r))

    def form(self, text: str) -> float:
        """The `form` term of the utility: 0 for a text in one piece, down to -1 for debris or silence."""
        sentences = split(text)
        tokens = [word for s in sentences for word in s]
        if not tokens:
            return -1.0
        broken = self._unknown(tokens)
        odd = sum(
            pair not in self.pairs and pair[0] in self.vocabulary and pair[1] in self.vocabulary
            for s in sentences
            for pair in pairwise(s)
        )
        trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        doubled = sum(a == b for s in sentences for a, b in pairwise(s))
        repeated = len(trigrams) - len(set(trigrams)) + doubled
        dangles = tokens[-1] in _DANGLING or text.rstrip().endswith((",", ":", "-", ">"))
        cost = (
            _BROKEN * broken + _REPEATED * repeated + _ODD_PAIR * max(0, odd - _ODD_PAIRS_ALLOWED) + _DANGLES * dangles
        )
        return -min(1.0, cost)

    def broken(self, text: str) -> int:
        """How many words of a text nobody in the world would write: misspelt ones, or ones that it does not have."""
        return sum(map(self._unknown, split(text)))

    def _unknown(self, tokens: Iterable[str]) -> int:
        return sum(word not in self.vocabulary for word in tokens)

    def _learn(self, text: str) -> None:
        for tokens in split(text):
            self.vocabulary.update(tokens)
            self.pairs.update(pairwise(tokens))


def split(text: str) -> list[list[str]]:
    """The words of each sentence.

    >>> split("Of course! It is Rome.")
    [['of', 'course'], ['it', 'is', 'rome']]
    """
    return [tokens for part in _SENTENCE_END.split(text) if (tokens := words(part))]


def _everything(facts: Facts, r: random.Random) -> Iterator[str]:
    """Each template with each item in it, each stance, and all phrases of tone."""
    for relation, items in facts.items.items():
        form = FORMS[relation]
        templates = (*form.full, *form.short, *form.statements, *form.questions)
        if relation == "opinion":
            templates += tuple(text for stance in STANCES.values() for text in (*stance.full, *stance.short))
        elif relation == "misdeed":
            templates += tone.ALTERNATIVES
        for item in items:
            slots = vary(item, r)
            yield from (template.format_map(slots) for template in _few(templates, len(items), r))
    yield from (phrase for heading in _TONE for phrase in lines("tone", heading))


def _few(templates: tuple[str, ...], items: int, r: random.Random) -> Iterable[str]:
    # Stories are many and all alike: two templates each are enough.
    return templates if items < 1000 else r.sample(templates, 2)
