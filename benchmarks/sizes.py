"""The models that are timed, the tour's own among them, and how much arithmetic and memory their work needs at least.

N = B T tokens a step, L layers, C channels, P parameters in matrices (the tied embedding once, as the output layer).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from benchmarks.harness import BenchmarkError
from minipost.model import Array, ModelConfig, init_weights, shapes


@dataclass(frozen=True)
class Size:
    """A model and its batch."""

    name: str
    dim: int
    layers: int
    heads: int
    tokens: int  # T, a row
    batch: int  # B, rows
    vocab_size: int
    hidden: int  # F: about 8/3 of dim, a multiple of 16
    optimizer: Literal["adamw", "muon"] = "adamw"  # of the matrices inside the layers, on both sides

    def config(self, context: int | None = None) -> ModelConfig:
        """As many key/value heads as query heads, tied embeddings."""
        return ModelConfig(
            self.vocab_size, self.dim, self.layers, self.heads, self.heads, self.hidden, context or self.tokens
        )

    def weights(self, context: int | None = None) -> dict[str, Array]:
        """The weights that all contenders start from."""
        return init_weights(self.config(context), np.random.default_rng(0))

    @property
    def matrix_parameters(self) -> int:
        """P."""
        return sum(int(np.prod(s)) for s in shapes(self.config()).values() if len(s) == 2)

    @property
    def step_flops(self) -> float:
        """A training step: 6 N P for the matrices (2 forward, 4 backward), 6 N L T C for causal attention.

        Attention's four products of the backward pass and two of the forward one see half of the T x T pairs; making
        the probabilities again in the backward pass is not counted as work done.
        """
        N = self.batch * self.tokens
        return 6.0 * N * (self.matrix_parameters + self.layers * self.tokens * self.dim)

    @property
    def step_bytes(self) -> float:
        """The least that a training step moves: for each weight two readings, its gradient written, and an update of
        weight, gradient and two moments (7); for each token and layer what the backward pass needs, written and read:
        3 norms' or sums' inputs and outputs, q, k, v, attention's result, gate, up and their product."""
        kept = self.layers * (9 * self.dim + 3 * self.hidden) + 2 * self.dim
        return 4.0 * (10 * self.matrix_parameters + 2 * kept * self.batch * self.tokens)

    def step_memory(self, threads: int) -> float:
        """Bytes that minipost holds at the height of a training step: weights, two moments, and a gradient for each
        thread; for each token and layer two inputs and outputs of norms, q, k, v before and after their rotation,
        attention's result and its log-sum-exp, gate, up and their product. Nowhere a T x T."""
        a_layer = 11 * self.dim + self.heads + 3 * self.hidden
        tokens = self.batch * self.tokens
        return 4.0 * ((3 + threads) * self.matrix_parameters + tokens * (self.layers * a_layer + 4 * self.dim))

    def decode_flops(self, batch: int, positions: float) -> float:
        """One new token for each of `batch` sequences with `positions` tokens behind them on average."""
        return batch * (2.0 * self.matrix_parameters + 4.0 * self.layers * positions * self.dim)

    def decode_bytes(self, batch: int, positions: float) -> float:
        """Every weight once, and every sequence's keys and values."""
        return 4.0 * (self.matrix_parameters + 2 * batch * self.layers * positions * self.dim)


SIZES = {
    size.name: size
    for size in (
        Size("nano", 32, 1, 2, 16, 4, 64, 96),  # for tests of the tool
        Size("tour", 128, 3, 4, 128, 4, 2048, 352, "muon"),  # what a tour pretrains, with a vocabulary of 2,048
        Size("XS", 64, 2, 4, 64, 16, 512, 176),
        Size("S", 128, 4, 4, 128, 16, 1024, 352),
        Size("M", 256, 6, 8, 256, 8, 2048, 688),
    )
}


def size_named(name: str) -> Size:
    """Errors: `BenchmarkError` for an unknown name."""
    if name not in SIZES:
        raise BenchmarkError(f"there is no size {name!r}: choose one of {', '.join(SIZES)}.")
    return SIZES[name]


def scaled(size: Size, **changes: Any) -> Size:
    """The same model with other numbers, for the curves of growth."""
    return replace(size, **changes)
