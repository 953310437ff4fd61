"""The `minipost` command: fast help, one sentence for what a user can fix, and exit codes that scripts can trust."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

import minipost
from minipost import cli
from minipost.config import parse
from minipost.errors import UserError
from minipost.model.folder import load_model
from minipost.runs import Interrupted


def minipost_command(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "minipost", *argv], capture_output=True, text=True, timeout=60)


@dataclass(frozen=True)
class Config:
    steps: int = 3  # number of updates


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module whose `command` stands in for the one of `minipost sft`."""
    module = types.ModuleType("stage_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "sft", (f"{module.__name__}:command", ""))
    return module


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    for name, (_, summary) in cli.COMMANDS.items():
        assert f"  {name} " in printed
        assert summary in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_help_of_the_real_command_is_fast_and_imports_nothing_heavy() -> None:
    start = time.perf_counter()
    result = minipost_command("--help")
    assert time.perf_counter() - start < 3  # 0.03 s on an idle machine; a heavy import would show below
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: minipost COMMAND")
    code = "import minipost.cli, sys; print(any(name in sys.modules for name in ('numpy', 'numba', 'rich', 'tyro')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_version() -> None:
    result = minipost_command("--version")
    assert (result.returncode, result.stdout) == (0, f"minipost {minipost.__version__}\n")


@pytest.mark.parametrize(
    ("name", "fix"), [("stf", "did you mean sft?"), ("--sft", "did you mean sft?"), ("zzz", "see minipost --help.")]
)
def test_an_unknown_command_gets_a_suggestion(name: str, fix: str) -> None:
    result = minipost_command(name)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"minipost: error: There is no command '{name}'; {fix}\n"


def test_a_command_gets_the_rest_and_its_code_is_returned(stage: types.ModuleType) -> None:
    seen: list[list[str]] = []
    stage.command = seen.append  # type: ignore[attr-defined]
    assert cli.main(["sft", "--steps", "3"]) == 0
    stage.command = len  # type: ignore[attr-defined]
    assert cli.main(["sft", "a", "b", "c"]) == 3
    assert seen == [["--steps", "3"]]


def test_what_the_user_can_fix_is_one_sentence(
    stage: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.command = lambda argv: load_model(tmp_path / "none")  # type: ignore[attr-defined]
    assert cli.main(["sft"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minipost sft: error: There is no model folder at")
    assert len(error.splitlines()) == 1
    assert issubclass(UserError, ValueError)


def test_our_own_bugs_keep_their_traceback(stage: types.ModuleType) -> None:
    stage.command = lambda argv: int("x")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(["sft"])


@pytest.mark.parametrize(("error", "said"), [(KeyboardInterrupt(), "Stopped."), (Interrupted("Saved."), "Saved.")])
def test_ctrl_c_is_130(
    stage: types.ModuleType, error: BaseException, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(argv: list[str]) -> None:
        raise error

    stage.command = command  # type: ignore[attr-defined]
    assert cli.main(["sft"]) == 130
    assert capsys.readouterr().err == f"minipost sft: {said}\n"


SCRIPT = """
import sys
from dataclasses import dataclass
from minipost import cli
from minipost.config import parse

@dataclass
class Config:
    steps: int = 3  # number of updates

cli.COMMANDS["sft"] = ("__main__:command", "")
command = lambda argv: print(parse(Config, argv, "minipost sft", "Learn."))
sys.exit(cli.main(["sft", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--steps", "5"], 0, "Config(steps=5)"),
        (["--stepz", "5"], 2, "Perhaps you meant"),
        (["--config", "none.toml"], 2, "minipost sft: error: Cannot read the configuration none.toml"),
        (["--help"], 0, "number of updates"),
    ],
)
def test_a_stage_from_the_shell(tmp_path: Path, argv: list[str], code: int, said: str) -> None:
    (tmp_path / "stage.py").write_text(SCRIPT)
    result = subprocess.run([sys.executable, str(tmp_path / "stage.py"), *argv], capture_output=True, text=True)
    assert result.returncode == code
    assert said in (result.stderr if code else result.stdout)
    assert "Traceback" not in result.stderr


def test_flags_of_the_same_name_as_in_the_dataclass() -> None:
    assert parse(Config, ["--steps", "4"], "minipost sft") == Config(4)


def test_a_reader_that_goes_away_is_no_bug() -> None:
    """`minipost laws | head -1`: no traceback, and an exit code of its own."""
    code = "import sys; from minipost import cli; sys.exit(cli.main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # before anything is written
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dpo", "--beta", "0"], "minipost dpo: error: beta 0.0 must be > 0"),
        (["ppo", "--rollout", "9"], "minipost ppo: error: rollout 9 must be a multiple"),
        (["tour", "--lora-rank", "8"], "minipost tour: error: --lora-rank belongs to a tour on own data"),
        (["chat", "--best-of", "0"], "minipost chat: error: --best-of 0 must be at least 1"),
    ],
)
def test_what_a_configuration_refuses_is_one_sentence(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_help_has_examples_that_name_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([name, "--help"])
    assert left.value.code == 0
    printed, said = capsys.readouterr()
    assert "xamples:" in printed
    assert f"  minipost {name} " in printed or f"  minipost {name}\n" in printed
    assert said == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_their_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*cli.COMMANDS, "sft-data", "loss-type", "skip-bad", "best-of"):
        assert word in script, word


def test_completion_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("there is no bash here")
    assert cli.main(["--completion", "bash"]) == 0
    (tmp_path / "minipost").write_text(capsys.readouterr().out)
    ask = f"""source {tmp_path}/minipost
        for line in 'minipost pret' 'minipost tour --si' 'minipost dpo --loss-type h'; do
            COMP_WORDS=($line); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); _tyro_minipost
            echo ${{COMPREPLY[*]}}
        done"""
    done = subprocess.run([bash, "-c", ask], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["pretrain", "--size", "hinge"]


def test_completion_for_a_shell_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--completion", "ed"]) == 2
    assert "choose one of bash, zsh, fish" in capsys.readouterr().err


def test_the_exit_codes_are_documented() -> None:
    page = (Path(__file__).parent.parent / "docs/commands.md").read_text()
    for line in cli.EXIT_CODES.splitlines()[1:]:
        assert f"| {line.split()[0]} |" in page


def test_nothing_but_results_goes_to_standard_output_and_no_colour_if_asked(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"prompt": "Hi", "completion": "Hello"}\n')
    result = minipost_command("data", str(tmp_path / "d.jsonl"), "--json")
    assert json.loads(result.stdout)["ok"] is True
    coloured = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    for extra, found in (({}, True), ({"NO_COLOR": "1"}, False)):
        argv = [sys.executable, "-m", "minipost", "data", str(tmp_path / "d.jsonl")]
        env = os.environ | coloured | extra
        out = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env).stdout
        assert ("\x1b[3" in out) == found
