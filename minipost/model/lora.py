"""LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685): finetune a large matrix through two thin ones.

    y = W x + B A x,      W[out, in] frozen,  A[rank, in],  B[out, rank],  rank << min(in, out)

B starts at 0, so that the adapted model *is* the base at step 0: a DPO loss of log 2 and a KL of 0 stay known answers.
What is saved is the optimiser's memory (its two moments exist for A and B only) and a third of the arithmetic, since no
gradient of a frozen W is ever made. The paper's scale alpha / rank is left out: with Adam it is a part of the learning
rate.

In a dict of weights the pair stands beside its matrix, as `layers.0.qkv.lora_a` and `layers.0.qkv.lora_b`; whatever
takes weights takes adapted ones. `merge` adds the product into a copy of the matrix, after which the model is like any
other. The base is never written to, so that leaving the adapters out (`without`) is exact, and so is `unmerge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minipost.autograd import fused
from minipost.kernels.matmul import matmul
from minipost.model.config import Array, ModelError, Weights

A, B = ".lora_a", ".lora_b"
PARTS = ("qkv", "attention_out", "gate_up", "mlp_down")


def linear(x: Any, weights: Weights, name: str) -> Any:
    """`x @ weights[name].T`, and the adapter's share if there is one: x[N, in] -> [N, out]."""
    y = fused.linear(x, weights[name])
    if name + A not in weights:
        return y
    return y + fused.linear(fused.linear(x, weights[name + A]), weights[name + B])


def adapts(weights: Weights, layer: str) -> bool:
    """Does a matrix of this layer have an adapter?"""
    return any(layer + part + A in weights for part in PARTS)


def adapters(weights: Mapping[str, Array], rank: int, rng: np.random.Generator) -> dict[str, Array]:
    """A fresh pair for each matrix inside the layers: A normal with deviation 1/sqrt(in), B zero.

    Errors: `ModelError` for a rank below 1 or above what a matrix can have.
    """
    pairs: dict[str, Array] = {}
    for name, w in weights.items():
        if name.startswith("layers.") and name.endswith(PARTS):
            if not 1 <= rank <= min(w.shape):
                raise ModelError(f"a LoRA rank of {rank} does not fit {name} {w.shape}: from 1 to {min(w.shape)}.")
            pairs[name + A] = (rng.standard_normal((rank, w.shape[1])) / w.shape[1] ** 0.5).astype(w.dtype)
            pairs[name + B] = np.zeros((w.shape[0], rank), w.dtype)
    return pairs


def trainable(
    weights: Mapping[str, Array], rank: int, rng: np.random.Generator
) -> tuple[dict[str, Array], dict[str, Array]]:
    """(frozen, trained): what a stage leaves alone and what it updates. Rank 0 trains a copy of everything."""
    if rank == 0:
        return {}, {name: w.copy() for name, w in weights.items()}
    return dict(weights), adapters(weights, rank, rng)


def merge(weights: Mapping[str, Array], kept: dict[str, Array] | None = None) -> dict[str, Array]:
    """A model without adapters that computes the same: W + B A. Matrices without adapters are passed on as they are.

    What merging replaces, matrices and pairs, goes into `kept`, if that is given, and `unmerge` puts it back.
    """
    plain = without(weights)
    adapted = [name for name in plain if name + A in weights]
    if kept is not None:
        kept |= {part: weights[part] for name in adapted for part in (name, name + A, name + B)}
    return plain | {name: weights[name] + matmul(weights[name + B], weights[name + A]) for name in adapted}


def unmerge(merged: Mapping[str, Array], kept: Mapping[str, Array]) -> dict[str, Array]:
    """What `merge` was given, adapters and all, bit for bit.

    W + B A is rounded, and no subtraction knows which bits of W fell off: where B A is a thousand times as large as W,
    ten of them did. So the base has to be kept. That costs no memory while somebody holds it anyway.
    """
    return {**merged, **kept}


def without(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The base: the same arrays without the adapters."""
    return {name: w for name, w in weights.items() if not name.endswith((A, B))}
