"""Examples are drawn afresh, as many as asked for, the same for the same seed; failures shrink; no trace is left."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import minipost
from minipost.laws import TARGETS
from minipost.laws.drawing import draw
from minipost.laws.judge import laws_of
from minipost.laws.strategies import examples


def drawn(strategy: st.SearchStrategy[Any], count: int, name: str) -> list[Any]:
    values: list[Any] = []
    draw(strategy, values.append, count, name)
    return values


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("target", list(TARGETS))
def test_as_many_examples_as_asked_for(target: str, wide: bool) -> None:
    assert len(drawn(examples(target, laws_of(TARGETS[target]), wide), 10, "seed")) == 10


def test_examples_are_independent_and_follow_from_the_seed() -> None:
    numbers = st.lists(st.integers(0, 10**6), min_size=2, max_size=2).map(tuple)
    first, again, other = (drawn(numbers, 100, name) for name in ("0", "0", "1"))
    assert first == again and first[0] == (0, 0)
    assert len({n for pair in first for n in pair}) > 190  # mutations of one another would share numbers
    assert not set(first[1:]) & set(other[1:])


def test_what_fails_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed: list[list[int]] = []

    def each(values: list[int]) -> None:
        if sum(values) > 100:
            failed.append(values)
            raise AssertionError

    with pytest.raises(AssertionError):
        draw(st.lists(st.integers(0, 1000), max_size=5), each, 50, "seed", shrink=True)
    assert failed[-1] == [101]
    assert not list(tmp_path.iterdir())


def test_what_fails_only_once_is_no_error_of_ours() -> None:
    calls: list[int] = []

    def each(value: int) -> None:
        calls.append(value)
        if len(calls) == 3:
            raise AssertionError

    with suppress(AssertionError):
        draw(st.integers(0, 1000), each, 50, "seed", shrink=True)
    assert len(calls) >= 3


def test_nothing_private_of_hypothesis_is_used() -> None:
    private = re.compile(
        r"hypothesis\.(internal|\w*\._)|hypothesis\._|from hypothesis import .*\b(configuration|internal)\b"
    )
    for path in Path(minipost.__file__).parent.rglob("*.py"):
        assert not private.search(path.read_text(encoding="utf-8")), path
