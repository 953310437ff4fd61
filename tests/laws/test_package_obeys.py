"""Every loss, estimator and mask function of the package obeys its laws, on arrays and, where it can, on Tensors."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from minipost.laws import TARGETS, judge
from minipost.laws.printing import verdict_lines

BOTH = [(name, f) for name, t in TARGETS.items() for f in ("numpy", "tensor") if f == "numpy" or t.derivative]
everything = pytest.mark.parametrize(("target", "framework"), BOTH, ids=[f"{t}-{f}" for t, f in BOTH])


def own(target: str) -> Callable[..., Any]:
    """The package's implementation."""
    module, function = TARGETS[target].implementation.split(":")
    implementation: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return implementation


def holds(target: str, framework: str, max_examples: int, seed: int) -> None:
    verdict = judge(target, own(target), framework, max_examples, seed)
    assert verdict.holds and not verdict.unjudged, "\n".join(verdict_lines(verdict))


@everything
def test_the_package_obeys(target: str, framework: str) -> None:
    holds(target, framework, max_examples=40, seed=0)


@pytest.mark.slow
@everything
@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_at_many_examples(target: str, framework: str, seed: int) -> None:
    holds(target, framework, max_examples=200, seed=seed)
