"""What all stages share: their common flags, the loop's skeleton, minibatches, and the known answers at step 0."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minipost.autograd import fused
from minipost.errors import UserError
from minipost.kernels import warm
from minipost.machine.problems import warn_if_slow
from minipost.model import AdamW, Array, Muon, threads
from minipost.model.parallel import cores
from minipost.runs import Run, interruptible, progress
from minipost.text.batching import split_evenly


class StageError(UserError):
    """A stage that cannot run as asked."""


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What every stage is asked; each adds its own. The comments are the flags' help."""

    out: Path = Path("runs/stage")  # the run's folder
    seed: int = 0  # of all random numbers: the same seed gives the same bits
    resume: bool = False  # go on with an interrupted run
    overwrite: bool = False  # replace an existing run
    tensorboard: bool = False  # write the metrics for TensorBoard, too
    data: tuple[Path, ...] = ()  # files of your own, in any format of `minipost data`
    skip_bad: bool = False  # leave bad rows of those files out, and write down which and why
    precision: fused.Precision = "float32"  # of the operands of a step's large products; see `minipost doctor`


C = TypeVar("C", bound=StageConfig)
R = TypeVar("R")


def in_its_precision(run: Callable[[C], R]) -> Callable[[C], R]:
    """A stage's `run` whose products have the precision that its configuration asks for."""

    @wraps(run)
    def run_in_precision(config: C) -> R:
        with fused.precision(config.precision):
            return run(config)

    return run_in_precision


def run_folder(stage: str, config: StageConfig, **parents: Path) -> Run:
    """The folder `config.out`, opened for a run of `stage`; `parents` are the run folders of the models it needs.

    Errors: `RunError` for a folder that is in use, or that holds another run than the one to resume.
    """
    return Run.create(config.out, stage, config, config.seed, parents, resume=config.resume, overwrite=config.overwrite)


def require_positive(config: Any, *names: str) -> None:
    """Refuse a configuration whose counts are 0 or less, before anything is made or overwritten."""
    for name in names:
        if getattr(config, name) < 1:
            raise StageError(f"{name} must be at least 1, got {getattr(config, name)}.")


def dropped(config: StageConfig) -> Path | None:
    """The file for the rows that --skip-bad leaves out: beside the run folder, which does not exist yet.

    None without --skip-bad: then a bad row is an error.
    """
    return config.out.with_name(f"{config.out.name}-dropped.jsonl") if config.skip_bad else None


@dataclass
class Update:
    """One update of a stage: its number, from 0, and what is to be logged of it."""

    step: int
    rng: np.random.Generator  # of this step alone: a resumed run draws what an uninterrupted one would have drawn
    metrics: dict[str, Any] = field(default_factory=dict)
    units: float = 0
    shown: tuple[str, ...] = ()

    def log(self, metrics: Mapping[str, Any], units: float, *shown: str) -> None:
        """`units` of work were done; `shown` names the metrics for the progress line."""
        self.metrics, self.units, self.shown = dict(metrics), units, shown


def updates(
    run: Run,
    total: int,
    optimizer: AdamW,
    seed: int,
    unit: str,
    state: dict[str, Any] | None = None,
    save_every: int = 50,
) -> Iterator[Update]:
    """The skeleton of every stage: go on from the checkpoint, yield updates, log, show, save, stop when asked.

    The state of a run is the optimiser with its weights, and `state`, a dict of JSON values that is restored in place.
    """
    done = 0
    if (checkpoint := run.load_checkpoint()) is not None:
        done = checkpoint.step
        optimizer.restore(checkpoint.arrays)
        for name, w in optimizer.weights.items():
            w[...] = checkpoint.arrays[f"w.{name}"]
        if state is not None:
            state.update(checkpoint.scalars)
    warn_if_slow()
    compile_kernels(optimizer)
    with progress(total, run.path.name, unit, done=done) as bar, interruptible() as interrupt:
        for step in range(done, total):
            update = Update(step, np.random.default_rng([seed, step]))
            yield update
            run.log(step + 1, update.metrics)
            bar.advance(update.units, **{name: float(update.metrics[name]) for name in update.shown})
            if interrupt.requested or (step + 1) % save_every == 0:
                weights = {f"w.{name}": w for name, w in optimizer.weights.items()}
                run.save_checkpoint(step + 1, {**optimizer.state(), **weights}, state or {})
            if interrupt.requested:
                interrupt.stop(step + 1)


def compile_kernels(optimizer: AdamW) -> None:
    """What the cache lacks of the kernels that every update needs, on all cores; see `minipost.kernels.warm`."""
    if all(w.dtype == np.float32 for w in optimizer.weights.values()):
        unused = [("muon", not isinstance(optimizer, Muon)), ("bfloat16", not fused.in_bfloat16())]
        warm.compile_together(min(threads(), cores()), [name for name, is_unused in unused if is_unused])


def known_answer(step: int, name: str, got: float, expected: float, tolerance: float) -> None:
    """At step 0 some numbers are known before training starts; if they are off, everything after is too.

    Raises `StageError` naming both; says so on stderr if they agree. Later steps are not checked.
    """
    if step > 0:
        return
    if not abs(got - expected) <= tolerance:
        raise StageError(
            f"at step 0 {name} is {got:.6g}, but it must be {expected:.6g} (within {tolerance:g}): "
            "masks, positions or log-probabilities are wrong, or the inputs do not belong together."
        )
    print(f"  step 0: {name} {got:.4g}, as it must be ({expected:.4g})", file=sys.stderr)


def epoch_order(seed: int, epoch: int, count: int) -> Array:
    """The order in which an epoch visits `count` items: a function of seed and epoch, so that a resumed run agrees."""
    return np.random.default_rng([seed, 1 << 20, epoch]).permutation(count)


def minibatch(seed: int, step: int, count: int, batch_size: int) -> Array:
    """Indices of the items of update `step`; an epoch is cut into minibatches, and its remainder is left out."""
    per_epoch = max(1, count // batch_size)
    epoch, within = divmod(step, per_epoch)
    return epoch_order(seed, epoch, count)[within * batch_size : (within + 1) * batch_size]


def stacked(tables: Sequence[Array]) -> Array:
    """Tables [s, r] of different widths as one table [S, R], filled up with 0."""
    R = max(table.shape[1] for table in tables)
    return np.concatenate([np.pad(table, ((0, 0), (0, R - table.shape[1]))) for table in tables])


def by_thread(indices: Array, sizes: Sequence[int]) -> list[Array]:
    """Cut a minibatch into shards of neighbours, one a thread; `sizes[k]` is the number of tokens of `indices[k]`.

    The shards have about equal numbers of tokens. None is empty: there may be fewer than threads.
    """
    return [indices[part.start : part.stop] for part in split_evenly(sizes, threads())]
