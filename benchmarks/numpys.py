"""A training step with other NumPys and with other instruction sets: nobody's machine is the slow one.

`--python PATH` names an interpreter whose environment holds minipost's dependencies with another NumPy: built against
Accelerate, MKL or a distribution's BLAS, or without any BLAS. All of them run this checkout, in turns with this
interpreter, and their first losses must agree. "AVX2 only" is this interpreter with the compiler and OpenBLAS held to
the instructions of Intel's Haswell: 8 numbers at a time, no AVX-512.

NumPy without a BLAS, in an environment of its own (five minutes):

    python3 -m venv plain
    plain/bin/pip install --no-binary numpy numpy==2.4.6 -Csetup-args=-Dallow-noblas=true -Csetup-args=-Dblas=none \\
        -Csetup-args=-Dlapack=none
    plain/bin/pip install numba matplotlib rich safetensors tyro
    python -m benchmarks numpys --python plain/bin/python
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import machine, train
from benchmarks.harness import BenchmarkError, Contender, Job, race, say
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse

HERE = "this Python"
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "OPENBLAS_CORETYPE": "Haswell"}


@dataclass(frozen=True)
class NumpysConfig:
    sizes: tuple[str, ...] = ("S", "tour")  # models whose step is timed
    python: tuple[Path, ...] = ()  # interpreters with another NumPy
    avx2: bool = True  # also time this interpreter without AVX-512 (on x86 alone)
    rounds: int = 4  # how many blocks each contender runs
    seconds: float = 1.0  # how long a block lasts
    json: Path | None = None  # where to write the results


def step_and_numpy(size: Size) -> Job:
    """Our training step, and which NumPy it ran with."""
    job = train.ours(size)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]  # type: ignore[index]
    return Job(job.step, {**job.facts, "numpy": np.__version__, "blas": blas}, job.parts)


def contenders(size: Size, config: NumpysConfig, caches: Sequence[str]) -> list[Contender]:
    """This interpreter, the others, this one held to AVX2; all but the first with caches of kernels of their own."""
    ways: list[tuple[str, Path, dict[str, str]]] = [
        (f"another Python{f', {i + 1}' if i else ''}", path, {}) for i, path in enumerate(config.python)
    ]
    if config.avx2 and platform.machine().lower() in ("x86_64", "amd64"):
        ways.append(("AVX2 only", Path(sys.executable), AVX2))
    return [Contender(HERE, step_and_numpy, (size,), {}, sys.executable)] + [
        Contender(name, step_and_numpy, (size,), {**environment, "NUMBA_CACHE_DIR": cache}, str(path))
        for (name, path, environment), cache in zip(ways, caches, strict=False)
    ]


def measure(config: NumpysConfig) -> dict[str, Any]:
    """A row for each size and way."""
    for path in config.python:
        if not path.is_file():
            raise BenchmarkError(f"there is no interpreter {path}: give --python the path of a python executable.")
    results = []
    with ExitStack() as stack:
        caches = [stack.enter_context(TemporaryDirectory()) for _ in range(len(config.python) + 1)]
        for size in map(size_named, config.sizes):
            say(f"  {size.name}")
            rows = race(
                contenders(size, config, caches),
                rounds=config.rounds,
                seconds=config.seconds,
                check=lambda facts: train.same_work({"minipost": facts[HERE], **facts}),
            )
            summaries = [row.summary() for row in rows.values()]
            results += [s | {"size": size.name, "times": s["median"] / summaries[0]["median"]} for s in summaries]
    return {"benchmark": "numpys", "machine": machine.measure().to_dict(), "results": results}


def title(record: Mapping[str, Any]) -> str:
    return "training step, NumPy by NumPy"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "size", "NumPy", "its BLAS", "ms a step", "p10-p90", "of the first's time", "disturbed"]
    rows = [
        [
            r["name"],
            r["size"],
            r["numpy"],
            r["blas"],
            figure(1e3 * r["median"]),
            f"{figure(1e3 * r['p10'])}-{figure(1e3 * r['p90'])}",
            ratio(r["times"]),
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(NumpysConfig, argv, "python -m benchmarks numpys", __doc__ or "")
    record = measure(config)
    show(title(record), *table(record), notes=[str(machine.Machine(**record["machine"]))])
    save(config.json, record)
