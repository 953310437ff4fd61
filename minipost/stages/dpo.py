"""Stage 3, direct preference optimisation: learn from comparisons without a reward model and without sampling.

    h = [log pi(y_w) - log ref(y_w)] - [log pi(y_l) - log ref(y_l)],     L = -log sigmoid(beta h)

(Rafailov et al. 2023, eq. 7), or one of its relatives: conservative and robust labels, IPO, hinge. Log-probabilities
are sums over the response, its end token included; the reference's are computed once, before training.

What is normal: the loss starts at log 2; margins grow; the log-probability of the *chosen* answer often falls too, less
than that of the rejected one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minipost import data
from minipost.autograd import Tensor
from minipost.config import parse
from minipost.losses import dpo as dpo_losses
from minipost.losses import wins
from minipost.model import AdamW, Array, Model, heads, lora, schedule, value_and_grad
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
    updates,
)
from minipost.stages.pairs import EncodedPair, PairBatch, encode_pair, pack_pairs, pairs_by_thread
from minipost.world.collect import read_pairs

Logps = tuple[Any, Any, Any, Any]  # policy chosen, policy rejected, reference chosen, reference rejected, each [pairs]

HELP = """Tune a policy on preference pairs with DPO or a relative.

Examples:
  minipost dpo
  minipost dpo --policy runs/mine --data pairs.jsonl --skip-bad --out runs/dpo-mine
  minipost dpo --loss-type ipo --beta 0.05"""


@dataclass(frozen=True, kw_only=True)
class DPOConfig(StageConfig):
    out: Path = Path("runs/dpo")  # the run's folder
    policy: Path = Path("runs/sft")  # the run folder of the SFT model: the start and the reference
    preferences: Path = Path("runs/reward/preferences.jsonl")  # JSONL with prompt, chosen, rejected
    data: tuple[Path, ...] = ()  # preference files of your own, in any format of `minipost data`, instead of those
    loss_type: Literal["sigmoid", "conservative", "robust", "ipo", "hinge"] = "sigmoid"  # which relative
    beta: float = 0.1  # how strongly the reference holds
    label_smoothing: float = 0.0  # share of flipped labels that conservative and robust assume
    epochs: int = 1  # passes over the pairs
    batch_size: int = 32  # pairs an update
    row_length: int = 128  # tokens a row, into which several sequences are packed (packed length)
    learning_rate: float = 1e-4  # at its peak
    lora_rank: int = 0  # train LoRA adapters of this rank, best with ten times the learning rate; 0 trains all weights
    save_every: int = 50  # updates between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "batch_size", "save_every")
        if self.beta <= 0 or not 0 <= self.label_smoothing < 0.5:
            raise StageError(f"beta {self.beta} must be > 0 and label_smoothing {self.label_smoothing} in [0, 0.5).")
        if self.label_smoothing == 0 and self.loss_type in ("conservative", "robust"):
            raise StageError(f"{self.loss_type} needs --label-smoothing > 0, the share of labels taken as flipped.")


@in_its_precision
def run(config: DPOConfig) -> Model:
    """Finetune the policy on pairs; returns the model and leaves the run folder `config.out`."""
    policy = Model.load(config.policy)
    if config.data:
        pairs = data.comparisons(config.data, policy.tokenizer, policy.config.context, dropped(config))
    else:
        pairs = [encode_pair(policy.tokenizer, p) for p in read_pairs(config.preferences)]
    folder = run_folder("dpo", config, policy=config.policy)
    if folder.finished:
        return Model.load(config.out)
    model = replace(policy, weights=train(folder, policy, pairs, config))
    folder.finish(model, "An assistant tuned by DPO.")
    return model


def train(run: Run, policy: Model, pairs: Sequence[EncodedPair], config: DPOConfig) -> dict[str, Array]:
    """The loop, for any tokenised pairs; `policy` is also the reference and is not changed."""
    if len(pairs) < config.batch_size:
        raise StageError(f"{len(pairs)} pairs are fewer than one batch of {config.batch_size}: lower --batch-size.")
    ref_logps = reference_logps(policy, pairs, config.row_length)  # [pairs, 2]
    frozen, weights = lora.trainable(policy.weights, config.lora_rank, np.random.default_rng([config.seed, 13]))
    optimizer = AdamW(weights)
    total = config.epochs * (len(pairs) // config.batch_size)

    def loss(tensors: dict[str, Tensor], shard: PairBatch) -> tuple[Tensor, dict[str, float]]:
        logps = heads.sequence_logps({**frozen, **tensors}, policy.config, shard.packed)  # [S]
        four = logps[0::2], logps[1::2], shard.ref_logps[0::2], shard.ref_logps[1::2]
        fraction = len(four[2]) / config.batch_size
        return preference_loss(config, four) * fraction, statistics(config.beta, *four, fraction)

    for update in updates(run, total, optimizer, config.seed, "pairs", save_every=config.save_every):
        batch = minibatch(config.seed, update.step, len(pairs), config.batch_size)  # indices of pairs
        shards = [
            PairBatch(pack_pairs([pairs[i] for i in ids], config.row_length), ref_logps[ids].reshape(-1))
            for ids in pairs_by_thread(pairs, batch)
        ]
        metrics, grads = value_and_grad(loss, weights, shards)
        known_answer(update.step, "loss at pi = ref", metrics["loss"], loss_at_start(config), 1e-3)
        lr = schedule(update.step, total, config.learning_rate, warmup=0.1)
        metrics |= {"grad_norm": optimizer.step(grads, lr), "learning_rate": lr}
        update.log(metrics, len(batch), "loss", "rewards/accuracies")
    return lora.merge({**frozen, **weights})


def preference_loss(config: DPOConfig, logps: Logps) -> Any:
    """The loss that `loss_type` names, a scalar."""
    match config.loss_type:
        case "ipo":
            return dpo_losses.ipo(*logps, beta=config.beta)
        case "hinge":
            return dpo_losses.hinge(*logps, beta=config.beta)
        case "robust":
            return dpo_losses.robust(*logps, beta=config.beta, label_smoothing=config.label_smoothing)
        case _:  # "conservative" is "sigmoid" with smoothed labels
            return dpo_losses.sigmoid(*logps, beta=config.beta, label_smoothing=config.label_smoothing)


def loss_at_start(config: DPOConfig) -> float:
    """The loss where policy and reference agree (h = 0): log 2, 1 / (4 beta^2) for IPO, 1 for the hinge."""
    return {"ipo": 1 / (4 * config.beta**2), "hinge": 1.0}.get(config.loss_type, math.log(2))


def statistics(
    beta: float, chosen: Any, rejected: Any, ref_chosen: Array, ref_rejected: Array, fraction: float
) -> dict[str, float]:
    """What to watch, under the names that people know: the shard's means times its fraction of the batch."""
    w, l = beta * (chosen.data - ref_chosen), beta * (rejected.data - ref_rejected)  # noqa: E741
    by_pair = {
        "rewards/chosen": w,
        "rewards/rejected": l,
        "rewards/margins": w - l,
        "rewards/accuracies": wins(w, l),
        "logps/chosen": chosen.data,
        "logps/rejected": rejected.data,
    }
    return {name: float(np.mean(values)) * fraction for name, values in by_pair.items()}


def reference_logps(reference: Model, pairs: Sequence[EncodedPair], row_length: int) -> Array:
    """Log-probabilities of chosen and rejected under the reference, once and for all: [pairs, 2]."""
    return reference.logps([example for pair in pairs for example in pair], row_length).reshape(-1, 2)


def command(argv: Sequence[str]) -> int:
    run(parse(DPOConfig, argv, "minipost dpo", HELP))
    return 0
