"""Shards and threads: how many there are, what comes back, and that a shard may be empty."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minipost.autograd import Tensor
from minipost.model import ModelConfig, init_weights, map_shards, threads, value_and_grad
from minipost.model.parallel import cores
from minipost.stages.pretrain import next_token_loss
from minipost.text.batching import Packed, stream

CONFIG = ModelConfig(vocab_size=13, dim=8, layers=2, heads=2, kv_heads=1, hidden=12, context=6)
COUNTS = (1, 2, 3, 7, 16)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 64), ("150000 100000", 2), ("50000 100000", 1), ("9900000 100000", 64), (None, 64)],
)
def test_a_containers_limit_counts_as_cores_rounded_up(
    limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    if limit is not None:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    assert cores(tmp_path / "cpu.max") == expected


def test_there_are_as_many_threads_as_cores_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, use_threads: Callable[[int], None]
) -> None:
    for name in ("MINIPOST_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    threads.cache_clear()
    assert threads() == cores()
    use_threads(48)


@pytest.mark.parametrize("count", COUNTS)
def test_results_come_in_the_order_of_the_shards(count: int, use_threads: Callable[[int], None]) -> None:
    use_threads(count)
    for shards in ([], [5], list(range(40))):
        assert map_shards(lambda x: x * x, shards) == [x * x for x in shards]


def test_an_error_comes_once_all_threads_have_stopped(use_threads: Callable[[int], None]) -> None:
    use_threads(4)
    started, finished, together = [], [], threading.Barrier(4)

    def work(shard: int) -> None:
        started.append(shard)
        together.wait()
        if shard == 1:
            raise ZeroDivisionError
        time.sleep(0.05)
        finished.append(shard)

    with pytest.raises(ZeroDivisionError):
        map_shards(work, range(4))
    assert sorted(started) == [0, 1, 2, 3] and sorted(finished) == [0, 2, 3]


def test_shards_without_rows_add_nothing() -> None:
    rng = np.random.default_rng(0)
    weights = init_weights(CONFIG, rng)
    ids = rng.integers(0, 13, 31)
    parts = [np.array(rows, int) for rows in ([], [0, 1], [], [2, 3, 4], [])]

    def loss(tensors: dict[str, Tensor], shard: Packed) -> tuple[Tensor, dict[str, float]]:
        return next_token_loss(tensors, CONFIG, shard, 1 / 30), {}

    shards = [stream(ids, -1, rows, 6) for rows in parts]
    metrics, grads = value_and_grad(loss, weights, shards)
    expected, expected_grads = value_and_grad(loss, weights, [shards[1], shards[3]])
    nothing, no_grads = value_and_grad(loss, weights, [shards[0]])
    assert metrics == expected and nothing == {"loss": 0.0}
    assert set(no_grads) == set(grads) == set(weights)
    for name in weights:
        np.testing.assert_array_equal(grads[name], expected_grads[name])
        assert not no_grads[name].any()
