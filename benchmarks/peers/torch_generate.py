"""Generation in plain PyTorch: a loop over a cache of keys and values that is allocated once.

The prompt is read in one go; each step then feeds one token a row. It runs in inference mode, without any layer of
abstraction between the loop and the model, and records each token's log-probability, as minipost does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.torch_llama import Cache, Llama


@torch.no_grad()
def generate(
    model: Llama, prompts: Tensor, new: int, temperature: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """prompts[B, P] -> tokens[B, new] and their log-probabilities[B, new]; temperature 0 is greedy."""
    B, P = prompts.shape
    heads, dim = model.layers[0].heads, model.embedding.embedding_dim
    shape = (B, heads, P + new, dim // heads)
    cache: list[Cache] = [(torch.empty(shape), torch.empty(shape)) for _ in model.layers]
    tokens, logps = torch.empty((B, new), dtype=torch.long), torch.empty((B, new))
    hidden = model(prompts, cache=cache)[:, -1]
    for i in range(new):
        tokens[:, i], logps[:, i] = sample(model.logits(hidden), temperature, generator)
        if i + 1 < new:
            hidden = model(tokens[:, i : i + 1], cache=cache, at=P + i)[:, 0]
    return tokens, logps


def sample(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """logits[B, V] -> token[B], its log-probability[B]."""
    if temperature == 0:
        return logits.argmax(dim=-1), torch.zeros(len(logits))
    logp = torch.log_softmax(logits / temperature, dim=-1)
    token = torch.multinomial(logp.exp(), 1, generator=generator)
    return token[:, 0], logp.gather(1, token)[:, 0]
