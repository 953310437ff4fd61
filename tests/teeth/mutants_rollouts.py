"""Bugs on the way from a score to advantages: where it lands, what it is discounted with, what padding does."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import advantages_of, hide, last_counted, log_ratio


# --------------------------------------------------------------------------------------------------- ppo.token_rewards
@mutant("ppo.token_rewards", "P42")
def score_at_the_last_position(scores, logp, ref_logp, mask, beta):
    """The score lands at T-1: on the padding, for all responses but the longest."""
    rewards = -beta * log_ratio(logp, ref_logp, mask)
    rewards[:, -1] += scores
    return rewards


@mutant("ppo.token_rewards", "P42", thread="huggingface/trl#3750")
def score_after_the_end(scores, logp, ref_logp, mask, beta):
    """One step too far: the score lands on the first token of the padding."""
    at = np.roll(last_counted(mask), 1, axis=1)
    return -beta * log_ratio(logp, ref_logp, mask) + at * scores[:, None]


@mutant("ppo.token_rewards", "P42")
def score_indexed_by_length(scores, logp, ref_logp, mask, beta):
    """`length - 1` is the last token only if the response starts at position 0."""
    rewards = -beta * log_ratio(logp, ref_logp, mask)
    length = (mask != 0).sum(axis=1)
    rows = np.flatnonzero(length)
    rewards[rows, length[rows] - 1] += scores[rows]
    return rewards


@mutant("ppo.token_rewards", "P42")
def score_on_every_token(scores, logp, ref_logp, mask, beta):
    """Every token is paid the whole score: long answers earn more."""
    return np.where(mask != 0, scores[:, None], 0) - beta * log_ratio(logp, ref_logp, mask)


@mutant("ppo.token_rewards", "P42")
def pays_for_divergence(scores, logp, ref_logp, mask, beta):
    """The KL penalty has the wrong sign."""
    return beta * log_ratio(logp, ref_logp, mask) + last_counted(mask) * scores[:, None]


@mutant("ppo.token_rewards", "P42")
def penalty_replaced_at_the_end(scores, logp, ref_logp, mask, beta):
    """At the end token the score replaces the penalty instead of joining it."""
    end = last_counted(mask)
    return np.where(end == 1, scores[:, None], -beta * log_ratio(logp, ref_logp, mask))


@mutant("ppo.token_rewards", "P42")
def beta_scales_the_score(scores, logp, ref_logp, mask, beta):
    """`beta (score - log-ratio)`: beta trades nothing off any more."""
    return beta * (last_counted(mask) * scores[:, None] - log_ratio(logp, ref_logp, mask))


@mutant("ppo.token_rewards", "formula")
def penalty_only_at_the_end(scores, logp, ref_logp, mask, beta):
    """The whole sequence's penalty is charged at the end: the sum is right, the credit is not."""
    lr = log_ratio(logp, ref_logp, mask).sum(axis=1)
    return last_counted(mask) * (scores - beta * lr)[:, None]


@mutant("ppo.token_rewards", "P42", thread="huggingface/trl#1161")
def penalty_never_negative(scores, logp, ref_logp, mask, beta):
    """The absolute log-ratio is charged, which is no KL divergence."""
    return -beta * np.abs(log_ratio(logp, ref_logp, mask)) + last_counted(mask) * scores[:, None]


@mutant("ppo.token_rewards", "P42")
def charges_k3(scores, logp, ref_logp, mask, beta):
    """The low-variance estimate k3 in the reward: its score-function gradient is not that of the KL divergence."""
    lr = log_ratio(logp, ref_logp, mask)
    return -beta * (np.expm1(-lr) + lr) + last_counted(mask) * scores[:, None]


@mutant("ppo.token_rewards", "formula")
def rewards_typed_like_the_mask(scores, logp, ref_logp, mask, beta):
    """`zeros_like(mask)` is an array of integers if the mask is: rewards are rounded."""
    rewards = np.zeros_like(mask)
    rewards[...] = -beta * log_ratio(logp, ref_logp, mask) + last_counted(mask) * scores[:, None]
    return rewards.astype(logp.dtype)


@mutant("ppo.token_rewards", "contract")
def subtracts_in_place(scores, logp, ref_logp, mask, beta):
    """`logp -= ref_logp` ruins the old log-probabilities that the ratio needs later."""
    end = last_counted(mask)
    with np.errstate(invalid="ignore"):
        logp -= ref_logp
    return -beta * hide(logp, mask) + end * scores[:, None]


@mutant("ppo.token_rewards", "P42")
def centres_the_scores(scores, logp, ref_logp, mask, beta):
    """The batch's mean score is taken off: what an answer earns depends on its batch mates."""
    return -beta * log_ratio(logp, ref_logp, mask) + last_counted(mask) * (scores - scores.mean())[:, None]


# ------------------------------------------------------------------------------------------------------------- ppo.gae
@mutant("ppo.gae", "P33", thread="alibaba/ROLL#447")
def bootstraps_through_the_end(rewards, values, mask, gamma, lam):
    """The value of the padding after the end token is bootstrapped from."""
    v_next = np.append(values[:, 1:], np.zeros_like(values[:, :1]), axis=1)
    with np.errstate(invalid="ignore"):
        delta = rewards + gamma * v_next - values
    A = advantages_of(delta, np.zeros_like(delta), mask, gamma, lam)
    return A, A + hide(values, mask)


@mutant("ppo.gae", "P33", thread="natolambert/rlhf-book#216")
def accumulates_over_padding(rewards, values, mask, gamma, lam):
    """Rewards that stand after the end token flow back into the response."""
    v = hide(values, mask)
    A = advantages_of(rewards, v, np.ones_like(mask), gamma, lam)
    return A, A + v


@mutant("ppo.gae", "P27")
def last_value_follows_itself(rewards, values, mask, gamma, lam):
    """At the end `V_{t+1}` is taken to be `V_t`: the terminal state seems worth something."""
    v, end = hide(values, mask), last_counted(mask)
    A = advantages_of(hide(rewards, mask) + gamma * v * end, v, mask, gamma, lam)
    return A, A + v


@mutant("ppo.gae", "formula")
def returns_from_whitened_advantages(rewards, values, mask, gamma, lam):
    """Returns are taken after whitening: the value function learns a quantity without a unit."""
    A = advantages_of(rewards, values, mask, gamma, lam)
    counted = A[mask != 0]
    white = (A - counted.mean()) / (counted.std() + 1e-8) if counted.size else A
    return A, white + hide(values, mask)


@mutant("ppo.gae", "formula")
def returns_are_monte_carlo(rewards, values, mask, gamma, lam):
    """Returns ignore lambda: the sum of discounted rewards, not `A + V`."""
    zero = np.zeros_like(hide(values, mask))
    return advantages_of(rewards, values, mask, gamma, lam), advantages_of(rewards, zero, mask, gamma, 1.0)


@mutant("ppo.gae", "formula")
def returns_without_the_value(rewards, values, mask, gamma, lam):
    """The advantages are handed out as returns."""
    A = advantages_of(rewards, values, mask, gamma, lam)
    return A, A.copy()


@mutant("ppo.gae", "P27")
def returns_come_first(rewards, values, mask, gamma, lam):
    """The pair is handed back in the wrong order, which no shape can tell."""
    A = advantages_of(rewards, values, mask, gamma, lam)
    return A + hide(values, mask), A


@mutant("ppo.gae", "P27", thread="natolambert/rlhf-book#216")
def rewards_for_returns(rewards, values, mask, gamma, lam):
    """`A_t = r_t - V_t`: the immediate reward stands in for the return, and only the end token learns."""
    A = hide(rewards, mask) - hide(values, mask)
    return A, hide(rewards, mask)


@mutant("ppo.gae", "P29")
def decays_by_lambda_alone(rewards, values, mask, gamma, lam):
    """`A_t = delta_t + lambda A_{t+1}`: gamma is missing, which nobody sees at gamma = 1."""
    v = hide(values, mask)
    v_next = np.append(v[:, 1:], np.zeros_like(v[:, :1]), axis=1)
    delta = hide(rewards, mask) + gamma * v_next - v
    A = advantages_of(delta, np.zeros_like(v), mask, 1.0, lam)
    return A, A + v


@mutant("ppo.gae", "P28")
def undiscounted_next_value(rewards, values, mask, gamma, lam):
    """delta lacks gamma before `V_{t+1}`."""
    v = hide(values, mask)
    v_next = np.append(v[:, 1:], np.zeros_like(v[:, :1]), axis=1)
    A = advantages_of(hide(rewards, mask) + v_next - v, np.zeros_like(v), mask, gamma, lam)
    return A, A + v


@mutant("ppo.gae", "P29")
def one_long_row(rewards, values, mask, gamma, lam):
    """The batch is flattened: the end of a row runs on into the beginning of the next."""
    A = advantages_of(*(np.asarray(x).reshape(1, -1) for x in (rewards, values, mask)), gamma, lam).reshape(mask.shape)
    return A, A + hide(values, mask)


@mutant("ppo.gae", "P28")
def closed_form_by_division(rewards, values, mask, gamma, lam):
    """`cumsum(delta w) / w` with `w = (gamma lambda)^t` is elegant, and 0/0 at lambda = 0."""
    v, counted = hide(values, mask), mask != 0
    v_next = np.append(v[:, 1:], np.zeros_like(v[:, :1]), axis=1)
    delta = np.where(counted, hide(rewards, mask) + gamma * v_next - v, 0)
    w = float(gamma * lam) ** np.arange(v.shape[1])
    with np.errstate(all="ignore"):
        A = np.cumsum((delta * w)[:, ::-1], axis=1)[:, ::-1] / w
    return A, A + v


@mutant("ppo.gae", "P28")
def zero_means_default(rewards, values, mask, gamma, lam):
    """`lam or 0.95`: a lambda of 0 is taken for one that nobody gave."""
    A = advantages_of(rewards, values, mask, gamma, lam or 0.95)
    return A, A + hide(values, mask)


@mutant("ppo.gae", "P27")
def rewards_one_late(rewards, values, mask, gamma, lam):
    """delta_t pays `r_{t+1}`: the end token's reward moves off the response's last decision."""
    r, v = hide(rewards, mask), hide(values, mask)
    A = advantages_of(np.append(r[:, 1:], r[:, :1] * 0, axis=1), v, mask, gamma, lam)
    return A, A + v


@mutant("ppo.gae", "contract")
def masks_in_place(rewards, values, mask, gamma, lam):
    """The caller's values are overwritten with 0 at uncounted positions."""
    values[mask == 0] = 0
    A = advantages_of(rewards, values, mask, gamma, lam)
    return A, A + values
