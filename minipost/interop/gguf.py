"""GGUF, the file format of llama.cpp: weights (mostly quantised), configuration and tokenizer in one file.

The `gguf` package reads the file and turns quantised blocks into float32. This module knows where things are:

    ours             GGUF
    embedding        token_embd            layers.i.attention_norm   blk.i.attn_norm
    output           output                layers.i.qkv              blk.i.attn_{q,k,v}
    norm             output_norm           layers.i.attention_out    blk.i.attn_output
                                           layers.i.mlp_norm         blk.i.ffn_norm
                                           layers.i.gate_up          blk.i.ffn_{gate,up}
                                           layers.i.mlp_down         blk.i.ffn_down

As in llama2.c, rotary planes are adjacent channels, so that query and key rows are sorted back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minipost.interop import byte_level
from minipost.interop.chat_template import from_jinja
from minipost.interop.checkpoint import LONGEST_CONTEXT, MOST_LAYERS, InteropError, number, whole
from minipost.interop.llama2c import half_split
from minipost.model import Array, Model, ModelConfig, RopeScaling, shapes
from minipost.text import Tokenizer, TokenizerError

_NAMES = {
    "embedding": ("token_embd",),
    "norm": ("output_norm",),
    "output": ("output",),
    "attention_norm": ("attn_norm",),
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "attention_out": ("attn_output",),
    "mlp_norm": ("ffn_norm",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "mlp_down": ("ffn_down",),
}
_CUTS = {"gpt-2": "gpt2", "smollm": "smollm", "llama-bpe": "llama3", "llama3": "llama3"}
_CONTROL, _USER_DEFINED = 3, 4  # kinds of token that text never becomes


def load(path: Path) -> Model:
    """A Llama model with a byte-level tokenizer. Errors: `InteropError`."""
    try:
        reader = _open(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        stored = {tensor.name: tensor for tensor in reader.tensors}
    except OSError as error:
        raise InteropError(f"Cannot read {path} ({error.strerror}); check the path.") from None
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise InteropError(f"{path} is damaged or no GGUF file ({error}); download it again.") from None
    config = _config(fields, path, tied="output.weight" not in stored)
    return Model(_weights(config, stored, path), config, _tokenizer(fields, config.vocab_size, path))


def _open(path: Path) -> Any:
    """A reader that stops at the file's end: a header may claim an array of 2^60 numbers, which the package would go on
    to look for. Errors: whatever the package raises, and `InteropError` where it is missing."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise InteropError("GGUF files need the gguf package: pip install 'minipost[gguf]'.") from None

    class Bounded(GGUFReader):  # type: ignore[misc]
        def _get(self, offset: int, dtype: Any, count: int = 1, **order: Any) -> Any:
            if int(offset) + int(count) * np.dtype(dtype).itemsize > len(self.data):
                raise ValueError("it ends within a field")
            return super()._get(offset, dtype, count, **order)

    return Bounded(path)


def _config(fields: Mapping[str, Any], path: Path, tied: bool) -> ModelConfig:
    if fields.get("general.architecture") != "llama":
        raise InteropError(f"{path} holds a model of type {fields.get('general.architecture')!r}, not a Llama model.")
    at = {name.removeprefix("llama."): value for name, value in fields.items() if name.startswith("llama.")}
    heads, dim = whole(at, "attention.head_count", path), whole(at, "embedding_length", path)
    head_dim = dim // heads
    if at.get("expert_count") or any(at.get(f"attention.{k}_length", head_dim) != head_dim for k in ("key", "value")):
        raise InteropError(f"{path}: experts, or heads of another size than {head_dim}, are not minipost's decoder.")
    if whole(at, "rope.dimension_count", path, head_dim) != head_dim:
        raise InteropError(f"{path}: only a part of each head is turned by position, which minipost's decoder lacks.")
    scaling, kind = None, at.get("rope.scaling.type", "none")
    if kind == "linear":
        scaling = RopeScaling("linear", number(at, "rope.scaling.factor", path))
    elif kind != "none":
        raise InteropError(f"{path}: rotary positions of type {kind!r} are neither plain nor linear.")
    tokens = fields.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list):
        raise InteropError(f"{path} holds no tokenizer.")
    return ModelConfig(
        vocab_size=len(tokens),
        dim=dim,
        layers=whole(at, "block_count", path, most=MOST_LAYERS),
        heads=heads,
        kv_heads=whole(at, "attention.head_count_kv", path, heads),
        hidden=whole(at, "feed_forward_length", path),
        context=whole(at, "context_length", path, most=LONGEST_CONTEXT),
        tied=tied,
        rope_base=number(at, "rope.freq_base", path, 10000.0),
        norm_eps=number(at, "attention.layer_norm_rms_epsilon", path, 1e-5),
        rope_scaling=scaling,
    )


def _weights(config: ModelConfig, stored: Mapping[str, Any], path: Path) -> dict[str, Array]:
    """All arrays in float32. Shapes are compared before anything is dequantised."""
    kv = config.kv_heads * config.head_dim
    plan: dict[str, list[tuple[str, tuple[int, ...]]]] = {}  # our name -> names in the file, with shapes
    for name, shape in shapes(config).items():
        layer, part = ("", name) if name in _NAMES else (f"blk.{name.split('.')[1]}.", name.split(".")[2])
        rows = {"qkv": (config.dim, kv, kv), "gate_up": (config.hidden,) * 2}.get(part, shape[:1])
        plan[name] = [(f"{layer}{t}.weight", (r, *shape[1:])) for t, r in zip(_NAMES[part], rows, strict=True)]
    expected = dict(entry for parts in plan.values() for entry in parts)
    for name, shape in expected.items():
        got = tuple(int(n) for n in reversed(stored[name].shape)) if name in stored else None
        if got != shape:
            raise InteropError(f"{path}: {name} has shape {got} instead of {shape}.")
    if unknown := sorted(set(stored) - set(expected)):
        raise InteropError(f"{path} holds the array {unknown[0]}, for which a plain Llama model has no place.")
    out = {}
    for name, parts in plan.items():
        arrays = [_dequantised(stored[part], shape, path) for part, shape in parts]
        if name.endswith("qkv"):
            arrays[:2] = [half_split(rows, config.head_dim) for rows in arrays[:2]]
        out[name] = np.concatenate(arrays)
    return out


def _dequantised(tensor: Any, shape: tuple[int, ...], path: Path) -> Array:
    from gguf import quants

    try:
        return np.asarray(quants.dequantize(np.asarray(tensor.data), tensor.tensor_type), np.float32).reshape(shape)
    except (NotImplementedError, ValueError) as error:
        kind = getattr(tensor.tensor_type, "name", tensor.tensor_type)
        raise InteropError(f"{path}: {tensor.name} of type {kind} cannot be dequantised ({error}).") from None


def _tokenizer(fields: Mapping[str, Any], size: int, path: Path) -> Tokenizer:
    def field(name: str, default: Any = None) -> Any:
        return fields.get(f"tokenizer.ggml.{name}", default)

    cuts = _CUTS.get(field("pre", ""))
    if field("model") != "gpt2" or cuts is None:
        raise InteropError(
            f"{path}: the tokenizer {field('model')!r} with cuts {field('pre')!r} is not understood, only byte-level "
            f"ones with cuts {', '.join(_CUTS)}."
        )
    tokens, kinds = field("tokens"), field("token_type", [])
    special = [i for i, kind in enumerate(kinds) if kind in (_CONTROL, _USER_DEFINED)]
    if not special:
        raise InteropError(f"{path}: its tokenizer has no special tokens, so a text could neither begin nor end.")

    def named(key: str) -> str:
        i = field(f"{key}_token_id", special[0])
        return str(tokens[i if i in special else special[0]])

    specials = {tokens[i]: i for i in special}
    vocabulary = {text: i for i, text in enumerate(tokens) if text not in specials}
    merges = [tuple(line.split(" ")) for line in field("merges", [])]
    template = from_jinja(fields.get("tokenizer.chat_template"), named("bos"), specials)
    try:
        return byte_level.tokenizer(
            vocabulary,
            merges,
            specials,
            size,
            cuts=cuts,
            template=template,
            document=named("bos"),
            pad=named("unknown") if "tokenizer.ggml.unknown_token_id" in fields else named("padding"),
        )
    except (InteropError, TokenizerError, ValueError, TypeError) as error:
        raise InteropError(f"{path}: its tokenizer cannot be used ({error}).") from None
