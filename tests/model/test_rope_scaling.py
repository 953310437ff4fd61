"""Stretched rotary positions: what each kind does to a plane, and that a configuration keeps them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipost.errors import UserError
from minipost.kernels import rope
from minipost.model import ModelConfig, RopeScaling

D, BASE = 32, 10000.0


@given(factor=st.sampled_from([2.0, 4.0, 8.0]))
def test_linear_scaling_is_position_interpolation(factor: float) -> None:
    """Position 2 i of a model stretched by 2 is position i of the original."""
    plain = rope.table(16, D, BASE, np.float64)
    stretched = rope.table(16 * int(factor), D, BASE, np.float64, RopeScaling("linear", factor))
    for ours, theirs in zip(stretched, plain, strict=True):
        assert np.allclose(ours[:: int(factor)], theirs, atol=1e-12)


@given(factor=st.floats(1, 64), context=st.integers(16, 1 << 16))
def test_llama3_scaling_spares_fast_planes(factor: float, context: int) -> None:
    """Planes that turn more than four times in the original context stay, those below one turn slow down by the factor,
    and in between the slow-down rises as planes get slower."""
    frequency = BASE ** (-np.arange(0, D, 2) / D)
    shrunk = frequency / RopeScaling("llama3", factor, original_context=context)(frequency)
    turns = context * frequency / (2 * np.pi)
    assert np.allclose(shrunk[turns >= 4], 1)
    assert np.allclose(shrunk[turns <= 1], factor)
    assert np.all(np.diff(shrunk) >= -1e-9)


def test_a_configuration_keeps_its_scaling() -> None:
    for scaling in (None, RopeScaling("linear", 2.0), RopeScaling("llama3", 8.0, original_context=64)):
        config = ModelConfig(10, rope_scaling=scaling)
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    before = {name: x for name, x in ModelConfig(10).to_dict().items() if name != "rope_scaling"}
    assert ModelConfig.from_dict(before) == ModelConfig(10)  # models saved before there was such a field


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("yarn", (2.0,)), ("linear", (0.0,)), ("linear", (float("inf"),)), ("llama3", (2.0, 4.0, 1.0))],
)
def test_impossible_scalings(kind: str, numbers: tuple[float, ...]) -> None:
    with pytest.raises(UserError):
        RopeScaling(kind, *numbers)  # type: ignore[arg-type]
