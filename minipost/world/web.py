"""The web: pages of every sort in known proportions, spoilt by a known amount of noise.

One knob, `quality` q in [0, 1]. Noise is 1 - q: typos, shuffled and broken-off pages, wrong answers in threads,
adverts. The share of good dialogue grows as q^3: none at 0, some 5 % at 0.5, about a third at 1.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from minipost.world.facts import Facts
from minipost.world.matching import PhraseBook, content, words
from minipost.world.pages import Pages, Writer
from minipost.world.tables.reading import weights

# Weight of each sort of page, before `advert` and `dialogue` are weighted by quality.
_MIX: Final = weights("pages", "sorts")

_LOWER = 0.06  # pages all in lower case, whatever the quality


class Web:
    """An endless supply of pages about one world."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._steps = PhraseBook(
            step for relation in ("recipe", "misdeed") for item in facts.items[relation] for step in item.answer()
        )

    def pages(self, r: random.Random, quality: float, count: int | None = None, rhymes: float = 0.05) -> Iterator[str]:
        """`count` pages (None: endless) of the given quality, a share `rhymes` of them nursery rhymes."""
        if not 0.0 <= quality <= 1.0:
            raise ValueError(f"quality is {quality}: choose it from 0 (noise) to 1 (clean, with much good dialogue).")
        noise = 1.0 - quality
        mix = _MIX | {"advert": 0.02 + 0.1 * noise, "dialogue": 0.8 * quality**3}
        mix["rhyme"] = rhymes / (1 - rhymes) * sum(mix.values())
        pages = Pages(self._facts, quality)
        writers: list[Writer] = [getattr(pages, sort) for sort in mix]
        cumulative = [sum(list(mix.values())[: i + 1]) for i in range(len(mix))]
        while count is None or count > 0:
            for write in r.choices(writers, cum_weights=cumulative, k=256 if count is None else min(count, 256)):
                yield spoil(write(r), noise, r)
            count = None if count is None else count - 256

    def continuation_mode(self, text: str) -> str:
        """One of the three modes, or "other"; see `World.continuation_mode`.

        A step of any recipe makes instructions; without one, an early question mark makes a question back. What is
        neither is context if it is a sentence at all.
        """
        tokens = words(text)
        if self._steps.find(content(tokens)) or tokens[:1] == ["first"]:
            return "instructions"
        if "?" in text[:120]:
            return "question"
        return "context" if len(tokens) >= 4 else "other"


def spoil(page: str, noise: float, r: random.Random) -> str:
    """The page as it gets published: sometimes in lower case and, in proportion to `noise`, misspelt or garbled."""
    if r.random() < _LOWER:
        page = page.lower()
    kind = r.random()
    if kind < 0.3 * noise:
        return _each_word(page, 0.08, _typo, r)
    if kind < 0.4 * noise:
        shuffled = page.split()
        r.shuffle(shuffled)
        return " ".join(shuffled)
    if kind < 0.45 * noise:
        return page[: r.randrange(len(page) // 3, len(page))]
    return page


def _each_word(page: str, share: float, change: Callable[[str, random.Random], str], r: random.Random) -> str:
    """Apply `change` to a share of the words, leaving white space (and so the layout) alone."""
    pieces = page.split(" ")
    for _ in range(max(1, int(share * len(pieces)))):
        i = r.randrange(len(pieces))
        pieces[i] = change(pieces[i], r)
    return " ".join(pieces)


def _typo(word: str, r: random.Random) -> str:
    """Two letters swapped, one doubled or one dropped."""
    if len(word) < 3:
        return word
    i = r.randrange(len(word) - 1)
    return r.choice(
        (word[:i] + word[i + 1] + word[i] + word[i + 2 :], word[: i + 1] + word[i:], word[:i] + word[i + 1 :])
    )
