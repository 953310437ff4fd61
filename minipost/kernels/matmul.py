"""Matrix products of our own: as fast as OpenBLAS, on any NumPy, on any processor that LLVM knows.

    c = alpha op(a) op(b) + beta c,   op: as it is, or transposed

Four tricks, from the inside out. Speeds are float32 on one core whose OpenBLAS reaches 150 GFLOP/s; three plain loops
reach 3. `python -m benchmarks ladders` climbs from there to here, with what failed on the way.

1. A *tile* of the result stays in registers during its whole sum over k (`tile.py`).
2. *Panels*: the columns of b that a row of tiles reads are copied side by side first. They then fit the first cache,
   whatever b's rows are apart, and a transposed b costs no more than a plain one. 120 -> 155 GFLOP/s.
3. *Blocks*: DEEP terms of a sum at a time, so that a panel stays in the first cache, and HIGH rows, so that a's part
   stays in the second one. 130 -> 150 at 1024 x 1408 x 256; nothing at small sizes.
4. A transposed a is copied into panels, too, unless it is one. Its tiles read a column of them. 115 -> 145.

Rows and columns that fill no tile go through smaller ones (4, 2 and 1 rows), or through a scratch tile.

The product knows addresses and bytes, not arrays. So there are two compiled functions, one for float32 and one for
float64, whatever arrays the kernels hold; they call them by name. Inlined, or as Numba's usual calls, a copy would be
compiled into every kernel: a second each.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from numba import cfunc, types
from numba.extending import overload

from minipost.kernels.jit import INLINED, OPTIONS, inlined, kernel
from minipost.kernels.tile import (
    ROWS,
    bytes_of,
    columns_of,
    copy_rows,
    lanes_of,
    make_tile,
    read,
    transpose_block,
    write,
)

DEEP = 128  # terms of a sum at a time: a panel of 128 x 32 float32 is 16 KB
HIGH = 256  # rows of a at a time: 256 x 128 float32 are 128 KB
FEW = 32  # rows of a for which copying b does not pay

tile_of_all, tile_of_4, tile_of_2, tile_of_1 = make_tile(ROWS), make_tile(4), make_tile(2), make_tile(1)


def gemm(a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float) -> None:
    """`c = alpha op(a) op(b) + beta c` inside kernels, for matrices with contiguous last axes; rows may be strided.

    All of float32 or all of float64, any size, 0 included; with beta = 0 whatever c held is not read.
    """
    A, B = (a.T if transpose_a else a), (b.T if transpose_b else b)
    c[...] = alpha * (A @ B) + (beta * c if beta != 0 else 0)


@kernel
def matmul_into(a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float) -> None:
    """`gemm` for callers in Python."""
    gemm(a, b, c, transpose_a, transpose_b, alpha, beta)


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


def product(a, a_row, transpose_a, b, b_row, transpose_b, c, c_row, m, n, k, alpha, beta):  # type: ignore[no-untyped-def]
    """`gemm` on addresses: c[m, n], sums of k terms, rows in bytes; the type of alpha is the type of all."""
    size, width = bytes_of(alpha), columns_of(alpha)
    if k == 0:  # empty sums
        for i in range(m):
            for j in range(n):
                at = c + i * c_row + j * size
                write(beta * read(at, alpha) if beta != 0 else 0.0, at, alpha)
    panel_bytes = min(k, DEEP) * width * size
    copy_a = transpose_a and a_row != width * size  # or a panel already
    turned_panels = (min(m, HIGH) + width - 1) // width if copy_a else 0
    room = np.empty(ROWS * width * size + panel_bytes * (1 + turned_panels) + 64, np.uint8)
    scratch = (np.intp(room.ctypes.data) + 63) // 64 * 64  # a vector across two cache lines is two loads
    panel = scratch + ROWS * width * size
    turned = panel + panel_bytes
    in_place = not transpose_b and (m <= FEW or b_row == width * size)  # or a panel already
    for i0 in range(0, m, HIGH):
        high = min(HIGH, m - i0)
        for p0 in range(0, k, DEEP):
            deep = min(DEEP, k - p0)
            share = beta if p0 == 0 else 1.0
            if copy_a:
                for i in range(0, high, width):
                    columns = min(width, high - i)
                    panel_of_rows(
                        a + p0 * a_row + (i0 + i) * size, a_row, deep, columns, turned + i * deep * size, alpha
                    )
            for j in range(0, n, width):
                columns = min(width, n - j)
                right, right_row = panel, width * size
                if in_place and columns == width:
                    right, right_row = b + p0 * b_row + j * size, b_row
                elif transpose_b:
                    panel_of_columns(b + j * b_row + p0 * size, b_row, deep, columns, panel, alpha)
                else:
                    panel_of_rows(b + p0 * b_row + j * size, b_row, deep, columns, panel, alpha)
                if transpose_a:
                    left, left_row, left_column, rows = turned, size, width * size, width
                    if not copy_a:
                        left = a + p0 * a_row
                else:
                    left, left_row, left_column, rows = a + i0 * a_row + p0 * size, a_row, size, high
                for i in range(0, high, rows):
                    out = c + (i0 + i) * c_row + j * size
                    tiles(
                        left,
                        left_row,
                        left_column,
                        right,
                        right_row,
                        deep,
                        out,
                        c_row,
                        min(rows, high - i),
                        columns,
                        scratch,
                        alpha,
                        share,
                    )
                    left += rows * deep * size
    room[0] = 0  # Numba frees an array after its last use, and an address is none


@inlined
def tiles(
    left: int,
    left_row: int,
    left_column: int,
    right: int,
    right_row: int,
    k: int,
    c: int,
    c_row: int,
    rows: int,
    columns: int,
    scratch: int,
    alpha: Any,
    beta: Any,
) -> None:
    """One column of tiles: c[rows, columns] = alpha left[rows, k] right[k, width] + beta c."""
    size, width = bytes_of(alpha), columns_of(alpha)
    whole = columns == width
    out_row, share = (c_row, beta) if whole else (width * size, 0.0)
    while rows > 0:
        out = c if whole else scratch
        if rows >= ROWS:
            done = ROWS
            tile_of_all(left, left_row, left_column, right, right_row, out, out_row, k, alpha, share)
        elif rows >= 4:
            done = 4
            tile_of_4(left, left_row, left_column, right, right_row, out, out_row, k, alpha, share)
        elif rows >= 2:
            done = 2
            tile_of_2(left, left_row, left_column, right, right_row, out, out_row, k, alpha, share)
        else:
            done = 1
            tile_of_1(left, left_row, left_column, right, right_row, out, out_row, k, alpha, share)
        if not whole:
            for i in range(done):
                for j in range(columns):
                    x, at = read(scratch + (i * width + j) * size, alpha), c + i * c_row + j * size
                    write(x + beta * read(at, alpha) if beta != 0 else x, at, alpha)
        rows -= done
        left += done * left_row
        c += done * c_row


@inlined
def panel_of_rows(b: int, b_row: int, k: int, columns: int, panel: int, alpha: Any) -> None:
    """b[k, columns] -> panel[k, width], filled up with zeros."""
    size, width = bytes_of(alpha), columns_of(alpha)
    if columns == width:
        copy_rows(b, b_row, panel, width * size, k, alpha)
        return
    for p in range(k):
        for j in range(width):
            x = read(b + p * b_row + j * size, alpha) if j < columns else 0.0
            write(x, panel + (p * width + j) * size, alpha)


@inlined
def panel_of_columns(b: int, b_row: int, k: int, columns: int, panel: int, alpha: Any) -> None:
    """b[columns, k], turned around -> panel[k, width], filled up with zeros."""
    size, width, lanes = bytes_of(alpha), columns_of(alpha), lanes_of(alpha)
    for j0 in range(0, width, lanes):
        turned = k // lanes * lanes if j0 + lanes <= columns else 0  # whole blocks in registers
        for p in range(0, turned, lanes):
            transpose_block(b + j0 * b_row + p * size, b_row, panel + (p * width + j0) * size, width * size, alpha)
        for j in range(j0, j0 + lanes):
            for p in range(turned, k):
                x = read(b + j * b_row + p * size, alpha) if j < columns else 0.0
                write(x, panel + (p * width + j) * size, alpha)


def _by_name(real: Any) -> Any:
    """The product in one precision, compiled and registered under a name that cached kernels find in any process."""
    i, name = types.intp, f"minipost_product_{real}"
    signature = types.void(i, i, types.boolean, i, i, types.boolean, i, i, i, i, i, real, real)
    try:
        compiled = cfunc(signature, cache=True, **C_OPTIONS)(product)
    except RuntimeError:  # nowhere to keep it: see `kernel`
        compiled = cfunc(signature, **C_OPTIONS)(product)
    _kept_alive.append(compiled)
    llvmlite.binding.add_symbol(name, compiled.address)
    return types.ExternalFunction(name, signature)


C_OPTIONS = {name: value for name, value in OPTIONS.items() if name != "nogil"}  # a C function knows of no lock
_kept_alive: list[Any] = []
_functions = {real: _by_name(real) for real in (types.float32, types.float64)}


@overload(gemm, jit_options=INLINED)
def _gemm_in_kernels(a, b, c, transpose_a, transpose_b, alpha, beta):  # type: ignore[no-untyped-def]
    function, real = _functions[c.dtype], np.float32 if c.dtype == types.float32 else np.float64

    def call(a, b, c, transpose_a, transpose_b, alpha, beta):  # type: ignore[no-untyped-def]
        m, n = c.shape
        k = a.shape[0] if transpose_a else a.shape[1]
        function(
            np.intp(a.ctypes.data), row_bytes(a), transpose_a, np.intp(b.ctypes.data), row_bytes(b), transpose_b,
            np.intp(c.ctypes.data), row_bytes(c), m, n, k, real(alpha), real(beta),
        )  # fmt: skip

    return call


@inlined
def row_bytes(x: Any) -> int:
    """From one row to the next. NumPy says anything of a single row."""
    return max(x.strides[0], x.shape[1] * x.itemsize)


@inlined
def address(x: Any, i: int, j: int) -> int:
    """Of x[i, j]."""
    return np.intp(x.ctypes.data) + i * row_bytes(x) + j * x.itemsize
