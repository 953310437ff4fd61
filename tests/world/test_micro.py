"""The micro-world, and the laws that only a world in which everything can be summed can check."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_strategies import gradient, law, logistic, numbers, seeds
from numpy.testing import assert_allclose

from minipost.autograd import log_softmax
from minipost.losses import (
    best_of_n_kl_bound,
    bradley_terry,
    exact_kl,
    grpo,
    k1,
    k2,
    k3,
    rloo,
    sequence_logps,
    sigmoid,
    token_rewards,
)
from minipost.world.micro import (
    MicroWorld,
    exact_best_of_n,
    exact_dpo_loss,
    exact_objective,
    exact_policy_gradient,
    exact_reward,
    exact_win_rate,
    log_partition,
    optimal_policy,
    sample_preferences,
    sample_responses,
)

WORLD = MicroWorld(vocab=3, max_length=3, prompts=2, seed=1)  # 15 responses, 7 nodes
betas = numbers(0.2, 3)
few = settings(law, max_examples=20)


def table(seed: int, world: MicroWorld = WORLD) -> np.ndarray:
    """A random policy: logits [P, K, A]."""
    return np.random.default_rng(seed).standard_normal((world.prompts, world.node_count, world.vocab))


# -------------------------------------------------------------------------------------------------------- the world
@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 3, 2), (6, 4, 3), (2, 5, 1)])
def test_all_responses_are_there_once_and_the_cut_ones_have_no_end(shape):
    world = MicroWorld(*shape)
    vocab, L, P = shape
    N = len(world.responses)
    assert sum((vocab - 1) ** d for d in range(L + 1)) == N and world.rewards.shape == (P, N)
    assert len({tuple(r) for r in world.responses.tolist()}) == N
    has_end = (world.responses == world.end_id).sum(axis=1)
    assert np.array_equal(has_end, world.ended)
    assert np.array_equal((world.responses != world.pad_id).sum(axis=1), world.lengths)
    assert np.array_equal(world.mask.sum(axis=1), world.lengths)
    assert (world.lengths[~world.ended] == L).all()


def test_the_same_seed_gives_the_same_world():
    assert np.array_equal(MicroWorld(seed=3).rewards, MicroWorld(seed=3).rewards)
    assert not np.array_equal(MicroWorld(seed=3).rewards, MicroWorld(seed=4).rewards)


def test_rewards_are_the_sum_of_attributes_and_word_order_matters():
    world = MicroWorld()
    assert_allclose(world.rewards, sum(world.attributes.values()))
    by_text = {tuple(r): i for i, r in enumerate(world.responses.tolist())}
    ab, ba = (by_text[(*text, world.end_id, world.pad_id)] for text in ((0, 1), (1, 0)))
    assert_allclose(world.attributes["relevance"][:, ab], world.attributes["relevance"][:, ba])
    assert (np.abs(world.rewards[:, ab] - world.rewards[:, ba]) > 0.01).all()


def test_worlds_that_cannot_be_enumerated_are_refused():
    with pytest.raises(ValueError, match="too many"):
        MicroWorld(vocab=20, max_length=5)
    with pytest.raises(ValueError, match="vocab >= 2"):
        MicroWorld(vocab=1)


@law
@given(seeds)
def test_response_probabilities_are_products_along_the_path_and_sum_to_one(seed):
    logits = table(seed)
    logps = WORLD.response_logps(logits)
    assert_allclose(np.exp(logps).sum(axis=1), 1)
    per_node = log_softmax(logits)
    nodes = {t: k for k, t in enumerate(t for d in range(3) for t in product(range(2), repeat=d))}
    for i, response in enumerate(WORLD.responses.tolist()):
        tokens = response[: WORLD.lengths[i]]
        path = [per_node[:, nodes[tuple(tokens[:l])], token] for l, token in enumerate(tokens)]  # noqa: E741
        assert_allclose(logps[:, i], np.sum(path, axis=0))


@law
@given(seeds)
def test_any_distribution_over_responses_is_a_policy(seed):
    logps = log_softmax(3 * np.random.default_rng(seed).standard_normal(WORLD.rewards.shape))
    assert_allclose(WORLD.response_logps(WORLD.policy_of(logps)), logps, atol=1e-10)


def test_a_decoder_on_the_contexts_is_the_policy_that_it_is_on_whole_sequences():
    world = MicroWorld(vocab=4, max_length=3, prompts=2)
    rng = np.random.default_rng(0)
    memory: dict[tuple[int, ...], np.ndarray] = {}

    def decoder(tokens):  # causal by construction: a random vector for each prefix
        prefixes = [[tuple(row[: t + 1]) for t in range(len(row))] for row in tokens.tolist()]
        return np.array([[memory.setdefault(p, rng.standard_normal(world.vocab_size)) for p in r] for r in prefixes])

    exact = world.response_logps(world.node_logits(decoder(world.contexts())))
    prompt, response = np.divmod(np.arange(exact.size), len(world.responses))
    tokens, mask = world.batch(prompt, response)
    whole = sequence_logps(decoder(tokens)[..., : world.vocab], tokens, mask)
    assert_allclose(whole.reshape(exact.shape), exact)
    assert_allclose(np.exp(exact).sum(axis=1), 1)


# ----------------------------------------------------------------------------------------------------- KL and rewards
@law
@given(seeds, seeds)
def test_P51_sequence_estimators_are_unbiased(seed, ref_seed):
    logp, ref = WORLD.response_logps(table(seed)), WORLD.response_logps(table(ref_seed))
    for estimator in (k1, k3):
        assert_allclose((np.exp(logp) * estimator(logp, ref)).sum(axis=1), exact_kl(logp, ref), atol=1e-10)


@few
@given(seeds, seeds)
def test_P52_P53_where_k1_may_stand(seed, ref_seed):
    """In a loss k1's expected gradient is 0, k2's is the KL's; in the reward k1 gives the KL's."""
    logits, ref = table(seed), WORLD.response_logps(table(ref_seed))
    p = np.exp(WORLD.response_logps(logits))
    (true,) = gradient(lambda x: exact_kl(WORLD.response_logps(x), ref).sum(), logits)
    for estimator, expected in ((k1, 0 * true), (k2, true)):
        (inside,) = gradient(lambda x, e=estimator: (e(WORLD.response_logps(x), ref) * p).sum(), logits)
        assert_allclose(inside, expected, atol=1e-10)
    penalty = k1(WORLD.response_logps(logits), ref)
    (score_function,) = gradient(lambda x: (WORLD.response_logps(x) * (p * penalty)).sum(), logits)
    assert_allclose(score_function, true, atol=1e-10)


@law
@given(seeds, seeds)
def test_P55_sequence_kl_is_the_expected_sum_of_exact_token_kls(seed, ref_seed):
    logits, ref = table(seed), table(ref_seed)
    node_kl = exact_kl(log_softmax(logits), log_softmax(ref))  # [P, K]
    path_kl = np.where(WORLD.mask, node_kl[:, WORLD.nodes], 0).sum(axis=-1)  # [P, N]
    logps = WORLD.response_logps(logits)
    expected = exact_kl(logps, WORLD.response_logps(ref))
    assert_allclose((np.exp(logps) * path_kl).sum(axis=1), expected, atol=1e-10)


@law
@given(seeds, seeds, betas)
def test_P42_token_rewards_add_up_to_the_penalised_reward(seed, ref_seed, beta):
    logp, ref = WORLD.token_logps(table(seed))[0], WORLD.token_logps(table(ref_seed))[0]
    rewards = token_rewards(WORLD.rewards[0], logp, ref, WORLD.mask, beta)
    assert_allclose(rewards.sum(axis=1), WORLD.rewards[0] - beta * (logp - ref).sum(axis=1), atol=1e-10)


# ------------------------------------------------------------------------------------------------------- the optimum
@law
@given(seeds, seeds, betas)
def test_P69_the_best_policy_attains_beta_log_Z_and_none_exceeds_it(seed, ref_seed, beta):
    ref = WORLD.response_logps(table(ref_seed))
    best, log_Z = optimal_policy(ref, WORLD.rewards, beta), log_partition(ref, WORLD.rewards, beta)
    assert_allclose(np.exp(best).sum(axis=1), 1)
    assert_allclose(exact_objective(best, ref, WORLD.rewards, beta), beta * log_Z, atol=1e-10)
    implicit = beta * (best - ref)
    assert_allclose(implicit, WORLD.rewards - beta * log_Z[:, None], atol=1e-10)
    other = WORLD.response_logps(table(seed))
    gap = exact_objective(best, ref, WORLD.rewards, beta) - exact_objective(other, ref, WORLD.rewards, beta)
    assert_allclose(gap, beta * exact_kl(other, best), atol=1e-9)  # how far from the best, in nats


@few
@given(seeds, betas)
def test_the_policy_gradient_is_the_gradient_of_J(seed, beta):
    ref, responses = WORLD.response_logps(table(seed + 1)), np.random.default_rng(seed).standard_normal((2, 15))
    (tape,) = gradient(lambda x: exact_objective(log_softmax(x), ref, WORLD.rewards, beta).sum(), responses)
    formula = exact_policy_gradient(log_softmax(responses), ref, WORLD.rewards, beta)
    assert_allclose(tape, formula, atol=1e-10)
    assert_allclose(
        exact_policy_gradient(optimal_policy(ref, WORLD.rewards, beta), ref, WORLD.rewards, beta), 0, atol=1e-10
    )


@few
@given(seeds, seeds, betas)
def test_P69_on_exact_preferences_dpo_is_least_at_the_optimum_of_J(seed, ref_seed, beta):
    ref = WORLD.response_logps(table(ref_seed))
    best = WORLD.policy_of(optimal_policy(ref, WORLD.rewards, beta))

    def loss(logits):
        return exact_dpo_loss(WORLD.response_logps(logits), ref, WORLD.rewards, beta, sampler_logps=ref).sum()

    assert_allclose(gradient(loss, best)[0], 0, atol=1e-10)
    other = table(seed)
    assert loss(other) > loss(best)
    assert np.abs(gradient(loss, other)[0]).max() > 1e-6


def test_P69_gradient_descent_on_dpo_finds_the_optimum_of_J():
    world, beta = MicroWorld(vocab=3, max_length=2, prompts=1, seed=0), 0.5
    ref, logits = world.response_logps(table(5, world)), table(6, world)
    uniform = np.full_like(ref, -np.log(ref.size))
    for _ in range(2000):
        logits -= (
            10.0
            * gradient(
                lambda x: exact_dpo_loss(world.response_logps(x), ref, world.rewards, beta, uniform).sum(), logits
            )[0]
        )
    best = optimal_policy(ref, world.rewards, beta)
    assert_allclose(world.response_logps(logits), best, atol=1e-4)
    assert_allclose(
        exact_objective(world.response_logps(logits), ref, world.rewards, beta),
        beta * log_partition(ref, world.rewards, beta),
        atol=1e-6,
    )


@few
@given(seeds, seeds, betas)
def test_the_population_dpo_loss_is_the_dpo_loss_of_all_pairs(seed, ref_seed, beta):
    logps, ref = WORLD.response_logps(table(seed)), WORLD.response_logps(table(ref_seed))
    i, j = (x.ravel() for x in np.indices((15, 15)))
    for p, total in enumerate(exact_dpo_loss(logps, ref, WORLD.rewards, beta, sampler_logps=ref)):
        r, weight = WORLD.rewards[p], np.exp(ref[p, i] + ref[p, j])
        each = [
            logistic(r[a] - r[b]) * sigmoid(logps[p, [a]], logps[p, [b]], ref[p, [a]], ref[p, [b]], beta)
            + logistic(r[b] - r[a]) * sigmoid(logps[p, [b]], logps[p, [a]], ref[p, [b]], ref[p, [a]], beta)
            for a, b in zip(i, j, strict=True)
        ]
        assert_allclose(total, weight @ each)


# --------------------------------------------------------------------------------------------------------- best-of-n
@law
@given(seeds, st.integers(1, 200))
def test_P75_P76_best_of_n_stays_within_its_bounds(seed, n):
    ref = WORLD.response_logps(table(seed))
    pick = exact_best_of_n(ref, WORLD.rewards, n)
    assert_allclose(np.exp(pick).sum(axis=1), 1)
    top = np.array([ref[p, WORLD.rewards[p].argmax()] for p in range(2)])
    assert (exact_kl(pick, ref) <= np.minimum(best_of_n_kl_bound(n), -top) + 1e-9).all()
    rate = exact_win_rate(pick, ref, WORLD.rewards)
    assert ((rate >= 0.5 - 1e-9) & (rate <= n / (n + 1) + 1e-9)).all()
    assert (exact_reward(pick, WORLD.rewards) >= exact_reward(ref, WORLD.rewards) - 1e-9).all()


@law
@given(seeds, seeds)
def test_win_rate_counts_ties_half(seed, other_seed):
    mine, theirs = WORLD.response_logps(table(seed)), WORLD.response_logps(table(other_seed))
    r = WORLD.rewards.round()
    beats = (r[:, :, None] > r[:, None, :]) + 0.5 * (r[:, :, None] == r[:, None, :])
    expected = np.einsum("pi,pij,pj->p", np.exp(mine), beats, np.exp(theirs))
    assert_allclose(exact_win_rate(mine, theirs, r), expected)
    assert_allclose(exact_win_rate(mine, theirs, r) + exact_win_rate(theirs, mine, r), 1)


# --------------------------------------------------------------------------------------------------------- RLOO, GRPO
def expected_group_gradient(advantages, logits, K):
    """The exact mean of `sum_k A_k grad log pi(y_k) / K` over all groups of K responses to each prompt."""
    logps = WORLD.response_logps(logits)
    weight = np.zeros_like(logps)  # of grad log pi(y), summed over the groups
    for group in product(range(logps.shape[1]), repeat=K):
        at = list(group)
        chance = np.exp(logps[:, at].sum(axis=1, keepdims=True))
        A = advantages(WORLD.rewards[:, at])
        for k, y in enumerate(at):
            weight[:, y] += (chance * A)[:, k] / K
    return gradient(lambda x: (WORLD.response_logps(x) * weight).sum(), logits)[0]


@pytest.mark.parametrize("K", [2, 3])
def test_P85_the_gradient_of_rloo_is_unbiased_and_that_of_grpo_is_not(K):
    logits = table(11)
    (true,) = gradient(lambda x: exact_reward(WORLD.response_logps(x), WORLD.rewards).sum(), logits)
    assert_allclose(expected_group_gradient(rloo, logits, K), true, atol=1e-10)
    biased = expected_group_gradient(grpo, logits, K)
    scale = (biased * true).sum() / (true**2).sum()  # even up to a factor
    assert np.abs(biased - scale * true).max() > 0.01


# ----------------------------------------------------------------------------------------------------------- samples
def test_samples_follow_their_distribution():
    logps = WORLD.response_logps(table(2))
    drawn = sample_responses(np.random.default_rng(0), logps, 40_000)
    counts = np.stack([np.bincount(row, minlength=15) for row in drawn]) / 40_000
    error = np.abs(counts - np.exp(logps)) / np.sqrt(np.exp(logps) * (1 - np.exp(logps)) / 40_000)
    assert error.max() < 4.5
    assert np.array_equal(drawn, sample_responses(np.random.default_rng(0), logps, 40_000))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_preferences_follow_bradley_terry(temperature):
    world = MicroWorld(vocab=2, max_length=1, prompts=1, seed=2)  # two responses: nothing, or the word
    logps = np.log([[0.5, 0.5]])
    pairs = sample_preferences(np.random.default_rng(0), logps, world.rewards, 40_000, temperature)
    real = pairs.chosen != pairs.rejected
    assert_allclose(real.mean(), 0.5, atol=0.02)
    p = logistic((world.rewards[0, 0] - world.rewards[0, 1]) / temperature)
    assert_allclose((pairs.chosen[real] == 0).mean(), p, atol=0.02)


def test_P25_a_reward_table_fitted_to_sampled_preferences_finds_the_rewards():
    world = MicroWorld(vocab=3, max_length=2, prompts=2, seed=0)
    uniform = np.full_like(world.rewards, -np.log(world.rewards.shape[1]))
    pairs = sample_preferences(np.random.default_rng(1), uniform, world.rewards, 20_000)
    scores = np.zeros_like(world.rewards)

    def loss(s):
        return bradley_terry(s[pairs.prompt, pairs.chosen], s[pairs.prompt, pairs.rejected])

    for _ in range(300):
        scores -= 20.0 * gradient(loss, scores)[0]
    centred = scores - scores.mean(axis=1, keepdims=True)
    assert_allclose(centred, world.rewards - world.rewards.mean(axis=1, keepdims=True), atol=0.15)
