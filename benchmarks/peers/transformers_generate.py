"""`generate` of transformers, on the same weights under their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from minipost.interop import hf
from minipost.model import Array, ModelConfig


def generator(config: ModelConfig, weights: Mapping[str, Array], threads: int) -> Callable[[Array, int, float], Array]:
    """generate(prompts[B, P], new, temperature) -> [B, new]; temperature 0 is greedy."""
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    model = LlamaForCausalLM(LlamaConfig(**hf.to_config(config, None, ids))).eval()
    state = {name: torch.tensor(w) for name, w in hf.to_tensors(weights, config).items()}
    model.load_state_dict(state, strict=False)  # the tied output layer is the embedding
    model.tie_weights()

    def generate(prompts: Array, new: int, temperature: float) -> Array:
        ids = torch.from_numpy(prompts)
        how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, **how)
        return out[:, prompts.shape[1] :].numpy()

    return generate
