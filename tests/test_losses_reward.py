"""The laws of the reward model's losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_strategies import gradient, law, logistic, numbers, reals, seeds, softplus, vectors
from numpy.testing import assert_allclose

from minipost.autograd import check_gradient
from minipost.losses import bradley_terry, cross_entropy, pair_accuracy, plackett_luce, pointwise_regression

scores = vectors("chosen", "rejected")
positive = numbers(0.01, 3)


@law
@given(scores, numbers(0, 2), st.data())
def test_bradley_terry_is_its_definition(s, center, data):
    margin = data.draw(st.one_of(numbers(0, 2), reals(s.B, low=0, high=2)))
    expected = softplus(-(s.chosen - s.rejected - margin)).mean() + center * ((s.chosen + s.rejected) ** 2).mean()
    assert_allclose(bradley_terry(s.chosen, s.rejected, margin, center), expected, atol=1e-12)


@law
@given(scores, numbers(0, 2), numbers(0, 2), seeds)
def test_bradley_terry_gradient_matches_finite_differences(s, margin, center, seed):
    rng = np.random.default_rng(seed)
    check_gradient(lambda c, r: bradley_terry(c, r, margin, center), s.chosen, s.rejected, rng=rng)


@law
@given(scores, numbers(-50, 50), numbers(0, 2), positive)
def test_P14_only_differences_count_unless_centred(s, shift, margin, center):
    before = bradley_terry(s.chosen, s.rejected, margin)
    assert_allclose(bradley_terry(s.chosen + shift, s.rejected + shift, margin), before, atol=1e-10)
    moved = bradley_terry(s.chosen + 10, s.rejected + 10, margin, center)
    assert moved > bradley_terry(s.chosen, s.rejected, margin, center)


@law
@given(vectors("r"))
def test_P15_equal_scores_give_log_two(s):
    assert_allclose(bradley_terry(s.r, s.r), np.log(2))


@law
@given(scores)
def test_P16_swapping_the_sides_adds_the_mean_difference(s):
    there, back = bradley_terry(s.chosen, s.rejected), bradley_terry(s.rejected, s.chosen)
    assert_allclose(there - back, -(s.chosen - s.rejected).mean(), atol=1e-12)


@law
@given(scores, numbers(0, 2))
def test_P17_the_gradient_is_minus_sigmoid_of_minus_d_and_opposite(s, margin):
    chosen, rejected = gradient(lambda c, r: bradley_terry(c, r, margin), s.chosen, s.rejected)
    expected = -logistic(-(s.chosen - s.rejected - margin)) / s.B
    assert_allclose(chosen, expected, atol=1e-12)
    assert np.array_equal(chosen, -rejected)
    assert (chosen >= -1 / s.B).all() and (chosen <= 0).all()


@law
@given(numbers(), positive, positive)
def test_P18_decreasing_and_convex_in_the_difference(d, step, other):
    def loss(d):
        return bradley_terry(np.array([d]), np.zeros(1))

    assert loss(d + step) < loss(d)
    assert loss(d) + loss(d + step + other) > loss(d + step) + loss(d + other) - 1e-12


@law
@given(scores, numbers(0, 3))
def test_P19_a_margin_shifts_the_difference(s, margin):
    assert_allclose(bradley_terry(s.chosen, s.rejected, margin), bradley_terry(s.chosen - margin, s.rejected))
    assert_allclose(
        bradley_terry(s.chosen, s.rejected, np.full(s.B, margin)), bradley_terry(s.chosen, s.rejected, margin)
    )


@law
@given(scores, positive, numbers(-100, 100))
def test_P20_centring_pulls_the_mean_score_to_zero(s, center, shift):
    chosen, rejected = gradient(lambda c, r: bradley_terry(c, r, center=center), s.chosen, s.rejected)
    pull = chosen.sum() + rejected.sum()  # the derivative along a common shift: Bradley-Terry's own part cancels
    assert_allclose(pull, 4 * center * (s.chosen + s.rejected).mean(), atol=1e-10)
    assert pair_accuracy(s.chosen + shift, s.rejected + shift) == pair_accuracy(s.chosen, s.rejected)


def test_P20_accuracy_counts_ties_half():
    assert pair_accuracy(np.array([2.0, 1.0, 0.0, 5.0]), np.array([1.0, 1.0, 1.0, 1.0])) == 2.5 / 4


@law
@given(scores, st.data())
def test_P21_softmax_over_two_is_bradley_terry(s, data):
    swap = data.draw(st.lists(st.booleans(), min_size=s.B, max_size=s.B).map(np.array))
    both = np.stack([np.where(swap, s.rejected, s.chosen), np.where(swap, s.chosen, s.rejected)], axis=1)
    assert_allclose(plackett_luce(both, swap.astype(int)), bradley_terry(s.chosen, s.rejected), atol=1e-12)


@law
@given(reals(3, 4), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_P21_plackett_luce_is_cross_entropy_over_the_candidates(scores, best):
    as_tokens = cross_entropy(scores[:, None], np.array(best)[:, None], np.ones((3, 1)))
    assert_allclose(plackett_luce(scores, np.array(best)), as_tokens, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_P22_exact_at_extreme_differences(dtype):
    high, low = np.array([5e3], dtype), np.array([-5e3], dtype)
    assert bradley_terry(high, low) == 0.0
    assert bradley_terry(low, high) == 1e4
    assert_allclose(gradient(bradley_terry, low, high), [[-1.0], [1.0]])


@law
@given(vectors("r"), numbers(0, 2))
def test_P23_an_identical_pair_teaches_nothing(s, margin):
    (g,) = gradient(lambda r: bradley_terry(r, r, margin), s.r)
    assert not g.any()


@law
@given(reals(5), numbers(-9, 9), numbers(-9, 9), st.integers(0, 4), positive)
def test_P25_the_population_fit_recovers_utility_per_component(utility, left, right, item, step):
    """Two components of items, {0, 1, 2} and {3, 4}: the loss is convex, so a zero gradient is the fit."""
    compared = [(0, 1), (1, 2), (3, 4)]

    def population(r):
        pairs = [(i, j) for a, b in compared for i, j in ((a, b), (b, a))]
        return sum(bradley_terry(r[[i]], r[[j]]) * logistic(utility[i] - utility[j]) for i, j in pairs)

    fitted = utility + np.array([left] * 3 + [right] * 2)
    assert_allclose(gradient(population, fitted)[0], 0, atol=1e-10)
    moved = fitted + step * np.eye(5)[item]  # within a component, one item alone
    assert np.abs(gradient(population, moved)[0]).max() > 1e-6


@law
@given(numbers(0.01, 0.49))
def test_P26_flipped_labels_put_the_optimum_at_logit_one_minus_e(e):
    def expected_loss(d):
        return bradley_terry(d, np.zeros(1)) * (1 - e) + bradley_terry(np.zeros(1), d) * e

    optimum = np.array([np.log((1 - e) / e)])
    assert_allclose(gradient(expected_loss, optimum)[0], 0, atol=1e-12)
    assert gradient(expected_loss, optimum + 0.1)[0] > 1e-5 > -1e-5 > gradient(expected_loss, optimum - 0.1)[0]


@law
@given(vectors("scores", "targets"))
def test_pointwise_regression_is_the_mean_squared_error(s):
    assert_allclose(pointwise_regression(s.scores, s.targets), ((s.scores - s.targets) ** 2).mean(), atol=1e-12)
    assert_allclose(
        gradient(lambda r: pointwise_regression(r, s.targets), s.scores)[0], 2 * (s.scores - s.targets) / s.B
    )
