"""What the reward model's losses promise beyond `minipost.laws`: K-way choice, accuracy, the population fit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from law_strategies import gradient, law, logistic, numbers, reals, vectors
from numpy.testing import assert_allclose

from minipost.losses import bradley_terry, cross_entropy, pair_accuracy, plackett_luce, pointwise_regression, wins

scores = vectors("chosen", "rejected")
positive = numbers(0.01, 3)


@law
@given(scores, numbers(-100, 100))
def test_P20_accuracy_ignores_a_common_shift(s, shift):
    assert pair_accuracy(s.chosen + shift, s.rejected + shift) == pair_accuracy(s.chosen, s.rejected)


@law
@given(scores)
def test_P20_a_win_is_the_others_loss(s):
    mine, theirs = np.round(s.chosen), np.round(s.rejected)  # with ties
    assert np.all(wins(mine, theirs) + wins(theirs, mine) == 1)
    assert np.all(wins(mine, mine) == 0.5)


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
@given(vectors("scores", "targets"))
def test_pointwise_regression_is_the_mean_squared_error(s):
    assert_allclose(pointwise_regression(s.scores, s.targets), ((s.scores - s.targets) ** 2).mean(), atol=1e-12)
    assert_allclose(
        gradient(lambda r: pointwise_regression(r, s.targets), s.scores)[0], 2 * (s.scores - s.targets) / s.B
    )
