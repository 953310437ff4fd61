"""How fast this machine is: matrix products and memory, measured, not looked up.

Both peaks make the roofline of `python -m benchmarks`; `minipost doctor` shows them with the product of the kernels
beside NumPy's, and says what is slower than it must be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from minipost.kernels.jit import kernel
from minipost.kernels.matmul import matmul_into
from minipost.kernels.tile import ISA
from minipost.machine.problems import Problem
from minipost.machine.setup import Setup

Multiply = Callable[[Any, Any, Any], Any]  # c[m, n] = a[m, k] @ b[k, n]
SQUARE = (1024, 1024, 1024)
# GFLOP/s of one thread: a quarter of what a core does at 1.5 GHz, with one vector unit (AVX2: two)
FLOORS = {"AVX-512": 12, "AVX2": 12, "NEON": 3}
SHARE_OF_NUMPY = 0.7
SHARE_OF_THREADS = (
    0.4  # two threads may share one core's arithmetic, and each is left half; less is someone else's work
)


@dataclass(frozen=True)
class Speed:
    """What a machine reaches. Products are in FLOP/s, in float32."""

    instruction_set: str  # that the product of the kernels is written for
    tile: str  # of the result, that it keeps in registers
    product_one: float  # of the kernels, 1024 x 1024 x 1024, one thread
    product_all: float  # one on each thread
    triad_one: float  # bytes/s, see `triad`
    triad_all: float
    shape: tuple[int, int, int]  # (m, k, n) of a product of a training step
    product_shape: float  # of the kernels at that shape, one thread
    numpy_shape: float  # np.matmul, likewise


def product_facts() -> dict[str, str]:
    """Which matrix product the kernels use."""
    return {"instruction_set": ISA.name, "tile": f"{ISA.rows} x {ISA.columns}"}


def measure(threads: int, shape: tuple[int, int, int]) -> Speed:
    """Takes some two seconds."""
    return Speed(
        **product_facts(),
        product_one=flops(own_product, SQUARE, 1),
        product_all=flops(own_product, SQUARE, threads),
        triad_one=triad(1, 96),
        triad_all=triad(threads, 96),
        shape=shape,
        product_shape=flops(own_product, shape, 1, repeats=300),
        numpy_shape=numpy_on_one_thread(shape),
    )


def problems_of(speed: Speed, s: Setup) -> Iterator[Problem]:
    """What is slower than it must be on this setup."""
    reached, floor = speed.product_one / 1e9, FLOORS.get(speed.instruction_set, 0)
    disturbed = "end other programs, plug the machine in, and measure again"
    if reached < floor:
        what = f"one thread multiplies at {reached:.1f} GFLOP/s, where {speed.instruction_set} gives {floor} and more"
        yield Problem("slow", what, disturbed)
    matrix_unit = "accelerate" in (s.blas or "").lower()  # of Apple's chips, which only Apple's library can use
    if not matrix_unit and speed.product_shape < SHARE_OF_NUMPY * speed.numpy_shape:
        what = f"kernels multiply at {100 * speed.product_shape / speed.numpy_shape:.0f} % of NumPy's speed"
        yield Problem("slow", what, f"{disturbed}; if that changes nothing, please report it with --json")
    together = speed.product_all / speed.product_one
    if s.threads <= s.usable_cores and together < SHARE_OF_THREADS * s.threads:
        what = f"{s.threads} threads together multiply only {together:.1f} times as fast as one"
        yield Problem("slow", what, f"{disturbed}; on a shared machine, ask for cores of your own")


def own_product(a: Any, b: Any, c: Any) -> None:
    matmul_into(a, b, c, False, False, 1.0, 0.0)


def numpy_product(a: Any, b: Any, c: Any) -> None:
    np.matmul(a, b, out=c)


def numpy_on_one_thread(shape: tuple[int, int, int]) -> float:
    """FLOP/s of np.matmul. A BLAS takes its number of threads from the environment, and when it is loaded."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    code = f"from minipost.machine.speed import *; print(flops(numpy_product, {shape}, 1, 300))"
    command, environment = [sys.executable, "-c", code], os.environ | dict.fromkeys(names, "1")
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def flops(multiply: Multiply, shape: tuple[int, int, int], workers: int, repeats: int = 10) -> float:
    """FLOP/s of float32 products of this (m, k, n), one product a thread at a time; best of `repeats`."""
    m, k, n = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    results = [np.empty((m, n), np.float32) for _ in range(workers)]
    multiply(a, b, results[0])  # compile
    return 2 * m * k * n * workers / best(workers, lambda i: multiply(a, b, results[i]), repeats)


@kernel
def triad_kernel(a: Any, b: Any, c: Any, s: float) -> None:
    """a[n] = b[n] + s c[n]."""
    for i in range(a.shape[0]):
        a[i] = b[i] + np.float32(s) * c[i]


def triad(workers: int, megabytes: int = 192, repeats: int = 6) -> float:
    """Bytes/s, STREAM's count: three arrays of `megabytes` each pass by (a write's own read is not counted)."""
    n = (megabytes << 18) // workers
    a, b, c = ([np.ones(n, np.float32) for _ in range(workers)] for _ in range(3))
    triad_kernel(a[0][:8], b[0][:8], c[0][:8], 2.0)  # compile
    return 12 * n * workers / best(workers, lambda i: triad_kernel(a[i], b[i], c[i], 2.0), repeats)


def best(workers: int, work: Callable[[int], Any], repeats: int, seconds: float = 2.0) -> float:
    """The least seconds in which `workers` threads did `work(0)`, `work(1)`, ... at the same time.

    A slow machine stops after `seconds`, however often it has done the work by then.
    """
    least, end = float("inf"), time.perf_counter() + seconds
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(work, range(workers)))
            least = min(least, time.perf_counter() - start)
            if time.perf_counter() > end:
                break
    return least
