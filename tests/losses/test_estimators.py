"""What the estimators promise beyond `minipost.laws`: exact best-of-n, end penalties, KL control, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from law_strategies import law, numbers, poisoned, reals, token_batches
from numpy.testing import assert_allclose

from minipost.losses import (
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


# ------------------------------------------------------------------------------------------------------------ rewards
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


# ----------------------------------------------------------------------------------------------------------- whitening
@law
@given(numbers(-1e6, 1e6), st.integers(0, 7))
def test_P35_equal_elements_one_element_and_none_are_defined(c, count):
    mask = np.arange(7)[None, :] < count
    assert_allclose(whiten(np.full((1, 7), c), mask), 0, atol=0.05)
    kept = whiten(np.full((1, 7), c), mask, shift_mean=False)
    assert_allclose(kept[mask], c, rtol=1e-9, atol=0.05)


# -------------------------------------------------------------------------------------------------------- RLOO, GRPO
@pytest.mark.parametrize("advantages", [rloo, grpo])
def test_P83_a_group_of_one_is_an_error(advantages):
    with pytest.raises(ValueError, match="group of 1"):
        advantages(np.zeros((3, 1)))


# ---------------------------------------------------------------------------------------------------------- best-of-n
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
