"""A Llama-style decoder in idiomatic PyTorch, and its training step.

One matrix for query, key and value, one for gate and up, `scaled_dot_product_attention`, `rms_norm`, tied embeddings,
clipping, fused AdamW (or Muon for the layers' matrices). With `compiled=True` the forward and backward pass go through
torch.compile, with `halved=True` they run under autocast to bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import GRADIENTS, UPDATE, noted
from benchmarks.peers.torch_muon import Muon
from minipost.model import Array, ModelConfig

Cache = tuple[Tensor, Tensor]  # keys and values of one layer, [B, H, limit, D] each


class Layer(nn.Module):
    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.heads, self.eps = c.heads, c.norm_eps
        self.attention_norm = nn.RMSNorm(c.dim, c.norm_eps)
        self.qkv = nn.Linear(c.dim, 3 * c.dim, bias=False)
        self.attention_out = nn.Linear(c.dim, c.dim, bias=False)
        self.mlp_norm = nn.RMSNorm(c.dim, c.norm_eps)
        self.gate_up = nn.Linear(c.dim, 2 * c.hidden, bias=False)
        self.mlp_down = nn.Linear(c.hidden, c.dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None = None, cache: Cache | None = None, at: int = 0
    ) -> Tensor:
        """x[B, T, C]; with a cache the T tokens are those from position `at` on."""
        B, T, C = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(B, T, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, T, D] each
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            keys, values = cache
            keys[:, :, at : at + T], values[:, :, at : at + T] = k, v
            k, v = keys[:, :, : at + T], values[:, :, : at + T]
        mixed = attend(q, k, v, mask, T > 1)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(B, T, C))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.mlp_down(F.silu(gate) * up)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """q[B, H, T, D] and keys and values -> [B, H, T, D].

    In float32 also under autocast: in bfloat16 its backward pass takes 4 to 50 times as long on a CPU (PyTorch 2.13).
    """
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return attend(q.float(), k.float(), v.float(), mask, causal)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and causal)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Llama(nn.Module):
    def __init__(self, c: ModelConfig, weights: Mapping[str, Array]) -> None:
        """Starts from the package's own weights."""
        super().__init__()
        self.embedding = nn.Embedding(c.vocab_size, c.dim)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.dim, c.norm_eps)
        frequency = c.rope_base ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)
        angle = torch.arange(c.context)[:, None] * frequency  # [context, D/2]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.load_state_dict({f"{name}.weight": torch.tensor(w) for name, w in weights.items() if len(w) > 1})

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: list[Cache] | None = None,
        at: int = 0,
    ) -> Tensor:
        """tokens[B, T] -> hidden states[B, T, C]; `positions` [B, T] where they do not count from `at`."""
        T = tokens.shape[1]
        cos, sin = self.cos[at : at + T], self.sin[at : at + T]
        if positions is not None:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]  # [B, 1, T, D/2]
        x = self.embedding(tokens)
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, cache[i] if cache is not None else None, at)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight)


def adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Decay for matrices only, one fused update."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)


def next_token_loss(model: Llama, tokens: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model.logits(model(tokens)).flatten(0, 1), targets.flatten())


def trainer(
    config: ModelConfig,
    weights: Mapping[str, Array],
    *,
    lr: float,
    weight_decay: float,
    threads: int,
    muon_lr: float | None = None,
    compiled: bool = False,
    halved: bool = False,
    parts: dict[str, list[float]] | None = None,
) -> tuple[Callable[[Array, Array], float], int]:
    """(step(tokens[B, T], targets[B, T]) -> loss, number of parameters).

    With a `muon_lr` Muon updates the layers' matrices. `halved`: forward and backward under autocast to bfloat16.
    The seconds of a step's two parts join `parts`.
    """
    torch.set_num_threads(threads)
    model = Llama(config, weights)
    inner = [p for p in model.layers.parameters() if p.ndim == 2] if muon_lr else []
    outer = [p for p in model.parameters() if all(p is not matrix for matrix in inner)]
    optimizers: list[torch.optim.Optimizer] = [adamw(outer, lr, weight_decay)]
    if muon_lr:
        optimizers.append(Muon(inner, muon_lr, compiled))
    loss_of: Any = torch.compile(next_token_loss) if compiled else next_token_loss
    parts = {} if parts is None else parts

    def gradients(tokens: Array, targets: Array) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            loss = loss_of(model, torch.from_numpy(tokens), torch.from_numpy(targets))
        loss.backward()
        return loss.item()

    def update() -> None:
        nn.utils.clip_grad_norm_(outer, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def step(tokens: Array, targets: Array) -> float:
        loss: float = noted(parts, GRADIENTS, lambda: gradients(tokens, targets))
        noted(parts, UPDATE, update)
        return loss

    return step, sum(p.numel() for p in model.parameters())
