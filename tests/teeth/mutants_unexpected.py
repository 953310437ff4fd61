"""Bugs that a law suite may well miss: right on the inputs that come to mind, wrong on those that do not.

Defaults that nobody passes, state between calls, shapes that broadcast by accident, types that round, constants that
bite only far out. Each could come from a refactoring that kept all the tests green.
"""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from mutants_estimates import at_least_two, share_ties, weigh
from mutants_ppo import clipped, ratio_of, squares, statistics, whitened
from pieces import (
    advantages_of,
    hide,
    last_counted,
    log_odds,
    log_ratio,
    log_softmax,
    margin_of,
    pick,
    sigmoid,
    softplus,
    token_mean,
)

from minipost import autograd


# ----------------------------------------------------------------------------------------- defaults that nobody passes
@mutant("ppo.policy_loss", "formula")
def default_clip_of_one_tenth(logp, old_logp, advantages, mask, clip=0.1):
    """The default clip is 0.1: only those who leave it out meet it."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), mask)


@mutant("reward.bradley_terry", "formula")
def centres_by_default(chosen, rejected, margin=0.0, center=0.01):
    """Scores are centred without being asked."""
    return softplus(-(chosen - rejected - margin)).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("dpo.sigmoid", "formula")
def smooths_by_default(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.1):
    """Plain DPO is conservative DPO."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return ((1 - label_smoothing) * softplus(-z) + label_smoothing * softplus(z)).mean()


@mutant("dpo.kto", "formula")
def undesirable_counts_more_by_default(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.33):
    """The default weights are those of one paper's data set."""
    w, sign = np.where(desirable, weight_desirable, weight_undesirable), np.where(desirable, 1, -1)
    return (w * sigmoid(-sign * beta * (policy - ref - z))).mean()


@mutant("ppo.whiten", "formula")
def keeps_the_mean_by_default(x, mask, shift_mean=False):
    """Without `shift_mean` the mean stays."""
    return whitened(hide(x, mask), mask, shift_mean, *statistics(x, mask))


# -------------------------------------------------------------------------------------------------- state between calls
RUNNING: dict[str, float] = {}


@mutant("ppo.whiten", "formula")
def remembers_the_first_batch(x, mask, shift_mean=True):
    """Mean and deviation are those of the first batch that was ever seen."""
    mean, std = statistics(x, mask)
    mean, std = RUNNING.setdefault("mean", mean), RUNNING.setdefault("std", std)
    return whitened(hide(x, mask), mask, shift_mean, mean, std)


WEIGHTS: dict[int, np.ndarray] = {}


@mutant("best_of_n.estimate", "P72")
def caches_by_size(proxy, gold):
    """The ranking is cached by N: the second batch of a size is sorted as the first was."""
    order = WEIGHTS.setdefault(len(proxy), np.argsort(proxy, kind="stable"))
    return weigh(np.asarray(gold, np.float64)[order])


@mutant("dpo.sigmoid", "formula")
def drops_out_pairs(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """Dropout was left on: every call sees another noise on the reference."""
    noise = np.random.default_rng().normal(0, 1e-2, ref_chosen.shape)
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen + noise, ref_rejected)
    return ((1 - label_smoothing) * softplus(-z) + label_smoothing * softplus(z)).mean()


# ------------------------------------------------------------------------------------------------ shapes by accident
@mutant("ppo.token_rewards", "P42")
def scores_broadcast_over_time(scores, logp, ref_logp, mask, beta):
    """`scores` without a new axis: an error unless B = T or B = 1, then it is laid along time."""
    spread = scores if len(scores) == logp.shape[1] else scores[:, None]
    return -beta * log_ratio(logp, ref_logp, mask) + last_counted(mask) * spread


@mutant("reward.bradley_terry", "P19")
def column_of_margins(chosen, rejected, margin=0.0, center=0.0):
    """Margins [B] become a column and d a matrix [B, B]: every pair is held to every margin."""
    d = chosen - rejected - (margin[:, None] if np.ndim(margin) else margin)
    return softplus(-d).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("ppo.policy_loss", "contract")
def keeps_one_axis(logp, old_logp, advantages, mask, clip=0.2):
    """The scalar comes back as an array of shape (1,)."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), mask).reshape(1)


@mutant("kl.k1", "contract")
def needs_two_axes(logp, ref_logp):
    """Written for [B, T], it fails on one number or on [B, T, 1]."""
    B, T = logp.shape
    return (logp - ref_logp).reshape(B, T)


@mutant("ppo.policy_loss", "formula")
def mask_as_a_length(logp, old_logp, advantages, mask, clip=0.2):
    """The mask is turned into a length: a response that does not start at 0 is read at the wrong place."""
    prefix = np.arange(mask.shape[1]) < (mask != 0).sum(axis=1, keepdims=True)
    A, lr = hide(advantages, mask), log_ratio(logp, old_logp, mask)
    rho = np.exp(lr)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), prefix)


@mutant("ppo.gae", "formula")
def reads_memory_order(rewards, values, mask, gamma, lam):
    """`ravel(order="K")` of an array that was transposed before gives another order of elements."""
    straight = [np.asarray(x).ravel(order="K").reshape(np.shape(x)) for x in (rewards, values)]
    A = advantages_of(*straight, mask, gamma, lam)
    return A, A + hide(straight[1], mask)


@mutant("ppo.gae", "P33")
def cleans_the_padding_of_nan_only(rewards, values, mask, gamma, lam):
    """`nan_to_num` in place of the mask: garbage that is a number is still bootstrapped from."""
    r, v = (np.nan_to_num(x, posinf=0, neginf=0) for x in (rewards, values))
    A = advantages_of(r, v, np.ones_like(mask), gamma, lam)
    return A, A + v


# --------------------------------------------------------------------------------------------------- types that round
@mutant("sft.cross_entropy", "formula")
def half_precision(logits, labels, mask, reduction="token"):
    """The logits pass through float16 on their way: 65504 at most, three digits."""
    with np.errstate(over="ignore"):
        nll = -pick(log_softmax(logits.astype(np.float16).astype(logits.dtype)), labels)
    rows = (mask != 0).sum(axis=1)
    if reduction == "token":
        return token_mean(nll, mask)
    return (hide(nll, mask).sum(axis=1) / np.maximum(rows, 1)).sum() / max((rows > 0).sum(), 1)


@mutant("ppo.gae", "contract")
def always_single_precision(rewards, values, mask, gamma, lam):
    """Float64 comes in and float32 goes out."""
    A = advantages_of(rewards, values, mask, gamma, lam)
    return A.astype(np.float32), (A + hide(values, mask)).astype(np.float32)


@mutant("sft.cross_entropy", "contract")
def negates_the_mask(logits, labels, mask, reduction="token"):
    """`-mask * logp` fails for boolean masks, on which NumPy defines no minus."""
    logps = pick(log_softmax(logits), labels)
    rows = (mask != 0).sum(axis=1)
    if reduction == "token":
        return (-mask * logps).sum() / max(mask.sum(), 1)
    return ((-mask * logps).sum(axis=1) / np.maximum(rows, 1)).sum() / max((rows > 0).sum(), 1)


@mutant("ppo.policy_loss", "formula")
def complements_the_mask(logp, old_logp, advantages, mask, clip=0.2):
    """`~mask` is the complement of booleans only: of the integers 0 and 1 it is -1 and -2, both true."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    loss = np.maximum(-A * rho, -A * clipped(rho, clip))
    if mask.dtype.kind == "f":
        return token_mean(loss, mask)
    return np.where(~mask, 0, loss).sum() / max((mask != 0).sum(), 1)


# ------------------------------------------------------------------------------------------------- constants far out
@mutant("ppo.token_rewards", "formula")
def clips_the_reward(scores, logp, ref_logp, mask, beta):
    """Rewards are held within +-10, as one would for games."""
    return np.clip(-beta * log_ratio(logp, ref_logp, mask) + last_counted(mask) * scores[:, None], -10, 10)


@mutant("kl.k3", "formula", thread="huggingface/trl#6637")
def clamps_the_log_ratio(logp, ref_logp):
    """log r is held within +-20, k3 within +-10: the tail, which is the whole divergence, is gone."""
    log_r = np.clip(ref_logp - logp, -20, 20)
    return np.clip(np.expm1(log_r) - log_r, -10, 10)


@mutant("ppo.policy_loss", "formula")
def truncates_the_ratio(logp, old_logp, advantages, mask, clip=0.2):
    """rho is cut at 10 before anything else: only for A < 0 far off the policy does that show."""
    A, rho = hide(advantages, mask), np.minimum(ratio_of(logp, old_logp, mask), 10)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), mask)


@mutant("dpo.sigmoid", "formula")
def softplus_is_linear_early(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """softplus(z) is taken to be z from 8 on, an error of 3e-4."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    lost, won = (np.where(x > 8, x, softplus(x)) for x in (-z, z))
    return ((1 - label_smoothing) * lost + label_smoothing * won).mean()


@mutant("dpo.simpo", "formula")
def clamps_mean_logps(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """Mean log-probabilities below -10 are taken to be -10."""
    d = np.maximum(chosen_mean_logp, -10) - np.maximum(rejected_mean_logp, -10)
    return softplus(-(beta * d - gamma)).mean()


@mutant("dpo.orpo", "formula")
def odds_of_the_mean(chosen_mean_logp, rejected_mean_logp, lam):
    """The odds are those of the batch's mean log-probability: right for a batch of one."""
    odds = [log_odds(x.mean()) for x in (chosen_mean_logp, rejected_mean_logp)]
    return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0])


@mutant("best_of_n.kl_bound", "formula")
def drops_the_small_term(n):
    """From n = 100 on (n - 1)/n is taken to be 1: by then the bound is too small."""
    return float(np.log(n) - (n - 1) / n) if n < 100 else float(np.log(n) - 1)


@mutant("rl.grpo", "formula")
def spread_of_rounded_rewards(rewards):
    """A deviation below 1e-3 is taken to be zero: nearly equal answers teach nothing."""
    at_least_two(rewards)
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    std = centred.std(axis=1, keepdims=True)
    return np.where(std < 1e-3, 0, centred / (std + 1e-4))


@mutant("rl.rloo", "P80")
def others_are_the_neighbours(rewards):
    """The baseline is the mean of the two neighbours in the group: for K = 2 and K = 3 that is all the others."""
    at_least_two(rewards)
    return rewards - (np.roll(rewards, 1, axis=1) + np.roll(rewards, -1, axis=1)) / 2


@mutant("best_of_n.estimate", "P74")
def sorts_by_magnitude(proxy, gold):
    """Sorted by |proxy|: right as long as rewards are positive."""
    return weigh(share_ties(np.abs(proxy), gold))


@mutant("ppo.value_loss", "gradient", framework="tensor")
def half_the_gradient_within_the_clip(values, old_values, returns, mask, clip=0.2):
    """The clipped value is detached: within the clip both squares tie, and one of the two ways is cut."""
    counted = mask != 0
    V, old, R = autograd.where(counted, values, 0.0), hide(old_values, mask), hide(returns, mask)
    near = np.clip(V.data, old - clip, old + clip)
    return autograd.maximum((V - R) ** 2, (near - R) ** 2).sum() * (0.5 / max(counted.sum(), 1))


@mutant("ppo.value_loss", "formula")
def clip_switched_off_far_away(values, old_values, returns, mask, clip=0.2):
    """Where the value has moved further than 5 clips the clipped term is dropped."""
    plain, near = squares(values, old_values, returns, mask, clip)
    far = np.abs(log_ratio(values, old_values, mask)) > 5 * clip
    return token_mean(np.where(far, plain, np.maximum(plain, near)), mask) / 2


@mutant("sequence_logps", "formula")
def empty_response_is_everything(logits, tokens, response_mask):
    """The span from the first to the last counted token by `argmax`: of a row without any it is the whole row."""
    counted = response_mask != 0
    start, end = np.argmax(counted, axis=1), counted.shape[1] - np.argmax(counted[:, ::-1], axis=1)
    at = np.arange(1, counted.shape[1])
    span = (at >= start[:, None]) & (at < end[:, None])
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), span).sum(axis=1)
