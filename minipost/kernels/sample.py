"""Choose the next token, and say how probable it was under the very transform that chose it.

    logits -> divide by temperature -> keep the top k -> keep the smallest set with probability >= p -> draw

PPO compares log-probabilities at training time with those recorded here; if they were taken at another temperature, or
before top-k, the ratio would not start at 1. The draw inverts the cumulative distribution at a uniform number that the
caller supplies for each row, so that a row's result does not depend on its batch mates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import exp, inlined, kernel


def reference(logits: Any, temperature: float, top_k: int, top_p: float) -> Any:
    """logits[V] -> the log-probabilities [V] of the transformed distribution, -inf where cut off."""
    if temperature == 0:
        return np.where(np.arange(len(logits)) == np.argmax(logits), 0.0, -np.inf)
    x = logits / temperature
    order = np.argsort(-x, kind="stable")  # ties in the order of the vocabulary
    if top_k:
        x[order[top_k:]] = -np.inf
    p = np.exp(x - x.max())
    p /= p.sum()
    if top_p < 1:
        before = np.cumsum(p[order]) - p[order]  # probability of everything ahead of this token
        x[order[before >= top_p]] = -np.inf
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


@kernel
def sample(logits: Any, uniforms: Any, temperature: float, top_k: int, top_p: float, tokens: Any, logps: Any) -> None:
    """logits[B, V] (overwritten), uniforms[B] in [0, 1) -> tokens[B], logps[B].

    Temperature 0 is greedy: the most probable token, at log-probability 0. `top_k=0` and `top_p=1` keep everything.
    """
    V = logits.shape[1]
    for b in range(logits.shape[0]):
        row = logits[b]
        best = 0
        for j in range(V):
            if row[j] > row[best]:
                best = j
        if temperature == 0:
            tokens[b], logps[b] = best, 0
            continue
        inverse, top = row.dtype.type(1 / temperature), row[best]
        for j in range(V):
            row[j] = exp((row[j] - top) * inverse)
        if 0 < top_k < V or top_p < 1:
            cut_off(row, top_k if top_k > 0 else V, top_p)
        total = 0.0
        for j in range(V):
            total += row[j]
        tokens[b] = draw(row, uniforms[b] * total)
        logps[b] = np.log(row[tokens[b]] / total)


@inlined
def cut_off(p: Any, top_k: int, top_p: float) -> None:
    """Zero all but the top k of the unnormalised p[V], then all but the smallest set that holds a share of top_p."""
    order = np.argsort(-p, kind="mergesort")
    kept = min(top_k, p.shape[0])
    total = 0.0
    for r in range(kept):
        total += p[order[r]]
    before = 0.0
    for r in range(p.shape[0]):
        probability = p[order[r]]
        if r >= kept or before >= top_p * total:
            p[order[r]] = 0
        before += probability


@inlined
def draw(p: Any, target: float) -> int:
    """The first index whose cumulative sum exceeds `target`; never one of probability 0."""
    cumulative, last = 0.0, 0
    for j in range(p.shape[0]):
        if p[j] > 0:
            cumulative += p[j]
            last = j
            if cumulative > target:
                break
    return last
