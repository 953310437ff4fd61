"""Each kernel on one thread: time, arithmetic, memory traffic, and both as a share of this machine's roofline.

One thread, because that is how the package runs them: every thread computes its own share of the batch. NumPy and
PyTorch are held to one thread, too. All three run in one process, in turns, block by block, after their results were
found to agree. Above 100 % of the roofline, a kernel's data stays in the cache, faster than the memory that the roof
was measured with. Your own kernel joins with `--with my_module.py`; see benchmarks/registry.py.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from benchmarks import chart, machine
from benchmarks.harness import DROPPED, BenchmarkError, cpu_ticks, own_seconds, say, spread
from benchmarks.package_kernels import register_all
from benchmarks.peers import chosen
from benchmarks.registry import REGISTRY, Kernel
from benchmarks.sizes import size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse

PEERS = ("torch",)


@dataclass(frozen=True)
class KernelsConfig:
    size: str = "S"  # size of the model that gives the shapes: XS, S or M
    against: str = "installed"  # peers: torch, or none
    modules: Annotated[tuple[Path, ...], tyro.conf.arg(name="with")] = ()  # Python files that register more kernels
    only: str = ""  # only kernels whose name contains this text
    rounds: int = 8  # how many blocks each contender runs
    seconds: float = 0.03  # how long a block lasts
    json: Path | None = None  # where to write the results
    plot: Path | None = None  # where to draw the roofline (PNG); default: beside the JSON file


def load(path: Path) -> None:
    """Run a user's module, which registers kernels. Errors: `BenchmarkError` where it cannot be read or adds none."""
    if not path.is_file():
        raise BenchmarkError(f"there is no file {path}: give --with a Python file that calls register(...).")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BenchmarkError(f"{path} is no Python file: its name must end in .py.")
    before = len(REGISTRY)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    if len(REGISTRY) == before:
        raise BenchmarkError(f"{path} registers no kernel: call benchmarks.registry.register(...) in it.")


# ---------------------------------------------------------------------------------------------------- verify
def contenders(kernel: Kernel, with_torch: bool) -> dict[str, Callable[[], Any]]:
    """Calls without arguments, each on inputs of its own (some kernels work in place); equal seeds, equal inputs."""
    calls = {"minipost": kernel.ours, "NumPy": kernel.reference}
    bound_calls = {name: bound(call, kernel.make_inputs(np.random.default_rng(4))) for name, call in calls.items()}
    if with_torch and kernel.peer is not None:
        import torch

        inputs = kernel.make_inputs(np.random.default_rng(4))
        tensors = tuple(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in inputs)
        bound_calls["torch"] = torch.no_grad()(bound(kernel.peer, tensors))  # a peer that wants gradients turns them on
    return bound_calls


def bound(call: Callable[..., Any], inputs: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: call(*inputs)


def verify(
    name: str, calls: Mapping[str, Callable[[], Any]], reference: str = "NumPy", tolerance: float = 2e-3
) -> None:
    """All results must agree with those of `reference`, within `tolerance` of their largest entry."""
    results = {who: [np.asarray(x) for x in as_tuple(call())] for who, call in calls.items()}
    for who, arrays in results.items():
        for array, expected in zip(arrays, results[reference], strict=True):
            error = float(np.max(np.abs(array - expected), initial=0.0))
            limit = tolerance * float(np.max(np.abs(expected), initial=1e-6))
            if array.shape != expected.shape or not error <= limit:
                raise BenchmarkError(f"{name}: {who} is off by {error:.3g} from the reference: correct it first.")


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


# ------------------------------------------------------------------------------------------------------ time
def interleaved(
    calls: Mapping[str, Callable[[], Any]], rounds: int, seconds: float
) -> tuple[dict[str, list[float]], float]:
    """(seconds a call by name, share of the cores' time that others had): blocks in turns, first calls dropped.

    Seconds of this thread's CPU time: where everything runs in one thread, that leaves out the time in which another
    process had the core, which would make of a call of milliseconds two or three.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    before, own, started = cpu_ticks(), own_seconds(), time.perf_counter()
    for _ in range(rounds):
        for name, call in calls.items():
            block: list[float] = []
            begun = time.perf_counter()
            while len(block) <= DROPPED or time.perf_counter() - begun < seconds:
                at = time.thread_time()
                call()
                block.append(time.thread_time() - at)
            times[name] += block[DROPPED:]
    after, clock = cpu_ticks(), time.perf_counter() - started
    lost = after["busy"] - before["busy"] - (own_seconds() - own) + after["steal"] - before["steal"]
    return times, min(1.0, max(0.0, lost) / (clock * machine.cores()))


def row(kernel: Kernel, this_machine: machine.Machine, config: KernelsConfig, with_torch: bool) -> dict[str, Any]:
    """Everything about one kernel as JSON values."""
    calls = contenders(kernel, with_torch)
    verify(kernel.name, calls)
    times, lost = interleaved(calls, config.rounds, config.seconds)
    spreads = {name: spread(seconds) for name, seconds in times.items()}
    seconds = spreads["minipost"]["median"]
    flops = kernel.flops / seconds
    return {
        "name": kernel.name,
        **spreads["minipost"],
        "flops": flops,
        "bytes_per_second": kernel.bytes / seconds,
        "intensity": kernel.intensity,
        "share_of_roofline": flops / min(this_machine.sgemm_one, kernel.intensity * this_machine.triad_one),
        "ratio": {name: s["median"] / seconds for name, s in spreads.items() if name != "minipost"},
        "others": {name: s for name, s in spreads.items() if name != "minipost"},
        "disturbed": lost,
    }


def title(record: Mapping[str, Any]) -> str:
    return f"kernels on one thread, shapes of {record['size']}"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "microseconds", "p10-p90", "GFLOP/s", "GB/s", "of roofline", "vs NumPy", "vs torch", "disturbed"]
    rows = [
        [
            r["name"],
            figure(1e6 * r["median"]),
            f"{figure(1e6 * r['p10'])}-{figure(1e6 * r['p90'])}",
            figure(r["flops"] / 1e9),
            figure(r["bytes_per_second"] / 1e9),
            f"{r['share_of_roofline']:.0%}",
            ratio(r["ratio"]["NumPy"]),
            ratio(r["ratio"].get("torch")),
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    return columns, rows


def measure(config: KernelsConfig, with_torch: bool) -> dict[str, Any]:
    """All registered kernels that the configuration asks for."""
    wanted = [kernel for name, kernel in REGISTRY.items() if config.only.lower() in name.lower()]
    if not wanted:
        raise BenchmarkError(f"no kernel's name has {config.only!r} in it: they are {', '.join(REGISTRY)}.")
    this_machine = machine.measure()
    if with_torch:
        import torch

        torch.set_num_threads(1)
    results = []
    for kernel in wanted:
        results.append(row(kernel, this_machine, config, with_torch))
        say(f"  {kernel.name}: {1e6 * results[-1]['median']:.4g} microseconds")
    return {"benchmark": "kernels", "size": config.size, "machine": this_machine.to_dict(), "results": results}


def command(argv: Sequence[str]) -> None:
    config = parse(KernelsConfig, argv, "python -m benchmarks kernels", __doc__ or "")
    register_all(size_named(config.size))
    peers = chosen(config.against, PEERS)
    for path in config.modules:
        load(path)
    record = measure(config, "torch" in peers)
    this_machine = machine.Machine(**record["machine"])
    show(title(record), *table(record), notes=[str(this_machine), "vs: the other's time over minipost's"])
    save(config.json, record)
    points = [chart.Point("minipost", r["intensity"], r["flops"], r["name"]) for r in record["results"]]
    chart.save(this_machine, points, title(record), config.plot, config.json, threads=1)
