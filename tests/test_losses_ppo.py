"""The laws of PPO's policy loss, value loss and entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from law_strategies import gradient, law, numbers, poisoned, reals, seeds, token_batches
from numpy.testing import assert_allclose

from minipost.autograd import check_gradient
from minipost.estimators import rloo
from minipost.losses import entropy, policy_loss, ratio_statistics, value_loss

batches = token_batches("logp", "old", "A")
values = token_batches("v", "old", "R")
clips = numbers(0.05, 0.6)


def mean_over(mask, x):
    return (x * mask).sum() / max(mask.sum(), 1)


@law
@given(batches, clips)
def test_policy_loss_is_its_definition(batch, clip):
    rho = np.exp(batch.logp - batch.old)
    textbook = np.maximum(-batch.A * rho, -batch.A * np.clip(rho, 1 - clip, 1 + clip))
    assert_allclose(
        policy_loss(batch.logp, batch.old, batch.A, batch.mask, clip), mean_over(batch.mask, textbook), atol=1e-10
    )


@law
@given(batches, clips, st.sampled_from(["token", "sequence", "constant", "sum"]), seeds)
def test_policy_loss_gradient_matches_finite_differences(batch, clip, reduction, seed):
    edges = np.log([1 - clip, 1 + clip])
    assume(np.abs((batch.logp - batch.old)[..., None] - edges).min() > 1e-4)
    rng = np.random.default_rng(seed)
    check_gradient(
        lambda x: policy_loss(x, batch.old, batch.A, batch.mask, clip, reduction, length=7), batch.logp, rng=rng
    )


@law
@given(batches)
def test_P36_at_ratio_one_the_gradient_is_minus_A_grad_log_pi(batch):
    (g,) = gradient(lambda x: policy_loss(x, batch.old, batch.A, batch.mask), batch.old)
    assert_allclose(g, -batch.A * batch.mask / max(batch.mask.sum(), 1), atol=1e-12)


@law
@given(numbers(-1, 1), numbers(), clips)
def test_P37_the_gradient_vanishes_only_beyond_the_edge_that_helped(log_ratio, advantage, clip):
    rho = np.exp(log_ratio)
    assume(advantage != 0 and abs(rho - 1 - clip) > 1e-6 and abs(rho - 1 + clip) > 1e-6)
    zero, A = np.zeros((1, 1)), np.full((1, 1), advantage)
    (g,) = gradient(lambda x: policy_loss(x, zero, A, np.ones((1, 1)), clip), np.full((1, 1), log_ratio))
    vanishes = (advantage > 0 and rho > 1 + clip) or (advantage < 0 and rho < 1 - clip)
    assert (g.item() == 0) == vanishes
    assert_allclose(g.item(), 0 if vanishes else -advantage * rho, rtol=1e-9)


@law
@given(batches, clips)
def test_P38_the_clipped_objective_is_never_above_the_unclipped(batch, clip):
    clipped, unclipped = (policy_loss(batch.logp, batch.old, batch.A, batch.mask, c) for c in (clip, np.inf))
    assert clipped >= unclipped - 1e-10


@law
@given(batches, clips, numbers(0.01, 3))
def test_P39_scaling_the_advantages_scales_loss_and_gradient(batch, clip, c):
    def loss(x, A=batch.A):
        return policy_loss(x, batch.old, A, batch.mask, clip)

    assert_allclose(loss(batch.logp, c * batch.A), c * loss(batch.logp), atol=1e-10)
    (scaled,), (plain,) = gradient(lambda x: loss(x, c * batch.A), batch.logp), gradient(loss, batch.logp)
    assert_allclose(scaled, c * plain, atol=1e-10)


@law
@given(batches, st.sampled_from([1e6, np.inf]))
def test_P40_without_a_clip_it_is_the_importance_weighted_gradient(batch, clip):
    (g,) = gradient(lambda x: policy_loss(x, batch.old, batch.A, batch.mask, clip), batch.logp)
    rho = np.exp(batch.logp - batch.old)
    assert_allclose(g, -batch.A * rho * batch.mask / max(batch.mask.sum(), 1), rtol=1e-9, atol=1e-12)


@law
@given(values, clips)
def test_P41_the_clipped_value_loss_is_at_least_the_squared_error(batch, clip):
    loss = value_loss(batch.v, batch.old, batch.R, batch.mask, clip)
    near = np.clip(batch.v, batch.old - clip, batch.old + clip)
    worst = np.maximum((batch.v - batch.R) ** 2, (near - batch.R) ** 2)
    assert_allclose(loss, 0.5 * mean_over(batch.mask, worst), atol=1e-12)
    squared = 0.5 * mean_over(batch.mask, (batch.v - batch.R) ** 2)
    assert loss >= squared - 1e-12
    assert_allclose(value_loss(batch.v, batch.old, batch.R, batch.mask, clip=100.0), squared, atol=1e-12)


@law
@given(values, clips, seeds)
def test_value_loss_gradient_matches_finite_differences(batch, clip, seed):
    moved = np.abs(batch.v - batch.old)
    near = np.clip(batch.v, batch.old - clip, batch.old + clip)
    tie = np.abs((batch.v - batch.R) ** 2 - (near - batch.R) ** 2)
    assume(np.abs(moved - clip).min() > 1e-4 and ((moved < clip) | (tie > 1e-4)).all())
    rng = np.random.default_rng(seed)
    check_gradient(lambda x: value_loss(x, batch.old, batch.R, batch.mask, clip), batch.v, rng=rng)


@law
@given(batches, clips)
def test_P43_before_the_first_update_nothing_has_moved(batch, clip):
    stats = ratio_statistics(batch.old, batch.old.copy(), batch.mask, clip)
    assert stats == {"policy/ratio": 1.0, "policy/approxkl_avg": 0.0, "policy/clipfrac_avg": 0.0}
    loss = policy_loss(batch.old, batch.old.copy(), batch.A, batch.mask, clip)
    assert_allclose(loss, -mean_over(batch.mask, batch.A), atol=1e-12)


@law
@given(token_batches("logp", "old", empty=False), clips)
def test_ratio_statistics_are_what_their_names_say(batch, clip):
    log_ratio = (batch.logp - batch.old)[batch.mask == 1]
    stats = ratio_statistics(poisoned(batch.logp, batch.mask), poisoned(batch.old, batch.mask), batch.mask, clip)
    assert_allclose(stats["policy/ratio"], np.exp(log_ratio).mean())
    assert_allclose(stats["policy/approxkl_avg"], (np.exp(log_ratio) - 1 - log_ratio).mean(), atol=1e-12)
    assert_allclose(stats["policy/clipfrac_avg"], (np.abs(np.exp(log_ratio) - 1) > clip).mean())


@law
@given(reals(2, 5))
def test_P45_entropy_lies_between_zero_and_log_V(logits):
    H = entropy(logits)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert_allclose(H, -(p * np.log(p)).sum(-1), atol=1e-12)
    assert (H >= 0).all() and (np.log(5) + 1e-12 >= H).all()
    assert (entropy(1e4 * logits) >= 0).all()


@law
@given(numbers(), reals(2, 5), seeds)
def test_P45_entropy_is_flat_at_the_uniform_policy(level, logits, seed):
    (g,) = gradient(lambda x: entropy(x).sum(), np.full((2, 5), level))
    assert_allclose(g, 0, atol=1e-12)
    check_gradient(entropy, logits, rng=np.random.default_rng(seed))


@law
@given(batches, clips)
def test_P47_uncounted_positions_get_no_policy_gradient_whatever_they_hold(batch, clip):
    def loss(logp, hide):
        return policy_loss(logp, hide(batch.old), hide(batch.A), batch.mask, clip)

    def hide(x):
        return poisoned(x, batch.mask)

    assert loss(hide(batch.logp), hide) == loss(batch.logp, np.copy)
    (clean,) = gradient(lambda x: loss(x, np.copy), batch.logp)
    (dirty,) = gradient(lambda x: loss(x, hide), hide(batch.logp))
    assert np.array_equal(clean, dirty) and not dirty[batch.mask == 0].any()


@law
@given(values, clips)
def test_P47_uncounted_positions_get_no_value_gradient_whatever_they_hold(batch, clip):
    def loss(v, hide):
        return value_loss(v, hide(batch.old), hide(batch.R), batch.mask, clip)

    def hide(x):
        return poisoned(x, batch.mask)

    (clean,) = gradient(lambda x: loss(x, np.copy), batch.v)
    (dirty,) = gradient(lambda x: loss(x, hide), hide(batch.v))
    assert loss(hide(batch.v), hide) == loss(batch.v, np.copy)
    assert np.array_equal(clean, dirty) and not dirty[batch.mask == 0].any()


def test_an_empty_batch_gives_zero():
    x, none = np.ones((2, 3)), np.zeros((2, 3))
    assert policy_loss(x, x, x, none) == 0 and value_loss(x, x, x, none) == 0
    assert not gradient(lambda a: policy_loss(a, x, x, none), x)[0].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_ratio_that_would_overflow_is_clipped_before_it_does(dtype):
    logp, old, mask = np.array([[1e4, -1e4, 1e4]], dtype), np.zeros((1, 3), dtype), np.ones((1, 3))
    advantages = np.array([[1.0, -1.0, 0.0]], dtype)
    assert_allclose(policy_loss(logp, old, advantages, mask), (-1.2 + 0.8 + 0.0) / 3, rtol=1e-6)
    assert not gradient(lambda x: policy_loss(x, old, advantages, mask), logp)[0].any()


@law
@given(st.tuples(st.integers(1, 3), st.integers(2, 4)).flatmap(lambda GK: reals(*GK)), st.integers(1, 4))
def test_P84_on_policy_the_loss_is_near_zero_and_the_gradient_is_not(rewards, T):
    assume(np.ptp(rewards) > 0.1 and np.ptp(rewards, axis=1).max() > 0.1)
    advantages = np.repeat(rloo(rewards).reshape(-1, 1), T, axis=1)
    logp, mask = np.full(advantages.shape, -1.0), np.ones(advantages.shape)

    def loss(x):
        return policy_loss(x, logp, advantages, mask, reduction="sequence")

    assert_allclose(loss(logp), 0, atol=1e-12)
    assert np.abs(gradient(loss, logp)[0]).max() > 1e-4
