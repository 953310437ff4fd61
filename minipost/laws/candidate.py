"""An implementation under judgement: called safely, and held to the contract at every call.

Whatever it does, the judge gets one of three things: its outputs as float arrays, its gradients, or a `ContractBroken`
that says which clause was broken: it raised, it hung, it wrote to its arguments, it returned another shape or type.
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from minipost.laws.adapters import Framework, framework_of
from minipost.laws.binding import annotated, bind
from minipost.laws.law import DEFAULTS, Array, Call, Case
from minipost.laws.targets import Target

TIME_LIMIT = 10.0  # seconds a call
TICK = 0.5  # seconds between two looks at how long a call has taken
WAITING = 0.25  # of the time in which a call does not compute


class ContractBroken(Exception):  # noqa: N818  (it is a verdict)
    """`what` the implementation did, and what it should have done."""

    def __init__(self, what: str, got: Any, should: str, call: Call) -> None:
        super().__init__(what)
        self.what, self.got, self.should, self.call = what, got, should, call


class Hung(BaseException):
    """A call went on for longer than the limit. No `Exception`, so that an implementation cannot catch it by habit."""


class Unsupported(Exception):  # noqa: N818
    """A law needs an optional argument that the function does not take."""


class Candidate:
    """`function` seen through its framework: `f(x)` gives outputs, `f.gradient(x)` gradients.

    `framework` None reads it from the annotations, NumPy if there are none. `calls` keeps what happened since it was
    last cleared. `watch(case)` is entered for the time of each call.
    """

    def __init__(
        self,
        target: Target,
        function: Callable[..., Any],
        framework: str | None = None,
        watch: Callable[[Case], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.target, self.function, self.watch = target, function, watch
        self.binding = bind(function, target.arguments, target.optional)
        by_parameter = annotated(function)
        named = next((f for f in ("torch", "jax", "tensor") if f in by_parameter.values()), "numpy")
        self.framework: Framework = framework_of(framework or named)
        self._numpy = framework_of("numpy")
        self._as_numpy = frozenset(
            argument for argument, p in self.binding.places if by_parameter.get(p.name) == "numpy" and framework is None
        )
        self.calls: list[Call] = []

    # --------------------------------------------------------------------------------------------------- what laws use
    def __call__(self, x: Case) -> Any:
        """The output in float64 (a tuple if the contract has several), checked against the contract."""
        outputs = self.outputs(x)
        wide = tuple(np.asarray(out, np.float64)[()] for out in outputs)
        return wide if len(wide) > 1 else wide[0]

    def gradient(self, x: Case) -> dict[str, Array]:
        """Gradients of the sum of all outputs, in float64, of every differentiable argument that `x` has."""
        names = self.target.differentiable(x)
        if self.framework.name == "numpy":
            names = tuple(name for name in names if name != "z")  # differences cannot tell data from a variable
            x = Case({k: v.astype(np.float64) if _is_float(v) else v for k, v in x.given.items()})
        at = {name: _copied(x.given[name]) for name in names}
        call = Call(x, None, gradient=True)

        def run(leaves: Mapping[str, Any]) -> Any:
            given = {name: self._argument(name, value) for name, value in self._given(x).items() if name not in leaves}
            return self._called(call, {**given, **leaves})

        with self._careful():
            try:
                found = self.framework.gradients(run, at)
            except (ContractBroken, Hung):
                raise
            except Exception as error:
                raise ContractBroken("differentiating it raised", _told(error), "gradients", call) from None
        found = {name: np.asarray(g, np.float64) for name, g in found.items()}
        self.calls.append(Call(x, found, gradient=True))
        return found

    def raises(self, x: Case) -> bool:
        """Whether the call raises; an output is not checked."""
        return self.attempt(x) is None

    def attempt(self, x: Case) -> Array | None:
        """The one output of a call that is allowed to raise: None if it does."""
        try:
            with self._careful():
                converted = {name: self._argument(name, value) for name, value in self._given(x).items()}
                returned = self.framework.value(self._called(Call(x, None), converted))
        except ContractBroken as broken:
            self.calls.append(Call(x, broken.got))
            return None
        self.calls.append(Call(x, returned))
        return returned

    # ------------------------------------------------------------------------------------------------------ one call
    def outputs(self, x: Case) -> tuple[Array, ...]:
        """The outputs as they came, after all checks but that for NaN."""
        given = self._given(x)
        call = Call(x, None)
        with self._careful():
            converted = {name: self._argument(name, value) for name, value in given.items()}
            returned = self._called(call, converted)
        outputs = self._read(returned, call)
        done = Call(x, outputs if len(outputs) > 1 else outputs[0])
        self.calls.append(done)
        for name, value in given.items():
            if isinstance(value, np.ndarray) and not _same(self.framework.value(converted[name]), value):
                after = np.array(self.framework.value(converted[name]))
                raise ContractBroken(f"it wrote to its argument {name}", after, "arguments stay as they are", done)
        return outputs

    def _given(self, x: Case) -> dict[str, Any]:
        """The arguments to pass: with defaults where the function has none, without those that it does not take."""
        given = {name: DEFAULTS[name] for name in self.binding.required} | x.given
        for name in self.binding.unsupported & given.keys():
            if np.any(np.asarray(given.pop(name)) != DEFAULTS[name]):
                raise Unsupported(name)
        return given

    def _argument(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if name in self._as_numpy:
            return _copied(value)
        if self.framework.name == "numpy" and name == "z":
            return value[()]  # a number
        return self.framework.array(_copied(value))

    def _called(self, call: Call, arguments: Mapping[str, Any]) -> Any:
        watched = self.watch(call.case) if self.watch is not None else nullcontext()
        try:
            with watched, _limited(TIME_LIMIT):
                return self.binding.call(self.function, arguments)
        except (Exception, SystemExit, GeneratorExit) as error:
            should = "a result: these arguments are within the contract"
            raise ContractBroken("it raised", _told(error), should, call) from None

    def _read(self, returned: Any, call: Call) -> tuple[Array, ...]:
        """The outputs as arrays, held to the contract's shapes and types."""
        shapes = self.target.returns(call.case)
        parts = (returned,) if len(shapes) == 1 else returned
        try:
            outputs = tuple(self.framework.value(part) for part in parts)
        except Exception as error:
            raise ContractBroken("its result cannot be read", _told(error), _in_words(shapes), call) from None
        got = tuple(out.shape for out in outputs)
        if got != shapes:
            raise ContractBroken("it returned another shape", _in_words(got), _in_words(shapes), call)
        needed = np.float32 if any(_is_narrow(v) for v in call.case.given.values()) else np.float64
        for out in outputs:
            if out.dtype.kind != "f" or out.dtype.itemsize < np.dtype(needed).itemsize:
                should = f"{np.dtype(needed)}, as wide as the inputs"
                raise ContractBroken("it returned another type", str(out.dtype), should, call)
        return outputs

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """Warnings of the implementation are its own business: what counts is the value."""
        with warnings.catch_warnings(), np.errstate(all="ignore"), self.framework.session():
            warnings.simplefilter("ignore")
            yield


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `Hung` in a call that takes longer. Only the main thread of a POSIX system can be interrupted so.

    What counts is the time that the process got, though at least a `WAITING` share of the clock's: on a busy machine
    a slow call is not a hanging one, and one of a laptop that slept, or of a process that was stopped, neither. A call
    that waits without computing is given up later.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    spent, computed = 0.0, time.process_time()

    def tick(signum: int, frame: Any) -> None:
        nonlocal spent, computed
        now = time.process_time()
        spent += min(TICK, max(WAITING * TICK, now - computed))
        computed = now
        if spent >= seconds:  # and again at each further tick, should the first be caught
            raise Hung

    before = signal.signal(signal.SIGALRM, tick)
    left, _ = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _copied(x: Any) -> Any:
    """A copy that lies in memory as `x` does: row by row, column by column, or with gaps."""
    if np.ndim(x) and not (x.flags.c_contiguous or x.flags.f_contiguous):
        return np.stack([x, x], axis=-1)[..., 0]
    return np.array(x, order="K")


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _is_narrow(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float32


def _in_words(shapes: tuple[tuple[int, ...], ...]) -> str:
    return "shape " + " and ".join(str(shape) for shape in shapes)


def _told(error: BaseException) -> str:
    """An exception on one line, with the line of code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename.rpartition('/')[2]})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"
