"""The reading path is true: its numbers, its order, and that nothing on the way is left out."""

from __future__ import annotations

import dataclasses
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import nano
import pytest
import reading
from layout import FLOORS, ROOT, name_of, room

TARGETS = {"DPO": 2_350, "PPO": 3_200}  # lines to read, at most


@pytest.fixture(scope="module")
def page() -> str:
    return reading.PAGE.read_text(encoding="utf-8")


def test_the_numbers_are_those_of_the_files(page: str) -> None:
    assert page == reading.counted(page), "run: python tests/reading.py --write"


@pytest.mark.parametrize("name", reading.COMMANDS)
def test_every_file_on_the_way_has_a_row_and_the_order_never_goes_up(name: str, page: str) -> None:
    files = reading.files_of(reading.rows(page, name)["to read"])
    floors = [FLOORS[room(name_of(file))] for file in files]
    assert floors == sorted(floors, reverse=True)
    assert name_of(files[0]) == reading.COMMANDS[name]


@pytest.mark.parametrize("name", reading.COMMANDS)
def test_a_path_is_short(name: str, page: str) -> None:
    assert reading.lines(reading.files_of(reading.rows(page, name)["to read"])) <= TARGETS[name]


def test_rows_are_numbered_in_order(page: str) -> None:
    for name, tables in reading.sections(page).items():
        numbers = [line.split("|")[1].strip() for line in tables[0].splitlines() if line.startswith("| ")]
        assert numbers[1:] == [str(n + 1) for n in range(len(numbers) - 1)], name


@pytest.mark.parametrize("name", reading.COMMANDS)
def test_a_run_enters_no_file_that_the_page_calls_imported_only(
    name: str, page: str, runs: Path, tmp_path: Path
) -> None:
    stage = name.lower()
    config = dataclasses.replace(nano.configs(runs)[stage], out=tmp_path / stage)
    entered: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        nano.STAGES[stage](config)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    imported_only = {str(file) for file in reading.files_of(reading.rows(page, name)["imported"])}
    assert str(ROOT / "minipost/stages/base.py") in entered
    assert sorted(entered & imported_only) == []


def test_a_file_that_the_page_forgets_is_found(page: str) -> None:
    with pytest.raises(reading.ReadingError, match=r"DPO imports minipost/losses/reduction\.py: give each a row"):
        reading.rows("\n".join(line for line in page.splitlines() if "losses/reduction" not in line), "DPO")
    with pytest.raises(reading.ReadingError, match="imported by nothing on the way"):
        reading.rows(page.replace("losses/reduction.py", "laws/judge.py"), "DPO")
