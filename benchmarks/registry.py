"""The kernels that are timed. Add one of yours with a line:

    from benchmarks.registry import register

    register("my norm", make_inputs, ours, reference, peer=None, flops=4 * N * C, bytes=8 * N * C)

in a file `my_module.py`, then `python -m benchmarks kernels --with my_module.py` shows it in table and chart.
`make_inputs(rng)` returns a tuple of arguments; `ours(*inputs)` and `reference(*inputs)` return an array, or a tuple of
arrays, and must agree; `peer(*inputs)` gets arrays as torch tensors and returns tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import BenchmarkError

MakeInputs = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Kernel:
    """A kernel with what it is held against. `flops` and `bytes` are the least that one call must do and move."""

    name: str
    make_inputs: MakeInputs
    ours: Callable[..., Any]
    reference: Callable[..., Any]
    peer: Callable[..., Any] | None
    flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes


REGISTRY: dict[str, Kernel] = {}


def register(
    name: str,
    make_inputs: MakeInputs,
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    peer: Callable[..., Any] | None = None,
    *,
    flops: float,
    bytes: float,
) -> Kernel:
    """Add a kernel to the table. Errors: `BenchmarkError` for a name that is taken, or counts that are not positive."""
    if name in REGISTRY:
        raise BenchmarkError(f"there is a kernel {name!r} already: register yours under another name.")
    if flops <= 0 or bytes <= 0:
        raise BenchmarkError(f"{name}: flops and bytes must be positive, got {flops} and {bytes}.")
    REGISTRY[name] = Kernel(name, make_inputs, ours, reference, peer, float(flops), float(bytes))
    return REGISTRY[name]
