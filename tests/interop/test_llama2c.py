"""llama2.c's format: the golden story of a trained model, layouts, and files that are something else."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpoints import configs
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.errors import UserError
from minipost.interop import llama2c
from minipost.interop.command import ImportConfig, import_run
from minipost.model import ModelConfig, Sampling, generate, init_weights
from minipost.model.folder import load_model
from minipost.text import prompt_tokens

DATA = os.environ.get("MINIPOST_TEST_DATA")
real = pytest.mark.skipif(DATA is None, reason="MINIPOST_TEST_DATA is not set")
ALPHABET = ["a", "b", "c", " ", "é", "ab", "abc", "bc", " a", "ca", "aa"]  # joined by rank, best first from "ab" on


def write(path: Path, config: ModelConfig, weights: dict[str, np.ndarray], context: int) -> None:
    """A checkpoint as llama2.c's exporter lays it out: written here from its own description, rotary pairs adjacent."""
    L, D, C, K = config.layers, config.head_dim, config.dim, config.kv_heads * config.head_dim
    vocab = config.vocab_size if config.tied else -config.vocab_size

    def adjacent(rows: np.ndarray) -> np.ndarray:
        """Planes (d, d + D/2) -> adjacent channels."""
        heads = rows.reshape(-1, D, rows.shape[-1])
        order = np.arange(D).reshape(2, D // 2).T.ravel()  # 0, D/2, 1, D/2 + 1, ...
        return heads[:, order].reshape(rows.shape)

    def each(part: str) -> list[np.ndarray]:
        return [weights[f"layers.{i}.{part}"] for i in range(L)]

    q, k, v = zip(*(np.split(w, [C, C + K]) for w in each("qkv")), strict=True)
    gate, up = zip(*(np.split(w, 2) for w in each("gate_up")), strict=True)
    parts = [
        weights["embedding"],
        *each("attention_norm"),
        *map(adjacent, q),
        *map(adjacent, k),
        *v,
        *each("attention_out"),
        *each("mlp_norm"),
        *gate,
        *each("mlp_down"),
        *up,
        weights["norm"],
        np.full((context, D), 7.0),
        *([] if config.tied else [weights["output"]]),
    ]
    header = struct.pack("<7i", C, config.hidden, L, config.heads, config.kv_heads, vocab, context)
    path.write_bytes(header + b"".join(p.astype("<f4").tobytes() for p in parts))


def write_tokenizer(path: Path) -> int:
    entries = [(0.0, b"<unk>"), (0.0, b"\n<s>\n"), (0.0, b"\n</s>\n")]
    entries += [(0.0, f"<0x{byte:02X}>".encode()) for byte in range(256)]
    entries += [(-float(i), text.encode()) for i, text in enumerate(ALPHABET)]
    packed = b"".join(struct.pack("<fi", score, len(text)) + text for score, text in entries)
    path.write_bytes(struct.pack("<i", 5) + packed)
    return len(entries)


@settings(deadline=None, max_examples=25)
@given(config=configs(), seed=st.integers(0, 99))
def test_any_shape_is_read(config: ModelConfig, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("c")
    size = write_tokenizer(folder / "tok.bin")
    expected = replace(config, vocab_size=size, rope_base=10000.0, norm_eps=1e-5, rope_scaling=None)
    weights = init_weights(expected, np.random.default_rng(seed))
    write(folder / "model.bin", expected, weights, expected.context)
    found = llama2c.load(folder / "model.bin")
    assert found.config == expected
    assert {n: w.tobytes() for n, w in found.weights.items()} == {n: w.tobytes() for n, w in weights.items()}


def slow_encode(text: str) -> list[int]:
    """llama2.c's own loop: look for the best-scored join of two neighbours, the first of equals, and begin again."""
    vocabulary = {piece: 259 + i for i, piece in enumerate(ALPHABET)}
    names = {i: piece for piece, i in vocabulary.items()}
    ids: list[int] = []
    for character in " " + text if text else "":
        ids += [vocabulary[character]] if character in vocabulary else [3 + byte for byte in character.encode()]
    while True:
        best = None
        for i in range(len(ids) - 1):
            new = vocabulary.get(names.get(ids[i], "\0") + names.get(ids[i + 1], "\0"))
            if new is not None and (best is None or new < best[0]):  # a smaller id has a better score
                best = new, i
        if best is None:
            return ids
        ids[best[1] : best[1] + 2] = [best[0]]


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.sampled_from("abcé xß汉"), max_size=30))
def test_tokens_are_those_of_the_simple_loop(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "tok.bin"
    words = llama2c.load_tokenizer(path, write_tokenizer(path))
    assert words.encode(text) == slow_encode(text)
    assert words.decode(words.encode(text)).removeprefix(" ") == text


def test_other_files_get_a_sentence(tmp_path: Path) -> None:
    size = write_tokenizer(tmp_path / "tok.bin")
    config = ModelConfig(size, 8, 1, 2, 1, 8, 16)
    path = tmp_path / "model.bin"
    write(path, config, init_weights(config, np.random.default_rng(0)), 16)
    good = path.read_bytes()
    huge = struct.pack("<7i", 1 << 30, 1 << 30, 900, 2, 1, 1 << 30, 16)
    for content in (b"", good[:20], good[:-4], good + b"\0\0\0\0", b"\xff" * 28 + good[28:], huge + good[28:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"too short|asks for|no llama2.c"):
            llama2c.load(path)
    path.write_bytes(good)
    for content in (b"", b"\0" * 64, struct.pack("<ifi", 1, 0.0, 1 << 30)):
        (tmp_path / "tok.bin").write_bytes(content)
        with pytest.raises(UserError, match=r"no tokenizer|cannot be used"):
            llama2c.load(path)
    (tmp_path / "tok2.bin").write_bytes(b"")
    with pytest.raises(UserError, match="name the one with --tokenizer"):
        llama2c.load(path)


@real
def test_golden_story() -> None:
    """Greedy decoding of a trained model gives its documented text, character for character."""
    found = llama2c.load(Path(DATA or "") / "stories260K.bin")
    golden = (Path(DATA or "") / "stories260K.greedy.txt").read_text(encoding="utf-8").rstrip("\n")
    sampled = found.generate(
        [prompt_tokens(found.tokenizer, "")],
        np.random.default_rng(0),
        max_new_tokens=256,
        sampling=Sampling(temperature=0),
    )[0]
    assert found.tokenizer.decode(sampled.tokens).removeprefix(" ") == golden


@real
def test_import_makes_a_run_that_goes_on_with_a_text(tmp_path: Path) -> None:
    import_run(ImportConfig(Path(DATA or "") / "stories260K.bin", tmp_path / "run"))
    weights, fields, words = load_model(tmp_path / "run")
    config = ModelConfig.from_dict(fields)
    prompt = prompt_tokens(words, "Once upon a time, there was a little girl named")
    sampled = generate(
        weights,
        config,
        [prompt],
        np.random.default_rng(0),
        end_id=words.end_id,
        max_new_tokens=8,
        sampling=Sampling(temperature=0),
    )[0]
    assert words.decode(sampled.tokens).startswith(" Lily")
