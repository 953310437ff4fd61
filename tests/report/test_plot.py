"""`minipost plot`, and `--tensorboard`: a run's metrics in other places."""

from __future__ import annotations

import builtins
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from minipost import cli
from minipost.report.compare import compare, names
from minipost.runs import Run, RunError


@dataclass(frozen=True)
class Config:
    rate: float = 0.1
    tensorboard: bool = False


def make(out: Path, *rows: dict[str, Any]) -> str:
    run = Run.create(out, "sft", Config(), 0)
    for step, row in enumerate(rows, 1):
        run.log(step, row)
    return str(out)


def test_shared_metrics_become_axes_and_runs_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = make(tmp_path / "a/sft", {"loss": 2.0, "kl": 0.0}, {"loss": 1.0, "kl": 0.5})
    b = make(tmp_path / "b/sft", {"loss": 3.0, "gold": 1.0}, {"loss": float("nan"), "gold": 1.0})
    assert cli.main(["plot", a, b, "--out", str(tmp_path / "new/x.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last"] == {"loss": {"a/sft": 1.0, "b/sft": 3.0}}
    assert (tmp_path / "new/x.png").read_bytes().startswith(b"\x89PNG")


def shown(figure: Figure) -> dict[str, int]:
    """Lines in each visible panel, by the name on its axis."""
    return {ax.get_ylabel(): len(ax.lines) for ax in figure.axes if ax.get_visible()}


def test_a_run_that_lacks_a_metric_is_missing_from_its_panel() -> None:
    runs = {"a": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], "b": [{"step": 1, "gold": 1.0}]}
    figure = compare(runs, ["loss", "gold"])
    assert shown(figure) == {"loss": 2, "gold": 2}  # the steps, and their running mean
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    looks = [(ax.lines[-1].get_color(), ax.lines[-1].get_linestyle()) for ax in figure.axes]
    assert looks[0] != looks[1]
    assert shown(compare(runs, ["loss"] * 4)) == {"loss": 2}


def test_what_a_user_can_get_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make(tmp_path / "a", {"loss": 2.0}), make(tmp_path / "b", {"gold": 1.0})
    for argv, sentence in (
        ([], "Name at least one run folder"),
        ([a, a], "named twice"),
        ([a, b], "no metric in common"),
        ([a, "--metric", "lost"], "No run has the metric 'lost'; they have loss."),
        ([a, "--out", "x.pdf"], "must end with .png"),
        ([str(tmp_path)], "There are no metrics at"),
    ):
        assert cli.main(["plot", *argv]) == 2
        assert sentence in capsys.readouterr().err
    assert names({"a": [{"step": 1, "seconds": 2.0, "loss": 1.0}]}) == ["loss"]


def test_tensorboard_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.delitem(sys.modules, "tensorboardX", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RunError, match=r"needs the package tensorboardX.*pip install 'minipost\[tensorboard\]'"):
        Run.create(tmp_path / "run", "sft", Config(tensorboard=True), 0)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers under their own names and steps; a new run starts with an empty folder."""
    told: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            Path(folder).mkdir(exist_ok=True)
            Path(folder, f"events{purge_step}").touch()

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def flush(self) -> None:
            pass

    module = type(sys)("tensorboardX")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    run = Run.create(tmp_path / "run", "sft", Config(tensorboard=True), 0)
    run.log(1, {"loss": 2.0, "rewards/margins": 1, "ci": [0, 1], "none": float("nan")})
    assert [row for row in told if row[0] != "seconds"] == [("loss", 2.0, 1), ("rewards/margins", 1, 1)]
    assert [path.name for path in (tmp_path / "run/tensorboard").iterdir()] == ["events1"]
    Run.create(tmp_path / "run", "sft", Config(), 0, overwrite=True)
    assert not (tmp_path / "run/tensorboard").exists()
    Run.create(tmp_path / "run", "sft", Config(tensorboard=True), 0, resume=True)  # not a part of a run's identity
