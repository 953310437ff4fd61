"""The stages' own loops, with a real decoder, against what is exactly right in a world that can be written down.

The decoder's whole vocabulary is the micro-world's words and its end token, and prompt p is `<end> word_p`: whatever it
samples is one of the 85 responses, so the policy's distribution, its best and its gradient are sums, not estimates.
(A prompt of the word alone would not do: without positions other than relative ones, attention over "a" and over "a a"
is the same mean, so no decoder could answer them differently.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minipost.autograd import Tensor
from minipost.losses import exact_kl
from minipost.model import Model, ModelConfig, generate, init_weights, logits, value_and_grad
from minipost.runs import Run
from minipost.stages import best_of_n, dpo, grpo, ppo
from minipost.stages.pairs import EncodedPair
from minipost.stages.rollouts import Prompts
from minipost.text.batching import Example
from minipost.world.micro import (
    MicroWorld,
    exact_best_of_n,
    exact_objective,
    log_partition,
    optimal_policy,
    sample_preferences,
)

WORLD = MicroWorld(vocab=5, max_length=3, prompts=2, seed=1)
CONFIG = ModelConfig(vocab_size=WORLD.vocab, dim=32, layers=2, heads=2, kv_heads=1, hidden=64, context=64, tied=False)
NUMBER = {tuple(r[:n]): i for i, (r, n) in enumerate(zip(WORLD.responses.tolist(), WORLD.lengths, strict=True))}
TOKENIZER: Any = SimpleNamespace(end_id=WORLD.end_id)


def policy(seed: int = 0, dtype: type = np.float32) -> Model:
    """A random decoder that is far from indifferent: its responses' probabilities differ by factors of hundreds."""
    weights = init_weights(CONFIG, np.random.default_rng(seed), dtype=dtype)
    weights["output"] *= 8
    return Model(weights, CONFIG, TOKENIZER)


def exact_logps(weights: Any) -> Any:
    """The log-probability of every response to every prompt under a decoder, [P, N]."""
    contexts = WORLD.contexts()
    contexts[:, 0] -= WORLD.pad_id + 1
    contexts = np.insert(contexts, 0, WORLD.end_id, axis=1)
    return WORLD.response_logps(WORLD.node_logits(logits(weights, CONFIG, contexts)[:, 1:]))


def prompts(rng: np.random.Generator, count: int) -> Prompts:
    return Prompts([[WORLD.end_id, i % WORLD.prompts] for i in range(count)])  # each equally often


def score(examples: Any) -> np.ndarray:
    return np.array([WORLD.rewards[e.prompt[-1], NUMBER[tuple(e.response)]] for e in examples])


def far(logps: np.ndarray, optimum: np.ndarray) -> float:
    """KL(policy || optimum) in nats, averaged over prompts."""
    return float(exact_kl(logps, optimum).mean())


def test_what_a_decoder_samples_is_what_the_world_says() -> None:
    start = policy()
    logps = exact_logps(start.weights)
    np.testing.assert_allclose(np.exp(logps).sum(axis=1), 1, rtol=1e-5)
    rng = np.random.default_rng(0)
    for p, s in zip(
        prompts(rng, 200).ids,
        generate(start.weights, CONFIG, prompts(rng, 200).ids, rng, end_id=WORLD.end_id, max_new_tokens=3),
        strict=True,
    ):
        i = NUMBER[tuple(s.tokens)]
        assert s.ended == WORLD.ended[i]
        assert s.logps.sum() == pytest.approx(logps[p[-1], i], rel=1e-4, abs=1e-4)


# ------------------------------------------------------------------------------------------------------------------ PPO
PPO = ppo.PPOConfig(
    iterations=60,
    rollout=256,
    epochs=2,
    minibatches=2,
    learning_rate=1e-3,
    max_new_tokens=3,
    temperature=1.0,
    beta=0.5,
    lam=1.0,
    missing_end_penalty=0.0,
    row_length=64,
)


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("change", "within"),
    [
        pytest.param({}, 0.1, id="separate"),
        pytest.param({"value_network": "shared"}, 0.1, id="shared"),
        pytest.param({"iterations": 250, "rollout": 512}, 0.03, id="long", marks=slow),
    ],
)
def test_P69_ppo_finds_the_best_policy(tmp_path: Path, change: dict[str, Any], within: float) -> None:
    config, start = replace(PPO, **change), policy()
    ref = exact_logps(start.weights).astype(np.float64)
    best = optimal_policy(ref, WORLD.rewards, config.beta)
    weights = ppo.train(Run.create(tmp_path / "ppo", "ppo", config, 0), start, start, prompts, score, config)
    reached = exact_logps(weights).astype(np.float64)
    assert far(ref, best) > 10 * within  # there was something to learn
    assert far(reached, best) < within
    J = exact_objective(reached, ref, WORLD.rewards, config.beta)
    gap = log_partition(ref, WORLD.rewards, config.beta) * config.beta - J
    assert (gap > -1e-4).all()  # nothing is better than the best
    np.testing.assert_allclose(gap.mean(), config.beta * far(reached, best), atol=1e-4)


def test_P69_rloo_finds_the_same_policy_without_a_value_network(tmp_path: Path) -> None:
    config = grpo.GRPOConfig(
        method="rloo",
        iterations=60,
        prompts=64,
        group=4,
        learning_rate=1e-3,
        max_new_tokens=3,
        temperature=1.0,
        beta=0.5,
        missing_end_penalty=0.0,
        row_length=64,
    )
    start = policy()
    ref = exact_logps(start.weights).astype(np.float64)
    best = optimal_policy(ref, WORLD.rewards, config.beta)
    weights = grpo.train(Run.create(tmp_path / "rloo", "grpo", config, 0), start, prompts, score, config)
    reached = exact_logps(weights).astype(np.float64)
    assert far(ref, best) > 1 and far(reached, best) < 0.1


def test_P53_P85_the_gradient_of_a_rollout_is_the_gradient_of_the_objective() -> None:
    """Plain REINFORCE, no baseline, no whitening: forty rollouts agree with the sum over all responses."""
    config = replace(PPO, rollout=128, minibatches=1, value_coefficient=0.0, whiten_advantages=False)
    reference, other = policy(0, np.float64), policy(1, np.float64)
    moved = {name: 0.8 * w + 0.4 * other.weights[name] for name, w in reference.weights.items()}
    weights = ppo.networks(Model(moved, CONFIG, TOKENIZER), reference, config)

    tensors = {name: Tensor(w) for name, w in moved.items()}
    J = exact_objective(exact_logps(tensors), exact_logps(reference.weights), WORLD.rewards, config.beta).mean()
    J.backward()

    def sampled(rng: np.random.Generator) -> dict[str, np.ndarray]:
        roll = ppo.rollout(weights, reference, prompts, score, config.beta, rng, config)
        shards = ppo.shard_minibatch(roll, np.arange(config.rollout), config.row_length)
        _, grads = value_and_grad(lambda t, s: ppo.minibatch_loss(t, s, CONFIG, config), weights, shards)
        tokens = roll.mask.sum() / config.rollout  # the loss is a mean over tokens, J one over responses
        return {name: -grads[f"policy.{name}"] * tokens for name in moved}

    rng = np.random.default_rng(0)
    directions = [{name: rng.standard_normal(w.shape) for name, w in moved.items()} for _ in range(5)]
    directions += [{name: t.grad for name, t in tensors.items()}]  # and the one of steepest ascent
    found = [sampled(rng) for _ in range(40)]
    for u in directions:
        exact = sum(float((u[name] * t.grad).sum()) for name, t in tensors.items())
        slopes = np.array([sum(float((u[name] * g[name]).sum()) for name in moved) for g in found])
        error = slopes.std(ddof=1) / np.sqrt(len(slopes))
        assert abs(slopes.mean() - exact) < 4 * error
    assert slopes.mean() > 10 * error  # the last direction is one that samples can see


# ------------------------------------------------------------------------------------------------------------------ DPO
def sampled_pairs(ref: np.ndarray, count: int) -> list[EncodedPair]:
    """`count` comparisons a prompt of responses that the reference sampled, labelled by Bradley-Terry."""
    found = sample_preferences(np.random.default_rng(0), ref, WORLD.rewards, count)
    texts = [r[:n].tolist() for r, n in zip(WORLD.responses, WORLD.lengths, strict=True)]
    rows = zip(found.prompt.tolist(), found.chosen, found.rejected, strict=True)
    return [(Example([WORLD.end_id, p], texts[w]), Example([WORLD.end_id, p], texts[l])) for p, w, l in rows]  # noqa: E741


@pytest.mark.parametrize(
    ("pairs", "within"), [pytest.param(8_000, 0.15, id="short"), pytest.param(60_000, 0.06, id="long", marks=slow)]
)
def test_P69_dpo_finds_the_same_best_policy_from_comparisons_alone(tmp_path: Path, pairs: int, within: float) -> None:
    config = dpo.DPOConfig(beta=0.5, batch_size=256, learning_rate=2e-3, epochs=2, row_length=64)
    start = policy()
    ref = exact_logps(start.weights).astype(np.float64)
    best = optimal_policy(ref, WORLD.rewards, config.beta)
    run = Run.create(tmp_path / "dpo", "dpo", config, 0)
    reached = exact_logps(dpo.train(run, start, sampled_pairs(ref, pairs), config)).astype(np.float64)
    assert far(ref, best) > 5 * within
    assert far(reached, best) < within
    implicit = config.beta * (reached - ref)  # the implicit reward: r minus a constant for each prompt
    for mine, true, seen in zip(implicit, WORLD.rewards, np.exp(ref), strict=True):
        often = seen > np.median(seen)
        assert np.corrcoef(mine[often], true[often])[0, 1] > 0.9


# ------------------------------------------------------------------------------------------------------------ best-of-n
@pytest.mark.parametrize("n", [2, 4])
def test_P75_picks_of_best_of_n_follow_their_exact_distribution(n: int) -> None:
    start, rng, count = policy(), np.random.default_rng(n), 1500
    asked = [[WORLD.end_id, 0]] * (n * count)
    sampled = generate(start.weights, CONFIG, asked, rng, end_id=WORLD.end_id, max_new_tokens=3)
    numbers = np.array([NUMBER[tuple(s.tokens)] for s in sampled]).reshape(count, n)
    picks = [row[best_of_n.Candidates("", [], [], [], WORLD.rewards[0, row]).pick] for row in numbers]
    expected = count * np.exp(exact_best_of_n(exact_logps(start.weights), WORLD.rewards, n))[0]
    observed = np.bincount(picks, minlength=len(expected))
    rare = expected < 5
    pooled = [np.append(x[~rare], x[rare].sum()) for x in (observed, expected)]
    chi2 = float(((pooled[0] - pooled[1]) ** 2 / pooled[1]).sum())
    freedom = len(pooled[0]) - 1
    assert chi2 < freedom + 5 * np.sqrt(2 * freedom)  # five standard deviations
