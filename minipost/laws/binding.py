"""How a stranger's function is called: which of its parameters gets which argument, and in which framework.

An argument of the contract goes to the parameter of its own name. Whatever is left fills the parameters that are left,
in the contract's order: `dpo(pi_w, pi_l, ref_w, ref_l, beta)` works as `dpo(beta, policy_chosen, ...)` does. An
optional argument fills a parameter of another name only if that one's default is of the same kind, so that
`reference_free=False` is not taken for `label_smoothing=0.0`; optional arguments that find no place are left out.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from minipost.laws.law import DEFAULTS

Parameter = inspect.Parameter


@dataclass(frozen=True)
class Binding:
    """Which parameter takes which argument. `places` is in the order of the parameters."""

    places: tuple[tuple[str, Parameter], ...]  # (argument, parameter)
    positional: tuple[str, ...]  # arguments for `*args`, or that fit nowhere: let the call say so
    required: frozenset[str]  # optional arguments of the contract for which the parameter has no default
    unsupported: frozenset[str]  # optional arguments that the function does not take

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """`function(...)` with `arguments`, which are named as the contract names them."""
        places = [(name, p) for name, p in self.places if name in arguments]
        args = [arguments[name] for name, p in places if p.kind is Parameter.POSITIONAL_ONLY]
        kwargs = {p.name: arguments[name] for name, p in places if p.kind is not Parameter.POSITIONAL_ONLY}
        args += [arguments[name] for name in self.positional if name in arguments]
        return function(*args, **kwargs)


def bind(function: Callable[..., Any], arguments: Sequence[str], optional: Sequence[str]) -> Binding:
    """The binding of a function to the arguments of a target."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # compiled functions may not tell
        return Binding((), tuple(arguments), frozenset(), frozenset())
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        only = {p.name: p for p in parameters if p.kind is Parameter.KEYWORD_ONLY}
        places = tuple((name, only[name]) for name in arguments if name in only)
        return Binding(places, tuple(n for n in arguments if n not in only), frozenset(), frozenset())
    by_name = {p.name: p for p in parameters if p.kind is not Parameter.VAR_KEYWORD}
    taken = {name: by_name.pop(name) for name in arguments if name in by_name}
    free = list(by_name.values())
    for name in arguments:
        if name in taken:
            continue
        if name not in optional:
            if free:
                taken[name] = free.pop(0)
        elif free and _same_kind(free[0], DEFAULTS[name]):
            taken[name] = free.pop(0)
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        taken |= {n: Parameter(n, Parameter.KEYWORD_ONLY, default=None) for n in arguments if n not in taken}
    order = {p.name: i for i, p in enumerate(parameters)}
    places = tuple(sorted(taken.items(), key=lambda item: order.get(item[1].name, len(order))))
    return Binding(
        places,
        tuple(name for name in arguments if name not in taken and name not in optional),
        frozenset(name for name in optional if name in taken and taken[name].default is Parameter.empty),
        frozenset(name for name in optional if name not in taken),
    )


def _same_kind(parameter: Parameter, default: Any) -> bool:
    """Whether a parameter of another name may stand for an optional argument with this default."""
    value = parameter.default
    if value is Parameter.empty or value is None:
        return True
    if isinstance(value, bool) or isinstance(default, bool):
        return type(value) is type(default)
    return isinstance(value, int | float) and isinstance(default, int | float)


# ---------------------------------------------------------------------------------------------------------- annotations
def annotated(function: Callable[..., Any]) -> dict[str, str]:
    """parameter -> framework, for the parameters (and "return") whose annotation names one."""
    plain = inspect.unwrap(function)
    plain = getattr(plain, "func", plain)  # of a functools.partial
    annotations = getattr(plain, "__annotations__", None) or getattr(type(plain).__call__, "__annotations__", {})
    module = sys.modules.get(getattr(plain, "__module__", "") or "")
    names = {**vars(module)} if module else {}
    names |= getattr(plain, "__globals__", {})
    named = {name: _framework(annotation, names) for name, annotation in annotations.items()}
    return {name: framework for name, framework in named.items() if framework}


def _framework(annotation: Any, names: dict[str, Any]) -> str | None:
    """The framework that one annotation names; where it names several, the one that differentiates."""
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, dict(names))
        except Exception:  # names that only a type checker imports
            return _by_words(annotation, names)
    known = {name for module in _modules(annotation) if (name := _by_module(module))}
    return next((name for name in ("torch", "jax", "tensor", "numpy") if name in known), None)


def _modules(annotation: Any) -> Iterator[str]:
    """The modules of all types in an annotation: unions, lists, `Annotated`, and jaxtyping's arrays."""
    inner = [*get_args(annotation), getattr(annotation, "array_type", None)]
    for part in inner:
        if isinstance(part, type) or get_origin(part) or isinstance(part, types.UnionType):
            yield from _modules(part)
    yield str(getattr(get_origin(annotation) or annotation, "__module__", ""))


def _by_module(module: str) -> str | None:
    top = module.split(".")[0]
    if module.startswith("minipost.autograd"):
        return "tensor"
    return {"torch": "torch", "jax": "jax", "jaxlib": "jax", "numpy": "numpy"}.get(top)


def _by_words(annotation: str, names: Mapping[str, Any]) -> str | None:
    """For an annotation that cannot be evaluated: what its words suggest."""
    words = set(re.findall(r"\w+", annotation))
    for framework, tell in (("torch", {"torch"}), ("jax", {"jax", "jnp"}), ("numpy", {"np", "numpy", "ndarray"})):
        if words & tell:
            return framework
    if "Tensor" in words:
        return "tensor" if "minipost" in words or "autograd" in names else "torch"
    return None
