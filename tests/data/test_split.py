"""The held-out part of a user's files: no prompt on both sides, the same for the same seed, nothing lost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.data import Comparison, DataError, Demonstration, Reader
from minipost.data.problems import Dropped
from minipost.data.split import Parts, pages, split
from minipost.data.stats import asked


def written(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def rows(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def prompts(paths: list[Path]) -> set[int]:
    return {asked(read.record) for path in paths for read in Reader(path)}


def both(folder: Path, seed: int = 0, share: float = 0.3, count: int = 60) -> tuple[Parts, Parts]:
    """The same prompts as demonstrations (each twice, spelled differently) and, in another order, as comparisons."""
    demonstrations = [
        {"instruction": f"Say {i}{space}now", "input": "", "output": str(i)}
        for i in range(count)
        for space in (" ", "  ")
    ]
    pairs = [{"prompt": f"say {i} NOW", "chosen": "yes", "rejected": "no"} for i in range(count)]
    random.Random(seed).shuffle(pairs)
    files = written(folder / "d.jsonl", demonstrations), written(folder / "p.jsonl", pairs)
    return (
        split([files[0]], Demonstration, folder / "sft", seed, share),
        split([files[1]], Comparison, folder / "preference", seed, share),
    )


@given(seed=st.integers(0, 1000), share=st.sampled_from([0.1, 0.3, 0.6]))
@settings(deadline=None, max_examples=15)
def test_no_prompt_is_on_both_sides_whatever_file_it_stands_in(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float
) -> None:
    parts = both(tmp_path_factory.mktemp("split"), seed, share)
    train = prompts([path for part in parts for path in part.train])
    held_out = prompts([path for part in parts for path in part.held_out])
    assert not train & held_out
    assert len(train | held_out) == 60
    assert parts[0].counts == tuple(2 * n for n in parts[1].counts)
    assert sum(len(rows(part.train) + rows(part.held_out)) for part in parts) == 180


def test_the_seed_decides_and_other_rows_do_not(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
    first, again, other = (prompts(both(tmp_path / n, s)[1].held_out) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again != other
    assert prompts(both(tmp_path / "d", 0, count=30)[1].held_out) < first


def test_rows_stay_as_they_came(tmp_path: Path) -> None:
    row = {"instruction": "Tell", "input": "me", "output": "ü", "id": 7}
    parts = split([written(tmp_path / "d.jsonl", [row])], Demonstration, tmp_path / "out", 0, 0.5)
    assert rows(parts.train + parts.held_out) == [row]
    assert len(parts.train + parts.held_out) == 1  # a part without rows is no file to be read


def test_bad_rows_and_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    good, bad = {"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": "a", "rejected": "a"}
    path = written(tmp_path / "p.jsonl", [good, bad])
    with pytest.raises(DataError, match="1 of 2 rows are bad"):
        split([path], Comparison, tmp_path / "out", 0, 0.5)
    with pytest.raises(DataError, match="holds no demonstrations"):
        split([path], Demonstration, tmp_path / "out", 0, 0.5)
    dropped = Dropped(tmp_path / "dropped.jsonl")
    assert sum(split([path], Comparison, tmp_path / "out", 0, 0.5, dropped).counts) == dropped.count == 1
    assert rows([dropped.path])[0]["row"] == bad


def test_pages_hold_what_was_said_and_never_what_was_rejected(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", [{"prompt": "Hi", "chosen": "good", "rejected": "bad"}])
    assert [pages(read.record) for read in Reader(path)] == ["Hi\n\ngood"]
    path = written(tmp_path / "d.jsonl", [{"prompt": "Hi", "completion": "good"}])
    assert [pages(read.record) for read in Reader(path)] == ["Hi\n\ngood"]
