"""Stage 3a, the reward model: learn from comparisons what people like.

    L = -log sigmoid(r(x, y_chosen) - r(x, y_rejected)) + lambda mean((r_chosen + r_rejected)^2)

The SFT model with a scalar head, read at the end token (Ouyang et al. 2022, eq. 1). Only differences of scores are
learned; the small second term keeps their mean near 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minipost import data
from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import bradley_terry, pair_accuracy
from minipost.model import (
    LIKELIHOOD_START,
    REFERENCE,
    SERVED_TEMPERATURE,
    AdamW,
    Array,
    Model,
    heads,
    lora,
    map_shards,
    schedule,
    value_and_grad,
    with_head,
)
from minipost.runs import Run
from minipost.stages.base import (
    StageConfig,
    StageError,
    dropped,
    in_its_precision,
    known_answer,
    minibatch,
    require_positive,
    run_folder,
    stacked,
    updates,
)
from minipost.stages.pairs import EncodedPair, PairBatch, encode_pair, pack_pairs, pairs_by_thread
from minipost.stages.world import WorldConfig, world_of
from minipost.world import Labeler, Task, Utility
from minipost.world.collect import Pair, compare, read_pairs, write_pairs

HEAD = ("score", "gate", "likelihood")  # the weights of either head

HELP = """Train a reward model on comparisons of the policy's answers, or on your own.

Examples:
  minipost reward
  minipost reward --policy runs/mine --data pairs.jsonl --skip-bad --out runs/judge"""


@dataclass(frozen=True, kw_only=True)
class RewardConfig(WorldConfig, StageConfig):
    out: Path = Path("runs/reward")  # the run's folder
    policy: Path = Path("runs/sft")  # the run folder of the SFT model: its answers are compared, its weights the start
    preferences: Path | None = None  # JSONL with prompt, chosen, rejected; made in the world if not given
    data: tuple[Path, ...] = ()  # preference files of your own, in any format of `minipost data`
    pairs: int = 12_000  # comparisons to collect
    temperature: float = SERVED_TEMPERATURE  # at which the policy answers what is compared
    head: Literal["scalar", "likelihood"] | None = None  # how the score is read; likelihood, or with --data scalar
    labeler_temperature: float = 0.6  # of the labelers: the larger, the less consistent
    epochs: int = 2  # passes over the pairs
    batch_size: int = 32  # pairs an update
    row_length: int = 128  # tokens a row, into which several sequences are packed (packed length)
    learning_rate: float = 7e-4  # at its peak
    lora_rank: int = 0  # train LoRA adapters of this rank, and the head; 0 trains all weights
    weight_decay: float = 0.01  # of matrices
    center: float = 0.01  # lambda, which keeps the mean score near 0
    save_every: int = 100  # updates between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "pairs", "epochs", "batch_size", "save_every")
        if self.preferences and self.data:
            raise StageError("--preferences and --data both give the pairs; pass only one of them.")

    @property
    def reads_likelihoods(self) -> bool:
        """Whether the head reads likelihoods: if none is named, in the world. What they say of a user's pairs depends
        on how well the policy knows such text."""
        return not self.data if self.head is None else self.head == "likelihood"


@in_its_precision
def run(config: RewardConfig) -> Model:
    """Train a reward model; returns it and leaves the run folder `config.out`, with its pairs in preferences.jsonl."""
    policy, pairs, encoded = Model.load(config.policy), None, None
    if config.preferences:
        pairs = read_pairs(config.preferences)
    if config.data:
        encoded = data.comparisons(config.data, policy.tokenizer, policy.config.context, dropped(config))
    folder = run_folder("reward", config, policy=config.policy)
    if folder.finished:
        return Model.load(config.out, "score")
    if encoded is None:
        pairs = pairs or collect_pairs(policy, config)
        write_pairs(config.out / "preferences.jsonl", pairs)
        encoded = [encode_pair(policy.tokenizer, pair) for pair in pairs]
    model = replace(policy, weights=train(folder, policy, encoded, config))
    folder.finish(model, "A reward model: it scores answers.")
    return model


def collect_pairs(policy: Model, config: RewardConfig) -> list[Pair]:
    """Two answers of the policy to each training prompt, compared by a labeler of the world."""
    world, rng = world_of(config, config.policy), np.random.default_rng([config.seed, 5])
    tasks = world.tasks("train", config.pairs, rng)
    labeler = Labeler(Utility(world), temperature=config.labeler_temperature)
    return [pair for _, pair in compare_answers(policy, tasks, labeler, rng, config.temperature)]


def compare_answers(
    policy: Model, tasks: Sequence[Task], labeler: Labeler, rng: np.random.Generator, temperature: float
) -> list[tuple[Task, Pair]]:
    """Two answers of the policy to each task, compared by the labeler; identical and empty ones are left out."""
    prompts = [t.prompt for t in tasks]
    first, second = ([text for text, _ in policy.answer(prompts, rng, temperature)] for _ in range(2))
    return compare(tasks, first, second, labeler, rng)


def train(run: Run, policy: Model, pairs: Sequence[EncodedPair], config: RewardConfig) -> dict[str, Array]:
    """The loop, for any tokenised pairs."""
    if len(pairs) < config.batch_size:
        raise StageError(f"{len(pairs)} pairs are fewer than one batch of {config.batch_size}: lower --batch-size.")
    ref_logps = np.zeros((len(pairs), 2, 0))
    if config.reads_likelihoods:
        ref_logps = reference_logps(policy, pairs, config.row_length)
    frozen, weights = trainable(policy, config)
    start = scores_at_start(ref_logps, pairs)
    if config.reads_likelihoods:
        weights["likelihood"][0, 2] = -start.mean()  # the origin: scores begin around 0
    optimizer = AdamW(weights, weight_decay=config.weight_decay)
    total = config.epochs * (len(pairs) // config.batch_size)

    def loss(tensors: dict[str, Tensor], shard: PairBatch) -> tuple[Tensor, dict[str, float]]:
        both: dict[str, Any] = {**frozen, **tensors}
        scores = heads.scores(both, policy.config, shard.packed, shard.ref_logps)  # chosen and rejected take turns
        chosen, rejected = scores[0::2], scores[1::2]
        fraction = len(chosen.data) / config.batch_size
        metrics = {
            "accuracy": pair_accuracy(chosen.data, rejected.data) * fraction,
            "rewards/margins": float((chosen.data - rejected.data).mean()) * fraction,
            "rewards/chosen": float(chosen.data.mean()) * fraction,
            "rewards/rejected": float(rejected.data.mean()) * fraction,
        }
        return bradley_terry(chosen, rejected, center=config.center) * fraction, metrics

    for update in updates(run, total, optimizer, config.seed, "pairs", save_every=config.save_every):
        batch = minibatch(config.seed, update.step, len(pairs), config.batch_size)  # indices of pairs
        shards = []
        for ids in pairs_by_thread(pairs, batch):
            packed = pack_pairs([pairs[i] for i in ids], config.row_length)
            R = packed.mask.shape[1]
            shards.append(PairBatch(packed, ref_logps[ids, :, :R].reshape(len(packed.lengths), -1)))
        metrics, grads = value_and_grad(loss, weights, shards)
        chosen, rejected = (start[batch] - start.mean()).T  # 0 for a scalar head: its loss is ln 2
        expected = float(bradley_terry(chosen, rejected, center=config.center))
        known_answer(update.step, "loss", metrics["loss"], expected, 1e-3)
        lr = schedule(update.step, total, config.learning_rate)
        metrics |= {"grad_norm": optimizer.step(grads, lr), "learning_rate": lr}
        update.log(metrics, len(batch), "loss", "accuracy")
    return lora.merge({**frozen, **weights})


def trainable(policy: Model, config: RewardConfig) -> tuple[dict[str, Array], dict[str, Array]]:
    """(frozen, trained) weights: the reference is frozen; with adapters, so is all but them and the head."""
    weights = with_head(policy.weights, policy.config, "likelihood" if config.reads_likelihoods else "score")
    reference = {name: weights.pop(name) for name in list(weights) if name.startswith(REFERENCE)}
    frozen, trained = lora.trainable(weights, config.lora_rank, np.random.default_rng([config.seed, 13]))
    trained |= {name: frozen.pop(name) for name in HEAD if name in frozen}
    return frozen | reference, trained


def reference_logps(reference: Model, pairs: Sequence[EncodedPair], row_length: int, group: int = 64) -> Array:
    """Log-probabilities of all response tokens under the reference, [pairs, 2, R]; 0 where there is none."""
    packed = [pack_pairs(pairs[lo : lo + group], row_length) for lo in range(0, len(pairs), group)]
    return stacked(map_shards(reference.token_logps, packed)).reshape(len(pairs), 2, -1)


def scores_at_start(ref_logps: Array, pairs: Sequence[EncodedPair]) -> Array:
    """What a fresh head makes of chosen and rejected answers, but for its origin: [pairs, 2], 0 for a scalar head."""
    mean, total, _ = LIKELIHOOD_START
    lengths = np.array([[len(chosen.response), len(rejected.response)] for chosen, rejected in pairs])
    return np.asarray(ref_logps.sum(axis=2) * (mean / lengths + total))


def command(argv: Sequence[str]) -> int:
    run(parse(RewardConfig, argv, "minipost reward", HELP))
    return 0
