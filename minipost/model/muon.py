"""Muon, an optimiser for a transformer's inner matrices: it makes every direction of a matrix move equally fast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minipost.kernels import newton_schulz
from minipost.model.config import Array
from minipost.model.optimizer import AdamW
from minipost.model.parallel import map_shards

MOMENTUM, ROUNDS = 0.95, 5


class Muon(AdamW):
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for embeddings and gains.

    The momentum of a matrix is replaced by its nearest orthogonal matrix, so that every direction moves equally fast,
    the rare ones too: those that hold a fact or learn to copy. On the simulated web it reaches a given loss with about
    half of AdamW's tokens. `muon_lr` belongs to the schedule's peak, `peak_lr`, and falls with it.
    """

    def __init__(
        self, weights: Mapping[str, Array], *, peak_lr: float, muon_lr: float = 0.02, weight_decay: float = 0.0
    ) -> None:
        super().__init__(weights, weight_decay=weight_decay)
        self.share = muon_lr / peak_lr
        inner = [name for name, w in weights.items() if w.ndim == 2 and name.startswith("layers.")]
        self.inner = sorted(inner, key=lambda name: -weights[name].size)  # the longest work first: cores end together

    def step(self, grads: Mapping[str, Array], lr: float) -> float:
        """One update; returns the gradient norm of what AdamW updates."""
        inner = [name for name in self.inner if name in grads]
        others = {name: g for name, g in grads.items() if name not in self.inner}
        norm, adamw_update = self.prepare(others, lr)

        def update(name: str) -> None:
            if name in others:
                adamw_update(name)
                return
            w, g = self.weights[name], np.ascontiguousarray(grads[name])
            rate = lr * self.share * max(1.0, w.shape[0] / max(1, w.shape[1])) ** 0.5
            newton_schulz.update(w, g, self.m[name], MOMENTUM, rate, ROUNDS)

        map_shards(update, [*inner, *others])
        return norm
