"""A model in one piece: saved and loaded, answering, and saying how probable and how good answers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minipost.files import RunError
from minipost.model import Model, ModelConfig, Sampling, generate, init_weights
from minipost.text import Message, Tokenizer, prompt_tokens
from minipost.text.batching import Example, pack

TOKENIZER = Tokenizer([])
CONFIG = ModelConfig(len(TOKENIZER), dim=16, layers=1, heads=2, kv_heads=1, hidden=24, context=128)


def some_model(head: str | None = None) -> Model:
    weights = init_weights(CONFIG, np.random.default_rng(0), head)
    if head:
        weights[head] += np.random.default_rng(1).standard_normal(weights[head].shape).astype(np.float32)
    return Model(weights, CONFIG, TOKENIZER)


def some_examples(count: int) -> list[Example]:
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 9, (count, 2))
    return [Example(*(rng.integers(0, len(TOKENIZER), n).tolist() for n in pair)) for pair in sizes]


@pytest.mark.parametrize("head", [None, "score", "likelihood"])
def test_a_saved_model_comes_back_and_its_head_must_be_the_expected_one(tmp_path: Path, head: str | None) -> None:
    model = some_model(head)
    model.save(tmp_path)
    back = Model.load(tmp_path, "score" if head else None)
    assert back.config == model.config and back.tokenizer == model.tokenizer
    assert all(np.array_equal(back.weights[name], w) for name, w in model.weights.items())
    with pytest.raises(RunError, match=r"weight (score|gate)"):
        Model.load(tmp_path, None if head else "score")


def test_generation_ends_with_the_tokenizers_end_token_or_another() -> None:
    model, prompts = some_model(), [[1, 2], [3]] * 20
    for end_id, asked in ((TOKENIZER.end_id, None), (7, 7)):
        responses = model.generate(prompts, np.random.default_rng(0), max_new_tokens=40, end_id=asked)
        raw = generate(model.weights, CONFIG, prompts, np.random.default_rng(0), end_id=end_id, max_new_tokens=40)
        assert [r.tokens for r in responses] == [r.tokens for r in raw]
        assert all((r.tokens[-1] == end_id) == r.ended for r in responses)


def test_an_answer_is_the_text_of_what_was_sampled_in_the_chat_template() -> None:
    model, prompts = (
        some_model(),
        ["Hello", [Message("user", "Hello"), Message("assistant", "Hi"), Message("user", "?")]],
    )
    answers = model.answer(prompts, np.random.default_rng(3), temperature=0.5, max_new_tokens=8)
    ids = [prompt_tokens(TOKENIZER, prompt) for prompt in prompts]
    responses = model.generate(ids, np.random.default_rng(3), max_new_tokens=8, sampling=Sampling(0.5))
    for (text, sampled), response in zip(answers, responses, strict=True):
        assert sampled.tokens == response.tokens
        assert text == TOKENIZER.decode(response.tokens, skip_special=True).strip()


def test_logps_and_scores_do_not_depend_on_the_groups_that_are_packed_together() -> None:
    model, judge, examples = some_model(), some_model("score"), some_examples(21)
    np.testing.assert_allclose(model.logps(examples), model.logps(examples, row_length=1, group=4), rtol=1e-4)
    np.testing.assert_allclose(judge.scores(examples), judge.scores(examples, 40, 1), rtol=1e-4, atol=1e-6)
    assert model.logps([]).shape == judge.scores([]).shape == (0,)
    by_token = model.token_logps(pack(examples, 32))
    np.testing.assert_allclose(by_token.sum(axis=1), model.logps(examples), rtol=1e-4)
    assert (model.token_logps(pack(examples, 32), temperature=2.0) != by_token).any()
