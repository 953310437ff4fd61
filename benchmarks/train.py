"""A training step: forward, backward, clip, optimiser; tokens a second against PyTorch, torch.compile and JAX.

minipost runs the very lines of `minipost pretrain`: `next_token_loss` on Tensors, `value_and_grad` over shards of the
batch, `AdamW`, and at the tour's shape `Muon`. All contenders start from the same weights and see the same tokens, and
their first losses must agree, also after updates, or nothing is timed. The peer "torch-bf16" is PyTorch under autocast:
its products take bfloat16 operands, and its losses must agree within the rounding of those.

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
from benchmarks.harness import GRADIENTS, UPDATE, BenchmarkError, Contender, Job, noted, race
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.autograd import Tensor, fused
from minipost.config import parse
from minipost.kernels.matmul import matmul_into
from minipost.model import AdamW, Array, Muon, count, map_shards, shapes, threads, value_and_grad
from minipost.stages.pretrain import next_token_loss
from minipost.text.batching import Packed, stream

PEERS = ("torch", "torch-bf16", "compile", "jax")
ROOF, ROUNDED = "matrix products alone", "minipost-bf16"
LR, MUON_LR, DECAY = 1e-3, 0.012, 0.05
TOLERANCE, HALVED_TOLERANCE = 2e-4, 1e-3  # of losses, relative
NEVER = -1  # a document's first token that never comes: every row is one document


@dataclass(frozen=True)
class TrainConfig:
    size: str = "S"  # size of the model: XS, S, M, or the tour's
    against: str = "installed"  # peers: torch,torch-bf16,compile,jax; or none
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


def job(size: Size, step: Callable[[Array, Array], float], parameters: int, parts: dict[str, list[float]]) -> Job:
    """A peer's step over the batches in turn, and its first losses."""
    ids, T = stream_of(size), size.tokens
    windows = [rows[:, None] * T + np.arange(T + 1) for rows in batch_rows(size)]
    pairs = cycle([(ids[w[:, :-1]].copy(), ids[w[:, 1:]].copy()) for w in windows])
    losses = [step(*next(pairs)) for _ in range(4)]
    return Job(lambda: step(*next(pairs)), {"parameters": parameters, "losses": losses}, parts)


def shards_of(size: Size, threads: int) -> int:
    """In how many shards the batch is cut for so many threads: none without rows."""
    return min(threads, size.batch)


def ours(size: Size, shards: int | None = None) -> Job:
    """The step of `minipost pretrain`; in as many shards as there are threads, or in `shards`."""
    shards = shards or shards_of(size, threads())
    config, weights, ids = size.config(), size.weights(), stream_of(size)
    muon = size.optimizer == "muon"
    optimizer = (
        Muon(weights, peak_lr=LR, muon_lr=MUON_LR, weight_decay=DECAY) if muon else AdamW(weights, weight_decay=DECAY)
    )
    share = 1 / (size.batch * size.tokens)
    parts: dict[str, list[float]] = {}

    def loss(tensors: dict[str, Tensor], batch: Packed) -> tuple[Tensor, dict[str, float]]:
        return next_token_loss(tensors, config, batch, share), {}

    def gradients() -> tuple[dict[str, float], dict[str, Array]]:
        batch = np.array_split(next(rows), shards)
        return value_and_grad(loss, weights, [stream(ids, NEVER, part, size.tokens) for part in batch])

    def step() -> float:
        metrics, grads = noted(parts, GRADIENTS, gradients)
        noted(parts, UPDATE, lambda: optimizer.step(grads, LR))
        return metrics["loss"]

    rows = cycle(batch_rows(size))
    return Job(step, {"parameters": count(weights), "losses": [step() for _ in range(4)]}, parts)


def ours_in_bfloat16(size: Size) -> Job:
    """The same with --precision bfloat16."""
    with fused.precision("bfloat16"):
        job = ours(size)

    def step() -> Any:
        with fused.precision("bfloat16"):
            return job.step()

    return Job(step, job.facts, job.parts)


def torch_peer(size: Size, compiled: bool = False, halved: bool = False) -> Job:
    from benchmarks.peers.torch_llama import trainer

    parts: dict[str, list[float]] = {}
    step, parameters = trainer(
        size.config(),
        size.weights(),
        lr=LR,
        weight_decay=DECAY,
        threads=threads(),
        muon_lr=MUON_LR if size.optimizer == "muon" else None,
        compiled=compiled,
        halved=halved,
        parts=parts,
    )
    return job(size, step, parameters, parts)


def jax_peer(size: Size) -> Job:
    from benchmarks.peers.jax_llama import trainer

    return job(size, *trainer(size.config(), size.weights(), lr=LR, weight_decay=DECAY), parts={})


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
            matmul_into(x, w, y, False, True, 1.0, 0.0)
            matmul_into(g, w, dx, False, False, 1.0, 0.0)
            matmul_into(g, x, dw, True, False, 1.0, 0.0)

    shards = [shard(rows) for rows in np.array_split(np.arange(size.batch), shards_of(size, threads()))]
    return Job(lambda: map_shards(multiply, shards))


BUILDERS: dict[str, tuple[Callable[..., Job], tuple[Any, ...]]] = {
    "torch": (torch_peer, ()),
    "torch-bf16": (torch_peer, (False, True)),
    "compile": (torch_peer, (True,)),
    "jax": (jax_peer, ()),
}


def contender(peer: str, size: Size) -> Contender:
    build, arguments = BUILDERS[peer]
    return Contender(peer, build, (size, *arguments))


def same_optimizer(peers: Sequence[str], size: Size) -> list[str]:
    """The peers that have the size's optimiser: JAX's has no Muon."""
    return [peer for peer in peers if size.optimizer == "adamw" or peer != "jax"]


def same_work(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse contenders with another number of parameters or other losses over four steps, three of them updated."""
    own_facts = facts["minipost"]
    for name, peer_facts in facts.items():
        if "losses" not in peer_facts:
            continue
        tolerance = HALVED_TOLERANCE if "bf16" in name else TOLERANCE
        if peer_facts["parameters"] != own_facts["parameters"]:
            raise BenchmarkError(
                f"{name} has {peer_facts['parameters']} parameters, minipost {own_facts['parameters']}."
            )
        if not np.allclose(peer_facts["losses"], own_facts["losses"], rtol=tolerance):
            raise BenchmarkError(
                f"{name} does other work: its losses are {peer_facts['losses']}, ours {own_facts['losses']}."
            )


def measure(size: Size, peers: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Everything as JSON values: machine, ratios, and a row for each contender."""
    this_machine = machine.measure()
    contenders = [Contender("minipost", ours, (size,)), Contender(ROUNDED, ours_in_bfloat16, (size,))]
    contenders += [contender(peer, size) for peer in same_optimizer(peers, size)]
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
    speed = {r["name"]: r["tokens_per_second"] for r in results}
    return {
        "benchmark": "train",
        "size": size.name,
        "ratio": {name: speed["minipost"] / other for name, other in speed.items() if name != "minipost"},
        "ratio_bf16": {name: speed[ROUNDED] / other for name, other in speed.items() if name != ROUNDED},
        "machine": this_machine.to_dict(),
        "intensity": size.step_flops / size.step_bytes,
        "limit": limit,
        "results": results,
    }


def title(record: Mapping[str, Any]) -> str:
    size, parameters = size_named(record["size"]), record["results"][0]["parameters"]
    name, optimizer = (f"{size.name}'s shape", ", Muon") if size.optimizer == "muon" else (size.name, "")
    return f"training step, {name}: {parameters:,} parameters, {size.batch} x {size.tokens} tokens{optimizer}"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results; the two parts of a step where the run has them."""
    names = list(record["results"][0].get("parts", {}))
    columns = ["", "tokens/s", "p10-p90", "minipost is", "bf16 is", *(f"{name} ms" for name in names)]
    columns += ["GFLOP/s", "of products", "peak MB", "disturbed"]
    rows = [
        [
            r["name"],
            figure(r["tokens_per_second"]),
            f"{figure(r['tokens_per_second_p10'])}-{figure(r['tokens_per_second_p90'])}",
            ratio(record["ratio"].get(r["name"])),
            ratio(record.get("ratio_bf16", {}).get(r["name"])),
            *(figure(1e3 * r["parts"][name]) if name in r.get("parts", {}) else "" for name in names),
            figure(r["flops"] / 1e9),
            f"{r['share_of_products']:.0%}",
            figure(r["peak_mb"]),
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    limit = record["limit"]
    empty = [""] * (4 + len(names))
    rows.append([ROOF, *empty, figure(limit["flops"] / 1e9), "", "", disturbed(limit["disturbed"])])
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
