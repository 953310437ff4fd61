"""`minipost data`: what it prints, what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minipost import cli
from minipost.data.stats import histogram
from minipost.files import TOKENIZER
from minipost.text import Tokenizer

GOOD = {"prompt": "What is red?", "completion": "A colour."}
PAIR = {"prompt": "Hi", "chosen": "Ho", "rejected": "Ha"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; without colours, and wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


def write(path: str, *rows: Any) -> str:
    Path(path).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def summary(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """What `--json` prints for the first file."""
    cli.main(["data", *argv, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["files"][0]
    return found


def test_rows_are_shown_as_the_model_sees_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readable without colour: what is learnt stands in brackets, the end token included, the prompt does not."""
    path = write("a.jsonl", GOOD, {**GOOD, "completion": "É\n"})
    Tokenizer([]).save(folder / TOKENIZER)
    assert cli.main(["data", path, "--tokenizer", "."]) == 0
    out = capsys.readouterr().out
    assert "a.jsonl  prompt-completion" in out and "2 good, 0 bad" in out
    assert "\x1b[" not in out
    assert "<|user|>| |W|h|a|t| |i|s| |r|e|d|?|<|assistant|>[ |A| |c|o|l|o|u|r|.|<|end|>]" in out
    assert "[ |\\xc3|\\x89|<|end|>]" in out


def test_the_mask_is_coloured_where_there_are_colours(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert cli.main(["data", write("a.jsonl", GOOD)]) == 0
    assert re.search(r"\x1b\[32m[^\x1b]*<\|end\|>\x1b\[0m", capsys.readouterr().out)


def test_bad_rows_exit_with_2_and_a_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.jsonl", GOOD, {"prompt": "Hi"}, *["{"] * 11)
    assert cli.main(["data", path]) == 2
    err = capsys.readouterr().err
    assert "12 of 13 rows are bad (11 x invalid JSON, 1 x missing key)" in err
    assert "a.jsonl:2: completion is null: the key completion is missing; a row of prompt-completion has" in err
    assert "Traceback" not in err and "... and 2 more" in err
    assert not Path("dropped.jsonl").exists()


def test_skip_bad_drops_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.jsonl", GOOD, {"prompt": "Hi", "completion": ""}, "{", {**GOOD, "id": 1})
    assert cli.main(["data", path, "--skip-bad", "--out", "good.jsonl"]) == 0
    printed = capsys.readouterr()
    assert "2 good, 2 bad and dropped" in printed.out and "2 bad rows were dropped; dropped.jsonl" in printed.err
    assert [json.loads(line) for line in Path("good.jsonl").read_text().splitlines()] == [GOOD, {**GOOD, "id": 1}]
    report = [json.loads(line) for line in Path("dropped.jsonl").read_text().splitlines()]
    assert [(row["line"], row["kind"], row["field"]) for row in report] == [
        (2, "empty response", "completion"),
        (3, "invalid JSON", ""),
    ]
    assert report[0]["row"] == {"prompt": "Hi", "completion": ""} and report[0]["fix"]
    assert cli.main(["data", write("b.jsonl", "{"), "--skip-bad"]) == 2  # nothing would be left
    assert cli.main(["data", "good.jsonl"]) == 0


def test_leakage_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Case and white space do not hide it, nor does another format."""
    train = write("train.jsonl", GOOD, {**GOOD, "prompt": "what  is RED?"}, {**GOOD, "prompt": "What is blue?"})
    test = write("test.jsonl", {"instruction": "What is red?", "input": "", "output": "Scarlet."})
    assert cli.main(["data", train, "--against", test]) == 2
    assert "2 of 3 rows are bad (2 x leakage)" in capsys.readouterr().err
    assert summary(capsys, train, "--against", test, "--skip-bad")["bad"] == 2
    assert cli.main(["data", train, "--against", write("other.jsonl", {"prompt": "Why?"})]) == 0


def test_swapped_pairs_and_duplicates_warn_and_fail_if_strict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = {**PAIR, "chosen": "Ha", "rejected": "Ho"}
    path = write("a.jsonl", PAIR, {**PAIR, "prompt": "Yo"}, swapped, PAIR, {**PAIR, "prompt": "Ciao", "source": "x"})
    found = summary(capsys, path)
    assert (found["swapped"], found["duplicates"], found["ignored"]) == (3, 1, {"source": 1})
    assert "3 comparisons are there both ways round, (A, B) and (B, A): lines 1, 3, 4" in found["warnings"]
    assert "1 rows repeat an earlier one: line 4" in found["warnings"]
    assert cli.main(["data", path]) == 0
    assert "warning" in capsys.readouterr().out
    assert cli.main(["data", path, "--strict", "--out", "good.jsonl"]) == 2
    assert "both ways round" in capsys.readouterr().err
    assert not Path("good.jsonl").exists()


def test_lengths_turns_and_truncation_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Tokenizer([]).save(folder / TOKENIZER)
    rows = [{"prompt": "p", "completion": "c" * n} for n in (1, 10, 30)]
    found = summary(capsys, write("a.jsonl", *rows), "--tokenizer", ".", "--context", "20")
    assert found["turns"] == {"2": 3} and found["truncated"] == 1
    assert found["tokens"] == {
        "examples": 3,
        "total": 7 + 16 + 20,
        "min": 7,
        "quartiles": [11, 16, 18],
        "max": 20,
        "histogram": {"5": 0, "10": 1, "15": 0, "20": 2},
    }
    assert any("1 responses do not fit into 20 tokens" in warning for warning in found["warnings"])


def test_the_histogram_counts_everything_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = rng.integers(0, rng.integers(2, 5000), 100).astype(np.uint32)
        bins = histogram(sizes)
        edges = list(bins)
        assert sum(bins.values()) == 100 and len(bins) <= 8
        assert np.cumsum(list(bins.values())).tolist() == [int((sizes <= edge).sum()) for edge in edges]


def test_json_is_whole_and_alone_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write("a.jsonl", GOOD), write("b.jsonl", PAIR, {**PAIR, "rejected": "Ho"})
    assert cli.main(["data", *paths, "--json"]) == 2
    printed = capsys.readouterr()
    whole = json.loads(printed.out)
    assert whole["ok"] is False
    found = [(file["format"], file["rows"], file["bad"]) for file in whole["files"]]
    assert found == [("prompt-completion", 1, 0), ("preference", 2, 1)]
    problem = whole["files"][1]["problems"][0]
    assert problem["line"] == 2 and problem["kind"] == "chosen equals rejected" and problem["fix"] == "drop the row"
    assert "b.jsonl: 1 of 2 rows are bad" in printed.err


def test_a_plain_text_is_one_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("book.txt").write_text("One line.\n" * 20_000)
    found = summary(capsys, "book.txt")
    assert (found["format"], found["rows"], found["duplicates"]) == ("plain text", 1, 0)
    assert found["tokens"]["examples"] > 1


@pytest.mark.parametrize(
    "argv, sentence",
    [
        ([], "Name at least one file"),
        (["missing.jsonl"], "Cannot read missing.jsonl (No such file or directory); check the path."),
        (["a.jsonl", "--out", "a.jsonl"], "a.jsonl is one of the files to read; write to another."),
        (["a.jsonl", "--out", "b.jsonl"], "--out b.jsonl exists already"),
        (["a.jsonl", "--context", "0"], "--context 0 must be at least 1"),
        (["a.jsonl", "--format", "csv"], "There is no format 'csv'"),
        (["a.jsonl", "--tokenizer", "nowhere"], "There is no tokenizer at nowhere"),
    ],
)
def test_what_a_user_can_get_wrong(
    argv: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", GOOD)
    write("b.jsonl", GOOD)
    assert cli.main(["data", *argv]) == 2
    assert sentence in capsys.readouterr().err
    assert Path("a.jsonl").read_text() == json.dumps(GOOD) + "\n"
