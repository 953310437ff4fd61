"""Exercises of lesson 15. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 15
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_qkv(qkv: np.ndarray, heads: int, kv_heads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Our stacked matrix [(H + 2K) * D, C] as the three of a Llama checkpoint: [H * D, C], [K * D, C], [K * D, C].

    Rows of queries come first, then keys, then values.
    """
    raise NotImplementedError


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Numbers stored as bfloat16, given as uint16[N], in float32.

    A bfloat16 is the upper half of a float32: sign, 8 bits of exponent, 7 of mantissa.
    """
    raise NotImplementedError


def split_transcript(text: str) -> tuple[str, str]:
    """A transcript as (prompt, response), split at the last turn of the assistant.

    "\\n\\nHuman: Hi\\n\\nAssistant: Hello" gives ("\\n\\nHuman: Hi", "Hello"). White space around the response goes.
    """
    raise NotImplementedError


def shared_prompt(chosen: Sequence[int], rejected: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Two conversations that begin alike, as (prompt, rest of chosen, rest of rejected); turns are given by number.

    The prompt is all that they share. This one is written, it works on most pairs, and it is wrong.
    """
    place = 0
    for place in range(min(len(chosen), len(rejected))):
        if chosen[place] != rejected[place]:
            break
    return list(chosen[:place]), list(chosen[place:]), list(rejected[place:])
