"""Solutions of lesson 15's exercises, one of many each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_qkv(qkv: np.ndarray, heads: int, kv_heads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """D follows from the rows; then two cuts."""
    D = len(qkv) // (heads + 2 * kv_heads)
    q, k, v = np.split(qkv, [heads * D, (heads + kv_heads) * D])
    return q, k, v


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Put the 16 bits above 16 zeros, and call the result a float."""
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def split_transcript(text: str) -> tuple[str, str]:
    """From the right: earlier turns of the assistant belong to the prompt."""
    prompt, _, response = text.rpartition("\n\nAssistant:")
    return prompt, response.strip()


def shared_prompt(chosen: Sequence[int], rejected: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Count what is shared; a loop that runs to its end has seen nothing else."""
    place = 0
    while place < min(len(chosen), len(rejected)) and chosen[place] == rejected[place]:
        place += 1
    return list(chosen[:place]), list(chosen[place:]), list(rejected[place:])
