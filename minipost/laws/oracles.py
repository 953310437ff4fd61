"""Every formula of the contract once more, slowly: float64, one row and one token at a time, value beside derivative.

These are what an implementation is compared with, so they share no code with the package's own and no trick: what can
be a loop is a loop. `x` holds the arguments of one call by name, already in float64; uncounted entries are never read.
A derivative `d_...` maps the differentiable arguments to gradients of the sum of all outputs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minipost.laws.law import Case

Floats = npt.NDArray[np.float64]
Gradients = dict[str, Floats]


def softplus(z: Any) -> Any:
    """`log(1 + exp(z))`"""
    return np.logaddexp(0.0, z)


def sigmoid(z: Any) -> Any:
    """`1 / (1 + exp(-z))`, as exp of a log: neither end overflows."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(z, np.float64)))


def log_softmax(v: Floats) -> Floats:
    """[V] -> [V]"""
    shifted = v - v.max()
    return np.asarray(shifted - math.log(np.exp(shifted).sum()))


def counted(mask: Any) -> list[tuple[int, int]]:
    """The (row, position) pairs that a mask counts."""
    return [(int(b), int(t)) for b, t in np.argwhere(np.asarray(mask) != 0)]


def runs(mask: Any) -> list[list[int]]:
    """The counted positions of each row."""
    return [[int(t) for t in np.flatnonzero(row)] for row in np.asarray(mask) != 0]


# ---------------------------------------------------------------------------------------------------------- SFT, P1-P10
def token_weights(x: Case) -> Floats:
    """The share of each token in the loss [B, T]: 1 / count, or 1 / (own row's count) / (rows that count)."""
    weights, rows = np.zeros(np.shape(x.mask)), runs(x.mask)
    total, filled = sum(map(len, rows)), sum(map(bool, rows))
    for b, row in enumerate(rows):
        for t in row:
            weights[b, t] = 1 / total if x.reduction == "token" else 1 / len(row) / filled
    return weights


def cross_entropy(x: Case) -> Any:
    weights = token_weights(x)
    return sum(-weights[b, t] * log_softmax(x.logits[b, t])[x.labels[b, t]] for b, t in counted(x.mask))


def d_cross_entropy(x: Case) -> Gradients:
    weights, gradient = token_weights(x), np.zeros_like(x.logits)
    for b, t in counted(x.mask):
        gradient[b, t] = weights[b, t] * np.exp(log_softmax(x.logits[b, t]))
        gradient[b, t, x.labels[b, t]] -= weights[b, t]
    return {"logits": gradient}


def sequence_logps(x: Case) -> Any:
    total = np.zeros(len(x.tokens))
    for b, t in counted(x.response_mask):
        total[b] += log_softmax(x.logits[b, t - 1])[x.tokens[b, t]]  # the logits before it predict token t
    return total


def d_sequence_logps(x: Case) -> Gradients:
    gradient = np.zeros_like(x.logits)
    for b, t in counted(x.response_mask):
        gradient[b, t - 1] = -np.exp(log_softmax(x.logits[b, t - 1]))
        gradient[b, t - 1, x.tokens[b, t]] += 1
    return {"logits": gradient}


# ----------------------------------------------------------------------------------------- reward model, KL estimators
def bradley_terry(x: Case) -> Any:
    return np.mean(softplus(-(x.chosen - x.rejected - x.margin)) + x.center * (x.chosen + x.rejected) ** 2)


def d_bradley_terry(x: Case) -> Gradients:
    push = -sigmoid(-(x.chosen - x.rejected - x.margin))
    pull = 2 * x.center * (x.chosen + x.rejected)
    return {"chosen": (pull + push) / len(x.chosen), "rejected": (pull - push) / len(x.chosen)}


def k1(x: Case) -> Any:
    return x.logp - x.ref_logp


def d_k1(x: Case) -> Gradients:
    return {"logp": np.ones_like(x.logp)}


def k2(x: Case) -> Any:
    return (x.logp - x.ref_logp) ** 2 / 2


def d_k2(x: Case) -> Gradients:
    return {"logp": x.logp - x.ref_logp}


def k3(x: Case) -> Any:
    log_r = x.ref_logp - x.logp
    return np.expm1(log_r) - log_r


def d_k3(x: Case) -> Gradients:
    return {"logp": np.asarray(-np.expm1(x.ref_logp - x.logp))}


# ------------------------------------------------------------------------------------------------------------------ PPO
def token_rewards(x: Case) -> Any:
    rewards = np.zeros(np.shape(x.mask))
    for b, row in enumerate(runs(x.mask)):
        for t in row:
            rewards[b, t] = -x.beta * (x.logp[b, t] - x.ref_logp[b, t]) + (x.scores[b] if t == row[-1] else 0)
    return rewards


def gae(x: Case) -> Any:
    advantages, returns = np.zeros(np.shape(x.mask)), np.zeros(np.shape(x.mask))
    for b, row in enumerate(runs(x.mask)):
        v = [*x.values[b, row], 0.0]
        delta = [x.rewards[b, t] + x.gamma * v[i + 1] - v[i] for i, t in enumerate(row)]
        for i, t in enumerate(row):
            advantages[b, t] = sum((x.gamma * x.lam) ** k * d for k, d in enumerate(delta[i:]))
            returns[b, t] = advantages[b, t] + v[i]
    return advantages, returns


def whiten(x: Case) -> Any:
    places = counted(x.mask)
    numbers = [x.x[at] for at in places]
    mean = math.fsum(numbers) / max(len(numbers), 1)
    std = math.sqrt(math.fsum((n - mean) ** 2 for n in numbers) / max(len(numbers), 1))
    white = np.zeros(np.shape(x.mask))
    for at in places:
        white[at] = (x.x[at] - mean) / std if len(set(numbers)) > 1 else 0.0
        white[at] += 0.0 if x.shift_mean else mean
    return white


def policy_loss(x: Case) -> Any:
    total = 0.0
    for at in counted(x.mask):
        rho, A = math.exp(x.logp[at] - x.old_logp[at]), x.advantages[at]
        total += max(-A * rho, -A * min(max(rho, 1 - x.clip), 1 + x.clip))
    return total / max(len(counted(x.mask)), 1)


def d_policy_loss(x: Case) -> Gradients:
    gradient = np.zeros(np.shape(x.mask))
    for at in counted(x.mask):
        rho, A = math.exp(x.logp[at] - x.old_logp[at]), x.advantages[at]
        beyond = (A > 0 and rho > 1 + x.clip) or (A < 0 and rho < 1 - x.clip)
        gradient[at] = 0.0 if beyond else -A * rho / len(counted(x.mask))
    return {"logp": gradient}


def value_loss(x: Case) -> Any:
    total = 0.0
    for at in counted(x.mask):
        V, old, R = x.values[at], x.old_values[at], x.returns[at]
        near = min(max(V, old - x.clip), old + x.clip)
        total += max((V - R) ** 2, (near - R) ** 2) / 2
    return total / max(len(counted(x.mask)), 1)


def d_value_loss(x: Case) -> Gradients:
    gradient = np.zeros(np.shape(x.mask))
    for at in counted(x.mask):
        V, old, R = x.values[at], x.old_values[at], x.returns[at]
        near = min(max(V, old - x.clip), old + x.clip)
        flat = (near - R) ** 2 > (V - R) ** 2  # the clipped error is the larger one, and does not move with V
        gradient[at] = 0.0 if flat else (V - R) / len(counted(x.mask))
    return {"values": gradient}


# --------------------------------------------------------------------------------------------------- DPO and its family
def h(x: Case) -> Floats:
    """The margin [B]: how much further the policy moved the chosen response than the rejected one."""
    return np.asarray((x.policy_chosen - x.ref_chosen) - (x.policy_rejected - x.ref_rejected))


def _through_h(x: Case, slope: Any) -> Gradients:
    """The gradient of a mean over B of a function of h, from its derivative [B] in h."""
    return {"policy_chosen": slope / len(slope), "policy_rejected": -slope / len(slope)}


def dpo_sigmoid(x: Case) -> Any:
    z, e = x.beta * h(x), x.label_smoothing
    return np.mean((1 - e) * softplus(-z) + e * softplus(z))


def d_dpo_sigmoid(x: Case) -> Gradients:
    z, e = x.beta * h(x), x.label_smoothing
    return _through_h(x, x.beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z)))


def dpo_robust(x: Case) -> Any:
    z, e = x.beta * h(x), x.label_smoothing
    return np.mean((1 - e) * softplus(-z) - e * softplus(z)) / (1 - 2 * e)


def d_dpo_robust(x: Case) -> Gradients:
    z, e = x.beta * h(x), x.label_smoothing
    return _through_h(x, -x.beta * ((1 - e) * sigmoid(-z) + e * sigmoid(z)) / (1 - 2 * e))


def dpo_ipo(x: Case) -> Any:
    return np.mean((h(x) - 1 / (2 * x.beta)) ** 2)


def d_dpo_ipo(x: Case) -> Gradients:
    return _through_h(x, 2 * (h(x) - 1 / (2 * x.beta)))


def dpo_hinge(x: Case) -> Any:
    return np.mean(np.maximum(0.0, 1 - x.beta * h(x)))


def d_dpo_hinge(x: Case) -> Gradients:
    return _through_h(x, np.where(x.beta * h(x) < 1, -x.beta, 0.0))


def dpo_simpo(x: Case) -> Any:
    return np.mean(softplus(-(x.beta * (x.chosen_mean_logp - x.rejected_mean_logp) - x.gamma)))


def d_dpo_simpo(x: Case) -> Gradients:
    z = x.beta * (x.chosen_mean_logp - x.rejected_mean_logp) - x.gamma
    slope = -x.beta * sigmoid(-z) / len(z)
    return {"chosen_mean_logp": slope, "rejected_mean_logp": -slope}


def log_odds(logp: Floats) -> Floats:
    """`log(p / (1 - p))` from log p < 0, accurate at both ends (Maechler 2012)."""
    near, far = np.log(-np.expm1(np.maximum(logp, -1.0))), np.log1p(-np.exp(np.minimum(logp, -0.5)))
    return np.asarray(logp - np.where(logp > -0.7, near, far))


def dpo_orpo(x: Case) -> Any:
    w, l = x.chosen_mean_logp, x.rejected_mean_logp  # noqa: E741
    return np.mean(-w + x.lam * softplus(-(log_odds(w) - log_odds(l))))


def d_dpo_orpo(x: Case) -> Gradients:
    w, l = x.chosen_mean_logp, x.rejected_mean_logp  # noqa: E741
    pull = x.lam * sigmoid(-(log_odds(w) - log_odds(l)))
    return {  # d log_odds / d log p = 1 / (1 - p)
        "chosen_mean_logp": (-1 + pull / np.expm1(w)) / len(w),
        "rejected_mean_logp": -pull / np.expm1(l) / len(w),
    }


def dpo_kto(x: Case) -> Any:
    gain = x.beta * (x.policy - x.ref - x.z)
    good = np.asarray(x.desirable) != 0
    return np.mean(np.where(good, x.weight_desirable * sigmoid(-gain), x.weight_undesirable * sigmoid(gain)))


def d_dpo_kto(x: Case) -> Gradients:
    gain = x.beta * (x.policy - x.ref - x.z)
    good = np.asarray(x.desirable) != 0
    steep = x.beta * sigmoid(gain) * sigmoid(-gain)
    slope = np.where(good, -x.weight_desirable * steep, x.weight_undesirable * steep)
    return {"policy": slope / len(slope), "z": np.zeros(np.shape(x.z))}  # z is data: it must receive nothing


# -------------------------------------------------------------------------------------------------- best-of-N, groups
def best_of_n(x: Case) -> Any:
    N = len(x.proxy)
    shared = [np.mean(x.gold[x.proxy == p]) for p in np.sort(x.proxy)]  # ties share their mean gold
    return np.array(
        [
            sum(math.comb(i - 1, n - 1) / math.comb(N, n) * shared[i - 1] for i in range(n, N + 1))
            for n in range(1, N + 1)
        ]
    )


def kl_bound(x: Case) -> Any:
    return math.log(x.n) - (x.n - 1) / x.n


def rloo(x: Case) -> Any:
    K = x.rewards.shape[1]
    return np.array([[row[k] - math.fsum(np.delete(row, k)) / (K - 1) for k in range(K)] for row in x.rewards])


def grpo(x: Case) -> Any:
    rows = []
    for row in x.rewards:
        mean = math.fsum(row) / len(row)
        std = math.sqrt(math.fsum((r - mean) ** 2 for r in row) / len(row))
        rows.append([(r - mean) / (std + 1e-4) for r in row])
    return np.array(rows)
