"""Three estimates of KL(pi || ref) from samples of pi, and the exact one where the whole distribution is at hand.

With `log r = log ref - log pi` of what was sampled (Schulman, "Approximating KL divergence", 2020):

            formula               mean                    gradient when *differentiated inside a loss*
    k1      -log r                KL(pi || ref)           expectation 0: it does nothing but add noise
    k2      (log r)^2 / 2         about KL                KL(pi || ref)'s
    k3      r - 1 - log r         KL(pi || ref), >= 0     KL(ref || pi)'s, the other direction

The table is laws P51 and P52, and its last column is why k1 belongs in the reward (P53): there the score-function
gradient multiplies it by `grad log pi`, which is the true gradient. Swapping the sign of `log r` gives k1 = -KL, and
chi^2 - KL for k3 (P54).
"""

from __future__ import annotations

from typing import Any

from minipost.autograd import exp, tanh
from minipost.losses.reduction import TensorLike


def k1(logp: TensorLike, ref_logp: TensorLike) -> Any:
    """`log pi - log ref`, any shape, element-wise. Unbiased, of either sign. For rewards, not for losses. P51-P54."""
    return logp - ref_logp


def k2(logp: TensorLike, ref_logp: TensorLike) -> Any:
    """`(log pi - log ref)^2 / 2`, any shape, element-wise. Biased, never negative. Laws P51, P52, P56."""
    return (logp - ref_logp) ** 2 * 0.5


def k3(logp: TensorLike, ref_logp: TensorLike) -> Any:
    """`expm1(log r) - log r`, any shape, element-wise. Unbiased and never negative; GRPO's choice. P51, P52, P54, P56.

    `exp(x) - 1` would lose all digits of small differences, so expm1 is written as `tanh(x/2) (exp(x) + 1)`: an
    identity, accurate for small and large x alike.
    """
    log_r = ref_logp - logp
    return tanh(log_r * 0.5) * (exp(log_r) + 1.0) - log_r


def exact_kl(logps: TensorLike, ref_logps: TensorLike) -> Any:
    """`sum_v pi_v (log pi_v - log ref_v)` over the last axis: [..., V] -> [...], in nats. Law P55."""
    return (exp(logps) * (logps - ref_logps)).sum(axis=-1)
