"""What claims about reward models and best-of-N compute from answers at hand: known values, no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons.experiments import Lab, village
from lessons.experiments.candidates import Candidates, preferred
from lessons.experiments.measured import over_optimisation, picking, reward_accuracy
from lessons.experiments.measured.margins import trained
from minipost.world import Utility


@pytest.fixture
def unseen() -> Candidates:
    """Five answers to each of twenty tasks; the last two are the same text."""
    rng = np.random.default_rng(0)
    gold = rng.normal(0, 1.5, (20, 5))
    gold[:, 4] = gold[:, 3]
    texts = np.array([["a", "b", "c", "d", "d"]] * 20)
    return Candidates({}, [], texts, gold, {"correct": gold})


def test_a_pair_of_equal_texts_is_no_pair(unseen: Candidates) -> None:
    task, first, second = unseen.pairs()
    assert len(task) == 20 * 9 and (unseen.texts[task, first] != unseen.texts[task, second]).all()


def test_the_utility_as_reward_model_is_the_informed_rater(unseen: Candidates) -> None:
    agreed, informed = reward_accuracy.agreement(unseen, unseen.gold)
    assert agreed == pytest.approx(informed) and reward_accuracy.ranking(unseen, unseen.gold) == pytest.approx(1.0)
    assert reward_accuracy.agreement(unseen, -unseen.gold)[0] == pytest.approx(1 - informed)


@given(seed=st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_nobody_agrees_more_often_than_the_informed_rater(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = np.array([["a", "b", "c"]] * 4)
    answers = Candidates({}, [], texts, rng.normal(size=(4, 3)), {})
    agreed, informed = reward_accuracy.agreement(answers, rng.normal(size=(4, 3)))
    assert 1 - informed - 1e-12 <= agreed <= informed + 1e-12 and informed >= 0.5


def test_gaps_are_binned_and_people_follow_the_sigmoid(unseen: Candidates) -> None:
    bins = reward_accuracy.by_gap(unseen, unseen.gold)
    assert (bins["right"] == 1).all() and (np.diff(bins["people"]) > 0).all()
    assert bins["pairs"].sum() == len(unseen.pairs()[0])
    assert bins["truth"].tolist() == [0, 1, 1, 1, 1]  # here being right is all that counts
    assert preferred(0.0) == 0.5 and preferred(0.6) == pytest.approx(1 / (1 + np.exp(-1)))


def test_minimal_pairs_differ_in_what_they_say(tmp_path: Path) -> None:
    utility = Utility(village.world())
    for kind, triples in reward_accuracy.minimal_pairs(Lab(tmp_path, fast=True), 0).items():
        for task, better, worse in triples:
            a, b = utility.judge(task, better), utility.judge(task, worse)
            assert a.total > b.total, (kind, better, worse)
            if kind == "truth":
                assert a.correct > b.correct and a.tone == b.tone
            elif kind == "tone":
                assert a.correct == b.correct and a.tone > b.tone
            else:
                assert b.complied and not a.complied


def test_picking_by_the_utility_never_loses(unseen: Candidates) -> None:
    proxy, gold = picking.gains(unseen, unseen.gold)
    np.testing.assert_allclose(proxy, gold)
    assert gold[0] == 0 and (np.diff(gold) >= -1e-12).all()
    assert picking.at(gold, 64) == picking.at(gold, 5) == gold[-1]


@given(a=st.floats(0.2, 3), b=st.floats(0.1, 3))
@settings(max_examples=20, deadline=None)
def test_forms_are_found_again(a: float, b: float) -> None:
    d = np.linspace(0, 3, 12)
    for form in (over_optimisation.bon_form, over_optimisation.rl_form):
        assert form(np.zeros(1), a, b)[0] == 0
        np.testing.assert_allclose(over_optimisation.fit(form, d, form(d, a, b)), (a, b), atol=1e-8)
        assert over_optimisation.misfit(form, d, form(d, a, b)) < 1e-8


def test_with_the_truth_as_proxy_nothing_is_over_optimised() -> None:
    learned = over_optimisation.proxy_world(0, 20)
    truth = over_optimisation.ProxyWorld(learned.world, learned.start, learned.world.rewards)
    for curve in (truth.best_of_n(), truth.rl()):
        np.testing.assert_allclose(curve.proxy, curve.gold, atol=1e-9)
        assert (np.diff(curve.d) > 0).all() and (np.diff(curve.gold) > 0).all()


def test_margins_begin_at_nothing() -> None:
    once = trained(0, updates=1)
    assert 0 < once.seen < 1 and abs(once.loss - np.log(2)) < 0.1
