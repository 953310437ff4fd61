"""Several cores, one gradient: each thread runs the whole step on its shard of the batch.

Sharding the batch instead of each matrix product keeps a core's data in its own cache and needs one meeting point a
step. Kernels and NumPy's matrix products release Python's lock, so plain threads are enough. Shards are summed in
order: the same seed and number of threads give the same bits.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minipost.autograd import Tensor
from minipost.model.config import Array

S = TypeVar("S")
Loss = Callable[[dict[str, Tensor], S], tuple[Tensor, dict[str, float]]]


@lru_cache(maxsize=1)
def threads() -> int:
    """How many shards work at a time: MINIPOST_THREADS, else OMP_NUM_THREADS, else `cores()`."""
    asked = os.environ.get("MINIPOST_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    return int(asked) if asked.isdigit() and int(asked) > 0 else cores()


def cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that this process may use; a container's CPU limit counts, rounded up (Linux, cgroup v2)."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = limit.read_text(encoding="ascii").split() if limit.is_file() else ("max", "")  # microseconds
    return available if quota == "max" else min(available, -(-int(quota) // int(period)))


def map_shards(function: Callable[[S], Any], shards: Sequence[S]) -> list[Any]:
    """`[function(s) for s in shards]`, `threads()` at a time. The caller's thread works, too.

    Each thread takes the next shard as soon as it has finished one. A helper thread gets one task for all its shards,
    because handing a task to a thread takes time. An error in any shard is raised once all threads have stopped.
    """
    results: list[Any] = [None] * len(shards)
    waiting = deque(range(len(shards)))  # shared by the threads; popleft is atomic, also where Python has no lock

    def work() -> None:
        while waiting:
            try:
                i = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            results[i] = function(shards[i])

    helpers = [_pool(threads()).submit(work) for _ in range(min(threads(), len(shards)) - 1)]
    try:
        work()
    finally:
        wait(helpers)
        for helper in helpers:
            helper.result()
    return results


def value_and_grad(
    loss: Loss[S], weights: Mapping[str, Array], shards: Sequence[S]
) -> tuple[dict[str, float], dict[str, Array]]:
    """(metrics, gradients), each the sum over the shards.

    `loss(tensors, shard)` returns a scalar Tensor and a dict of metrics; both must already be divided by the *whole*
    batch's counts, so that their sum over shards is the batch's mean (law P7). The loss joins the metrics as "loss".
    """

    def gradient(shard: S) -> tuple[dict[str, float], dict[str, Array | None]]:
        tensors = {name: Tensor(w) for name, w in weights.items()}
        value, metrics = loss(tensors, shard)
        metrics = {"loss": value.item(), **metrics}
        value.backward()
        return metrics, {name: t.grad for name, t in tensors.items()}

    def add_up(name: str) -> Array | None:
        total: Array | None = None
        for _, grads in results:
            g = grads[name]
            # in place: a leaf owns its gradient
            total = g if total is None else total if g is None else np.add(total, g, out=total)
        return total

    results = map_shards(gradient, shards)
    metrics = {name: sum(shard[name] for shard, _ in results) for name in results[0][0]}
    grads = dict(zip(weights, map_shards(add_up, list(weights)), strict=True))
    return metrics, {name: g for name, g in grads.items() if g is not None}


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="minipost")
