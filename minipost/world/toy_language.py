"""Luma, a toy language: English word order with other words, so that a translation is right or wrong word by word."""

from __future__ import annotations

from typing import Final

from minipost.world.tables.reading import pairs

# English -> Luma: the whole language, whatever the size of the world.
DICTIONARY: Final = {
    english: word
    for heading in ("things", "living", "adjectives", "verbs")
    for english, word in pairs("toy_language", heading).items()
}


def translate(english: str) -> str:
    """English into Luma, word by word; only for words of the dictionary.

    >>> translate("red house")
    'rusa kelo'
    """
    return " ".join(DICTIONARY[word] for word in english.split())
