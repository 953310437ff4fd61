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
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minipost import data
from minipost.autograd import Tensor
from minipost.config import parse
from minipost.data import Turns
from minipost.estimators import AdaptiveKL, FixedKL, KLControl, gae, penalize_missing_end, token_rewards, whiten
from minipost.losses import aggregate, policy_loss, ratio_statistics, value_loss
from minipost.model import AdamW, Array, ModelConfig, Sampled, Sampling, generate, readout, value_and_grad, with_head
from minipost.model.parallel import map_shards, threads
from minipost.runs import Run
from minipost.stages.training import Model, StageError, dropped, known_answer, require_positive, updates
from minipost.text import prompt_tokens
from minipost.text.batching import Example, Packed, pack, split_evenly
from minipost.world import Task, Utility, World

Score = Callable[[Sequence[Example], Sequence[bool]], Array]  # (prompts with responses, ended) -> scores[S]
Prompts = Callable[[np.random.Generator, int], list[list[int]]]  # (rng, how many) -> token ids

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
    world_seed: int = 0  # which world the prompts come from
    world_share: float = 1.0  # how much of it there is: 0.25 is a village, where everything trains in a minute
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
class Rollout:
    """What an iteration learns from: S responses, tables [S, R] of numbers for each token, and its packed examples."""

    examples: list[Example]
    ended: Array  # [S]
    scores: Array  # [S] as the reward gave them
    old_logps: Array
    ref_logps: Array
    old_values: Array
    advantages: Array
    returns: Array
    mask: Array


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
    policy, judge = Model.load(config.policy), Model.load(config.reward, "score")
    if policy.tokenizer != judge.tokenizer:
        raise StageError(f"{config.policy} and {config.reward} have different tokenizers: train one from the other.")
    room = policy.config.context - config.max_new_tokens
    mine = data.prompts(config.data, policy.tokenizer, room, dropped(config)) if config.data else None
    run = Run.create(
        config.out, "ppo", config, config.seed, {"policy": config.policy, "reward": config.reward},
        resume=config.resume, overwrite=config.overwrite,
    )  # fmt: skip
    if run.finished:
        return Model.load(config.out)
    asker = Given(mine, policy) if mine else Asker(World(config.world_seed, config.world_share), policy)

    def score(examples: Sequence[Example], ended: Sequence[bool]) -> Array:
        asker.judge(examples)
        return reward_scores(judge, examples, config.row_length)

    weights = train(run, policy, judge, asker.prompts, score, config, lambda i, w: asker.metrics())
    run.finish(weights, policy.config.to_dict(), policy.tokenizer, description="An assistant tuned by PPO.")
    return Model(weights, policy.config, policy.tokenizer)


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
        texts = [self.tokenizer.decode(e.response, skip_special=True) for e in examples]
        self.gold = float(np.mean([self.utility(t, text) for t, text in zip(self.tasks, texts, strict=True)]))

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


def train(
    run: Run, policy: Model, value_start: Model, prompts: Prompts, score: Score, config: PPOConfig,
    each_iteration: Callable[[int, Mapping[str, Array]], dict[str, float]] | None = None,
) -> dict[str, Array]:  # fmt: skip
    """The loop, for any prompts and any score. `each_iteration(i, policy_weights)` may add metrics of its own."""
    weights = networks(policy, value_start, config)
    actor = readout.part(weights, "policy.")  # views: they see every update
    optimizer = AdamW(weights)
    state: dict[str, Any] = {"beta": config.beta}
    for update in updates(run, config.iterations, optimizer, config.seed, "tok", state, config.save_every):
        control = kl_control(config, state["beta"])
        roll = rollout(weights, policy, prompts, score, control.beta, update.rng, config)
        lr = config.learning_rate * min(1.0, (update.step + 1) / 5)
        metrics = rollout_metrics(roll, control.beta)
        known_answer(update.step, "KL to the reference", metrics["objective/kl"], 0.0, 1e-2)
        metrics |= improve(weights, optimizer, roll, update.step, update.rng, lr, policy.config, config)
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
    weights: Mapping[str, Array], reference: Model, prompts: Prompts, score: Score, beta: float,
    rng: np.random.Generator, config: PPOConfig,
) -> Rollout:  # fmt: skip
    """Sample, score, and turn scores into advantages."""
    asked = prompts(rng, config.rollout)
    end_id = reference.tokenizer.end_id
    sampled: list[Sampled] = generate(
        readout.part(weights, "policy."), reference.config, asked, rng,
        end_id=end_id, max_new_tokens=config.max_new_tokens, sampling=Sampling(config.temperature),
    )  # fmt: skip
    examples = [Example(p, s.tokens) for p, s in zip(asked, sampled, strict=True)]
    ended = np.array([s.ended for s in sampled])
    scores = np.asarray(score(examples, ended.tolist()))

    parts = split_evenly([len(e) for e in examples], threads())
    packed = [pack([examples[i] for i in part], config.row_length) for part in parts]
    tables = map_shards(lambda b: tables_of(weights, reference, b, config), packed)
    R = max(t[0].shape[1] for t in tables)
    ref_logps, values = (
        np.concatenate([np.pad(t[k], ((0, 0), (0, R - t[k].shape[1]))) for t in tables]) for k in range(2)
    )
    lengths = np.array([len(s.tokens) for s in sampled])
    mask = np.arange(R) < lengths[:, None]
    old_logps = np.zeros((len(sampled), R), ref_logps.dtype)
    old_logps[mask] = np.concatenate([s.logps for s in sampled])

    paid = penalize_missing_end(scores, ended, config.missing_end_penalty, "subtract")
    rewards = token_rewards(paid, old_logps, ref_logps, mask, beta)
    advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
    if config.whiten_advantages:
        advantages = whiten(advantages, mask)
    return Rollout(examples, ended, scores, old_logps, ref_logps, values, advantages, returns, mask)


def tables_of(weights: Mapping[str, Array], reference: Model, batch: Packed, config: PPOConfig) -> tuple[Array, Array]:
    """(reference log-probabilities, values) of a packed batch, each [S, R]."""
    ref_logps, _ = readout.response_logps(reference.weights, reference.config, batch, config.temperature)
    trunk = "policy." if config.value_network == "shared" else "value."
    critic = readout.part(weights, trunk)
    return ref_logps, readout.values(readout.response_states(critic, reference.config, batch), critic, batch)


def reward_scores(judge: Model, examples: Sequence[Example], row_length: int) -> Array:
    """The reward model's scores, [S]."""
    parts = split_evenly([len(e) for e in examples], threads())
    packed = [pack([examples[i] for i in part], row_length) for part in parts]
    return np.concatenate(map_shards(lambda b: readout.scores(judge.weights, judge.config, b), packed))


# ----------------------------------------------------------------------------------------------------------- step 4
def improve(
    weights: dict[str, Array], optimizer: AdamW, roll: Rollout, iteration: int, rng: np.random.Generator, lr: float,
    model: ModelConfig, config: PPOConfig,
) -> dict[str, float]:  # fmt: skip
    """Epochs of minibatches over one rollout; returns the means of their metrics."""
    history: list[dict[str, float]] = []
    for _ in range(config.epochs):
        for chosen in np.array_split(rng.permutation(len(roll.examples)), config.minibatches):
            shards = cut(roll, chosen, config.row_length)
            metrics, grads = value_and_grad(lambda t, s: losses(t, s, model, config), weights, shards)
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
    actor = readout.part(tensors, "policy.")
    hidden = readout.response_states(actor, model, batch)
    logps, entropy = readout.logps_from(hidden, actor, batch, config.temperature)
    if config.value_network == "shared":
        values = readout.values(hidden, actor, batch)
    else:
        critic = readout.part(tensors, "value.")
        values = readout.values(readout.response_states(critic, model, batch), critic, batch)

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
    """What the samples say, under the names that people know."""
    log_ratio = np.where(roll.mask, roll.old_logps - roll.ref_logps, 0).sum(axis=1)  # [S]
    lengths = roll.mask.sum(axis=1)
    values, returns = roll.old_values[roll.mask], roll.returns[roll.mask]
    spread = float(np.var(returns))
    return {
        "objective/kl": float(log_ratio.mean()),
        "objective/entropy": float(-np.where(roll.mask, roll.old_logps, 0).sum(axis=1).mean()),
        "objective/scores": float(roll.scores.mean()),
        "objective/non_score_reward": float(-beta * log_ratio.mean()),
        "objective/rlhf_reward": float((roll.scores - beta * log_ratio).mean()),
        "val/explained_variance": 1 - float(np.var(returns - values)) / spread if spread > 0 else math.nan,
        "val/num_eos_tokens": float(roll.ended.sum()),
        "response/length": float(lengths.mean()),
        "beta": beta,
        "episode": float(len(roll.examples)),
    }


def command(argv: Sequence[str]) -> int:
    ppo(parse(PPOConfig, argv, "minipost ppo", HELP))
    return 0
