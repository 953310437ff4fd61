"""A training step on 1, 2, 4, 8 and 16 threads against PyTorch on as many, and the time under Python's lock.

Each number of threads is a process of its own, ours and PyTorch's in turns. Numbers above this machine's cores are not
timed, but what Python's lock allows there is computed from what was measured here.

**The time under the lock.** Kernels release Python's lock, and so do NumPy's loops over large arrays; the rest holds
it: walking the tape, looking up a kernel, making room for its result. Each shard walks a tape of its own, so this time
grows with the number of shards, and no two threads share it. It is measured by a thread that watches the lock's own
flag (benchmarks/lock.py) while one other thread takes all shards of a step, one after the other: nobody waits for the
lock. The 10th percentile counts, since a thread that lost its core while it held the lock did no work under it.

**What it allows.** With L(P) seconds under the lock in P shards, and T(1) - L(1) seconds of kernels to share, a step
takes L(P) + (T(1) - L(1)) / P: the law of Amdahl (1967), where no thread computes while another holds the lock. Threads
do overlap, so a step may be faster than that; it cannot be faster than L(P).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine, train
from benchmarks.harness import BenchmarkError, Contender, Job, race, say, spread
from benchmarks.lock import watched
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse

PEERS = ("torch", "torch-bf16", "compile")
LOCK = "time under the lock"


@dataclass(frozen=True)
class ThreadsConfig:
    sizes: tuple[str, ...] = ("XS", "S", "M", "tour")  # models whose step is timed
    threads: tuple[int, ...] = (1, 2, 4, 8, 16)  # how many threads; those above the machine's cores are not timed
    against: str = "torch"  # peers: torch,torch-bf16,compile; or none
    rounds: int = 4  # how many blocks each contender runs
    seconds: float = 0.4  # how long a block lasts
    json: Path | None = None  # where to write the results


def lock_job(size: Size, counts: Sequence[int], rounds: int = 4, seconds: float = 0.15) -> Job:
    """Facts: seconds under the lock of a step for each number of threads (as text); nothing where it cannot be seen.

    Its step does nothing.
    """
    steps = {P: train.ours(size, shards).step for P, shards in ((P, train.shards_of(size, P)) for P in counts)}
    times: dict[int, list[float]] = {P: [] for P in counts}
    with watched() as held:
        for _ in range(rounds if held else 0):
            for P, step in steps.items():
                ends = time.perf_counter() + seconds
                while True:
                    times[P].append(held(step))
                    if time.perf_counter() > ends:
                        break
    lock = {str(P): spread(values)["p10"] for P, values in times.items() if values}
    return Job(lambda: None, {"lock": lock})


def name_of(who: str, threads: int) -> str:
    return f"{who}, {threads} threads"


def contenders(size: Size, counts: Sequence[int], peers: Sequence[str]) -> list[Contender]:
    """Ours and each peer on each number of threads; processes that read it when they start."""
    out = []
    for P in counts:
        environment = {"MINIPOST_THREADS": str(P), "OMP_NUM_THREADS": str(P)}
        out.append(Contender(name_of("minipost", P), train.ours, (size,), environment))
        for c in (train.contender(peer, size) for peer in train.same_optimizer(peers, size)):
            out.append(Contender(name_of(c.name, P), c.build, c.arguments, environment))
    return out


def allowed(one: float, lock: Mapping[str, float], threads: int, shards: int) -> float:
    """The speed-up over one thread, of `one` seconds a step, that the lock's seconds allow: Amdahl's law."""
    return one / (lock[str(threads)] + (one - lock["1"]) / shards)


def measure_size(size: Size, config: ThreadsConfig, peers: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each number of threads."""
    counts = sorted({1, *config.threads})
    timed = [P for P in counts if machine.cores() >= P]
    alone = {"MINIPOST_THREADS": "1", "OMP_NUM_THREADS": "1"}
    lock_row = race([Contender(LOCK, lock_job, (size, counts), alone)], rounds=1, seconds=0.01)[LOCK]
    lock = lock_row.facts["lock"]
    first = name_of("minipost", 1)
    raced = race(
        contenders(size, timed, peers),
        rounds=config.rounds,
        seconds=config.seconds,
        check=lambda facts: train.same_work({"minipost": facts[first], **facts}),
    )
    summaries = {name: row.summary() for name, row in raced.items()}
    one = summaries[first]["median"]
    rows = []
    for P in counts:
        row: dict[str, Any] = {"size": size.name, "threads": P, "lock": lock.get(str(P))}
        row["allowed"] = allowed(one, lock, P, train.shards_of(size, P)) if lock else None
        if P in timed:
            own = summaries[name_of("minipost", P)]
            others = {peer: summaries[name_of(peer, P)] for peer in peers if name_of(peer, P) in summaries}
            row |= own | {"faster": one / own["median"], "others": others}
            row["ratio"] = {peer: s["median"] / own["median"] for peer, s in others.items()}
        rows.append(row)
    return rows


def measure(config: ThreadsConfig, peers: Sequence[str]) -> dict[str, Any]:
    if any(P < 1 for P in config.threads):
        raise BenchmarkError(f"--threads {' '.join(map(str, config.threads))}: give whole numbers from 1.")
    results = []
    for size in map(size_named, config.sizes):
        say(f"  {size.name}")
        results += measure_size(size, config, peers)
    return {"benchmark": "threads", "peers": list(peers), "machine": machine.measure().to_dict(), "results": results}


def title(record: Mapping[str, Any]) -> str:
    return "training step, thread by thread"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    peers = record["peers"]
    columns = ["", "threads", "ms a step", "p10-p90", "faster", *(f"{peer} ms" for peer in peers)]
    columns += [*(f"vs {peer}" for peer in peers), "under the lock ms", "lock allows", "disturbed"]
    rows = []
    for r in record["results"]:
        row = [r["size"], str(r["threads"])]
        if "median" in r:
            others = [r["others"].get(peer) for peer in peers]
            row += [figure(1e3 * r["median"]), f"{figure(1e3 * r['p10'])}-{figure(1e3 * r['p90'])}", ratio(r["faster"])]
            row += [figure(1e3 * other["median"]) if other else "" for other in others]
            row += [ratio(r["ratio"].get(peer)) for peer in peers]
        else:
            row += [""] * (3 + 2 * len(peers))
        rows.append(
            [
                *row,
                figure(1e3 * r["lock"]) if r["lock"] else "",
                ratio(r["allowed"]),
                disturbed(r.get("disturbed", 0.0)),
            ]
        )
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(ThreadsConfig, argv, "python -m benchmarks threads", __doc__ or "")
    record = measure(config, chosen(config.against, PEERS))
    notes = [
        str(machine.Machine(**record["machine"])),
        "faster: than on one thread; lock allows: how much faster, by Amdahl's law; vs: our speed over the peer's",
    ]
    show(title(record), *table(record), notes=notes)
    save(config.json, record)
