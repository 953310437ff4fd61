"""An implementation under judgement: seen through its framework, and held to the contract at every call.

Whatever it does, a law gets one of three things: its outputs as float arrays, its gradients, or a `ContractBroken`
that says which clause was broken: it raised, it hung, it wrote to its arguments, it returned another shape or type.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from minipost.laws import sandbox
from minipost.laws.adapters import Framework, framework_of
from minipost.laws.binding import annotated, bind
from minipost.laws.law import DEFAULTS, Array, Assertion, Call, Case
from minipost.laws.sandbox import copied, same
from minipost.laws.targets import Target

Implementation: TypeAlias = Callable[..., Any]  # a stranger's function


class ContractBroken(Exception):  # noqa: N818  (it is a verdict)
    """The `call` did not do what the `assertion` says."""

    def __init__(self, what: str, got: Any, should: str, call: Call) -> None:
        super().__init__(what)
        self.assertion, self.call = Assertion(what, got, should), call


class Unsupported(Exception):  # noqa: N818
    """A law needs an optional argument that the function does not take."""


class Candidate:
    """`function` seen through its framework: `f(x)` gives outputs, `f.gradient(x)` gradients.

    `framework` None reads it from the annotations, NumPy if there are none. `calls` keeps what happened since it was
    last cleared.
    """

    def __init__(self, target: Target, function: Implementation, framework: str | None = None) -> None:
        self.target, self.function = target, function
        self.binding = bind(function, target.arguments, target.optional)
        by_parameter = annotated(function)
        named = next((f for f in ("torch", "jax", "tensor") if f in by_parameter.values()), "numpy")
        self.framework: Framework = framework_of(framework or named)
        self._as_numpy = frozenset(
            argument for argument, p in self.binding.places if by_parameter.get(p.name) == "numpy" and framework is None
        )
        self.calls: list[Call] = []

    # --------------------------------------------------------------------------------------------------- what laws use
    def __call__(self, x: Case) -> Any:
        """The output in float64 (a tuple if the contract has several), checked against the contract."""
        wide = tuple(np.asarray(out, np.float64)[()] for out in self.outputs(x))
        return wide if len(wide) > 1 else wide[0]

    def gradient(self, x: Case) -> dict[str, Array]:
        """Gradients of the sum of all outputs, in float64, of every differentiable argument that `x` has."""
        names = self.target.differentiable(x)
        if self.framework.name == "numpy":
            names = tuple(name for name in names if name != "z")  # differences cannot tell data from a variable
            x = x.in_float64()
        leaves = {name: copied(x.arguments[name]) for name in names}
        call = Call(x, None, gradient=True)

        def run(leaves: Mapping[str, Any]) -> Any:
            return self._called(call, {**self._converted(x, without=leaves), **leaves})

        with self._guarded():
            try:
                gradients = self.framework.gradients(run, leaves)
            except ContractBroken:
                raise
            except Exception as error:
                raise ContractBroken("differentiating it raised", _described(error), "gradients", call) from None
        gradients = {name: np.asarray(g, np.float64) for name, g in gradients.items()}
        self.calls.append(Call(x, gradients, gradient=True))
        return gradients

    def raises(self, x: Case) -> bool:
        """Whether the call raises; an output is not checked."""
        return self.attempt(x) is None

    def attempt(self, x: Case) -> Array | None:
        """The one output of a call that is allowed to raise: None if it does."""
        try:
            with self._guarded():
                returned = self.framework.value(self._called(Call(x, None), self._converted(x)))
        except ContractBroken as breach:
            self.calls.append(Call(x, breach.assertion.got))
            return None
        self.calls.append(Call(x, returned))
        return returned

    # ------------------------------------------------------------------------------------------------------ one call
    def outputs(self, x: Case) -> tuple[Array, ...]:
        """The outputs as they came, after all checks but that for NaN."""
        call = Call(x, None)
        with self._guarded():
            converted = self._converted(x)
            returned = self._called(call, converted)
        outputs = self._read(returned, call)
        done = Call(x, outputs if len(outputs) > 1 else outputs[0])
        self.calls.append(done)
        for name, before in self._passed(x).items():
            if isinstance(before, np.ndarray) and not same(after := self.framework.value(converted[name]), before):
                what = f"it wrote to its argument {name}"
                raise ContractBroken(what, np.array(after), "arguments stay as they are", done)
        return outputs

    def _passed(self, x: Case) -> dict[str, Any]:
        """The arguments to pass: with defaults where the function has none, without those that it does not take."""
        passed = {name: DEFAULTS[name] for name in self.binding.required} | x.arguments
        for name in self.binding.unsupported & passed.keys():
            if np.any(np.asarray(passed.pop(name)) != DEFAULTS[name]):
                raise Unsupported(name)
        return passed

    def _converted(self, x: Case, without: Container[str] = ()) -> dict[str, Any]:
        """Copies of the arguments to pass, in the candidate's framework."""
        return {name: self._argument(name, value) for name, value in self._passed(x).items() if name not in without}

    def _argument(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if name in self._as_numpy:
            return copied(value)
        if self.framework.name == "numpy" and name == "z":
            return value[()]  # a number
        return self.framework.array(copied(value))

    def _called(self, call: Call, arguments: Mapping[str, Any]) -> Any:
        try:
            with sandbox.recorded(call.case), sandbox.time_limit(sandbox.TIME_LIMIT):
                return self.binding.call(self.function, arguments)
        except (Exception, SystemExit, GeneratorExit) as error:
            should = "a result: these arguments are within the contract"
            raise ContractBroken("it raised", _described(error), should, call) from None

    def _read(self, returned: Any, call: Call) -> tuple[Array, ...]:
        """The outputs as arrays, held to the contract's shapes and types."""
        shapes = self.target.returns(call.case)
        parts = (returned,) if len(shapes) == 1 else returned
        try:
            outputs = tuple(self.framework.value(part) for part in parts)
        except Exception as error:
            raise ContractBroken("its result cannot be read", _described(error), _in_words(shapes), call) from None
        got = tuple(out.shape for out in outputs)
        if got != shapes:
            raise ContractBroken("it returned another shape", _in_words(got), _in_words(shapes), call)
        needed = np.dtype(np.float32 if call.case.is_single else np.float64)
        for out in outputs:
            if out.dtype.kind != "f" or out.dtype.itemsize < needed.itemsize:
                should = f"{needed}, as wide as the inputs"
                raise ContractBroken("it returned another type", str(out.dtype), should, call)
        return outputs

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with sandbox.quiet(), self.framework.session():
            yield


def _in_words(shapes: tuple[tuple[int, ...], ...]) -> str:
    return "shape " + " and ".join(str(shape) for shape in shapes)


def _described(error: BaseException) -> str:
    """An exception on one line, with the line of code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename.rpartition('/')[2]})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"
