"""Right, and written differently: rewards, advantages, whitening, best-of-n and group baselines in NumPy."""

from __future__ import annotations

import math

import numpy as np
from catalogue import alternative


# ------------------------------------------------------------------------------------------------ rewards to advantages
@alternative("ppo.token_rewards")
def score_by_loop(scores, logp, ref_logp, mask, beta):
    """Row by row; an empty row stays zero."""
    rewards = np.zeros(logp.shape)
    for b in range(len(scores)):
        at = np.flatnonzero(mask[b])
        rewards[b, at] = beta * (ref_logp[b, at] - logp[b, at])
        if len(at):
            rewards[b, at[-1]] += scores[b]
    return rewards


@alternative("ppo.token_rewards")
def garbage_stays_in_the_padding(scores, logp, ref_logp, mask, beta):
    """`(log-ratio) * mask` leaves NaN where nothing counts, and nowhere else: nobody reads it there."""
    with np.errstate(invalid="ignore"):
        rewards = -beta * (logp - ref_logp) * mask
    counted = mask.astype(bool)
    last = counted & ~np.append(counted[:, 1:], np.zeros((len(counted), 1), bool), axis=1)  # each row is one run
    rewards[~counted] = 0
    return rewards + last * scores[:, None]


@alternative("ppo.gae")
def sum_of_later_errors(rewards, values, mask, gamma, lam):
    """`A_t = sum_k (gamma lambda)^k delta_{t+k}` by a triangular matrix over the response's own tokens."""
    advantages, returns = np.zeros(np.shape(values)), np.zeros(np.shape(values))
    for b in range(len(values)):
        at = np.flatnonzero(mask[b])
        v, n = values[b, at], len(at)
        delta = rewards[b, at] + gamma * np.append(v[1:], 0)[:n] - v
        steps = np.arange(n) - np.arange(n)[:, None]
        weight = np.where(steps >= 0, float(gamma * lam) ** np.maximum(steps, 0), 0)
        advantages[b, at] = weight @ delta
        returns[b, at] = advantages[b, at] + v
    return advantages, returns


@alternative("ppo.gae")
def lambda_returns(rewards, values, mask, gamma, lam):
    """Backwards over returns, `R_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda R_{t+1})`; advantages are `R - V`."""
    counted = np.asarray(mask, bool)
    r, v = np.where(counted, rewards, 0.0), np.where(counted, values, 0.0)
    returns, next_value, next_return = np.zeros_like(v), np.zeros(len(v)), np.zeros(len(v))
    for t in range(v.shape[1] - 1, -1, -1):
        returns[:, t] = counted[:, t] * (r[:, t] + gamma * ((1 - lam) * next_value + lam * next_return))
        next_value, next_return = v[:, t], returns[:, t]
    return [returns - v, returns]


@alternative("ppo.gae")
def arguments_in_another_order(values, rewards, lam, gamma, mask):
    """The contract's names in an order of its own; rows as slices."""
    advantages = np.zeros(mask.shape, np.result_type(values, np.float32))
    for row, v, r, m in zip(advantages, values, rewards, mask, strict=True):
        carry, ahead = 0.0, 0.0
        for t in np.flatnonzero(m)[::-1]:
            carry = float(r[t]) + gamma * ahead - float(v[t]) + gamma * lam * carry
            row[t], ahead = carry, float(v[t])
    return advantages, advantages + np.where(mask, values, 0)


@alternative("ppo.whiten")
def two_passes(x, mask, shift_mean=True):
    """The mean of the counted elements, then their deviation; eps inside the root."""
    out, counted = np.array(x, dtype=np.result_type(x, np.float32)), mask.astype(bool)
    out[~counted] = 0
    if counted.any():
        some = out[counted].astype(np.float64)
        mean = some.mean()
        out[counted] = (some - mean) / np.sqrt(np.square(some - mean).mean() + 1e-8) + (0 if shift_mean else mean)
    return out


@alternative("ppo.whiten")
def masked_array(x, mask, shift_mean=True):
    """NumPy's masked arrays do the bookkeeping."""
    counted = np.ma.array(np.asarray(x, np.float64), mask=mask == 0)
    if not mask.any():
        return np.zeros(x.shape)
    white = (counted - counted.mean()) / (counted.std() + 1e-8)
    return np.asarray((white if shift_mean else white + counted.mean()).filled(0))


# ---------------------------------------------------------------------------------------------------- estimates, groups
@alternative("best_of_n.estimate")
def log_binomials(proxy, gold):
    """Weights from the logarithms of factorials; the best is at most the m-th lowest in `C(m, n)` of the subsets."""
    N = len(proxy)
    _, group, sizes = np.unique(proxy, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=gold) / sizes
    upto = np.append(0, np.cumsum(sizes))  # samples with at most each value
    log_factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, N + 1))))
    out = np.empty(N)
    for n in range(1, N + 1):
        share = np.zeros(N + 1)  # C(m, n) / C(N, n) for m = 0..N
        log_share = log_factorial[n:] - log_factorial[: N - n + 1] - log_factorial[N] + log_factorial[N - n]
        share[n:] = np.exp(log_share)
        out[n - 1] = np.diff(share[upto]) @ means
    return out


@alternative("best_of_n.kl_bound")
def through_log1p(n):
    """`log1p(n - 1) - 1 + 1/n`"""
    return np.float64(math.log1p(n - 1) - 1 + 1 / n)


@alternative("rl.rloo")
def mean_of_the_others(rewards):
    """The others' mean, one sample at a time."""
    G, K = rewards.shape
    if K == 1:
        raise ValueError("leave-one-out needs at least two samples")
    out = np.empty((G, K), np.result_type(rewards, np.float32))
    for k in range(K):
        out[:, k] = rewards[:, k] - np.delete(rewards, k, axis=1).mean(axis=1)
    return out


@alternative("rl.rloo")
def by_a_centring_matrix(rewards):
    """One matrix: 1 on the diagonal, -1/(K - 1) off it."""
    K = rewards.shape[-1]
    if K < 2:
        raise AssertionError("K >= 2")
    return rewards @ ((np.eye(K) * K - 1) / (K - 1))


@alternative("rl.grpo")
def own_copy_in_place(rewards):
    """Centred and scaled in place, on a copy."""
    if rewards.shape[1] < 2:
        raise ValueError("a group needs two samples")
    out = np.array(rewards, np.float64)
    out -= out.mean(axis=1, keepdims=True)
    out /= np.sqrt(np.einsum("gk,gk->g", out, out) / out.shape[1])[:, None] + 1e-4
    return out.astype(rewards.dtype)
