"""The same decoder and training step in JAX: one jitted function, whose weights and moments are donated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minipost.model import Array, ModelConfig

Weights = dict[str, Any]


def rms_norm(x: Any, gain: Any, eps: float) -> Any:
    return gain * x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps)


def rotate(x: Any, cos: Any, sin: Any) -> Any:
    """x[B, T, H, D], cos and sin[T, 1, D/2]."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def hidden_states(w: Weights, c: ModelConfig, tokens: Any) -> Any:
    """tokens[B, T] -> [B, T, C]."""
    B, T = tokens.shape
    frequency = c.rope_base ** (-jnp.arange(0, c.head_dim, 2) / c.head_dim)
    angle = jnp.arange(T)[:, None, None] * frequency
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x = w["embedding"][tokens]
    for i in range(c.layers):
        layer = f"layers.{i}."
        h = rms_norm(x, w[layer + "attention_norm"], c.norm_eps)
        q, k, v = ((h @ w[layer + "qkv"].T).reshape(B, T, 3, c.heads, -1)[:, :, j] for j in range(3))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.reshape(B, T, -1) @ w[layer + "attention_out"].T
        h = rms_norm(x, w[layer + "mlp_norm"], c.norm_eps)
        gate, up = jnp.split(h @ w[layer + "gate_up"].T, 2, axis=-1)
        x = x + (jax.nn.silu(gate) * up) @ w[layer + "mlp_down"].T
    return rms_norm(x, w["norm"], c.norm_eps)


def next_token_loss(w: Weights, c: ModelConfig, tokens: Any, targets: Any) -> Any:
    logp = jax.nn.log_softmax(hidden_states(w, c, tokens) @ w["embedding"].T)
    return -jnp.mean(jnp.take_along_axis(logp, targets[..., None], axis=-1))


def trainer(
    config: ModelConfig, weights: Mapping[str, Array], *, lr: float, weight_decay: float
) -> tuple[Callable[[Array, Array], float], int]:
    """(step(tokens[B, T], targets[B, T]) -> loss, number of parameters)."""
    beta1, beta2, eps = 0.9, 0.95, 1e-8

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, tokens: Any, targets: Any) -> Any:
        w, m, v, count = state
        loss, g = jax.value_and_grad(next_token_loss)(w, config, tokens, targets)
        norm = jnp.sqrt(sum(jnp.sum(x * x) for x in g.values()))
        scale = jnp.minimum(1.0, 1.0 / (norm + 1e-12))
        count = count + 1
        for name in w:
            grad = g[name] * scale
            m[name] = beta1 * m[name] + (1 - beta1) * grad
            v[name] = beta2 * v[name] + (1 - beta2) * grad * grad
            m_hat, v_hat = m[name] / (1 - beta1**count), v[name] / (1 - beta2**count)
            decay = weight_decay if w[name].ndim > 1 else 0.0
            w[name] = w[name] - lr * (m_hat / (jnp.sqrt(v_hat) + eps) + decay * w[name])
        return (w, m, v, count), loss

    start = {name: jnp.asarray(w) for name, w in weights.items()}
    zeros = [{name: jnp.zeros_like(w) for name, w in start.items()} for _ in range(2)]
    state: Any = (start, *zeros, jnp.zeros(()))

    def step(tokens: Array, targets: Array) -> float:
        nonlocal state
        state, loss = update(state, tokens, targets)
        return float(loss)  # waits for the result

    return step, sum(w.size for w in start.values())
