"""The laws of the KL estimators, with expectations taken exactly over a small vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from law_strategies import gradient, law, numbers, reals, seeds, vectors
from numpy.testing import assert_allclose

from minipost.autograd import check_gradient, log_softmax
from minipost.losses import exact_kl, k1, k2, k3

policies = reals(5)  # logits over five tokens


@law
@given(vectors("p", "q"))
def test_the_estimators_are_their_definitions(x):
    log_r = x.q - x.p
    assert_allclose(k1(x.p, x.q), -log_r)
    assert_allclose(k2(x.p, x.q), log_r**2 / 2)
    assert_allclose(k3(x.p, x.q), np.exp(log_r) - 1 - log_r, atol=1e-12)


@law
@given(vectors("p", "q"), seeds)
def test_the_estimators_gradients_match_finite_differences(x, seed):
    for estimator in (k1, k2, k3):
        check_gradient(estimator, x.p, x.q, rng=np.random.default_rng(seed))


@law
@given(policies, policies)
def test_P51_k1_and_k3_are_unbiased_and_k2_k3_never_negative(a, b):
    logp, ref = log_softmax(a), log_softmax(b)
    p, kl = np.exp(logp), exact_kl(logp, ref)
    assert_allclose(p @ k1(logp, ref), kl, atol=1e-12)
    assert_allclose(p @ k3(logp, ref), kl, atol=1e-12)
    assert (k2(logp, ref) >= 0).all() and (k3(logp, ref) >= -1e-15).all()


@law
@given(policies, policies)
def test_P52_what_each_estimator_does_inside_a_loss(a, b):
    """Samples are data: their probability is not differentiated, only the estimator is."""
    p, ref = np.exp(log_softmax(a)), log_softmax(b)

    def inside(estimator):
        return gradient(lambda x: (estimator(log_softmax(x), ref) * p).sum(), a)[0]

    forward = gradient(lambda x: exact_kl(log_softmax(x), ref), a)[0]
    reverse = gradient(lambda x: exact_kl(ref, log_softmax(x)), a)[0]
    assert_allclose(inside(k1), 0, atol=1e-12)
    assert_allclose(inside(k2), forward, atol=1e-10)
    assert_allclose(inside(k3), reverse, atol=1e-10)


@law
@given(policies, policies)
def test_P54_a_swapped_sign_is_seen(a, b):
    logp, ref = log_softmax(a), log_softmax(b)
    p, q, kl = np.exp(logp), np.exp(ref), exact_kl(logp, ref)
    chi_squared = (p**2 / q).sum() - 1
    assert_allclose(p @ k1(ref, logp), -kl, atol=1e-10)
    assert_allclose(p @ k3(ref, logp), chi_squared - kl, atol=1e-9, rtol=1e-9)


def test_P54_the_swapped_sign_is_far_off_on_an_example():
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    kl = exact_kl(np.log(p), np.log(q))
    assert_allclose(kl, 0.3681, atol=1e-4)
    assert_allclose(p @ k3(np.log(q), np.log(p)), 0.64 - 0.3681, atol=1e-4)


@law
@given(vectors("p"), numbers(0.1, 9))
def test_P56_accurate_at_tiny_differences(x, size):
    d = size * 1e-6
    exact = d**2 / 2 - d**3 / 6 + d**4 / 24  # the series of expm1(-d) + d
    step = (x.p + d) - x.p  # what float64 made of d
    assert_allclose(k3(np.zeros(1), np.full(1, -d)), exact, rtol=1e-8)
    assert_allclose(k3(x.p + d, x.p), step**2 / 2 - step**3 / 6, rtol=1e-8)
    assert_allclose(k2(x.p + d, x.p), step**2 / 2, rtol=1e-12)


@law
@given(vectors("p", low=-30, high=0), numbers(0.001, 3))
def test_P56_zero_if_and_only_if_equal(x, step):
    for estimator in (k1, k2, k3):
        assert not estimator(x.p, x.p.copy()).any()
        assert estimator(x.p + step, x.p).all() and estimator(x.p - step, x.p).all()


def test_P56_float32_k3_is_hardly_ever_negative():
    p = np.float32(-2) + np.geomspace(1e-9, 1, 4001, dtype=np.float32)
    assert k3(p, np.full_like(p, -2)).min() >= -1e-9 and k3(np.full_like(p, -2), p).min() >= -1e-9


@pytest.mark.parametrize("difference", [-600.0, -50.0, 50.0, 600.0])
def test_k3_is_right_far_from_zero(difference):
    log_r = np.array([difference])
    assert_allclose(k3(np.zeros(1), log_r), np.expm1(log_r) - log_r, rtol=1e-12)
