"""Stage 3b, PPO: sample answers, score them, and move the policy towards what scored well, near the reference.

One iteration (Schulman et al. 2017; Ziegler et al. 2019; Stiennon et al. 2020):

    1. rollout      sample a response to each prompt, recording log-probabilities under the transform that samples
    2. rewards      r_t = -beta (log pi_old - log ref)_t, plus the reward model's score on the last token
    3. advantages   GAE over the values; returns = advantages + values, taken before whitening
    4. updates      a few epochs of minibatches on the clipped policy and value losses

Departures from the papers, numbered:
  1. The value function is a network of its own, started from the reward model ("separate"), or a head on the policy's
     trunk ("shared"). Both are trained by one optimiser.
  2. A response that was cut off at the length limit keeps its truncation: no end token is forged, and
     `missing_end_penalty` is taken off its score.
  3. An epoch ends early when the approximate KL to the sampling policy exceeds `target_kl` (Spinning Up's habit).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import (
    AdaptiveKL,
    FixedKL,
    KLControl,
    aggregate,
    gae,
    penalize_missing_end,
    policy_loss,
    ratio_statistics,
    token_rewards,
    value_loss,
    whiten,
)
from minipost.model import AdamW, Array, Model, ModelConfig, heads, with_head
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
    token_table,
)
from minipost.text.batching import Example, Packed, pack, split_evenly

HELP = """Tune a policy with PPO against a reward model.

Examples:
  minipost ppo
  minipost ppo --policy runs/mine --reward runs/judge --data prompts.jsonl --beta 0.1 --out runs/ppo-mine"""


@dataclass(frozen=True)
class PPOConfig:
    policy: Path = Path("runs/sft")  # the run folder of the SFT model: the start and the reference
    reward: Path = Path("runs/reward")  # the run folder of the reward model
    out: Path = Path("runs/ppo")  # the run's folder
    seed: int = 0  # of prompts, samples and minibatches
    resume: bool = False  # go on with an interrupted run
    overwrite: bool = False  # replace an existing run
    tensorboard: bool = False  # write the metrics for TensorBoard, too
    data: tuple[Path, ...] = ()  # files of your own with prompts; no true utility is known there, and none is logged
    skip_bad: bool = False  # leave bad rows of those files out, and write down which and why
    world_seed: int | None = None  # which world; that of the policy's own run, if not given
    world_share: float | None = None  # how much of it there is: 0.25 is a village; the same
    iterations: int = 50  # rollouts, each followed by updates
    rollout: int = 64  # responses an iteration
    epochs: int = 4  # passes over a rollout
    minibatches: int = 2  # updates a pass
    learning_rate: float = 2e-4  # constant after a short warm-up
    max_new_tokens: int = 64  # length limit of a response
    temperature: float = 1.0  # of sampling, and of the log-probabilities in training
    beta: float = 0.25  # price of a nat of KL to the reference
    kl_control: Literal["fixed", "adaptive"] = "fixed"  # whether beta stays, or is steered towards kl_target
    kl_target: float = 6.0  # nats a response, for adaptive
    kl_horizon: float = 10_000.0  # responses over which an adaptive beta changes
    gamma: float = 1.0  # discount
    lam: float = 0.95  # of GAE: 1 is Monte Carlo, 0 the one-step error
    clip: float = 0.2  # of the policy's ratio
    value_clip: float = 0.5  # of the value's move
    value_network: Literal["separate", "shared"] = "separate"  # own network, or a head on the policy's trunk
    value_coefficient: float = 0.5  # weight of the value loss
    entropy_coefficient: float = 0.0  # weight of the entropy bonus
    target_kl: float = 0.2  # approximate KL to the sampling policy at which a rollout's updates end; 0 for never
    missing_end_penalty: float = 1.0  # taken off the score of a response that was cut off
    whiten_advantages: bool = True  # mean 0, variance 1 over the rollout's tokens
    row_length: int = 128  # tokens a packed row
    save_every: int = 10  # iterations between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "iterations", "rollout", "epochs", "minibatches", "max_new_tokens", "save_every")
        if self.rollout % self.minibatches:
            raise StageError(f"rollout {self.rollout} must be a multiple of minibatches {self.minibatches}.")
        if self.temperature <= 0:
            raise StageError(f"temperature {self.temperature} must be > 0: a greedy policy explores nothing.")
        adaptive = self.kl_control == "adaptive"
        if adaptive and (min(self.beta, self.kl_target) <= 0 or self.kl_horizon < self.rollout):
            raise StageError("adaptive KL control needs beta > 0, kl_target > 0 and kl_horizon >= rollout.")
        if self.whiten_advantages and self.rollout < 2:
            raise StageError("whitening needs a rollout of at least two responses; raise --rollout.")


@dataclass(frozen=True)
class Rollout(Answers):
    """What an iteration learns from: S answers, with three more tables [S, R] of numbers for each token."""

    old_values: Array
    advantages: Array
    returns: Array


@dataclass(frozen=True)
class Shard:
    """A thread's part of a minibatch."""

    packed: Packed
    old_logps: Array
    old_values: Array
    advantages: Array
    returns: Array
    share: float  # of the minibatch's tokens


def ppo(config: PPOConfig) -> Model:
    """Optimise the policy against the reward model; returns the model and leaves the run folder `config.out`."""
    policy, judge = policy_and_judge(config)
    source = asker(config, policy)
    run = Run.create(
        config.out,
        "ppo",
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

    weights = train(run, policy, judge, source.prompts, score, config, lambda i, w: source.metrics())
    model = Model(weights, policy.config, policy.tokenizer)
    run.finish(model, description="An assistant tuned by PPO.")
    return model


def train(
    run: Run,
    policy: Model,
    value_start: Model,
    prompts: Prompts,
    score: Score,
    config: PPOConfig,
    each_iteration: Callable[[int, Mapping[str, Array]], dict[str, float]] | None = None,
) -> dict[str, Array]:
    """The loop, for any prompts and any score. `each_iteration(i, policy_weights)` may add metrics of its own."""
    weights = networks(policy, value_start, config)
    actor = heads.subnetwork(weights, "policy.")  # views: they see every update
    optimizer = AdamW(weights)
    state: dict[str, Any] = {"beta": config.beta}
    for update in updates(run, config.iterations, optimizer, config.seed, "tok", state, config.save_every):
        control = kl_control(config, state["beta"])
        roll = rollout(weights, policy, prompts, score, control.beta, update.rng, config)
        lr = config.learning_rate * min(1.0, (update.step + 1) / 5)
        metrics = rollout_metrics(roll, control.beta)
        known_answer(update.step, "KL to the reference", metrics["objective/kl"], 0.0, 1e-2)
        metrics |= improve(
            weights,
            optimizer,
            len(roll.examples),
            partial(cut, roll, row_length=config.row_length),
            partial(losses, model=policy.config, config=config),
            update.step,
            update.rng,
            lr,
            config,
        )
        if each_iteration is not None:
            metrics |= each_iteration(update.step + 1, actor)
        control.update(metrics["objective/kl"], config.rollout)
        state["beta"] = control.beta
        update.log(metrics, sum(len(e) for e in roll.examples), "objective/scores", "objective/kl")
    return {name: w for name, w in actor.items() if name != "value"}


def networks(policy: Model, value_start: Model, config: PPOConfig) -> dict[str, Array]:
    """All trained weights: `policy.*` and, if separate, `value.*`; the value head starts at 0."""
    if config.value_network == "shared":
        return {f"policy.{n}": w for n, w in with_head(policy.weights, policy.config, "value").items()}
    actor = {f"policy.{n}": w.copy() for n, w in policy.weights.items()}
    critic = with_head(value_start.weights, value_start.config, "value")
    return actor | {f"value.{n}": w for n, w in critic.items()}


def kl_control(config: PPOConfig, beta: float) -> KLControl:
    return FixedKL(beta) if config.kl_control == "fixed" else AdaptiveKL(beta, config.kl_target, config.kl_horizon)


# ------------------------------------------------------------------------------------------------------ steps 1 to 3
def rollout(
    weights: Mapping[str, Array],
    reference: Model,
    prompts: Prompts,
    score: Score,
    beta: float,
    rng: np.random.Generator,
    config: PPOConfig,
) -> Rollout:
    """Sample, score, and turn scores into advantages."""
    answers = sample_answers(
        heads.subnetwork(weights, "policy."), reference, prompts(rng, config.rollout), score, rng, config
    )
    trunk = "policy." if config.value_network == "shared" else "value."
    critic = heads.subnetwork(weights, trunk)

    def expected(batch: Packed) -> Array:
        return np.asarray(heads.values(heads.response_states(critic, reference.config, batch), critic, batch))

    values = token_table(expected, answers.examples, config.row_length)
    paid = penalize_missing_end(answers.scores, answers.ended, config.missing_end_penalty, "subtract")
    rewards = token_rewards(paid, answers.old_logps, answers.ref_logps, answers.mask, beta)
    advantages, returns = gae(rewards, values, answers.mask, config.gamma, config.lam)
    if config.whiten_advantages:
        advantages = whiten(advantages, answers.mask)
    return Rollout(**vars(answers), old_values=values, advantages=advantages, returns=returns)


# ----------------------------------------------------------------------------------------------------------- step 4
def cut(roll: Rollout, chosen: Array, row_length: int) -> list[Shard]:
    """A minibatch as one shard a thread."""
    total, shards = roll.mask[chosen].sum(), []
    for part in split_evenly([len(roll.examples[i]) for i in chosen], threads()):
        rows = chosen[part.start : part.stop]
        packed = pack([roll.examples[i] for i in rows], row_length)
        R = packed.mask.shape[1]
        old_logps, old_values, advantages, returns = (
            table[rows, :R] for table in (roll.old_logps, roll.old_values, roll.advantages, roll.returns)
        )
        share = float(packed.mask.sum() / total)
        shards.append(Shard(packed, old_logps, old_values, advantages, returns, share))
    return shards


def losses(
    tensors: dict[str, Tensor], shard: Shard, model: ModelConfig, config: PPOConfig
) -> tuple[Tensor, dict[str, float]]:
    """The clipped policy loss, the clipped value loss and the entropy bonus, times the shard's share of the tokens."""
    batch, mask = shard.packed, shard.packed.mask
    actor = heads.subnetwork(tensors, "policy.")
    hidden = heads.response_states(actor, model, batch)
    logps, entropy = heads.logps_from(hidden, actor, batch, config.temperature)
    if config.value_network == "shared":
        values = heads.values(hidden, actor, batch)
    else:
        critic = heads.subnetwork(tensors, "value.")
        values = heads.values(heads.response_states(critic, model, batch), critic, batch)

    policy = policy_loss(logps, shard.old_logps, shard.advantages, mask, config.clip)
    value = value_loss(values, shard.old_values, shard.returns, mask, config.value_clip)
    mean_entropy = aggregate(entropy, mask)
    loss = policy + value * config.value_coefficient - mean_entropy * config.entropy_coefficient
    clipped = np.abs(values.data - shard.old_values)[mask] > config.value_clip
    metrics = {
        "loss/policy_avg": policy.item(),
        "loss/value_avg": value.item(),
        "policy/entropy_avg": mean_entropy.item(),
        "val/clipfrac_avg": float(clipped.mean()),
        **ratio_statistics(logps.data, shard.old_logps, mask, config.clip),
    }
    return loss * shard.share, {name: m * shard.share for name, m in metrics.items()}


def rollout_metrics(roll: Rollout, beta: float) -> dict[str, float]:
    """What the samples say, and how much of the returns' variance the values had foreseen."""
    values, returns = roll.old_values[roll.mask], roll.returns[roll.mask]
    spread = float(np.var(returns))
    foreseen = 1 - float(np.var(returns - values)) / spread if spread > 0 else math.nan
    return answer_metrics(roll, beta) | {"val/explained_variance": foreseen}


def command(argv: Sequence[str]) -> int:
    ppo(parse(PPOConfig, argv, "minipost ppo", HELP))
    return 0
