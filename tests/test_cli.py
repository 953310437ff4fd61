"""The `minipost` command: fast help, one sentence for what a user can fix, and exit codes that scripts can trust."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import minipost
from minipost import cli, completion
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
    monkeypatch.setitem(cli.COMMANDS, "sft", cli.Command(f"{module.__name__}:command", "Config", ""))
    return module


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"  {name} " in printed
        assert command.summary in printed
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

cli.COMMANDS["sft"] = cli.Command("__main__:command", "Config", "")
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


@pytest.fixture(scope="module")
def bash() -> Callable[[str], list[str]]:
    """Asks the completion script, in a real bash, what follows a line; the cursor stands behind it."""
    executable = shutil.which("bash")
    if executable is None:
        pytest.skip("there is no bash on this machine")
    script = completion.script("bash")

    def ask(line: str) -> list[str]:
        words = " ".join(map(shlex.quote, line.split(" ")))
        cursor = "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))"
        code = f"{script}\nCOMP_WORDS=({words}); {cursor}; _minipost; echo ${{COMPREPLY[*]}}"
        done = subprocess.run([executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return done.stdout.split()

    return ask


def help_of(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    return capsys.readouterr().out


def flags_in(printed: str) -> dict[str, str]:
    """Each flag of a help page with its text; the spellings of one flag share it."""
    texts: dict[str, str] = {}
    spellings: list[str] = []
    for line in (line.strip("│ ") for line in printed.splitlines() if line.startswith(("│ ", "  "))):
        head, _, text = line.partition("  ")
        if line.startswith("-"):
            spellings, line = [part.split()[0] for part in head.split(", ") if part.startswith("-")], text
        for flag in spellings:
            texts[flag] = f"{texts.get(flag, '')} {line}".strip()
    return texts


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_completion_offers_the_flags_that_help_lists(
    name: str, bash: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = help_of(name, capsys, monkeypatch)
    from_file = {"--config"} if "--config FILE.toml" in printed else set()
    assert set(bash(f"minipost {name} -")) == set(flags_in(printed)) | from_file


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_flag_has_a_help_text(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = flags_in(help_of(name, capsys, monkeypatch))
    assert "--help" in texts
    assert not [flag for flag, text in texts.items() if not re.search("[a-z]", re.sub(r"\(default: .*", "", text))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("minipost pret", ["pretrain"]),
        ("minipost tour --si", ["--size"]),
        ("minipost tour ", None),  # a command without positional arguments: its flags
        ("minipost dpo --loss-type h", ["hinge"]),
        ("minipost tour --methods ppo d", ["dpo"]),  # a second value
        ("minipost tour --methods ppo --size n", ["nano"]),
        ("minipost dpo --policy ", []),  # files, which bash completes by itself
        ("minipost laws --framework j", ["jax"]),
        ("minipost lesson ", ["list", "build"]),
        ("minipost claims p", ["publish"]),
        ("minipost export ", []),
        ("minipost --completion z", ["zsh"]),
    ],
)
def test_completion_in_bash(line: str, words: list[str] | None, bash: Callable[[str], list[str]]) -> None:
    assert bash(line) == (bash(f"{line}-") if words is None else words)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_know_the_same_flags_and_choices(shell: str) -> None:
    script = completion.script(shell)
    for name in cli.COMMANDS:
        for argument in completion.arguments(name):
            for flag in argument.flags:
                assert (f"{flag}[" if shell == "zsh" else f" {flag.lstrip('-')}") in script
            assert " ".join(argument.choices) in script


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_can_read_their_scripts(shell: str, tmp_path: Path) -> None:
    if not (executable := shutil.which(shell)):
        pytest.skip(f"there is no {shell} on this machine")
    (tmp_path / "script").write_text(completion.script(shell), encoding="utf-8")
    assert subprocess.run([executable, "-n", tmp_path / "script"], timeout=60).returncode == 0


def test_outside_of_a_checkout_the_lessons_are_refused_and_the_rest_is_completed(tmp_path: Path) -> None:
    """A copy of the package alone, as the wheel installs it, in an empty folder."""
    shutil.copytree(
        Path(minipost.__file__).parent, tmp_path / "site/minipost", ignore=shutil.ignore_patterns("__pycache__")
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for argv, code in (
        (["lesson"], 2),
        (["exercise", "1"], 2),
        (["claims"], 2),
        (["site"], 2),
        (["--completion", "bash"], 0),
    ):
        command = [sys.executable, "-m", "minipost", *argv]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code
        if code:
            assert done.stderr.startswith(
                f"minipost {argv[0]}: error: minipost {argv[0]} needs the lessons, which are not"
            )
            assert len(done.stderr.splitlines()) == 1 and done.stdout == ""
        else:
            assert "lesson) words='-h --help' ;;" in done.stdout and "--loss-type" in done.stdout


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
