"""Matrix products on one thread, GFLOP/s: ours against NumPy's and PyTorch's, shape by shape.

The shapes are those of a training step with the batch halved between two threads: each weight's product of the forward
pass `x W^T`, of the input's gradient `g W` and of the weight's `g^T x`; the output layer's by chunks of 128 rows, as
the loss takes it; Muon's squares; attention's small products over 32 queries of a head, whose rows lie a layer's width
apart; and edges, whose sides no tile divides. All three run in one process, in turns, after their results were found to
agree with float64's. A small product is timed as a stack, whose loop is compiled on every side: a call from Python
would cost more than the product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.harness import BenchmarkError, say, spread
from benchmarks.kernels import interleaved, verify
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse
from minipost.kernels.jit import kernel
from minipost.kernels.matmul import gemm, matmul_into

PEERS = ("torch",)
Array = Any
CHUNK = 128  # rows of the output layer at a time
SMALL = 32**3 * 8  # m n k up to which a product is timed as a stack
STACK = 256 << 10  # bytes of a stack's operands and results: it stays in a core's second cache


@dataclass(frozen=True)
class MatmulConfig:
    sizes: tuple[str, ...] = ("tour", "XS", "S", "M")  # models that give the shapes
    against: str = "installed"  # peers: torch, or none
    only: str = ""  # only products whose name contains this text
    rounds: int = 6  # how many blocks each contender runs
    seconds: float = 0.01  # how long a block lasts
    json: Path | None = None  # where to write the results


@dataclass(frozen=True)
class Product:
    """c[m, n] = op(a) op(b) with k terms a sum. Matrices of `head` columns are views of ones with `width` columns."""

    group: str
    name: str
    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False
    head: int = 0
    width: int = 0

    @property
    def stacked(self) -> int:
        """How many products a call makes."""
        m, n, k = self.m, self.n, self.k
        return max(1, STACK // (4 * (m * n + m * k + n * k))) if m * n * k <= SMALL else 1

    @property
    def flops(self) -> float:
        return 2.0 * self.m * self.n * self.k * self.stacked

    def inputs(self, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Stacks of a, b, and room for c."""
        a = (self.k, self.m) if self.transpose_a else (self.m, self.k)
        b = (self.n, self.k) if self.transpose_b else (self.k, self.n)
        return tuple(self._stack(rng, *shape) for shape in (a, b, (self.m, self.n)))  # type: ignore[return-value]

    def _stack(self, rng: np.random.Generator, rows: int, columns: int) -> Array:
        full = rng.standard_normal((self.stacked, rows, self.width if columns == self.head else columns), np.float32)
        return full[:, :, :columns]

    @property
    def text(self) -> str:
        left = f"[{self.k},{self.m}]^T" if self.transpose_a else f"[{self.m},{self.k}]"
        right = f"[{self.n},{self.k}]^T" if self.transpose_b else f"[{self.k},{self.n}]"
        return f"{self.name} {left} x {right}"


# ---------------------------------------------------------------------------------------------------- the shapes
def products_of(size: Size) -> Iterator[Product]:
    """Those of a training step on one of two threads."""
    C, F, V, N = size.dim, size.hidden, size.vocab_size, size.batch * size.tokens // 2
    weights = {"qkv": (3 * C, C), "attention out": (C, C), "gate, up": (2 * F, C), "down": (C, F), "output": (V, C)}
    for name, (O, I) in weights.items():  # noqa: E741
        rows = CHUNK if name == "output" else N
        yield Product(size.name, f"{name} forward", rows, O, I, False, True)
        yield Product(size.name, f"{name} dX", rows, I, O)
        yield Product(size.name, f"{name} dW", O, I, rows, True, False)
    D, T = C // size.heads, size.tokens
    view = {"head": D, "width": 3 * C}
    for keys in sorted({32, T}):
        yield Product(size.name, "attention scores", 32, keys, D, False, True, **view)
        yield Product(size.name, "attention values", 32, D, keys, **view)
        yield Product(size.name, "attention dK, dV", keys, D, 32, True, False, **view)
    if size.optimizer == "muon":
        for columns in (C, F, 3 * C, 2 * F):
            yield Product(size.name, "Muon's x x^T", C, C, columns, False, True)
            yield Product(size.name, "Muon's p x", C, columns, C)


def edges() -> list[Product]:
    """Sides that no tile divides, long and thin ones, and single rows."""
    shapes = [(7, 13, 5), (31, 33, 65), (127, 129, 255), (1023, 385, 127), (1, 384, 128), (3, 256, 704), (1000, 3, 5)]
    ways = [(False, False), (False, True), (True, False)]
    return [Product("edges", "edge", m, n, k, ta, tb) for m, n, k in shapes for ta, tb in ways]


# ------------------------------------------------------------------------------------------------ the contenders
@kernel
def stack_of_products(a: Array, b: Array, c: Array, transpose_a: bool, transpose_b: bool) -> None:
    """c[i] = op(a[i]) op(b[i]) for each of a stack."""
    for i in range(c.shape[0]):
        gemm(a[i], b[i], c[i], transpose_a, transpose_b, 1.0, 0.0)


Call = Callable[[], Array]


def ours(product: Product, a: Array, b: Array, c: Array) -> Call:
    ta, tb = product.transpose_a, product.transpose_b
    if product.stacked > 1:
        return lambda: (stack_of_products(a, b, c, ta, tb), c)[1]
    one = (a[0], b[0], c[0])
    return lambda: (matmul_into(*one, ta, tb, 1.0, 0.0), c)[1]


def turned(product: Product, a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    """op(a), op(b) and c as views; without the stack's axis where there is one product."""
    a = a.swapaxes(1, 2) if product.transpose_a else a
    b = b.swapaxes(1, 2) if product.transpose_b else b
    return (a, b, c) if product.stacked > 1 else (a[0], b[0], c[0])


def numpys(product: Product, a: Array, b: Array, c: Array) -> Call:
    left, right, out = turned(product, a, b, c)
    return lambda: (np.matmul(left, right, out=out), c)[1]


def torchs(product: Product, a: Array, b: Array, c: Array) -> Call:
    import torch

    left, right, out = turned(product, *map(torch.from_numpy, (a, b, c)))
    multiply = torch.no_grad()(torch.bmm if product.stacked > 1 else torch.mm)
    return lambda: (multiply(left, right, out=out), c)[1]


def ours_in_bfloat16(product: Product, a: Array, b: Array, c: Array) -> Call:
    ta, tb = product.transpose_a, product.transpose_b
    if product.stacked > 1:  # attention's, which stay in float32
        return ours(product, a, b, c)
    return lambda: (matmul_into(a[0], b[0], c[0], ta, tb, 1.0, 0.0, True), c)[1]


CONTENDERS: dict[str, Callable[..., Call]] = {
    "minipost": ours,
    "minipost-bf16": ours_in_bfloat16,
    "NumPy": numpys,
    "torch": torchs,
}
TOLERANCES: dict[str, float] = {"minipost-bf16": 1e-2}  # of the largest entry, for those that round their operands
TOLERANCE = 1e-5


def exact(product: Product, a: Array, b: Array) -> Array:
    left, right, _ = turned(product, a.astype(np.float64), b.astype(np.float64), a)
    return (left @ right).reshape(-1, product.m, product.n)


def row(product: Product, names: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """One product as JSON values."""
    inputs = {name: product.inputs(np.random.default_rng(4)) for name in names}
    calls = {name: CONTENDERS[name](product, *inputs[name]) for name in names}
    expected = exact(product, *inputs["minipost"][:2])
    for name, call in calls.items():
        both = {name: call, "float64": lambda: expected}
        verify(product.text, both, "float64", TOLERANCES.get(name, TOLERANCE))
    times, lost = interleaved(calls, rounds, seconds)
    flops = {name: product.flops / spread(s)["median"] for name, s in times.items()}
    return {
        "group": product.group,
        "name": product.text,
        "stacked": product.stacked,
        "flops": flops,
        "ratio": {name: flops["minipost"] / other for name, other in flops.items() if name != "minipost"},
        "disturbed": lost,
    }


def mean(ratios: Sequence[float]) -> float:
    """Geometric: 2x and 0.5x make 1x."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def measure(config: MatmulConfig, peers: Sequence[str]) -> dict[str, Any]:
    this_machine = machine.measure()
    if "torch" in peers:
        import torch

        torch.set_num_threads(1)
    products = [p for name in config.sizes for p in products_of(size_named(name))] + edges()
    wanted = [p for p in products if config.only.lower() in f"{p.group} {p.text}".lower()]
    if not wanted:
        raise BenchmarkError(f"no product's name has {config.only!r} in it: try qkv, attention, dW or edge.")
    results = []
    for product in wanted:
        results.append(row(product, ["minipost", "minipost-bf16", "NumPy", *peers], config.rounds, config.seconds))
        say(f"  {product.group}, {product.text}: {results[-1]['flops']['minipost'] / 1e9:.4g} GFLOP/s")
    return {"benchmark": "matmul", "machine": this_machine.to_dict(), "results": results}


def title(record: Mapping[str, Any]) -> str:
    return "matrix products on one thread, GFLOP/s"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results, each group under its geometric mean."""
    results = record["results"]
    names = list(results[0]["flops"])
    others = names[1:]
    columns = ["", *names, *(f"vs {name}" for name in others), "disturbed"]
    rows = []
    for group in ["all", *dict.fromkeys(r["group"] for r in results)]:
        own = [r for r in results if group in ("all", r["group"])]
        ratios = [[r["ratio"][name] for r in own] for name in others]
        rows.append([f"{group}, geometric mean", *[""] * len(names), *map(ratio, map(mean, ratios)), ""])
        rows.append([f"{group}, least", *[""] * len(names), *map(ratio, map(min, ratios)), ""])
        if group == "all":
            continue
        for r in own:
            flops = [figure(r["flops"][name] / 1e9) for name in names]
            rows.append([f"- {r['name']}", *flops, *(ratio(r["ratio"][n]) for n in others), disturbed(r["disturbed"])])
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(MatmulConfig, argv, "python -m benchmarks matmul", __doc__ or "")
    record = measure(config, chosen(config.against, PEERS))
    this_machine = machine.Machine(**record["machine"])
    show(title(record), *table(record), notes=[str(this_machine), "vs: minipost's GFLOP/s over the other's"])
    save(config.json, record)
