"""Stage 3c, best-of-N: answer N times and keep what the reward model likes best. No training at all.

From N scored samples of a prompt the expected score of best-of-n follows for *every* n <= N without bias
(`losses.best_of_n_estimate`), so one set of samples draws the whole curve. The divergence from the base policy is
at most log n - (n - 1) / n nats (Beirami et al. 2024).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from minipost import data
from minipost.config import parse
from minipost.data import Prompt, Turns
from minipost.losses import best_of_n_estimate, best_of_n_kl_bound
from minipost.model import Array, Model
from minipost.runs import Run, progress
from minipost.stages.base import StageError, dropped, require_positive, world_of
from minipost.text import prompt_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility

HELP = """Answer N times, keep the best by the reward model.

Examples:
  minipost best-of-n --n 16
  minipost best-of-n --policy runs/mine --reward runs/judge --data prompts.jsonl --out runs/best"""


@dataclass(frozen=True)
class BestOfNConfig:
    policy: Path = Path("runs/sft")  # the run folder of the model that answers
    reward: Path = Path("runs/reward")  # the run folder of the reward model that chooses
    out: Path = Path("runs/best_of_n")  # the run's folder
    seed: int = 0  # of prompts and samples
    resume: bool = False  # a finished run is left as it is
    overwrite: bool = False  # replace an existing run
    tensorboard: bool = False  # write the metrics for TensorBoard, too
    data: tuple[Path, ...] = ()  # files of your own with prompts; no true utility is known there, and none is logged
    skip_bad: bool = False  # leave bad rows of those files out, and write down which and why
    world_seed: int | None = None  # which world; that of the policy's own run, if not given
    world_share: float | None = None  # how much of it there is: 0.25 is a village; the same
    n: int = 16  # samples a prompt
    prompts: int = 200  # held-out prompts
    temperature: float = 1.0  # of sampling
    max_new_tokens: int = 64  # length limit of a response

    def __post_init__(self) -> None:
        require_positive(self, "n", "prompts", "max_new_tokens")


class Asked(Protocol):
    """What can be answered: a task of the world, or a prompt of a user's."""

    @property
    def prompt(self) -> str | Turns: ...


T = TypeVar("T", bound=Asked)


@dataclass(frozen=True)
class Answered(Generic[T]):
    """N answers to a task or prompt, with the reward model's scores [N]."""

    task: T
    texts: list[str]
    ended: list[bool]
    lengths: list[int]
    proxy: Array

    @property
    def pick(self) -> int:
        """The index of the best; ties go to the first of an exchangeable sample."""
        return int(np.argmax(self.proxy))


Candidates = Answered[Task]


def best_of_n(config: BestOfNConfig) -> list[Candidates] | list[Answered[Prompt]]:
    """Sample, score and pick on held-out prompts; leaves `samples.jsonl` and the curve over n in the run folder."""
    policy, judge = Model.load(config.policy), Model.load(config.reward, "score")
    if policy.tokenizer != judge.tokenizer:
        raise StageError(f"{config.policy} and {config.reward} have different tokenizers: train one from the other.")
    room = policy.config.context - config.max_new_tokens
    mine = data.prompts(config.data, policy.tokenizer, room, dropped(config)) if config.data else None
    run = Run.create(
        config.out,
        "best_of_n",
        config,
        config.seed,
        {"policy": config.policy, "reward": config.reward},
        resume=config.resume,
        overwrite=config.overwrite,
    )
    if run.finished:
        return []
    rng = np.random.default_rng([config.seed, 6])
    if mine is not None:
        chosen = [Prompt(mine[i]) for i in np.sort(rng.permutation(len(mine))[: config.prompts])]
        given = sample(policy, judge, chosen, rng, config)
        return finished(run, given, curve_of_proxy(given))
    world = world_of(config, config.policy)
    found = sample(policy, judge, world.tasks("test", config.prompts, rng), rng, config)
    return finished(run, found, curve(found, Utility(world)))


def sample(
    policy: Model, judge: Model, tasks: Sequence[T], rng: np.random.Generator, config: BestOfNConfig
) -> list[Answered[T]]:
    """Candidates for all tasks, a few tasks at a time."""
    found: list[Answered[T]] = []
    with progress(-(-len(tasks) // 16), "best-of-n", "answers") as bar:
        for lo in range(0, len(tasks), 16):
            few = tasks[lo : lo + 16]
            found += candidates(policy, judge, few, rng, config.n, config.temperature, config.max_new_tokens)
            bar.advance(config.n * len(few))
    return found


def finished(run: Run, found: list[Answered[T]], rows: Sequence[Mapping[str, Any]]) -> list[Answered[T]]:
    """Leave samples, the curve over n, and the mark of a finished run."""
    with (run.path / "samples.jsonl").open("w", encoding="utf-8") as file:
        for c in found:
            prompt = c.task.prompt if isinstance(c.task.prompt, str) else [vars(turn) for turn in c.task.prompt]
            prompt = prompt if isinstance(prompt, str) or len(prompt) > 1 else prompt[0]["content"]
            line = {"prompt": prompt, "answers": c.texts, "scores": c.proxy.tolist(), "pick": c.pick}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    for row in rows:
        run.log(int(row["n"]), row)
    n = len(found[0].texts)
    run.finish(description=f"The best of {n} answers to {len(found)} prompts, by the reward model.")
    return found


def candidates(
    policy: Model,
    judge: Model,
    tasks: Sequence[T],
    rng: np.random.Generator,
    n: int,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
) -> list[Answered[T]]:
    """N answers to each task, scored."""
    prompts = [t.prompt for t in tasks for _ in range(n)]
    answers = policy.answer(prompts, rng, temperature, max_new_tokens)
    examples = [
        Example(prompt_tokens(policy.tokenizer, p), s.tokens) for p, (_, s) in zip(prompts, answers, strict=True)
    ]
    scores = judge.scores(examples, group=128)
    out = []
    for i, task in enumerate(tasks):
        mine = slice(i * n, (i + 1) * n)
        texts, sampled = zip(*answers[mine], strict=True)
        lengths = [len(s.tokens) for s in sampled]
        out.append(Answered(task, list(texts), [s.ended for s in sampled], lengths, scores[mine].astype(np.float64)))
    return out


def curve(found: Sequence[Candidates], gold: Utility) -> list[dict[str, Any]]:
    """Expected proxy and gold reward of best-of-n for n = 1, 2, 4, ..., N, with 95 % intervals over prompts."""
    golds = [np.array([gold(c.task, text) for text in c.texts]) for c in found]
    by_gold = np.array([best_of_n_estimate(c.proxy, g) for c, g in zip(found, golds, strict=True)])  # [prompts, N]
    rows = curve_of_proxy(found)
    for row in rows:
        by_prompt = by_gold[:, row["n"] - 1]
        mean, half = by_prompt.mean(), 1.96 * by_prompt.std() / np.sqrt(len(found))
        row |= {"gold": float(mean), "gold_ci95": [float(mean - half), float(mean + half)]}
    return rows


def curve_of_proxy(found: Sequence[Answered[T]]) -> list[dict[str, Any]]:
    """The part of the curve that needs no true utility."""
    by_proxy = np.array([best_of_n_estimate(c.proxy, c.proxy) for c in found])  # [prompts, N]
    N = by_proxy.shape[1]
    sizes = sorted({*(2**k for k in range(N.bit_length()) if 2**k <= N), N})
    return [{"n": n, "kl": best_of_n_kl_bound(n), "proxy": float(by_proxy[:, n - 1].mean())} for n in sizes]


def command(argv: Sequence[str]) -> int:
    best_of_n(parse(BestOfNConfig, argv, "minipost best-of-n", HELP))
    return 0
