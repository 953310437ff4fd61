"""Losses of the reward model: learn a scale from comparisons.

Bradley and Terry (1952) say that the chance of `a` being preferred to `b` is `sigmoid(r_a - r_b)`. Fitting that by
maximum likelihood is the whole of reward modelling (Ouyang et al. 2022, eq. 1). Only differences count: the scale has
no origin, unless a centring term gives it one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minipost.autograd import Array, log_softmax, softplus, value
from minipost.losses.reduction import TensorLike


def bradley_terry(
    chosen: TensorLike, rejected: TensorLike, margin: TensorLike | float = 0.0, center: float = 0.0
) -> Any:
    """`mean softplus(-(r_c - r_r - margin)) + center * mean (r_c + r_r)^2` -> scalar.

    `chosen[B]` and `rejected[B]` are scores of the two responses to one prompt. `margin` (a number or [B]) asks for
    more than being ahead, where labelers were sure (Llama 2, eq. 2). `center` (lambda in the maths; Eisenstein 2023)
    pulls the mean of the two scores to 0 and so fixes the free constant of each prompt. Laws P14-P23, P25, P26.
    """
    loss = softplus(-(chosen - rejected - value(margin))).mean()
    return loss + center * ((chosen + rejected) ** 2).mean() if center else loss


def plackett_luce(scores: TensorLike, best: TensorLike) -> Any:
    """`mean -log softmax(scores)[best]`: the best of K, the K-way Bradley-Terry -> scalar.

    `scores[B, K]`, `best[B]` the index of the preferred one (Plackett 1975; Luce 1959; top-1 only). With K = 2 it is
    `bradley_terry`. Law P21.
    """
    best = np.asarray(value(best))
    return -log_softmax(scores)[np.arange(len(best)), best].mean()


def pointwise_regression(scores: TensorLike, targets: TensorLike) -> Any:
    """`mean (r - target)^2` -> scalar: the baseline that trusts absolute scores. `scores[B]`, `targets[B]`."""
    return ((scores - value(targets)) ** 2).mean()


def wins(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """1 where `a` is higher than `b`, 0 where it is lower, 0.5 for a tie; of their broadcast shape."""
    difference = np.asarray(value(a)) - np.asarray(value(b))
    return np.asarray((difference > 0) + 0.5 * (difference == 0))


def pair_accuracy(chosen: Array, rejected: Array) -> float:
    """Share of pairs whose chosen response scores higher, ties half -> in [0, 1]. Law P20."""
    return float(wins(chosen, rejected).mean())
