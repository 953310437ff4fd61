"""`minipost laws`: what it lists, what it prints and writes, and exit codes that mean what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minipost.cli import main
from minipost.laws import TARGETS
from minipost.laws.command import listing

FEW = ["--max-examples", "8"]
GOOD = "def kl_k1(logp, ref_logp):\n    print('chatter')\n    return logp - ref_logp\n"
BAD = "def kl_k1(logp, ref_logp):\n    return ref_logp - logp\n"
DEADLY = "import os\n\ndef kl_k1(logp, ref_logp):\n    os._exit(7)\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_names_every_target_and_its_laws(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["laws"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == list(listing())
    for name in TARGETS:
        assert any(line.startswith(f"{name} (") for line in lines)
    assert any("P58" in line and "L(h) - L(-h) = -beta mean h" in line for line in lines)


def test_help_has_examples_and_says_that_the_file_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["laws", "--help"])
    said = capsys.readouterr().out
    assert leaving.value.code == 0
    assert "minipost laws dpo.sigmoid my_losses.py:dpo_loss" in said and "the code in it runs" in said


def test_a_file_is_judged_and_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text(GOOD)
    assert main(["laws", "kl.k1", "mine.py:kl_k1", *FEW]) == 0
    said = capsys.readouterr().out
    assert "BROKEN" not in said and "chatter" not in said and "  ok      P51" in said
    assert [p.name for p in here.iterdir()] == ["mine.py"]


def test_a_broken_law_is_exit_code_1_with_its_counterexample(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text(BAD)
    assert main(["laws", "--all", "mine.py", "--json", "out.json"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN  P54      policy and reference swapped give -KL" in said
    assert "logp     = [" in said and "should be" in said
    data = json.loads((here / "out.json").read_text())
    assert data["holds"] is False and data["targets"][0]["target"] == "kl.k1"
    rows = {row["law"]: row for row in data["targets"][0]["laws"]}
    assert rows["formula"]["status"] == "broken" and rows["formula"]["counterexample"]["calls"][0]["arguments"]
    assert rows["contract"]["status"] == "held"


def test_what_kills_its_process_breaks_the_contract(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text(DEADLY + BAD.replace("k1", "k2"))
    assert main(["laws", "--all", "mine.py", *FEW]) == 1
    said = capsys.readouterr().out
    assert "it ended the process (exit code 7)" in said and "logp     = [" in said
    assert "kl.k2  mine.py:kl_k2" in said  # and the next target is judged all the same
    assert "0 of 2 targets hold" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dpo"], "There is no target 'dpo'; choose one of"),
        (["kl.k1", "none.py:f"], "There is no file none.py"),
        (["kl.k1", "mine.py"], "names no function"),
        (["kl.k1", "mine.py:g"], "mine.py has no g"),
        (["kl.k1", "mine.py:number"], "number in mine.py is a int"),
        (["kl.k1", "broken.py:f"], "Importing broken.py raised SyntaxError"),
        (["kl.k1", "no_such_module:f"], "Importing no_such_module raised ModuleNotFoundError"),
        (["--all", "empty.py"], "empty.py implements no target under its name"),
        (["kl.k1", "--all"], "--all judges every target"),
        (["kl.k1", "--max-examples", "0"], "--max-examples is at least 1"),
        (["kl.k1", "--json", "nowhere/out.json"], "--json cannot write nowhere/out.json"),
    ],
)
def test_what_the_user_can_fix_is_one_sentence_and_exit_code_2(
    here: Path, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.py").write_text("number = 1\n" + GOOD)
    (here / "broken.py").write_text("def f(:\n")
    (here / "empty.py").write_text("")
    assert main(["laws", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_a_bug_of_ours_is_not_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("minipost.laws.command.listing", lambda: 1 / 0)
    assert main(["laws"]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_without_hypothesis_the_laws_are_listed_and_judging_says_what_to_install(here: Path) -> None:
    (here / "sitecustomize.py").write_text("import sys\nsys.modules['hypothesis'] = None\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}

    def laws(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "minipost", "laws", *argv]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    listed = laws()
    assert (listed.returncode, listed.stderr) == (0, "") and listed.stdout.splitlines() == list(listing())
    refused = laws("kl.k1")
    assert refused.returncode == 2 and not refused.stdout
    assert refused.stderr.count("\n") == 1 and "pip install hypothesis" in refused.stderr


def test_importing_the_laws_imports_no_hypothesis() -> None:
    program = "import sys, minipost.laws, minipost.laws.command; assert 'hypothesis' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
