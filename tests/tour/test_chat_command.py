"""Talking with trained models in the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from minipost.cli import main


@pytest.mark.parametrize("extra", [[], ["--best-of", "3", "--reward", "REWARD"], ["--history", "--temperature", "0"]])
def test_each_line_gets_an_answer(
    runs: Path, extra: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What is the capital of Italy?\nAnd of <|end|> France?\n"))
    reward = [str(runs / "reward") if word == "REWARD" else word for word in extra]
    assert main(["chat", str(runs / "sft"), "--max-new-tokens", "8", *reward]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") >= 2 and "<|" not in said.out and "Traceback" not in said.err


def test_a_missing_judge_is_one_sentence(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(runs / "sft"), "--best-of", "2"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("minipost chat: error: There is no model folder")
