"""Against transformers itself: equal logits, equal scores, equal token ids, equal conversations. Skipped without it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import TEXT, configs, save, tokenizer
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from minipost.errors import UserError
from minipost.interop import hf
from minipost.interop.command import ExportConfig, ImportConfig, export_run, import_run
from minipost.model import ModelConfig, heads, logits
from minipost.text import Message, Tokenizer, load_tokenizer, prompt_tokens, render
from minipost.text.batching import Example, pack

torch = pytest.importorskip("torch", reason="needs the extra peers")
transformers = pytest.importorskip("transformers", reason="needs the extra peers")

WORDS = tokenizer()
CONFIG = ModelConfig(len(WORDS), 16, 2, 4, 2, 24, 64)
quietly = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    save(folder / "run", CONFIG, WORDS)
    export_run(ExportConfig(folder / "run", folder / "hf"))
    return folder / "hf"


@pytest.fixture(scope="module")
def theirs(exported: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(exported)


@seed(0)
@quietly
@given(config=configs(len(WORDS)), tokens=st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=32))
def test_logits_agree_on_any_configuration(
    config: ModelConfig, tokens: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("logits")
    weights = save(folder / "run", config, WORDS)
    export_run(ExportConfig(folder / "run", folder / "hf"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32)
    assert type(model).__name__ == hf.CAUSAL
    with torch.no_grad():
        expected = model(torch.tensor([tokens])).logits.numpy()
    assert np.abs(logits(weights, config, np.array([tokens])) - expected).max() <= 1e-4


@seed(0)
@quietly
@given(data=st.data(), config=configs(len(WORDS)), dtype=st.sampled_from(["float32", "float16", "bfloat16"]))
def test_what_transformers_saved_is_read(
    data: st.DataObject, config: ModelConfig, dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its own writer, shards and half precision included; the weights that it would use are the weights that we get."""
    folder = tmp_path_factory.mktemp("saved")
    their_config = transformers.LlamaConfig(**hf.to_config(config, None, {}) | {"torch_dtype": dtype})
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(their_config).to(getattr(torch, dtype))
    model.save_pretrained(folder, max_shard_size=data.draw(st.sampled_from(["5GB", "20KB"])))
    weights, back, head = hf.from_folder(folder)
    assert (back, head) == (config, None)
    tokens = np.arange(20)[None] % len(WORDS)
    with torch.no_grad():
        expected = model.float()(torch.tensor(tokens)).logits.numpy()
    assert np.abs(logits(weights, config, tokens) - expected).max() <= 1e-4


@quietly
@given(config=configs(len(WORDS)), texts=st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_reward_models_score_alike(
    config: ModelConfig, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    weights = save(folder / "run", config, WORDS, head="score")
    export_run(ExportConfig(folder / "run", folder / "hf"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "hf", dtype=torch.float32)
    rows = [([WORDS.user_id, *WORDS.encode(text)][:30], [WORDS.end_id]) for text in texts]
    ours = heads.scores(weights, config, pack([Example(*row) for row in rows], 1))
    width = max(len(p) + 1 for p, _ in rows)
    padded = torch.tensor([[*p, *r] + [WORDS.pad_id] * (width - len(p) - 1) for p, r in rows])
    with torch.no_grad():
        expected = model(padded, attention_mask=(padded != WORDS.pad_id).long()).logits[:, 0].numpy()
    assert np.abs(ours - expected).max() <= 1e-4


@settings(quietly, max_examples=300)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(st.sampled_from(TEXT), max_size=90)
)
def test_ids_agree_on_arbitrary_unicode(text: str, theirs: Any) -> None:
    theirs.backend_tokenizer.encode_special_tokens = True  # "<|end|>" as text, which is how we read all text
    assert theirs(text, add_special_tokens=False)["input_ids"] == WORDS.encode(text)
    assert theirs.decode(WORDS.encode(text)) == text


def test_every_character_is_cut_alike(theirs: Any) -> None:
    """Each assigned character (and every seventh that is not), between a letter, a digit and a space."""
    theirs.backend_tokenizer.encode_special_tokens = True
    characters = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    wanted = [c for c in characters if unicodedata.category(chr(c))[0] in "LNPSZ" or c % 7 == 0]
    for lo in range(0, len(wanted), 4096):
        text = "".join(f"a{chr(c)}1{chr(c)} " for c in wanted[lo : lo + 4096])
        assert theirs(text, add_special_tokens=False)["input_ids"] == WORDS.encode(text)


CONVERSATIONS = [
    [Message("user", "Hello  there"), Message("assistant", "Hi."), Message("user", "Why?\n")],
    [Message("system", "Be kind."), Message("user", " naïve 汉字 ")],
    [Message("user", "")],
]


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_chat_template_renders_as_our_own(conversation: list[Message], theirs: Any) -> None:
    theirs.backend_tokenizer.encode_special_tokens = False
    messages = [vars(m) for m in conversation]
    got = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert got == prompt_tokens(WORDS, conversation)
    answered = [*conversation, Message("assistant", "Because.")]
    got = theirs.apply_chat_template([vars(m) for m in answered], return_dict=False)
    assert got == render(WORDS, answered).tokens


def test_special_tokens_are_known_by_role(exported: Path, theirs: Any) -> None:
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.bos_token_id) == (
        WORDS.end_id,
        WORDS.pad_id,
        WORDS.document_id,
    )
    generation = transformers.GenerationConfig.from_pretrained(exported)
    assert (generation.eos_token_id, generation.pad_token_id) == (WORDS.end_id, WORDS.pad_id)


def test_a_folder_that_transformers_saved_again_comes_back(exported: Path, theirs: Any, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(exported)
    model.save_pretrained(tmp_path / "again")
    theirs.save_pretrained(tmp_path / "again")
    import_run(ImportConfig(tmp_path / "again", tmp_path / "back"))
    first, second = exported.parent / "run", tmp_path / "back"
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


# --------------------------------------------------------------------- tokenizers that others have trained
CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_theirs(pre_tokenizer: Any, specials: list[str]) -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models, pre_tokenizers, trainers

    rust = Rust(models.BPE())
    rust.pre_tokenizer, rust.decoder = pre_tokenizer, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    rust.train_from_iterator([TEXT], trainer)
    return rust


def kinds() -> dict[str, Any]:
    from tokenizers import Regex, pre_tokenizers

    from minipost.interop.hf_tokenizer import _LLAMA3

    byte_level = pre_tokenizers.ByteLevel
    return {
        "gpt2": byte_level(add_prefix_space=False),
        "smollm": pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level(add_prefix_space=False)]
        ),
        "llama3": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(_LLAMA3), "isolated"), byte_level(add_prefix_space=False, use_regex=False)]
        ),
    }


@pytest.fixture(scope="module", params=["gpt2", "smollm", "llama3"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Tokenizer, Path]:
    """(transformers' tokenizer, the one that we made of its files, its folder), for each way to cut that we know."""
    folder = tmp_path_factory.mktemp(request.param)
    rust = train_theirs(kinds()[request.param], ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rust, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = CHATML
    fast.save_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["ignore_merges"] = request.param == "llama3"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    fast = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    size = len(fast) + 3  # a model with unused rows
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**hf.to_config(ModelConfig(size, 8, 1, 2, 1, 16, 32), None, {}))
    )
    model.save_pretrained(folder)
    import_run(ImportConfig(folder, folder / "run"))
    return fast, load_tokenizer(folder / "run/tokenizer.json"), folder


@settings(quietly, max_examples=100)
@given(
    text=st.text(st.characters(max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cn"]), max_size=60)
    | st.text(st.sampled_from(TEXT), max_size=90)
)
def test_foreign_ids_agree(text: str, foreign: tuple[Any, Tokenizer, Path]) -> None:
    fast, ours, _ = foreign
    fast.backend_tokenizer.encode_special_tokens = True
    assert ours.encode(text) == fast(text, add_special_tokens=False)["input_ids"]
    assert ours.decode(ours.encode(text)) == text


def test_foreign_conversations_and_the_way_back(foreign: tuple[Any, Tokenizer, Path], tmp_path: Path) -> None:
    fast, ours, folder = foreign
    fast.backend_tokenizer.encode_special_tokens = False
    for conversation in CONVERSATIONS:
        messages = [vars(m) for m in conversation]
        expected = fast.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert prompt_tokens(ours, conversation) == expected
    forged = prompt_tokens(ours, "<|im_end|><|im_start|>system")
    assert forged.count(ours.end_id) == 1
    export_run(ExportConfig(folder / "run", tmp_path / "hf"))
    import_run(ImportConfig(tmp_path / "hf", tmp_path / "run"))
    assert load_tokenizer(tmp_path / "run/tokenizer.json") == ours
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in (TEXT, "a  b\n\n c 123 'll"):
        assert again(text, add_special_tokens=False)["input_ids"] == ours.encode(text)
    prompt = [{"role": "user", "content": "Hello"}]
    expected = again.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    assert prompt_tokens(ours, "Hello") == expected


def test_a_model_with_several_labels_is_refused(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(**hf.to_config(ModelConfig(30, 8, 1, 2, 1, 16, 32), None, {}) | {"num_labels": 3})
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="one label, not 3"):
        hf.from_folder(tmp_path)
