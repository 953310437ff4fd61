"""What this machine can do at best: arithmetic (matrix products) and memory, measured, not looked up.

The roofline (Williams, Waterman and Patterson 2009): a computation with I operations a byte of memory traffic runs at
most at min(peak arithmetic, I x peak bandwidth). Both peaks are measured with the same threads that the package uses.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import timed
from minipost.kernels.blas import set_blas_threads
from minipost.kernels.jit import kernel
from minipost.model import threads

PACKAGES = ("numpy", "numba", "torch", "jax", "transformers")


@dataclass(frozen=True)
class Machine:
    """A machine and its two roofs."""

    cpu: str
    cores: int
    threads: int  # that the package uses
    system: str
    versions: dict[str, str]
    sgemm: float  # FLOP/s of matrix products in float32, all threads
    sgemm_one: float  # the same, one thread
    triad: float  # bytes/s of a = b + s c over arrays far larger than any cache, all threads
    triad_one: float

    def roof(self, intensity: float) -> float:
        """FLOP/s that `intensity` operations a byte allow."""
        return min(self.sgemm, intensity * self.triad)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.threads} threads; sgemm {self.sgemm / 1e9:.0f} GFLOP/s "
            f"(one thread {self.sgemm_one / 1e9:.0f}), memory triad {self.triad / 1e9:.0f} GB/s "
            f"(one thread {self.triad_one / 1e9:.0f})"
        )


def measure() -> Machine:
    """Takes some two seconds."""
    return Machine(
        cpu=cpu_name(),
        cores=cores(),
        threads=threads(),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions={name: version for name in PACKAGES if (version := version_of(name))},
        sgemm=sgemm(threads()),
        sgemm_one=sgemm(1),
        triad=triad(threads()),
        triad_one=triad(1),
    )


def sgemm(workers: int, n: int = 1024, repeats: int = 10) -> float:
    """FLOP/s of n x n x n products in float32, one product a thread; best of `repeats`."""
    set_blas_threads(1)
    ones = np.ones((n, n), np.float32)
    results = [np.empty((n, n), np.float32) for _ in range(workers)]
    return 2 * n**3 * workers / best(workers, lambda i: np.matmul(ones, ones, out=results[i]), repeats)


@kernel
def triad_kernel(a: Any, b: Any, c: Any, s: float) -> None:
    """a[n] = b[n] + s c[n]."""
    for i in range(a.shape[0]):
        a[i] = b[i] + s * c[i]


def triad(workers: int, megabytes: int = 192, repeats: int = 6) -> float:
    """Bytes/s, STREAM's count: three arrays of `megabytes` each pass by (a write's own read is not counted)."""
    n = (megabytes << 18) // workers
    parts = [tuple(np.ones(n, np.float32) for _ in range(3)) for _ in range(workers)]
    s = np.float32(2)
    triad_kernel(*(x[:8] for x in parts[0]), s)  # compile
    return 12 * n * workers / best(workers, lambda i: triad_kernel(*parts[i], s), repeats)


def read_bandwidth(workers: int, megabytes: int = 512) -> float:
    """Bytes/s that `workers` threads read together from an array far larger than any cache."""
    parts = np.array_split(np.ones(megabytes << 18, np.float32), workers)
    return (megabytes << 20) / best(workers, lambda i: np.max(parts[i]), 5)


def best(workers: int, work: Callable[[int], Any], repeats: int) -> float:
    """The least seconds in which `workers` threads did `work(0)`, `work(1)`, ... at the same time."""
    with ThreadPoolExecutor(workers) as pool:
        return min(timed(lambda: list(pool.map(work, range(workers))))[0] for _ in range(repeats))


def cores() -> int:
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text(encoding="utf-8").splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
