"""Exercises of lesson 3. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

IGNORED = -100  # the label of a position that the loss leaves out


def best_pair(words: Mapping[tuple[int, ...], int]) -> tuple[int, int]:
    """The pair of neighbouring ids that occurs most often in `words` (word as ids -> how often it occurs).

    Every place counts, also several in one word. Ties go to the smaller pair. At least one word has two ids.
    """
    raise NotImplementedError


def encode(word: Sequence[int], merges: Sequence[tuple[int, int]]) -> list[int]:
    """The ids of one word, given as bytes: `merges[k]` joins two neighbours into the id 256 + k.

    Merges are applied in the order in which they were learnt, each wherever it fits, from left to right.
    """
    raise NotImplementedError


def labels(prompt: Sequence[int], response: Sequence[int], length: int, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """One example as a row for training: inputs [length] and labels [length].

    Inputs are prompt, response and padding with `pad_id`. The label at column t is the token that should be predicted
    there, which is the *next* one; IGNORED where that is no response token. `pad_id` may be the id that ends responses.
    """
    raise NotImplementedError


def decode(pieces: Sequence[Sequence[int]]) -> str:
    """The text of a row of tokens, each given as its bytes; what is no UTF-8 becomes U+FFFD.

    This one is written, every English text comes back from it, and it is wrong.
    """
    return "".join(bytes(piece).decode("utf-8", errors="replace") for piece in pieces)
