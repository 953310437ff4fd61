"""Hugging Face's checkpoint folder, Llama's shape of it: weights and configuration, both ways.

    ours                     transformers                                        [out, in] alike
    embedding                model.embed_tokens
    layers.i.attention_norm  model.layers.i.input_layernorm
    layers.i.qkv             model.layers.i.self_attn.{q,k,v}_proj               theirs are three, ours is a stack
    layers.i.attention_out   model.layers.i.self_attn.o_proj
    layers.i.mlp_norm        model.layers.i.post_attention_layernorm
    layers.i.gate_up         model.layers.i.mlp.{gate,up}_proj                   likewise
    layers.i.mlp_down        model.layers.i.mlp.down_proj
    norm, output, score      model.norm, lm_head, score

Rotary planes are laid out alike (channels d and d + D/2), so that a checkpoint is a renaming: nothing is computed, and
a model that travels there and back has the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minipost.interop import tensors
from minipost.interop.checkpoint import LONGEST_CONTEXT, MOST_LAYERS, InteropError, number, read_json, whole
from minipost.model import Array, ModelConfig, RopeScaling, shapes

CAUSAL, SCORING = "LlamaForCausalLM", "LlamaForSequenceClassification"
_TOP = {"embedding": "model.embed_tokens", "norm": "model.norm", "output": "lm_head", "score": "score"}
_PARTS = {  # of a layer
    "attention_norm": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "mlp_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp_down": ("mlp.down_proj",),
}
_SCALING = {"low_turns": "low_freq_factor", "high_turns": "high_freq_factor"}


def names(config: ModelConfig, name: str) -> dict[str, int]:
    """The names in transformers for one of our weights, each with its share of the rows (0: all of them)."""
    if name in _TOP:
        return {_TOP[name] + ".weight": 0}
    _, layer, part = name.split(".")
    kv = config.kv_heads * config.head_dim
    rows = {"qkv": (config.dim, kv, kv), "gate_up": (config.hidden, config.hidden)}.get(part, (0,))
    parts = (f"model.layers.{layer}.{t}.weight" for t in _PARTS[part])
    return dict(zip(parts, rows, strict=True))


def to_tensors(weights: Mapping[str, Array], config: ModelConfig) -> dict[str, Array]:
    """Our weights under the names in transformers."""
    out: dict[str, Array] = {}
    for name, weight in weights.items():
        parts = names(config, name)
        cuts = np.cumsum(list(parts.values()))[:-1]
        out |= zip(parts, np.split(weight, cuts), strict=True)
    return out


def from_folder(folder: Path) -> tuple[dict[str, Array], ModelConfig, str | None]:
    """(weights in float32, configuration, head) of a folder that transformers can load too. Errors: `InteropError`."""
    config, head = from_config(read_json(folder / "config.json"), folder / "config.json")
    stored = {n: e for n, e in tensors.entries(folder).items() if not n.endswith("rotary_emb.inv_freq")}  # old buffers
    if config.tied:
        stored.pop("lm_head.weight", None)  # some writers store the shared matrix twice
    expected: dict[str, tuple[int, ...]] = {}
    ours = shapes_of(config, head, has_output=head is None or "lm_head.weight" in stored)
    for name, shape in ours.items():
        expected |= {part: (rows or shape[0], *shape[1:]) for part, rows in names(config, name).items()}
    tensors.check(stored, expected, folder)
    weights = {
        name: np.concatenate([stored[part].read() for part in names(config, name)]) for name in ours
    }  # one part: a copy that may be written to
    if "output" not in weights and not config.tied:  # a scoring model of theirs has no output layer: it is never used
        weights["output"] = np.zeros((config.vocab_size, config.dim), np.float32)
    return weights, config, head


def shapes_of(config: ModelConfig, head: str | None, has_output: bool) -> dict[str, tuple[int, ...]]:
    """Our names and shapes; without the output layer where the checkpoint has none."""
    return {name: shape for name, shape in shapes(config, head).items() if has_output or name != "output"}


def to_config(config: ModelConfig, head: str | None, ids: Mapping[str, int]) -> dict[str, Any]:
    """config.json for transformers 4 and 5; `ids` holds bos_token_id, eos_token_id and pad_token_id."""
    out: dict[str, Any] = {
        "architectures": [SCORING if head == "score" else CAUSAL],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_scaling": None,
        "tie_word_embeddings": config.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        **ids,
    }
    if (scaling := config.rope_scaling) is not None:
        out["rope_scaling"] = {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            out["rope_scaling"] |= {key: getattr(scaling, field) for field, key in _SCALING.items()}
            out["rope_scaling"]["original_max_position_embeddings"] = scaling.original_context
    if head == "score":
        out |= {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    return out


def from_config(values: Mapping[str, Any], where: Path) -> tuple[ModelConfig, str | None]:
    """(configuration, head). Errors: `InteropError` naming the first thing that our decoder cannot represent."""
    head = _refuse_what_does_not_fit(values, where)
    heads, dim = whole(values, "num_attention_heads", where), whole(values, "hidden_size", where)
    if whole(values, "head_dim", where, dim // heads) * heads != dim:
        head_dim = values.get("head_dim")
        raise InteropError(f"{where}: {heads} heads of head_dim {head_dim} do not make hidden_size {dim}.")
    base, scaling = _rotary(values, where)
    config = ModelConfig(
        vocab_size=whole(values, "vocab_size", where),
        dim=dim,
        layers=whole(values, "num_hidden_layers", where, most=MOST_LAYERS),
        heads=heads,
        kv_heads=whole(values, "num_key_value_heads", where, heads),
        hidden=whole(values, "intermediate_size", where),
        context=whole(values, "max_position_embeddings", where, 2048, most=LONGEST_CONTEXT),
        tied=bool(values.get("tie_word_embeddings", False)),
        rope_base=base,
        norm_eps=number(values, "rms_norm_eps", where, 1e-6),
        rope_scaling=scaling,
    )
    return config, head


def _refuse_what_does_not_fit(values: Mapping[str, Any], where: Path) -> str | None:
    """The head that the model has. Errors: `InteropError`."""
    if values.get("model_type") != "llama":
        raise InteropError(f"{where}: a model of type {values.get('model_type')!r} is not a Llama model.")
    wanted: dict[str, tuple[Any, ...]] = {  # field: values that say nothing else than our decoder does
        "hidden_act": ("silu", "swish", None),
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
        "sliding_window": (None,),
        "use_sliding_window": (False, None),
        "quantization_config": (None,),
        "partial_rotary_factor": (1.0, None),
    }
    for name, fine in wanted.items():
        if values.get(name) not in fine:
            raise InteropError(f"{where}: {name} is {values[name]!r}, which minipost's decoder does not have.")
    architectures = values.get("architectures") or [CAUSAL]
    if architectures == [SCORING]:
        labels = values.get("num_labels", len(values.get("id2label") or (0, 1)))
        if labels != 1:
            raise InteropError(f"{where}: a reward model has one label, not {labels}.")
        return "score"
    if architectures != [CAUSAL]:
        raise InteropError(f"{where}: the architecture {architectures!r} is neither {CAUSAL} nor {SCORING}.")
    return None


def _rotary(values: Mapping[str, Any], where: Path) -> tuple[float, RopeScaling | None]:
    """(base, scaling), from transformers 5's `rope_parameters` or its older `rope_theta` and `rope_scaling`."""
    scaling = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise InteropError(f"{where}: the rotary scaling is {scaling!r}; it must be an object.")
    base = number({"rope_theta": values.get("rope_theta"), **scaling}, "rope_theta", where, 10000.0)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind in ("default", None):
        return base, None
    if kind not in ("linear", "llama3") or scaling.get("partial_rotary_factor", 1.0) != 1.0:
        raise InteropError(f"{where}: rotary positions of type {kind!r} are neither plain, linear nor llama3.")
    factor = number(scaling, "factor", where)
    if kind == "linear":
        return base, RopeScaling("linear", factor)
    low, high = (number(scaling, key, where) for key in _SCALING.values())
    return base, RopeScaling("llama3", factor, low, high, whole(scaling, "original_max_position_embeddings", where))
