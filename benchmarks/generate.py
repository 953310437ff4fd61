"""Generation with a KV cache: tokens a second against a hand-written PyTorch loop and transformers' `generate`.

Prompts of 16 tokens, 64 new ones, sampled at temperature 1; batches of 1, 16 and 64. PyTorch runs with one thread and
with all of them, and the better one counts. Before anything is timed, all contenders continue the same prompts
greedily, and must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import chart, machine
from benchmarks.harness import BenchmarkError, Contender, Job, race
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse
from minipost.model import Array, Sampling, generate, threads

PEERS = ("torch", "transformers")
PROMPT, NEW = 16, 64
AGREE = 0.9  # share of greedily chosen tokens: after a near tie, decided by the last bit, two texts go separate ways


@dataclass(frozen=True)
class GenerateConfig:
    size: str = "S"  # size of the model: XS, S or M
    against: str = "installed"  # peers: torch,transformers; or none
    batches: tuple[int, ...] = (1, 16, 64)  # batch sizes: prompts at a time
    rounds: int = 4  # how many blocks each contender runs
    seconds: float = 1.0  # how long a block lasts
    json: Path | None = None  # where to write the results
    plot: Path | None = None  # where to draw the roofline (PNG); default: beside the JSON file


def prompts_of(size: Size, batch: int) -> Array:
    return np.random.default_rng(2).integers(0, size.vocab_size, (batch, PROMPT))


def spread_out(size: Size) -> dict[str, Array]:
    """Weights whose logits differ as a trained model's do: with the small ones of a start, greedy choices are ties."""
    weights = size.weights(PROMPT + NEW)
    weights["norm"] = weights["norm"] * np.float32(20)
    return weights


def job(size: Size, batch: int, continued: Callable[[Array, float], Array]) -> Job:
    """`continued(prompts, temperature) -> [batch, NEW]`."""
    prompts = prompts_of(size, batch)
    return Job(lambda: continued(prompts, 1.0), {"greedy": continued(prompts, 0.0)[:16].tolist()})


def ours(size: Size, batch: int) -> Job:
    config, weights, rng = size.config(PROMPT + NEW), spread_out(size), np.random.default_rng(3)
    never = size.vocab_size  # an id that is never sampled: no response ends early

    def continued(prompts: Array, temperature: float) -> Array:
        sampled = generate(
            weights, config, prompts.tolist(), rng, end_id=never, max_new_tokens=NEW, sampling=Sampling(temperature)
        )
        return np.array([s.tokens for s in sampled])

    return job(size, batch, continued)


def torch_peer(size: Size, batch: int, workers: int) -> Job:
    import torch

    from benchmarks.peers.torch_generate import generate as loop
    from benchmarks.peers.torch_llama import Llama

    torch.set_num_threads(workers)
    model, rng = Llama(size.config(PROMPT + NEW), spread_out(size)).eval(), torch.Generator().manual_seed(3)
    return job(size, batch, lambda prompts, t: loop(model, torch.from_numpy(prompts), NEW, t, rng)[0].numpy())


def transformers_peer(size: Size, batch: int) -> Job:
    from benchmarks.peers.transformers_generate import generator

    continue_prompts = generator(size.config(PROMPT + NEW), spread_out(size), threads())
    return job(size, batch, lambda prompts, t: continue_prompts(prompts, NEW, t))


def contenders_for(size: Size, batch: int, peers: Sequence[str]) -> list[Contender]:
    contenders = [Contender("minipost", ours, (size, batch))]
    if "torch" in peers:
        contenders += [Contender(f"torch, {n} threads", torch_peer, (size, batch, n)) for n in sorted({1, threads()})]
    if "transformers" in peers:
        contenders.append(Contender("transformers", transformers_peer, (size, batch)))
    return contenders


def same_tokens(facts: Mapping[str, dict[str, Any]]) -> None:
    """Refuse contenders whose greedy continuations differ in more than a few tokens; keeps the share that agrees."""
    own_tokens = np.array(facts["minipost"]["greedy"])
    for name, peer_facts in facts.items():
        agree = float(np.mean(np.array(peer_facts.pop("greedy")) == own_tokens))
        peer_facts["agree"] = agree
        if agree < AGREE:
            raise BenchmarkError(f"{name} does other work: {agree:.0%} of its greedily chosen tokens are minipost's.")


def measure(size: Size, batch: int, peers: Sequence[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row of JSON values for each contender."""
    rows = race(contenders_for(size, batch, peers), rounds=rounds, seconds=seconds, check=same_tokens)
    tokens, positions = batch * NEW, PROMPT + NEW / 2
    out = []
    for row in rows.values():
        s = row.summary()
        out.append(
            {
                "batch": batch,
                **s,
                "tokens_per_second": tokens / s["median"],
                "tokens_per_second_p10": tokens / s["p90"],
                "tokens_per_second_p90": tokens / s["p10"],
                "intensity": size.decode_flops(batch, positions) / size.decode_bytes(batch, positions),
                "flops": size.decode_flops(batch, positions) * NEW / s["median"],
            }
        )
    return out


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Our tokens/s over each peer's: `torch` is the better of its numbers of threads."""
    best: dict[str, float] = {}
    for row in rows[1:]:
        peer = row["name"].partition(",")[0]
        best[peer] = max(best.get(peer, 0.0), row["tokens_per_second"])
    return {peer: rows[0]["tokens_per_second"] / speed for peer, speed in best.items()}


def title(record: Mapping[str, Any]) -> str:
    return f"generation, {record['size']}: prompts of {PROMPT} tokens, {NEW} new ones"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "batch", "tokens/s", "p10-p90", "minipost is", "GFLOP/s", "peak MB", "agree", "disturbed"]
    own_speeds = {r["batch"]: r["tokens_per_second"] for r in record["results"] if r["name"] == "minipost"}
    rows = [
        [
            r["name"],
            str(r["batch"]),
            figure(r["tokens_per_second"]),
            f"{figure(r['tokens_per_second_p10'])}-{figure(r['tokens_per_second_p90'])}",
            ratio(None if r["name"] == "minipost" else own_speeds[r["batch"]] / r["tokens_per_second"]),
            figure(r["flops"] / 1e9),
            figure(r["peak_mb"]),
            f"{r['agree']:.0%}",
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    return columns, rows


def label_of(row: Mapping[str, Any]) -> str:
    """What stands beside minipost's points."""
    return f"batch {row['batch']}" if row["name"] == "minipost" else ""


def command(argv: Sequence[str]) -> None:
    config = parse(GenerateConfig, argv, "python -m benchmarks generate", __doc__ or "")
    size, peers = size_named(config.size), chosen(config.against, PEERS)
    if not config.batches or min(config.batches) < 1:
        raise BenchmarkError(f"--batches {config.batches} must be whole numbers from 1.")
    this_machine = machine.measure()
    measured = {batch: measure(size, batch, peers, config.rounds, config.seconds) for batch in config.batches}
    record = {
        "benchmark": "generate",
        "size": size.name,
        "ratio": {str(batch): ratios(rows) for batch, rows in measured.items()},
        "machine": this_machine.to_dict(),
        "results": [row for rows in measured.values() for row in rows],
    }
    show(title(record), *table(record), notes=[str(this_machine)])
    save(config.json, record)
    points = [
        chart.Point(r["name"].partition(",")[0], r["intensity"], r["flops"], label_of(r)) for r in record["results"]
    ]
    chart.save(this_machine, points, title(record), config.plot, config.json)
