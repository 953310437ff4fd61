"""The exact KL beside its estimators, over a small vocabulary; the estimators' own laws are in `minipost.laws`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from law_strategies import law, reals
from numpy.testing import assert_allclose

from minipost.autograd import log_softmax
from minipost.losses import exact_kl, k1, k3

policies = reals(5)  # logits over five tokens


@law
@given(policies, policies)
def test_P51_the_exact_kl_is_what_k1_and_k3_estimate(a, b):
    logp, ref = log_softmax(a), log_softmax(b)
    p, kl = np.exp(logp), exact_kl(logp, ref)
    assert_allclose(p @ k1(logp, ref), kl, atol=1e-12)
    assert_allclose(p @ k3(logp, ref), kl, atol=1e-12)


def test_P54_the_swapped_sign_is_far_off_on_an_example():
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    kl = exact_kl(np.log(p), np.log(q))
    assert_allclose(kl, 0.3681, atol=1e-4)
    assert_allclose(p @ k3(np.log(q), np.log(p)), 0.64 - 0.3681, atol=1e-4)


@pytest.mark.parametrize("difference", [-600.0, -50.0, 50.0, 600.0])
def test_k3_is_right_far_from_zero(difference):
    log_r = np.array([difference])
    assert_allclose(k3(np.zeros(1), log_r), np.expm1(log_r) - log_r, rtol=1e-12)
