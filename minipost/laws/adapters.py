"""How arrays go into an implementation and come back: NumPy, this project's Tensor, PyTorch, JAX.

Four small classes of one shape. `array` makes an argument, `value` reads a result, `gradients` differentiates the sum
of all outputs with the framework's own differentiation; NumPy has none, so there central differences in float64 stand
in. PyTorch and JAX are imported when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from minipost.autograd import Tensor
from minipost.errors import UserError
from minipost.laws.law import Array

Run = Callable[[Mapping[str, Any]], Any]  # leaves, already converted -> what the implementation returns
STEP = 1e-6  # of central differences: their error is about STEP^2, their rounding about 1e-16 / STEP


class LawError(UserError):
    """What keeps the laws from being judged: a missing package, an unknown target, a file without the function."""


class Framework:
    """What the judge needs of a framework; as it stands here, arrays are NumPy's and nothing is differentiable."""

    name: ClassVar[str]

    def array(self, x: Array) -> Any:
        """An argument that is data."""
        return x

    def value(self, out: Any) -> Array:
        """A result, or an argument, as a NumPy array of its own width."""
        return np.asarray(out)

    def gradients(self, run: Run, at: Mapping[str, Array]) -> dict[str, Array]:
        """The gradients of the sum of all outputs of `run`, one for each leaf in `at`."""
        raise NotImplementedError

    def session(self) -> AbstractContextManager[Any]:
        """Entered around everything that the implementation does."""
        return nullcontext()


class NumPy(Framework):
    """Plain arrays; for gradients, central differences, one coordinate at a time."""

    name = "numpy"

    def gradients(self, run: Run, at: Mapping[str, Array]) -> dict[str, Array]:
        def total(**moved: Array) -> float:
            return float(np.sum(np.asarray(run({**at, **moved}), np.float64)))

        gradients = {}
        for name, x in at.items():
            gradient = np.zeros(np.shape(x))
            for index in np.ndindex(gradient.shape):
                ends, step = [], STEP * max(1.0, abs(float(x[index])))
                for sign in (1, -1):
                    moved = x.copy()
                    moved[index] += sign * step
                    ends.append(total(**{name: moved}))
                gradient[index] = (ends[0] - ends[1]) / (2 * step)
            gradients[name] = gradient
        return gradients


class OwnTensor(Framework):
    """minipost.autograd: a Tensor carries gradient, an ndarray is a constant."""

    name = "tensor"

    def value(self, out: Any) -> Array:
        return np.asarray(out.data if isinstance(out, Tensor) else out)

    def gradients(self, run: Run, at: Mapping[str, Array]) -> dict[str, Array]:
        leaves = {name: Tensor(x) for name, x in at.items()}
        out = run(leaves)
        if isinstance(out, Tensor):
            out.backward(np.ones_like(out.data))
        return {name: np.zeros(t.shape) if t.grad is None else t.grad for name, t in leaves.items()}


class Torch(Framework):
    """PyTorch on the CPU."""

    name = "torch"

    def __init__(self) -> None:
        self.torch = _imported("torch", "PyTorch")
        self.torch.set_num_threads(1)  # arrays of a dozen numbers

    def array(self, x: Array) -> Any:
        return self.torch.from_numpy(x)

    def value(self, out: Any) -> Array:
        return np.asarray(out.detach().cpu().numpy() if isinstance(out, self.torch.Tensor) else out)

    def gradients(self, run: Run, at: Mapping[str, Array]) -> dict[str, Array]:
        leaves = {name: self.array(x).requires_grad_() for name, x in at.items()}
        out = run(leaves)
        if not (isinstance(out, self.torch.Tensor) and out.requires_grad):
            return {name: np.zeros(np.shape(x)) for name, x in at.items()}
        gradients = self.torch.autograd.grad(out.sum(), list(leaves.values()), allow_unused=True)
        return {
            name: np.zeros(np.shape(at[name])) if g is None else self.value(g)
            for name, g in zip(leaves, gradients, strict=True)
        }


class Jax(Framework):
    """JAX, with 64-bit numbers switched on while it is judged."""

    name = "jax"

    def __init__(self) -> None:
        self.jax = _imported("jax", "JAX")
        self.jnp = importlib.import_module("jax.numpy")

    def array(self, x: Array) -> Any:
        return self.jnp.asarray(x)

    def gradients(self, run: Run, at: Mapping[str, Array]) -> dict[str, Array]:
        differentiated = self.jax.grad(lambda leaves: self.jnp.sum(self.jnp.asarray(run(leaves))))
        gradients = differentiated({name: self.array(x) for name, x in at.items()})
        return {name: np.asarray(g) for name, g in gradients.items()}

    def session(self) -> AbstractContextManager[Any]:
        session: AbstractContextManager[Any] = self.jax.enable_x64(True)
        return session


FRAMEWORKS: dict[str, Callable[[], Framework]] = {"numpy": NumPy, "tensor": OwnTensor, "torch": Torch, "jax": Jax}


def framework_of(name: str) -> Framework:
    """The framework of that name; `LawError` if there is none or it is not installed."""
    if name not in FRAMEWORKS:
        raise LawError(f"There is no framework {name!r}; choose one of {', '.join(FRAMEWORKS)}.")
    return FRAMEWORKS[name]()


def _imported(module: str, called: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise LawError(f"{called} is not installed, and the implementation needs it: pip install {module}.") from None
