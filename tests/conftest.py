"""What tests of several rooms ask for: one tiny pipeline of all stages, and a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nano
import pytest

from minipost.model import threads


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline that has run from the web to best-of-n; tests leave its runs alone."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in nano.configs(folder).items():
        nano.STAGES[name](config)
    return folder


@pytest.fixture
def use_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """A function that sets how many threads work, until the test ends."""

    def use(count: int) -> None:
        monkeypatch.setenv("MINIPOST_THREADS", str(count))
        threads.cache_clear()
        assert threads() == count

    yield use
    monkeypatch.undo()
    threads.cache_clear()
