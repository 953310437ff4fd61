"""Stage 3c, best-of-N: answer N times and keep what the reward model likes best. No training at all.

From N scored samples of a prompt the expected score of best-of-n follows for *every* n <= N without bias
(`losses.best_of_n_estimate`), so one set of samples draws the whole curve. The divergence from the base policy is
at most log n - (n - 1) / n nats (Beirami et al. 2024).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minipost import data
from minipost.config import parse
from minipost.losses import best_of_n_estimate, best_of_n_kl_bound
from minipost.model import SERVED_TEMPERATURE, Array, Model
from minipost.runs import Run, progress
from minipost.runs.intervals import mean_interval
from minipost.stages.base import StageConfig, dropped, in_its_precision, require_positive, run_folder
from minipost.stages.rollouts import policy_and_reward_model
from minipost.stages.world import WorldConfig, world_of
from minipost.text import Message, prompt_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility

HELP = """Answer N times, keep the best by the reward model.

Examples:
  minipost best-of-n --n 16
  minipost best-of-n --policy runs/mine --reward runs/judge --data prompts.jsonl --out runs/best"""


@dataclass(frozen=True, kw_only=True)
class BestOfNConfig(WorldConfig, StageConfig):
    out: Path = Path("runs/best_of_n")  # the run's folder
    policy: Path = Path("runs/sft")  # the run folder of the model that answers
    reward: Path = Path("runs/reward")  # the run folder of the reward model that chooses
    resume: bool = False  # a finished run is left as it is
    data: tuple[Path, ...] = ()  # files of your own with prompts; no true utility is known there, and none is logged
    n: int = 16  # samples a prompt
    prompts: int = 200  # held-out prompts
    temperature: float = SERVED_TEMPERATURE  # of sampling
    max_new_tokens: int = 64  # length limit of a response

    def __post_init__(self) -> None:
        require_positive(self, "n", "prompts", "max_new_tokens")


@dataclass(frozen=True)
class Candidates:
    """N answers to a prompt, with the reward model's scores [N]."""

    prompt: str | Sequence[Message]
    texts: list[str]
    ended: list[bool]
    lengths: list[int]
    proxy: Array

    @property
    def pick(self) -> int:
        """The index of the best; the first, if several are equally good."""
        return int(np.argmax(self.proxy))


@in_its_precision
def run(config: BestOfNConfig) -> list[Candidates]:
    """Sample, score and pick on held-out prompts; leaves `samples.jsonl` and the curve over n in the run folder."""
    policy, reward_model = policy_and_reward_model(config.policy, config.reward)
    longest, conversations = policy.config.context - config.max_new_tokens, None
    if config.data:
        conversations = data.prompts(config.data, policy.tokenizer, longest, dropped(config))
    folder = run_folder("best_of_n", config, policy=config.policy, reward=config.reward)
    if folder.finished:
        return []
    rng = np.random.default_rng([config.seed, 6])
    limits: dict[str, Any] = {"temperature": config.temperature, "max_new_tokens": config.max_new_tokens}
    if conversations is not None:
        some = [conversations[i] for i in np.sort(rng.permutation(len(conversations))[: config.prompts])]
        answered = candidates(policy, reward_model, some, rng, config.n, **limits)
        return finish(folder, answered, curve_of_proxy(answered))
    world = world_of(config, config.policy)
    tasks = world.tasks("test", config.prompts, rng)
    answered = candidates(policy, reward_model, [task.prompt for task in tasks], rng, config.n, **limits)
    return finish(folder, answered, curve(answered, tasks, Utility(world)))


def candidates(
    policy: Model,
    reward_model: Model,
    prompts: Sequence[str | Sequence[Message]],
    rng: np.random.Generator,
    n: int,
    *,
    temperature: float = SERVED_TEMPERATURE,
    max_new_tokens: int = 64,
    at_a_time: int = 16,
) -> list[Candidates]:
    """N scored answers to each prompt, sampled for `at_a_time` prompts together: that bounds the memory.

    Another `at_a_time` gives the same prompts other random numbers, hence other answers.
    """
    answered: list[Candidates] = []
    with progress(-(-len(prompts) // at_a_time), "best-of-n", "answers") as bar:
        for lo in range(0, len(prompts), at_a_time):
            few = [prompt for prompt in prompts[lo : lo + at_a_time] for _ in range(n)]
            answers = policy.answer(few, rng, temperature, max_new_tokens)
            ids = [prompt_tokens(policy.tokenizer, prompt) for prompt in few]
            examples = [Example(prompt, s.tokens) for prompt, (_, s) in zip(ids, answers, strict=True)]
            scores = reward_model.scores(examples, group=128).astype(np.float64)
            for first in range(0, len(few), n):
                texts, sampled = zip(*answers[first : first + n], strict=True)
                ended, lengths = [s.ended for s in sampled], [len(s.tokens) for s in sampled]
                answered.append(Candidates(few[first], list(texts), ended, lengths, scores[first : first + n]))
            bar.advance(len(few))
    return answered


def curve(answered: Sequence[Candidates], tasks: Sequence[Task], gold: Utility) -> list[dict[str, Any]]:
    """Expected proxy and gold reward of best-of-n for n = 1, 2, 4, ..., N, with 95 % intervals over prompts."""
    golds = [np.array([gold(task, text) for text in c.texts]) for task, c in zip(tasks, answered, strict=True)]
    by_gold = np.array([best_of_n_estimate(c.proxy, g) for c, g in zip(answered, golds, strict=True)])  # [prompts, N]
    rows = curve_of_proxy(answered)
    for row in rows:
        by_prompt = by_gold[:, row["n"] - 1]
        row |= {"gold": float(by_prompt.mean()), "gold_ci95": mean_interval(by_prompt, ddof=0)}
    return rows


def curve_of_proxy(answered: Sequence[Candidates]) -> list[dict[str, Any]]:
    """The part of the curve that needs no true utility."""
    by_proxy = np.array([best_of_n_estimate(c.proxy, c.proxy) for c in answered])  # [prompts, N]
    N = by_proxy.shape[1]
    sizes = sorted({*(2**k for k in range(N.bit_length()) if 2**k <= N), N})
    return [{"n": n, "kl": best_of_n_kl_bound(n), "proxy": float(by_proxy[:, n - 1].mean())} for n in sizes]


def finish(run: Run, answered: list[Candidates], rows: Sequence[dict[str, Any]]) -> list[Candidates]:
    """Leave samples, the curve over n, and the mark of a finished run."""
    with (run.path / "samples.jsonl").open("w", encoding="utf-8") as file:
        for c in answered:
            prompt: Any = c.prompt if isinstance(c.prompt, str) else [vars(message) for message in c.prompt]
            if isinstance(prompt, list) and len(prompt) == 1:
                prompt = prompt[0]["content"]
            line = {"prompt": prompt, "answers": c.texts, "scores": c.proxy.tolist(), "pick": c.pick}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    for row in rows:
        run.log(int(row["n"]), row)
    n = len(answered[0].texts)
    run.finish(description=f"The best of {n} answers to {len(answered)} prompts, by the reward model.")
    return answered


def command(argv: Sequence[str]) -> int:
    run(parse(BestOfNConfig, argv, "minipost best-of-n", HELP))
    return 0
