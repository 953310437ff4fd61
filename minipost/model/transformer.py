"""The decoder, read from top to bottom.

    x = embedding[tokens]
    for each layer:   x += W_o attend(W_qkv norm(x));   x += W_down swiglu(W_gate_up norm(x))
    logits = norm(x) W_output^T

The same lines serve training, scoring and reading prompts: with Tensors as weights they record a tape, with arrays they
only compute. A layer is one operation, `fused.layer`. `composed_layer` says the same line by line; it takes over where
a layer has adapters or somebody wants its keys and values. For the one token a sequence of a generation's step there is
`kernels.decode.layer`. N tokens in all, B rows of T, C channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from minipost.autograd import fused
from minipost.kernels import rope
from minipost.model import lora
from minipost.model.config import Array, ModelConfig, ModelError, Weights

Attend = Callable[[Any], Any]  # qkv[N, (H + 2K) * D] -> [N, H * D]
PARTS = ("attention_norm", "qkv", "attention_out", "mlp_norm", "gate_up", "mlp_down")  # the weights of a layer


def trunk(weights: Weights, config: ModelConfig, tokens: Array, layer: Callable[[int, Any], Any]) -> Any:
    """tokens[N] -> hidden states[N, C], after the last norm; `layer(i, x)` is the i-th layer."""
    x = fused.embedding(weights["embedding"], tokens)  # [N, C]
    for i in range(config.layers):
        x = layer(i, x)
    return fused.rms_norm(x, weights["norm"], config.norm_eps)


def composed_layer(i: int, x: Any, weights: Weights, config: ModelConfig, attend: Attend) -> Any:
    """x[N, C] -> [N, C]: the i-th layer, line by line, with its adapters."""
    layer = f"layers.{i}."
    h = fused.rms_norm(x, weights[layer + "attention_norm"], config.norm_eps)
    mixed = attend(lora.linear(h, weights, layer + "qkv"))  # [N, H * D]
    x = x + lora.linear(mixed, weights, layer + "attention_out")
    h = fused.rms_norm(x, weights[layer + "mlp_norm"], config.norm_eps)
    h = fused.swiglu(lora.linear(h, weights, layer + "gate_up"))  # [N, F]
    return x + lora.linear(h, weights, layer + "mlp_down")


def hidden_states(
    weights: Weights, config: ModelConfig, tokens: Array, positions: Array | None = None, start: Array | None = None
) -> Any:
    """tokens[B, T] -> [B * T, C].

    `start[B, T]` is the first column that a token may see (default 0) and `positions[B, T]` its place in its document
    (default column - start): together they are packing and padding, see `minipost.text.batching`.
    """
    B, T = tokens.shape
    if config.context < T:
        raise ModelError(f"rows of {T} tokens do not fit the model's context of {config.context}: shorten them.")
    start = np.zeros((B, T), np.int64) if start is None else start
    positions = np.arange(T) - start if positions is None else positions
    cos, sin = rotary_table(config, weights["norm"].dtype.str)
    layout = fused.Layout(positions.astype(np.int64), start.astype(np.int64), cos, sin)
    H, K = config.heads, config.kv_heads

    def layer(i: int, x: Any) -> Any:
        if lora.adapts(weights, f"layers.{i}."):
            return composed_layer(i, x, weights, config, lambda qkv: fused.attention(qkv, layout, H, K))
        return fused.layer(x, [weights[f"layers.{i}.{part}"] for part in PARTS], layout, H, K, config.norm_eps)

    return trunk(weights, config, tokens.reshape(-1), layer)


def output_weight(weights: Weights) -> Any:
    """The matrix [V, C] that turns hidden states into logits."""
    return weights["output"] if "output" in weights else weights["embedding"]


def logits(weights: Weights, config: ModelConfig, tokens: Array, **where: Array) -> Any:
    """tokens[B, T] -> [B, T, V]. For losses use `token_logps`, which never holds all of them."""
    flat = fused.linear(hidden_states(weights, config, tokens, **where), output_weight(weights))
    return flat.reshape(*tokens.shape, config.vocab_size)


@lru_cache(maxsize=16)
def rotary_table(config: ModelConfig, dtype: str) -> tuple[Array, Array]:
    """cos and sin for every position of the context, [context, D/2] each."""
    return rope.table(config.context, config.head_dim, config.rope_base, np.dtype(dtype), config.rope_scaling)
