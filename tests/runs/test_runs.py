"""Run folders: identity, diary, state; what they refuse; and that a resumed run is the uninterrupted one."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minipost.errors import UserError
from minipost.files import atomic, load_arrays, save_arrays, write_text
from minipost.model import Model
from minipost.model.folder import check_shapes, load_model, save_model
from minipost.runs import Interrupted, Run, RunError, interruptible, progress, read_metrics, read_setting
from minipost.text import Tokenizer, TokenizerError

WEIGHTS = {"head": np.ones((3, 2), dtype=np.float32), "scale": np.array(2.0)}
MODEL_CONFIG = {"dim": 2, "vocab_size": 262}


@dataclass(frozen=True)
class Optimizer:
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass(frozen=True)
class Config:
    steps: int = 10
    learning_rate: float = 0.1
    optimizer: Optimizer = field(default_factory=Optimizer)
    policy: Path | None = None
    out: Path = Path("runs/sft")
    resume: bool = False


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer([])


@pytest.fixture
def parent(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    run = Run.create(tmp_path / "pretrain", "pretrain", Config(), 0)
    run.finish(Model(WEIGHTS, MODEL_CONFIG, tokenizer))
    return run.path


def rows(run: Run) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.metrics()]


# --- files ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        dtype=st.sampled_from([np.dtype(name) for name in ("f4", "f8", "i8", "u1", "?", ">f4")]),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.text(max_size=9),
)
def test_arrays_come_back_bit_for_bit_in_any_layout(array: np.ndarray, text: str) -> None:
    """Also 0-d, empty, transposed, strided and big-endian ones: safetensors itself would save a view's raw memory."""
    arrays = {"plain": array, "transposed": array.T, "strided": array[::2] if array.ndim else array}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        save_arrays(path, arrays, {"text": text})
        loaded, metadata = load_arrays(path)
        assert os.listdir(folder) == ["x.safetensors"]
    assert metadata == {"text": text}
    assert loaded.keys() == arrays.keys()
    for name, expected in arrays.items():
        assert loaded[name].dtype == expected.dtype.newbyteorder("=")
        assert loaded[name].flags.writeable
        np.testing.assert_array_equal(loaded[name], expected)


def test_the_same_arrays_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_arrays(tmp_path / name, WEIGHTS, {"config": "{}"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="not reproducible"):
        save_arrays(tmp_path / "c", WEIGHTS, {"config": "{}", "format": "pt"})


def test_only_numbers_are_saved(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Cannot save names \(object\)"):
        save_arrays(tmp_path / "x", {"names": np.array(["a", None])}, {})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


# --- identity ------------------------------------------------------------------------------------------------------


def test_config_json_says_who_the_run_is(tmp_path: Path, parent: Path) -> None:
    config = Config(policy=parent, out=tmp_path / "sft")
    run = Run.create(tmp_path / "sft", "sft", config, 7, {"policy": parent})
    record = json.loads((run.path / "config.json").read_text())
    assert record["stage"] == "sft"
    assert record["seed"] == 7
    assert record["config"] == {"steps": 10, "learning_rate": 0.1, "optimizer": {"betas": [0.9, 0.95]}}
    assert record["parents"]["policy"]["path"] == "../pretrain"
    assert re.fullmatch("[0-9a-f]{64}", record["parents"]["policy"]["sha256"])
    assert record["versions"].keys() >= {"minipost", "python", "numpy", "numba"}
    assert record["platform"]
    assert record["created"].endswith("+00:00")
    assert not run.finished
    assert str(tmp_path) not in (run.path / "config.json").read_text()  # a folder of runs can be moved


def test_a_run_is_never_overwritten_unasked(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    run.log(1, {"loss": 1.0})
    with pytest.raises(RunError, match=r"already holds an unfinished run of sft; pass --resume .* --overwrite"):
        Run.create(tmp_path / "sft", "sft", Config(), 0)
    assert rows(run) == [{"step": 1, "loss": 1.0}]


def test_overwrite_deletes_the_run_and_nothing_else(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    run.log(1, {"loss": 1.0})
    run.save_checkpoint(1, WEIGHTS, {})
    run.finish(Model(WEIGHTS, MODEL_CONFIG, tokenizer))
    (run.path / "notes.txt").write_text("mine")
    again = Run.create(tmp_path / "sft", "dpo", Config(), 1, overwrite=True)
    assert not again.finished
    assert again.load_checkpoint() is None
    assert again.metrics() == []
    assert sorted(os.listdir(run.path)) == ["config.json", "metrics.jsonl", "notes.txt"]


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("content", ["not JSON", '{"model_type": "llama"}', "[]"])
def test_a_foreign_folder_is_never_touched(tmp_path: Path, flags: dict[str, Any], content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match="neither empty nor a run of minipost"):
        Run.create(tmp_path, "sft", Config(), 0, **flags)
    assert (tmp_path / "config.json").read_text() == content
    assert len(os.listdir(tmp_path)) == 1


def test_out_may_not_be_a_file_nor_the_parent(tmp_path: Path, parent: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="neither empty nor a run"):
        Run.create(tmp_path / "file", "sft", Config(), 0)
    with pytest.raises(RunError, match="Cannot make the folder"):
        Run.create(tmp_path / "file" / "below", "sft", Config(), 0)
    with pytest.raises(RunError, match="is the folder of the policy model itself"):
        Run.create(parent, "sft", Config(), 0, {"policy": parent}, overwrite=True)
    assert load_model(parent)


def test_a_parent_must_be_trained(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"The policy model .*nowhere holds no model.safetensors; train it first"):
        Run.create(tmp_path / "sft", "sft", Config(), 0, {"policy": tmp_path / "nowhere"})
    assert not (tmp_path / "sft").exists()


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="pass only one"):
        Run.create(tmp_path / "sft", "sft", Config(), 0, resume=True, overwrite=True)


@pytest.mark.parametrize(
    ("stage", "config", "seed", "message"),
    [
        ("dpo", Config(), 0, "stage is 'sft' there and 'dpo' here"),
        ("sft", Config(), 1, "seed is 0 there and 1 here"),
        ("sft", Config(steps=11, learning_rate=0.2), 0, "steps is 10 there and 11 here, learning_rate is 0.1 there"),
        ("sft", Config(optimizer=Optimizer(betas=(0.9, 0.99))), 0, "optimizer is {'betas'"),
    ],
)
def test_another_run_cannot_be_resumed(tmp_path: Path, stage: str, config: Config, seed: int, message: str) -> None:
    Run.create(tmp_path / "sft", "sft", Config(), 0)
    with pytest.raises(RunError, match=f"is another run and cannot be resumed: {message}"):
        Run.create(tmp_path / "sft", stage, config, seed, resume=True)


def test_a_run_on_another_parent_cannot_be_resumed(tmp_path: Path, parent: Path, tokenizer: Tokenizer) -> None:
    def create() -> Run:
        return Run.create(tmp_path / "sft", "sft", Config(), 0, {"policy": parent}, resume=True)

    create()
    create()
    save_model(parent, WEIGHTS | {"scale": np.array(3.0)}, MODEL_CONFIG, tokenizer)
    with pytest.raises(RunError, match=r"the policy model is '[0-9a-f]{12}' there and '[0-9a-f]{12}' here"):
        create()


def test_fields_about_the_folder_are_not_identity(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    Run.create(run.path, "sft", Config(out=Path("elsewhere"), resume=True), 0, resume=True)


# --- diary and state -----------------------------------------------------------------------------------------------


def test_metrics_are_plain_json(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    logged = {"a": np.float32(0.5), "b": float("nan"), "c": np.array([1.0, np.inf]), "d": np.int64(3), "e": np.array(1)}
    run.log(1, logged | {"f": {"g": -np.inf}, "text": "é"})
    assert rows(run) == [
        {"step": 1, "a": 0.5, "b": None, "c": [1.0, None], "d": 3, "e": 1, "f": {"g": None}, "text": "é"}
    ]
    assert isinstance(run.metrics()[0]["seconds"], float)
    with pytest.raises(ValueError, match="'step' is taken"):
        run.log(2, {"step": 3})


def test_metrics_survive_a_cut_last_line_but_not_a_broken_one(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    run.log(1, {"loss": 1.0})
    path = run.path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 2, "lo')
    assert rows(run) == [{"step": 1, "loss": 1.0}]
    path.write_text("nonsense\n")
    with pytest.raises(RunError, match="is damaged"):
        run.metrics()
    with pytest.raises(RunError, match="There are no metrics"):
        read_metrics(tmp_path / "nowhere")


def test_a_checkpoint_holds_arrays_and_scalars(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    assert run.load_checkpoint() is None
    rng = np.random.default_rng(3)
    run.save_checkpoint(4, WEIGHTS, {"rng": rng.bit_generator.state, "best": float("inf"), "order": [2, 0, 1]})
    checkpoint = run.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint.step == 4
    assert checkpoint.scalars["best"] == float("inf")
    assert checkpoint.scalars["order"] == [2, 0, 1]
    for name, weight in WEIGHTS.items():
        np.testing.assert_array_equal(checkpoint.arrays[name], weight, strict=True)
    other = np.random.default_rng()
    other.bit_generator.state = checkpoint.scalars["rng"]
    assert other.random() == rng.random()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "foreign"])
def test_a_damaged_checkpoint_is_explained(tmp_path: Path, damage: str) -> None:
    run = Run.create(tmp_path / "sft", "sft", Config(), 0)
    run.save_checkpoint(4, WEIGHTS, {})
    path = run.path / "checkpoint.safetensors"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-5], "empty": b"", "text": b"hello" * 9, "foreign": content}[damage])
    if damage == "foreign":
        save_arrays(path, WEIGHTS, {})
    message = "no checkpoint of minipost; delete it" if damage == "foreign" else "is damaged or no safetensors file"
    with pytest.raises(RunError, match=message):
        run.load_checkpoint()
    with pytest.raises(RunError, match=message):
        Run.create(run.path, "sft", Config(), 0, resume=True)


def train(out: Path, tokenizer: Tokenizer, crash_at: int = -1, save_every: int = 3, resume: bool = False) -> Run:
    """A stage in miniature: noisy momentum descent, which depends on weights, momentum and the random stream."""
    config = Config()
    run = Run.create(out, "sft", config, 0, resume=resume)
    if run.finished:
        return run
    rng = np.random.default_rng(0)
    weight, momentum, start = rng.normal(size=4), np.zeros(4), 0
    if checkpoint := run.load_checkpoint():
        weight, momentum, start = checkpoint.arrays["weight"], checkpoint.arrays["momentum"], checkpoint.step
        rng.bit_generator.state = checkpoint.scalars["rng"]
    for step in range(start + 1, config.steps + 1):
        momentum = 0.9 * momentum + weight + rng.normal(size=4)
        weight = weight - config.learning_rate * momentum
        run.log(step, {"loss": float(weight @ weight)})
        if step == crash_at:
            raise MemoryError
        if step % save_every == 0:
            arrays = {"weight": weight, "momentum": momentum}
            run.save_checkpoint(step, arrays, {"rng": rng.bit_generator.state})
    run.finish(Model({"weight": weight}, {"dim": 4}, tokenizer))
    return run


@pytest.mark.parametrize("crash_at", [1, 3, 5, 10])
def test_P50_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, tokenizer: Tokenizer, crash_at: int) -> None:
    """Crashes before the first checkpoint, at one's step, between two and at the last step; bits and metrics agree."""
    whole = train(tmp_path / "whole", tokenizer)
    with pytest.raises(MemoryError):
        train(tmp_path / "cut", tokenizer, crash_at)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "lo')  # the crash hit a write
    resumed = train(tmp_path / "cut", tokenizer, resume=True)
    assert rows(resumed) == rows(whole)
    assert [row["step"] for row in resumed.metrics()] == list(range(1, 11))
    seconds = [row["seconds"] for row in resumed.metrics()]
    assert seconds == sorted(seconds)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_resuming_a_finished_run_does_nothing(
    tmp_path: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "sft", tokenizer)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert train(tmp_path / "sft", tokenizer, resume=True).finished
    assert "is finished; there is nothing left to do" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    with pytest.raises(RunError, match="a finished run"):
        train(tmp_path / "sft", tokenizer)


def test_resuming_nothing_starts(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "below"):
        assert train(out, tokenizer, resume=True).finished


# --- models --------------------------------------------------------------------------------------------------------


def test_a_model_and_its_card(tmp_path: Path, parent: Path, tokenizer: Tokenizer) -> None:
    config = replace(Config(), policy=parent)
    run = Run.create(tmp_path / "sft", "sft", config, 5, {"policy": parent})
    run.log(1, {"loss": 0.25, "odd|name": None})
    run.finish(Model(WEIGHTS, MODEL_CONFIG, tokenizer), description="Learnt from demonstrations.")
    weights, model_config, loaded = load_model(run.path)
    assert model_config == MODEL_CONFIG
    assert loaded == tokenizer
    assert weights.keys() == WEIGHTS.keys()
    np.testing.assert_array_equal(weights["head"], WEIGHTS["head"], strict=True)
    card = (run.path / "MODEL_CARD.md").read_text()
    for text in (
        "`sft`",
        "Learnt from",
        "`../pretrain`",
        "| seed | 5 |",
        "| steps | 10 |",
        "| loss | 0.25 |",
        "7 param",
    ):
        assert text in card
    assert "odd\\|name" in card
    assert "Model.load(" in card
    assert str(tmp_path) not in card


def test_a_run_may_finish_without_a_model(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "best", "best-of-n", Config(), 0)
    run.finish()
    assert run.finished
    assert "## Loading" not in (run.path / "MODEL_CARD.md").read_text()


def test_model_errors_are_one_sentence(tmp_path: Path, parent: Path) -> None:
    with pytest.raises(RunError, match="There is no model folder at"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"holds no model.safetensors; pass the folder of a run"):
        load_model(tmp_path)
    unfinished = Run.create(tmp_path / "unfinished", "sft", Config(), 0)
    with pytest.raises(RunError, match=r"holds no model.safetensors; its training has not finished"):
        load_model(unfinished.path)

    (parent / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="is no usable tokenizer"):
        load_model(parent)
    (parent / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"holds no tokenizer.json"):
        load_model(parent)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04pickle", None])
def test_a_damaged_model_is_explained(parent: Path, content: bytes | None) -> None:
    path = parent / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    with pytest.raises(RunError, match=f"{path} is damaged or no safetensors file"):
        load_model(parent)
    assert issubclass(RunError, UserError)


@pytest.mark.parametrize("metadata", [{}, {"config": "{"}, {"config": "3"}])
def test_a_foreign_model_is_explained(parent: Path, metadata: dict[str, str]) -> None:
    save_arrays(parent / "model.safetensors", WEIGHTS, metadata)
    with pytest.raises(RunError, match="does not say how its model is built"):
        load_model(parent)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"head": (3, 2)}, "unknown weight scale"),
        ({"head": (2, 3), "scale": ()}, r"head has shape \(3, 2\) instead of \(2, 3\)"),
        ({"head": (3, 2), "scale": (), "tail": (1,)}, r"lacks the weight tail \(1,\)"),
    ],
)
def test_wrong_shapes_are_named(expected: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(RunError, match=f"the file.*{message}"):
        check_shapes(WEIGHTS, expected, "the file")


# --- progress and interrupts ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("total", "done", "lines"), [(100, 0, 10), (3, 0, 3), (100, 55, 5), (1, 0, 1)])
def test_a_log_file_gets_a_line_for_each_tenth(total: int, done: int, lines: int) -> None:
    stream = io.StringIO()
    with progress(total, "sft", done=done, stream=stream) as bar:
        for _ in range(done, total):
            bar.advance(128, loss=2.34567)
    printed = stream.getvalue().splitlines()
    assert len(printed) == lines
    assert printed[-1].startswith(f"sft {total}/{total}")
    assert printed[-1].endswith("loss 2.346")
    if total - done > 1:
        assert re.search(r", [\d,]+ tok/s, 0:00 left, ", printed[-1])


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_bar_and_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with progress(5, "ppo", unit="pairs", stream=stream) as bar:
        for _ in range(5):
            bar.advance(4, kl=0.5)
    printed = stream.getvalue()
    assert "5/5" in printed
    assert "pairs/s" in printed
    assert "kl 0.5" in printed
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9;]*m", printed)) == colour


def test_the_first_interrupt_asks_and_the_second_stops(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        assert "press Ctrl-C again" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="Stopped after step 3, which is saved; repeat the command with --resume"):
            interrupt.stop(3)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_can_train_too() -> None:
    seen: list[bool] = []

    def work() -> None:
        with interruptible() as interrupt:
            seen.append(interrupt.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


STAGE = """
import sys, time
from dataclasses import dataclass
from minipost import cli
from minipost.runs import Run, interruptible

@dataclass
class Config:
    steps: int = 10**6

def command(argv):
    run = Run.create(argv[0], "sft", Config(), 0, resume="--resume" in argv)
    checkpoint = run.load_checkpoint()
    with interruptible() as interrupt:
        for step in range(checkpoint.step if checkpoint else 0, 10**6):
            run.log(step + 1, {})
            print("step", step + 1, flush=True)
            time.sleep(0.02)
            if interrupt.requested:
                run.save_checkpoint(step + 1, {}, {})
                interrupt.stop(step + 1)

cli.COMMANDS["sft"] = cli.Command("__main__:command", "Config", "")
sys.exit(cli.main(["sft", *sys.argv[1:]]))
"""


def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(tmp_path: Path) -> None:
    script, first = tmp_path / "stage.py", 0
    script.write_text(STAGE)
    for flags in ([], ["--resume"]):
        arguments = [sys.executable, str(script), str(tmp_path / "run"), *flags]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == f"step {first + 1}\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        stopped = re.search(r"minipost sft: Stopped after step (\d+), which is saved; .*--resume", err)
        assert stopped is not None
        assert "Traceback" not in err
        first = int(stopped[1])
        assert [row["step"] for row in read_metrics(tmp_path / "run")] == list(range(1, first + 1))
        assert f"step {first + 1}" not in out


def test_a_setting_is_that_of_the_nearest_ancestor_that_has_it(tmp_path: Path) -> None:
    records = {
        "base": {"config": {"world_share": 0.25, "seed": 1}, "parents": {}},
        "sft": {"config": {"seed": 2}, "parents": {"base": {"path": "../base"}}},
        "dpo": {"config": {}, "parents": {"policy": {"path": "../sft"}, "gone": {"path": "../moved"}}},
    }
    for name, record in records.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(record))
    assert read_setting(tmp_path / "dpo", "world_share", 1.0) == 0.25
    assert read_setting(tmp_path / "dpo", "seed", 0) == 2
    assert read_setting(tmp_path / "dpo", "world_seed", 7) == 7
