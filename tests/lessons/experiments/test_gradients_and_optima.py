"""What the experiments on group baselines and on DPO are built from, where the answer is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons.experiments.measured import direct, groups
from lessons.experiments.measured.micro_reward import micro_world
from lessons.experiments.measured.optimising import ends
from minipost.autograd import Tensor
from minipost.losses import grpo, rloo
from minipost.world.micro import exact_best_of_n, exact_reward, optimal_policy

WORLD = micro_world(2)
LOGITS = groups.policy(WORLD, 2)


# ------------------------------------------------------------------------------------------------------ group baselines
def test_scores_are_the_gradients_of_log_probabilities() -> None:
    leaf = Tensor(LOGITS)
    weights = np.random.default_rng(0).standard_normal(WORLD.rewards.shape)
    (WORLD.response_logps(leaf) * weights).sum().backward()
    S = groups.scores(WORLD, LOGITS).sum(axis=2)  # [P, N, K * A]
    np.testing.assert_allclose(np.einsum("pn,pnd->pd", weights, S), leaf.grad.reshape(WORLD.prompts, -1), atol=1e-9)
    p = np.exp(WORLD.response_logps(LOGITS))
    np.testing.assert_allclose(np.einsum("pn,pnd->pd", p, S), 0, atol=1e-9)  # the expected score


def test_the_true_gradient_is_that_of_the_expected_reward() -> None:
    leaf = Tensor(LOGITS)
    exact_reward(WORLD.response_logps(leaf), WORLD.rewards)[0].backward()
    np.testing.assert_allclose(groups.true_gradient(WORLD, LOGITS, WORLD.rewards), leaf.grad[0].reshape(-1), atol=1e-9)


@pytest.mark.parametrize("kind", [groups.plain, rloo])
def test_sampled_gradients_are_unbiased(kind: groups.Advantages) -> None:
    gradients = groups.sampled_gradients(WORLD, LOGITS, WORLD.rewards, kind, 4000, np.random.default_rng(0))
    error = np.linalg.norm(gradients.std(axis=0)) / np.sqrt(len(gradients))
    away = np.linalg.norm(gradients.mean(axis=0) - groups.true_gradient(WORLD, LOGITS, WORLD.rewards))
    assert away < 2 * error


@given(st.floats(0.01, 0.99), st.integers(2, 12))
@settings(deadline=None, max_examples=30)
def test_P85_rloo_weighs_every_prompt_alike_and_grpo_does_not(p: float, group: int) -> None:
    assert groups.prompt_weight(rloo, p, group) == pytest.approx(1)
    by_hand = 0.0  # over all groups: the covariance of advantage and outcome, over the outcome's variance
    for outcome in product((1.0, 0.0), repeat=min(group, 6)):
        chance = np.prod([p if r else 1 - p for r in outcome])
        by_hand += chance * grpo(np.array([outcome]))[0, 0] * (outcome[0] - p) / (p * (1 - p))
    assert groups.prompt_weight(grpo, p, min(group, 6)) == pytest.approx(by_hand)


def test_equal_token_weights_leave_the_length_of_wrong_answers_alone() -> None:
    right = WORLD.responses[:, 0] == 0
    assert groups.length_pull(WORLD, LOGITS, right, np.ones(len(right))) == pytest.approx(0, abs=1e-9)
    assert groups.length_pull(WORLD, LOGITS, right, 1 / WORLD.lengths) > 0


# ----------------------------------------------------------------------------------------------------------------- DPO
def test_the_share_of_the_gain_is_0_at_the_reference_and_1_at_the_optimum() -> None:
    ref = direct.reference(WORLD)
    best = optimal_policy(ref, WORLD.rewards, direct.BETA)
    assert direct.share_of_gain(WORLD, ref) == pytest.approx(0, abs=1e-9)
    assert direct.share_of_gain(WORLD, best) == pytest.approx(1)
    assert 0 < direct.share_of_gain(WORLD, exact_best_of_n(ref, WORLD.rewards, 4)) < 1


def test_a_share_of_the_labels_is_flipped() -> None:
    true, flipped = (direct.preferences(WORLD, 0, 2000, share) for share in (0.0, direct.FLIPPED))
    assert np.mean(true.chosen == flipped.rejected) == pytest.approx(direct.FLIPPED, abs=0.05)
    np.testing.assert_array_equal(true.chosen + true.rejected, flipped.chosen + flipped.rejected)


@pytest.mark.parametrize("name", direct.FAMILY)
def test_every_relative_learns_from_pairs(name: str) -> None:
    """Given many pairs, each gets some of the gain within a few steps."""
    logps = direct.on_pairs(WORLD, name, direct.preferences(WORLD, 0, 2000), 10)
    assert direct.share_of_gain(WORLD, logps) > 0.1


def test_the_ends_of_a_run_are_its_first_and_last_rollouts() -> None:
    assert ends([1, 2, 3, 100, 7, 8, 9]) == {"first rollouts": 2, "last rollouts": 8}
