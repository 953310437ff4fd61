"""Advantages: how much better an action was than expected.

The policy gradient weighs `grad log pi(action)` by the return. Subtracting what was to be expected anyway changes no
expectation and removes most of the noise. Expected by whom? PPO asks a learned value function and blends its one-step
and its whole-episode error (`gae`); RLOO and GRPO ask the other samples for the same prompt.

All statistics are taken in float64 and returned in the width of the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def gae(rewards: Array, values: Array, mask: Array, gamma: float, lam: float) -> tuple[Array, Array]:
    """Generalised advantage estimation (Schulman 2016, eq. 16) -> (advantages [B, T], returns [B, T]).

    `delta_t = r_t + gamma V_{t+1} - V_t`, `A_t = delta_t + gamma lam A_{t+1}`, returns `A + V`, taken here, *before*
    anyone whitens the advantages. All inputs are [B, T]; `values[:, t]` is the value before token t is chosen.

    Beyond the last counted token there is neither value nor advantage: a response's end is never bootstrapped through,
    whatever the padding holds. Uncounted positions are stepped over and get 0. Laws P27-P34.
    """
    counted = np.asarray(mask) != 0
    r = np.where(counted, rewards, 0).astype(np.float64)
    v = np.where(counted, values, 0).astype(np.float64)
    advantages = np.zeros_like(r)
    next_value = np.zeros(len(r))
    next_advantage = np.zeros(len(r))
    for t in reversed(range(r.shape[1])):
        counts = counted[:, t]
        delta = r[:, t] + gamma * next_value - v[:, t]
        advantages[:, t] = np.where(counts, delta + gamma * lam * next_advantage, 0)
        next_value = np.where(counts, v[:, t], next_value)
        next_advantage = np.where(counts, advantages[:, t], next_advantage)
    dtype = np.result_type(np.float32, rewards, values)
    return advantages.astype(dtype), (advantages + v).astype(dtype)


def whiten(x: Array, mask: Array, shift_mean: bool = True) -> Array:
    """`(x - mean) / (std + 1e-8)` over the counted elements of the whole batch -> [B, T], 0 at uncounted positions.

    The variance is the population's. With `shift_mean=False` the mean is put back, as PPO does for rewards, whose sign
    matters. The epsilon stands outside the root: equal elements, whose std is mere rounding, stay near 0. Law P35.
    """
    counted = np.asarray(mask) != 0
    clean = np.where(counted, x, 0).astype(np.float64)
    count = max(int(counted.sum()), 1)
    mean = clean.sum() / count
    deviation = np.where(counted, clean - mean, 0)
    std = np.sqrt((deviation**2).sum() / count)
    white = deviation / (std + 1e-8)
    if not shift_mean:
        white = np.where(counted, white + mean, 0)
    return np.asarray(white, np.result_type(np.float32, x))


def rloo(rewards: Array) -> Array:
    """REINFORCE leave-one-out (Ahmadian 2024): `A_k = r_k - mean of the other K - 1` -> [G, K].

    `rewards[G, K]`: K responses to each of G prompts. The baseline of a response does not depend on that response, so
    the gradient is unbiased. It equals `K / (K - 1) (r - mean)`. Laws P80-P83, P85, P86.
    """
    K = _group_size("rloo", rewards)
    return np.asarray(_centred(rewards) * (K / (K - 1)), np.result_type(np.float32, rewards))


def grpo(rewards: Array) -> Array:
    """Group-relative advantages (Shao 2024, section 4.1.2): `A = (r - mean) / (std + 1e-4)` -> [G, K].

    `rewards[G, K]`; mean and (population) std are the group's. Dividing by the std makes prompts of all reward scales
    weigh the same, at the price of bias: nearly solved and nearly hopeless prompts are amplified. Laws P81-P83, P86.
    """
    _group_size("grpo", rewards)
    deviation = _centred(rewards)
    std = np.sqrt(np.mean(deviation**2, axis=-1, keepdims=True))
    return np.asarray(deviation / (std + 1e-4), np.result_type(np.float32, rewards))


def _group_size(name: str, rewards: Array) -> int:
    K = rewards.shape[-1] if np.ndim(rewards) else 0
    if K < 2:
        raise ValueError(f"{name}: a group of {K} has no others to compare with; sample at least 2 responses a prompt.")
    return K


def _centred(rewards: Array) -> npt.NDArray[np.float64]:
    """Minus the group's mean, in float64: in float32 a large common offset would drown the differences."""
    r = np.asarray(rewards, np.float64)
    return np.asarray(r - r.mean(axis=-1, keepdims=True), np.float64)
