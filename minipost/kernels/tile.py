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
from collections.abc import Callable
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


def features() -> str:
    """Of the processor that Numba compiles for."""
    name, asked = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    if asked is None and name in (None, "host"):
        return str(llvmlite.binding.get_host_cpu_features().flatten())
    return asked or ""


def instruction_set() -> InstructionSet:
    """The one that Numba compiles for: this machine's, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES ask for."""
    name, offered = numba.config.CPU_NAME, features()
    if "+avx512f" in offered:
        return AVX512
    if "+avx2" in offered or (name or "").startswith(("haswell", "broadwell", "skylake", "znver")):
        return AVX2
    return NEON if platform.machine() in ("arm64", "aarch64") else PORTABLE


ISA = instruction_set()
ROWS, VECTORS = ISA.rows, ISA.vectors
I64 = ir.IntType(64)


class Emitter:
    """The instructions that tiles are made of, on vectors of Numba's float32 or float64. Addresses are integers."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder, self.size, self.lanes = builder, real.bitwidth // 8, ISA.lanes * 32 // real.bitwidth
        self.element = ir.FloatType() if real == types.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """One of LLVM's own functions."""
        kind = ir.FunctionType(result, [x.type for x in arguments])
        function = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def at(self, address: Any, kind: Any) -> Any:
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, address: Any) -> Any:
        vector = self.builder.load(self.at(address, self.vector))
        vector.align = self.size
        return vector

    def store(self, vector: Any, address: Any) -> None:
        self.builder.store(vector, self.at(address, vector.type)).align = self.size

    def repeat(self, scalar: Any) -> Any:
        """A number in all lanes."""
        nothing = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.call(f"llvm.fmuladd.v{self.lanes}f{8 * self.size}", self.vector, a, b, c)

    def left(self, address: Any) -> Any:
        """A number of a, ready for `add_product`."""
        return self.repeat(self.builder.load(self.at(address, self.element)))

    def right(self, address: Any) -> Any:
        """A vector of b, ready for `add_product`."""
        return self.load(address)

    def add_product(self, left: Any, right: Any, total: Any) -> Any:
        return self.fma(left, right, total)

    def loop(self, count: Any, firsts: list[Any], body: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """`count` >= 1 times `values = body(values)`, from `firsts` on; the last values."""
        builder = self.builder
        before, inside, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        left, *values = (builder.phi(x.type) for x in (count, *firsts))
        thens = body(values)
        fewer = builder.sub(left, I64(1))
        for phi, first, then in zip((left, *values), (count, *firsts), (fewer, *thens), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, inside)
        builder.cbranch(builder.icmp_signed(">", fewer, I64(0)), inside, done)
        builder.position_at_end(done)
        return thens


def make_tile(rows: int, emitter: type[Emitter] = Emitter) -> Any:
    """The tile of `rows` rows as a function for kernels.

    tile(a, a_row, a_column, b, b_row, c, c_row, k, alpha, beta, one): from one row (column) to the next in bytes; b's
    columns and c's are contiguous; `k` >= 1. The type of `one` is the type of all.
    """

    @intrinsic
    def tile(typing, a, a_row, a_column, b, b_row, c, c_row, k, alpha, beta, one):  # type: ignore[no-untyped-def]
        return types.void(*[types.intp] * 8, one, one, one), generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_row, a_column, b, b_row, c, c_row, k, alpha, beta, _ = arguments
        emit = emitter(builder, signature.args[10])
        step = emit.lanes * emit.size
        a_rows = [builder.add(a, builder.mul(a_row, I64(r))) for r in range(rows)]

        def term(values: list[Any]) -> list[Any]:
            offset, b_now, *sums = values
            right = [emit.right(builder.add(b_now, I64(v * step))) for v in range(VECTORS)]
            grown = []
            for r in range(rows):
                left = emit.left(builder.add(a_rows[r], offset))
                grown += [emit.add_product(left, right[v], sums[r * VECTORS + v]) for v in range(VECTORS)]
            return [builder.add(offset, a_column), builder.add(b_now, b_row), *grown]

        _, _, *sums = emit.loop(k, [I64(0), b, *[emit.zero] * (rows * VECTORS)], term)
        factor, share = emit.repeat(alpha), emit.repeat(beta)
        c_rows = [builder.add(c, builder.mul(c_row, I64(r))) for r in range(rows)]
        places = [builder.add(c_now, I64(v * step)) for c_now in c_rows for v in range(VECTORS)]
        scaled = [builder.fmul(factor, x) for x in sums]
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
        emit = Emitter(builder, signature.args[4])
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
    """`k` >= 1 rows of a tile's width, from one place to another; rows in bytes, type as of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_row, target, target_row, k, _ = arguments
        emit = Emitter(builder, signature.args[5])

        def row(values: list[Any]) -> list[Any]:
            a, b = values
            for v in range(VECTORS):
                step = I64(v * emit.lanes * emit.size)
                emit.store(emit.load(builder.add(a, step)), builder.add(b, step))
            return [builder.add(a, source_row), builder.add(b, target_row)]

        emit.loop(k, [source, target], row)
        return context.get_dummy_value()

    i = types.intp
    return types.void(i, i, i, i, i, one), generate


@intrinsic
def read(typing: Any, address: Any, one: Any) -> Any:
    """The number at an address, of the type of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(builder, signature.args[1])
        return builder.load(emit.at(arguments[0], emit.element))

    return one(types.intp, one), generate


@intrinsic
def write(typing: Any, x: Any, address: Any, one: Any) -> Any:
    """Put a number at an address, as one of the type of `one`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(builder, signature.args[2])
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
