"""Stage 3a, the reward model: learn from comparisons what people like.

    L = -log sigmoid(r(x, y_chosen) - r(x, y_rejected)) + lambda mean((r_chosen + r_rejected)^2)

The SFT model with a scalar head, read at the end token (Ouyang et al. 2022, eq. 1). Only differences of scores are
learned; the small second term keeps their mean near 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minipost import data
from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import bradley_terry, pair_accuracy
from minipost.model import AdamW, Array, Model, heads, lora, schedule, value_and_grad, with_head
from minipost.runs import Run
from minipost.stages.base import StageError, dropped, known_answer, minibatch, require_positive, updates, world_of
from minipost.stages.pairs import Sides, encode_pair, halves, pack_pairs
from minipost.text.batching import Packed
from minipost.world import Labeler, Utility
from minipost.world.collect import Pair, compare, read_pairs, write_pairs

HELP = """Train a reward model on comparisons of the policy's answers, or on your own.

Examples:
  minipost reward
  minipost reward --policy runs/mine --data pairs.jsonl --skip-bad --out runs/judge"""


@dataclass(frozen=True)
class RewardConfig:
    policy: Path = Path("runs/sft")  # the run folder of the SFT model: its answers are compared, its weights the start
    preferences: Path | None = None  # JSONL with prompt, chosen, rejected; made in the world if not given
    data: tuple[Path, ...] = ()  # preference files of your own, in any format of `minipost data`
    skip_bad: bool = False  # leave bad rows of those files out, and write down which and why
    out: Path = Path("runs/reward")  # the run's folder
    seed: int = 0  # of the answers, the labels and their order
    resume: bool = False  # go on with an interrupted run
    overwrite: bool = False  # replace an existing run
    tensorboard: bool = False  # write the metrics for TensorBoard, too
    world_seed: int | None = None  # which world; that of the policy's own run, if not given
    world_share: float | None = None  # how much of it there is: 0.25 is a village; the same
    pairs: int = 12_000  # comparisons to collect
    labeler_temperature: float = 0.6  # of the labelers: the larger, the less consistent
    epochs: int = 1  # passes over the pairs
    batch_size: int = 32  # pairs an update
    row_length: int = 128  # tokens a packed row
    learning_rate: float = 7e-4  # at its peak
    lora_rank: int = 0  # train thin adapters of this rank, and the head; 0 trains all weights
    weight_decay: float = 0.01  # of matrices
    center: float = 0.01  # lambda, which keeps the mean score near 0
    save_every: int = 100  # updates between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "pairs", "epochs", "batch_size", "save_every")
        if self.preferences and self.data:
            raise StageError("--preferences and --data both give the pairs; pass only one of them.")


def reward(config: RewardConfig) -> Model:
    """Train a reward model; returns it and leaves the run folder `config.out`, with its pairs in preferences.jsonl."""
    policy = Model.load(config.policy)
    given = read_pairs(config.preferences) if config.preferences else None
    sides = None
    if config.data:
        sides = data.comparisons(config.data, policy.tokenizer, policy.config.context, dropped(config))
    run = Run.create(
        config.out,
        "reward",
        config,
        config.seed,
        {"policy": config.policy},
        resume=config.resume,
        overwrite=config.overwrite,
    )
    if run.finished:
        return Model.load(config.out, "score")
    if sides is None:
        pairs = given or collect_pairs(policy, config)
        write_pairs(config.out / "preferences.jsonl", pairs)
        sides = [encode_pair(policy.tokenizer, p) for p in pairs]
    weights = train(run, policy, sides, config)
    model = Model(weights, policy.config, policy.tokenizer)
    run.finish(model, description="A reward model: it scores answers.")
    return model


def collect_pairs(policy: Model, config: RewardConfig) -> list[Pair]:
    """Two answers of the policy to each training prompt, compared by a labeler of the world."""
    world, rng = world_of(config, config.policy), np.random.default_rng([config.seed, 5])
    tasks = world.tasks("train", config.pairs, rng)
    prompts = [t.prompt for t in tasks]
    first, second = ([text for text, _ in policy.answer(prompts, rng)] for _ in range(2))
    labeler = Labeler(Utility(world), temperature=config.labeler_temperature)
    return [pair for _, pair in compare(tasks, first, second, labeler, rng)]


def train(run: Run, start: Model, sides: Sequence[Sides], config: RewardConfig) -> dict[str, Array]:
    """The loop, for any tokenised pairs."""
    if len(sides) < config.batch_size:
        raise StageError(f"{len(sides)} pairs are fewer than one batch of {config.batch_size}: lower --batch-size.")
    frozen, weights = lora.trainable(
        with_head(start.weights, start.config, "score"), config.lora_rank, np.random.default_rng([config.seed, 13])
    )
    if frozen:
        weights["score"] = frozen.pop("score")
    optimizer = AdamW(weights, weight_decay=config.weight_decay)
    total = config.epochs * (len(sides) // config.batch_size)

    def loss(tensors: dict[str, Tensor], shard: Packed) -> tuple[Tensor, dict[str, float]]:
        scores = heads.scores({**frozen, **tensors}, start.config, shard)  # chosen and rejected take turns
        chosen, rejected = scores[0::2], scores[1::2]
        share = len(chosen.data) / config.batch_size
        metrics = {
            "accuracy": pair_accuracy(chosen.data, rejected.data) * share,
            "rewards/margins": float((chosen.data - rejected.data).mean()) * share,
            "rewards/chosen": float(chosen.data.mean()) * share,
            "rewards/rejected": float(rejected.data.mean()) * share,
        }
        return bradley_terry(chosen, rejected, center=config.center) * share, metrics

    for update in updates(run, total, optimizer, config.seed, "pairs", save_every=config.save_every):
        batch = [sides[i] for i in minibatch(config.seed, update.step, len(sides), config.batch_size)]
        shards = [pack_pairs([batch[i] for i in part], config.row_length) for part in halves(batch)]
        metrics, grads = value_and_grad(loss, weights, shards)
        known_answer(update.step, "loss (ln 2)", metrics["loss"], math.log(2), 1e-4)
        lr = schedule(update.step, total, config.learning_rate)
        metrics |= {"grad_norm": optimizer.step(grads, lr), "learning_rate": lr}
        update.log(metrics, len(batch), "loss", "accuracy")
    return lora.merge({**frozen, **weights})


def command(argv: Sequence[str]) -> int:
    reward(parse(RewardConfig, argv, "minipost reward", HELP))
    return 0
