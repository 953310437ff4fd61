"""Stage 3b without a value network, RLOO and GRPO: the other answers to a prompt say what was to be expected of it.

One iteration:

    1. answers      K to each of G prompts, recording log-probabilities under the transform that samples
    2. rewards      the reward model's score of each whole answer
    3. advantages   each answer against the others to its prompt; all of its tokens get the same
    4. updates      a few epochs of minibatches on PPO's clipped loss

Two recipes, which differ in three places:

                               "rloo" (Ahmadian 2024)             "grpo" (Shao 2024)
    advantage                  r - mean of the other K - 1        (r - mean) / std of the K
    KL to the reference        in the reward: r - beta log-ratio  in the loss: beta k3, token by token
    weight of a token          the same for every token           1 / length of its answer

Departures from the papers, numbered:
  1. Both may take several updates on a rollout, and then need PPO's clip; with one update the ratio is 1.
  2. RLOO's sum over tokens is divided by the length limit: a constant factor, which AdamW takes out again.
  3. A response that was cut off at the length limit stays cut; `missing_end_penalty` is taken off its score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import Reduction, aggregate, k3, penalize_missing_end, policy_loss, ratio_statistics
from minipost.losses import advantages as estimators
from minipost.model import AdamW, Array, Model, ModelConfig, heads
from minipost.model.parallel import threads
from minipost.runs import Run
from minipost.stages.base import StageError, known_answer, require_positive, updates
from minipost.stages.rollouts import (
    Answers,
    Prompts,
    Score,
    answer_metrics,
    asker,
    improve,
    policy_and_judge,
    reward_scores,
    sample_answers,
)
from minipost.text.batching import Example, Packed, pack, split_evenly

HELP = """Tune a policy with GRPO or RLOO against a reward model: several answers a prompt, no value network.

Examples:
  minipost grpo
  minipost grpo --method rloo --policy runs/mine --reward runs/judge --out runs/rloo-mine"""


@dataclass(frozen=True)
class GRPOConfig:
    policy: Path = Path("runs/sft")  # the run folder of the SFT model: the start and the reference
    reward: Path = Path("runs/reward")  # the run folder of the reward model
    out: Path = Path("runs/grpo")  # the run's folder
    seed: int = 0  # of prompts, samples and minibatches
    resume: bool = False  # go on with an interrupted run
    overwrite: bool = False  # replace an existing run
    tensorboard: bool = False  # write the metrics for TensorBoard, too
    data: tuple[Path, ...] = ()  # files of your own with prompts; no true utility is known there, and none is logged
    skip_bad: bool = False  # leave bad rows of those files out, and write down which and why
    world_seed: int | None = None  # which world; that of the policy's own run, if not given
    world_share: float | None = None  # how much of it there is: 0.25 is a village; the same
    method: Literal["grpo", "rloo"] = "grpo"  # whose advantages, and where the KL stands
    weighting: Literal["paper", "sequence", "token", "constant"] = (
        "paper"  # of tokens; the papers' are in the table above
    )
    iterations: int = 50  # rollouts, each followed by updates
    prompts: int = 16  # an iteration
    group: int = 4  # answers to each prompt
    epochs: int = 2  # passes over a rollout
    minibatches: int = 2  # updates a pass
    learning_rate: float = 2e-4  # constant after a short warm-up
    max_new_tokens: int = 64  # length limit of a response
    temperature: float = 1.0  # of sampling, and of the log-probabilities in training
    beta: float = 0.25  # price of a nat of KL to the reference
    clip: float = 0.2  # of the policy's ratio
    target_kl: float = 0.2  # approximate KL to the sampling policy at which a rollout's updates end; 0 for never
    missing_end_penalty: float = 1.0  # taken off the score of a response that was cut off
    row_length: int = 128  # tokens a packed row
    save_every: int = 10  # iterations between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "iterations", "prompts", "epochs", "minibatches", "max_new_tokens", "save_every")
        if self.group < 2:
            raise StageError(f"a group of {self.group} has no others to compare with; --group must be at least 2.")
        if self.prompts * self.group % self.minibatches:
            raise StageError(f"prompts x group must be a multiple of minibatches {self.minibatches}.")
        if self.temperature <= 0:
            raise StageError(f"temperature {self.temperature} must be > 0: a greedy policy explores nothing.")

    @property
    def reduction(self) -> Reduction:
        """How token losses become one number."""
        if self.weighting != "paper":
            return self.weighting
        return "sequence" if self.method == "grpo" else "constant"


@dataclass(frozen=True)
class Rollout(Answers):
    """What an iteration learns from: S = prompts x group answers, those to one prompt next to each other."""

    rewards: Array  # [S]
    advantages: Array  # [S]


@dataclass(frozen=True)
class Shard:
    """A thread's part of a minibatch."""

    packed: Packed
    old_logps: Array
    ref_logps: Array
    advantages: Array  # [S]
    share: float  # of the minibatch


def grpo(config: GRPOConfig) -> Model:
    """Optimise the policy against the reward model; returns the model and leaves the run folder `config.out`."""
    policy, judge = policy_and_judge(config)
    source = asker(config, policy)
    run = Run.create(
        config.out,
        "grpo",
        config,
        config.seed,
        {"policy": config.policy, "reward": config.reward},
        resume=config.resume,
        overwrite=config.overwrite,
    )
    if run.finished:
        return Model.load(config.out)

    def score(examples: Sequence[Example], ended: Sequence[bool]) -> Array:
        source.judge(examples)
        return reward_scores(judge, examples, config.row_length)

    weights = train(run, policy, source.prompts, score, config, source.metrics)
    name = config.method.upper()
    model = Model(weights, policy.config, policy.tokenizer)
    run.finish(model, description=f"An assistant tuned by {name}.")
    return model


def train(
    run: Run,
    policy: Model,
    prompts: Prompts,
    score: Score,
    config: GRPOConfig,
    each_iteration: Callable[[], dict[str, float]] = dict,
) -> dict[str, Array]:
    """The loop, for any prompts and any score. `each_iteration()` may add metrics of its own."""
    weights = {name: w.copy() for name, w in policy.weights.items()}
    optimizer = AdamW(weights)
    for update in updates(run, config.iterations, optimizer, config.seed, "tok", save_every=config.save_every):
        roll = rollout(weights, policy, prompts, score, update.rng, config)
        lr = config.learning_rate * min(1.0, (update.step + 1) / 5)
        metrics = rollout_metrics(roll, config)
        known_answer(update.step, "KL to the reference", metrics["objective/kl"], 0.0, 1e-2)
        metrics |= improve(
            weights,
            optimizer,
            len(roll.examples),
            partial(cut, roll, config=config),
            partial(losses, model=policy.config, config=config),
            update.step,
            update.rng,
            lr,
            config,
        )
        update.log(metrics | each_iteration(), sum(len(e) for e in roll.examples), "objective/scores", "objective/kl")
    return weights


# ------------------------------------------------------------------------------------------------------ steps 1 to 3
def rollout(
    weights: Mapping[str, Array],
    reference: Model,
    prompts: Prompts,
    score: Score,
    rng: np.random.Generator,
    config: GRPOConfig,
) -> Rollout:
    """Sample groups, score, and compare each answer with its group."""
    asked = [prompt for prompt in prompts(rng, config.prompts) for _ in range(config.group)]  # [S]
    answers = sample_answers(weights, reference, asked, score, rng, config)
    rewards = penalize_missing_end(answers.scores, answers.ended, config.missing_end_penalty, "subtract")
    if config.method == "rloo":
        rewards = rewards - config.beta * answers.log_ratios
    compare = estimators.rloo if config.method == "rloo" else estimators.grpo
    advantages = compare(rewards.reshape(config.prompts, config.group)).reshape(-1)  # [G, K] -> [S]
    return Rollout(**vars(answers), rewards=rewards, advantages=advantages)


def rollout_metrics(roll: Rollout, config: GRPOConfig) -> dict[str, float]:
    """What the samples say; how much the answers to one prompt differ, without which there is nothing to learn."""
    spread = roll.rewards.reshape(config.prompts, config.group).std(axis=1)  # [G]
    return answer_metrics(roll, config.beta) | {
        "reward_std": float(spread.mean()),
        "frac_reward_zero_std": float((spread == 0).mean()),
    }


# ----------------------------------------------------------------------------------------------------------- step 4
def cut(roll: Rollout, chosen: Array, config: GRPOConfig) -> list[Shard]:
    """A minibatch as one shard a thread."""
    tokens, shards = roll.mask[chosen].sum(), []
    for part in split_evenly([len(roll.examples[i]) for i in chosen], threads()):
        rows = chosen[part.start : part.stop]
        packed = pack([roll.examples[i] for i in rows], config.row_length)
        R = packed.mask.shape[1]
        share = float(packed.mask.sum() / tokens) if config.reduction == "token" else len(rows) / len(chosen)
        shards.append(Shard(packed, roll.old_logps[rows, :R], roll.ref_logps[rows, :R], roll.advantages[rows], share))
    return shards


def losses(
    tensors: dict[str, Tensor], shard: Shard, model: ModelConfig, config: GRPOConfig
) -> tuple[Tensor, dict[str, float]]:
    """The clipped policy loss and, for GRPO, the KL to the reference, times the shard's share of the minibatch."""
    mask, weighting = shard.packed.mask, (config.reduction, config.max_new_tokens)
    logps, entropy = heads.response_logps(tensors, model, shard.packed, config.temperature)
    advantages = np.repeat(shard.advantages[:, None], mask.shape[1], axis=1)  # [S] -> [S, R]
    loss = policy_loss(logps, shard.old_logps, advantages, mask, config.clip, *weighting)
    kl = aggregate(k3(logps, shard.ref_logps), mask, *weighting)
    metrics = {
        "loss/policy_avg": loss.item(),
        "loss/kl_avg": kl.item(),
        "policy/entropy_avg": aggregate(entropy, mask).item(),
        **ratio_statistics(logps.data, shard.old_logps, mask, config.clip),
    }
    if config.method == "grpo":
        loss = loss + kl * config.beta
    return loss * shard.share, {name: m * shard.share for name, m in metrics.items()}


def command(argv: Sequence[str]) -> int:
    grpo(parse(GRPOConfig, argv, "minipost grpo", HELP))
    return 0
