"""AdamW with gradient clipping, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minipost.kernels import adamw
from minipost.model.config import Array
from minipost.model.parallel import map_shards


class AdamW:
    """Loshchilov and Hutter (2019), algorithm 2. Weight decay applies to matrices, not to gains.

    Updates the weights in place: every view of them sees the new values.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.weights = weights
        self.betas, self.eps, self.weight_decay, self.max_grad_norm = betas, eps, weight_decay, max_grad_norm
        self.steps = 0
        self.m = {name: np.zeros_like(w) for name, w in weights.items()}
        self.v = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, grads: Mapping[str, Array], lr: float) -> float:
        """One update; returns the global gradient norm before clipping. A weight without gradient stays as it is."""
        norm, update = self.prepare(grads, lr)
        map_shards(update, list(grads))
        return norm

    def prepare(self, grads: Mapping[str, Array], lr: float) -> tuple[float, Callable[[str], None]]:
        """The global gradient norm, and a function that updates one weight: the two halves of a step."""
        flat = {name: np.ascontiguousarray(g).reshape(-1) for name, g in grads.items()}
        norm = math.sqrt(sum(map_shards(adamw.sum_of_squares, list(flat.values()))))
        scale = min(1.0, self.max_grad_norm / (norm + 1e-12)) if self.max_grad_norm else 1.0
        self.steps += 1

        def update(name: str) -> None:
            w, m, v = (d[name].reshape(-1) for d in (self.weights, self.m, self.v))
            decay = self.weight_decay if self.weights[name].ndim > 1 else 0.0
            adamw.update(w, flat[name], m, v, self.steps, lr, *self.betas, self.eps, decay, scale)

        return norm, update

    def state(self) -> dict[str, Array]:
        """The moments, for a checkpoint."""
        both = {f"m.{name}": m for name, m in self.m.items()} | {f"v.{name}": v for name, v in self.v.items()}
        return both | {"steps": np.array(self.steps)}

    def restore(self, state: Mapping[str, Array]) -> None:
        self.steps = int(state["steps"])
        for name in self.weights:
            self.m[name][...], self.v[name][...] = state[f"m.{name}"], state[f"v.{name}"]


def schedule(step: int, steps: int, peak: float, warmup: float = 0.05, final: float = 0.1) -> float:
    """Learning rate of update `step` (from 0): linear up over the first `warmup` share, then a cosine down to
    `final * peak`."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return peak * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
