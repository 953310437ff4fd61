"""What a model looks like, the names and shapes of its weights, and their first random values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from minipost.errors import UserError
from minipost.model.rope_scaling import RopeScaling

Array = npt.NDArray[Any]
Weights = Mapping[str, Any]  # name -> ndarray, or -> Tensor while gradients are wanted


REFERENCE = "reference."  # before the names of the weights of a frozen reference
LIKELIHOOD_START = (
    1.0,
    0.1,
    0.0,
)  # a fresh reward model's weight of an answer's mean and summed log-probability; origin


class ModelError(UserError):
    """A model that cannot be built, or weights that do not fit it."""


@dataclass(frozen=True)
class ModelConfig:
    """A Llama-style decoder (Touvron et al. 2023): RMSNorm, rotary positions, SwiGLU, grouped-query attention."""

    vocab_size: int  # V
    dim: int = 128  # C, channels of the residual stream
    layers: int = 4
    heads: int = 4  # H, query heads of D = dim / heads channels
    kv_heads: int = 2  # K, key/value heads; each serves heads / kv_heads query heads
    hidden: int = 352  # F, channels of the feed-forward layer
    context: int = 256  # the longest sequence
    tied: bool = True  # the output layer shares the embedding's weights
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    rope_scaling: RopeScaling | None = None  # stretched positions, for checkpoints that have them

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.dim, self.layers, self.heads, self.kv_heads, self.hidden, self.context) < 1:
            raise ModelError(f"every size of a model must be at least 1, got {self}.")
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise ModelError(f"dim {self.dim} must be heads {self.heads} times an even number of channels.")
        if self.heads % self.kv_heads:
            raise ModelError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}.")

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Errors: `ModelError` for missing or unknown fields."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"the model's configuration has the unknown field {unknown[0]!r}: it is not one of ours.")
        try:
            scaling = values.get("rope_scaling")
            return cls(**{**values, "rope_scaling": RopeScaling(**scaling) if scaling else None})
        except TypeError as error:
            raise ModelError(f"the model's configuration is incomplete ({error}).") from None


def shapes(config: ModelConfig, head: str | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes, [out, in] for matrices. `head` adds a scalar output: "score" or "value", of shape [1, C], or
    "likelihood", a score that reads the log-probabilities of a frozen reference too: see `minipost.model.heads`."""
    C, F, qkv = config.dim, config.hidden, (config.heads + 2 * config.kv_heads) * config.head_dim
    out: dict[str, tuple[int, ...]] = {"embedding": (config.vocab_size, C)}
    for i in range(config.layers):
        out |= {
            f"layers.{i}.attention_norm": (C,),
            f"layers.{i}.qkv": (qkv, C),
            f"layers.{i}.attention_out": (C, C),
            f"layers.{i}.mlp_norm": (C,),
            f"layers.{i}.gate_up": (2 * F, C),
            f"layers.{i}.mlp_down": (C, F),
        }
    out["norm"] = (C,)
    if not config.tied:
        out["output"] = (config.vocab_size, C)
    if head == "likelihood":
        reference = {REFERENCE + name: shape for name, shape in out.items()}
        return out | {"score": (1, C), "gate": (1, C), "likelihood": (1, 3)} | reference
    if head is not None:
        out[head] = (1, C)
    return out


def head_of(weights: Mapping[str, Any]) -> str | None:
    """The scalar output that a model has: "likelihood", "score", "value" or None."""
    return next((head for head in ("likelihood", "score", "value") if head in weights), None)


def init_weights(
    config: ModelConfig, rng: np.random.Generator, head: str | None = None, dtype: Any = np.float32
) -> dict[str, Array]:
    """Random weights: normal with deviation 0.02, in GPT-2's manner smaller where a layer adds to the residual stream.

    Gains are 1. A scalar head is fresh: see `with_head`.
    """
    weights: dict[str, Array] = {}
    for name, shape in shapes(config).items():
        if len(shape) == 1:
            weights[name] = np.ones(shape, dtype)
        else:
            shrink = (2 * config.layers) ** -0.5 if name.endswith(("attention_out", "mlp_down")) else 1.0
            std = 0.02 if name in ("embedding", "output") else shrink * shape[-1] ** -0.5 / 2
            weights[name] = (std * rng.standard_normal(shape)).astype(dtype)
    return weights if head is None else with_head(weights, config, head)


def with_head(weights: Mapping[str, Array], config: ModelConfig, head: str) -> dict[str, Array]:
    """A copy of a model with a fresh scalar head in place of any that it has.

    The head is 0, so that a fresh reward model scores everything 0 (its loss is log 2) and a fresh value function
    expects nothing. One that reads likelihoods starts with `LIKELIHOOD_START` of them, and the model itself is its
    frozen reference.
    """
    trunk = {name: weights[name].copy() for name in shapes(config)}
    zero, dtype = np.zeros((1, config.dim), trunk["norm"].dtype), trunk["norm"].dtype
    if head == "likelihood":
        reference = {REFERENCE + name: w.copy() for name, w in trunk.items()}
        start = np.array([LIKELIHOOD_START], dtype)
        return trunk | {"score": zero, "gate": zero.copy(), "likelihood": start} | reference
    return trunk | {head: zero}


def count(weights: Mapping[str, Array]) -> int:
    """Number of parameters."""
    return sum(w.size for w in weights.values())
