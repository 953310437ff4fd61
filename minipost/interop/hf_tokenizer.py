r"""Hugging Face's tokenizer.json, for byte-level BPE, both ways.

The file describes a small machine: a pre-tokenizer that cuts, a BPE model with vocabulary and merges, a decoder, and
added tokens that are never cut. Equal merges give equal ids only if the cuts agree on *every* character, and `\w` or
`\s` mean other sets in Python than in the engine that will run the file. So our pattern is written with each class
spelled out as the ranges of characters that Python puts into it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from minipost.interop import byte_level
from minipost.interop.chat_template import from_jinja, to_jinja
from minipost.interop.checkpoint import MEGABYTE, InteropError, read_json
from minipost.text import PretrainedTokenizer, Tokenizer, TokenizerError
from minipost.text.bpe import PATTERN

TOKENIZER, SETTINGS, CHAT_TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
_LARGEST = 64 * MEGABYTE
_OURS = "minipost_pattern"  # in the settings: says that the cuts are ours, whatever version of Unicode wrote them
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of tokenizer.json. Errors: `InteropError` where the format cannot hold the tokenizer."""
    if isinstance(tokenizer, PretrainedTokenizer):
        cuts, joins = tokenizer.cuts, [(left, right) for left, right, _, _ in tokenizer.joins]
    else:
        cuts, joins = "minipost", list(tokenizer.merges)
    if cuts not in _pre_tokenizers():
        raise InteropError("llama2.c's tokenizer knows no words, so that a byte-level tokenizer.json cannot hold it.")
    pieces = tokenizer.token_bytes
    vocabulary = {byte_level.spell(piece): i for i, piece in enumerate(pieces) if piece}
    vocabulary |= tokenizer.specials  # an added token keeps its id only if the vocabulary has it too
    if len(vocabulary) < sum(map(bool, pieces)) + len(tokenizer.specials):
        raise InteropError("two tokens of this tokenizer are the same text, which tokenizer.json cannot express.")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(name, i) for name, i in sorted(tokenizer.specials.items(), key=lambda s: s[1])],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _pre_tokenizers()[cuts]},
        "post_processor": None,
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": cuts == "llama3",
            "vocab": vocabulary,
            "merges": [[byte_level.spell(pieces[left]), byte_level.spell(pieces[right])] for left, right in joins],
        },
    }


def to_settings(tokenizer: Tokenizer, context: int) -> dict[str, Any]:
    """The content of tokenizer_config.json, the chat template included."""
    name = {i: special for special, i in tokenizer.specials.items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": name[tokenizer.document_id],
        "eos_token": name[tokenizer.end_id],
        "pad_token": name[tokenizer.pad_id],
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "chat_template": to_jinja(tokenizer.template),
    }
    return settings if isinstance(tokenizer, PretrainedTokenizer) else settings | {_OURS: PATTERN}


def from_folder(folder: Path, size: int) -> Tokenizer:
    """The tokenizer of a folder whose model has `size` tokens. Errors: `InteropError`, one sentence."""
    path = folder / TOKENIZER
    content = read_json(path, _LARGEST)
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    if (folder / CHAT_TEMPLATE).is_file() and (folder / CHAT_TEMPLATE).stat().st_size < MEGABYTE:
        settings["chat_template"] = (folder / CHAT_TEMPLATE).read_text(encoding="utf-8", errors="replace")
    try:
        return _from_json(content, settings, size)
    except (InteropError, TokenizerError) as error:
        raise InteropError(f"{path} cannot be used: {error}.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InteropError(f"{path} is no complete tokenizer file ({error!r}).") from None


def _from_json(content: Mapping[str, Any], settings: Mapping[str, Any], size: int) -> Tokenizer:
    model = content["model"]
    if model["type"] != "BPE" or model.get("byte_fallback") or content.get("normalizer") is not None:
        raise InteropError("it is no byte-level BPE without a normalizer, the only kind that is understood")
    ours = settings.get(_OURS) == PATTERN
    cuts = "minipost" if ours else _cuts(content["pre_tokenizer"])
    if bool(model.get("ignore_merges")) != (cuts == "llama3"):
        raise InteropError(f"ignore_merges is {model.get('ignore_merges')!r}, which does not go with its cuts")
    specials = {str(added["content"]): int(added["id"]) for added in content["added_tokens"]}
    vocabulary = {str(text): int(i) for text, i in model["vocab"].items() if text not in specials}
    pairs = (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
    merges = [(str(left), str(right)) for left, right in pairs]
    if cuts == "minipost":
        return _our_own(vocabulary, merges, specials)
    start = _name(settings, "bos_token") or _name(settings, "eos_token") or next(iter(specials), "")
    template = from_jinja(settings.get("chat_template"), start, specials)
    pad = _name(settings, "pad_token") or start
    return byte_level.tokenizer(
        vocabulary, merges, specials, size, cuts=cuts, template=template, document=start, pad=pad
    )


def _our_own(vocabulary: Mapping[str, int], merges: list[tuple[str, str]], specials: Mapping[str, int]) -> Tokenizer:
    """The tokenizer that we had exported: ids in our order, or it is refused."""
    tokenizer = Tokenizer(
        [(vocabulary[left], vocabulary[right]) for left, right in merges], sorted(specials, key=specials.__getitem__)
    )
    spelled = {byte_level.spell(piece): i for i, piece in enumerate(tokenizer.token_bytes)}
    if spelled != vocabulary or tokenizer.specials != specials:
        raise InteropError("its ids are not in the order that minipost gives them")
    return tokenizer


def _name(settings: Mapping[str, Any], key: str) -> str:
    """A special token's name, which is text or an object with `content`."""
    value = settings.get(key)
    return str(value["content"] if isinstance(value, dict) else value or "")


def _cuts(pre_tokenizer: Any) -> str:
    """The name of the cuts that a file describes. Errors: `InteropError` if they are none that we know."""
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    bare = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]
    for name, known in _pre_tokenizers().items():
        if bare == [{key: value for key, value in step.items() if key != "trim_offsets"} for step in known]:
            return name
    raise InteropError("it cuts text in a way that is neither minipost's nor GPT-2's, SmolLM2's or Llama 3's")


@lru_cache
def _pre_tokenizers() -> dict[str, list[dict[str, Any]]]:
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "minipost": [_split(spelled_out(PATTERN)), _byte_level(use_regex=False)],
        "gpt2": [_byte_level(use_regex=True)],
        "smollm": [digits, _byte_level(use_regex=True)],
        "llama3": [_split(_LLAMA3), _byte_level(use_regex=False)],
    }


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _added(name: str, i: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": i, "content": name, **flags}


def spelled_out(pattern: str) -> str:
    r"""Python's classes in `pattern` as explicit ranges, `[\x{30}-\x{39}...]`, for the engine that reads the file."""
    everything = "".join(map(chr, chain(range(0xD800), range(0xE000, sys.maxunicode + 1))))
    for kind in (r"[^\W\d_]", r"(?:[^\s\w]|_)", r"\d", r"\s", r"\S"):  # the longer ones first: they hold the others
        runs = (run[0] for run in re.finditer(f"(?:{kind})+", everything))
        ranges = "".join(rf"\x{{{ord(run[0]):X}}}-\x{{{ord(run[-1]):X}}}" for run in runs)
        pattern = pattern.replace(kind, f"[{ranges}]")
    return pattern
