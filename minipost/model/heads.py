"""What stages read off a model for a packed batch: token log-probabilities, sequence scores, values.

Only the positions that a loss looks at reach the output layer: prompts cost attention, but no logits.
n response tokens, S sequences, R tokens in the longest response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minipost.autograd import fused, record, value
from minipost.model.config import REFERENCE, Array, ModelConfig, Weights
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


def sequence_logps(weights: Weights, config: ModelConfig, batch: Packed, temperature: float = 1.0) -> Any:
    """Log-probability of each response, end token included: [S]."""
    return response_logps(weights, config, batch, temperature)[0].sum(axis=1)


def scores(weights: Weights, config: ModelConfig, batch: Packed, reference_logps: Array | None = None) -> Any:
    """A reward model's score of each sequence, read at its last real token: [S].

    With a likelihood head it also reads l_t, the log-probability of each response token under a frozen reference
    (`reference_logps` [S, R], computed here if not given):

        score = v . h_end + sum_t (g . h_t) l_t + a mean_t l_t + b sum_t l_t + c

    A model of a few layers has little room to find out that a word is a surprise and to carry that to the last token.
    Its policy says so in one number.
    """
    hidden = states(weights, config, batch)
    score = fused.linear(fused.gather_rows(hidden, batch.last), weights["score"]).reshape(-1)
    if "likelihood" not in weights:
        return score
    if reference_logps is None:
        reference = {name: value(w) for name, w in subnetwork(weights, REFERENCE).items()}
        reference_logps = response_logps(reference, config, batch)[0]
    logps = reference_logps
    read = fused.gather_rows(hidden, batch.index + 1)  # [n, C], after each response token
    gate = place(fused.linear(read, weights["gate"]).reshape(-1), batch.mask)  # [S, R]
    total = logps.sum(axis=1)
    read_off = np.stack([total / np.maximum(batch.lengths, 1), total, np.ones_like(total)], axis=1)  # [S, 3]
    likelihood = fused.linear(read_off.astype(logps.dtype), weights["likelihood"]).reshape(-1)
    return score + (gate * logps).sum(axis=1) + likelihood


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
