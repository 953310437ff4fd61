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
    """Weights from the logarithms of factorials; ties are credited by differences of `C(below or equal, n)`."""
    N = len(proxy)
    order = np.argsort(-proxy)
    _, starts, sizes = np.unique(-proxy[order], return_index=True, return_counts=True)
    means = np.add.reduceat(gold[order].astype(np.float64), starts) / sizes
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, N + 1)))])
    upto = N - starts  # samples at or below each value
    out = np.empty(N)
    for n in range(1, N + 1):

        def share(m, n=n):
            safe = np.maximum(m - n, 0)
            log_c = log_factorial[m] - log_factorial[safe] - log_factorial[N] + log_factorial[N - n]
            return np.where(m >= n, np.exp(log_c), 0)

        out[n - 1] = ((share(upto) - share(upto - sizes)) * means).sum()
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
