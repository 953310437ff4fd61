"""The laws of DPO and its family."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from law_strategies import gradient, law, logistic, numbers, reals, seeds, softplus, vectors
from numpy.testing import assert_allclose

from minipost.autograd import Tensor, check_gradient
from minipost.losses import hinge, ipo, kto, kto_reference_point, orpo, robust, sequence_logps, sigmoid, simpo
from minipost.losses.dpo import log_odds

betas = numbers(0.05, 2)
flips = numbers(0, 0.45)
quads = vectors("pc", "pr", "rc", "rr")  # policy chosen, policy rejected, reference chosen, reference rejected
mean_logps = vectors("w", "l", low=-3, high=-0.001)

WITH_REFERENCE = {
    "sigmoid": lambda *x: sigmoid(*x, beta=0.3),
    "conservative": lambda *x: sigmoid(*x, beta=0.3, label_smoothing=0.2),
    "robust": lambda *x: robust(*x, beta=0.3, label_smoothing=0.2),
    "ipo": lambda *x: ipo(*x, beta=0.3),
    "hinge": lambda *x: hinge(*x, beta=0.3),
}
every_loss = pytest.mark.parametrize("loss", WITH_REFERENCE.values(), ids=WITH_REFERENCE)


def four(q):
    return q.pc, q.pr, q.rc, q.rr


def margin(q):
    return (q.pc - q.rc) - (q.pr - q.rr)


def of_margin(loss, h):
    """A loss as a function of the margin h alone."""
    zero = np.zeros(h.shape)
    return loss(h, zero, zero, zero)


# --------------------------------------------------------------------------------------------------- the whole family
@law
@given(quads, betas, flips)
def test_every_loss_is_its_definition(q, beta, e):
    h = margin(q)
    right, wrong = softplus(-beta * h), softplus(beta * h)
    expected = {
        sigmoid: (right.mean(), {}),
        robust: ((((1 - e) * right - e * wrong) / (1 - 2 * e)).mean(), {"label_smoothing": e}),
        ipo: (((h - 1 / (2 * beta)) ** 2).mean(), {}),
        hinge: (np.maximum(0, 1 - beta * h).mean(), {}),
    }
    for loss, (value, extra) in expected.items():
        assert_allclose(loss(*four(q), beta=beta, **extra), value, atol=1e-10)
    smoothed = ((1 - e) * right + e * wrong).mean()
    assert_allclose(sigmoid(*four(q), beta=beta, label_smoothing=e), smoothed, atol=1e-12)


@every_loss
@law
@given(q=quads, seed=seeds)
def test_gradients_match_finite_differences(loss, q, seed):
    assume(np.abs(1 - 0.3 * margin(q)).min() > 1e-4)
    check_gradient(lambda c, r: loss(c, r, q.rc, q.rr), q.pc, q.pr, rng=np.random.default_rng(seed))


@every_loss
@law
@given(q=quads, data=st.data())
def test_P60_what_policy_and_reference_share_of_a_response_cancels(loss, q, data):
    c = data.draw(reals(q.B, low=-50, high=50))
    before = loss(*four(q))
    assert_allclose(loss(q.pc + c, q.pr, q.rc + c, q.rr), before, atol=1e-9)
    assert_allclose(loss(q.pc, q.pr + c, q.rc, q.rr + c), before, atol=1e-9)


@every_loss
@law
@given(q=quads, level=numbers(-50, 50))
def test_P66_reference_free_is_a_reference_of_equal_logps(loss, q, level):
    zero = np.zeros(q.B)
    assert_allclose(loss(q.pc, q.pr, zero + level, zero + level), loss(q.pc, q.pr, zero, zero), atol=1e-9)


@every_loss
@law
@given(q=quads, times=st.integers(1, 4))
def test_P71_repeating_the_batch_leaves_the_mean(loss, q, times):
    assert_allclose(loss(*(np.tile(x, times) for x in four(q))), loss(*four(q)), atol=1e-10)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_at_extreme_log_ratios(loss, dtype):
    zero = np.zeros(2, dtype)
    extreme = np.array([1e4, -1e4], dtype)
    value = loss(extreme, zero, zero, zero)
    assert np.isfinite(value) and value.dtype == dtype
    assert np.isfinite(gradient(lambda c: loss(c, zero, zero, zero), extreme)[0]).all()


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


# --------------------------------------------------------------------------------------------------------------- DPO
@law
@given(vectors("c", "r"), betas)
def test_P57_at_the_reference_the_loss_is_log_two_and_its_gradient_is_not_zero(x, beta):
    assert_allclose(sigmoid(x.c, x.r, x.c, x.r, beta), np.log(2))
    chosen, rejected = gradient(lambda c, r: sigmoid(c, r, x.c, x.r, beta), x.c, x.r)
    assert_allclose(chosen, -beta / 2 / x.B)
    assert_allclose(rejected, beta / 2 / x.B)


@law
@given(quads, betas)
def test_P58_swapping_the_sides_adds_the_mean_margin(q, beta):
    there, back = sigmoid(*four(q), beta=beta), sigmoid(q.pr, q.pc, q.rr, q.rc, beta=beta)
    assert_allclose(there - back, -beta * margin(q).mean(), atol=1e-10)


@law
@given(quads, betas)
def test_P61_the_gradient_is_beta_sigmoid_of_minus_beta_h(q, beta):
    chosen, rejected = gradient(lambda c, r: sigmoid(c, r, q.rc, q.rr, beta), q.pc, q.pr)
    assert_allclose(chosen, -beta * logistic(-beta * margin(q)) / q.B, atol=1e-12)
    assert_allclose(rejected, -chosen, atol=1e-12)


@law
@given(quads, betas, numbers(0.01, 0.5))
def test_P62_conservative_is_sigmoid_plus_a_straight_line(q, beta, e):
    smoothed = sigmoid(*four(q), beta=beta, label_smoothing=e)
    assert_allclose(smoothed, sigmoid(*four(q), beta=beta) + e * beta * margin(q).mean(), atol=1e-10)
    optimum = np.array([np.log((1 - e) / e) / beta])
    (g,) = gradient(lambda h: of_margin(lambda *x: sigmoid(*x, beta=beta, label_smoothing=e), h), optimum)
    assert_allclose(g, 0, atol=1e-12)
    half, swapped = (sigmoid(*x, beta=beta, label_smoothing=0.5) for x in (four(q), (q.pr, q.pc, q.rr, q.rc)))
    assert_allclose(half, swapped, atol=1e-10)


@law
@given(quads, betas, flips)
def test_P63_robust_is_unbiased_under_flipped_labels(q, beta, e):
    kept = robust(*four(q), beta=beta, label_smoothing=e)
    flipped = robust(q.pr, q.pc, q.rr, q.rc, beta=beta, label_smoothing=e)
    assert_allclose((1 - e) * kept + e * flipped, sigmoid(*four(q), beta=beta), atol=1e-9)


def test_label_smoothing_outside_its_domain_is_refused():
    zero = np.zeros(1)
    for loss, e in [(sigmoid, 0.51), (sigmoid, -0.1), (robust, 0.5), (robust, -0.1)]:
        with pytest.raises(ValueError, match="label_smoothing"):
            loss(zero, zero, zero, zero, beta=0.1, label_smoothing=e)


# ------------------------------------------------------------------------------------------------------- IPO and hinge
@law
@given(betas, numbers(0.1, 3))
def test_P64_ipo_is_satisfied_at_its_margin_and_pulls_back_beyond(beta, step):
    def loss(h):
        return of_margin(lambda *x: ipo(*x, beta=beta), np.array([h]))

    assert_allclose(loss(0.0), 1 / (4 * beta**2))
    target = 1 / (2 * beta)
    assert_allclose(loss(target), 0, atol=1e-12)
    assert_allclose([loss(target + step), loss(target - step)], step**2)


@law
@given(quads, betas, st.data())
def test_ipo_can_average_over_tokens_by_name(q, beta, data):
    n_c, n_r = (data.draw(hnp.arrays(np.int64, q.B, elements=st.integers(1, 9))) for _ in range(2))
    h = (q.pc - q.rc) / n_c - (q.pr - q.rr) / n_r
    assert_allclose(ipo(*four(q), beta=beta, lengths=(n_c, n_r)), ((h - 1 / (2 * beta)) ** 2).mean(), atol=1e-10)


@law
@given(vectors("h", low=-5, high=5), betas)
def test_P65_hinge_is_zero_if_and_only_if_the_margin_is_reached(x, beta):
    for h in x.h:
        assume(abs(beta * h - 1) > 1e-9)
        assert (of_margin(lambda *a: hinge(*a, beta=beta), np.array([h])) == 0) == (beta * h >= 1)


# ----------------------------------------------------------------------------------------------------- SimPO and ORPO
@law
@given(mean_logps, betas, numbers(0, 2), seeds)
def test_simpo_is_its_definition_with_gamma_not_scaled_by_beta(x, beta, gamma, seed):
    assert_allclose(simpo(x.w, x.l, beta, gamma), softplus(gamma - beta * (x.w - x.l)).mean(), atol=1e-12)
    check_gradient(lambda w, l: simpo(w, l, beta, gamma), x.w, x.l, rng=np.random.default_rng(seed))  # noqa: E741


@law
@given(mean_logps, numbers(0, 2), seeds)
def test_orpo_is_its_definition(x, lam, seed):
    odds_w, odds_l = (np.exp(v) / -np.expm1(v) for v in (x.w, x.l))
    expected = -x.w.mean() + lam * softplus(-np.log(odds_w / odds_l)).mean()
    assert_allclose(orpo(x.w, x.l, lam), expected, atol=1e-10)
    inner = (x.w < -0.01).all() and (x.l < -0.01).all()  # where finite differences are precise
    if inner:
        check_gradient(lambda w, l: orpo(w, l, lam), x.w, x.l, rng=np.random.default_rng(seed))  # noqa: E741


@law
@given(mean_logps, numbers(0, 2))
def test_P68_swapping_the_sides_of_orpo(x, lam):
    expected = -(x.w - x.l).mean() - lam * (log_odds(x.w) - log_odds(x.l)).mean()
    assert_allclose(orpo(x.w, x.l, lam) - orpo(x.l, x.w, lam), expected, atol=1e-9)
    assert np.array_equal(np.sign(log_odds(x.w) - log_odds(x.l)), np.sign(x.w - x.l))


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


# --------------------------------------------------------------------------------------------------------------- KTO
@st.composite
def thumbs(draw):
    """Policy and reference log-probs of single responses, and which were liked."""
    x = draw(vectors("policy", "ref"))
    x.liked = draw(hnp.arrays(np.bool_, x.B))
    return x


@law
@given(thumbs(), numbers(0, 2), betas, numbers(0.1, 2), numbers(0.1, 2))
def test_kto_is_its_definition(x, z, beta, weight_desirable, weight_undesirable):
    """P67 too: batches of one class are among those drawn."""
    gain = beta * (x.policy - x.ref - z)
    each = np.where(x.liked, weight_desirable * (1 - logistic(gain)), weight_undesirable * (1 - logistic(-gain)))
    loss = kto(x.policy, x.ref, x.liked, z, beta, weight_desirable, weight_undesirable)
    assert_allclose(loss, each.mean(), atol=1e-12)


@law
@given(thumbs(), numbers(0, 2), betas, seeds)
def test_kto_gradient_matches_finite_differences(x, z, beta, seed):
    check_gradient(lambda p: kto(p, x.ref, x.liked, z, beta, 1.3, 0.7), x.policy, rng=np.random.default_rng(seed))


@law
@given(thumbs(), betas)
def test_P67_kto_is_one_half_at_the_reference(x, beta):
    assert_allclose(kto(x.ref, x.ref, x.liked, 0.0, beta), 0.5)


@law
@given(thumbs(), numbers(0, 2), betas)
def test_P67_no_gradient_reaches_the_reference_point(x, z, beta):
    policy, point = Tensor(x.policy), Tensor(np.array(z))
    kto(policy, x.ref, x.liked, point, beta).backward()
    assert point.grad is None and policy.grad is not None
    (plain,) = gradient(lambda p: kto(p, x.ref, x.liked, z, beta), x.policy)
    assert np.array_equal(policy.grad, plain)


@law
@given(vectors("policy", "ref"))
def test_P67_the_reference_point_is_never_negative(x):
    assert kto_reference_point(x.policy, x.ref) == max(0.0, (x.policy - x.ref).mean())


@pytest.mark.parametrize("liked", [True, False])
def test_P67_kto_is_finite_at_extreme_log_ratios(liked):
    policy = np.array([1e4, -1e4])
    loss = kto(policy, np.zeros(2), np.full(2, liked), 0.0, 1.0)
    assert_allclose(loss, 0.5)
