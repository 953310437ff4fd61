"""The three laws that every target has: it equals its formula, its gradient is the formula's, it keeps the contract.

They draw the widest inputs. The laws with numbers say *what* is wrong; these see to it that nothing goes unnoticed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import ATOL, RTOL, SLOPE_TOLERANCE, Array, Assertion, Assertions, Case, Law
from minipost.laws.targets import Target, loaded

SINGLE = 3e-4  # tolerance of float32, relative and absolute
ROUNDING = 8 * float(np.finfo(np.float32).eps)  # what rounding may cost for each unit of the inputs' size


def universal(target: Target) -> tuple[Law, ...]:
    """The laws "formula", "gradient" (where something is differentiable) and "contract" of a target."""

    def formula(f: Candidate, x: Case) -> Assertions:
        outputs, expected = f.outputs(x), _expected(target, x)
        for out, should in zip(outputs, expected, strict=True):
            yield _close(target, x, out, should, target.formula)

    def gradient(f: Candidate, x: Case) -> Assertions:
        x64 = loaded(x, target)
        if target.derivative is None or not target.smooth(x64):
            return
        clean = _without_garbage(x)
        expected = target.derivative(loaded(clean, target))
        for name, g in f.gradient(clean).items():
            yield _close(target, clean, g, expected[name], f"d/d {name} of {_total(target)}", SLOPE_TOLERANCE)

    def contract(f: Candidate, x: Case) -> Assertions:
        outputs, expected = f.outputs(x), _expected(target, x)
        for out, should in zip(outputs, expected, strict=True):
            nan = np.isnan(out) & np.isfinite(should) & _looked_at(target, x)
            yield Assertion(target.formula, out, should, where=nan)

    laws = [
        Law("formula", target.name, "the value is that of the formula", target.formula, target.source, formula, "wide"),
        Law(
            "contract",
            target.name,
            "never raises, hangs, returns NaN, another shape or type, nor writes to arguments",
            target.signature,
            "the contract",
            contract,
            "wide",
        ),
    ]
    if target.derivative is not None:
        names = "the gradient is the derivative of the formula"
        laws.insert(1, Law("gradient", target.name, names, f"d/dx {target.formula}", target.source, gradient, "wide"))
    return tuple(laws)


def _expected(target: Target, x: Case) -> tuple[Array, ...]:
    with np.errstate(all="ignore"):
        outputs = target.oracle(loaded(x, target))
    return tuple(np.asarray(v, np.float64) for v in (outputs if isinstance(outputs, tuple) else (outputs,)))


def _looked_at(target: Target, x: Case) -> Any:
    return np.asarray(getattr(x, target.counted)) != 0 if target.counted else True


def _close(target: Target, x: Case, got: Any, should: Array, what: str, relative: float = RTOL) -> Assertion:
    """`got == should` up to rounding in the width of the inputs, at judged positions, wherever `should` is finite.

    In float32 an error is forgiven that rounding the inputs may have caused: `eps` times their size.
    """
    got = np.asarray(got, np.float64)
    judged = np.isfinite(should) & _looked_at(target, x) & ~np.isnan(got)  # NaN is the contract's business
    tolerance: Any = 4 * (relative / RTOL * ATOL + relative * np.abs(should))
    if x.is_single:
        size = max(float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in x.floats.values())
        tolerance = (SINGLE + ROUNDING * size) * (1 + np.abs(should))
    tolerance = tolerance + np.abs(should) * target.slack(x)
    return Assertion(what, got, should, tolerance=tolerance, where=judged)


def _without_garbage(x: Case) -> Case:
    """Gradients are not judged where NaN or inf stand behind the mask: ones take their place."""
    return x.but(**{k: np.where(np.isfinite(v), v, np.ones_like(v)) for k, v in x.floats.items() if not _is_finite(v)})


def _is_finite(values: Array) -> bool:
    return bool(np.isfinite(values).all())


def _total(target: Target) -> str:
    return "the loss" if target.signature.endswith("scalar") else "the sum of all outputs"
