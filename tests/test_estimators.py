"""The laws of token rewards, GAE, whitening, RLOO, GRPO, best-of-n and the KL controllers."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from law_strategies import law, numbers, poisoned, reals, seeds, token_batches
from numpy.testing import assert_allclose

from minipost.estimators import (
    AdaptiveKL,
    FixedKL,
    best_of_n_estimate,
    best_of_n_kl_bound,
    best_of_n_log_ratio,
    best_of_n_pmf,
    gae,
    grpo,
    has_end,
    penalize_missing_end,
    rloo,
    token_rewards,
    whiten,
)

unit = numbers(0.0, 1.0)


# ------------------------------------------------------------------------------------------------------------ rewards
@law
@given(token_batches("logp", "ref"), numbers(0, 2), st.data())
def test_P42_token_rewards_sum_to_score_minus_beta_log_ratio(batch, beta, data):
    scores = data.draw(reals(batch.B))
    rewards = token_rewards(scores, batch.logp, batch.ref, batch.mask, beta)
    log_ratio = ((batch.logp - batch.ref) * batch.mask).sum(axis=1)
    nonempty = batch.mask.any(axis=1)
    assert_allclose(rewards.sum(axis=1), np.where(nonempty, scores - beta * log_ratio, 0), atol=1e-12)


@law
@given(token_batches("logp"), numbers(0, 2), st.data())
def test_P44_without_divergence_only_the_score_remains_on_the_last_token(batch, beta, data):
    scores = data.draw(reals(batch.B))
    expected = np.zeros((batch.B, batch.T))
    for b in range(batch.B):
        if batch.mask[b].any():
            expected[b, np.flatnonzero(batch.mask[b])[-1]] = scores[b]
    assert np.array_equal(token_rewards(scores, batch.logp, batch.logp.copy(), batch.mask, beta), expected)


@law
@given(token_batches("logp", "ref"), numbers(0, 2), st.sampled_from([bool, int, float]))
def test_P33_P47_garbage_outside_the_response_earns_nothing(batch, beta, kind):
    scores = np.ones(batch.B)
    clean = token_rewards(scores, batch.logp, batch.ref, batch.mask, beta)
    assert not clean[batch.mask == 0].any()
    dirty = token_rewards(
        scores, poisoned(batch.logp, batch.mask), poisoned(batch.ref, batch.mask), batch.mask.astype(kind), beta
    )
    assert np.array_equal(clean, dirty)


def test_P48_the_end_is_looked_for_in_the_response_only():
    tokens = np.array([[9, 9, 1, 2], [9, 1, 9, 0]])
    response = np.array([[0, 0, 1, 1], [0, 1, 1, 0]])
    assert has_end(tokens, response, end_id=9).tolist() == [False, True]


@law
@given(reals(4), numbers(0.001, 3))
def test_P48_subtract_and_replace_are_different_choices(scores, penalty):
    ended = np.array([True, False, True, False])
    subtracted = penalize_missing_end(scores, ended, penalty, "subtract")
    replaced = penalize_missing_end(scores, ended, penalty, "replace")
    assert np.array_equal(subtracted[ended], scores[ended]) and np.array_equal(replaced[ended], scores[ended])
    assert np.array_equal(subtracted[~ended], scores[~ended] - penalty)
    assert np.array_equal(replaced[~ended], [-penalty, -penalty])
    with pytest.raises(ValueError, match="subtract"):
        penalize_missing_end(scores, ended, penalty, "multiply")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------- GAE
def rows_of(batch):
    """The counted part of each row's rewards and values, without padding."""
    for b in range(batch.B):
        at = np.flatnonzero(batch.mask[b])
        yield b, at, batch.r[b, at], batch.v[b, at]


@law
@given(token_batches("r", "v"), unit)
def test_P27_lambda_one_is_the_monte_carlo_return_minus_the_value(batch, gamma):
    advantages, _ = gae(batch.r, batch.v, batch.mask, gamma, 1.0)
    for b, at, r, v in rows_of(batch):
        to_go = [sum(gamma**k * x for k, x in enumerate(r[t:])) for t in range(len(at))]
        assert_allclose(advantages[b, at], np.array(to_go) - v, atol=1e-10)


@law
@given(token_batches("r", "v"), unit)
def test_P28_lambda_zero_is_the_temporal_difference_error(batch, gamma):
    advantages, _ = gae(batch.r, batch.v, batch.mask, gamma, 0.0)
    for b, at, r, v in rows_of(batch):
        assert_allclose(advantages[b, at], r + gamma * np.append(v[1:], np.zeros(min(len(v), 1))) - v, atol=1e-10)


@law
@given(token_batches("r", "v"), unit, unit)
def test_P29_the_advantage_is_the_discounted_sum_of_td_errors(batch, gamma, lam):
    advantages, returns = gae(batch.r, batch.v, batch.mask, gamma, lam)
    for b, at, r, v in rows_of(batch):
        delta = [r[t] + gamma * (v[t + 1] if t + 1 < len(v) else 0.0) - v[t] for t in range(len(v))]
        expected = [sum((gamma * lam) ** k * d for k, d in enumerate(delta[t:])) for t in range(len(v))]
        assert_allclose(advantages[b, at], expected, atol=1e-10)
        assert_allclose(returns[b, at], np.array(expected) + v, atol=1e-10)


@law
@given(token_batches("r", "v", "r2", "v2"), unit, unit, numbers())
def test_P30_linear_in_rewards_and_values(batch, gamma, lam, c):
    both, _ = gae(batch.r + c * batch.r2, batch.v + c * batch.v2, batch.mask, gamma, lam)
    one, _ = gae(batch.r, batch.v, batch.mask, gamma, lam)
    two, _ = gae(batch.r2, batch.v2, batch.mask, gamma, lam)
    assert_allclose(both, one + c * two, atol=1e-10)


@law
@given(token_batches("v", empty=False), numbers(), unit, numbers())
def test_P31_P32_terminal_reward_and_shifted_values_decay_from_the_end(batch, s, lam, c):
    scores = np.full(batch.B, s)
    rewards = token_rewards(scores, batch.v, batch.v, batch.mask, beta=0.0)
    terminal, _ = gae(rewards, 0 * batch.v, batch.mask, 1.0, lam)
    plain, _ = gae(rewards, batch.v, batch.mask, 1.0, lam)
    shifted, _ = gae(rewards, batch.v + c, batch.mask, 1.0, lam)
    for b in range(batch.B):
        at = np.flatnonzero(batch.mask[b])
        decay = lam ** np.arange(len(at))[::-1].astype(float)
        assert_allclose(terminal[b, at], s * decay, atol=1e-10)
        assert_allclose(shifted[b, at], plain[b, at] - c * decay, atol=1e-10)


@law
@given(token_batches("r", "v"), unit, unit, st.integers(0, 3), st.integers(0, 3))
def test_P33_padding_and_garbage_after_the_end_change_nothing(batch, gamma, lam, left, right):
    def padded(x):
        return np.pad(x, ((0, 0), (left, right)))

    mask = padded(batch.mask)
    clean = gae(batch.r, batch.v, batch.mask, gamma, lam)
    dirty = gae(poisoned(padded(batch.r), mask), poisoned(padded(batch.v), mask), mask, gamma, lam)
    for short, long in zip(clean, dirty, strict=True):
        assert np.array_equal(padded(short), long)


@law
@given(token_batches("r"), unit, unit)
def test_P34_a_perfect_value_function_leaves_no_advantage(batch, gamma, lam):
    values = np.zeros_like(batch.r)
    for b in range(batch.B):
        ahead = 0.0
        for t in reversed(np.flatnonzero(batch.mask[b])):
            values[b, t] = ahead = batch.r[b, t] + gamma * ahead
    advantages, _ = gae(batch.r, values, batch.mask, gamma, lam)
    assert_allclose(advantages, 0, atol=1e-10)


# ----------------------------------------------------------------------------------------------------------- whitening
@law
@given(token_batches("x"))
def test_P35_whitened_has_mean_zero_and_population_variance_one(batch):
    counted = batch.x[batch.mask == 1]
    assume(len(counted) and counted.std() > 1e-2)
    white = whiten(poisoned(batch.x, batch.mask), batch.mask)[batch.mask == 1]
    assert_allclose([white.mean(), white.var()], [0, 1], atol=1e-5)
    assert_allclose(white, (counted - counted.mean()) / counted.std(), rtol=1e-5, atol=1e-8)


@law
@given(token_batches("x"), numbers(0.1, 3), numbers())
def test_P35_whitening_is_affine_invariant_and_can_keep_the_mean(batch, scale, shift):
    counted = batch.x[batch.mask == 1]
    assume(len(counted) and counted.std() > 1e-2)
    white = whiten(batch.x, batch.mask)
    assert_allclose(whiten(scale * batch.x + shift, batch.mask), white, atol=1e-4)
    kept = whiten(batch.x, batch.mask, shift_mean=False)[batch.mask == 1]
    assert_allclose(kept, white[batch.mask == 1] + counted.mean(), atol=1e-10)


@law
@given(numbers(-1e6, 1e6), st.integers(0, 7))
def test_P35_equal_elements_one_element_and_none_are_defined(c, count):
    mask = np.arange(7)[None, :] < count
    assert_allclose(whiten(np.full((1, 7), c), mask), 0, atol=0.05)
    kept = whiten(np.full((1, 7), c), mask, shift_mean=False)
    assert_allclose(kept[mask], c, rtol=1e-9, atol=0.05)


# -------------------------------------------------------------------------------------------------------- RLOO, GRPO
groups = st.tuples(st.integers(1, 3), st.integers(2, 6)).flatmap(lambda shape: reals(*shape))


@law
@given(groups)
def test_P80_rloo_is_the_distance_from_the_others_mean(rewards):
    K = rewards.shape[1]
    others = np.stack([np.delete(rewards, k, axis=1).mean(axis=1) for k in range(K)], axis=1)
    assert_allclose(rloo(rewards), rewards - others, atol=1e-12)
    assert_allclose(rloo(rewards), K / (K - 1) * (rewards - rewards.mean(axis=1, keepdims=True)), atol=1e-12)
    assert_allclose(rloo(rewards).sum(axis=1), 0, atol=1e-12)


@law
@given(groups)
def test_P81_grpo_divides_by_the_population_std(rewards):
    deviation = rewards - rewards.mean(axis=1, keepdims=True)
    assert_allclose(grpo(rewards), deviation / (rewards.std(axis=1, keepdims=True) + 1e-4), atol=1e-9)


@law
@given(groups, numbers(-100, 100), numbers(0.5, 20))
def test_P81_both_ignore_shifts_and_grpo_scales(rewards, shift, scale):
    assume(rewards.std(axis=1).min() > 0.1)
    assert_allclose(rloo(rewards + shift), rloo(rewards), atol=1e-9)
    assert_allclose(grpo(rewards + shift), grpo(rewards), atol=1e-9)
    assert_allclose(rloo(scale * rewards), scale * rloo(rewards), atol=1e-9)
    assert_allclose(grpo(scale * rewards), grpo(rewards), rtol=5e-3)
    assert_allclose(grpo(1e9 * scale * rewards), grpo(1e9 * rewards), rtol=1e-6)


@law
@given(numbers(-100, 100), st.integers(2, 9))
def test_P82_equal_rewards_teach_nothing(reward, K):
    assert_allclose(rloo(np.full((2, K), reward)), 0, atol=1e-9)
    assert_allclose(grpo(np.full((2, K), reward)), 0, atol=1e-9)


@pytest.mark.parametrize("advantages", [rloo, grpo])
def test_P83_a_group_of_one_is_an_error(advantages):
    with pytest.raises(ValueError, match="group of 1"):
        advantages(np.zeros((3, 1)))


@law
@given(groups, seeds)
def test_P86_permuting_a_group_permutes_its_advantages(rewards, seed):
    order = np.random.default_rng(seed).permutation(rewards.shape[1])
    for advantages in (rloo, grpo):
        assert_allclose(advantages(rewards[:, order]), advantages(rewards)[:, order], atol=1e-9)


# ---------------------------------------------------------------------------------------------------------- best-of-n
pairs_of_samples = st.integers(1, 7).flatmap(lambda N: st.tuples(reals(N, low=-0.005, high=0.005), reals(N)))


def mean_gold_of_best(proxy, gold):
    """The gold reward of the best by proxy, averaged over those that tie."""
    return gold[proxy == proxy.max()].mean()


@law
@given(pairs_of_samples)
def test_P72_the_estimate_is_the_mean_over_all_subsets(samples):
    proxy, gold = samples
    estimate = best_of_n_estimate(proxy, gold)
    for n in range(1, len(proxy) + 1):
        picks = [mean_gold_of_best(proxy[list(s)], gold[list(s)]) for s in combinations(range(len(proxy)), n)]
        assert_allclose(estimate[n - 1], np.mean(picks), atol=1e-12)
    assert_allclose(estimate[0], gold.mean(), atol=1e-12)
    assert_allclose(estimate[-1], mean_gold_of_best(proxy, gold), atol=1e-12)


@law
@given(pairs_of_samples)
def test_P73_with_the_true_reward_more_samples_never_hurt(samples):
    _, gold = samples
    assert np.diff(best_of_n_estimate(gold, gold)).min(initial=0) >= -1e-12


@law
@given(pairs_of_samples, seeds)
def test_P74_only_the_order_of_the_proxy_counts(samples, seed):
    proxy, gold = samples
    order = np.random.default_rng(seed).permutation(len(proxy))
    estimate = best_of_n_estimate(proxy, gold)
    assert_allclose(best_of_n_estimate(proxy[order], gold[order]), estimate, atol=1e-12)
    assert_allclose(best_of_n_estimate(np.exp(200 * proxy) - 7, gold), estimate, atol=1e-12)


@law
@given(st.integers(1, 30), st.data())
def test_P77_a_binary_reward_gives_pass_at_k(N, data):
    right = data.draw(st.integers(0, N))
    gold = (np.arange(N) < right).astype(float)
    expected = [1 - comb(N - right, k) / comb(N, k) for k in range(1, N + 1)]
    assert_allclose(best_of_n_estimate(gold, gold), expected, atol=1e-12)


@law
@given(st.integers(1, 7).flatmap(reals), numbers())
def test_P78_a_constant_proxy_picks_at_random(gold, constant):
    assert_allclose(best_of_n_estimate(np.full(len(gold), constant), gold), gold.mean(), atol=1e-12)


def test_P79_stable_for_ten_thousand_samples():
    N = 10_000
    ranks = np.arange(1, N + 1, dtype=float)
    estimate = best_of_n_estimate(ranks, ranks)
    n = np.arange(1, N + 1)
    assert_allclose(estimate, n * (N + 1) / (n + 1), rtol=1e-9)  # the expected maximum of n of 1..N


def test_best_of_n_refuses_what_is_not_a_list_of_pairs():
    for proxy, gold in [(np.zeros(3), np.zeros(2)), (np.zeros((2, 2)), np.zeros((2, 2))), (np.zeros(0), np.zeros(0))]:
        with pytest.raises(ValueError, match="one number a sample"):
            best_of_n_estimate(proxy, gold)


@st.composite
def scored_distributions(draw):
    """A distribution over up to 6 outcomes, some of them impossible, and scores that may tie."""
    M = draw(st.integers(1, 6))
    weights, scores = draw(reals(M, low=0, high=1)), draw(reals(M, low=-0.003, high=0.003))
    assume(weights.sum() > 0)
    return weights / weights.sum(), scores


@law
@given(scored_distributions(), st.integers(1, 4))
def test_best_of_n_pmf_is_the_law_of_the_pick(distribution, n):
    """Against all M^n draws, ties broken at random."""
    p, scores = distribution
    expected = np.zeros(len(p))
    for draws in np.ndindex(*[len(p)] * n):
        drawn = np.array(draws)
        best = drawn[scores[drawn] == scores[drawn].max()]
        np.add.at(expected, best, np.prod(p[drawn]) / len(best))
    assert_allclose(best_of_n_pmf(p, scores, n), expected, atol=1e-12)


@law
@given(scored_distributions(), st.integers(1, 1000))
def test_P75_the_kl_stays_below_both_bounds(distribution, n):
    p, scores = distribution
    q, log_ratio = best_of_n_pmf(p, scores, n), best_of_n_log_ratio(p, scores, n)
    kl = (q * log_ratio).sum()
    top = scores[p > 0].max()
    assert_allclose(q.sum(), 1)
    assert -1e-12 <= kl <= min(best_of_n_kl_bound(n), -np.log(p[scores == top].sum())) + 1e-9


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_P75_the_bound_is_tight_for_many_small_outcomes(n):
    p, scores = np.full(200_000, 1 / 200_000), np.arange(200_000)
    kl = (best_of_n_pmf(p, scores, n) * best_of_n_log_ratio(p, scores, n)).sum()
    assert_allclose(kl, best_of_n_kl_bound(n), atol=1e-3)


@law
@given(scored_distributions(), st.integers(1, 50))
def test_P76_the_win_rate_against_the_base_is_at_most_n_over_n_plus_one(distribution, n):
    p, scores = distribution
    q = best_of_n_pmf(p, scores, n)
    beats = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    assert 0.5 - 1e-9 <= q @ beats @ p <= n / (n + 1) + 1e-9


@law
@given(scored_distributions(), st.integers(1, 50), numbers())
def test_P78_a_constant_reward_leaves_the_base(distribution, n, constant):
    p, _ = distribution
    assert_allclose(best_of_n_pmf(p, np.full(len(p), constant), n), p, atol=1e-12)
    assert_allclose(best_of_n_log_ratio(p, np.full(len(p), constant), n), 0, atol=1e-9)


def test_best_of_n_needs_a_draw():
    with pytest.raises(ValueError, match="at least 1"):
        best_of_n_kl_bound(0)


# --------------------------------------------------------------------------------------------------------- KL control
@law
@given(numbers(0.01, 1), numbers(0.1, 10), numbers(0, 50), st.integers(1, 64))
def test_P46_beta_moves_the_right_way_by_a_bounded_step(beta, target, kl, n):
    control = AdaptiveKL(beta, target, horizon=1000.0)
    control.update(kl, n)
    factor = control.beta / beta
    assert_allclose(factor, 1 + np.clip(kl / target - 1, -0.2, 0.2) * n / 1000)
    assert abs(factor - 1) <= 0.2 * n / 1000 + 1e-12
    assert np.sign(round(factor - 1, 12)) == np.sign(round((kl - target) * n / target / 1000, 12))


def test_P46_beta_rests_at_the_target_and_fixed_beta_always():
    adaptive, fixed = AdaptiveKL(0.1, target=6.0, horizon=100), FixedKL(0.1)
    for control, kl in [(adaptive, 6.0), (fixed, 60.0)]:
        control.update(kl, n=32)
        assert control.beta == 0.1


def test_adaptive_kl_refuses_what_could_turn_beta_negative():
    with pytest.raises(ValueError, match="positive"):
        AdaptiveKL(0.1, target=0.0, horizon=100)
    with pytest.raises(ValueError, match="horizon of at least 500"):
        AdaptiveKL(0.1, target=6.0, horizon=100).update(1.0, n=500)


# --------------------------------------------------------------------------------------------------------- the widths
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_are_as_wide_as_inputs_and_inputs_stay_untouched(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 4)).astype(dtype)
    mask = np.array([[0, 1, 1, 0]] * 3)
    before = x.copy(), y.copy()
    outputs = [token_rewards(x[:, 0], x, y, mask, 0.1), *gae(x, y, mask, 1.0, 0.95), whiten(x, mask), rloo(x), grpo(x)]
    assert all(out.dtype == dtype for out in outputs)
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])
