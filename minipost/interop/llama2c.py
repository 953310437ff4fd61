"""llama2.c's checkpoint: seven integers, then all weights as float32, in the order in which a C program reads them.

    int32    dim  hidden  layers  heads  kv_heads  vocab (negative: the output layer has weights of its own)  context
    float32  embedding, every layer's attention norm, every layer's wq, ... wk, wv, wo, mlp norm, w1, w2, w3, last norm,
             two rotary tables of context * D / 2 that nobody reads any more, [output]

Its rotary planes are *adjacent* channels (2d, 2d + 1) of a head, ours are d and d + D/2. The same model in our layout
has its query and key rows sorted: first the even ones of each head, then the odd ones. Dot products do not notice.

The tokenizer's file: the longest token's length, then for each token its score (float32), its length and its bytes.
Format: https://github.com/karpathy/llama2.c
"""

from __future__ import annotations

import struct
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from minipost.interop.checkpoint import LONGEST_CONTEXT, MEGABYTE, MOST_LAYERS, InteropError
from minipost.model import Array, Model, ModelConfig, shapes
from minipost.text import PretrainedTokenizer, TokenizerError
from minipost.text.pretrained import Join
from minipost.text.template import plain

_UNKNOWN, _BEGIN, _END, _FIRST_BYTE = 0, 1, 2, 3  # ids: <unk>, <s>, </s>, and the 256 bytes as a fallback
_SPECIALS = {"<unk>": _UNKNOWN, "<s>": _BEGIN, "</s>": _END}


def load(model: Path, tokenizer: Path | None = None) -> Model:
    """A checkpoint and its tokenizer (default: a `tok*.bin` beside it). Errors: `InteropError`."""
    config, numbers = _open(model)
    if tokenizer is None:
        beside = sorted(model.parent.glob("tok*.bin"))
        if len(beside) != 1:
            raise InteropError(f"Beside {model} lie {len(beside)} files tok*.bin; name the one with --tokenizer.")
        tokenizer = beside[0]
    return Model(_weights(config, numbers), config, load_tokenizer(tokenizer, config.vocab_size))


def _open(path: Path) -> tuple[ModelConfig, Array]:
    """The configuration, and all numbers behind the header. Nothing is read before the sizes agree."""
    try:
        with path.open("rb") as file:
            header = file.read(28)
        size = path.stat().st_size
    except OSError as error:
        raise InteropError(f"Cannot read {path} ({error.strerror}); check the path.") from None
    if len(header) < 28:
        raise InteropError(f"{path} is too short for a llama2.c checkpoint.")
    dim, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", header)
    plausible = min(dim, hidden, layers, heads, kv_heads, abs(vocab), context) > 0 and layers <= MOST_LAYERS
    if not plausible or context > LONGEST_CONTEXT or dim % heads:
        raise InteropError(f"{path} is no llama2.c checkpoint: its header says {struct.unpack('<7i', header)}.")
    config = ModelConfig(abs(vocab), dim, layers, heads, kv_heads, hidden, context, tied=vocab > 0)
    count = sum(int(np.prod(shape, dtype=object)) for shape in shapes(config).values()) + context * config.head_dim
    if size != 28 + 4 * count:
        raise InteropError(f"{path} has {size:,} bytes, its header asks for {28 + 4 * count:,}; download it again.")
    return config, np.memmap(path, "<f4", "r", 28, count)


def _weights(config: ModelConfig, numbers: Array) -> dict[str, Array]:
    C, F, L, K = config.dim, config.hidden, config.layers, config.kv_heads * config.head_dim
    at = 0

    def take(*shape: int) -> Array:
        nonlocal at
        at += int(np.prod(shape))
        return numbers[at - int(np.prod(shape)) : at].reshape(shape)

    embedding, attention_norm = take(config.vocab_size, C), take(L, C)
    wq, wk, wv, wo = take(L, C, C), take(L, K, C), take(L, K, C), take(L, C, C)
    mlp_norm, gate, down, up, norm = take(L, C), take(L, F, C), take(L, C, F), take(L, F, C), take(C)
    take(2, config.context, config.head_dim // 2)  # the rotary tables
    weights = {"embedding": embedding, "norm": norm}
    for i in range(L):
        qkv = [half_split(wq[i], config.head_dim), half_split(wk[i], config.head_dim), wv[i]]
        parts: dict[str, Any] = {
            "attention_norm": attention_norm[i],
            "qkv": np.concatenate(qkv),
            "attention_out": wo[i],
            "mlp_norm": mlp_norm[i],
            "gate_up": np.concatenate([gate[i], up[i]]),
            "mlp_down": down[i],
        }
        weights |= {f"layers.{i}.{name}": part for name, part in parts.items()}
    if not config.tied:
        weights["output"] = take(config.vocab_size, C)
    return {name: np.array(weights[name], np.float32) for name in shapes(config)}


def half_split(rows: Array, head_dim: int) -> Array:
    """rows[H * D, C] of a query or key matrix whose rotary planes are adjacent channels -> planes (d, d + D/2)."""
    pairs = rows.reshape(-1, head_dim // 2, 2, rows.shape[-1])  # [H, D/2, 2, C]
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def load_tokenizer(path: Path, vocab_size: int) -> PretrainedTokenizer:
    """A llama2.c tokenizer file. Errors: `InteropError`."""
    try:
        if path.stat().st_size > 16 * MEGABYTE:
            raise InteropError(f"{path} has {path.stat().st_size:,} bytes: that is no llama2.c tokenizer.")
        content = path.read_bytes()
        entries, at = [], 4
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", content, at)
            if not 0 <= length <= len(content) - at - 8:
                raise struct.error(f"a token of {length} bytes")
            entries.append((score, content[at + 8 : at + 8 + length]))
            at += 8 + length
    except OSError as error:
        raise InteropError(f"Cannot read {path} ({error.strerror}); check the path.") from None
    except struct.error as error:
        raise InteropError(f"{path} is no tokenizer of {vocab_size} tokens ({error}); pass the model's own.") from None
    try:
        return _tokenizer(entries)
    except TokenizerError as error:
        raise InteropError(f"{path} cannot be used: {error}.") from None


def _tokenizer(entries: list[tuple[float, bytes]]) -> PretrainedTokenizer:
    """Every two tokens whose concatenation is a token may join, the best score first."""
    text = {piece: i for i, (_, piece) in islice(enumerate(entries), _FIRST_BYTE + 256, None)}
    ranks = {score: rank for rank, score in enumerate(sorted({score for score, _ in entries}, reverse=True))}
    joins: list[Join] = []
    for piece, new in text.items():
        for cut in range(1, len(piece)):
            left, right = text.get(piece[:cut]), text.get(piece[cut:])
            if left is not None and right is not None:
                joins.append((left, right, new, ranks[entries[new][0]]))
    pieces = [piece for _, piece in entries]
    pieces[_FIRST_BYTE : _FIRST_BYTE + 256] = [bytes([byte]) for byte in range(256)]
    pieces[:_FIRST_BYTE] = [b""] * _FIRST_BYTE
    characters = {}
    for piece, i in text.items():
        decoded = piece.decode("utf-8", errors="ignore")
        if len(decoded) == 1 and decoded.encode() == piece:
            characters[decoded] = i
    atoms = range(_FIRST_BYTE, _FIRST_BYTE + 256)
    begin = "<s>"
    return PretrainedTokenizer(pieces, joins, _SPECIALS, atoms, "sentence", plain(begin), begin, "<unk>", characters)
