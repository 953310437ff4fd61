"""What PPO, RLOO and GRPO share: a policy answers prompts, a reward model scores the answers, updates use them a while.

    prompts     drawn from the simulated world, or from a user's own files
    answers     sampled, with their log-probabilities under the transform that samples, and the reference's beside them
    scores      the reward model's, one for each whole answer
    updates     epochs of minibatches over these answers; on the first one nothing has moved yet, which is checked

What they do not share is what an answer's tokens are taught: that is in the stages themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from minipost import data
from minipost.autograd import Tensor
from minipost.data import Turns
from minipost.model import AdamW, Array, Model, Sampled, Sampling, generate, heads, value_and_grad
from minipost.model.parallel import map_shards, threads
from minipost.stages.base import Playing, StageError, dropped, known_answer, world_of
from minipost.text import prompt_tokens
from minipost.text.batching import Example, Packed, pack, split_evenly
from minipost.world import Task, Utility, World

Score: TypeAlias = Callable[[Sequence[Example], Sequence[bool]], Array]  # (prompts with answers, ended) -> scores[S]
Prompts: TypeAlias = Callable[[np.random.Generator, int], list[list[int]]]  # (rng, how many) -> token ids
Shard = TypeVar("Shard")


class RolloutConfig(Playing, Protocol):
    """The knobs that these stages have in common; each stage's own configuration says what they mean."""

    @property
    def policy(self) -> Path: ...
    @property
    def reward(self) -> Path: ...
    @property
    def data(self) -> tuple[Path, ...]: ...
    @property
    def out(self) -> Path: ...
    @property
    def skip_bad(self) -> bool: ...
    @property
    def max_new_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def row_length(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def minibatches(self) -> int: ...
    @property
    def target_kl(self) -> float: ...


def policy_and_judge(config: RolloutConfig) -> tuple[Model, Model]:
    """The models that a run starts from; `StageError` if they read text differently."""
    policy, judge = Model.load(config.policy), Model.load(config.reward, "score")
    if policy.tokenizer != judge.tokenizer:
        raise StageError(f"{config.policy} and {config.reward} have different tokenizers: train one from the other.")
    return policy, judge


# -------------------------------------------------------------------------------------------------------------- prompts
class Asker:
    """Draws training prompts from the world, and watches what the world's true utility thinks of the answers.

    The gold reward is logged, never learned from: it shows whether the policy gets better or only pleases its judge.
    """

    def __init__(self, world: World, policy: Model) -> None:
        self.world, self.utility, self.tokenizer = world, Utility(world), policy.tokenizer
        self.tasks: list[Task] = []
        self.gold = math.nan

    def prompts(self, rng: np.random.Generator, count: int) -> list[list[int]]:
        self.tasks = self.world.tasks("train", count, rng)
        return [prompt_tokens(self.tokenizer, t.prompt) for t in self.tasks]

    def judge(self, examples: Sequence[Example]) -> None:
        """Answers to the prompts just drawn, equally many to each, those to one prompt next to each other."""
        each = len(examples) // len(self.tasks)
        texts = [self.tokenizer.decode(e.response, skip_special=True) for e in examples]
        self.gold = float(np.mean([self.utility(self.tasks[i // each], text) for i, text in enumerate(texts)]))

    def metrics(self) -> dict[str, float]:
        return {"gold": self.gold}


class Given:
    """Draws from a user's prompts, none twice within a rollout unless there are too few. Nothing gold is known."""

    def __init__(self, prompts: Sequence[Turns], policy: Model) -> None:
        self.ids = [prompt_tokens(policy.tokenizer, turns) for turns in prompts]

    def prompts(self, rng: np.random.Generator, count: int) -> list[list[int]]:
        return [self.ids[i] for i in rng.choice(len(self.ids), count, replace=count > len(self.ids))]

    def judge(self, examples: Sequence[Example]) -> None:
        """No true utility is known."""

    def metrics(self) -> dict[str, float]:
        return {}


def asker(config: RolloutConfig, policy: Model) -> Asker | Given:
    """Where prompts come from: the user's files if there are any, else the world."""
    if config.data:
        room = policy.config.context - config.max_new_tokens
        return Given(data.prompts(config.data, policy.tokenizer, room, dropped(config)), policy)
    return Asker(world_of(config, config.policy), policy)


# ------------------------------------------------------------------------------------------------- answers and scores
@dataclass(frozen=True)
class Answers:
    """S sampled answers; tables [S, R] hold a number for each token, 0 where the mask is False."""

    examples: list[Example]
    ended: Array  # [S] False: cut off at the length limit
    scores: Array  # [S] as the reward gave them
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
    asked: list[list[int]],
    score: Score,
    rng: np.random.Generator,
    config: RolloutConfig,
) -> Answers:
    """One answer of the policy `weights` to each prompt in `asked`, scored."""
    sampled: list[Sampled] = generate(
        weights,
        reference.config,
        asked,
        rng,
        end_id=reference.tokenizer.end_id,
        max_new_tokens=config.max_new_tokens,
        sampling=Sampling(config.temperature),
    )
    examples = [Example(p, s.tokens) for p, s in zip(asked, sampled, strict=True)]
    ended = np.array([s.ended for s in sampled])
    scores = np.asarray(score(examples, ended.tolist()))

    def reference_logps(batch: Packed) -> Array:
        logps, _ = heads.response_logps(reference.weights, reference.config, batch, config.temperature)
        return np.asarray(logps)

    ref_logps = token_table(reference_logps, examples, config.row_length)
    mask = np.arange(ref_logps.shape[1]) < np.array([len(s.tokens) for s in sampled])[:, None]
    old_logps = np.zeros_like(ref_logps)
    old_logps[mask] = np.concatenate([s.logps for s in sampled])
    return Answers(examples, ended, scores, old_logps, ref_logps, mask)


def token_table(function: Callable[[Packed], Array], examples: Sequence[Example], row_length: int) -> Array:
    """`function(packed)`, a table for each thread's part of the examples -> one table [S, R]."""
    tables = map_shards(function, packed_by_thread(examples, row_length))
    R = max(t.shape[1] for t in tables)
    return np.concatenate([np.pad(t, ((0, 0), (0, R - t.shape[1]))) for t in tables])


def reward_scores(judge: Model, examples: Sequence[Example], row_length: int) -> Array:
    """The reward model's scores, [S]."""
    packed = packed_by_thread(examples, row_length)
    return np.concatenate(map_shards(lambda b: heads.scores(judge.weights, judge.config, b), packed))


def packed_by_thread(examples: Sequence[Example], row_length: int) -> list[Packed]:
    parts = split_evenly([len(e) for e in examples], threads())
    return [pack([examples[i] for i in part], row_length) for part in parts]


def answer_metrics(answers: Answers, beta: float) -> dict[str, float]:
    """What the samples say, under the names that people know."""
    log_ratios = answers.log_ratios
    return {
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


# -------------------------------------------------------------------------------------------------------------- updates
def improve(
    weights: dict[str, Array],
    optimizer: AdamW,
    count: int,
    cut: Callable[[Array], list[Shard]],
    losses: Callable[[dict[str, Tensor], Shard], tuple[Tensor, dict[str, float]]],
    iteration: int,
    rng: np.random.Generator,
    lr: float,
    config: RolloutConfig,
) -> dict[str, float]:
    """Epochs of minibatches over `count` answers; returns the means of their metrics.

    `cut(rows)` makes one shard a thread of a minibatch's answers, `losses(tensors, shard)` its share of loss and
    metrics, which include those of `ratio_statistics`.
    """
    history: list[dict[str, float]] = []
    for _ in range(config.epochs):
        for rows in np.array_split(rng.permutation(count), config.minibatches):
            metrics, grads = value_and_grad(losses, weights, cut(rows))
            if not history:  # nothing has moved yet: law P43
                known_answer(iteration, "ratio", metrics["policy/ratio"], 1.0, 1e-3)
                known_answer(iteration, "approximate KL", metrics["policy/approxkl_avg"], 0.0, 1e-4)
                known_answer(iteration, "clip fraction", metrics["policy/clipfrac_avg"], 0.0, 1e-6)
            metrics["grad_norm"] = optimizer.step(grads, lr)
            history.append(metrics)
        if config.target_kl and history[-1]["policy/approxkl_avg"] > config.target_kl:
            break
    means = {name: float(np.mean([m[name] for m in history])) for name in history[0]}
    return means | {"val/ratio": history[0]["policy/ratio"], "updates": len(history), "lr": lr}
