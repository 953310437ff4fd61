"""Cross-entropy with its gradient, from hidden states: how to get by without a table of N x V logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ladders.rungs import Ladder, Rung
from benchmarks.package_kernels import nll_both, nll_both_reference
from minipost.kernels import cross_entropy
from minipost.kernels.jit import kernel
from minipost.kernels.matmul import gemm


@kernel
def softmax_minus_target(logits: Any, targets: Any, share: float) -> None:
    """In place: logits[N, V] -> share (p - 1[target])."""
    for i in range(logits.shape[0]):
        cross_entropy.nll_gradient(logits[i], targets[i], share)


def whole_table(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any]:
    logits = hidden @ weight.T
    softmax_minus_target(logits, targets, logits.dtype.type(1 / len(hidden)))
    return logits @ weight, logits.T @ hidden


@kernel
def library_exponential(row: Any) -> None:
    """softmax of row[V] in place with the C library's exp in float64."""
    top, total = row[0], 0.0
    for j in range(row.shape[0]):
        top = max(top, row[j])
    for j in range(row.shape[0]):
        row[j] = np.exp(np.float64(row[j] - top))
        total += row[j]
    for j in range(row.shape[0]):
        row[j] /= total


@kernel
def chunked(hidden: Any, weight: Any, targets: Any, rows: int, fast: bool, dhidden: Any, dweight: Any) -> None:
    """One pass over chunks of `rows` positions; `fast` takes the polynomial exponential."""
    N, V = hidden.shape[0], weight.shape[0]
    share = hidden.dtype.type(1.0 / N)
    buffer = np.empty((min(rows, N), V), hidden.dtype)
    dweight[...] = 0
    for lo in range(0, N, rows):
        hi = min(lo + rows, N)
        chunk = buffer[: hi - lo]
        gemm(hidden[lo:hi], weight, chunk, False, True, 1.0, 0.0)
        for i in range(lo, hi):
            row = chunk[i - lo]
            if fast:
                cross_entropy.nll_gradient(row, targets[i], share)
            else:
                library_exponential(row)
                for j in range(V):
                    row[j] *= share
                row[targets[i]] -= share
        gemm(chunk, weight, dhidden[lo:hi], False, False, 1.0, 0.0)
        gemm(chunk, hidden[lo:hi], dweight, True, False, 1.0, 1.0)


def by_chunks(rows: int, fast: bool = True) -> Any:
    def run(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any]:
        dhidden, dweight = np.empty_like(hidden), np.empty_like(weight)
        chunked(hidden, weight, targets, rows, fast, dhidden, dweight)
        return dhidden, dweight

    return run


def two_passes(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any]:
    """Forward, and a backward pass that makes the logits again: what a loss of unknown weights needs."""
    N = len(hidden)
    logps, entropy = np.empty(N, hidden.dtype), np.empty(N, hidden.dtype)
    cross_entropy.logps_forward(hidden, weight, targets, 1.0, logps, entropy)
    dhidden, dweight = np.empty_like(hidden), np.empty_like(weight)
    g = np.full(N, -1 / N, hidden.dtype)
    cross_entropy.logps_backward(g, np.zeros_like(g), hidden, weight, targets, 1.0, dhidden, dweight)
    return dhidden, dweight


def ladder(N: int, C: int, V: int) -> Ladder:
    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        hidden, weight = rng.standard_normal((N, C), np.float32), 0.2 * rng.standard_normal((V, C), np.float32)
        return hidden, weight, rng.integers(0, V, N)

    return Ladder(
        f"cross-entropy forward + backward, {N} x {C}, {V} tokens",
        inputs,
        (
            Rung("NumPy, N x V logits", nll_both_reference, "the formula: seven passes over a table of N x V"),
            Rung("N x V logits, compiled softmax", whole_table, "one pass over the table between the products"),
            Rung(
                "two passes over chunks",
                two_passes,
                "no table, but a product more: needed where the weights of the loss come later (DPO, PPO)",
                kept=False,
            ),
            Rung("one pass, library's exp", by_chunks(128, False), "a call for each of V exponentials", kept=False),
            Rung("one pass, chunks of 16", by_chunks(16), "the products are too flat to run at full speed", kept=False),
            Rung("one pass, chunks of 1024", by_chunks(1024), "no faster, for eight times the memory", kept=False),
            Rung("one pass, chunks of 128", nll_both, "the package's: logits in the cache, products at full speed"),
        ),
    )
