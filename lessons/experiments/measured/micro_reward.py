"""A reward model without a network: a linear score on features in which the micro-world's utility is exactly linear.

What a reward model learns from labels depends on the labels, on the loss and on the model. Here the model can represent
the truth and the optimum is found, so that what remains is what the *labels* say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minipost.autograd import Array, Tensor
from minipost.model import AdamW
from minipost.world.micro import MicroWorld


def micro_world(seed: int) -> MicroWorld:
    """Two prompts, four words, responses of up to three: 85 responses, 26 features."""
    return MicroWorld(vocab=5, max_length=3, prompts=2, seed=seed)


def features(world: MicroWorld) -> Array:
    """[P, N, F]: which words a response says (to each prompt by itself), which pairs of neighbours, how long, cut."""
    words, P, N = world.vocab - 1, world.prompts, len(world.responses)
    says = (world.responses[:, :, None] == np.arange(words)).any(axis=1).astype(float)  # [N, W]
    relevance = np.einsum("pq,nw->pnqw", np.eye(P), says).reshape(P, N, P * words)
    left, right = world.responses[:, :-1], world.responses[:, 1:]
    pairs = np.arange(words**2) == np.where((left < words) & (right < words), left * words + right, -1)[..., None]
    of_text = np.column_stack([pairs.sum(axis=1), world.lengths - world.ended, ~world.ended])
    return np.concatenate([relevance, np.broadcast_to(of_text, (P, *of_text.shape))], axis=2)


def fitted(loss: Callable[[Tensor], Any], size: int, steps: int = 200, learning_rate: float = 0.1) -> Array:
    """The weights [size] that minimise `loss(weights)`, by AdamW from 0 with a falling learning rate."""
    weights = {"w": np.zeros(size)}
    optimizer = AdamW(weights)
    for step in range(steps):
        w = Tensor(weights["w"])
        loss(w).backward()
        assert w.grad is not None, "a loss depends on the weights"
        optimizer.step({"w": w.grad}, learning_rate * (1 - step / steps))
    return weights["w"]
