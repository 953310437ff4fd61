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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import Reduction, aggregate, grpo, k3, penalize_missing_end, policy_loss, ratio_statistics, rloo
from minipost.model import AdamW, Array, Model, ModelConfig, heads, value_and_grad
from minipost.runs import Run
from minipost.stages.base import (
    StageError,
    by_thread,
    in_its_precision,
    known_answer,
    require_positive,
    run_folder,
    updates,
)
from minipost.stages.rollouts import (
    Answers,
    Draw,
    RolloutConfig,
    Score,
    UpdateEpochs,
    answer_metrics,
    policy_and_reward_model,
    prompts_of,
    reward_scores,
    sample_answers,
)
from minipost.text.batching import Packed, pack

Weighting = Literal["paper", "sequence", "token", "constant"]

HELP = """Tune a policy with GRPO or RLOO against a reward model: several answers a prompt, no value network.

Examples:
  minipost grpo
  minipost grpo --method rloo --policy runs/mine --reward runs/judge --out runs/rloo-mine"""


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(RolloutConfig):
    out: Path = Path("runs/grpo")  # the run's folder
    method: Literal["grpo", "rloo"] = "grpo"  # whose advantages, and where the KL stands
    weighting: Weighting = "paper"  # of tokens in the loss: "paper" is sequence for GRPO, constant for RLOO
    prompts: int = 16  # prompts an iteration
    group: int = 4  # answers to each prompt (num_generations)
    epochs: int = 2  # passes over a rollout (num_ppo_epochs)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "prompts")
        if self.group < 2:
            raise StageError(f"a group of {self.group} has no others to compare with; --group must be at least 2.")
        if self.prompts * self.group % self.minibatches:
            raise StageError(f"prompts x group must be a multiple of minibatches {self.minibatches}.")

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
    fraction: float  # of the minibatch, as the loss weighs it
    fraction_of_tokens: float  # of the minibatch's


@in_its_precision
def run(config: GRPOConfig) -> Model:
    """Optimise the policy against the reward model; returns the model and leaves the run folder `config.out`."""
    policy, reward_model = policy_and_reward_model(config.policy, config.reward)
    prompts = prompts_of(config, policy)
    folder = run_folder("grpo", config, policy=config.policy, reward=config.reward)
    if folder.finished:
        return Model.load(config.out)
    score = partial(reward_scores, reward_model, row_length=config.row_length)
    model = replace(policy, weights=train(folder, policy, prompts.draw, score, config))
    folder.finish(model, f"An assistant tuned by {config.method.upper()}.")
    return model


def train(run: Run, policy: Model, draw: Draw, score: Score, config: GRPOConfig) -> dict[str, Array]:
    """The loop, for any prompts and any score; `policy` is also the reference and is not changed."""
    weights = {name: w.copy() for name, w in policy.weights.items()}
    optimizer = AdamW(weights)
    loss = partial(minibatch_loss, model=policy.config, config=config)
    for update in updates(run, config.iterations, optimizer, config.seed, "tok", save_every=config.save_every):
        roll, lr = rollout(weights, policy, draw, score, update.rng, config), config.rate(update.step)
        metrics = rollout_metrics(roll, config)
        known_answer(update.step, "KL to the reference", metrics["objective/kl"], 0.0, 1e-2)
        epochs = UpdateEpochs(update, roll, config)
        for batch in epochs:  # indices of answers
            batch_metrics, grads = value_and_grad(loss, weights, shard_minibatch(roll, batch, config))
            epochs.log({**batch_metrics, "grad_norm": optimizer.step(grads, lr)})
        metrics |= {**epochs.means(), "lr": lr}
        update.log(metrics, sum(len(e) for e in roll.examples), "objective/scores", "objective/kl")
    return weights


# ------------------------------------------------------------------------------------------------------ steps 1 to 3
def rollout(
    weights: Mapping[str, Array],
    reference: Model,
    draw: Draw,
    score: Score,
    rng: np.random.Generator,
    config: GRPOConfig,
) -> Rollout:
    """Sample groups, score, and compare each answer with its group."""
    prompts = draw(rng, config.prompts)
    prompts = replace(prompts, ids=[ids for ids in prompts.ids for _ in range(config.group)])  # [S]
    answers = sample_answers(weights, reference, prompts, score, rng, config)
    rewards = penalize_missing_end(answers.scores, answers.ended, config.missing_end_penalty, "subtract")
    if config.method == "rloo":
        rewards = rewards - config.beta * answers.log_ratios
    compare = rloo if config.method == "rloo" else grpo
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
def shard_minibatch(roll: Rollout, batch: Array, config: GRPOConfig) -> list[Shard]:
    """The answers with the indices `batch`, one shard a thread."""
    tokens, shards = roll.mask[batch].sum(), []
    for ids in by_thread(batch, [len(roll.examples[i]) for i in batch]):
        packed = pack([roll.examples[i] for i in ids], config.row_length)
        R = packed.mask.shape[1]
        of_tokens = float(packed.mask.sum() / tokens)
        fraction = of_tokens if config.reduction == "token" else len(ids) / len(batch)
        tables = roll.old_logps[ids, :R], roll.ref_logps[ids, :R]
        shards.append(Shard(packed, *tables, roll.advantages[ids], fraction, of_tokens))
    return shards


def minibatch_loss(
    tensors: dict[str, Tensor], shard: Shard, model: ModelConfig, config: GRPOConfig
) -> tuple[Tensor, dict[str, float]]:
    """The shard's share of the clipped policy loss and, for GRPO, of the KL to the reference."""
    mask, weighting = shard.packed.mask, (config.reduction, config.max_new_tokens)
    logps, entropy = heads.response_logps(tensors, model, shard.packed, config.temperature)
    advantages = np.repeat(shard.advantages[:, None], mask.shape[1], axis=1)  # [S] -> [S, R]
    loss = policy_loss(logps, shard.old_logps, advantages, mask, config.clip, *weighting) * shard.fraction
    kl = aggregate(k3(logps, shard.ref_logps), mask, *weighting) * shard.fraction
    metrics = {"loss/policy_avg": loss.item(), "loss/kl_avg": kl.item()}
    means = {  # over tokens, however the loss weighs them
        "policy/entropy_avg": aggregate(entropy, mask).item(),
        **ratio_statistics(logps.data, shard.old_logps, mask, config.clip),
    }
    metrics |= {name: mean * shard.fraction_of_tokens for name, mean in means.items()}
    return loss + kl * config.beta if config.method == "grpo" else loss, metrics


def command(argv: Sequence[str]) -> int:
    run(parse(GRPOConfig, argv, "minipost grpo", HELP))
    return 0
