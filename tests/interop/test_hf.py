"""Model folders without transformers: there and back with the same bits, and sentences for what does not fit."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from checkpoints import configs, save, tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipost.errors import UserError
from minipost.interop import hf, tensors
from minipost.interop.command import ExportConfig, ImportConfig, export_run, import_run
from minipost.model import ModelConfig
from minipost.model.folder import load_model
from minipost.text import Tokenizer

WORDS = tokenizer()
CONFIG = ModelConfig(len(WORDS), 16, 2, 4, 2, 24, 64)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    save(tmp_path / "run", CONFIG, WORDS)
    export_run(ExportConfig(tmp_path / "run", tmp_path / "hf"))
    return tmp_path / "hf"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs(len(WORDS)), head=st.sampled_from([None, "score"]))
def test_there_and_back_with_the_same_bits(
    config: ModelConfig, head: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    weights = save(folder / "run", config, WORDS, head=head)
    export_run(ExportConfig(folder / "run", folder / "hf"))
    import_run(ImportConfig(folder / "hf", folder / "back"))
    back, fields, words = load_model(folder / "back")
    assert ModelConfig.from_dict(fields) == config
    assert words == WORDS
    assert (folder / "back/tokenizer.json").read_bytes() == (folder / "run/tokenizer.json").read_bytes()
    assert {n: w.tobytes() for n, w in back.items()} == {n: w.tobytes() for n, w in weights.items()}
    assert all(w.flags.writeable for w in back.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mistral"}, "'mistral' is not a Llama model"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"sliding_window": 4096}, "sliding_window is 4096"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"architectures": ["LlamaForQuestionAnswering"]}, "neither LlamaForCausalLM nor"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rotary positions of type 'yarn'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor is None"),
        ({"rope_scaling": 3}, "rotary scaling is 3"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}, "rotary positions of type 'dynamic'"),
        ({"head_dim": 8}, "do not make hidden_size 16"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": "16"}, "hidden_size is '16'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings is 1000000000"),
        ({"vocab_size": 10**9}, "its configuration asks for (1000000000, 16)"),
        ({"intermediate_size": 10**8}, "its configuration asks for (100000000, 16)"),
        ({"tie_word_embeddings": False}, "lacks the array lm_head.weight"),
        ({"num_hidden_layers": 1}, "for which a Llama model has no place"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps is inf"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(exported: Path, changes: dict[str, Any], said: str) -> None:
    edit(exported / "config.json", **changes)
    with pytest.raises(UserError) as error:
        hf.from_folder(exported)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_hostile_files_are_refused_before_they_are_read(exported: Path) -> None:
    """Lengths that lie, an index that reaches elsewhere, a pickle: nothing is allocated, followed or run."""
    model = exported / "model.safetensors"
    good = model.read_bytes()
    header = json.loads(good[8 : 8 + struct.unpack("<Q", good[:8])[0]])
    name = next(n for n in header if n != "__metadata__")

    def with_header(changed: dict[str, Any]) -> bytes:
        raw = json.dumps(changed).encode()
        return struct.pack("<Q", len(raw)) + raw + good[8 + struct.unpack("<Q", good[:8])[0] :]

    bad = [
        b"",
        b"\x80\x04",
        good[:100],
        struct.pack("<Q", 1 << 60) + good[8:],
        struct.pack("<Q", 1 << 40),
        good[:-1],
        with_header(header | {name: header[name] | {"shape": [1 << 40]}}),
        with_header(header | {name: header[name] | {"data_offsets": [0, 1 << 50]}}),
        with_header(header | {name: header[name] | {"dtype": "I64"}}),
        struct.pack("<Q", 200000) + b"[" * 200000,
    ]
    for content in bad:
        model.write_bytes(content)
        with pytest.raises(UserError):
            hf.from_folder(exported)
    model.unlink()
    (exported / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match="pickled"):
        hf.from_folder(exported)
    for names in ({"x": "../model.safetensors"}, {"x": "/etc/passwd"}, {"x": 3}, {}, []):
        (exported / tensors.INDEX).write_text(json.dumps({"weight_map": names}))
        with pytest.raises(UserError, match="does not list files"):
            hf.from_folder(exported)
    (exported / tensors.INDEX).write_text(json.dumps({"weight_map": {"x": "gone.safetensors"}}))
    with pytest.raises(UserError, match=r"There is no .*gone"):
        hf.from_folder(exported)
    (exported / "config.json").write_text("[" * 100000)
    with pytest.raises(UserError, match="no JSON"):
        hf.from_folder(exported)


def test_shards_and_half_precision(exported: Path) -> None:
    arrays = safetensors.numpy.load_file(exported / "model.safetensors")
    whole, config, _ = hf.from_folder(exported)
    (exported / "model.safetensors").unlink()
    names = sorted(arrays)
    parts = {"a-1.safetensors": names[::2], "a-2.safetensors": names[1::2]}
    for file, mine in parts.items():
        safetensors.numpy.save_file({n: arrays[n].astype(np.float16) for n in mine}, exported / file)
    index = {n: file for file, mine in parts.items() for n in mine}
    (exported / tensors.INDEX).write_text(json.dumps({"weight_map": index}))
    half, again, _ = hf.from_folder(exported)
    assert again == config
    for name, w in whole.items():
        assert np.array_equal(half[name], w.astype(np.float16).astype(np.float32))


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    x = np.array([1.0, -2.5, 3e38, 1e-30, 0.0], np.float32)
    upper = (x.view(np.uint32) >> 16).astype("<u2")
    header = json.dumps({"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + upper.tobytes())
    assert np.allclose(tensors.entries(tmp_path)["x"].read(), x, rtol=2**-7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(normalizer={"type": "NFC"}), "no byte-level BPE without a normalizer"),
        (lambda t: t["model"].update(type="Unigram"), "no byte-level BPE"),
        (lambda t: t["model"].update(merges=[["x", "yzq"]]), "no complete tokenizer file"),
        (lambda t: t["model"].update(ignore_merges=True), "ignore_merges is True"),
        (lambda t: t["model"]["vocab"].pop("a"), "cannot be used|no complete"),
        (lambda t: t.pop("model"), "no complete tokenizer file"),
        (lambda t: t["added_tokens"].pop(), "special token .* is missing"),
    ],
)
def test_tokenizers_that_do_not_fit(exported: Path, change: Any, said: str) -> None:
    path = exported / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        import_run(ImportConfig(exported, exported.parent / "back"))
    assert not (exported.parent / "back").exists()


def test_foreign_cuts_are_refused(exported: Path) -> None:
    path = exported / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"] = {"type": "Whitespace"}
    path.write_text(json.dumps(content))
    edit(exported / "tokenizer_config.json", minipost_pattern=None)
    with pytest.raises(UserError, match="cuts text in a way"):
        import_run(ImportConfig(exported, exported.parent / "back"))


def test_two_tokens_of_one_text_cannot_be_exported(tmp_path: Path) -> None:
    """a+b, ab+c and b+c, a+bc: the format knows a token by its text. Training never makes such a pair of tokens."""
    words = Tokenizer([(97, 98), (256, 99), (98, 99), (97, 258)])
    save(tmp_path / "run", ModelConfig(len(words), 8, 1, 2, 1, 8, 16), words)
    with pytest.raises(UserError, match="the same text"):
        export_run(ExportConfig(tmp_path / "run", tmp_path / "hf"))
    trained = Tokenizer.train(["abc bc abc xbc abq ab " * 9], 300)
    assert len(set(trained.token_bytes)) == len(trained.token_bytes)


def test_a_score_that_reads_likelihoods_is_not_exported(tmp_path: Path) -> None:
    """The format has no place for the second model; the sentence says how to train a reward model that it can hold."""
    save(tmp_path / "run", ModelConfig(len(WORDS), 8, 1, 2, 1, 8, 16), WORDS, head="likelihood")
    with pytest.raises(UserError, match="--head scalar"):
        export_run(ExportConfig(tmp_path / "run", tmp_path / "hf"))
    assert not (tmp_path / "hf").exists()


def test_export_does_not_overwrite_unasked(exported: Path) -> None:
    with pytest.raises(UserError, match="not empty"):
        export_run(ExportConfig(exported.parent / "run", exported))
    export_run(ExportConfig(exported.parent / "run", exported, overwrite=True))


def test_sources_that_are_none(tmp_path: Path) -> None:
    for name, said in (("nothing", "no folder"), ("x.gguf", "Cannot read|need the gguf"), ("x.bin", "Cannot read")):
        with pytest.raises(UserError, match=said):
            import_run(ImportConfig(tmp_path / name, tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="Cannot read"):
        import_run(ImportConfig(tmp_path / "empty", tmp_path / "out"))
