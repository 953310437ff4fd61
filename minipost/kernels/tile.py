"""The inside of a matrix product: a tile of the result that lives in vector registers while a sum over k grows.

    c[rows, columns] = alpha * sum_p a[:, p] b[p, :] + beta * c

Numba has no vectors, but its `@intrinsic` may emit LLVM's instructions. A tile holds `rows x vectors` accumulators. A
step of the sum loads `vectors` vectors of b, repeats `rows` single numbers of a over a vector each, and adds all
products: 8 x 2 multiply-adds for 10 loads, where three plain loops make one for two loads. LLVM turns the same lines
into AVX-512, AVX2, NEON or SSE.

Which tile: the accumulators, the row of b and one number of a must fit into the registers. Otherwise some of them are
kept in memory, and the speed is halved.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from minipost.kernels.jit import INLINED


@dataclass(frozen=True)
class InstructionSet:
    """What a processor offers, and the tile that fits into its registers."""

    name: str
    lanes: int  # float32 numbers a vector
    rows: int  # of a tile
    vectors: int  # a row of a tile

    @property
    def columns(self) -> int:
        """Of a tile, in float32; half as many in float64."""
        return self.lanes * self.vectors


AVX512 = InstructionSet("AVX-512", 16, 8, 2)  # 32 registers
AVX2 = InstructionSet("AVX2", 8, 6, 2)  # 16 registers
NEON = InstructionSet("NEON", 4, 6, 4)  # 32 registers
PORTABLE = InstructionSet("portable", 4, 4, 2)  # 16 registers, no fused multiply-add


def instruction_set() -> InstructionSet:
    """The one that Numba compiles for: this machine's, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES ask for."""
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    if features is None and name in (None, "host"):
        features = llvmlite.binding.get_host_cpu_features().flatten()
    if "+avx512f" in (features or ""):
        return AVX512
    if "+avx2" in (features or "") or (name or "").startswith(("haswell", "broadwell", "skylake", "znver")):
        return AVX2
    return NEON if platform.machine() in ("arm64", "aarch64") else PORTABLE


ISA = instruction_set()
ROWS, VECTORS = ISA.rows, ISA.vectors
I64 = ir.IntType(64)


def vector_type(real: Any) -> tuple[Any, Any]:
    """LLVM's types of one number and of a vector of them, for Numba's float32 or float64."""
    element = ir.FloatType() if real == types.float32 else ir.DoubleType()
    return element, ir.VectorType(element, ISA.lanes * 32 // real.bitwidth)


class _Emitter:
    """The few instructions that tiles are made of, on vectors of one type."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder = builder
        self.element, self.vector = vector_type(real)
        self.lanes, self.size = self.vector.count, real.bitwidth // 8
        name = f"llvm.fmuladd.v{self.lanes}f{real.bitwidth}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self.multiply_add = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)

    def at(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, address: Any) -> Any:
        vector = self.builder.load(self.at(address, self.vector))
        vector.align = self.size
        return vector

    def store(self, vector: Any, address: Any) -> None:
        self.builder.store(vector, self.at(address, self.vector)).align = self.size

    def number(self, address: Any) -> Any:
        """One number, repeated over a vector."""
        return self.repeat(self.builder.load(self.at(address, self.element)))

    def repeat(self, scalar: Any) -> Any:
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self.multiply_add, [a, b, c])


def make_tile(rows: int) -> Any:
    """The tile of `rows` rows as a function for kernels.

    tile(a, a_row, a_column, b, b_row, c, c_row, k, alpha, beta): addresses as integers; from one row (column) to the
    next in bytes; b's columns and c's are contiguous. `k` >= 1. The type of `alpha` is the type of all.
    """

    @intrinsic
    def tile(
        typing: Any,
        a: Any,
        a_row: Any,
        a_column: Any,
        b: Any,
        b_row: Any,
        c: Any,
        c_row: Any,
        k: Any,
        alpha: Any,
        beta: Any,
    ) -> Any:
        i = types.intp
        return types.void(i, i, i, i, i, i, i, i, alpha, alpha), generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_row, a_column, b, b_row, c, c_row, k, alpha, beta = arguments
        emit = _Emitter(builder, signature.args[8])
        step = emit.lanes * emit.size
        zero = ir.Constant(emit.vector, [0.0] * emit.lanes)
        before, loop, done = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("sum_done")
        a_rows = [builder.add(a, builder.mul(a_row, I64(r))) for r in range(rows)]
        builder.branch(loop)

        builder.position_at_end(loop)
        left = builder.phi(I64)  # how many terms are left
        offset, b_now = builder.phi(I64), builder.phi(I64)  # of a's column; of b's row
        sums = [builder.phi(emit.vector) for _ in range(rows * VECTORS)]
        b_vectors = [emit.load(builder.add(b_now, I64(v * step))) for v in range(VECTORS)]
        grown = []
        for r in range(rows):
            number = emit.number(builder.add(a_rows[r], offset))
            grown += [emit.fma(number, b_vectors[v], sums[r * VECTORS + v]) for v in range(VECTORS)]
        now_left = builder.sub(left, I64(1))
        for phi, first, then in [
            (left, k, now_left),
            (offset, I64(0), builder.add(offset, a_column)),
            (b_now, b, builder.add(b_now, b_row)),
            *((s, zero, g) for s, g in zip(sums, grown, strict=True)),
        ]:
            phi.add_incoming(first, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed(">", now_left, I64(0)), loop, done)

        builder.position_at_end(done)
        factor, share = emit.repeat(alpha), emit.repeat(beta)
        places = [
            builder.add(builder.add(c, builder.mul(c_row, I64(r))), I64(v * step))
            for r in range(rows)
            for v in range(VECTORS)
        ]
        scaled = [builder.fmul(factor, g) for g in grown]
        with builder.if_else(builder.fcmp_unordered("!=", beta, ir.Constant(emit.element, 0.0))) as (added, written):
            with added:
                for place, x in zip(places, scaled, strict=True):
                    emit.store(emit.fma(share, emit.load(place), x), place)
            with written:
                for place, x in zip(places, scaled, strict=True):
                    emit.store(x, place)
        return context.get_dummy_value()

    return tile


@intrinsic
def transpose_block(typing: Any, source: Any, source_row: Any, target: Any, target_row: Any, one: Any) -> Any:
    """A block of lanes x lanes numbers, turned around in registers; addresses and rows in bytes, type as of `one`.

    After log2(lanes) rounds that interleave the first half of the rows with the second, rows are columns: 64 shuffles
    for 256 numbers, where a loop makes 256 loads and stores.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_row, target, target_row, _ = arguments
        emit = _Emitter(builder, signature.args[4])
        n = emit.lanes
        rows = [emit.load(builder.add(source, builder.mul(source_row, I64(i)))) for i in range(n)]
        half, kind = n // 2, ir.VectorType(ir.IntType(32), n)
        low = ir.Constant(kind, [i // 2 + (i % 2) * n for i in range(n)])
        high = ir.Constant(kind, [half + i // 2 + (i % 2) * n for i in range(n)])
        for _ in range(n.bit_length() - 1):
            pairs = [(rows[i], rows[i + half]) for i in range(half)]
            rows = [builder.shuffle_vector(x, y, order) for x, y in pairs for order in (low, high)]
        for i, row in enumerate(rows):
            emit.store(row, builder.add(target, builder.mul(target_row, I64(i))))
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, one), generate


@intrinsic
def copy_rows(typing: Any, source: Any, source_row: Any, target: Any, target_row: Any, k: Any, one: Any) -> Any:
    """`k` >= 1 rows of a tile's width, from one place to another; addresses and rows in bytes, type as of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_row, target, target_row, k, _ = arguments
        emit = _Emitter(builder, signature.args[5])
        before, loop, done = builder.block, builder.append_basic_block("copy"), builder.append_basic_block("copied")
        builder.branch(loop)
        builder.position_at_end(loop)
        left, a, b = (builder.phi(I64) for _ in range(3))
        step = emit.lanes * emit.size
        for v in range(VECTORS):
            emit.store(emit.load(builder.add(a, I64(v * step))), builder.add(b, I64(v * step)))
        now_left = builder.sub(left, I64(1))
        nexts = ((left, k, now_left), (a, source, builder.add(a, source_row)), (b, target, builder.add(b, target_row)))
        for phi, first, then in nexts:
            phi.add_incoming(first, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed(">", now_left, I64(0)), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, i, one), generate


@intrinsic
def read(typing: Any, address: Any, one: Any) -> Any:
    """The number at an address, of the type of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(builder, signature.args[1])
        return builder.load(emit.at(arguments[0], emit.element))

    return one(types.intp, one), generate


@intrinsic
def write(typing: Any, x: Any, address: Any, one: Any) -> Any:
    """Put a number at an address, as one of the type of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(builder, signature.args[2])
        builder.store(arguments[0], emit.at(arguments[1], emit.element))
        return context.get_dummy_value()

    return types.void(one, types.intp, one), generate


def lanes_of(x: Any) -> int:
    """How many numbers of x's type a vector has; like the next two, inside kernels a constant."""
    return ISA.lanes * 4 // int(x.itemsize)


def columns_of(x: Any) -> int:
    """How many numbers of x's type a row of a tile has: the width of a panel."""
    return lanes_of(x) * VECTORS


def bytes_of(x: Any) -> int:
    """Of one number of x's type."""
    return int(x.itemsize)


@overload(lanes_of, jit_options=INLINED)
def _lanes_in_kernels(x):  # type: ignore[no-untyped-def]
    lanes = ISA.lanes * 32 // x.bitwidth
    return lambda x: lanes


@overload(columns_of, jit_options=INLINED)
def _columns_in_kernels(x):  # type: ignore[no-untyped-def]
    columns = ISA.lanes * 32 // x.bitwidth * VECTORS
    return lambda x: columns


@overload(bytes_of, jit_options=INLINED)
def _bytes_in_kernels(x):  # type: ignore[no-untyped-def]
    size = x.bitwidth // 8
    return lambda x: size
