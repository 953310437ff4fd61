"""What this machine can do at best: arithmetic (matrix products) and memory, measured, not looked up.

The roofline (Williams, Waterman and Patterson 2009): a computation with I operations a byte of memory traffic runs at
most at min(peak arithmetic, I x peak bandwidth). Both peaks are measured with the same threads that the package uses.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from minipost.machine.setup import cpu_name
from minipost.machine.speed import SQUARE, best, flops, numpy_product, triad
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


def sgemm(workers: int) -> float:
    """FLOP/s of NumPy's products in float32, one product a thread."""
    return flops(numpy_product, SQUARE, workers)


def read_bandwidth(workers: int, megabytes: int = 512) -> float:
    """Bytes/s that `workers` threads read together from an array far larger than any cache."""
    parts = np.array_split(np.ones(megabytes << 18, np.float32), workers)
    return (megabytes << 20) / best(workers, lambda i: np.max(parts[i]), 5)


def cores() -> int:
    return os.cpu_count() or 1


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
