"""Log-probabilities of given tokens straight from hidden states, without an N x V buffer of logits.

    logits = hidden W^T / temperature,   logps_i = logits[i, target_i] - logsumexp(logits_i)

N positions, C channels, V tokens. Work goes by chunks of rows whose logits fit into the cache. The training loss of
pretraining and SFT knows the weight of every position beforehand, so that value and gradient come out of one pass
(`weighted_nll`); a preference loss or PPO does not, and makes the logits again in its backward pass (`logps_backward`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import exp, inlined, kernel, largest, wide_vectors
from minipost.kernels.matmul import gemm

CHUNK = 128  # rows of logits at a time: 128 x 2048 floats are 1 MB


def reference(hidden: Any, weight: Any, targets: Any, temperature: float = 1.0) -> tuple[Any, Any]:
    """hidden[N, C], weight[V, C], targets[N] -> logps[N], entropy[N]."""
    logits = hidden @ weight.T / temperature  # [N, V]
    shifted = logits - logits.max(-1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logp[np.arange(len(targets)), targets], -(np.exp(logp) * logp).sum(-1)


@inlined
def lse_and_entropy(row: Any) -> tuple[float, float]:
    """Of logits row[V], which stay: log-sum-exp, and entropy = lse - sum p * logit."""
    wide_vectors()
    top = largest(row)
    total, weighted = row.dtype.type(0), row.dtype.type(0)
    for j in range(row.shape[0]):
        shifted = row[j] - top
        e = exp(shifted)
        total += e
        weighted += e * shifted
    log_total = np.log(total)
    return top + log_total, log_total - weighted / total


@inlined
def nll_gradient(row: Any, target: int, share: float) -> float:
    """Logits row[V] -> share times the gradient of -log p(target), p - 1[target], in place; returns -log p(target)."""
    wide_vectors()
    top, picked = largest(row), row[target]
    total = row.dtype.type(0)
    for j in range(row.shape[0]):
        row[j] = exp(row[j] - top)
        total += row[j]
    factor = share / total
    for j in range(row.shape[0]):
        row[j] *= factor
    row[target] -= share
    return top + np.log(total) - picked


@inlined
def logps_gradient(row: Any, target: int, g_logp: float, g_entropy: float) -> None:
    """Logits row[V] -> their gradient, in place, for a loss that knows log p(target) and the entropy."""
    wide_vectors()
    lse, entropy = lse_and_entropy(row)
    for j in range(row.shape[0]):
        log_p = row[j] - lse
        row[j] = -exp(log_p) * (g_logp + g_entropy * (log_p + entropy))
    row[target] += g_logp


@kernel
def logps_forward(
    hidden: Any, weight: Any, targets: Any, temperature: float, logps: Any, entropy: Any, low: bool = False
) -> None:
    """hidden[N, C], weight[V, C], targets[N] -> logps[N], entropy[N]; `low` as in `gemm`."""
    N, V = hidden.shape[0], weight.shape[0]
    buffer = np.empty((min(CHUNK, N), V), hidden.dtype)
    for lo in range(0, N, CHUNK):
        hi = min(lo + CHUNK, N)
        chunk = buffer[: hi - lo]
        gemm(hidden[lo:hi], weight, chunk, False, True, 1.0 / temperature, 0.0, low)
        for i in range(lo, hi):
            lse, entropy[i] = lse_and_entropy(chunk[i - lo])
            logps[i] = chunk[i - lo, targets[i]] - lse


@kernel
def logps_backward(
    g_logps: Any,
    g_entropy: Any,
    hidden: Any,
    weight: Any,
    targets: Any,
    temperature: float,
    dhidden: Any,
    dweight: Any,
    low: bool = False,
) -> None:
    """g_logps[N], g_entropy[N] -> dhidden[N, C], dweight[V, C] (or [0, C]: it is not wanted).

    dlogits_j = g_logps (1[j = target] - p_j) - g_entropy p_j (log p_j + entropy)
    """
    N, V = hidden.shape[0], weight.shape[0]
    inverse = hidden.dtype.type(1 / temperature)
    buffer = np.empty((min(CHUNK, N), V), hidden.dtype)
    dweight[...] = 0
    for lo in range(0, N, CHUNK):
        hi = min(lo + CHUNK, N)
        chunk = buffer[: hi - lo]
        gemm(hidden[lo:hi], weight, chunk, False, True, 1.0 / temperature, 0.0, low)
        for i in range(lo, hi):
            g_logp, g_h = g_logps[i] * inverse, g_entropy[i] * inverse
            if g_h == 0:
                nll_gradient(chunk[i - lo], targets[i], -g_logp)
            else:
                logps_gradient(chunk[i - lo], targets[i], g_logp, g_h)
        gemm(chunk, weight, dhidden[lo:hi], False, False, 1.0, 0.0, low)
        if len(dweight) > 0:
            gemm(chunk, hidden[lo:hi], dweight, True, False, 1.0, 1.0, low)


@kernel
def weighted_nll(
    hidden: Any, weight: Any, targets: Any, weights: Any, dhidden: Any, dweight: Any, low: bool = False
) -> float:
    """`-sum_i weights_i logps_i` and its gradient, dhidden[N, C] and dweight[V, C] (or [0, C]), in one pass."""
    N, V = hidden.shape[0], weight.shape[0]
    buffer = np.empty((min(CHUNK, N), V), hidden.dtype)
    dweight[...] = 0
    loss = 0.0
    for lo in range(0, N, CHUNK):
        hi = min(lo + CHUNK, N)
        chunk = buffer[: hi - lo]
        gemm(hidden[lo:hi], weight, chunk, False, True, 1.0, 0.0, low)
        for i in range(lo, hi):
            loss += weights[i] * nll_gradient(chunk[i - lo], targets[i], weights[i])
        gemm(chunk, weight, dhidden[lo:hi], False, False, 1.0, 0.0, low)
        if len(dweight) > 0:
            gemm(chunk, hidden[lo:hi], dweight, True, False, 1.0, 1.0, low)
    return loss
