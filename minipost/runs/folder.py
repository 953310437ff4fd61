"""A run folder: one training run, its identity, its diary and its state.

    runs/sft/
      config.json              who: stage, configuration, seed, parents (with the hash of their weights), versions
      metrics.jsonl            what happened: one JSON object per line
      checkpoint.safetensors   where it stands: everything that the next step depends on
      model.safetensors        what came out, with tokenizer.json beside it
      MODEL_CARD.md            all of this for people

Three promises. A run is never overwritten unasked. A run that is resumed is the run that was interrupted: the same
configuration, seed and parents, or it is refused; then a resumed run equals an uninterrupted one bit for bit (P50),
provided that the stage puts *all* of its state into the checkpoint: weights, optimiser moments, random generators,
position in the data. And a crash at any moment leaves a folder that can be resumed, because every file is replaced in
one step (minipost/files.py).

How a stage uses it (minipost/stages/base.py; `updates` logs each step, saves checkpoints and stops at Ctrl-C):

    run = Run.create(out, "sft", config, seed, {"base": base_folder}, resume=resume)
    for update in updates(run, steps, optimizer, seed, "tok"):
        ...                                            # one update of the optimiser's weights
        update.log({"loss": loss}, tokens, "loss")
    run.finish(model, "An assistant that imitates demonstrations.")
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

import minipost
from minipost.files import (
    MODEL,
    TOKENIZER,
    Array,
    RunError,
    load_arrays,
    load_metadata,
    save_arrays,
    sha256,
    write_text,
)
from minipost.runs.model_card import model_card
from minipost.runs.tensorboard import EVENTS, TensorBoard

if TYPE_CHECKING:  # a type only: who reads metrics should not wait for the kernels
    from minipost.model import Model

CONFIG, METRICS, CHECKPOINT, CARD = "config.json", "metrics.jsonl", "checkpoint.safetensors", "MODEL_CARD.md"
_FORMAT = "minipost-run-1"
# Fields about the folder and the terminal; and the seed, which the record holds on its own.
_NOT_IDENTITY = ("out", "resume", "overwrite", "seed", "tensorboard", "json")


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` updates."""

    step: int
    arrays: dict[str, Array]
    scalars: dict[str, Any]  # JSON values, e.g. the state of a random generator


class Run:
    """One run folder, opened for writing. Make it with `Run.create`."""

    def __init__(
        self, path: Path, record: dict[str, Any], seconds: float = 0.0, tensorboard: TensorBoard | None = None
    ) -> None:
        self.path = path
        self.tensorboard = tensorboard  # shows the metrics, too
        self.record = record  # what config.json says
        self._start = time.perf_counter() - seconds  # a resumed run's clock goes on where the checkpoint's stood

    @classmethod
    def create(
        cls,
        out: Path | str,
        stage: str,
        config: Any,
        seed: int,
        parents: Mapping[str, Path | str] | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> Self:
        """Open the folder `out` for a run of `stage` with the dataclass `config`; `parents` are its models' folders.

        An empty or missing folder starts a new run, also with `resume`. A folder with a run is refused, unless `resume`
        goes on with it (only if it is the same run; metrics after its checkpoint are dropped) or `overwrite` deletes
        its files. Any other folder is refused. Errors: `RunError`.
        """
        out = Path(out)
        if resume and overwrite:
            raise RunError("--resume goes on with a run and --overwrite deletes it; pass only one of them.")
        tensorboard = TensorBoard(out) if getattr(config, "tensorboard", False) else None
        record = _record(out, stage, config, seed, parents or {})
        previous = _previous(out)
        if previous is None or overwrite:
            for name in (MODEL, TOKENIZER, CARD, CHECKPOINT, METRICS, CONFIG) if previous else ():
                (out / name).unlink(missing_ok=True)
            _make_folder(out)
            write_text(out / CONFIG, _json(record))
            write_text(out / METRICS, "")
            shutil.rmtree(out / EVENTS, ignore_errors=True)
            return cls(out, record, tensorboard=tensorboard)
        if not resume:
            kind = "a finished" if previous["finished"] else "an unfinished"
            fix = "pass --resume to go on with it, --overwrite to start anew, or another --out"
            raise RunError(f"{out} already holds {kind} run of {previous['stage']}; {fix}.")
        _refuse_another_run(out, previous, record)
        if previous["finished"]:
            print(f"{out} is finished; there is nothing left to do.", file=sys.stderr)
            return cls(out, previous)
        state: dict[str, Any] = {"step": -1, "seconds": 0.0}
        if (out / CHECKPOINT).exists():
            state = _state(out / CHECKPOINT, load_metadata(out / CHECKPOINT))
        _drop_metrics_after(out / METRICS, state["step"])
        return cls(out, previous, state["seconds"], tensorboard)

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called, now or before a resume: a stage then returns without doing anything."""
        return self.record["finished"] is not None

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl; NumPy numbers are welcome, NaN and infinities become null, as JSON asks."""
        if taken := {"step", "seconds"} & metrics.keys():
            raise ValueError(f"The metric name {sorted(taken)[0]!r} is taken by the row itself; choose another.")
        seconds = round(time.perf_counter() - self._start, 3)
        row = {"step": int(step), "seconds": seconds} | {name: _plain(value) for name, value in metrics.items()}
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        if self.tensorboard is not None:
            self.tensorboard.log(int(step), row)

    def metrics(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return read_metrics(self.path)

    def save_checkpoint(self, step: int, arrays: Mapping[str, Array], scalars: Mapping[str, Any]) -> None:
        """Replace the checkpoint by the state after `step` updates; `scalars` hold JSON values."""
        seconds = time.perf_counter() - self._start
        state = {"step": int(step), "seconds": seconds, "scalars": dict(scalars)}
        save_arrays(self.path / CHECKPOINT, arrays, {"state": json.dumps(state)})

    def load_checkpoint(self) -> Checkpoint | None:
        """The last state that was saved, or None. Errors: `RunError` if the file is damaged."""
        if not (self.path / CHECKPOINT).exists():
            return None
        arrays, metadata = load_arrays(self.path / CHECKPOINT)
        state = _state(self.path / CHECKPOINT, metadata)
        return Checkpoint(state["step"], arrays, state["scalars"])

    def finish(self, model: Model | None = None, description: str = "") -> None:
        """Write the model (a stage that only measures has none), its card, and last the mark of a finished run."""
        if model is not None:
            model.save(self.path)
        record = self.record | {"finished": _now()}
        rows = self.metrics()
        write_text(self.path / CARD, model_card(record, rows[-1] if rows else {}, model, description))
        write_text(self.path / CONFIG, _json(record))
        self.record = record


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl; a last line that a crash cut short is left out. Errors: `RunError`."""
    path = Path(folder) / METRICS
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        raise RunError(f"There are no metrics at {path}; pass the folder of a run.") from None
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); remove the broken line.") from None


def read_setting(folder: Path | str, name: str, default: Any) -> Any:
    """The value of the field `name` in the configuration of a run, or else of its nearest ancestor that has it."""
    waiting = [Path(folder)]
    while waiting:
        run = waiting.pop(0)
        if not (run / CONFIG).is_file():
            continue
        record = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        if (setting := record.get("config", {}).get(name)) is not None:
            return setting
        waiting += [run / parent["path"] for parent in record.get("parents", {}).values()]
    return default


def _record(out: Path, stage: str, config: Any, seed: int, parents: Mapping[str, Path | str]) -> dict[str, Any]:
    """config.json of a new run. Parents are relative to `out`, so that a folder of runs can be moved as a whole."""
    family = {}
    for name, folder in parents.items():
        weights = Path(folder) / MODEL
        if not weights.is_file():
            raise RunError(f"The {name} model {folder} holds no {MODEL}; train it first, or check the path.")
        if Path(folder).resolve() == out.resolve():
            raise RunError(f"--out {out} is the folder of the {name} model itself; choose another --out.")
        relative = os.path.relpath(Path(folder).resolve(), out.resolve())
        family[name] = {"path": Path(relative).as_posix(), "sha256": sha256(weights)}
    fields = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in (*_NOT_IDENTITY, *family)
    }
    packages = {name: version(name) for name in ("numpy", "numba", "safetensors")}
    record = {
        "format": _FORMAT,
        "stage": stage,
        "seed": int(seed),
        "config": fields,
        "parents": family,
        "versions": {"minipost": minipost.__version__, "python": platform.python_version(), **packages},
        "platform": f"{platform.platform()}, {os.cpu_count()} cores",
        "created": _now(),
        "finished": None,
    }
    parsed: dict[str, Any] = json.loads(_json(record))  # as it will be read back: tuples are lists, paths are strings
    return parsed


def _previous(out: Path) -> dict[str, Any] | None:
    """The record of the run in `out`; None if there is nothing. Errors: `RunError` if there is something else."""
    if out.is_dir() and not any(out.iterdir()):
        return None
    if not out.exists():
        return None
    try:
        record = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise RunError(
            f"{out} is neither empty nor a run of minipost, so nothing in it is touched; choose another --out."
        )
    return record


def _refuse_another_run(out: Path, previous: dict[str, Any], record: dict[str, Any]) -> None:
    """A resumed run must be the same run; which version of Python goes on with it is not part of its identity."""

    def flat(record: dict[str, Any]) -> dict[str, Any]:
        parents = {f"the {name} model": parent["sha256"][:12] for name, parent in record["parents"].items()}
        return {"stage": record["stage"], "seed": record["seed"], **record["config"], **parents}

    then, now = flat(previous), flat(record)
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        list_ = ", ".join(f"{name} is {then.get(name)!r} there and {now.get(name)!r} here" for name in names)
        raise RunError(f"{out} is another run and cannot be resumed: {list_}; use the same values, or another --out.")


def _drop_metrics_after(path: Path, step: int) -> None:
    """The steps after the checkpoint will be made, and logged, again."""
    rows = [row for row in (read_metrics(path.parent) if path.exists() else []) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def _state(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What `save_checkpoint` has written beside the arrays."""
    try:
        state = json.loads(metadata["state"])
        return {"step": state["step"], "seconds": state["seconds"], "scalars": state["scalars"]}
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{path} is no checkpoint of minipost; delete it to start from step 0.") from None


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Cannot make the folder {out} ({error.strerror}); choose another --out.") from error


def _plain(value: Any) -> Any:
    """The nearest JSON value of a metric."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2, default=str) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
