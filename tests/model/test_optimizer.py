"""AdamW against the algorithm of its paper, Muon, what a checkpoint keeps of them, and the learning-rate schedule."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.kernels import newton_schulz
from minipost.model import AdamW, Muon, schedule

check = settings(deadline=None, max_examples=25)
SHAPES = {"matrix": (3, 5), "gain": (4,)}


def orthogonalized(x: np.ndarray, rounds: int = 5) -> np.ndarray:
    y = np.zeros_like(x)
    newton_schulz.update(y, x, np.zeros_like(x), 0.0, -1.0, rounds)
    return y


def random(rng: np.random.Generator, scale: float = 1.0) -> dict[str, np.ndarray]:
    return {name: scale * rng.standard_normal(shape) for name, shape in SHAPES.items()}


@check
@given(seed=st.integers(0, 999), decay=st.sampled_from([0.0, 0.1]), limit=st.sampled_from([0.0, 0.5, 100.0]))
def test_updates_are_those_of_the_paper(seed: int, decay: float, limit: float) -> None:
    rng = np.random.default_rng(seed)
    weights = random(rng)
    expected = {name: w.copy() for name, w in weights.items()}
    m, v = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    optimizer = AdamW(weights, weight_decay=decay, max_grad_norm=limit)
    (b1, b2), lr = optimizer.betas, 0.1
    for t in range(1, 5):
        grads = random(rng)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        assert optimizer.step(grads, lr) == pytest.approx(norm)  # before clipping
        for name in SHAPES:
            g = grads[name] * (min(1.0, limit / norm) if limit else 1.0)
            m[name] = b1 * m[name] + (1 - b1) * g
            v[name] = b2 * v[name] + (1 - b2) * g**2
            step = m[name] / (1 - b1**t) / (np.sqrt(v[name] / (1 - b2**t)) + optimizer.eps)
            expected[name] -= lr * (step + (decay if name == "matrix" else 0.0) * expected[name])
            np.testing.assert_allclose(weights[name], expected[name], rtol=1e-9, atol=1e-12)


def test_clipping_bounds_the_whole_gradient_and_keeps_its_direction() -> None:
    grads = random(np.random.default_rng(0), scale=100.0)
    clipped, plain = (AdamW(random(np.random.default_rng(1)), max_grad_norm=limit) for limit in (1.0, 0.0))
    norm = clipped.step(grads, 0.1)
    plain.step({name: g / norm for name, g in grads.items()}, 0.1)
    for name in SHAPES:
        np.testing.assert_allclose(clipped.m[name], plain.m[name], rtol=1e-9)


def test_views_of_a_weight_see_its_updates() -> None:
    weights = random(np.random.default_rng(0))
    view, before = weights["matrix"], weights["matrix"].copy()
    AdamW(weights).step({"matrix": np.ones((3, 5))}, 0.1)
    assert view is weights["matrix"]
    assert (view != before).all()


def test_a_weight_without_gradient_stays() -> None:
    weights = random(np.random.default_rng(0))
    gain = weights["gain"].copy()
    AdamW(weights, weight_decay=0.1).step({"matrix": np.ones((3, 5))}, 0.1)
    np.testing.assert_array_equal(weights["gain"], gain)


def test_P50_a_restored_optimizer_goes_on_bit_for_bit() -> None:
    rng = np.random.default_rng(2)
    gradients = [random(rng) for _ in range(6)]
    weights = random(np.random.default_rng(3))
    optimizer = AdamW(weights, weight_decay=0.1)
    for g in gradients[:3]:
        optimizer.step(g, 0.05)
    copied = {name: w.copy() for name, w in weights.items()}
    again = AdamW(copied, weight_decay=0.1)
    again.restore({name: np.array(a) for name, a in optimizer.state().items()})
    for g in gradients[3:]:
        assert optimizer.step(g, 0.05) == again.step(g, 0.05)
    for name in SHAPES:
        np.testing.assert_array_equal(weights[name], copied[name])


@check
@given(steps=st.integers(2, 500), peak=st.floats(1e-5, 1.0), warmup=st.floats(0, 0.5), final=st.floats(0, 1))
def test_the_schedule_rises_to_its_peak_and_falls_to_its_end(
    steps: int, peak: float, warmup: float, final: float
) -> None:
    rates = [schedule(k, steps, peak, warmup, final) for k in range(steps)]
    rise = max(1, round(warmup * steps))
    slack = 1e-9 * peak
    assert all(0 < r <= peak + slack for r in rates) or final == 0
    assert max(rates) == pytest.approx(peak)
    assert all(b >= a - slack for a, b in pairwise(rates[:rise]))
    assert all(b <= a + slack for a, b in pairwise(rates[rise:]))
    assert schedule(steps, steps, peak, warmup, final) == pytest.approx(final * peak)


def test_muon_moves_every_direction_of_a_matrix_about_equally() -> None:
    rng = np.random.default_rng(0)
    for shape in ((12, 5), (5, 12), (8, 8)):
        singular = np.linalg.svd(orthogonalized(rng.normal(size=shape)), compute_uv=False)
        assert singular.min() > 0.5 and singular.max() < 1.3
    weights = {"layers.0.qkv": rng.normal(size=(12, 5)), "embedding": rng.normal(size=(7, 5))}
    grads = {name: rng.normal(size=w.shape) for name, w in weights.items()}
    before = {name: w.copy() for name, w in weights.items()}
    Muon(weights, peak_lr=1e-2, muon_lr=0.02).step(grads, 5e-3)
    moved = np.linalg.svd(weights["layers.0.qkv"] - before["layers.0.qkv"], compute_uv=False)
    np.testing.assert_allclose(moved, 0.01 * (12 / 5) ** 0.5, rtol=0.5)
    np.testing.assert_allclose(np.abs(weights["embedding"] - before["embedding"]), 5e-3, rtol=1e-3)  # Adam's first step


@check
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 999))
def test_orthogonalized_keeps_directions_and_levels_singular_values(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, _, vt = np.linalg.svd(rng.standard_normal((rows, columns)), full_matrices=False)
    x = u * rng.uniform(0.2, 1.0, min(rows, columns)) @ vt
    levelled = u.T @ orthogonalized(x) @ vt.T
    np.testing.assert_allclose(levelled, np.diag(np.diag(levelled)), atol=1e-6)  # the same singular vectors
    assert np.diag(levelled) == pytest.approx(1.0, abs=0.4)


@check
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), rounds=st.integers(1, 6), seed=st.integers(0, 999))
def test_rounds_on_the_gram_matrix_are_newton_schulz(rows: int, columns: int, rounds: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((rows, columns))
    y = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(rounds):
        gram = y @ y.T
        y = 3.4445 * y - 4.7750 * gram @ y + 2.0315 * gram @ gram @ y
    np.testing.assert_allclose(orthogonalized(x, rounds), y, atol=1e-9)
