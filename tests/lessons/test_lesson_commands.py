"""`python -m lessons`: every command has help and examples under both of its names, and exit codes are `minipost`'s."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from lessons.__main__ import COMMANDS, main
from minipost import cli
from minipost.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
OLD_NAMES = [name for name, (function, *_) in cli.COMMANDS.items() if function.startswith("lessons.")]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module whose `command` stands in for the one of `python -m lessons build`."""
    module = types.ModuleType("command_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "build", (f"{module.__name__}:command", ""))
    return module


# ----------------------------------------------------------------------------------------------------------------- help
@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    printed = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in printed and summary in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['lessons']; from lessons.__main__ import main; main();"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'numba', 'matplotlib')))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and run.stdout.startswith("usage: python -m lessons COMMAND") and run.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_that_name_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m lessons {name} ")
    assert f"\n  python -m lessons {name} " in printed.partition("examples:")[2]
    assert "minipost " not in printed.partition("examples:")[2].partition("\n\n")[0]  # the other name


@pytest.mark.parametrize("name", OLD_NAMES)
def test_the_old_names_show_themselves_in_their_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: minipost {name} ") and f"\n  minipost {name} " in printed
    assert "python -m lessons" not in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_of_a_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    arguments = capsys.readouterr().out.partition("examples:")[0].partition("\n\n")[2].splitlines()
    for line, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if line.startswith("  ") and not line.startswith("    "):
            assert "  " in line.strip() or following.startswith("     "), line


# ----------------------------------------------------------------------------------------------------------- exit codes
@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("exercises", "did you mean exercise?"),
        ("biuld", "did you mean build?"),
        ("zzz", "see python -m lessons --help."),
    ],
)
def test_an_unknown_command_gets_a_suggestion(name: str, fix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"lessons: error: There is no command '{name}'; {fix}\n"


def test_a_command_gets_the_rest_and_its_name_and_its_code_is_returned(stand_in: types.ModuleType) -> None:
    calls: list[tuple[list[str], str]] = []
    stand_in.command = lambda argv, prog: calls.append((argv, prog))  # type: ignore[attr-defined]
    assert main(["build", "7", "--check"]) == 0
    stand_in.command = lambda argv, prog: len(argv)  # type: ignore[attr-defined]
    assert main(["build", "a", "b", "c"]) == 3
    assert calls == [(["7", "--check"], "python -m lessons build")]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("Name the lesson."), 2, "lessons build: error: Name the lesson.\n"),
        (KeyboardInterrupt(), 130, "lessons build: Stopped.\n"),
        (KeyboardInterrupt("Saved."), 130, "lessons build: Saved.\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_code(
    stand_in: types.ModuleType,
    error: BaseException,
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def command(argv: list[str], prog: str) -> None:
        raise error

    stand_in.command = command  # type: ignore[attr-defined]
    monkeypatch.setattr("os.dup2", lambda old, new: None)  # the test's own output stays
    monkeypatch.setattr(sys.stdout, "fileno", lambda: -1)
    assert main(["build"]) == code
    assert capsys.readouterr().err == sentence


def test_our_own_bugs_keep_their_traceback(stand_in: types.ModuleType) -> None:
    stand_in.command = lambda argv, prog: int("x")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="invalid literal"):
        main(["build"])


# ---------------------------------------------------------------------------------------------------------- both names
def test_both_names_of_a_command_do_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    for new, old in (
        (["list"], ["lesson"]),
        (["list", "7"], ["lesson", "list", "7"]),
        (["exercise", "1", "softplus_vjp"], ["exercise", "1", "softplus_vjp"]),
        (["exercise", "1", "softplus_vjp", "--hint"], ["exercise", "1", "softplus_vjp", "--hint"]),
        (["experiments"], ["claims"]),
    ):
        results = [(call(argv), capsys.readouterr().out) for call, argv in ((main, new), (cli.main, old))]
        assert results[0] == results[1] and results[0][1], new
    for argv in (["build", "99"], ["list", "99"], ["exercise", "99"]):
        assert main(argv) == 2
        assert f"lessons {argv[0]}: error: There is no lesson '99'" in capsys.readouterr().err


def test_build_says_which_pages_are_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lessons" / "03_small"
    folder.mkdir(parents=True)
    (folder / "lesson.py").write_text("# %% [markdown]\n# # A small lesson\n")
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0 and capsys.readouterr().out == "  3  A small lesson\n"
    for lesson in ("3", "all"):
        assert main(["build", lesson, "--check"]) == 1
        assert capsys.readouterr().err == "stale: 03_small has no page\n"


def test_exercises_without_hypothesis_say_what_to_install() -> None:
    """`pip install -e .` brings no Hypothesis: one sentence, and no traceback."""
    code = (
        "import sys; sys.modules['hypothesis'] = None; from minipost import cli; sys.exit(cli.main(['exercise', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    fix = "pip install 'minipost[laws]'"
    assert (
        done.stderr
        == f"minipost exercise: error: Exercises are checked with Hypothesis, which is not installed: {fix}.\n"
    )
