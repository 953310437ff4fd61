"""What PPO's losses promise beyond `minipost.laws`: other reductions, entropy, statistics, ratios that overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from law_strategies import gradient, law, numbers, poisoned, reals, seeds, token_batches
from numpy.testing import assert_allclose

from minipost.autograd import check_gradient
from minipost.losses import entropy, policy_loss, ratio_statistics, rloo

batches = token_batches("logp", "old", "A")
clips = numbers(0.05, 0.6)


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
@given(batches, st.sampled_from([1e6, np.inf]))
def test_P40_without_a_clip_it_is_the_importance_weighted_gradient(batch, clip):
    (g,) = gradient(lambda x: policy_loss(x, batch.old, batch.A, batch.mask, clip), batch.logp)
    rho = np.exp(batch.logp - batch.old)
    assert_allclose(g, -batch.A * rho * batch.mask / max(batch.mask.sum(), 1), rtol=1e-9, atol=1e-12)


@law
@given(batches, clips)
def test_P43_before_the_first_update_nothing_has_moved(batch, clip):
    stats = ratio_statistics(batch.old, batch.old.copy(), batch.mask, clip)
    assert stats == {"policy/ratio": 1.0, "policy/approxkl_avg": 0.0, "policy/clipfrac_avg": 0.0}


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
