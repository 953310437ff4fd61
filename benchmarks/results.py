"""Writes benchmarks/RESULTS.md from the JSON files of runs: no figure in it was typed.

python -m benchmarks train --size S --json benchmarks/results/train-S.json
python -m benchmarks results
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness import BenchmarkError, say
from benchmarks.machine import Machine
from minipost.config import parse

HERE = Path(__file__).resolve().parent
ORDER = ("train", "threads", "numpys", "generate", "stages", "matmul", "kernels", "ladders", "growth")
INTRODUCTION = """# Results

Written by `python -m benchmarks results` from the files in [results/](results): do not edit. Times are medians with
10th and 90th percentile, all contenders in turns in one run, after their results were found to agree. "minipost is" is
our speed over the peer's. "disturbed" is the share of the cores' time that other processes took meanwhile, where it is
more than 3 %: such figures are not the machine's best, and the ratios favour the side whose threads wait less for each
other.
"""


@dataclass(frozen=True)
class ResultsConfig:
    folder: Path = HERE / "results"  # the folder with the JSON files of runs
    out: Path = HERE / "RESULTS.md"  # the page to write


def read(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Every run in a folder, by benchmark and size. Errors: `BenchmarkError` for none, or a file that is no run."""
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BenchmarkError(f"{path} is no JSON ({error}): write it again with --json.") from None
        if not isinstance(values, dict) or values.get("benchmark") not in ORDER:
            raise BenchmarkError(f"{path} is no benchmark's result: write it again with --json, or move it away.")
        records.append((path, values))
    if not records:
        raise BenchmarkError(f"there are no results in {folder}: run a benchmark with --json {folder}/NAME.json.")
    sizes = ("nano", "tour", "XS", "S", "M")
    return sorted(records, key=lambda f: (ORDER.index(f[1]["benchmark"]), sizes.index(f[1].get("size", "nano"))))


def page(records: Sequence[tuple[Path, Mapping[str, Any]]]) -> str:
    """The whole of RESULTS.md."""
    return "\n".join([INTRODUCTION, *(section(path, values) for path, values in records)])


def section(path: Path, record: Mapping[str, Any]) -> str:
    """One run: its title, its machine, its table."""
    module = import_module(f"benchmarks.{record['benchmark']}")
    this_machine = Machine(**record["machine"])
    columns, rows = module.table(record)
    versions = ", ".join(f"{name} {version}" for name, version in this_machine.versions.items())
    title = module.title(record)
    lines = [
        f"## {title[0].upper()}{title[1:]}",
        "",
        f"{this_machine}. {this_machine.system}, {versions}. [JSON](results/{path.name})",
        "",
    ]
    lines += [markdown(columns), markdown(["-"] + ["-:"] * (len(columns) - 1)), *map(markdown, rows), ""]
    return "\n".join(lines)


def markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def command(argv: Sequence[str]) -> None:
    config = parse(ResultsConfig, argv, "python -m benchmarks results", __doc__ or "")
    config.out.write_text(page(read(config.folder)), encoding="utf-8")
    say(f"  wrote {config.out}")
