"""Stage 1, pretraining: predict the next token of a noisy web.

    L = -sum_t log p(token_{t+1} | token_{<=t}) / number of tokens

The model learns the language and the facts, and goes on with whatever text it is given, in any of the ways in which the
web goes on. It does not learn to answer.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minipost import data
from minipost.autograd import Tensor, fused
from minipost.config import parse
from minipost.data.tokens import text_tokens
from minipost.model import (
    AdamW,
    Array,
    Model,
    ModelConfig,
    Muon,
    Weights,
    heads,
    init_weights,
    map_shards,
    output_weight,
    schedule,
    value_and_grad,
)
from minipost.stages.base import (
    StageConfig,
    StageError,
    by_thread,
    dropped,
    in_its_precision,
    known_answer,
    require_positive,
    run_folder,
    updates,
)
from minipost.text import Tokenizer, indented
from minipost.text.batching import Packed, stream
from minipost.world import World

TOKENIZER_TEXT = 4_000_000  # characters of a user's files that train the tokenizer

HELP = """Pretrain a base model, on the simulated web or on texts of your own.

Examples:
  minipost pretrain
  minipost pretrain --data book.txt pages.jsonl --epochs 4 --out runs/base
  minipost pretrain --resume"""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(StageConfig):
    out: Path = Path("runs/pretrain")  # the run's folder
    data: tuple[Path, ...] = ()  # files of your own (.txt, or JSONL with text), read instead of the web
    world_seed: int = 0  # which world
    world_share: float = 0.5  # 1: the whole world, 0.25: a village, where everything trains in a minute
    quality: float = 0.75  # of the web: 0 is noise, 1 is mostly good dialogue
    tokens: int = 4_300_000  # training tokens
    epochs: int = 1  # passes over them
    nursery: float = 0.2  # share of the tokens that come first, half of it rhymes: see `ordered_rows`
    vocab_size: int = 3072  # tokens of the byte-level BPE: enough for every frequent word to be one
    dim: int = 128  # channels
    layers: int = 3  # transformer layers
    heads: int = 4  # query heads
    kv_heads: int = 4  # key/value heads; fewer are grouped-query attention, and slower to learn to copy
    hidden: int = 352  # channels of the feed-forward layer
    context: int = 256  # longest sequence that the model accepts
    row_length: int = 128  # tokens a training row
    batch_size: int = 4  # rows an update: small ones let copying form early
    optimizer: Literal["muon", "adamw"] = "muon"  # for the matrices inside the layers
    learning_rate: float = 3e-3  # AdamW's, at its peak
    muon_learning_rate: float = 0.012  # Muon's, at its peak
    weight_decay: float = 0.05  # of matrices
    save_every: int = 100  # updates between checkpoints

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "batch_size", "row_length", "save_every")
        if not 0 <= self.nursery <= 0.5:
            raise StageError(f"nursery is {self.nursery}: choose a share of the tokens from 0 to 0.5.")
        self.require_enough(self.tokens, "raise --tokens or lower --batch-size")

    def require_enough(self, tokens: int, fix: str) -> None:
        """Refuse too few tokens."""
        if (tokens - 1) // self.row_length < 2 * self.batch_size:
            raise StageError(
                f"{tokens} tokens are too few: there must be {self.batch_size} rows of {self.row_length} tokens "
                f"to train on and as many held out; {fix}."
            )


@in_its_precision
def run(config: PretrainConfig) -> Model:
    """Train from random weights; returns the model and leaves the run folder `config.out`."""
    files = read_files(config) if config.data else None
    folder = run_folder("pretrain", config)
    if folder.finished:
        return Model.load(config.out)
    tokenizer, ids = files or read_the_web(config)
    model_config = shape_of_model(config, len(tokenizer))
    weights = init_weights(model_config, np.random.default_rng([config.seed, 1]))
    optimizer = make_optimizer(weights, config)
    held_out, rows = ordered_rows(len(ids), config)
    total = len(rows) // config.batch_size

    def loss(tensors: dict[str, Tensor], shard: Packed) -> tuple[Tensor, dict[str, float]]:
        return next_token_loss(tensors, model_config, shard, 1 / (config.batch_size * config.row_length)), {}

    for update in updates(folder, total, optimizer, config.seed, "tok", save_every=config.save_every):
        batch = rows[update.step * config.batch_size : (update.step + 1) * config.batch_size]
        metrics, grads = value_and_grad(loss, weights, shard_rows(ids, batch, config, tokenizer))
        known_answer(update.step, "loss (ln V)", metrics["loss"], math.log(len(tokenizer)), 0.15)
        lr = schedule(update.step, total, config.learning_rate)
        metrics |= {"grad_norm": optimizer.step(grads, lr), "learning_rate": lr}
        update.log(metrics, len(batch) * config.row_length, "loss")

    token_weight = 1 / (len(held_out) * config.row_length)
    shards = shard_rows(ids, held_out, config, tokenizer)
    losses = map_shards(lambda s: float(next_token_loss(weights, model_config, s, token_weight)), shards)
    folder.log(total, {"eval_loss": sum(losses)})
    model = Model(weights, model_config, tokenizer)
    folder.finish(model, "A base model: it completes text.")
    return model


def shape_of_model(config: PretrainConfig, vocab_size: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=vocab_size,
        dim=config.dim,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        hidden=config.hidden,
        context=config.context,
    )


def make_optimizer(weights: dict[str, Array], config: PretrainConfig) -> AdamW:
    if config.optimizer == "adamw":
        return AdamW(weights, weight_decay=config.weight_decay)
    lr, decay = config.learning_rate, config.weight_decay
    return Muon(weights, peak_lr=lr, muon_lr=config.muon_learning_rate, weight_decay=decay)


def next_token_loss(weights: Weights, c: ModelConfig, batch: Packed, token_weight: float) -> Any:
    """Sum over the batch's targets of their negative log-probability, times `token_weight`."""
    hidden = heads.response_states(weights, c, batch)
    return fused.weighted_nll(hidden, output_weight(weights), batch.targets, np.full(len(batch.targets), token_weight))


def ordered_rows(tokens: int, config: PretrainConfig) -> tuple[Array, Array]:
    """(rows held out, rows to train on) of the stream: the nursery's rows in random order, then all others in random
    order. Every further epoch visits all of them in a new order.

    Whatever restates its prompt (a summary, a translation, "The capital of Italy is ...") needs attention heads that
    find the last place where the present word stood and copy what came after it: induction heads (Olsson et al. 2022).
    They form at once or not at all, and only where text repeats that nothing else predicts. Nursery rhymes are such
    text; a web without them leaves a model of this size without copying after millions of tokens.
    """
    rng = np.random.default_rng([config.seed, 2])
    count = (tokens - 1) // config.row_length
    first = 0 if config.data else int(config.nursery * count)  # a user's own text has no nursery
    later = first + rng.permutation(count - first)
    held_out, once = later[: config.batch_size], np.concatenate([rng.permutation(first), later[config.batch_size :]])
    return held_out, np.concatenate([once, *(rng.permutation(once) for _ in range(config.epochs - 1))])


def read_the_web(config: PretrainConfig) -> tuple[Tokenizer, Array]:
    """Train the tokenizer on some pages, then encode pages, those of the nursery first, until there are enough."""
    world = World(config.world_seed, config.world_share)
    rng = np.random.default_rng([config.seed, 3])
    pages, nursery = world.web(rng, config.quality), world.web(rng, config.quality, rhymes=0.5)
    tokenizer = Tokenizer.train([indented(next(pages)) for _ in range(4000)], config.vocab_size)
    ids: list[int] = []
    for source, end in ((nursery, int(config.nursery * config.tokens)), (pages, config.tokens)):
        while len(ids) < end:
            ids += [tokenizer.document_id, *tokenizer.encode(indented(next(source)))]
    return tokenizer, np.array(ids[: config.tokens], np.int64)


def read_files(config: PretrainConfig) -> tuple[Tokenizer, Array]:
    """The same from files: the tokenizer from their first millions of characters, then `tokens` tokens, or all."""
    first: list[str] = []
    pieces, size = data.texts(config.data, dropped(config)), 0
    while size < TOKENIZER_TEXT and (piece := next(pieces, None)) is not None:
        first.append(indented(piece.text))
        size += len(piece.text)
    tokenizer = Tokenizer.train(first, config.vocab_size)
    ids = array("q")
    for piece in data.texts(config.data, dropped(config)):
        ids.extend([tokenizer.document_id] if piece.opens else [])
        ids.extend(text_tokens(piece, tokenizer))
        if len(ids) >= config.tokens:
            break
    else:
        print(f"  data: {len(ids):,} tokens in all, fewer than --tokens {config.tokens:,}", file=sys.stderr)
    config.require_enough(len(ids), "give more text or lower --batch-size")
    return tokenizer, np.array(ids[: config.tokens], np.int64)


def shard_rows(ids: Array, rows: Array, config: PretrainConfig, tokenizer: Tokenizer) -> list[Packed]:
    """The rows of the stream with these numbers, one shard a thread."""
    return [stream(ids, tokenizer.document_id, part, config.row_length) for part in by_thread(rows, [1] * len(rows))]


def command(argv: Sequence[str]) -> int:
    run(parse(PretrainConfig, argv, "minipost pretrain", HELP))
    return 0
