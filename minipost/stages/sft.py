"""Stage 2, supervised finetuning: imitate demonstrations.

    L = -sum_t m_t log p(y_t | x, y_<t) / sum_t m_t,     m_t = 1 on response tokens, the end token included

The same loss as pretraining, on (prompt, response) pairs in the chat template, counted on responses only. It teaches
the model how to converse, with its teachers' manners, errors and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minipost import data
from minipost.autograd import Tensor, fused
from minipost.config import parse
from minipost.losses import cross_entropy
from minipost.model import (
    AdamW,
    Array,
    Model,
    ModelConfig,
    heads,
    logits,
    lora,
    output_weight,
    schedule,
    value_and_grad,
)
from minipost.runs import Run
from minipost.stages.base import (
    StageConfig,
    by_thread,
    dropped,
    in_its_precision,
    known_answer,
    minibatch,
    require_positive,
    run_folder,
    updates,
)
from minipost.stages.world import WorldConfig, world_of
from minipost.text import indented, prompt_tokens, response_tokens
from minipost.text.batching import Example, Packed, pack
from minipost.world import Demonstrator
from minipost.world.collect import Demonstration, demonstrate

REPLAY_QUALITY = 1.0  # of the pages that are mixed in

HELP = """Finetune a base model on demonstrations, the world's or your own.

Examples:
  minipost sft
  minipost sft --base runs/base --data demonstrations.jsonl --skip-bad --out runs/mine
  minipost sft --base runs/smollm2 --data demonstrations.jsonl --lora-rank 16 --learning-rate 5e-4 --out runs/smol"""


@dataclass(frozen=True, kw_only=True)
class SFTConfig(WorldConfig, StageConfig):
    out: Path = Path("runs/sft")  # the run's folder
    base: Path = Path("runs/pretrain")  # the run folder of the pretrained model
    data: tuple[Path, ...] = ()  # files of your own: prompt-completion, Alpaca, ShareGPT, messages; no replay then
    demonstrations: int = 16_000  # how many are written
    skill: float = 0.95  # of the demonstrators: the share of right answers
    refusal: float = 0.15  # the share of harmful requests that they refuse
    replay: float = 0.6  # web pages mixed in for each demonstration, against forgetting what demonstrations lack
    epochs: int = 1  # passes over the demonstrations
    batch_size: int = 32  # demonstrations an update
    row_length: int = 128  # tokens a row, into which several sequences are packed (packed length)
    learning_rate: float = 1.5e-3  # at its peak
    lora_rank: int = 0  # train LoRA adapters of this rank; 0 trains all weights
    weight_decay: float = 0.0  # of matrices
    save_every: int = 100  # updates between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "demonstrations", "epochs", "batch_size", "save_every")


@in_its_precision
def run(config: SFTConfig) -> Model:
    """Finetune the base model on demonstrations; returns the model and leaves the run folder `config.out`."""
    base, examples = Model.load(config.base), None
    if config.data:
        examples = data.demonstrations(config.data, base.tokenizer, base.config.context, dropped(config))
    folder = run_folder("sft", config, base=config.base)
    if folder.finished:
        return Model.load(config.out)
    model = replace(base, weights=train(folder, base, examples or from_the_world(base, config), config))
    folder.finish(model, "An assistant that imitates demonstrations.")
    return model


def from_the_world(base: Model, config: SFTConfig) -> list[Example]:
    """Demonstrations by the world's labelers, with web pages mixed in (as Ouyang et al. 2022 do in PPO-ptx)."""
    world = world_of(config, config.base)
    by = Demonstrator(world.facts, skill=config.skill, refusal=config.refusal)
    demonstrations = demonstrate(world, by, config.demonstrations, np.random.default_rng([config.seed, 4]))
    return encode(base, demonstrations) + replayed(base, config)


def replayed(base: Model, config: SFTConfig) -> list[Example]:
    """Pages of the web, of which the model learns everything, as it did before."""
    world, t = world_of(config, config.base), base.tokenizer
    rng, count = np.random.default_rng([config.seed, 12]), round(config.replay * config.demonstrations)
    pages = world.web(rng, REPLAY_QUALITY, count)
    return [Example([t.document_id], t.encode(indented(page))[: config.row_length - 1]) for page in pages]


def encode(base: Model, demonstrations: Sequence[Demonstration]) -> list[Example]:
    t = base.tokenizer
    return [Example(prompt_tokens(t, d.prompt), response_tokens(t, d.response)) for d in demonstrations]


def train(run: Run, base: Model, examples: Sequence[Example], config: SFTConfig) -> dict[str, Array]:
    """The loop, for any examples."""
    frozen, weights = lora.trainable(base.weights, config.lora_rank, np.random.default_rng([config.seed, 13]))
    optimizer = AdamW(weights, weight_decay=config.weight_decay)
    total = max(1, config.epochs * (len(examples) // config.batch_size))

    for update in updates(run, total, optimizer, config.seed, "tok", save_every=config.save_every):
        batch = minibatch(config.seed, update.step, len(examples), config.batch_size)  # indices of examples
        sizes = [len(examples[i]) for i in batch]
        shards = [pack([examples[i] for i in ids], config.row_length) for ids in by_thread(batch, sizes)]
        count = sum(len(s.targets) for s in shards)

        def loss(tensors: dict[str, Tensor], shard: Packed, count: int = count) -> tuple[Tensor, dict[str, float]]:
            both: dict[str, Any] = {**frozen, **tensors}
            hidden = heads.response_states(both, base.config, shard)
            weights_of_tokens = np.full(len(shard.targets), 1 / count)
            return fused.weighted_nll(hidden, output_weight(both), shard.targets, weights_of_tokens), {}

        expected = 0.0
        if update.step == 0:
            expected = plain_loss({**frozen, **weights}, base.config, [examples[i] for i in batch])
        metrics, grads = value_and_grad(loss, weights, shards)
        known_answer(update.step, "loss (plain NumPy, unpacked)", metrics["loss"], expected, 1e-3)
        lr = schedule(update.step, total, config.learning_rate)
        metrics |= {"grad_norm": optimizer.step(grads, lr), "learning_rate": lr, "num_tokens": count}
        update.log(metrics, sum(sizes), "loss")
    return lora.merge({**frozen, **weights})


def plain_loss(weights: dict[str, Array], config: ModelConfig, batch: Sequence[Example]) -> float:
    """The same loss the slow and obvious way: one sequence at a time, all logits, `losses.cross_entropy`."""
    total, count = 0.0, 0
    for e in batch:
        tokens = np.array([[*e.prompt, *e.response]])
        mask = np.arange(1, tokens.shape[1])[None] >= len(e.prompt)
        z = logits(weights, config, tokens[:, :-1])
        total += float(cross_entropy(z, tokens[:, 1:], mask)) * len(e.response)
        count += len(e.response)
    return total / count


def command(argv: Sequence[str]) -> int:
    run(parse(SFTConfig, argv, "minipost sft", HELP))
    return 0
