"""The fused layer is the composed one, forward and backward, whatever the rows, heads and documents."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.autograd import AutogradError, Tensor, check_gradient, fused
from minipost.autograd.inspecting import gradients, operation
from minipost.kernels import rope
from minipost.model import ModelConfig, init_weights, transformer
from minipost.model.transformer import PARTS, composed_layer

EPS = 1e-5


def a_layout(rng: np.random.Generator, B: int, T: int, D: int, dtype: type = np.float64) -> fused.Layout:
    """Rows of two documents each, the second of which starts anywhere."""
    second = rng.integers(0, T + 1, B)[:, None]
    start = np.where(np.arange(T) >= second, second, 0).astype(np.int64)
    return fused.Layout(np.arange(T) - start, start, *rope.table(max(T, 1), D, 1e4, dtype))


def some_arrays(
    rng: np.random.Generator, N: int, C: int, F: int, H: int, K: int, D: int, dtype: type = np.float64
) -> list[np.ndarray]:
    """x[N, C] and the six weights."""
    shapes = [(N, C), (C,), ((H + 2 * K) * D, C), (C, H * D), (C,), (2 * F, C), (C, F)]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def composed(x: Any, weights: list[Any], layout: fused.Layout, H: int, K: int) -> Any:
    config = ModelConfig(vocab_size=8, dim=4, layers=1, heads=1, kv_heads=1, hidden=4, context=8, norm_eps=EPS)
    named = {f"layers.0.{part}": w for part, w in zip(PARTS, weights, strict=True)}
    return composed_layer(0, x, named, config, lambda qkv: fused.attention(qkv, layout, H, K))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@settings(deadline=None, max_examples=40)
@given(
    B=st.integers(0, 3),
    T=st.integers(0, 70),
    C=st.integers(1, 20),
    F=st.integers(1, 40),
    K=st.integers(1, 3),
    group=st.integers(1, 3),
    half=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@example(B=0, T=5, C=4, F=6, K=1, group=2, half=2, seed=0)
@example(B=2, T=0, C=4, F=6, K=1, group=2, half=2, seed=0)
@example(B=1, T=1, C=1, F=1, K=1, group=1, half=1, seed=0)
@example(B=2, T=140, C=130, F=300, K=2, group=2, half=16, seed=0)  # more terms than a block of the product has
def test_the_fused_layer_is_the_composed_one(
    dtype: type, B: int, T: int, C: int, F: int, K: int, group: int, half: int, seed: int
) -> None:
    rng, H, D = np.random.default_rng(seed), K * group, 2 * half
    layout = a_layout(rng, B, T, D, dtype)
    arrays = some_arrays(rng, B * T, C, F, H, K, D, dtype)
    own, expected = ([Tensor(a) for a in arrays] for _ in range(2))
    y, z = fused.layer(own[0], own[1:], layout, H, K, EPS), composed(expected[0], expected[1:], layout, H, K)
    forward, backward = (1e-12, 1e-10) if dtype == np.float64 else (1e-5, 1e-3)
    np.testing.assert_allclose(y.data, z.data, rtol=forward, atol=forward * np.abs(z.data).max(initial=1))
    g = rng.normal(size=y.shape).astype(dtype)
    y.backward(g)
    z.backward(g)
    for a, b in zip(own, expected, strict=True):
        assert a.grad is not None and b.grad is not None and a.grad.dtype == dtype
        np.testing.assert_allclose(a.grad, b.grad, rtol=backward, atol=backward * np.abs(b.grad).max(initial=1))


@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (4, 2), (3, 1)])
def test_its_gradient_is_the_finite_difference(heads: int, kv_heads: int) -> None:
    rng = np.random.default_rng(0)
    layout, (x, *weights) = a_layout(rng, 2, 5, 4), some_arrays(rng, 10, 6, 8, heads, kv_heads, 4)
    check_gradient(lambda x, *w: fused.layer(x, w, layout, heads, kv_heads, EPS), x, *weights, rng=rng)


def test_constants_get_no_gradient_and_change_no_other() -> None:
    rng = np.random.default_rng(1)
    layout, arrays = a_layout(rng, 2, 9, 4), some_arrays(rng, 18, 6, 8, 2, 1, 4)
    every = [Tensor(a) for a in arrays]
    fused.layer(every[0], every[1:], layout, 2, 1).sum().backward()
    for wanted in range(len(arrays)):
        one = [Tensor(a) if i == wanted else a for i, a in enumerate(arrays)]
        fused.layer(one[0], one[1:], layout, 2, 1).sum().backward()
        np.testing.assert_array_equal(one[wanted].grad, every[wanted].grad)
    plain = fused.layer(arrays[0], arrays[1:], layout, 2, 1)
    assert isinstance(plain, np.ndarray)


@pytest.mark.parametrize("wrong", range(7))
def test_a_misshapen_weight_is_refused(wrong: int) -> None:
    rng = np.random.default_rng(2)
    layout, arrays = a_layout(rng, 2, 3, 4), some_arrays(rng, 6, 6, 8, 2, 1, 4)
    arrays[wrong] = arrays[wrong][:-1]
    with pytest.raises(AutogradError, match="does not fit 2 x 3 tokens"):
        fused.layer(arrays[0], arrays[1:], layout, 2, 1)


def test_a_weight_of_another_type_is_refused() -> None:
    rng = np.random.default_rng(3)
    layout, arrays = a_layout(rng, 1, 3, 4), some_arrays(rng, 3, 6, 8, 2, 1, 4)
    arrays[5] = arrays[5].astype(np.float32)
    with pytest.raises(AutogradError, match="float32"):
        fused.layer(arrays[0], arrays[1:], layout, 2, 1)


def test_a_model_takes_the_fused_layer_unless_it_has_adapters() -> None:
    config = ModelConfig(vocab_size=11, dim=8, layers=2, heads=2, kv_heads=1, hidden=12, context=8)
    rng = np.random.default_rng(4)
    weights = init_weights(config, rng)
    adapted = weights | {
        "layers.1.qkv.lora_a": np.zeros((1, 8), np.float32),
        "layers.1.qkv.lora_b": np.zeros((16, 1), np.float32),
    }
    tokens = rng.integers(0, 11, (2, 5))
    for dictionary, layers in ((weights, 2), (adapted, 1)):
        tensors = {name: Tensor(w) for name, w in dictionary.items()}
        loss = transformer.hidden_states(tensors, config, tokens).sum()
        assert sum(operation(tensor) == "layer" for tensor, _ in gradients(loss)) == layers
        with patch.object(fused, "layer", None), pytest.raises(TypeError):
            transformer.hidden_states(tensors, config, tokens)
