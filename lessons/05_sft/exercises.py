"""Exercises of lesson 5. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 5
"""

from __future__ import annotations

import numpy as np


def target_mask(prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int) -> np.ndarray:
    """Which targets count, [B, width - 1]: row b of tokens[B, width] is a prompt, a response, padding.

    The targets are tokens[:, 1:]. All tokens of a response count, its end token included; nothing else does.
    """
    raise NotImplementedError


def sequence_logps(logits: np.ndarray, tokens: np.ndarray, response_mask: np.ndarray) -> np.ndarray:
    """log p(response | prompt) of each row, [B]: the sum over its response tokens.

    Un-shifted: logits[B, T, V] at position t predict tokens[B, T] at t + 1, and response_mask[B, T] marks the response
    tokens themselves (never the first token of a row). Logits may be 10,000.
    """
    raise NotImplementedError


def may_look(start: np.ndarray) -> np.ndarray:
    """[B, T, T], true where the token in the row's position i may attend to the one in position j.

    start[B, T] is the column of the first token of each token's own sequence. Nobody looks ahead, nor into the sequence
    before.
    """
    raise NotImplementedError


def mask_without_padding(
    tokens: np.ndarray, prompt_lengths: np.ndarray, response_lengths: np.ndarray, pad_id: int
) -> np.ndarray:
    """The mask about targets tokens[:, 1:], as in `target_mask`, [B, T - 1].

    This one is written, it was in use for years, and models that were trained with it do not stop.
    """
    targets = tokens[:, 1:]
    columns = np.arange(1, tokens.shape[1])
    return (columns >= prompt_lengths[:, None]) & (targets != pad_id)
