"""The world: one seed, and out come its facts, its web, its tasks.

Everything that a claim measures is measured against this object: it knows what is true, who believes what, and with
which frequencies its web says things.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from minipost.world.correctness import rivals
from minipost.world.facts import KINDS, RELATIONS, Facts
from minipost.world.fluency import Fluency
from minipost.world.matching import PhraseBook, cached_words
from minipost.world.pages import HOW_TO_FREQUENCIES
from minipost.world.tasks import Task, kind_weights, make_task
from minipost.world.web import Web


class World:
    """A simulated universe in plain English; equal seeds and shares give equal worlds.

    Attributes:
        seed: the seed.
        share: how much of the world there is, see `minipost.world.tables`.
        facts: what is true, and which of it is held out (`minipost.world.facts.Facts`).
        how_to_frequencies: how often a page that begins with "How to make ..." goes on with context, with a question
            back, or with instructions.

    >>> world = World(0)
    >>> world.tasks("test", 3, np.random.default_rng(0))[0].key in world.facts.test_keys
    True
    """

    how_to_frequencies: Mapping[str, float] = HOW_TO_FREQUENCIES

    def __init__(self, seed: int = 0, share: float = 1.0) -> None:
        self.seed, self.share = seed, share
        self.facts = Facts(seed, share)

    def web(
        self, rng: np.random.Generator, quality: float = 0.5, pages: int | None = None, rhymes: float = 0.05
    ) -> Iterator[str]:
        """Pages of the web, `pages` of them or without end.

        Args:
            rng: the source of all chance.
            quality: 0 to 1. Lower means typos, garbled and wrong text, and spam; higher means polite, complete,
                harmless dialogues (none at 0).
            pages: how many pages, None for an endless stream.
            rhymes: share of nursery rhymes, whose lines repeat: from them a model learns to copy.
        """
        return self._web.pages(random.Random(int(rng.integers(2**63))), quality, pages, rhymes)

    def tasks(
        self,
        split: str,
        n: int,
        rng: np.random.Generator,
        kinds: Sequence[str] | None = None,
        mix: Mapping[str, float] | None = None,
    ) -> list[Task]:
        """`n` tasks of a split ("train" or "test"), kinds drawn by `mix` (kind -> share; default `tasks.MIX`)."""
        r = random.Random(int(rng.integers(2**63)))
        allowed = tuple(kinds) if kinds is not None else KINDS
        drawn = r.choices(allowed, kind_weights(allowed, mix), k=n)
        return [make_task(r.choice(self.facts.split(r.choice(RELATIONS[kind]), split)), r) for kind in drawn]

    def continuation_mode(self, text: str) -> str:
        """How a text goes on after "How to make ...": "context", "question", "instructions" or, if garbled, "other"."""
        return self._web.continuation_mode(text)

    def topic_words(self, subject: str) -> frozenset[str]:
        """All words of the facts about a subject ("Italy": rome, italian, europe, pizza); none if it has no facts."""
        return self._topics.get(subject, frozenset())

    @cached_property
    def rivals(self) -> Mapping[str, PhraseBook]:
        """Relation -> the values that its answers may be confused with."""
        return rivals(self.facts)

    @cached_property
    def fluency(self) -> Fluency:
        """The world's English, by which texts are found to be in one piece or not."""
        return Fluency(self.facts)

    @cached_property
    def _topics(self) -> Mapping[str, frozenset[str]]:
        return {
            subject: frozenset(word for item in items for text in item.slots.values() for word in cached_words(text))
            for subject, items in self.facts.about.items()
        }

    @cached_property
    def _web(self) -> Web:
        return Web(self.facts)
