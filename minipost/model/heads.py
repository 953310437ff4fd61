"""What stages read off a model for a packed batch: token log-probabilities, sequence scores, values.

Only the positions that a loss looks at reach the output layer: prompts cost attention, but no logits.
n response tokens, S sequences, R tokens in the longest response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minipost.autograd import fused, record, value
from minipost.model.config import Array, ModelConfig, Weights
from minipost.model.transformer import hidden_states, output_weight
from minipost.text.batching import Packed


def states(weights: Weights, config: ModelConfig, batch: Packed) -> Any:
    """Hidden states of all tokens, [B * T, C]."""
    return hidden_states(weights, config, batch.tokens, batch.positions, batch.start)


def response_states(weights: Weights, config: ModelConfig, batch: Packed) -> Any:
    """Hidden states that predict the response tokens, [n, C]."""
    return fused.gather_rows(states(weights, config, batch), batch.index)


def response_logps(weights: Weights, config: ModelConfig, batch: Packed, temperature: float = 1.0) -> Any:
    """(log-probabilities [S, R], entropies [S, R]) of the response tokens; 0 where there is none."""
    return logps_from(response_states(weights, config, batch), weights, batch, temperature)


def logps_from(hidden: Any, weights: Weights, batch: Packed, temperature: float = 1.0) -> Any:
    """The same, if the hidden states [n, C] have been computed already."""
    both = fused.token_logps(hidden, output_weight(weights), batch.targets, temperature)  # [2, n]
    return place(both[0], batch.mask), place(both[1], batch.mask)


def sequence_logps(weights: Weights, config: ModelConfig, batch: Packed) -> Any:
    """Log-probability of each response, end token included: [S]."""
    return response_logps(weights, config, batch)[0].sum(axis=1)


def scores(weights: Weights, config: ModelConfig, batch: Packed) -> Any:
    """A reward model's score, read at the last real token of each sequence: [S]."""
    hidden = fused.gather_rows(states(weights, config, batch), batch.last)
    return fused.linear(hidden, weights["score"]).reshape(-1)


def values(hidden: Any, weights: Weights, batch: Packed) -> Any:
    """A value head on hidden states [n, C]: the expected return before each response token, [S, R]."""
    return place(fused.linear(hidden, weights["value"]).reshape(-1), batch.mask)


def place(flat: Any, mask: Array) -> Any:
    """flat[n] -> [S, R] in the order of the True entries of mask[S, R], 0 elsewhere."""
    x = value(flat)
    out = np.zeros(mask.shape, x.dtype)
    out[mask] = x
    return record(out, (flat,), lambda g: (g[mask],))


def subnetwork(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The weights whose names start with `prefix`, without it: one of several networks that are trained together."""
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
