"""The model: a Llama-style decoder, what is read off it, its optimiser, and sampling."""

from minipost.model.config import (
    LIKELIHOOD_START,
    REFERENCE,
    Array,
    ModelConfig,
    ModelError,
    Weights,
    count,
    head_of,
    init_weights,
    shapes,
    with_head,
)
from minipost.model.generation import SERVED_TEMPERATURE, Sampled, Sampling, generate
from minipost.model.model import Model
from minipost.model.muon import Muon
from minipost.model.optimizer import AdamW, schedule
from minipost.model.parallel import map_shards, threads, value_and_grad
from minipost.model.rope_scaling import RopeScaling
from minipost.model.transformer import hidden_states, logits, output_weight

__all__ = [
    "LIKELIHOOD_START",
    "REFERENCE",
    "SERVED_TEMPERATURE",
    "AdamW",
    "Array",
    "Model",
    "ModelConfig",
    "ModelError",
    "Muon",
    "RopeScaling",
    "Sampled",
    "Sampling",
    "Weights",
    "count",
    "generate",
    "head_of",
    "hidden_states",
    "init_weights",
    "logits",
    "map_shards",
    "output_weight",
    "schedule",
    "shapes",
    "threads",
    "value_and_grad",
    "with_head",
]
