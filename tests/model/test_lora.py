"""LoRA: nothing at step 0, the same gradients as through the merged matrix, exact ways out, and both stages with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.autograd import Tensor, fused
from minipost.model import ModelConfig, ModelError, init_weights, logits, lora

CONFIG = ModelConfig(vocab_size=23, dim=16, layers=2, heads=4, kv_heads=2, hidden=24, context=16)
TOKENS = np.arange(20).reshape(2, 10) % 23


def weights(seed: int = 0, dtype: Any = np.float64) -> dict[str, Any]:
    return init_weights(CONFIG, np.random.default_rng(seed), dtype=dtype)


def random_pairs(base: dict[str, Any], rank: int, seed: int) -> dict[str, Any]:
    """Adapters whose B is not 0 any more."""
    rng = np.random.default_rng(seed)
    pairs = lora.adapters(base, rank, rng)
    return {n: (w + 0.1 * rng.standard_normal(w.shape)).astype(w.dtype) for n, w in pairs.items()}


@given(rank=st.integers(1, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_a_fresh_adapter_changes_nothing(rank: int, seed: int) -> None:
    base = weights(dtype=np.float32)
    frozen, trained = lora.trainable(base, rank, np.random.default_rng(seed))
    assert len(trained) == 2 * 4 * CONFIG.layers
    assert sum(w.size for w in trained.values()) == sum(
        rank * sum(w.shape) for n, w in base.items() if n.startswith("layers.") and w.ndim == 2
    )
    assert np.array_equal(logits({**frozen, **trained}, CONFIG, TOKENS), logits(base, CONFIG, TOKENS))


@given(rank=st.integers(1, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_merged_and_unmerged(rank: int, seed: int) -> None:
    base = weights(seed)
    pairs = random_pairs(base, rank, seed)
    merged = lora.merge({**base, **pairs})
    assert merged.keys() == base.keys()
    adapted = logits({**base, **pairs}, CONFIG, TOKENS)
    assert np.allclose(logits(merged, CONFIG, TOKENS), adapted, rtol=0, atol=1e-12)
    assert not np.allclose(adapted, logits(base, CONFIG, TOKENS), atol=1e-3)


@given(rank=st.integers(1, 8), seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 1e3]))
@settings(deadline=None, max_examples=20)
def test_unmerging_gives_back_every_bit(rank: int, seed: int, scale: float) -> None:
    """Also where B A is so large that a subtraction would not."""
    base = weights(seed, np.float32)
    pairs = {n: w * np.float32(scale) for n, w in random_pairs(base, rank, seed).items()}
    kept: dict[str, Any] = {}
    merged = lora.merge({**base, **pairs}, kept)
    again = lora.unmerge(merged, kept)
    assert {n: w.tobytes() for n, w in again.items()} == {n: w.tobytes() for n, w in {**base, **pairs}.items()}
    name = "layers.0.qkv"
    subtracted = merged[name] - pairs[name + lora.B] @ pairs[name + lora.A]
    assert scale < 1 or not np.array_equal(subtracted, base[name])  # why something has to be kept


def test_merging_writes_to_nothing() -> None:
    """The base keeps its bits, so that leaving the adapters out is exact."""
    base = weights(dtype=np.float32)
    before = {n: w.tobytes() for n, w in base.items()}
    pairs = random_pairs(base, 4, 0)
    lora.merge({**base, **pairs})
    assert {n: w.tobytes() for n, w in lora.without({**base, **pairs}).items()} == before


def test_gradients_are_those_of_the_product() -> None:
    """With W' = W + B A:  dB = dW' A^T,  dA = B^T dW'."""
    base = weights()
    pairs = random_pairs(base, 3, 1)
    g = np.random.default_rng(2).standard_normal((20, CONFIG.vocab_size))

    def gradients(these: dict[str, Any], constants: dict[str, Any]) -> dict[str, Any]:
        tensors = {n: Tensor(w) for n, w in these.items()}
        out = logits({**constants, **tensors}, CONFIG, TOKENS)
        (out.reshape(20, -1) * g).sum().backward()
        return {n: t.grad for n, t in tensors.items()}

    thin = gradients(pairs, base)
    full = gradients(lora.merge({**base, **pairs}), {})
    for name in (n.removesuffix(lora.A) for n in pairs if n.endswith(lora.A)):
        assert np.allclose(thin[name + lora.B], full[name] @ pairs[name + lora.A].T, atol=1e-10)
        assert np.allclose(thin[name + lora.A], pairs[name + lora.B].T @ full[name], atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_frozen_output_layer_changes_no_other_gradient(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    hidden, weight = rng.standard_normal((9, 4)).astype(dtype), rng.standard_normal((6, 4)).astype(dtype)
    targets, share = rng.integers(0, 6, 9), np.full(9, 1 / 9)

    def gradients(loss: Any) -> list[Any]:
        found = []
        for frozen in (False, True):
            h = Tensor(hidden)
            loss(h, weight if frozen else Tensor(weight)).backward()
            found.append(h.grad)
        return found

    for loss in (
        lambda h, w: fused.weighted_nll(h, w, targets, share),
        lambda h, w: fused.token_logps(h, w, targets)[0].sum(),
    ):
        free, frozen = gradients(loss)
        assert np.array_equal(free, frozen)


def test_ranks_that_do_not_fit() -> None:
    for rank in (-1, 17):
        with pytest.raises(ModelError, match="does not fit"):
            lora.trainable(weights(), rank, np.random.default_rng(0))
    frozen, trained = lora.trainable(base := weights(), 0, np.random.default_rng(0))
    assert frozen == {}
    assert trained.keys() == base.keys()
    assert trained["norm"] is not base["norm"]
