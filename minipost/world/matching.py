"""Finding phrases in any text, whatever its case, punctuation and little words.

A text becomes a list of words (`words`), and of these the content words (`content`): "Bake it in the HOT oven!" and
"bake in a hot oven" are both `bake hot oven`. Phrases are found as runs of content words, so that word boundaries
are respected and "art" is not found in "tart".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from minipost.world.tables import NUMBERS
from minipost.world.tables.reading import word_list

Words = tuple[str, ...]

# Articles, prepositions and pronouns that carry nothing by which an answer is right or wrong. "not" is none of them.
LITTLE: Final = frozenset(word_list("words", "little"))
_NEGATIONS: Final = frozenset(word_list("words", "negations"))

_WORD = re.compile(r"\d+|[^\W\d_]+(?:'[^\W\d_]+)*|[+=]|[^\w\s.,;:!?'\"()\-]")
_SYMBOLS: Final = {"+": "plus", "=": "is", **{str(n): word for n, word in enumerate(NUMBERS)}}


def words(text: str) -> list[str]:
    """Lower-case words; digits up to 20 and arithmetic signs in words; any stray symbol is a word by itself.

    >>> words("7 + 5 = 12! I can't.")
    ['seven', 'plus', 'five', 'is', 'twelve', 'i', "can't"]
    """
    text = text.lower().replace("’", "'")
    if " - " in text or "−" in text:
        text = re.sub(r"(?<=\w)\s*(?:−| - )\s*(?=\d)", " minus ", text)
    return [_SYMBOLS.get(word, word) for word in _WORD.findall(text)]


def content(tokens: Iterable[str]) -> list[str]:
    """The words without the little ones."""
    return [word for word in tokens if word not in LITTLE]


@lru_cache(maxsize=100_000)
def phrase(text: str) -> Words:
    """The content words of a phrase.

    >>> phrase("bake it in a hot oven")
    ('bake', 'hot', 'oven')
    """
    return tuple(content(words(text)))


@lru_cache(maxsize=100_000)
def cached_words(text: str) -> Words:
    """`words` of a short text that comes again and again."""
    return tuple(words(text))


def position(target: Words, text: list[str]) -> int:
    """Index of the first unnegated occurrence of `target` in `text`, or -1.

    "The capital is not Paris" does not say Paris.
    """
    if not target:
        return -1
    length, first = len(target), target[0]
    for i in range(len(text) - length + 1):
        if text[i] == first and tuple(text[i : i + length]) == target and not _negated(text, i):
            return i
    return -1


def _negated(text: list[str], i: int) -> bool:
    # "why not" is a suggestion.
    return i > 0 and text[i - 1] in _NEGATIONS and text[max(0, i - 2)] != "why"


class PhraseBook:
    """A set of phrases, all of which are looked for in one pass over a text."""

    def __init__(self, phrases: Iterable[str]) -> None:
        by_first: dict[str, set[Words]] = {}
        for text in phrases:
            target = phrase(text)
            if target:
                by_first.setdefault(target[0], set()).add(target)
        # Longest first: in "saffron rice" the phrase "saffron rice" is meant and not "saffron".
        self._by_first = {first: sorted(group, key=lambda p: (-len(p), p)) for first, group in by_first.items()}

    def find(self, text: list[str]) -> list[Words]:
        """The phrases that the content words `text` say (unnegated), in order, without overlap."""
        phrases: list[Words] = []
        i = 0
        while i < len(text):
            step = 1
            for target in self._by_first.get(text[i], ()):
                if tuple(text[i : i + len(target)]) == target:
                    if not _negated(text, i):
                        phrases.append(target)
                    step = len(target)
                    break
            i += step
        return phrases
