"""From a dataclass to a command line, with a TOML file between the defaults and the flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from minipost.config import ConfigError, parse
from minipost.errors import UserError


@dataclass(frozen=True)
class Adam:
    lr: float = 1e-3  # peak learning rate
    betas: tuple[float, float] = (0.9, 0.95)  # decay of both moments


@dataclass(frozen=True)
class Config:
    policy: Path  # the run folder of the base model
    steps: int = 100  # number of updates
    clip: float | None = None  # the largest gradient norm
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    packed: bool = False
    kinds: tuple[str, ...] = ()
    optimizer: Adam = field(default_factory=lambda: Adam(lr=0.5))

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError("steps must be at least 1.")


def run(*argv: str) -> Config:
    return parse(Config, argv, "minipost sft", "Learn from demonstrations.")


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sft.toml"
    path.write_text(text)
    return path


def test_defaults_and_flags() -> None:
    assert run("--policy", "base") == Config(Path("base"))
    argv = "--policy base --steps 3 --clip 1 --loss ipo --packed --kinds a b --optimizer.betas 0.5 0.6"
    adam = Adam(lr=0.5, betas=(0.5, 0.6))
    assert run(*argv.split()) == Config(Path("base"), 3, 1.0, "ipo", True, ("a", "b"), adam)


def test_file_beats_defaults_and_flags_beat_the_file(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        'policy = "base"\nsteps = 3\nclip = 1\nloss = "ipo"\npacked = true\nkinds = ["a"]\n[optimizer]\nbetas = [0, 1]',
    )
    expected = Config(Path("base"), 3, 1.0, "ipo", True, ("a",), Adam(lr=0.5, betas=(0.0, 1.0)))
    assert run("--config", str(path)) == expected
    assert isinstance(run("--config", str(path)).clip, float)
    changed = run("--steps", "4", f"--config={path}", "--no-packed", "--optimizer.lr", "2")
    assert changed == Config(Path("base"), 4, 1.0, "ipo", False, ("a",), Adam(lr=2.0, betas=(0.0, 1.0)))


def test_what_the_file_leaves_out_may_still_be_required(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = toml(tmp_path, "steps = 3")
    assert run("--config", str(path), "--policy", "x") == Config(Path("x"), 3)
    with pytest.raises(SystemExit) as exit_:
        run("--config", str(path))
    assert exit_.value.code == 2
    assert "--policy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "unknown key stepz; did you mean steps?"),
        ("xyz = 3", "unknown key xyz; the keys are policy, steps, clip, loss, packed, kinds, optimizer."),
        ('steps = "3"', "steps is '3'; make it a whole number."),
        ("steps = 3.0", "steps is 3.0; make it a whole number."),
        ("steps = true", "steps is True; make it a whole number."),
        ("packed = 1", "packed is 1; make it true or false."),
        ('clip = "a"', "clip is 'a'; make it a number."),
        ('loss = "hinge"', "loss is 'hinge'; make it one of 'sigmoid', 'ipo'."),
        ("policy = 3", "policy is 3; make it a string (a path)."),
        ("kinds = [1]", "kinds is [1]; make it a list of a string."),
        ("optimizer = 3", "optimizer is 3; make it a table."),
        ("[optimizer]\nbetas = [1]", "[optimizer]: betas is [1]; make it a list of 2 values."),
        ("[optimizer]\nlrr = 1", "[optimizer]: unknown key lrr; did you mean lr?"),
        ("steps = ", "is no valid TOML: "),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        run("--policy", "x", "--config", str(path))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the configuration .*none.toml \(No such file"):
        run("--config", str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--policy", "x", "--stepz", "3"], "--steps"),
        (["--policy", "x", "--steps", "many"], "--steps"),
        (["--policy", "x", "--loss", "hinge"], "ipo"),
        (["--config"], "expected one argument"),
        ([], "--policy"),
    ],
)
def test_wrong_flags_exit_with_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) < 15


def test_a_check_sees_the_final_values_only(tmp_path: Path) -> None:
    path = toml(tmp_path, 'policy = "x"\nsteps = 0')
    assert run("--config", str(path), "--steps", "5").steps == 5
    with pytest.raises(UserError, match=r"^steps must be at least 1\.$"):  # the sentence itself, in no box of tyro's
        run("--config", str(path))
    with pytest.raises(UserError, match="at least 1"):
        run("--policy", "x", "--steps", "0")


def test_help_shows_comments_defaults_and_the_file(capsys: pytest.CaptureFixture[Any]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("--help")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    for text in ("minipost sft", "Learn from demonstrations.", "number of updates", "100", "--config FILE.toml"):
        assert text in printed
