"""`minipost doctor`: what this machine is, how fast it trains, and what is wrong with it, on one page.

    minipost doctor            some ten seconds; the exit code is 2 if something should be fixed
    minipost doctor --json     the same facts for a script

Speeds are measured: products, memory, and some updates of the default pretraining on random tokens, from which the time
of a tour is estimated.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text as Line

from minipost import __version__
from minipost.autograd import Tensor, fused
from minipost.config import parse
from minipost.kernels.bfloat16 import RUNG
from minipost.kernels.compiled import compiled_kernels
from minipost.machine import problems, setup
from minipost.machine.problems import Problem
from minipost.machine.setup import Setup
from minipost.machine.speed import Speed, measure, problems_of
from minipost.model import init_weights, threads, value_and_grad
from minipost.stages import pretrain
from minipost.stages.pretrain import PretrainConfig
from minipost.text.batching import Packed, stream

PRETRAINING_SHARE = 0.45  # of a tour's seconds, in the updates of pretraining: measured in a default tour
TIMED = 1.5  # seconds of updates, at least three of them
WIDTH, LABEL = 78, 11  # columns of the page, and of the names on its left
COLOURS = {"slow": "red", "wrong": "red", "note": "yellow"}

HELP = """Examine this machine: software, threads, caches, speed, how long a tour takes, and what is wrong.

Examples:
  minipost doctor
  minipost doctor --json"""


@dataclass(frozen=True)
class DoctorConfig:
    json: bool = False  # print the facts as JSON


@dataclass(frozen=True)
class Training:
    """Seconds of the default pretraining, measured, and of a tour, estimated."""

    first_update: float  # compiles what no cache holds
    update: float
    update_bfloat16: float  # the same with --precision bfloat16
    tokens: int  # of an update
    pretraining: float
    tour: float


@dataclass(frozen=True)
class Report:
    """All that is known; without a compiler nothing is measured, because an update would take minutes."""

    version: str
    setup: Setup
    compiled: int  # kernels that the cache held for this machine
    kernels: int  # of the package
    training: Training | None
    speed: Speed | None
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether nothing has to be fixed."""
        return all(problem.kind == "note" for problem in self.problems)


def examine() -> Report:
    """Read, then measure."""
    s, (compiled, kernels) = setup.read(), compiled_kernels()
    found = list(problems.of_setup(s))
    training, speed = (train(), measure(s.threads, shape_of_products())) if s.jit else (None, None)
    found += problems_of(speed, s) if speed else []
    return Report(__version__, s, compiled, kernels, training, speed, found)


def train(config: PretrainConfig = PretrainConfig()) -> Training:  # noqa: B008  (frozen)
    """Time some updates of pretraining on random tokens."""
    rng, shape = np.random.default_rng(0), pretrain.shape_of_model(config, config.vocab_size)
    weights = init_weights(shape, rng)
    optimizer = pretrain.make_optimizer(weights, config)
    ids = rng.integers(0, config.vocab_size, config.batch_size * config.row_length + 1)
    parts = np.array_split(np.arange(config.batch_size), min(threads(), config.batch_size))
    shards = [stream(ids, 0, part, config.row_length) for part in parts]

    def loss(tensors: dict[str, Tensor], shard: Packed) -> tuple[Tensor, dict[str, float]]:
        return pretrain.next_token_loss(tensors, shape, shard, 1 / (len(ids) - 1)), {}

    def updates(precision: fused.Precision) -> list[float]:
        """Seconds of each; the first compiles."""
        seconds: list[float] = []
        with fused.precision(precision):
            while len(seconds) < 4 or sum(seconds[1:]) < TIMED:
                start = time.perf_counter()
                optimizer.step(value_and_grad(loss, weights, shards)[1], 1e-4)
                seconds.append(time.perf_counter() - start)
        return seconds

    first, *others = updates("float32")
    update, rounded, tokens = median(others), median(updates("bfloat16")[1:]), len(ids) - 1
    pretraining = update * config.tokens * config.epochs / tokens
    return Training(first, update, rounded, tokens, pretraining, pretraining / PRETRAINING_SHARE)


def shape_of_products(config: PretrainConfig = PretrainConfig()) -> tuple[int, int, int]:  # noqa: B008
    """(m, k, n) of the largest product inside a layer of the default pretraining, for one thread's rows of a batch."""
    rows = -(-config.batch_size // min(threads(), config.batch_size))
    return rows * config.row_length, config.dim, 2 * config.hidden


# ---------------------------------------------------------------------------------------------------------------- page
def page(report: Report) -> Iterator[tuple[str, str]]:
    """(name, text) of each line of facts."""
    s = report.setup
    yield "machine", f"{s.processor}, {s.cores} core{'s' * (s.cores > 1)}, {s.system}"
    yield "threads", threads_in_words(s)
    yield "Python", s.python + ", a debug build" * s.debug_build + ", translated by Rosetta" * s.translated
    limited = f", its threads limited by {s.blas_threads_from}" if s.blas_threads_from else ""
    yield "NumPy", f"{s.numpy} with {s.blas or 'no BLAS'}{limited}"
    settings = "".join(f", {setting}" for setting in s.compiler_settings)
    yield "Numba", f"{s.numba} with LLVM {s.llvm}, compiles for {s.compiled_for}{settings}" if s.jit else "switched off"
    yield "kernels", kernels_in_words(report)
    memory = f"{s.memory / 1e9:.1f} GB free" if s.memory else "not known"
    yield "memory", f"{memory}; disk {s.disk / 1e9:.1f} GB free"
    if report.speed:
        yield from speed_in_words(report.speed, s.threads)
    if t := report.training:
        rate = t.tokens / t.update
        yield "training", f"{1000 * t.update:.1f} ms for an update of {t.tokens} tokens: {rate:,.0f} tokens/s"
        advice = "is faster here" if t.update_bfloat16 < 0.95 * t.update else "is no faster here"
        yield "bfloat16", f"by {RUNG}: {1000 * t.update_bfloat16:.1f} ms; --precision bfloat16 {advice}"
        yield "tour", f"some {about(t.tour)}, {about(t.pretraining)} of it pretraining (an estimate)"


def about(seconds: float) -> str:
    """An estimate, no more precise than it is: `50 seconds`, `8 minutes`, `5 hours`."""
    size, unit = (3600, "hours") if seconds >= 7200 else (60, "minutes") if seconds >= 120 else (1, "seconds")
    return f"{round(seconds / size)} {unit}"


def threads_in_words(s: Setup) -> str:
    why = f"set by {s.threads_from}" if s.threads_from else f"of {s.cores} core{'s' * (s.cores > 1)}"
    limit = f"; this container may use {s.cpu_limit:g} cores" if s.cpu_limit is not None else ""
    return f"{s.threads}, {why}{limit}"


def kernels_in_words(report: Report) -> str:
    if report.training is None:
        return "plain Python, which is too slow to be measured"
    first, folder = f"the first update compiled for {report.training.first_update:.1f} s", report.setup.cache
    if folder is None:
        return f"kept nowhere: {first}, and each process will"
    if report.compiled == 0:
        return f"none of {report.kernels} was compiled for this machine: {first}, and left them in {folder}"
    return f"{report.compiled} of {report.kernels} compiled for this machine, in {folder}"


def speed_in_words(speed: Speed, threads: int) -> Iterator[tuple[str, str]]:
    together = (f", {x / 1e9:.1f} on {threads}" * (threads > 1) for x in (speed.product_all, speed.triad_all))
    yield "sgemm", f"{speed.product_one / 1e9:.1f} GFLOP/s on one thread{next(together)}"
    yield "triad", f"{speed.triad_one / 1e9:.1f} GB/s on one thread{next(together)}"
    m, k, n = speed.shape
    ours, theirs = speed.product_shape / 1e9, speed.numpy_shape / 1e9
    where = f"at [{m},{k}] x [{k},{n}], where NumPy reaches {theirs:.1f}"
    yield "product", f"{speed.instruction_set}, tile {speed.tile}: {ours:.1f} GFLOP/s {where}"


def show(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Line(f"minipost {report.version}", style="bold"))
    for name, text in page(report):
        console.print(Line(paragraph(name, text)))
    console.print()
    for problem in report.problems:
        text = str(problem)
        console.print(Line(paragraph(problem.kind, text[0].upper() + text[1:]), style=COLOURS[problem.kind]))
    if report.ok:
        console.print(Line(paragraph("well", "Nothing has to be fixed."), style="green"))


def paragraph(name: str, text: str) -> str:
    """The name on the left, the text beside it, wrapped; words, such as paths, are not cut."""
    first, rest = f"  {name:<{LABEL}}", " " * (LABEL + 2)
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)


def facts(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    return {**asdict(report), "ok": report.ok}


def command(argv: Sequence[str]) -> int:
    """`minipost doctor`."""
    config = parse(DoctorConfig, argv, "minipost doctor", HELP)
    print("Measuring: some five seconds.", file=sys.stderr)
    report = examine()
    if config.json:
        print(json.dumps(facts(report), indent=2, ensure_ascii=False))
    else:
        show(report)
    return 0 if report.ok else 2
