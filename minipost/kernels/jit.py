"""How kernels are compiled: a decorator for all, one for what they call, and the exponential that they share.

`@kernel` is Numba's `njit` with four decisions taken once:

- `nogil`: two Python threads run two kernels at the same time; the package shards a batch over cores that way.
- `cache`: compiled code is kept beside the source, or in Numba's cache folder; where neither can be written (a
  read-only install without a home) it compiles again in each process.
- `fastmath` without the "no NaN, no infinity" licence: sums may be reordered, so that they vectorise, but an infinite
  or NaN input stays visible.
- `error_model="numpy"`: no check for division by zero inside inner loops.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import event
from numba.extending import intrinsic, overload

STAMP = tuple((path.name, zlib.crc32(path.read_bytes())) for path in sorted(Path(__file__).parent.glob("*.py")))
F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz", "afn"},
}
INLINED = OPTIONS | {"forceinline": True}  # of what is compiled into its callers


def kernel(function: F, options: Mapping[str, Any] = OPTIONS) -> F:
    """Compile `function` at its first call, once for each combination of array types."""
    try:
        return with_stamp(numba.njit(function, cache=True, **options))
    except RuntimeError:  # "cannot cache function: no locator available": nowhere to write
        return numba.njit(function, **options)


def with_stamp(compiled: F, more: str = "") -> F:
    """Let cached code hold only as long as all sources of this folder: Numba looks at the function's own file alone.

    But a kernel has others' code inlined, and calls products by the places of a table. Old code would run on.
    """
    file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, STAMP, more)
        file.save = partial(_save, file)
    return compiled


def _save(file: Any, key: Any, data: Any) -> None:
    """Numba's `save`, for processes that compile at the same time: the code's file is named by what it is for.

    Numba counts. Two processes that compile a function for different types would give both codes the same number, and
    the index would name one's types and hold the other's code. Here they are two files; an entry of the index may get
    lost, and its code is then compiled again. The index comes last, so that it never names a file of older code.
    """
    name = file._data_name(zlib.crc32(repr(key).encode()))
    file._save_data(name, data)
    file._save_index(file._load_index() | {key: name})


def inlined(function: F) -> F:
    """A kernel that other kernels call: it is compiled into each of them.

    Otherwise there are several copies, whose sums are ordered differently, and the linker picks one: in a process that
    compiles another than in one that reads the cache. The last bits of a run would depend on who compiled.
    """
    return kernel(function, INLINED)


@intrinsic
def wide_vectors(typing: Any) -> Any:
    """Called in a kernel: LLVM may use vectors of 512 bits for its loops where the processor has them, not just 256."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own add knows few names
        return context.get_dummy_value()

    return types.void(), generate


class _SayOnce(event.Listener):  # type: ignore[misc]
    """Tell who waits why: the first kernel that is compiled, and not found in the cache, is announced."""

    def __init__(self) -> None:
        self.announced = False

    def on_start(self, event: Any) -> None:
        if not self.announced and event.data["dispatcher"].targetoptions.get("error_model") == "numpy":  # one of ours
            self.announced = True
            print("Compiling kernels for this machine: some ten seconds, once.", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _SayOnce())


def exp(x: Any) -> Any:
    """The exponential for use inside kernels. In float32 a polynomial that the compiler can vectorise.

    It takes half a library call's time. Cody-Waite: `x = n ln 2 + r`, `exp(x) = 2^n p(r)`, |r| <= ln 2 / 2. Relative
    error <= 2e-7; below -87 it gives 0.
    """
    return math.exp(x)


@overload(exp, jit_options=INLINED, inline="never")
def _exp_in_kernels(x):  # type: ignore[no-untyped-def]
    if x != numba.types.float32:
        return lambda x: math.exp(x)

    log2e, ln2_high, ln2_low = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
    c6, c5, c4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
    c3, c2, c1 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
    one, low, high, zero = np.float32(1.0), np.float32(-87.3), np.float32(88.3), np.float32(0.0)

    def polynomial(x):  # type: ignore[no-untyped-def]
        z = min(max(x, low), high)
        n = np.floor(z * log2e + np.float32(0.5))
        r = z - n * ln2_high - n * ln2_low
        p = ((((c6 * r + c5) * r + c4) * r + c3) * r + c2) * r + c1
        scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        return zero if x < low else (p * r * r + r + one) * scale

    return polynomial


@inlined
def largest(x: Any) -> Any:
    """The maximum of contiguous x[n], n >= 1. A loop over one running maximum does not vectorise."""
    n, top = x.shape[0], x[0]
    if n < BLOCK:
        for j in range(n):
            top = max(top, x[j])
        return top
    first, last = np.intp(x.ctypes.data), (n - BLOCK) * x.itemsize  # the last block may overlap the one before
    return max(_largest_of_blocks(first, n // BLOCK, top), _largest_of_blocks(first + last, 1, top))


BLOCK = 64  # running maxima side by side: several vectors, since each waits for its own last step


@intrinsic
def _largest_of_blocks(typing: Any, address: Any, blocks: Any, one: Any) -> Any:
    """The maximum of `blocks` >= 1 times BLOCK numbers of the type of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, blocks, one = arguments
        vector, i64 = ir.VectorType(one.type, BLOCK), ir.IntType(64)
        size = signature.args[2].bitwidth // 8
        before, loop, done = builder.block, builder.append_basic_block("largest"), builder.append_basic_block("found")
        first = builder.load(builder.inttoptr(address, vector.as_pointer()), align=size)
        builder.branch(loop)
        builder.position_at_end(loop)
        left, at, tops = builder.phi(i64), builder.phi(i64), builder.phi(vector)
        x = builder.load(builder.inttoptr(at, vector.as_pointer()), align=size)
        larger = builder.select(builder.fcmp_ordered(">", x, tops), x, tops)
        now_left = builder.sub(left, i64(1))
        for phi, start, then in (
            (left, blocks, now_left),
            (at, address, builder.add(at, i64(BLOCK * size))),
            (tops, first, larger),
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed(">", now_left, i64(0)), loop, done)
        builder.position_at_end(done)
        half = BLOCK // 2
        while half:  # the larger of the first half and the second
            low, high = (ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(h, h + half))) for h in (0, half))
            a, b = builder.shuffle_vector(larger, larger, low), builder.shuffle_vector(larger, larger, high)
            larger = builder.select(builder.fcmp_ordered(">", a, b), a, b)
            half //= 2
        return builder.extract_element(larger, i64(0))

    return one(types.intp, types.intp, one), generate
