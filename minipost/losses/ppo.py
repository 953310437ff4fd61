"""PPO's two losses and its entropy (Schulman et al. 2017; Ziegler et al. 2019).

A batch of responses is sampled once and used for several updates. The ratio `rho = pi / pi_old` corrects for the policy
having moved since, and the clip takes away the incentive to move further than the sample can justify:

              A > 0: raise this token              A < 0: lower it
    loss   \\                                               /
            \\                                             /
             \\______ flat: far enough        flat _______/
              |  |                                 |  |
              1  1+eps                         1-eps  1       rho
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minipost.autograd import clip as bounded
from minipost.autograd import exp, log_softmax, maximum, minimum, value, where
from minipost.losses.reduction import Reduction, TensorLike, aggregate, as_mask, hide


def policy_loss(
    logp: TensorLike,
    old_logp: TensorLike,
    advantages: TensorLike,
    mask: TensorLike,
    clip: float = 0.2,
    reduction: Reduction = "token",
    length: int | None = None,
) -> Any:
    """Mean over counted tokens of `max(-A rho, -A clip(rho, 1 - eps, 1 + eps))` (Schulman 2017, eq. 7) -> scalar.

    All arrays are [B, T]; `old_logp` and `advantages` are data, uncounted positions may hold anything; nothing counted
    gives 0. `reduction` is one of the ways of `losses.reduction`; "constant" needs `length`. GRPO and RLOO use this
    loss too, on-policy with `rho = 1`, where it is `-A` and its gradient `-A grad log pi`.

    The maximum is the *pessimistic* choice for either sign of A: it equals `-A min(rho, 1 + eps)` for `A > 0` and
    `-A max(rho, 1 - eps)` for `A < 0`, so the clip is one-sided. It is taken in logs, before `exp`: a ratio that would
    overflow is clipped first and its gradient is 0, not `0 * inf`. Laws P36-P40, P43, P47, P84.
    """
    A = hide(value(advantages), mask)
    log_ratio = hide(logp, mask) - hide(value(old_logp), mask)
    ceiling, floor = math.log1p(clip), math.log1p(-clip) if clip < 1 else -math.inf
    log_rho = where(A > 0, minimum(log_ratio, ceiling), maximum(log_ratio, floor))
    return aggregate(-exp(where(A == 0, 0.0, log_rho)) * A, mask, reduction, length)


def value_loss(
    values: TensorLike, old_values: TensorLike, returns: TensorLike, mask: TensorLike, clip: float = 0.2
) -> Any:
    """Mean over counted tokens of `max((V - R)^2, (clip(V, V_old - eps, V_old + eps) - R)^2) / 2` -> scalar.

    All arrays are [B, T]; `old_values` and `returns` are data. The maximum again is pessimistic: a value that has moved
    further than eps *towards* its return gets no more gradient, one that moved away does. Law P41.
    """
    V, V_old, R = hide(values, mask), hide(value(old_values), mask), hide(value(returns), mask)
    near = bounded(V, V_old - clip, V_old + clip)
    return aggregate(maximum((V - R) ** 2, (near - R) ** 2) * 0.5, mask)


def entropy(logits: TensorLike) -> Any:
    """`-sum_v p_v log p_v` in nats: [..., V] -> [...], between 0 and log V. Law P45."""
    logps = log_softmax(logits)
    return -(exp(logps) * logps).sum(axis=-1)


def ratio_statistics(logp: TensorLike, old_logp: TensorLike, mask: TensorLike, clip: float = 0.2) -> dict[str, float]:
    """How far the policy has moved since it sampled: what to watch during PPO's updates. Inputs are [B, T].

    On the first minibatch of the first epoch nothing has moved: ratio 1, both others 0, by law P43. Anything else says
    that sampling and training compute log-probabilities differently (temperature, dropout, positions).
    """
    counted = as_mask(mask)
    log_ratio = np.asarray(value(logp), np.float64)[counted] - np.asarray(value(old_logp), np.float64)[counted]
    if not log_ratio.size:
        return {"policy/ratio": 1.0, "policy/approxkl_avg": 0.0, "policy/clipfrac_avg": 0.0}
    ratio = np.exp(log_ratio)
    return {
        "policy/ratio": float(ratio.mean()),
        "policy/approxkl_avg": float((ratio - 1 - log_ratio).mean()),  # k3: KL(pi_old || pi), sampled from pi_old
        "policy/clipfrac_avg": float((np.abs(ratio - 1) > clip).mean()),
    }
