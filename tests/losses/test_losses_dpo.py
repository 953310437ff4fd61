"""What DPO and its family promise beyond `minipost.laws`: named choices, refusals, accuracy at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from law_strategies import gradient, law, numbers, reals, vectors
from numpy.testing import assert_allclose

from minipost.autograd import Tensor
from minipost.losses import ipo, kto_reference_point, orpo, robust, sequence_logps, sigmoid, simpo
from minipost.losses.dpo import log_odds

betas = numbers(0.05, 2)
quads = vectors("pc", "pr", "rc", "rr")  # policy chosen, policy rejected, reference chosen, reference rejected


# --------------------------------------------------------------------------------------------------- sums, not averages
@law
@given(vectors("pc", "pr"), st.integers(1, 4), st.integers(1, 4), numbers(), numbers(0.5, 3))
def test_P59_a_shared_prefix_cancels_for_sums_and_not_for_averages(x, chosen_more, rejected_more, prefix, change):
    """Responses of 2 shared tokens and some of their own: `pc`, `pr` are the log-probs of what they do not share."""
    zero = np.zeros(x.B)

    def dpo(shared):
        return sigmoid(x.pc + 2 * shared, x.pr + 2 * shared, zero, zero, beta=1.0)

    def averaged(shared):
        w, l = (x.pc + 2 * shared) / (2 + chosen_more), (x.pr + 2 * shared) / (2 + rejected_more)  # noqa: E741
        return simpo(w, l, beta=1.0, gamma=0.0)

    assert_allclose(dpo(prefix + change), dpo(prefix), atol=1e-10)
    if chosen_more == rejected_more:
        assert_allclose(averaged(prefix + change), averaged(prefix), atol=1e-10)
    else:
        assert abs(averaged(prefix + change) - averaged(prefix)) > 1e-4


@law
@given(reals(2, 5, 3), hnp.arrays(np.int64, (2, 5), elements=st.integers(0, 2)), numbers(0.5, 3))
def test_P59_prompt_logits_do_not_reach_the_loss(logits, tokens, change):
    mask = np.array([[0, 0, 1, 1, 0], [0, 0, 1, 1, 1]])

    def loss(logits):
        logps = sequence_logps(logits, tokens, mask)
        return sigmoid(logps[:1], logps[1:], np.zeros(1), np.zeros(1), beta=0.5)

    moved = logits.copy()
    moved[:, 0, 0] += change
    assert loss(moved) == loss(logits)
    assert not gradient(loss, logits)[0][:, 0].any()


# ------------------------------------------------------------------------------------------------------ named choices
def test_label_smoothing_outside_its_domain_is_refused():
    zero = np.zeros(1)
    for loss, e in [(sigmoid, 0.51), (sigmoid, -0.1), (robust, 0.5), (robust, -0.1)]:
        with pytest.raises(ValueError, match="label_smoothing"):
            loss(zero, zero, zero, zero, beta=0.1, label_smoothing=e)


@law
@given(quads, betas, st.data())
def test_ipo_can_average_over_tokens_by_name(q, beta, data):
    n_c, n_r = (data.draw(hnp.arrays(np.int64, q.B, elements=st.integers(1, 9))) for _ in range(2))
    h = (q.pc - q.rc) / n_c - (q.pr - q.rr) / n_r
    loss = ipo(q.pc, q.pr, q.rc, q.rr, beta, lengths=(n_c, n_r))
    assert_allclose(loss, ((h - 1 / (2 * beta)) ** 2).mean(), atol=1e-10)


# --------------------------------------------------------------------------------------------------------- ORPO, KTO
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_P68_finite_as_the_mean_log_probability_reaches_zero(dtype):
    near_zero = -np.array([0.0, np.finfo(dtype).tiny, 1e-30, 1e-6, 1e4], dtype)
    for w, l in [(near_zero, near_zero[::-1].copy()), (near_zero, near_zero)]:  # noqa: E741
        assert np.isfinite(orpo(w, l, lam=0.5))
        tensors = Tensor(w), Tensor(l)
        orpo(*tensors, lam=0.5).backward()
        assert all(np.isfinite(t.grad).all() for t in tensors)


@law
@given(st.sampled_from([1e-12, 1e-6, 1e-3, 0.5, 5.0, 50.0, 500.0]), numbers(1, 2))
def test_log_odds_are_accurate_at_both_ends(scale, factor):
    x = -scale * factor
    exact = x - (np.log(-np.expm1(x)) if x > -0.7 else np.log1p(-np.exp(x)))
    assert_allclose(log_odds(np.array([x])), exact, rtol=1e-12, atol=1e-14)
    (g,) = gradient(lambda v: log_odds(v).sum(), np.array([x]))
    assert_allclose(g, -1 / np.expm1(x), rtol=1e-9)  # 1 / (1 - p)


@law
@given(vectors("policy", "ref"))
def test_P67_the_reference_point_is_never_negative(x):
    assert kto_reference_point(x.policy, x.ref) == max(0.0, (x.policy - x.ref).mean())
