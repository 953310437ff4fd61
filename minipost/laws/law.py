"""What a law is: a function that makes assertions about an implementation, and the evidence when one is false.

A law gets the implementation `f` and the arguments `x` of one call. It calls `f` as often as it likes, on `x` or on
variations of it, and yields assertions:

    @law("P58", "dpo.sigmoid", "swapping the two responses adds their margin", "L(h) - L(-h) = -beta mean h")
    def swapped(f, x):
        back = x.but(policy_chosen=x.policy_rejected, policy_rejected=x.policy_chosen, ...)
        yield equal("L(h) - L(-h)", f(x) - f(back), -x.beta * h(x).mean())

The first false assertion, together with the calls that led to it, is the counterexample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DEFAULTS: dict[str, Any] = {  # of the contract's optional arguments, the same wherever the name occurs
    "reduction": "token",
    "margin": 0.0,
    "center": 0.0,
    "shift_mean": True,
    "clip": 0.2,
    "label_smoothing": 0.0,
    "weight_desirable": 1.0,
    "weight_undesirable": 1.0,
}

RTOL, ATOL = 1e-6, 1e-7  # of float64 values
SLOPE_TOLERANCE = 1e-5  # of gradients, which may come from central differences


GARBAGE = (np.nan, np.inf, -np.inf)  # what may stand behind a mask


class Case:
    """The arguments of one call, by the names of the contract: `x.logp`. Optional ones that are left out read as their
    default."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = dict(arguments)

    def __getattr__(self, name: str) -> Any:
        arguments = self.__dict__.get("arguments", {})
        if name in arguments:
            return arguments[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        raise AttributeError(f"this case has no argument {name!r}")

    @property
    def floats(self) -> dict[str, Array]:
        """The arguments that are arrays of floats."""
        arrays = {name: value for name, value in self.arguments.items() if isinstance(value, np.ndarray)}
        return {name: array for name, array in arrays.items() if array.dtype.kind == "f"}

    @property
    def is_single(self) -> bool:
        """Whether some of its arrays are float32."""
        return any(array.dtype == np.float32 for array in self.floats.values())

    def in_float64(self) -> Case:
        """The same arguments, float32 ones widened."""
        return self.but(**{name: array.astype(np.float64, copy=False) for name, array in self.floats.items()})

    def but(self, **changes: Any) -> Case:
        """The same arguments with some replaced or added."""
        return Case({**self.arguments, **changes})

    def without(self, *names: str) -> Case:
        """The same arguments with some left out."""
        return Case({name: value for name, value in self.arguments.items() if name not in names})

    def repeated(self, times: int) -> Case:
        """Every array `times` times along its first axis; numbers stay."""
        return self.mapped(lambda a: np.concatenate([a] * times))

    def mapped(self, change: Callable[[Array], Array]) -> Case:
        """Every array (of at least one axis) replaced by `change(array)`; numbers stay."""
        return Case({k: change(v) if np.ndim(v) else v for k, v in self.arguments.items()})

    def __repr__(self) -> str:
        return "Case(" + ", ".join(f"{name}={value!r}" for name, value in self.arguments.items()) + ")"


@dataclass(frozen=True)
class Call:
    """One call of the implementation: what went in, and what came out (None if nothing did)."""

    case: Case
    returned: Any
    gradient: bool = False  # whether gradients were asked for: `returned` maps arguments to them


@dataclass(frozen=True)
class Assertion:
    """`got` stands in `relation` to `should`, element by element, up to rounding."""

    what: str
    got: Any
    should: Any
    relation: Literal["==", "<=", ">="] = "=="
    tolerance: Any = None  # absolute; None for the default, which grows with the numbers involved
    relative: float = RTOL
    where: Any = True  # the elements that are judged

    def holds(self, scale: float) -> bool:
        """`scale` is the size of the numbers that `got` was computed from: their rounding is no error."""
        got, should = np.asarray(self.got, np.float64), np.asarray(self.should, np.float64)
        tolerance = self.tolerance
        if tolerance is None:
            finite = np.abs(should[np.isfinite(should)])
            tolerance = 4 * (ATOL + self.relative * max(scale, finite.max(initial=0.0)))
        with np.errstate(invalid="ignore"):  # inf - inf
            difference = got - should
        if self.relation == "==":
            fine = np.abs(difference) <= tolerance
        else:
            fine = difference <= tolerance if self.relation == "<=" else difference >= -tolerance
        return bool(np.all(fine | ~np.asarray(self.where)))


Assertions: TypeAlias = Iterator[Assertion]


def equal(what: str, got: Any, should: Any, tolerance: float | None = None) -> Assertion:
    """Values of the implementation equal `should`."""
    return Assertion(what, got, should, "==", tolerance)


def slope(what: str, got: Any, should: Any) -> Assertion:
    """Gradients of the implementation equal `should`."""
    return Assertion(what, got, should, "==", relative=SLOPE_TOLERANCE)


def at_least(what: str, got: Any, bound: Any, tolerance: float | None = None) -> Assertion:
    """Values of the implementation are nowhere below `bound`."""
    return Assertion(what, got, bound, ">=", tolerance)


def at_most(what: str, got: Any, bound: Any, tolerance: float | None = None) -> Assertion:
    """Values of the implementation are nowhere above `bound`."""
    return Assertion(what, got, bound, "<=", tolerance)


@dataclass(frozen=True)
class Number:
    """A number that a law draws beside its case: in [low, high], in thousandths; some that deserve it come `often`."""

    low: float
    high: float
    often: Sequence[float] = ()


@dataclass(frozen=True)
class Law:
    """One law of one target. `assertions(f, x, **extra)` yields them; `draws` names how the inputs are drawn.

    "plain" inputs are moderate, in float64 and pleasant to read; "wide" ones are those that break real code: NaN behind
    the mask, float32, +-1e4, other mask types, arrays with gaps, arguments left out. `extra` are further numbers to
    draw, which the law receives by name.
    """

    name: str
    target: str
    says: str  # in words
    formula: str  # in symbols
    source: str
    assertions: Callable[..., Assertions]
    draws: Literal["plain", "wide"] = "plain"
    extra: Mapping[str, Number] = field(default_factory=dict)
    once: bool = False  # whether one example says it all

    def __str__(self) -> str:
        return f"{self.target} {self.name}"


LAWS: list[Law] = []  # in the order of the files of laws


def law(
    name: str, targets: str, says: str, formula: str, source: str = "", once: bool = False, **extra: Number
) -> Callable[[Callable[..., Assertions]], Callable[..., Assertions]]:
    """Collect a law `name` of each of the `targets` (separated by blanks). Without a `source` it is the target's."""

    def collect(assertions: Callable[..., Assertions]) -> Callable[..., Assertions]:
        for target in targets.split():
            LAWS.append(Law(name, target, says, formula, source, assertions, extra=extra, once=once))
        return assertions

    return collect


@dataclass(frozen=True)
class Broken:
    """The smallest counterexample to a law that was found: the false assertion, after these calls."""

    law: str
    says: str
    formula: str
    source: str
    assertion: Assertion
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the laws of one target say about one implementation."""

    target: str
    candidate: str
    framework: str
    broken: list[Broken]
    held: list[str]
    unjudged: dict[str, str]  # law -> why it could not be judged
    laws: tuple[Law, ...] = ()
    max_examples: int = 0
    seed: int = 0

    @property
    def holds(self) -> bool:
        return not self.broken
