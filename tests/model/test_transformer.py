"""The decoder: equal to one that is composed of primitives, and blind to packing, padding, batch mates and shards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.autograd import Tensor, concatenate, exp, log_softmax, sigmoid, value
from minipost.laws import whole_model
from minipost.laws.whole_model import Text
from minipost.losses import sequence_logps
from minipost.model import (
    LIKELIHOOD_START,
    REFERENCE,
    ModelConfig,
    ModelError,
    count,
    head_of,
    heads,
    hidden_states,
    init_weights,
    logits,
    shapes,
    value_and_grad,
    with_head,
)
from minipost.text.batching import Example, Packed, pack

V = 13
CONFIG = ModelConfig(vocab_size=V, dim=16, layers=2, heads=4, kv_heads=2, hidden=20, context=32)
check = settings(deadline=None, max_examples=15)
tokens = st.lists(st.integers(0, V - 1), min_size=1, max_size=6)
examples = st.lists(st.builds(Example, tokens, tokens), min_size=1, max_size=5)
Grads = dict[str, np.ndarray]


def some_weights(config: ModelConfig = CONFIG, seed: int = 0, head: str | None = None) -> Grads:
    """Float64 weights large enough that every part of the model matters."""
    rng = np.random.default_rng(seed)
    return {name: 0.5 * rng.standard_normal(shape) + (len(shape) == 1) for name, shape in shapes(config, head).items()}


def same(a: Grads, b: Grads, tolerance: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name)


def nll(weights: Any, batch: Packed, of: int | None = None) -> tuple[Tensor, dict[str, float]]:
    """The negative log-probability of all response tokens of the batch, over `of` (default: how many they are)."""
    logps, _ = heads.response_logps(weights, CONFIG, batch)
    return -logps.sum() / (of or len(batch.targets)), {}


# ------------------------------------------------------------------------------------------- the model, composed slowly
def composed_logits(weights: Any, c: ModelConfig, row: list[int]) -> Any:
    """The decoder for one sequence from primitives alone: no kernel, no packing, one head at a time. -> [T, V]"""
    T, D, group = len(row), c.head_dim, c.heads // c.kv_heads
    angle = np.arange(T)[:, None] * c.rope_base ** (-np.arange(0, D, 2) / D)
    future = np.where(np.arange(T)[:, None] < np.arange(T), -np.inf, 0.0)

    def norm(x: Any, gain: Any) -> Any:
        return x / ((x**2).mean(axis=-1, keepdims=True) + c.norm_eps) ** 0.5 * gain

    def turn(x: Any) -> Any:
        a, b = x[:, : D // 2], x[:, D // 2 :]
        return concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=1)

    x = weights["embedding"][np.array(row)]
    for i in range(c.layers):
        w = {name: weights[f"layers.{i}.{name}"] for name in ("qkv", "attention_out", "gate_up", "mlp_down")}
        qkv = norm(x, weights[f"layers.{i}.attention_norm"]) @ w["qkv"].transpose(1, 0)
        parts = [qkv[:, k * D : (k + 1) * D] for k in range(c.heads + 2 * c.kv_heads)]
        heads = []
        for h in range(c.heads):
            key, val = parts[c.heads + h // group], parts[c.heads + c.kv_heads + h // group]
            scores = turn(parts[h]) @ turn(key).transpose(1, 0) / math.sqrt(D) + future
            heads.append(exp(log_softmax(scores)) @ val)
        x = x + concatenate(heads, axis=1) @ w["attention_out"].transpose(1, 0)
        both = norm(x, weights[f"layers.{i}.mlp_norm"]) @ w["gate_up"].transpose(1, 0)
        gate, up = both[:, : c.hidden], both[:, c.hidden :]
        x = x + (gate * sigmoid(gate) * up) @ w["mlp_down"].transpose(1, 0)
    out = weights["embedding"] if c.tied else weights["output"]
    return norm(x, weights["norm"]) @ out.transpose(1, 0)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1), (2, 2)])
def test_the_fused_model_is_the_composed_one_forward_and_backward(tied: bool, heads: int, kv_heads: int) -> None:
    config = ModelConfig(V, dim=16, layers=2, heads=heads, kv_heads=kv_heads, hidden=12, context=8, tied=tied)
    weights, row = some_weights(config), [3, 1, 4, 1, 5, 9]
    u = np.random.default_rng(1).standard_normal((len(row), V))
    grads = []
    for model in (
        lambda w: logits(w, config, np.array([row])).reshape(len(row), V),
        lambda w: composed_logits(w, config, row),
    ):
        tensors = {name: Tensor(w) for name, w in weights.items()}
        out = model(tensors)
        (out * u).sum().backward()
        grads.append({name: t.grad for name, t in tensors.items()} | {"logits": value(out)})
    same(*grads, tolerance=1e-8)


@pytest.mark.parametrize("head", ["score", "likelihood"])
def test_the_gradient_of_a_whole_model_is_its_finite_difference(head: str) -> None:
    config = ModelConfig(V, dim=8, layers=1, heads=2, kv_heads=1, hidden=6, context=8, tied=False)
    weights, rng = some_weights(config, seed=3, head=head), np.random.default_rng(4)
    batch = pack([Example([1, 2], [3, 4, 5]), Example([6], [7])], row_length=8)

    def loss(w: Any, batch: Packed) -> tuple[Any, dict[str, float]]:
        logps, entropy = heads.response_logps(w, config, batch, temperature=0.7)
        return (logps * 0.3 + entropy).sum() + (heads.scores(w, config, batch) ** 2).sum(), {}

    _, grads = value_and_grad(loss, weights, [batch])
    trained = {name: w for name, w in weights.items() if not name.startswith(REFERENCE)}
    assert grads.keys() == trained.keys()  # a reference is frozen
    for name, w in trained.items():
        for flat in rng.choice(w.size, size=min(3, w.size), replace=False):
            at, step, ends = np.unravel_index(flat, w.shape), 1e-5, []
            for sign in (1, -1):
                moved = w.copy()
                moved[at] += sign * step
                ends.append(float(loss({**weights, name: moved}, batch)[0]))
            expected = (ends[0] - ends[1]) / (2 * step)
            assert grads[name][at] == pytest.approx(expected, rel=1e-6, abs=1e-8), (name, at)


# --------------------------------------------------------------------------------------------------------------- laws
def text(e: Example) -> Text:
    return e.prompt, e.response


def texts(batch: list[Example]) -> list[Text]:
    return [text(e) for e in batch]


def measured(batch: Packed) -> tuple[float, Grads]:
    """The summed loss of a packed batch, and its gradient."""
    metrics, grads = value_and_grad(lambda w, b: nll(w, b, 1), some_weights(), [batch])
    return metrics["loss"], grads


def measure(batch: Sequence[Text], row_length: int) -> tuple[float, Grads]:
    return measured(pack([Example(*t) for t in batch], row_length))


@check
@given(batch=examples, row_length=st.integers(1, 24))
def test_P11_packed_rows_equal_unpacked_ones(batch: list[Example], row_length: int) -> None:
    whole_model.packing(measure, texts(batch), row_length)


@check
@given(batch=examples, seed=st.integers(0, 99), parts=st.integers(1, 3))
def test_P5_order_P7_shards_change_nothing(batch: list[Example], seed: int, parts: int) -> None:
    order = np.random.default_rng(seed).permutation(len(batch))
    whole_model.accumulation(measure, texts(batch), parts, order.tolist(), row_length=16)


def test_P7_shards_on_threads_are_the_whole_batch() -> None:
    batch = [Example([1, 2], [3, 4]), Example([5], [6]), Example([7, 8, 9], [1])]
    loss, grads = measured(pack(batch, 16))
    metrics, sharded = value_and_grad(lambda w, s: nll(w, s, 1), some_weights(), [pack([e], 16) for e in batch])
    assert metrics["loss"] == pytest.approx(loss, rel=1e-12)
    same(sharded, grads)


@check
@given(e=st.builds(Example, tokens, tokens), left=st.integers(0, 5), right=st.integers(0, 5), pad=st.integers(0, V - 1))
def test_P6_padding_on_either_side_changes_neither_loss_nor_gradient(
    e: Example, left: int, right: int, pad: int
) -> None:
    def padded(text: Text, left: int, right: int) -> tuple[float, Grads]:
        row, T = [*text[0], *text[1]], left + len(e) + right
        columns = np.arange(T)
        batch = Packed(
            tokens=np.array([[pad] * left + row + [pad] * right]),
            positions=np.where(columns < left, columns, columns - left)[None],
            start=np.where(columns < left, 0, left)[None],  # the right padding even sees the sequence
            index=left + np.arange(len(e.prompt) - 1, len(e) - 1),
            targets=np.array(e.response),
            lengths=np.array([len(e.response)]),
            last=np.array([left + len(e) - 1]),
        )
        return measured(batch)

    whole_model.padding(padded, text(e), left, right)


@check
@given(a=st.builds(Example, tokens, tokens), b=st.builds(Example, tokens, tokens), seed=st.integers(0, 99))
def test_P12_one_document_never_moves_another(a: Example, b: Example, seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = Example(rng.integers(0, V, len(a.prompt)).tolist(), rng.integers(0, V, len(a.response)).tolist())

    def second(first: Text, b: Text) -> Grads:
        sizes = [len(t[0]) + len(t[1]) for t in (first, b)]
        batch = pack([Example(*first), Example(*b)], sum(sizes))
        mine = batch.last[1] + 1 - sizes[1] + np.arange(sizes[1])
        tensors = {name: Tensor(w) for name, w in some_weights().items()}
        states = heads.states(tensors, CONFIG, batch)
        heads.sequence_logps(tensors, CONFIG, batch)[1:].sum().backward()  # only b's loss
        return {name: t.grad for name, t in tensors.items()} | {"states": states.data[mine]}

    whole_model.documents_apart(second, text(a), text(other), text(b))


@pytest.mark.parametrize("head", ["score", "likelihood"])
@check
@given(batch=examples)
def test_P24_a_score_does_not_depend_on_batch_mates_or_padding(head: str, batch: list[Example]) -> None:
    weights = some_weights(head=head)

    def score(batch: Sequence[Text], row_length: int) -> Any:
        return heads.scores(weights, CONFIG, pack([Example(*t) for t in batch], row_length))

    whole_model.batch_mates(score, texts(batch), row_length=24)
    whole = np.array([[*batch[0].prompt, *batch[0].response]])
    states = hidden_states(weights, CONFIG, whole)
    alone = states[-1] @ weights["score"][0]
    if head == "likelihood":
        reference = heads.subnetwork(weights, REFERENCE)
        logps = heads.response_logps(reference, CONFIG, pack(batch[:1], 1))[0][0]
        gate = states[len(batch[0].prompt) :] @ weights["gate"][0]
        alone += gate @ logps + weights["likelihood"][0] @ [logps.mean(), logps.sum(), 1.0]
    assert score(texts(batch), 24)[0] == pytest.approx(alone, rel=1e-10)


@check
@given(batch=examples, temperature=st.sampled_from([0.7, 1.0, 1.3]))
def test_log_probabilities_are_the_softmax_of_the_logits(batch: list[Example], temperature: float) -> None:
    weights = some_weights()
    logps, entropy = heads.response_logps(weights, CONFIG, pack(batch, 24), temperature)
    for i, e in enumerate(batch):
        row = np.array([[*e.prompt, *e.response]])
        all_logps = log_softmax(logits(weights, CONFIG, row)[0] / temperature)[len(e.prompt) - 1 : -1]
        chosen = all_logps[np.arange(len(e.response)), list(e.response)]
        np.testing.assert_allclose(logps[i, : len(chosen)], chosen, rtol=1e-9)
        np.testing.assert_allclose(entropy[i, : len(chosen)], -(np.exp(all_logps) * all_logps).sum(-1), rtol=1e-9)
        assert not logps[i, len(chosen) :].any()
        assert not entropy[i, len(chosen) :].any()


def test_P47_prompt_tokens_get_no_logits() -> None:
    """An untied output row moves only where a response is predicted, so the gradient is known in closed form."""
    config = ModelConfig(V, dim=16, layers=1, heads=2, kv_heads=1, hidden=12, context=16, tied=False)
    weights, batch = some_weights(config), pack([Example([1, 2, 3], [4, 5])], 8)
    tensors = {name: Tensor(w) for name, w in weights.items()}
    hidden = heads.response_states(tensors, config, batch)
    assert hidden.shape == (2, config.dim)  # as many as response tokens
    heads.logps_from(hidden, tensors, batch)[0].sum().backward()
    p = np.exp(log_softmax(logits(weights, config, batch.tokens)[0]))[[2, 3]]  # the columns before tokens 4 and 5
    expected = (np.eye(V)[[4, 5]] - p).T @ hidden.data
    np.testing.assert_allclose(tensors["output"].grad, expected, rtol=1e-9, atol=1e-12)


@check
@given(e=st.builds(Example, tokens, tokens))
def test_P47_prompts_are_not_learned(e: Example) -> None:
    def logit_gradient(text: Text) -> Any:
        row = np.array([[*text[0], *text[1]]])
        response = np.arange(row.size)[None] >= len(text[0])
        leaf = Tensor(value(logits(some_weights(), CONFIG, row)))
        (-sequence_logps(leaf, row, response)).sum().backward()
        return leaf.grad[0]

    whole_model.prompts_unsupervised(logit_gradient, text(e))


# ---------------------------------------------------------------------------------------------------- the first weights
@pytest.mark.parametrize("tied", [True, False])
def test_a_fresh_model_expects_every_token_alike(tied: bool) -> None:
    config = ModelConfig(500, dim=64, layers=2, heads=4, kv_heads=2, hidden=96, context=64, tied=tied)
    weights, rng = init_weights(config, np.random.default_rng(0)), np.random.default_rng(1)
    batch = pack([Example(rng.integers(0, 500, 4).tolist(), rng.integers(0, 500, 40).tolist()) for _ in range(8)], 64)
    logps, entropy = heads.response_logps(weights, config, batch)
    assert -logps[batch.mask].mean() == pytest.approx(math.log(500), abs=0.1)
    assert entropy[batch.mask].mean() == pytest.approx(math.log(500), abs=0.1)
    assert {name: w.shape for name, w in weights.items()} == shapes(config)
    assert count(weights) == sum(math.prod(shape) for shape in shapes(config).values())


def test_the_same_seed_gives_the_same_weights_and_a_fresh_head_is_zero() -> None:
    first, again = (init_weights(CONFIG, np.random.default_rng(5)) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    judge = with_head(first | {"value": np.ones((1, 16), np.float32)}, CONFIG, "score")
    assert judge.keys() == shapes(CONFIG, "score").keys()
    assert not judge["score"].any()
    judge["norm"][:] = 7
    assert (first["norm"] == 1).all()  # a copy


def test_a_fresh_score_that_reads_likelihoods_is_the_likelihood() -> None:
    policy = init_weights(CONFIG, np.random.default_rng(5), dtype=np.float64)
    judge = with_head(policy | {"value": np.ones((1, 16))}, CONFIG, "likelihood")
    assert {name: w.shape for name, w in judge.items()} == shapes(CONFIG, "likelihood")
    assert head_of(judge) == "likelihood" and head_of(policy) is None
    batch = pack([Example([1, 2], [3, 4, 5]), Example([6], [7])], 8)
    logps = heads.sequence_logps(policy, CONFIG, batch)
    mean, total, origin = LIKELIHOOD_START
    expected = mean * logps / [3, 1] + total * logps + origin
    np.testing.assert_allclose(heads.scores(judge, CONFIG, batch), expected, rtol=1e-12)
    table = heads.response_logps(policy, CONFIG, batch)[0]
    np.testing.assert_array_equal(heads.scores(judge, CONFIG, batch, table), heads.scores(judge, CONFIG, batch))


# --------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dim": 15}, "even number"),
        ({"dim": 12}, "even number"),  # 3 channels a head cannot turn in planes
        ({"kv_heads": 3}, "multiple of kv_heads"),
        ({"layers": 0}, "at least 1"),
    ],
)
def test_models_that_cannot_be_built(change: dict[str, int], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        ModelConfig(**{**CONFIG.to_dict(), **change})


def test_a_configuration_survives_its_dictionary_and_a_strange_one_is_refused() -> None:
    assert ModelConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(ModelError, match="unknown field 'colour'"):
        ModelConfig.from_dict({**CONFIG.to_dict(), "colour": 1})
    with pytest.raises(ModelError, match="incomplete"):
        ModelConfig.from_dict({"dim": 16})


def test_rows_longer_than_the_context_are_refused() -> None:
    with pytest.raises(ModelError, match="context of 32"):
        logits(some_weights(), CONFIG, np.zeros((1, 33), np.int64))
