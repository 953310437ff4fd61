"""The inside of `gemm`: panels and blocks around a tile, for float32 and float64.

Four tricks, from the inside out. Speeds are float32 on one core whose OpenBLAS reaches 150 GFLOP/s; three plain loops
reach a fifth of that. `python -m benchmarks ladders` climbs from there to here, with what failed on the way.

1. A *tile* of the result stays in registers during its whole sum over k (`tile.py`).
2. *Panels*: the columns of b that a row of tiles reads are copied side by side first. They then fit the first cache,
   whatever b's rows are apart, and a transposed b costs no more than a plain one. 120 -> 155 GFLOP/s.
3. *Blocks*: DEEP terms of a sum at a time, so that a panel stays in the first cache, and HIGH rows, so that a's part
   stays in the second one. 130 -> 150 at 1024 x 1408 x 256; nothing at small sizes.
4. A transposed a is copied into panels, too, unless it is one. Its tiles read a column of them. 115 -> 145.

Rows and columns that fill no tile go through smaller ones (4, 2 and 1 rows), or through a scratch tile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from minipost.kernels.jit import INLINED, inlined
from minipost.kernels.tile import (
    ROWS,
    Emitter,
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


class Matrix(NamedTuple):
    """Where a matrix stands: its first number's address, and bytes from one row and one column to the next."""

    start: int
    row: int
    column: int


def tiles_of(emitter: type[Emitter]) -> Any:
    """The function `tiles`, for numbers or for the words of `bfloat16.py`."""
    tile_of_all, tile_of_4, tile_of_2, tile_of_1 = (make_tile(rows, emitter) for rows in (ROWS, 4, 2, 1))

    def tiles(left, right, c, rows, columns, k, scratch, alpha, beta):  # type: ignore[no-untyped-def]
        """One column of tiles: c[rows, columns] = alpha left[rows, k] right[k, width] + beta c."""
        whole = columns == columns_of(alpha)
        a, out, out_row, factor, share = left.start, c.start, c.row, alpha, beta
        if not whole:
            out, out_row, factor, share = scratch, columns_of(alpha) * c.column, 1.0, 0.0
        while rows > 0:
            if rows >= ROWS:
                done = ROWS
                tile_of_all(a, left.row, left.column, right.start, right.row, out, out_row, k, factor, share, alpha)
            elif rows >= 4:
                done = 4
                tile_of_4(a, left.row, left.column, right.start, right.row, out, out_row, k, factor, share, alpha)
            elif rows >= 2:
                done = 2
                tile_of_2(a, left.row, left.column, right.start, right.row, out, out_row, k, factor, share, alpha)
            else:
                done = 1
                tile_of_1(a, left.row, left.column, right.start, right.row, out, out_row, k, factor, share, alpha)
            if whole:
                out += done * out_row
            else:
                add_scratch(scratch, c, done, columns, alpha, beta)
                c = Matrix(c.start + done * c.row, c.row, c.column)
            rows -= done
            a += done * left.row

    return numba.njit(tiles, **INLINED)


@inlined
def add_scratch(scratch: int, c: Matrix, rows: int, columns: int, alpha: Any, beta: Any) -> None:
    """c[rows, columns] = alpha times what the scratch tile has there + beta c."""
    for i in range(rows):
        for j in range(columns):
            x, at = read(scratch + (i * columns_of(alpha) + j) * c.column, alpha), c.start + i * c.row + j * c.column
            write(alpha * x + beta * read(at, alpha) if beta != 0 else alpha * x, at, alpha)


tiles = tiles_of(Emitter)


def product(a, a_row, transpose_a, b, b_row, transpose_b, c, c_row, m, n, k, alpha, beta):  # type: ignore[no-untyped-def]
    """`gemm` on addresses: c[m, n], sums of k terms, rows in bytes; the type of alpha is the type of all."""
    size, width = bytes_of(alpha), columns_of(alpha)
    if k == 0:
        scale(Matrix(c, c_row, size), m, n, alpha, beta)
    panel_bytes = min(k, DEEP) * width * size
    copy_a = transpose_a and a_row != width * size  # or a panel already
    turned_panels = (min(m, HIGH) + width - 1) // width if copy_a else 0
    room = np.empty(ROWS * width * size + panel_bytes * (1 + turned_panels) + 64, np.uint8)
    scratch = aligned(room)
    panel, turned = scratch + ROWS * width * size, scratch + ROWS * width * size + panel_bytes
    in_place = not transpose_b and (m <= FEW or b_row == width * size)  # or a panel already
    for i0 in range(0, m, HIGH):
        high = min(HIGH, m - i0)
        for p0 in range(0, k, DEEP):
            deep, share = min(DEEP, k - p0), beta if p0 == 0 else 1.0
            if copy_a:
                panels_of_left(a + p0 * a_row + i0 * size, a_row, deep, high, turned, alpha)
            for j in range(0, n, width):
                columns = min(width, n - j)
                right = Matrix(panel, width * size, size)
                if in_place and columns == width:
                    right = Matrix(b + p0 * b_row + j * size, b_row, size)
                elif transpose_b:
                    panel_of_columns(b + j * b_row + p0 * size, b_row, deep, columns, panel, alpha)
                else:
                    panel_of_rows(b + p0 * b_row + j * size, b_row, deep, columns, panel, alpha)
                rows = width if transpose_a else high  # that one `left` has
                for i in range(0, high, rows):
                    left = Matrix(a + i0 * a_row + p0 * size, a_row, size)
                    if transpose_a:
                        left = Matrix(turned + i * deep * size if copy_a else a + p0 * a_row, size, width * size)
                    out = Matrix(c + (i0 + i) * c_row + j * size, c_row, size)
                    tiles(left, right, out, min(rows, high - i), columns, deep, scratch, alpha, share)
    room[0] = 0  # Numba frees an array after its last use, and an address is none


@inlined
def scale(c: Matrix, rows: int, columns: int, alpha: Any, beta: Any) -> None:
    """c[rows, columns] *= beta; what c held is not read for beta = 0."""
    for i in range(rows):
        for j in range(columns):
            at = c.start + i * c.row + j * c.column
            write(beta * read(at, alpha) if beta != 0 else 0.0, at, alpha)


@inlined
def panels_of_left(a: int, a_row: int, k: int, rows: int, panels: int, alpha: Any) -> None:
    """a[k, rows] -> panels[rows / width, k, width]."""
    size, width = bytes_of(alpha), columns_of(alpha)
    for i in range(0, rows, width):
        panel_of_rows(a + i * size, a_row, k, min(width, rows - i), panels + i * k * size, alpha)


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


@inlined
def aligned(room: Any) -> Any:
    """The first address in a byte array that starts a cache line: a vector across two lines would be two loads."""
    return (np.intp(room.ctypes.data) + 63) // 64 * 64
