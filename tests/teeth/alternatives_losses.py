"""Right, and written differently: loops, einsum, other algebra, in place on copies. No law may break.

They are also the oracles of a reader: most are the definition, token by token. Here the losses, in NumPy.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from catalogue import alternative


# ------------------------------------------------------------------------------------------------- next-token losses
@alternative("sft.cross_entropy")
def token_by_token(logits, labels, mask, reduction="token"):
    """Three loops and `math`: the definition."""
    rows = []
    for row_logits, row_labels, row_mask in zip(logits, labels, mask, strict=True):
        nll = []
        for scores, label, counts in zip(row_logits.tolist(), row_labels, row_mask, strict=True):
            if counts:
                top = max(scores)
                nll.append(top + math.log(sum(math.exp(s - top) for s in scores)) - scores[label])
        rows.append(nll)
    if reduction == "sequence":
        rows = [[sum(nll) / len(nll)] for nll in rows if nll]
    flat = list(itertools.chain.from_iterable(rows))
    if not flat:
        raise ValueError("no label counts")
    return sum(flat) / len(flat)


@alternative("sft.cross_entropy")
def one_hot_and_einsum(logits, labels, mask, reduction="token"):
    """A one-hot contraction with weights that hold the whole average."""
    top = logits.max(axis=-1, keepdims=True)
    logps = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    onehot = np.arange(logits.shape[-1]) == labels[..., None]
    weight = mask.astype(logits.dtype)
    if reduction == "sequence":
        weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1)
    return -np.einsum("btv,btv,bt->", logps, onehot, weight) / max(weight.sum(), 1e-30)


@alternative("sequence_logps")
def row_by_row(logits, tokens, response_mask):
    """For every response token the logits one position before it."""
    out = np.zeros(len(tokens), logits.dtype)
    for b, t in zip(*np.nonzero(response_mask), strict=True):
        out[b] += logits[b, t - 1, tokens[b, t]] - np.logaddexp.reduce(logits[b, t - 1])
    return out


@alternative("sequence_logps")
def pads_instead_of_slicing(logits, tokens, response_mask):
    """Labels are rolled left, and the wrapped column is masked off: no slice anywhere."""
    labels, counted = np.roll(tokens, -1, axis=1), np.roll(response_mask, -1, axis=1).astype(bool)
    counted[:, -1] = False
    shifted = logits - logits.max(-1, keepdims=True)
    logps = np.take_along_axis(shifted, labels[..., None], -1).squeeze(-1) - np.log(np.exp(shifted).sum(-1))
    return (logps * counted).sum(1)


# ------------------------------------------------------------------------------------------------ reward, KL estimators
@alternative("reward.bradley_terry")
def stable_by_cases(chosen, rejected, margin=0.0, center=0.0):
    """`max(-d, 0) + log1p(exp(-|d|))`"""
    d = chosen - rejected - margin
    return np.mean(np.maximum(-d, 0) + np.log1p(np.exp(-np.abs(d)))) + center * np.mean(np.square(chosen + rejected))


@alternative("reward.bradley_terry")
def two_way_softmax(chosen, rejected, margin=0.0, center=0.0):
    """Cross-entropy of a softmax over two: log-sum-exp minus the chosen score."""
    losses = np.logaddexp(chosen - margin, rejected) - (chosen - margin)
    return float(np.sum(losses) / len(losses) + center * np.sum((chosen + rejected) ** 2) / len(losses))


@alternative("kl.k1")
def minus_log_r(logp, ref_logp):
    """`-(log ref - log pi)`"""
    return -(ref_logp - logp)


@alternative("kl.k2")
def half_of_a_square(logp, ref_logp):
    """`0.5 * np.square`, positional in the other order of subtraction."""
    return 0.5 * np.square(ref_logp - logp)


@alternative("kl.k3")
def expm1_minus_x(logp, ref_logp):
    """Schulman's formula with expm1."""
    x = np.subtract(ref_logp, logp)
    out = np.expm1(x)
    out -= x
    return out


@alternative("kl.k3")
def tanh_identity(logp, ref_logp):
    """`expm1(x) = tanh(x/2) (exp(x) + 1)`"""
    x = ref_logp - logp
    return np.tanh(x / 2) * (np.exp(x) + 1) - x


# ----------------------------------------------------------------------------------------------------------------- ppo
@alternative("ppo.policy_loss")
def textbook(logp, old_logp, advantages, mask, clip=0.2):
    """Selects the counted tokens, then writes the paper's formula."""
    at = mask != 0
    A, rho = advantages[at], np.exp(logp[at] - old_logp[at])
    if not len(A):
        return 0.0
    return -np.minimum(rho * A, np.clip(rho, 1 - clip, 1 + clip) * A).mean()


@alternative("ppo.policy_loss")
def by_the_sign_of_the_advantage(logp, old_logp, advantages, mask, clip=0.2):
    """One-sided clips: `min(rho, 1 + eps)` for A > 0, `max(rho, 1 - eps)` for A < 0."""
    total, count = 0.0, 0
    for lp, old, A, counts in zip(logp.flat, old_logp.flat, advantages.flat, mask.flat, strict=True):
        if counts:
            rho = math.exp(lp - old)
            total -= float(A) * (min(rho, 1 + clip) if A > 0 else max(rho, 1 - clip))
            count += 1
    return np.asarray(total / max(count, 1))


@alternative("ppo.value_loss")
def distances_before_squares(values, old_values, returns, mask, clip=0.2):
    """The larger distance, then its square; the clip is written as a bounded step."""
    at = mask.astype(bool)
    V, old, R = values[at], old_values[at], returns[at]
    step = np.clip(V - old, -clip, clip)
    return 0.5 * np.square(np.maximum(np.abs(V - R), np.abs(old + step - R))).sum() / max(at.sum(), 1)


# ----------------------------------------------------------------------------------------------------------------- dpo
@alternative("dpo.sigmoid")
def cross_entropy_with_soft_labels(pol_c, pol_r, ref_c, ref_r, beta, label_smoothing=0.0):
    """`softplus(-z) + e z`: conservative DPO is the plain one plus a slope."""
    z = beta * ((pol_c - pol_r) - (ref_c - ref_r))
    return np.mean(np.logaddexp(0, -z) + label_smoothing * z)


@alternative("dpo.sigmoid")
def implicit_rewards(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """Bradley-Terry on the implicit rewards, pair by pair."""
    losses = []
    for won, lost in zip(beta * (policy_chosen - ref_chosen), beta * (policy_rejected - ref_rejected), strict=True):
        top = max(won, lost)
        both = top + math.log(math.exp(won - top) + math.exp(lost - top))
        losses.append(both - (1 - label_smoothing) * won - label_smoothing * lost)
    return sum(losses) / len(losses)


@alternative("dpo.robust")
def plain_plus_correction(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing):
    """`softplus(-z) - e/(1 - 2e) z`"""
    z = beta * (policy_chosen - ref_chosen - policy_rejected + ref_rejected)
    return (np.logaddexp(0, -z) - label_smoothing / (1 - 2 * label_smoothing) * z).mean()


@alternative("dpo.ipo")
def expanded_square(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`(2 beta h - 1)^2 / (2 beta)^2`"""
    h = policy_chosen - policy_rejected - ref_chosen + ref_rejected
    return np.mean(np.square(2 * beta * h - 1)) / (2 * beta) ** 2


@alternative("dpo.hinge")
def hinge_by_selection(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """Sums the pairs that are not won yet."""
    gap = 1 - beta * ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected))
    return gap[gap > 0].sum() / len(gap)


@alternative("dpo.simpo")
def simpo_by_scaling_first(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """Scaled rewards first, then their difference."""
    return (
        np.logaddexp(beta * rejected_mean_logp + gamma, beta * chosen_mean_logp).mean()
        - (beta * chosen_mean_logp).mean()
    )


@alternative("dpo.orpo")
def odds_by_log1mexp(chosen_mean_logp, rejected_mean_logp, lam):
    """log1mexp by cases: expm1 above -ln 2, log1p below."""

    def log1mexp(x):
        with np.errstate(divide="ignore"):
            return np.where(x > -math.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))

    odds = (chosen_mean_logp - log1mexp(chosen_mean_logp)) - (rejected_mean_logp - log1mexp(rejected_mean_logp))
    return np.mean(-chosen_mean_logp + lam * np.logaddexp(0, -odds))


@alternative("dpo.kto")
def kto_by_class(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """The two classes apart, as sums, over one B."""
    good = np.asarray(desirable, bool)
    gain = np.asarray(beta * ((policy - ref) - z), np.float64)
    won, lost = gain[good], gain[~good]
    total = (weight_desirable * (1 - 0.5 * (1 + np.tanh(won / 2)))).sum()
    total += (weight_undesirable * (1 - 0.5 * (1 - np.tanh(lost / 2)))).sum()
    return total / len(gain)
