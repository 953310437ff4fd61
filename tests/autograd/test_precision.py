"""bfloat16 where it is asked for, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from minipost.autograd import Tensor, fused


def product(dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(result, gradient of x, gradient of the weight) of a product whose operands bfloat16 cannot hold."""
    rng = np.random.default_rng(0)
    x, w = Tensor(rng.normal(size=(40, 50)).astype(dtype)), Tensor(rng.normal(size=(30, 50)).astype(dtype))
    y = fused.linear(x, w)
    y.backward(np.full(y.shape, 1 / 3, dtype))
    assert x.grad is not None and w.grad is not None
    return y.data, x.grad, w.grad


def test_products_are_rounded_inside_the_block_only() -> None:
    exact, before = product(np.float64), product()
    with fused.precision("bfloat16"):
        inside = product()
        with fused.precision("float32"):
            nested = product()
    for reference, plain, rounded, again, after in zip(exact, before, inside, nested, product(), strict=True):
        scale = np.abs(reference).max()
        assert np.abs(plain - reference).max() < 1e-5 * scale
        assert 1e-4 * scale < np.abs(rounded - reference).max() < 1e-2 * scale
        assert rounded.dtype == np.float32
        np.testing.assert_array_equal(again, plain)
        np.testing.assert_array_equal(after, plain)


def test_the_block_ends_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), fused.precision("bfloat16"):
        raise RuntimeError
    assert np.abs(product()[0] - product(np.float64)[0]).max() < 1e-4


def test_float64_stays_exact() -> None:
    plain = product(np.float64)
    with fused.precision("bfloat16"):
        for x, y in zip(product(np.float64), plain, strict=True):
            np.testing.assert_array_equal(x, y)
