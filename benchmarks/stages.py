"""A step of DPO, of the reward model, and an iteration of PPO: samples a second against plain PyTorch.

minipost runs the stages' own training loops, with everything that they do besides: checking known answers, writing
metrics, drawing the progress line. PyTorch runs the same algorithms on padded batches. DPO and the reward model see 16
pairs a step, once with sides of 64 tokens each, once of 20 to 108 tokens, where packing pays; PPO answers 64 prompts of
16 tokens with up to 64 new ones and makes 4 epochs of 2 minibatches of them.

First losses and gradient norms must agree; in PPO, whose samples differ, the first ratio must be 1 and the number of
updates the same.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.harness import BenchmarkError, Contender, Job, race
from benchmarks.peers import chosen
from benchmarks.sizes import Size, size_named
from benchmarks.table import disturbed, figure, ratio, save, show
from minipost.config import parse
from minipost.model import Model, threads, with_head
from minipost.runs import Run
from minipost.stages import dpo, ppo, reward
from minipost.stages.base import minibatch
from minipost.stages.rollouts import Prompts
from minipost.text import Tokenizer
from minipost.text.batching import Example

PEERS = ("torch",)
PAIRS, BATCH, STEPS = 128, 16, 1_000_000
PROMPTS, PROMPT, NEW = 64, 16, 64
LENGTHS = {"equal": (64, 64), "mixed": (20, 108)}  # tokens of a side, from and to


@dataclass(frozen=True)
class StagesConfig:
    size: str = "S"  # size of the model: XS, S or M
    against: str = "installed"  # peers: torch, or none
    rounds: int = 4  # how many blocks each contender runs
    seconds: float = 1.5  # how long a block lasts
    json: Path | None = None  # where to write the results


# ------------------------------------------------------------------------------------------------------- inputs
def model_of(size: Size) -> Model:
    """Random weights, and a tokenizer without merges: only its end token matters."""
    return Model(size.weights(128), size.config(128), Tokenizer([]))


def pairs_of(size: Size, lengths: str) -> list[tuple[Example, Example]]:
    """Random pairs: a prompt of 16 tokens, and two responses."""
    rng, (low, high) = np.random.default_rng(5), LENGTHS[lengths]
    sides = rng.integers(low, high + 1, (PAIRS, 2)) - PROMPT

    def tokens(count: int) -> list[int]:
        return rng.integers(0, size.vocab_size, count).tolist()

    prompts = [tokens(PROMPT) for _ in sides]
    return [(Example(p, tokens(a)), Example(p, tokens(b))) for p, (a, b) in zip(prompts, sides, strict=True)]


def prompts_of(size: Size) -> list[list[int]]:
    return np.random.default_rng(6).integers(0, size.vocab_size, (PROMPTS, PROMPT)).tolist()


# ----------------------------------------------------------------------------------------------------- minipost
@dataclass
class Pace:
    """Lets a stage's loop, which runs in a thread of its own, make one update at a time."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    metrics: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None

    def step(self) -> Mapping[str, Any]:
        """The next update's metrics."""
        self.go.release()
        self.done.acquire()
        if self.error is not None:
            raise self.error
        return self.metrics

    def start(self, loop: Callable[[Run], Any], config: Any) -> None:
        """Start `loop(run)` for a stage of this configuration; it waits for the first `step`."""
        threading.Thread(target=self.run, args=(loop, config), daemon=True).start()

    def run(self, loop: Callable[[Run], Any], config: Any) -> None:
        pace = self

        class PacedRun(Run):
            """A run whose every logged row ends a step."""

            def log(self, step: int, metrics: Mapping[str, Any]) -> None:
                super().log(step, metrics)
                pace.metrics = metrics
                pace.done.release()
                pace.go.acquire()

        self.go.acquire()
        try:
            with (
                tempfile.TemporaryDirectory() as folder,
                open(os.devnull, "w") as nowhere,
                contextlib.redirect_stderr(nowhere),
            ):
                loop(PacedRun.create(Path(folder) / "run", "benchmark", config, 0))
        except BaseException as error:
            self.error = error
            self.done.release()


def paced(loop: Callable[[Run], Any], config: Any, *facts: str) -> Job:
    """The job that makes one update of a stage's loop; `facts` are metrics of the first."""
    pace = Pace()
    pace.start(loop, config)
    first = pace.step()
    return Job(pace.step, {name.rpartition("/")[2]: float(first[name]) for name in facts})


def our_dpo(size: Size, lengths: str) -> Job:
    config = dpo.DPOConfig(epochs=STEPS, batch_size=BATCH, save_every=STEPS)
    pairs, model = pairs_of(size, lengths), model_of(size)
    return paced(lambda run: dpo.train(run, model, pairs, config), config, "loss", "grad_norm")


def our_reward(size: Size, lengths: str) -> Job:
    config = reward.RewardConfig(head="scalar", epochs=STEPS, batch_size=BATCH, save_every=STEPS)
    pairs, model = pairs_of(size, lengths), model_of(size)
    return paced(lambda run: reward.train(run, model, pairs, config), config, "loss", "grad_norm")


def ppo_config() -> ppo.PPOConfig:
    return ppo.PPOConfig(iterations=STEPS, rollout=PROMPTS, max_new_tokens=NEW, target_kl=0.0, save_every=STEPS)


def our_ppo(size: Size) -> Job:
    config, model, prompts = ppo_config(), model_of(size), prompts_of(size)
    reward_model = Model(with_head(model.weights, model.config, "score"), model.config, model.tokenizer)

    def score(examples: Sequence[Example]) -> Any:
        return ppo.reward_scores(reward_model, examples, config.row_length)

    def loop(run: Run) -> None:
        ppo.train(run, model, reward_model, lambda rng, count: Prompts(prompts), score, config)

    return paced(loop, config, "val/ratio", "updates", "response/length")


# ------------------------------------------------------------------------------------------------------ PyTorch
def torch_pairs(stage: str, size: Size, lengths: str) -> Job:
    import torch

    from benchmarks.peers import torch_stages

    torch.set_num_threads(threads())
    pairs, model = pairs_of(size, lengths), model_of(size)
    if stage == "dpo":
        update = torch_stages.dpo_step(model.config, model.weights, pairs, dpo.DPOConfig.beta)
    else:
        update = torch_stages.reward_step(model.config, model.weights, pairs, reward.RewardConfig.center)
    steps = iter(range(STEPS))

    def step() -> dict[str, float]:
        return update(minibatch(0, next(steps), PAIRS, BATCH).tolist())  # the order that the stages visit pairs in

    return Job(step, step())


def torch_ppo(size: Size) -> Job:
    import torch

    from benchmarks.peers.torch_stages import PPOSettings, ppo_iteration

    torch.set_num_threads(threads())
    c, model = ppo_config(), model_of(size)
    settings = PPOSettings(
        NEW,
        model.tokenizer.end_id,
        c.epochs,
        c.minibatches,
        c.beta,
        c.lam,
        c.clip,
        c.value_clip,
        c.value_coefficient,
        c.missing_end_penalty,
    )
    iteration = ppo_iteration(model.config, model.weights, prompts_of(size), settings)
    return Job(iteration, iteration())


@dataclass(frozen=True)
class Comparison:
    """One row of the table: who builds it, with which arguments, and how many samples a step handles."""

    name: str
    ours: Callable[..., Job]
    peer: Callable[..., Job]
    ours_arguments: tuple[Any, ...]
    peer_arguments: tuple[Any, ...]
    samples: int
    unit: str


def comparisons(size: Size) -> list[Comparison]:
    out = []
    for lengths, (low, high) in LENGTHS.items():
        tokens = f"{low} tokens" if low == high else f"{low} to {high} tokens"
        for stage, build in (("dpo", our_dpo), ("reward", our_reward)):
            title = f"{'DPO' if stage == 'dpo' else 'reward model'}, {tokens}"
            out.append(Comparison(title, build, torch_pairs, (size, lengths), (stage, size, lengths), BATCH, "pairs"))
    out.append(Comparison("PPO iteration", our_ppo, torch_ppo, (size,), (size,), PROMPTS, "responses"))
    return out


def same_work(facts: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse a peer whose first loss and gradient norm (PPO: ratio and number of updates) differ."""
    own_facts = facts["minipost"]
    for name, peer_facts in facts.items():
        for fact in own_facts.keys() - {"length"}:
            if not np.isclose(peer_facts[fact], own_facts[fact], rtol=2e-3):
                raise BenchmarkError(
                    f"{name} does other work: its {fact} is {peer_facts[fact]:.6g}, ours {own_facts[fact]:.6g}."
                )


def measure(c: Comparison, peers: Sequence[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row of JSON values for each contender."""
    contenders = [Contender("minipost", c.ours, c.ours_arguments)]
    contenders += [Contender(peer, c.peer, c.peer_arguments) for peer in peers]
    rows = race(contenders, rounds=rounds, seconds=seconds, check=same_work)
    summaries = [row.summary() for row in rows.values()]
    return [{"stage": c.name, "unit": c.unit, "per_second": c.samples / s["median"], **s} for s in summaries]


def title(record: Mapping[str, Any]) -> str:
    return f"stages, {record['size']}"


def table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the results."""
    columns = ["", "", "a second", "ms a step", "p10-p90", "minipost is", "peak MB", "disturbed"]
    rows = [
        [
            r["stage"],
            r["name"],
            f"{figure(r['per_second'])} {r['unit']}",
            figure(1e3 * r["median"]),
            f"{figure(1e3 * r['p10'])}-{figure(1e3 * r['p90'])}",
            ratio(record["ratio"][r["stage"]].get(r["name"])),
            figure(r["peak_mb"]),
            disturbed(r["disturbed"]),
        ]
        for r in record["results"]
    ]
    return columns, rows


def command(argv: Sequence[str]) -> None:
    config = parse(StagesConfig, argv, "python -m benchmarks stages", __doc__ or "")
    size, peers = size_named(config.size), chosen(config.against, PEERS)
    this_machine = machine.measure()
    measured = {c.name: measure(c, peers, config.rounds, config.seconds) for c in comparisons(size)}
    record = {
        "benchmark": "stages",
        "size": size.name,
        "ratio": {
            name: {r["name"]: rows[0]["per_second"] / r["per_second"] for r in rows[1:]}
            for name, rows in measured.items()
        },
        "machine": this_machine.to_dict(),
        "results": [row for rows in measured.values() for row in rows],
    }
    show(title(record), *table(record), notes=[str(this_machine)])
    save(config.json, record)
