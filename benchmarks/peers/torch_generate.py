"""Generation in plain PyTorch: a loop over a cache of keys and values that is allocated once.

The prompt is read in one go; each step then feeds one token a row. It runs in inference mode, without any layer of
abstraction between the loop and the model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.torch_llama import Cache, Llama


@torch.inference_mode()
def generate(model: Llama, prompts: Tensor, new: int, temperature: float, generator: torch.Generator) -> Tensor:
    """prompts[B, P] -> [B, new]; temperature 0 is greedy."""
    B, P = prompts.shape
    heads, dim = model.layers[0].heads, model.embedding.embedding_dim
    shape = (B, heads, P + new, dim // heads)
    cache: list[Cache] = [(torch.empty(shape), torch.empty(shape)) for _ in model.layers]
    out = torch.empty((B, new), dtype=torch.long)
    hidden = model(prompts, cache=cache)[:, -1]
    for i in range(new):
        out[:, i] = sample(model.logits(hidden), temperature, generator)
        if i + 1 < new:
            hidden = model(out[:, i : i + 1], cache=cache, at=P + i)[:, 0]
    return out


def sample(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """logits[B, V] -> [B]."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=generator)[:, 0]
