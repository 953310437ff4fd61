"""Solutions of lesson 5's exercises."""

from __future__ import annotations

import numpy as np


def target_mask(prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int) -> np.ndarray:
    """Column t of the targets is column t + 1 of the tokens."""
    columns = np.arange(1, width)
    stops = prompt_lengths + response_lengths
    return (columns >= prompt_lengths[:, None]) & (columns < stops[:, None])


def sequence_logps(logits: np.ndarray, tokens: np.ndarray, response_mask: np.ndarray) -> np.ndarray:
    """One shift: logits lose their last position, tokens and mask their first. Masked entries are chosen away,
    not multiplied by 0, because 0 * NaN is NaN."""
    z = logits[:, :-1] - logits[:, :-1].max(axis=-1, keepdims=True)  # [B, T - 1, V]
    counted = response_mask[:, 1:] != 0
    logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(logp, np.where(counted, tokens[:, 1:], 0)[..., None], axis=-1)[..., 0]
    return np.where(counted, picked, 0.0).sum(axis=1)


def may_look(start: np.ndarray) -> np.ndarray:
    """Position i sees start[i], ..., i."""
    columns = np.arange(start.shape[1])
    return (columns >= start[:, :, None]) & (columns <= columns[:, None])


def mask_without_padding(
    tokens: np.ndarray, prompt_lengths: np.ndarray, response_lengths: np.ndarray, pad_id: int
) -> np.ndarray:
    """Masks come from lengths: where pad and end share an id, tokens cannot tell them apart."""
    return target_mask(prompt_lengths, response_lengths, tokens.shape[1])
