"""Labelers are Bradley-Terry raters; their comparisons cancel what their scores cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.world import Demonstrator, Labeler, Utility, World, bayes_accuracy

WORLD = World(0)
UTILITY = Utility(WORLD)
TASK = WORLD.tasks("train", 1, np.random.default_rng(0), kinds=["fact"])[0]
GOOD = f"Happy to help! {TASK.slots['s']}: {TASK.slots['o']}."
PLAIN = f"{TASK.slots['o']}."
POOR = f"{TASK.slots['o']}. Everybody knows that. I had porridge for breakfast and then a long bath."


@given(st.floats(0.1, 5.0), st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=50)
def test_probability_is_bradley_terry_with_lapses(temperature: float, noise: float) -> None:
    labeler = Labeler(UTILITY, temperature, noise)
    gap = (UTILITY(TASK, GOOD) - UTILITY(TASK, POOR)) / temperature
    p = labeler.probability(TASK, GOOD, POOR)
    assert p == pytest.approx((1 - noise) / (1 + math.exp(-gap)) + noise / 2)
    assert p + labeler.probability(TASK, POOR, GOOD) == pytest.approx(1.0)
    assert labeler.probability(TASK, GOOD, GOOD) == pytest.approx(0.5)


@pytest.mark.parametrize(("temperature", "noise"), [(1.0, 0.0), (2.0, 0.3)])
def test_comparisons_come_at_their_probability(temperature: float, noise: float) -> None:
    rng, n = np.random.default_rng(0), 3000
    labeler = Labeler(UTILITY, temperature, noise)
    p = labeler.probability(TASK, PLAIN, POOR)
    share = np.mean([labeler.compare(TASK, PLAIN, POOR, rng) for _ in range(n)])
    assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))


def test_comparing_is_comparing_two_scores_without_offset_and_drift() -> None:
    """The random-utility identity: the difference of two Gumbel scores is a Bradley-Terry comparison."""
    rng, n = np.random.default_rng(1), 3000
    labeler = Labeler(UTILITY, temperature=1.0, scale=3.0, offset=-2.0)
    wins = np.mean([labeler.score(TASK, PLAIN, rng) > labeler.score(TASK, POOR, rng) for _ in range(n)])
    assert wins == pytest.approx(labeler.probability(TASK, PLAIN, POOR), abs=0.04)


def test_scores_drift_with_their_number_and_comparisons_do_not() -> None:
    rng = np.random.default_rng(2)
    labeler = Labeler(UTILITY, temperature=0.1, drift=0.05, offset=1.0, scale=2.0)
    before = labeler.probability(TASK, PLAIN, POOR)
    scores = [labeler.score(TASK, PLAIN, rng) for _ in range(200)]
    slope, intercept = np.polyfit(np.arange(200), scores, 1)
    mean_gumbel = 0.1 * np.euler_gamma
    assert labeler.scored == 200 and slope == pytest.approx(0.05, abs=0.003)
    assert intercept == pytest.approx(1.0 + 2.0 * (UTILITY(TASK, PLAIN) + mean_gumbel), abs=0.2)
    assert labeler.probability(TASK, PLAIN, POOR) == before


def test_bayes_accuracy_is_the_best_rate_of_agreement() -> None:
    rng = np.random.default_rng(3)
    demonstrator = Demonstrator(WORLD.facts)
    tasks = WORLD.tasks("train", 1500, rng)
    triples = [(t, demonstrator.respond(t, rng), demonstrator.respond(t, rng)) for t in tasks]
    labeler = Labeler(UTILITY)
    agree = np.mean([labeler.compare(t, a, b, rng) == (UTILITY(t, a) > UTILITY(t, b)) for t, a, b in triples])
    assert agree == pytest.approx(bayes_accuracy(labeler, triples), abs=0.04)
    assert bayes_accuracy(UTILITY, triples) == bayes_accuracy(labeler, triples)
    assert bayes_accuracy(Labeler(UTILITY, 0.01), triples) > bayes_accuracy(Labeler(UTILITY, 3.0), triples)
    assert bayes_accuracy(Labeler(UTILITY, noise=1.0), triples) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no pairs"):
        bayes_accuracy(UTILITY, [])


@pytest.mark.parametrize(("knob", "value"), [("temperature", 0.0), ("noise", 1.5), ("scale", -1.0)])
def test_impossible_knobs_are_refused(knob: str, value: float) -> None:
    with pytest.raises(ValueError, match=knob):
        Labeler(UTILITY, **{knob: value})
