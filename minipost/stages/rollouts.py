"""What PPO, RLOO and GRPO share: a policy answers prompts, a reward model scores the answers, updates use them a while.

    prompts     drawn from the simulated world, or from a user's own files
    answers     sampled, with their log-probabilities under the transform that samples, and the reference's beside them
    scores      the reward model's, one for each whole answer
    updates     epochs of minibatches over these answers; on the first one nothing has moved yet, which is checked

What an answer's tokens are taught is not shared: that is in the stages themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from minipost import data
from minipost.model import SERVED_TEMPERATURE, Array, Model, Sampling, heads, map_shards
from minipost.stages.base import (
    StageConfig,
    StageError,
    Update,
    by_thread,
    dropped,
    known_answer,
    require_positive,
    stacked,
)
from minipost.stages.world import WorldConfig, world_of
from minipost.text import Tokenizer, prompt_tokens
from minipost.text.batching import Example, Packed, pack
from minipost.world import Utility, World


@dataclass(frozen=True, kw_only=True)
class RolloutConfig(WorldConfig, StageConfig):
    """What PPO, RLOO and GRPO are asked alike; each adds its own."""

    policy: Path = Path("runs/sft")  # the run folder of the SFT model: the start and the reference
    reward: Path = Path("runs/reward")  # the run folder of the reward model
    data: tuple[Path, ...] = ()  # files of your own with prompts; no true utility is known there, and none is logged
    iterations: int = 50  # rollouts, each followed by updates
    epochs: int = 4  # passes over a rollout (num_ppo_epochs)
    minibatches: int = 2  # updates a pass (num_mini_batches)
    learning_rate: float = 2e-4  # constant after a short warm-up
    max_new_tokens: int = 64  # length limit of a response
    temperature: float = SERVED_TEMPERATURE  # of sampling, and of the log-probabilities in training
    beta: float = 0.25  # price of a nat of KL to the reference
    clip: float = 0.2  # of the policy's ratio
    target_kl: float = 0.2  # approximate KL to the sampling policy at which a rollout's updates end; 0 for never
    missing_end_penalty: float = 1.0  # taken off the score of a response that was cut off
    row_length: int = 128  # tokens a row, into which several sequences are packed (packed length)
    save_every: int = 10  # iterations between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "iterations", "epochs", "minibatches", "max_new_tokens", "save_every")
        if self.temperature <= 0:
            raise StageError(f"temperature {self.temperature} must be > 0: a greedy policy explores nothing.")

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration, from 0: linear up over the first five."""
        return self.learning_rate * min(1.0, (iteration + 1) / 5)


def policy_and_reward_model(policy_folder: Path, reward_folder: Path) -> tuple[Model, Model]:
    """Both models; `StageError` if they read text differently."""
    policy, reward_model = Model.load(policy_folder), Model.load(reward_folder, "score")
    if policy.tokenizer != reward_model.tokenizer:
        raise StageError(f"{policy_folder} and {reward_folder} have different tokenizers: train one from the other.")
    return policy, reward_model


# -------------------------------------------------------------------------------------------------------------- prompts
@dataclass(frozen=True)
class Prompts:
    """Token ids of prompts, and what the world's true utility says about answers to them, where one is known.

    `gold(texts)` is the mean utility of answers, equally many to each prompt, those to one prompt next to each other.
    It is logged and never learned from: it shows whether the policy gets better or only pleases its reward model.
    """

    ids: list[list[int]]
    gold: Callable[[Sequence[str]], float] | None = None


Draw: TypeAlias = Callable[[np.random.Generator, int], Prompts]  # (rng, how many)
Score: TypeAlias = Callable[[Sequence[Example]], Array]  # prompts with answers -> [S]


class WorldPrompts:
    """The world's training prompts."""

    def __init__(self, world: World, tokenizer: Tokenizer) -> None:
        self.world, self.utility, self.tokenizer = world, Utility(world), tokenizer

    def draw(self, rng: np.random.Generator, count: int) -> Prompts:
        tasks = self.world.tasks("train", count, rng)

        def gold(texts: Sequence[str]) -> float:
            each = len(texts) // len(tasks)
            return float(np.mean([self.utility(tasks[i // each], text) for i, text in enumerate(texts)]))

        return Prompts([prompt_tokens(self.tokenizer, task.prompt) for task in tasks], gold)


@dataclass(frozen=True)
class FilePrompts:
    """A user's prompts, none drawn twice within a rollout unless there are too few."""

    ids: list[list[int]]

    def draw(self, rng: np.random.Generator, count: int) -> Prompts:
        return Prompts([self.ids[i] for i in rng.choice(len(self.ids), count, replace=count > len(self.ids))])


def prompts_of(config: RolloutConfig, policy: Model) -> WorldPrompts | FilePrompts:
    """The user's files if there are any, else the world."""
    if not config.data:
        return WorldPrompts(world_of(config, config.policy), policy.tokenizer)
    longest = policy.config.context - config.max_new_tokens
    conversations = data.prompts(config.data, policy.tokenizer, longest, dropped(config))
    return FilePrompts([prompt_tokens(policy.tokenizer, turns) for turns in conversations])


# ------------------------------------------------------------------------------------------------- answers and scores
@dataclass(frozen=True)
class Answers:
    """S sampled answers; tables [S, R] hold a number for each token, 0 where the mask is False."""

    examples: list[Example]
    ended: Array  # [S] False: cut off at the length limit
    scores: Array  # [S] the reward model's
    gold: float | None  # mean utility, where a true one is known
    old_logps: Array
    ref_logps: Array
    mask: Array

    @property
    def log_ratios(self) -> Array:
        """`log pi_old - log ref` of whole answers, [S]: their mean estimates the KL to the reference (k1)."""
        return np.asarray(np.where(self.mask, self.old_logps - self.ref_logps, 0).sum(axis=1))


def sample_answers(
    weights: Mapping[str, Array],
    reference: Model,
    prompts: Prompts,
    score: Score,
    rng: np.random.Generator,
    config: RolloutConfig,
) -> Answers:
    """One answer of the policy `weights` to each prompt, scored."""
    policy = replace(reference, weights=dict(weights))
    sampling = Sampling(config.temperature)
    sampled = policy.generate(prompts.ids, rng, max_new_tokens=config.max_new_tokens, sampling=sampling)
    examples = [Example(ids, s.tokens) for ids, s in zip(prompts.ids, sampled, strict=True)]
    gold = None
    if prompts.gold is not None:
        gold = prompts.gold([policy.tokenizer.decode(s.tokens, skip_special=True) for s in sampled])
    reference_logps = partial(reference.token_logps, temperature=config.temperature)
    ref_logps = token_table(reference_logps, examples, config.row_length)
    mask = np.arange(ref_logps.shape[1]) < np.array([len(s.tokens) for s in sampled])[:, None]
    old_logps = np.zeros_like(ref_logps)
    old_logps[mask] = np.concatenate([s.logps for s in sampled])
    ended = np.array([s.ended for s in sampled])
    return Answers(examples, ended, np.asarray(score(examples)), gold, old_logps, ref_logps, mask)


def token_table(function: Callable[[Packed], Array], examples: Sequence[Example], row_length: int) -> Array:
    """`function(packed)`, a table for each thread's shard of the examples -> one table [S, R]."""
    return stacked(map_shards(function, packed_by_thread(examples, row_length)))


def reward_scores(reward_model: Model, examples: Sequence[Example], row_length: int) -> Array:
    """The reward model's scores, [S]."""
    m, packed = reward_model, packed_by_thread(examples, row_length)
    return np.concatenate(map_shards(lambda batch: heads.scores(m.weights, m.config, batch), packed))


def packed_by_thread(examples: Sequence[Example], row_length: int) -> list[Packed]:
    """The examples as one packed shard a thread, in their order."""
    shards = by_thread(np.arange(len(examples)), [len(e) for e in examples])
    return [pack([examples[i] for i in ids], row_length) for ids in shards]


def answer_metrics(answers: Answers, beta: float) -> dict[str, float]:
    """What the samples say, under the names that people know."""
    log_ratios = answers.log_ratios
    metrics = {
        "objective/kl": float(log_ratios.mean()),
        "objective/entropy": float(-np.where(answers.mask, answers.old_logps, 0).sum(axis=1).mean()),
        "objective/scores": float(answers.scores.mean()),
        "objective/non_score_reward": float(-beta * log_ratios.mean()),
        "objective/rlhf_reward": float((answers.scores - beta * log_ratios).mean()),
        "val/num_eos_tokens": float(answers.ended.sum()),
        "response/length": float(answers.mask.sum(axis=1).mean()),
        "beta": beta,
        "episode": float(len(answers.examples)),
    }
    return metrics if answers.gold is None else metrics | {"gold": answers.gold}


# -------------------------------------------------------------------------------------------------------------- updates
class UpdateEpochs:
    """Epochs of minibatches over a rollout's answers, which end early once the policy has moved far enough.

    `for batch in epochs` gives the indices of a minibatch's answers; `epochs.log(metrics)` must follow each update,
    with the metrics of `ratio_statistics` among them.
    """

    def __init__(self, iteration: Update, answers: Answers, config: RolloutConfig) -> None:
        self.iteration, self.count, self.config = iteration, len(answers.examples), config
        self.history: list[dict[str, float]] = []

    def __iter__(self) -> Iterator[Array]:
        for _ in range(self.config.epochs):
            yield from np.array_split(self.iteration.rng.permutation(self.count), self.config.minibatches)
            if self.config.target_kl and self.history[-1]["policy/approxkl_avg"] > self.config.target_kl:
                return

    def log(self, metrics: dict[str, float]) -> None:
        if not self.history:  # nothing has moved yet: law P43; sampling is in float32, and so differs from bfloat16
            looser = 1 if self.config.precision == "float32" else 20
            known_answer(self.iteration.step, "ratio", metrics["policy/ratio"], 1.0, looser * 1e-3)
            known_answer(self.iteration.step, "approximate KL", metrics["policy/approxkl_avg"], 0.0, looser * 1e-4)
            known_answer(self.iteration.step, "clip fraction", metrics["policy/clipfrac_avg"], 0.0, looser * 1e-6)
        self.history.append(metrics)

    def means(self) -> dict[str, float]:
        """The metrics' means over all updates; `val/ratio` is the first update's, which must be 1."""
        means = {name: float(np.mean([row[name] for row in self.history])) for name in self.history[0]}
        return means | {"val/ratio": self.history[0]["policy/ratio"], "updates": len(self.history)}
