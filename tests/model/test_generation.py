"""Sampling: cached equals uncached, and what is recorded is what training would compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minipost.kernels.sample import reference
from minipost.model import ModelConfig, ModelError, Sampled, Sampling, generate, heads, logits, lora, shapes
from minipost.text.batching import Example, pack

V, END = 11, 10
CONFIG = ModelConfig(vocab_size=V, dim=16, layers=2, heads=4, kv_heads=2, hidden=20, context=40)
PROMPTS = [[1], [2, 3, 4], [5], [6, 7, 8, 9, 1, 2], [3, 3], [2, 3, 4]]


def some_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: 0.4 * rng.standard_normal(shape) + (len(shape) == 1) for name, shape in shapes(CONFIG).items()}


def run(prompts: list[list[int]] = PROMPTS, seed: int = 0, max_new_tokens: int = 12, **how: float) -> list[Sampled]:
    rng = np.random.default_rng(seed)
    sampling = Sampling(**how)  # type: ignore[arg-type]
    return generate(some_weights(), CONFIG, prompts, rng, end_id=END, max_new_tokens=max_new_tokens, sampling=sampling)


def next_logits(sequence: list[int]) -> np.ndarray:
    return logits(some_weights(), CONFIG, np.array([sequence]))[0, -1]


def test_greedy_with_a_cache_is_greedy_without() -> None:
    for prompt, sampled in zip(PROMPTS, run(temperature=0), strict=True):
        sequence = list(prompt)
        while len(sequence) < len(prompt) + 12 and (sequence == prompt or sequence[-1] != END):
            sequence.append(int(next_logits(sequence).argmax()))
        assert sampled.tokens == sequence[len(prompt) :]
        assert not sampled.logps.any()  # greedy is certain


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_training_computes_the_log_probabilities_that_sampling_recorded(temperature: float) -> None:
    sampled = run(temperature=temperature)
    batch = pack([Example(p, s.tokens) for p, s in zip(PROMPTS, sampled, strict=True)], 24)
    logps, _ = heads.response_logps(some_weights(), CONFIG, batch, temperature)
    np.testing.assert_allclose(logps[batch.mask], np.concatenate([s.logps for s in sampled]), rtol=1e-8)


@pytest.mark.parametrize("how", [{"top_k": 3}, {"top_p": 0.6}, {"temperature": 1.3, "top_k": 4, "top_p": 0.8}])
def test_log_probabilities_are_those_of_the_transform_that_sampled(how: dict[str, float]) -> None:
    transform = (how.get("temperature", 1.0), int(how.get("top_k", 0)), how.get("top_p", 1.0))
    for prompt, sampled in zip(PROMPTS, run(**how), strict=True):
        for t, token in enumerate(sampled.tokens):
            expected = reference(next_logits([*prompt, *sampled.tokens[:t]]), *transform)
            assert sampled.logps[t] == pytest.approx(expected[token], rel=1e-8)


def test_tokens_come_as_often_as_their_probability_says() -> None:
    draws = [s.tokens[0] for s in run([[1, 2]] * 4000, max_new_tokens=1)]
    p = np.exp(reference(next_logits([1, 2]), 1.0, 0, 1.0))
    expected = 4000 * p
    chi2 = float(((np.bincount(draws, minlength=V) - expected) ** 2 / expected).sum())
    assert chi2 < 35  # 10 degrees of freedom: exceeded once in ten thousand seeds


def test_a_row_depends_on_its_prompt_and_random_numbers_only() -> None:
    together = run()
    strangers = [p if i == 2 else [9] * (1 + i) for i, p in enumerate(PROMPTS)]
    np.testing.assert_allclose(run(strangers)[2].logps, together[2].logps, rtol=1e-10)
    assert run(strangers)[2].tokens == together[2].tokens
    assert run(PROMPTS[:1])[0].tokens == together[0].tokens  # row 0 draws the same numbers alone


def test_adapters_generate_what_their_merged_model_does() -> None:
    rng = np.random.default_rng(5)
    pairs = {n: p + 0.1 for n, p in lora.adapters(some_weights(), 2, rng).items()}
    for prompts in (PROMPTS, PROMPTS[1:2]):
        found = []
        for weights in ({**some_weights(), **pairs}, lora.merge({**some_weights(), **pairs}), some_weights()):
            rng = np.random.default_rng(0)
            found.append([s.tokens for s in generate(weights, CONFIG, prompts, rng, end_id=END, max_new_tokens=12)])
        assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("prompt", [PROMPTS[1], PROMPTS[3], [7] * 28])
def test_a_prompt_read_in_one_go_is_the_prompt_read_step_by_step(prompt: list[int]) -> None:
    alone, stepped = run([prompt])[0], run([prompt, [1]] + [[2, 3]] * 70)[0]
    assert alone.tokens == stepped.tokens
    np.testing.assert_allclose(alone.logps, stepped.logps, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 16])
def test_no_new_token_is_an_empty_answer(count: int, use_threads: Callable[[int], None]) -> None:
    use_threads(count)
    for sampled in run(max_new_tokens=0):
        assert (sampled.tokens, len(sampled.logps), sampled.ended) == ([], 0, False)


@pytest.mark.parametrize("copies", [1, 3])
def test_the_number_of_threads_changes_no_answer(use_threads: Callable[[int], None], copies: int) -> None:
    """Some have more sequences than threads, some fewer, and then each thread moves a single one."""
    found = []
    for count in (1, 2, 3, 7, 16, 32):
        use_threads(count)
        found.append(run(PROMPTS * copies))
    for other in found[1:]:
        assert [s.tokens for s in other] == [s.tokens for s in found[0]]
        for a, b in zip(other, found[0], strict=True):
            np.testing.assert_allclose(a.logps, b.logps, rtol=1e-10)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = run(seed=1), run(seed=1), run(seed=2)
    assert [s.tokens for s in first] == [s.tokens for s in again] != [s.tokens for s in other]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.logps, b.logps)


def test_an_end_is_sampled_or_missing_but_never_forged() -> None:
    sampled = run(PROMPTS * 10, max_new_tokens=6)
    assert {s.ended for s in sampled} == {True, False}  # both happen here
    for s in sampled:
        assert s.ended == (s.tokens[-1] == END)
        assert END not in s.tokens[:-1]
        assert len(s.logps) == len(s.tokens)
        assert s.ended or len(s.tokens) == 6


def test_a_watcher_sees_every_token_in_order() -> None:
    seen: dict[int, list[int]] = {}
    sampled = generate(
        some_weights(),
        CONFIG,
        PROMPTS,
        np.random.default_rng(0),
        end_id=END,
        max_new_tokens=8,
        on_token=lambda row, token: seen.setdefault(row, []).append(token),
    )
    assert [seen[i] for i in range(len(PROMPTS))] == [s.tokens for s in sampled]


@pytest.mark.parametrize(
    ("prompts", "new", "said"),
    [([], 4, "at least one prompt"), ([[1], []], 4, "at least one token"), ([[1] * 30], 11, "context of 40")],
)
def test_what_cannot_be_generated_is_refused(prompts: list[list[int]], new: int, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        run(prompts, max_new_tokens=new)


def test_the_whole_context_can_be_filled() -> None:
    assert len(run([[1] * 28], max_new_tokens=12)[0].tokens) <= 12


@pytest.mark.parametrize("how", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_sampling_is_refused(how: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="needs temperature"):
        Sampling(**how)  # type: ignore[arg-type]
