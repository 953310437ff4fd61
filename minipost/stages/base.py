"""What all stages share: the loop's skeleton, and the known answers at step 0."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minipost.errors import UserError
from minipost.model import AdamW, Array
from minipost.runs import Run, interruptible, progress, read_setting
from minipost.world import World


class StageError(UserError):
    """A stage that cannot run as asked."""


class Playing(Protocol):
    """A configuration of something that happens in a world."""

    @property
    def world_seed(self) -> int | None: ...
    @property
    def world_share(self) -> float | None: ...


def world_of(config: Playing, parent: Path) -> World:
    """The world that a configuration names, or else the one in which the run `parent` has learned."""
    seed, share = config.world_seed, config.world_share
    return World(
        read_setting(parent, "world_seed", 0) if seed is None else seed,
        read_setting(parent, "world_share", 1.0) if share is None else share,
    )


def require_positive(config: Any, *names: str) -> None:
    """Refuse a configuration whose counts are 0 or less, before anything is made or overwritten."""
    for name in names:
        if getattr(config, name) < 1:
            raise StageError(f"{name} must be at least 1, got {getattr(config, name)}.")


def dropped(config: Any) -> Path | None:
    """Where a stage with --skip-bad writes the rows that it leaves out: beside its run folder, which is not there yet.

    None without --skip-bad: then one bad row refuses the file.
    """
    return config.out.with_name(f"{config.out.name}-dropped.jsonl") if config.skip_bad else None


@dataclass
class Update:
    """One update of a stage: which it is (from 0), and what it has to say."""

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
    """The items of update `step` when each epoch is cut into minibatches (the remainder of an epoch is left out)."""
    per_epoch = max(1, count // batch_size)
    epoch, within = divmod(step, per_epoch)
    return epoch_order(seed, epoch, count)[within * batch_size : (within + 1) * batch_size]
