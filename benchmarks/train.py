"""A training step: forward, backward, clip, AdamW; tokens a second against PyTorch, torch.compile and JAX.

minipost runs the very lines of `minipost pretrain`: `next_token_loss` on Tensors, `value_and_grad` over shards of the
batch, `AdamW`. All contenders start from the same weights and see the same tokens, and their first losses must agree,
also after updates, or nothing is timed.

The row "matrix products alone" is no contender but this machine's limit at the model's shapes: it does the products of
the step (each weight's one forward and two backward) and nothing else, shard by shard as minipost does. The share of
the roofline is taken against it, and against large square products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import chart, machine
from benchmarks.harness import BenchmarkError, Contender, Job, race
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.autograd import Tensor
from minipost.config import parse
from minipost.model import AdamW, Array, count, map_shards, shapes, threads, value_and_grad
from minipost.stages.base import by_thread
from minipost.stages.pretrain import next_token_loss
from minipost.text.batching import Packed, stream

PEERS = ("torch", "compile", "jax")
ROOF = "matrix products alone"
LR, DECAY = 1e-3, 0.05
NEVER = -1  # a document's first token that never comes: every row is one document


@dataclass(frozen=True)
class TrainConfig:
    size: str = "S"  # size of the model: XS, S or M
    against: str = "installed"  # peers: torch,compile,jax; or none
    rounds: int = 6  # how many blocks each contender runs
    seconds: float = 1.0  # how long a block lasts
    json: Path | None = None  # where to write the results
    plot: Path | None = None  # where to draw the roofline (PNG); default: beside the JSON file


def stream_of(size: Size, batches: int = 8) -> Array:
    """Random tokens for `batches` batches, and one more."""
    count = batches * size.batch * size.tokens + 1
    return np.random.default_rng(1).integers(0, size.vocab_size, count)


def batch_rows(size: Size, batches: int = 8) -> list[Array]:
    """The rows of the stream that make each batch."""
    return np.split(np.arange(batches * size.batch), batches)


def job(size: Size, step: Callable[[Array, Array], float], parameters: int) -> Job:
    """A peer's step over the batches in turn, and its first losses."""
    ids, T = stream_of(size), size.tokens
    windows = [rows[:, None] * T + np.arange(T + 1) for rows in batch_rows(size)]
    pairs = cycle([(ids[w[:, :-1]].copy(), ids[w[:, 1:]].copy()) for w in windows])
    return Job(lambda: step(*next(pairs)), {"parameters": parameters, "losses": [step(*next(pairs)) for _ in range(4)]})


def ours(size: Size) -> Job:
    """The step of `minipost pretrain --optimizer adamw`."""
    config, weights, ids = size.config(), size.weights(), stream_of(size)
    optimizer = AdamW(weights, weight_decay=DECAY)
    share = 1 / (size.batch * size.tokens)

    def loss(tensors: dict[str, Tensor], batch: Packed) -> tuple[Tensor, dict[str, float]]:
        return next_token_loss(tensors, config, batch, share), {}

    def step() -> float:
        shards = [stream(ids, NEVER, part, size.tokens) for part in by_thread(next(rows), [1] * size.batch)]
        metrics, grads = value_and_grad(loss, weights, shards)
        optimizer.step(grads, LR)
        return metrics["loss"]

    rows = cycle(batch_rows(size))
    return Job(step, {"parameters": count(weights), "losses": [step() for _ in range(4)]})


def torch_peer(size: Size, compiled: bool) -> Job:
    from benchmarks.peers.torch_llama import trainer

    step, parameters = trainer(
        size.config(), size.weights(), lr=LR, weight_decay=DECAY, threads=threads(), compiled=compiled
    )
    return job(size, step, parameters)


def jax_peer(size: Size) -> Job:
    from benchmarks.peers.jax_llama import trainer

    return job(size, *trainer(size.config(), size.weights(), lr=LR, weight_decay=DECAY))


def matrix_products(size: Size) -> Job:
    """A step's products with every weight matrix: forward, for the input's gradient, for the weight's."""
    rng = np.random.default_rng(0)
    sizes = [shape for shape in shapes(size.config()).values() if len(shape) == 2]

    def shard(rows: Array) -> list[tuple[Array, ...]]:
        N, out = len(rows) * size.tokens, []
        for O, I in sizes:  # noqa: E741
            arrays = [rng.standard_normal(s, np.float32) for s in ((N, I), (O, I), (N, O))]
            room = [np.empty(s, np.float32) for s in ((N, O), (N, I), (O, I))]
            out.append((*arrays, *room))
        return out

    def multiply(products: list[tuple[Array, ...]]) -> None:
        for x, w, g, y, dx, dw in products:
            np.matmul(x, w.T, out=y)
            np.matmul(g, w, out=dx)
            np.matmul(g.T, x, out=dw)

    shards = [shard(rows) for rows in by_thread(np.arange(size.batch), [1] * size.batch)]
    return Job(lambda: map_shards(multiply, shards))


BUILDERS: dict[str, tuple[Callable[..., Job], tuple[Any, ...]]] = {
    "torch": (torch_peer, (False,)),
    "compile": (torch_peer, (True,)),
    "jax": (jax_peer, ()),
}


def same_work(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse contenders with another number of parameters or other losses over four steps, three of them updated."""
    own_facts = facts["minipost"]
    for name, peer_facts in facts.items():
        if "losses" not in peer_facts:
            continue
        if peer_facts["parameters"] != own_facts["parameters"]:
            raise BenchmarkError(
                f"{name} has {peer_facts['parameters']} parameters, minipost {own_facts['parameters']}."
            )
        if not np.allclose(peer_facts["losses"], own_facts["losses"], rtol=2e-4):
            raise BenchmarkError(
                f"{name} does other work: its losses are {peer_facts['losses']}, ours {own_facts['losses']}."
            )


def measure(size: Size, peers: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Everything as JSON values: machine, ratios, and a row for each contender."""
    this_machine = machine.measure()
    contenders = [Contender("minipost", ours, (size,))]
    contenders += [Contender(peer, BUILDERS[peer][0], (size, *BUILDERS[peer][1])) for peer in peers]
    contenders.append(Contender(ROOF, matrix_products, (size,)))
    rows = race(contenders, rounds=rounds, seconds=seconds, check=same_work)
    N, limit = size.batch * size.tokens, rows.pop(ROOF).summary()
    limit["flops"] = 6 * N * size.matrix_parameters / limit["median"]
    results = []
    for row in rows.values():
        s = row.summary()
        flops = size.step_flops / s["median"]
        s |= {
            "tokens_per_second": N / s["median"],
            "tokens_per_second_p10": N / s["p90"],
            "tokens_per_second_p90": N / s["p10"],
            "flops": flops,
            "share_of_sgemm": flops / this_machine.sgemm,
            "share_of_products": flops / limit["flops"],
        }
        results.append(s)
    own_speed = results[0]["tokens_per_second"]
    return {
        "benchmark": "train",
        "size": size.name,
        "ratio": {r["name"]: own_speed / r["tokens_per_second"] for r in results[1:]},
        "machine": this_machine.to_dict(),
        "intensity": size.step_flops / size.step_bytes,
        "limit": limit,
        "results": results,
    }


def title(record: Mapping[str, Any]) -> str:
    size, parameters = size_named(record["size"]), record["results"][0]["parameters"]
    return f"training step, {size.name}: {parameters:,} parameters, {size.batch} x {size.tokens} tokens"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "tokens/s", "p10-p90", "minipost is", "GFLOP/s", "of sgemm", "of products", "peak MB", "disturbed"]
    rows = [
        [
            r["name"],
            figure(r["tokens_per_second"]),
            f"{figure(r['tokens_per_second_p10'])}-{figure(r['tokens_per_second_p90'])}",
            ratio(record["ratio"].get(r["name"])),
            figure(r["flops"] / 1e9),
            f"{r['share_of_sgemm']:.0%}",
            f"{r['share_of_products']:.0%}",
            figure(r["peak_mb"]),
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    limit = record["limit"]
    rows.append([ROOF, "", "", "", figure(limit["flops"] / 1e9), "", "", "", disturbed(limit["disturbed"])])
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(TrainConfig, argv, "python -m benchmarks train", __doc__ or "")
    size, peers = size_named(config.size), chosen(config.against, PEERS)
    record = measure(size, peers, config.rounds, config.seconds)
    this_machine = machine.Machine(**record["machine"])
    notes = [str(this_machine), f"first losses, on all sides: {record['results'][0]['losses']}"]
    show(title(record), *table(record), notes=notes)
    save(config.json, record)
    points = [chart.Point(r["name"], record["intensity"], r["flops"]) for r in record["results"]]
    chart.save(this_machine, points, title(record), config.plot, config.json)
