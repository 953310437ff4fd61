"""Solutions of lesson 3's exercises, one of many each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

IGNORED = -100  # the label of a position that the loss leaves out


def best_pair(words: Mapping[tuple[int, ...], int]) -> tuple[int, int]:
    """Count, then order by count downwards and by pair upwards."""
    counts: Counter[tuple[int, int]] = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return min(counts, key=lambda pair: (-counts[pair], pair))


def encode(word: Sequence[int], merges: Sequence[tuple[int, int]]) -> list[int]:
    """One pass a merge."""
    ids = list(word)
    for new, pair in enumerate(merges, 256):
        i = 0
        while i + 1 < len(ids):
            if (ids[i], ids[i + 1]) == tuple(pair):
                ids[i : i + 2] = [new]
            i += 1
    return ids


def labels(prompt: Sequence[int], response: Sequence[int], length: int, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Places come from lengths: response token j is predicted at column P - 1 + j."""
    P, R = len(prompt), len(response)
    inputs, out = np.full(length, pad_id), np.full(length, IGNORED)
    inputs[: P + R] = [*prompt, *response]
    out[P - 1 : P - 1 + R] = response
    return inputs, out


def decode(pieces: Sequence[Sequence[int]]) -> str:
    """Join the bytes first: one character may be spread over several tokens."""
    return b"".join(map(bytes, pieces)).decode("utf-8", errors="replace")
