"""A tensor that remembers how it was made, and the walk back through its history.

The whole idea of reverse-mode differentiation fits in three rules:

1. Every operation on a `Tensor` stores its inputs (`parents`) and one function `vjp(g)` that turns the gradient of the
   loss with respect to the *output* into the gradients with respect to the *inputs* (a vector-Jacobian product).
2. `backward` visits the tensors in reverse topological order, so that a tensor's gradient is complete before it is
   passed on. Order matters: in `b = a + a; c = b * b + b` a depth-first walk that passed `b`'s gradient on at its first
   arrival would hand `a` only a part of it.
3. A tensor used twice receives the *sum* of what comes back.

Two design choices keep the rest of the package simple. A `Tensor` carries gradient and an `ndarray` is a constant:
there is no `detach` and no `no_grad`, one passes `x.data`. And a node stores `vjp`, never its own output, so that no
reference cycle arises and the graph is freed as soon as `backward` has used it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Vjp: TypeAlias = Callable[[Array], Sequence["Array | None"]]

_find_nan = False


class AutogradError(ValueError):
    """What the tape refuses to do, said in one sentence."""


class Tensor:
    """A float32 or float64 array with a gradient.

    `data` is the value (any shape), `grad` is None until `backward` fills it, for leaves only: the tensors that a user
    made. Tensors that operations made pass their gradient on and keep none.
    """

    __slots__ = ("_fresh", "_parents", "_vjp", "data", "grad")
    __array_ufunc__ = None  # makes `ndarray * Tensor` call Tensor.__rmul__ and not NumPy's element-wise loop

    def __init__(self, data: Any) -> None:
        array = data.data if isinstance(data, Tensor) else np.asarray(data)
        if array.dtype not in (np.float32, np.float64):
            raise AutogradError(
                f"Tensor needs a float32 or float64 array, got {array.dtype} of shape {array.shape}: "
                "convert it with .astype(np.float32), or keep it an ndarray if it is a constant."
            )
        self.data: Array = array
        self.grad: Array | None = None
        self._parents: tuple[Tensor, ...] = ()
        self._vjp: Vjp | None = None
        self._fresh = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Tensor({np.array2string(self.data, threshold=8)}, shape={self.shape}, {self.dtype})"

    def item(self) -> float:
        return float(self.data.item())

    def __float__(self) -> float:
        return self.item()

    # ---------------------------------------------------------------- backward
    def backward(self, gradient: Array | None = None) -> None:
        """Add d(self)/d(leaf) to the `grad` of every leaf that this tensor was computed from, and free the graph.

        `gradient` is the gradient of some later loss with respect to this tensor, of its shape; it may be left out for
        a scalar, where it is 1. Raises `AutogradError` for a missing or misshapen gradient, and at a second call.

        >>> a = Tensor(np.array(3.0)); b = a + a; c = b * b + b     # c = 4 a^2 + 2 a
        >>> c.backward(); float(a.grad)                              # 8 a + 2
        26.0
        """
        if gradient is None:
            if self.size != 1:
                raise AutogradError(
                    f"backward() without a gradient needs a scalar, got shape {self.shape}: "
                    "reduce the loss with .sum() or .mean(), or pass a gradient of that shape."
                )
            gradient = np.ones_like(self.data)
        elif np.shape(gradient) != self.shape:
            raise AutogradError(f"the gradient has shape {np.shape(gradient)} but the tensor has shape {self.shape}.")

        pending: dict[int, Array] = {id(self): gradient}
        unshared: set[int] = set()  # whose pending gradient nobody else holds: a leaf may keep it without a copy
        for tensor in topological_order(self):
            g = pending.pop(id(tensor))
            if tensor._vjp is None:
                if tensor.grad is not None:
                    tensor.grad = tensor.grad + g
                else:
                    tensor.grad = g if id(tensor) in unshared else g.copy()
                continue
            for parent, parent_g in zip(tensor._parents, tensor._vjp(g), strict=True):
                if parent_g is None:
                    parent_g = np.zeros_like(parent.data)
                parent_g = unbroadcast(parent_g, parent.shape)
                if _find_nan and not np.isfinite(parent_g).all():
                    name = operation_name(tensor._vjp)
                    raise AutogradError(f"NaN or inf in a gradient of shape {parent.shape} from {name}.")
                waiting = pending.get(id(parent))
                pending[id(parent)] = parent_g if waiting is None else waiting + parent_g
                if tensor._fresh or waiting is not None:
                    unshared.add(id(parent))
            tensor._parents, tensor._vjp = (), _already_used

    # --------------------------------------------------------------- operators
    # Declared here; they are functions of primitives.py, which puts them into their places at its import.
    __add__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __radd__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __sub__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __rsub__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __mul__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __rmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __truediv__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __rtruediv__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __pow__: ClassVar[Callable[[Tensor, float], Tensor]]
    __matmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __rmatmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
    __neg__: ClassVar[Callable[[Tensor], Tensor]]
    __getitem__: ClassVar[Callable[[Tensor, Any], Tensor]]
    sum: ClassVar[Callable[..., Tensor]]
    mean: ClassVar[Callable[..., Tensor]]
    reshape: ClassVar[Callable[..., Tensor]]
    transpose: ClassVar[Callable[..., Tensor]]

    @property
    def T(self) -> Tensor:  # noqa: N802  (NumPy's name)
        return self.transpose()

    # Comparisons give constants: a mask has no gradient.
    def __lt__(self, other: Any) -> Array:
        return np.less(self.data, value(other))

    def __le__(self, other: Any) -> Array:
        return np.less_equal(self.data, value(other))

    def __gt__(self, other: Any) -> Array:
        return np.greater(self.data, value(other))

    def __ge__(self, other: Any) -> Array:
        return np.greater_equal(self.data, value(other))


def value(x: Any) -> Any:
    """The array (or number) inside: a Tensor's data, anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def record(out: Array, inputs: Sequence[Any], vjp: Vjp, fresh: bool = False) -> Any:
    """Wrap `out` so that `backward` can pass through it; a plain `out` if no input is a Tensor.

    `vjp(g)` returns one gradient for each entry of `inputs`, in order; those of constants are dropped and may be None.
    A gradient may have the broadcast shape: `backward` sums it to its parent's. `fresh`: each is an array that `vjp`
    made at this call and gave to nobody else, not `g`, not a view, not one array twice.
    """
    if _find_nan and not np.isfinite(out).all():
        shapes = [np.shape(value(x)) for x in inputs]
        raise AutogradError(f"NaN or inf in the output of {operation_name(vjp)} on inputs of shapes {shapes}.")
    carries = [isinstance(x, Tensor) for x in inputs]
    if not any(carries):
        return out
    result = Tensor(out)
    result._fresh = fresh
    result._parents = tuple(x for x in inputs if isinstance(x, Tensor))
    if all(carries):
        result._vjp = vjp
    else:

        def of_tensors(g: Array) -> Sequence[Array | None]:
            return [parent_g for parent_g, keep in zip(vjp(g), carries, strict=True) if keep]

        of_tensors.__qualname__ = vjp.__qualname__  # it is still that operation's
        result._vjp = of_tensors
    return result


def topological_order(root: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that `root` depends on, each after all the tensors that use it.

    Counts how often each tensor is used, then releases it when its last user has been visited (Kahn 1962). No
    recursion: a chain of 100,000 operations does not overflow Python's stack.
    """
    uses: dict[int, int] = {id(root): 0}
    stack = [root]
    while stack:
        tensor = stack.pop()
        if tensor._vjp is _already_used:
            raise AutogradError(
                "this graph was freed by an earlier backward(): compute the loss again before the second one, "
                "or add the losses up and call backward() once."
            )
        for parent in tensor._parents:
            if id(parent) not in uses:
                uses[id(parent)] = 0
                stack.append(parent)
            uses[id(parent)] += 1
    ready = [root]
    while ready:
        tensor = ready.pop()
        parents = tensor._parents
        yield tensor  # the caller frees the tensor here, hence the copy of its parents
        for parent in parents:
            uses[id(parent)] -= 1
            if uses[id(parent)] == 0:
                ready.append(parent)


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum `g` over the axes along which NumPy repeated an array of `shape`: the transpose of broadcasting."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)


@contextmanager
def find_nan() -> Iterator[None]:
    """Inside this block every operation, forward and backward, refuses to give NaN or inf and names itself.

    >>> with find_nan():
    ...     Tensor(np.array([1e200])) * 1e200
    Traceback (most recent call last):
    minipost.autograd.tensor.AutogradError: NaN or inf in the output of multiply on inputs of shapes [(1,), ()].
    """
    global _find_nan
    before, _find_nan = _find_nan, True
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _find_nan = before


def _already_used(g: Array) -> Sequence[Array | None]:
    raise AutogradError("unreachable: topological_order refuses a freed graph.")


def operation_name(vjp: Vjp) -> str:
    """The operation that a `vjp` belongs to: the function in which it was written."""
    return vjp.__qualname__.split(".")[0]
