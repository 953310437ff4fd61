"""Sampling with a cache of keys and values, for many prompts of different lengths at once.

All sequences start at position 0. The first tokens of all prompts, as many as the shortest prompt has, are read in one
go (prefilled). Then all sequences move in step: a sequence is fed the next token of its prompt while there is one, and
after that the token that it sampled last. A sequence that has sampled the end token drops out, and the matrix products
shrink. Nothing is padded. Each sampled token's log-probability is recorded under the transform (temperature, top-k,
top-p) that sampled it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minipost.autograd import fused
from minipost.kernels import attention, decode, rope
from minipost.kernels import sample as sample_kernel
from minipost.model import lora
from minipost.model.config import Array, ModelConfig, ModelError
from minipost.model.parallel import map_shards, threads
from minipost.model.transformer import PARTS, composed_layer, output_weight, rotary_table, trunk

SERVED_TEMPERATURE = 0.7  # at which a model answers people, wherever none is named: chat, tours, best-of-n, PPO
GROUP = 64  # sequences that one thread moves at a time: enough for good matrix products, small enough for its cache


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn: logits / temperature, then the top k, then the smallest set of probability >= top_p."""

    temperature: float = 1.0  # 0 is greedy
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0  # 1 keeps all

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ModelError(f"{self}: needs temperature >= 0, top_k >= 0 and 0 < top_p <= 1.")


@dataclass(frozen=True)
class Sampled:
    """One response: its tokens (the end token included, if it came), their log-probabilities, and whether it ended.

    `ended` is False if the response was cut off at the length limit; an end token is never forged.
    """

    tokens: list[int]
    logps: Array
    ended: bool


def generate(
    weights: Mapping[str, Array],
    config: ModelConfig,
    prompts: Sequence[Sequence[int]],
    rng: np.random.Generator,
    *,
    end_id: int,
    max_new_tokens: int,
    sampling: Sampling = Sampling(),
    on_token: Callable[[int, int], None] | None = None,
) -> list[Sampled]:
    """One response for each prompt (token ids). A row's result depends on its prompt and its own random numbers only.

    `on_token(row, token)` is called as tokens come, for those who want to watch. Raises `ModelError` if a prompt and
    `max_new_tokens` do not fit the context.
    """
    if not prompts or min(len(p) for p in prompts) < 1:
        raise ModelError("generate needs at least one prompt, and a prompt at least one token.")
    longest = max(len(p) for p in prompts)
    if longest + max_new_tokens > config.context:
        raise ModelError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones do not fit the context of {config.context}: "
            "shorten the prompt or lower the limit."
        )
    weights = lora.merge(weights)  # adapters cost two products each at every step, and merging once
    uniforms = rng.random((len(prompts), max_new_tokens))
    size = min(GROUP, -(-len(prompts) // threads()))
    groups = [range(lo, min(lo + size, len(prompts))) for lo in range(0, len(prompts), size)]
    model = _Decoder(weights, config, by_rows=size == 1)

    def run(group: range) -> list[Sampled]:
        watch = None if on_token is None else lambda row, token: on_token(group[row], token)
        return _generate_group(model, [prompts[i] for i in group], uniforms[group], end_id, sampling, watch)

    return [sampled for responses in map_shards(run, groups) for sampled in responses]


def _generate_group(
    model: _Decoder,
    prompts: Sequence[Sequence[int]],
    uniforms: Array,
    end_id: int,
    sampling: Sampling,
    on_token: Callable[[int, int], None] | None,
) -> list[Sampled]:
    S, max_new = uniforms.shape
    lengths = np.array([len(p) for p in prompts])
    limit = int(lengths.max()) + max_new
    sequences = np.zeros((S, limit), np.int64)
    for i, p in enumerate(prompts):
        sequences[i, : len(p)] = p
    logps, stops, ended = np.zeros((S, limit)), lengths + max_new, np.zeros(S, bool)
    cache = _Cache(model, S, limit)
    active = np.flatnonzero(stops > lengths)  # all, unless not one new token is wanted
    shared = int(lengths.min()) - 1
    if shared > 0:
        cache.read(sequences[:, :shared])
    for t in range(shared, limit - 1):
        hidden = cache.step(active, sequences[active, t], t)  # [A, C], predicts column t + 1
        free = lengths[active] <= t + 1  # past the prompt: the next token is sampled
        if free.any():
            rows = active[free]
            logits = model.logits(hidden[free])
            tokens, logp = np.empty(len(rows), np.int64), np.empty(len(rows))
            u = uniforms[rows, t + 1 - lengths[rows]]
            sample_kernel.sample(logits, u, sampling.temperature, sampling.top_k, sampling.top_p, tokens, logp)
            sequences[rows, t + 1], logps[rows, t + 1] = tokens, logp
            if on_token is not None:
                for row, token in zip(rows, tokens, strict=True):
                    on_token(int(row), int(token))
            done = tokens == end_id
            ended[rows[done]], stops[rows[done]] = True, t + 2
            active = active[t + 2 < stops[active]]
            if len(active) == 0:
                break
    spans = [slice(lengths[i], stops[i]) for i in range(S)]
    return [Sampled(sequences[i, s].tolist(), logps[i, s], bool(ended[i])) for i, s in enumerate(spans)]


class _Decoder:
    """A model laid out for steps of one token, once for all groups: see `kernels.decode.project`."""

    def __init__(self, weights: Mapping[str, Array], config: ModelConfig, by_rows: bool) -> None:
        self.weights, self.config, self.by_rows = weights, config, by_rows
        self.layers: list[Any] = [tuple(self._matrices(f"layers.{i}.")) for i in range(config.layers)]
        self.output = self._stored(output_weight(weights))
        self.cos, self.sin = rotary_table(config, weights["norm"].dtype.str)

    def _matrices(self, layer: str) -> Iterator[Array]:
        """What `decode.layer` takes of a layer, in its order."""
        for name in PARTS:
            yield self._stored(self.weights[layer + name])

    def _stored(self, w: Array) -> Array:
        return w if self.by_rows or w.ndim == 1 else decode.panels(w)

    def logits(self, hidden: Array) -> Array:
        """hidden[A, C] -> [A, V]."""
        logits = np.empty((len(hidden), self.config.vocab_size), hidden.dtype)
        decode.project(hidden, self.output, self.by_rows, 0.0, logits)
        return logits


class _Cache:
    """Keys and values of S sequences up to `limit` tokens, for every layer."""

    def __init__(self, model: _Decoder, S: int, limit: int) -> None:
        self.model, c, dtype = model, model.config, model.weights["norm"].dtype
        self.keys = np.empty((c.layers, S, c.kv_heads, c.head_dim, limit), dtype)
        self.values = np.empty((c.layers, S, c.kv_heads, limit, c.head_dim), dtype)

    def read(self, tokens: Array) -> None:
        """Fill the cache with the first tokens[S, T] of all sequences at once."""
        m, c = self.model, self.model.config
        (S, T), H, K, D = tokens.shape, c.heads, c.kv_heads, c.head_dim
        positions, start = np.tile(np.arange(T), S), np.zeros((S, T), np.int64)

        def attend(layer: int, qkv: Array) -> Array:
            rope.rotate(qkv, positions, m.cos, m.sin, H + K, 1.0, qkv)
            q, k, v = fused.split_heads(qkv.reshape(S, T, -1), H, K)
            self.keys[layer, ..., :T] = k.reshape(S, T, K, D).transpose(0, 2, 3, 1)
            self.values[layer, :, :, :T] = v.reshape(S, T, K, D).swapaxes(1, 2)
            out, lse = np.empty((S, T, H * D), qkv.dtype), np.empty((S, H, T), qkv.dtype)
            attention.forward(q, k, v, start, H, out, lse)
            return out.reshape(S * T, H * D)

        def layer(i: int, x: Array) -> Any:
            return composed_layer(i, x, m.weights, c, lambda qkv: attend(i, qkv))

        trunk(m.weights, c, tokens.reshape(-1), layer)

    def step(self, slots: Array, tokens: Array, position: int) -> Array:
        """Feed one token to each of the sequences `slots`: hidden states [len(slots), C]."""
        m, c = self.model, self.model.config
        x, positions = m.weights["embedding"][tokens], np.full(len(slots), position)
        for layer, keys, values in zip(m.layers, self.keys, self.values, strict=True):
            decode.layer(x, slots, positions, keys, values, m.cos, m.sin, c.heads, c.norm_eps, m.by_rows, *layer)
        hidden: Array = fused.rms_norm(x, m.weights["norm"], c.norm_eps)
        return hidden
