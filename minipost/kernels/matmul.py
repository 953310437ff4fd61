"""Matrix products of our own: as fast as OpenBLAS, on any NumPy, on any processor that LLVM knows.

    c = alpha op(a) op(b) + beta c,   op: as it is, or transposed

`gemm` is called inside kernels, `matmul_into` and `matmul` from Python. The work is done by one of three products:
`product.py` in float32 or float64, `bfloat16.py` on float32 arrays whose numbers are rounded first.

A product knows addresses and bytes, not arrays, so that there is one compiled function of each, whatever arrays the
kernels hold. Inlined, or as Numba's usual call, a copy would be compiled into every kernel: a second each. Kernels find
the three in a table, which they know by name, in this process and in any that reads them from the cache. A product is
compiled when it is first called: until then its place in the table holds a function that does so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import traceback
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.ccallback import CFunc
from numba.extending import intrinsic, overload

from minipost.kernels import bfloat16
from minipost.kernels.jit import INLINED, OPTIONS, inlined, kernel, with_stamp
from minipost.kernels.product import product

PRODUCTS = (("float32", product), ("float64", product), ("float32", bfloat16.product))
FLOAT32, FLOAT64, BFLOAT16 = range(3)  # places in the table
TABLE = "minipost_products"


def gemm(
    a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float, low: bool = False
) -> None:
    """`c = alpha op(a) op(b) + beta c` inside kernels, for matrices with contiguous last axes; rows may be strided.

    All of float32 or all of float64, any size, 0 included; with beta = 0 whatever c held is not read. `low`: round the
    numbers of a and b to bfloat16 first, if they are float32; sums are float32 all the same.
    """
    A, B = (a.T if transpose_a else a), (b.T if transpose_b else b)
    c[...] = alpha * (A @ B) + (beta * c if beta != 0 else 0)


@kernel
def matmul_into(
    a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float, low: bool = False
) -> None:
    """`gemm` for callers in Python."""
    gemm(a, b, c, transpose_a, transpose_b, alpha, beta, low)


def matmul(a: Any, b: Any) -> Any:
    """a[m, k] @ b[k, n] as a new matrix, for float32 or float64; either may be a transposed view."""
    dtype = np.result_type(a, b)
    a, turned_a = _rows_contiguous(a.astype(dtype, copy=False))
    b, turned_b = _rows_contiguous(b.astype(dtype, copy=False))
    c = np.empty((a.shape[1] if turned_a else a.shape[0], b.shape[0] if turned_b else b.shape[1]), dtype)
    matmul_into(a, b, c, turned_a, turned_b, 1.0, 0.0)
    return c


def _rows_contiguous(x: Any) -> tuple[Any, bool]:
    """(x, False), or (x.T, True) if the first axis is the contiguous one."""
    if x.strides[0] == x.itemsize and x.strides[1] >= x.shape[0] * x.itemsize:
        return x.T, True
    return (x if x.strides[1] == x.itemsize else np.ascontiguousarray(x)), False


@overload(gemm, jit_options=INLINED)
def _gemm_in_kernels(a, b, c, transpose_a, transpose_b, alpha, beta, low=False):  # type: ignore[no-untyped-def]
    single = c.dtype == types.float32
    real, wide = (np.float32, FLOAT32) if single else (np.float64, FLOAT64)

    def call(a, b, c, transpose_a, transpose_b, alpha, beta, low=False):  # type: ignore[no-untyped-def]
        m, n = c.shape
        k = a.shape[0] if transpose_a else a.shape[1]
        place = BFLOAT16 if single and low else wide
        A, B, C = address(a, 0, 0), address(b, 0, 0), address(c, 0, 0)
        sizes = row_bytes(a), row_bytes(b), row_bytes(c)
        call_product(
            place, A, sizes[0], transpose_a, B, sizes[1], transpose_b, C, sizes[2], m, n, k, real(alpha), real(beta)
        )

    return call


@inlined
def row_bytes(x: Any) -> int:
    """From one row to the next. NumPy says anything of a single row."""
    return max(x.strides[0], x.shape[1] * x.itemsize)


@inlined
def address(x: Any, i: int, j: int) -> int:
    """Of x[i, j]."""
    return np.intp(x.ctypes.data) + i * row_bytes(x) + j * x.itemsize


@intrinsic
def call_product(typing, place, a, a_row, turn_a, b, b_row, turn_b, c, c_row, m, n, k, alpha, beta):  # type: ignore[no-untyped-def]
    """Call the product that stands at a place of the table."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = [context.get_value_type(x) for x in signature.args[1:]]
        table_type = ir.ArrayType(ir.IntType(64), len(PRODUCTS))
        table = builder.module.globals.get(TABLE) or ir.GlobalVariable(builder.module, table_type, TABLE)
        number = builder.load(builder.gep(table, [ir.IntType(64)(0), arguments[0]]))
        builder.call(builder.inttoptr(number, ir.FunctionType(ir.VoidType(), kinds).as_pointer()), arguments[1:])
        return context.get_dummy_value()

    i, flag = types.intp, types.int64
    return types.void(i, i, i, flag, i, i, flag, i, i, i, i, i, alpha, alpha), generate


def _compile_at_first_call(place: int) -> Any:
    """A C function that compiles the product of a place, puts it there, and passes its first call on."""
    integer, number = ctypes.c_int64, ctypes.c_float if PRODUCTS[place][0] == "float32" else ctypes.c_double
    kind = ctypes.CFUNCTYPE(None, *[integer] * 11, number, number)

    def first(*arguments: Any) -> None:
        try:
            compile_product(place)
        except BaseException:  # C has no errors, and the caller would go on without a result
            traceback.print_exc()
            os._exit(70)
        kind(_compiled[place].address)(*arguments)

    return kind(first)


def compile_product(place: int) -> None:
    """Compile the product of a place of the table, or read it from the cache, and put it there."""
    with _lock:
        if place not in _compiled:
            compiled = c_function(place)
            compiled.compile()
            _compiled[place] = compiled
            _table[place] = compiled.address


def c_function(place: int) -> Any:
    """The product of a place as a C function, not compiled yet: Numba's `cfunc`, in steps, because of the stamp."""
    real, function = PRODUCTS[place]
    signature = types.void(*[types.int64] * 11, *[getattr(types, real)] * 2)
    options = {name: value for name, value in OPTIONS.items() if name != "nogil"}  # C knows of no lock
    compiled = CFunc(function, (signature.args, signature.return_type), {}, options)
    with contextlib.suppress(RuntimeError):  # nowhere to keep it: see `kernel`
        compiled.enable_caching()
        with_stamp(compiled, bfloat16.RUNG)  # a system may allow AMX to one process and not to another
    return compiled


_lock, _compiled = threading.Lock(), {}  # type: ignore[var-annotated]
_stubs = [_compile_at_first_call(place) for place in range(len(PRODUCTS))]
_table = (ctypes.c_int64 * len(PRODUCTS))(*[ctypes.cast(stub, ctypes.c_void_p).value or 0 for stub in _stubs])
llvmlite.binding.add_symbol(TABLE, ctypes.addressof(_table))
