"""The matrix product in bfloat16: operands rounded to 8 bits of mantissa, sums in float32.

    c = alpha op(a) op(b) + beta c,   float32 arrays in and out, as `gemm`

Processors multiply bfloat16 two to sixteen times as fast as float32, in pairs: one instruction adds a_0 b_0 + a_1 b_1
to each sum. So operands are packed as *words*, two neighbours along k in 32 bits; rounding happens while a panel is
packed, which the float32 product does anyway. Three rungs, from the processor's features:

- AMX (Intel, from 2023): tiles of 16 x 16 sums in registers of their own, 16 words deep; four of them make 32 x 32.
- AVX512-BF16 (AMD from 2022, Intel from 2020): the float32 tile with another instruction.
- everywhere else the words are taken apart into float32: no faster than float32, but the same results but for the
  order of sums, so that a run does not depend on the machine that it was made on.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minipost.kernels.jit import INLINED, inlined
from minipost.kernels.product import Matrix, add_scratch, aligned, scale, tiles_of
from minipost.kernels.tile import I64, Emitter, columns_of, features, lanes_of, transpose_block

DEEP = 512  # terms of a sum at a time
HIGH = 256  # rows of a at a time
BLOCK = 32  # rows and columns of AMX's four tiles
WORD = 4  # bytes
I16, I32 = ir.IntType(16), ir.IntType(32)


def allowed_amx() -> bool:
    """Ask Linux for AMX's registers, for all threads of this process: they are large, and saved only on request."""
    if not (sys.platform == "linux" and platform.machine() == "x86_64" and "+amx-bf16" in features()):
        return False
    ask, permission, tile_data = 158, 0x1023, 18  # arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ctypes.CDLL(None).syscall(ask, permission, tile_data) == 0


RUNG = "AMX" if allowed_amx() else "AVX512-BF16" if "+avx512bf16" in features() else "float32"


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash("bfloat")


class Words(Emitter):
    """Tiles over words. `left` repeats one word of a, `right` loads a vector of b's."""

    def words(self, address: Any) -> Any:
        vector = self.builder.load(self.at(address, ir.VectorType(I32, self.lanes)))
        vector.align = WORD
        return vector

    def left(self, address: Any) -> Any:
        return self.taken(self.repeat(self.builder.load(self.at(address, I32))))

    def right(self, address: Any) -> Any:
        return self.taken(self.words(address))

    def taken(self, words: Any) -> Any:
        """As the instruction wants them, or as two vectors of float32: the lower half of each word, and the upper."""
        if RUNG != "float32":  # LLVM before 16 has no vectors of bfloat, and its instruction takes words
            old = llvmlite.binding.llvm_version_info[0] < 16
            return words if old else self.builder.bitcast(words, ir.VectorType(_BFloat(), 2 * self.lanes))
        low = self.builder.shl(words, self.repeat(I32(16)))
        high = self.builder.and_(words, self.repeat(I32(0xFFFF0000)))
        return tuple(self.builder.bitcast(x, self.vector) for x in (low, high))

    def add_product(self, left: Any, right: Any, total: Any) -> Any:
        if RUNG != "float32":
            return self.call(f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}", self.vector, total, left, right)
        return self.fma(left[1], right[1], self.fma(left[0], right[0], total))

    def some(self, address: Any, count: Any) -> Any:
        """The first `count` numbers of a vector, zeros after them; nothing beyond is read."""
        lanes = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        mask = self.builder.icmp_signed("<", lanes, self.repeat(count))
        pointer, name = self.at(address, self.vector), f"llvm.masked.load.v{self.lanes}f32.p0"
        return self.call(name, self.vector, pointer, I32(self.size), mask, self.zero)

    def rounded(self, x: Any) -> Any:
        """float32 -> the bits of the nearest bfloat16, ties to even, in the upper half of a word; NaN stays NaN."""
        b, word = self.builder, ir.VectorType(I32, self.lanes)
        bits = b.bitcast(x, word)
        odd = b.and_(b.lshr(bits, self.repeat(I32(16))), self.repeat(I32(1)))
        nearest = b.add(bits, b.add(odd, self.repeat(I32(0x7FFF))))
        quiet = b.or_(bits, self.repeat(I32(0x00400000)))
        return b.and_(b.select(b.fcmp_unordered("uno", x, x), quiet, nearest), self.repeat(I32(0xFFFF0000)))

    def paired(self, first: Any, second: Any) -> Any:
        """Two vectors of float32 -> one of words."""
        low = self.builder.lshr(self.rounded(first), self.repeat(I32(16)))
        return self.builder.or_(self.rounded(second), low)


@intrinsic
def pair_rows(typing: Any, a: Any, a_count: Any, b: Any, b_count: Any, target: Any, one: Any) -> Any:
    """A vector of words: number j of the row at a below number j of the row at b; zeros beyond the counts."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_count, b, b_count, target, _ = arguments
        emit = Words(builder, signature.args[5])
        emit.store(emit.paired(emit.some(a, a_count), emit.some(b, b_count)), target)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, i, one), generate


@intrinsic
def pair_neighbours(typing: Any, a: Any, count: Any, target: Any, one: Any) -> Any:
    """A vector of words of 2 lanes neighbours: number 2j below number 2j + 1; zeros beyond the count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, count, target, _ = arguments
        emit = Words(builder, signature.args[3])
        n = emit.lanes
        halves = [emit.some(a, count), emit.some(builder.add(a, I64(n * emit.size)), builder.sub(count, I64(n)))]
        even, odd = (
            builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, n), list(range(i, 2 * n, 2))))
            for i in (0, 1)
        )
        emit.store(emit.paired(even, odd), target)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, one), generate


@inlined
def words_along(x: int, x_row: int, rows: int, k: int, words: int, deep: int, one: Any) -> None:
    """x[rows, k] -> words[rows, deep], neighbours in a row together."""
    lanes = lanes_of(one)
    for i in range(rows):
        for p in range(0, deep, lanes):
            pair_neighbours(x + i * x_row + 2 * p * WORD, k - 2 * p, words + (i * deep + p) * WORD, one)


@inlined
def words_across(x: int, x_row: int, k: int, columns: int, words: int, deep: int, width: int, one: Any) -> None:
    """x[k, columns] -> words[deep, width], neighbours in a column together."""
    for p in range(deep):
        first, second = columns if 2 * p < k else 0, columns if 2 * p + 1 < k else 0
        for j in range(0, width, lanes_of(one)):
            at = x + 2 * p * x_row + j * WORD
            pair_rows(at, first - j, at + x_row, second - j, words + (p * width + j) * WORD, one)


@inlined
def turned(words: int, rows: int, columns: int, target: int, one: Any) -> None:
    """words[rows, columns] -> target[columns, rows], both multiples of a vector."""
    lanes = lanes_of(one)
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            source, place = words + (i * columns + j) * WORD, target + (j * rows + i) * WORD
            transpose_block(source, columns * WORD, place, rows * WORD, one)


def product(a, a_row, transpose_a, b, b_row, transpose_b, c, c_row, m, n, k, alpha, beta):  # type: ignore[no-untyped-def]
    """`gemm` on addresses, as in `product.py`, with operands rounded to bfloat16; all of float32."""
    width = columns_of(alpha)
    if k == 0:
        scale(Matrix(c, c_row, WORD), m, n, alpha, beta)
    deep, high = whole_blocks((min(k, DEEP) + 1) // 2, BLOCK // 2), whole_blocks(min(m, HIGH), BLOCK)
    room = np.empty((BLOCK * BLOCK + (2 * high + 2 * width) * deep) * WORD + 64, np.uint8)
    scratch = aligned(room)
    left, panel = scratch + BLOCK * BLOCK * WORD, scratch + (BLOCK * BLOCK + 2 * high * deep) * WORD
    other_left, other_panel = left + high * deep * WORD, panel + width * deep * WORD
    start_tiles()
    for i0 in range(0, m, HIGH):
        rows, high = min(HIGH, m - i0), whole_blocks(min(HIGH, m - i0), BLOCK)
        for p0 in range(0, k, DEEP):
            terms, share = min(DEEP, k - p0), beta if p0 == 0 else 1.0
            deep = whole_blocks((terms + 1) // 2, BLOCK // 2)
            if transpose_a:
                words_across(a + p0 * a_row + i0 * WORD, a_row, terms, rows, other_left, deep, high, alpha)
                turned(other_left, deep, high, left, alpha)
            else:
                words_along(a + i0 * a_row + p0 * WORD, a_row, rows, terms, left, deep, alpha)
            for j in range(0, n, width):
                columns = min(width, n - j)
                if transpose_b:
                    words_along(b + j * b_row + p0 * WORD, b_row, columns, terms, other_panel, deep, alpha)
                    turned(other_panel, width, deep, panel, alpha)
                else:
                    words_across(b + p0 * b_row + j * WORD, b_row, terms, columns, panel, deep, width, alpha)
                out = Matrix(c + i0 * c_row + j * WORD, c_row, WORD)
                a_words, b_words = Matrix(left, deep * WORD, WORD), Matrix(panel, width * WORD, WORD)
                tiles(a_words, b_words, out, rows, columns, deep, scratch, alpha, share)
    stop_tiles()
    room[0] = 0  # see `product.py`


@inlined
def whole_blocks(n: int, block: int) -> int:
    """n, rounded up to a multiple of `block`."""
    return (n + block - 1) // block * block


def amx_tiles(left, right, c, rows, columns, k, scratch, alpha, beta):  # type: ignore[no-untyped-def]
    """As `tiles` of `product.py`, by blocks of 32 x 32; what does not fill one goes through the scratch tile."""
    for i in range(0, rows, BLOCK):
        a, out = left.start + i * left.row, Matrix(c.start + i * c.row, c.row, c.column)
        if rows - i >= BLOCK and columns == BLOCK and alpha == 1 and (beta == 0 or beta == 1):
            amx_block(a, left.row, right.start, right.row, out.start, out.row, k // (BLOCK // 2), beta != 0)
        else:
            amx_block(a, left.row, right.start, right.row, scratch, BLOCK * WORD, k // (BLOCK // 2), False)
            add_scratch(scratch, out, min(BLOCK, rows - i), columns, alpha, beta)


class _Amx:
    """AMX's instructions, on eight registers of 16 rows of 64 bytes: 0 to 3 for sums, 4 and 5 for a, 6 and 7 for b."""

    def __init__(self, builder: Any) -> None:
        self.builder, self.byte = builder, ir.IntType(8)

    def __call__(self, name: str, *arguments: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in arguments])
        name = f"llvm.x86.{name}"
        function = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        self.builder.call(function, arguments)

    def load(self, tile: int, address: Any, row: Any) -> None:
        self("tileloadd64", self.byte(tile), self.builder.inttoptr(address, self.byte.as_pointer()), row)

    def store(self, tile: int, address: Any, row: Any) -> None:
        self("tilestored64", self.byte(tile), self.builder.inttoptr(address, self.byte.as_pointer()), row)

    def add_products(self, total: int, a: int, b: int) -> None:
        self("tdpbf16ps", self.byte(total), self.byte(a), self.byte(b))


@intrinsic
def amx_block(typing, a, a_row, b, b_row, c, c_row, count, add):  # type: ignore[no-untyped-def]
    """c[32, 32] = a[32, 16 count] b[16 count, 32] over words, added to what c holds if `add`; rows in bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_row, b, b_row, c, c_row, count, add = arguments
        amx, half = _Amx(builder), BLOCK // 2
        a_half, b_half, c_half = (builder.mul(row, I64(half)) for row in (a_row, b_row, c_row))
        places = [builder.add(first, I64(64 * j)) for first in (c, builder.add(c, c_half)) for j in range(2)]
        with builder.if_else(add) as (added, written):
            with added:
                for total, place in enumerate(places):
                    amx.load(total, place, c_row)
            with written:
                for total in range(4):
                    amx("tilezero", amx.byte(total))

        def words(values: list[Any]) -> list[Any]:
            a_now, b_now = values
            amx.load(6, b_now, b_row)
            amx.load(4, a_now, a_row)
            amx.load(7, builder.add(b_now, I64(64)), b_row)
            amx.load(5, builder.add(a_now, a_half), a_row)
            for total in range(4):
                amx.add_products(total, 4 + total // 2, 6 + total % 2)
            return [builder.add(a_now, I64(64)), builder.add(b_now, b_half)]

        Emitter(builder, types.float32).loop(count, [a, b], words)
        for total, place in enumerate(places):
            amx.store(total, place, c_row)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, i, i, i, types.boolean), generate


@intrinsic
def start_tiles(typing):  # type: ignore[no-untyped-def]
    """Give AMX's registers their shape; they are a thread's own."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if RUNG == "AMX":
            shapes = [1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8]  # palette 1; bytes a row; rows
            kind = ir.ArrayType(ir.IntType(8), 64)
            constant = ir.GlobalVariable(builder.module, kind, builder.module.get_unique_name("amx_shapes"))
            constant.initializer, constant.linkage = ir.Constant(kind, shapes), "internal"
            _Amx(builder)("ldtilecfg", builder.bitcast(constant, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def stop_tiles(typing):  # type: ignore[no-untyped-def]
    """Give AMX's registers back, so that the system need not save them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if RUNG == "AMX":
            _Amx(builder)("tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


tiles = numba.njit(amx_tiles, **INLINED) if RUNG == "AMX" else tiles_of(Words)
