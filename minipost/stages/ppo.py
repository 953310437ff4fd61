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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from minipost.model import AdamW, Array, Model, ModelConfig, heads, value_and_grad, with_head
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
    token_table,
)
from minipost.text.batching import Packed, pack

HELP = """Tune a policy with PPO against a reward model.

Examples:
  minipost ppo
  minipost ppo --policy runs/mine --reward runs/judge --data prompts.jsonl --beta 0.1 --out runs/ppo-mine"""


@dataclass(frozen=True, kw_only=True)
class PPOConfig(RolloutConfig):
    out: Path = Path("runs/ppo")  # the run's folder
    rollout: int = 64  # responses an iteration (rollout_batch_size)
    kl_control: Literal["fixed", "adaptive"] = "fixed"  # whether beta stays, or is steered towards kl_target
    kl_target: float = 6.0  # nats a response, for adaptive
    kl_horizon: float = 10_000.0  # responses over which an adaptive beta changes
    gamma: float = 1.0  # discount
    lam: float = 0.95  # of GAE: 1 is Monte Carlo, 0 the one-step error
    value_clip: float = 0.5  # of the value's move
    value_network: Literal["separate", "shared"] = "separate"  # own network, or a head on the policy's trunk
    value_coefficient: float = 0.5  # weight of the value loss (vf_coef)
    entropy_coefficient: float = 0.0  # weight of the entropy bonus (ent_coef)
    whiten_advantages: bool = True  # mean 0, variance 1 over the rollout's tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "rollout")
        if self.rollout % self.minibatches:
            raise StageError(f"rollout {self.rollout} must be a multiple of minibatches {self.minibatches}.")
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
    fraction: float  # of the minibatch's tokens


@in_its_precision
def run(config: PPOConfig) -> Model:
    """Optimise the policy against the reward model; returns the model and leaves the run folder `config.out`."""
    policy, reward_model = policy_and_reward_model(config.policy, config.reward)
    prompts = prompts_of(config, policy)
    folder = run_folder("ppo", config, policy=config.policy, reward=config.reward)
    if folder.finished:
        return Model.load(config.out)
    score = partial(reward_scores, reward_model, row_length=config.row_length)
    model = replace(policy, weights=train(folder, policy, reward_model, prompts.draw, score, config))
    folder.finish(model, "An assistant tuned by PPO.")
    return model


def train(run: Run, policy: Model, value_start: Model, draw: Draw, score: Score, config: PPOConfig) -> dict[str, Array]:
    """The loop, for any prompts and any score; `policy` is also the reference, and `value_start` becomes the critic."""
    weights = networks(policy, value_start, config)
    optimizer = AdamW(weights)
    loss = partial(minibatch_loss, model=policy.config, config=config)
    state: dict[str, Any] = {"beta": config.beta}
    for update in updates(run, config.iterations, optimizer, config.seed, "tok", state, config.save_every):
        control, lr = kl_control(config, state["beta"]), config.rate(update.step)
        roll = rollout(weights, policy, draw, score, control.beta, update.rng, config)
        metrics = rollout_metrics(roll, control.beta)
        known_answer(update.step, "KL to the reference", metrics["objective/kl"], 0.0, 1e-2)
        epochs = UpdateEpochs(update, roll, config)
        for batch in epochs:  # indices of answers
            batch_metrics, grads = value_and_grad(loss, weights, shard_minibatch(roll, batch, config.row_length))
            epochs.log({**batch_metrics, "grad_norm": optimizer.step(grads, lr)})
        control.update(metrics["objective/kl"], config.rollout)
        state["beta"] = control.beta
        metrics |= {**epochs.means(), "lr": lr}
        update.log(metrics, sum(len(e) for e in roll.examples), "objective/scores", "objective/kl")
    return {name: w for name, w in heads.subnetwork(weights, "policy.").items() if name != "value"}


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
    draw: Draw,
    score: Score,
    beta: float,
    rng: np.random.Generator,
    config: PPOConfig,
) -> Rollout:
    """Sample, score, and turn scores into advantages."""
    actor = heads.subnetwork(weights, "policy.")
    critic = actor if config.value_network == "shared" else heads.subnetwork(weights, "value.")
    answers = sample_answers(actor, reference, draw(rng, config.rollout), score, rng, config)

    def expected_return(batch: Packed) -> Array:
        return np.asarray(heads.values(heads.response_states(critic, reference.config, batch), critic, batch))

    values = token_table(expected_return, answers.examples, config.row_length)
    scores = penalize_missing_end(answers.scores, answers.ended, config.missing_end_penalty, "subtract")
    rewards = token_rewards(scores, answers.old_logps, answers.ref_logps, answers.mask, beta)
    advantages, returns = gae(rewards, values, answers.mask, config.gamma, config.lam)
    if config.whiten_advantages:
        advantages = whiten(advantages, answers.mask)
    return Rollout(**vars(answers), old_values=values, advantages=advantages, returns=returns)


# ----------------------------------------------------------------------------------------------------------- step 4
def shard_minibatch(roll: Rollout, batch: Array, row_length: int) -> list[Shard]:
    """The answers with the indices `batch`, one shard a thread."""
    tokens, shards = roll.mask[batch].sum(), []
    for ids in by_thread(batch, [len(roll.examples[i]) for i in batch]):
        packed = pack([roll.examples[i] for i in ids], row_length)
        R = packed.mask.shape[1]
        old_logps, old_values, advantages, returns = (
            table[ids, :R] for table in (roll.old_logps, roll.old_values, roll.advantages, roll.returns)
        )
        fraction = float(packed.mask.sum() / tokens)
        shards.append(Shard(packed, old_logps, old_values, advantages, returns, fraction))
    return shards


def minibatch_loss(
    tensors: dict[str, Tensor], shard: Shard, model: ModelConfig, config: PPOConfig
) -> tuple[Tensor, dict[str, float]]:
    """Clipped policy loss, clipped value loss and entropy bonus, times the shard's fraction of the tokens."""
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
    return loss * shard.fraction, {name: m * shard.fraction for name, m in metrics.items()}


def rollout_metrics(roll: Rollout, beta: float) -> dict[str, float]:
    """What the samples say, and how much of the returns' variance the values had foreseen."""
    values, returns = roll.old_values[roll.mask], roll.returns[roll.mask]
    spread = float(np.var(returns))
    foreseen = 1 - float(np.var(returns - values)) / spread if spread > 0 else math.nan
    return answer_metrics(roll, beta) | {"val/explained_variance": foreseen}


def command(argv: Sequence[str]) -> int:
    run(parse(PPOConfig, argv, "minipost ppo", HELP))
    return 0
