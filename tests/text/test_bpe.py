"""Byte-pair encoding against slow oracles, on any Unicode text, and against broken files."""

from __future__ import annotations

import doctest
import json
import random
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.text import Tokenizer, TokenizerError, bpe

TEXT = (
    """The quick brown fox jumps over the lazy dog. The dog isn't amused; it's 1234 times lazier than the fox!
  How do you make pizza?\tYou make the dough, you bake it, you eat it -- and that's that. Überraschung: 你好, 你好!
"""
    * 3
)
SETTINGS = settings(deadline=None, max_examples=60)
any_text = st.text(max_size=60)  # every Unicode character but surrogates
dense_text = st.text(alphabet="ab c", max_size=60)  # few characters: many ties, overlaps and repeated pairs


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT], vocab_size=400)


def slow_merges(text: str, limit: int) -> list[tuple[int, int]]:
    """The definition: recount every pair of every word each round, take the most frequent, ties to the smaller ids."""
    words = [list(word.encode()) for word in bpe._WORDS.findall(text)]
    merges: list[tuple[int, int]] = []
    while len(merges) < limit:
        counts = Counter(pair for word in words for pair in pairwise(word))
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        words = [bpe.merge(word, best, 256 + len(merges)) for word in words]
        merges.append(best)
    return merges


@SETTINGS
@given(st.one_of(dense_text, any_text), st.integers(0, 30))
def test_training_equals_recounting_every_round(text: str, limit: int) -> None:
    trained = Tokenizer.train([text], 256 + len(bpe.SPECIALS) + limit)
    assert trained.merges == slow_merges(text, limit)


@SETTINGS
@given(dense_text, dense_text)
def test_encoding_equals_replaying_all_merges_in_order(corpus: str, text: str) -> None:
    trained = Tokenizer.train([corpus], 300)
    expected: list[int] = []
    for word in bpe._WORDS.findall(text):
        ids = list(word.encode())
        for k, pair in enumerate(trained.merges):
            ids = bpe.merge(ids, pair, 256 + k)
        expected += ids
    assert trained.encode(text) == expected


@SETTINGS
@given(any_text)
def test_round_trip_of_any_unicode_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < 256 + len(tokenizer.merges) for i in ids)


@SETTINGS
@given(st.text(alphabet="abc 1_-'\n\té你", max_size=200))
def test_words_are_a_partition_of_the_text(text: str) -> None:
    words = bpe._WORDS.findall(text)
    assert "".join(words) == text
    assert all(0 < len(word.encode()) <= bpe._LONGEST_TOKEN for word in words)


def test_words_are_cut_as_documented() -> None:
    assert bpe._WORDS.findall("It's  12345 dogs_ (née)!\n\n you'll") == [
        "It",
        "'s",
        " ",
        " 123",
        "45",
        " dogs",
        "_",
        " (",
        "née",
        ")!",
        "\n\n",
        " you",
        "'ll",
    ]


@SETTINGS
@given(st.lists(st.sampled_from([*bpe.SPECIALS, "<|", "|>", "a", " "]), max_size=8))
def test_typed_special_names_never_become_special_ids(tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.specials.values())
    assert tokenizer.decode(ids) == text


@SETTINGS
@given(st.text(alphabet=st.characters(categories=["Cs"]), min_size=1, max_size=2), any_text)
def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer, surrogate: str, text: str) -> None:
    for call in (lambda t: tokenizer.encode(t), lambda t: Tokenizer.train([t], 300)):
        with pytest.raises(TokenizerError, match=r"lone surrogate U\+D[89A-F]"):
            call(text + surrogate)


def test_decode_names_or_skips_specials_and_replaces_broken_bytes(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("Hi"), tokenizer.end_id]
    assert tokenizer.decode(ids) == "Hi<|end|>"
    assert tokenizer.decode(ids, skip_special=True) == "Hi"
    assert tokenizer.decode(np.array(ids)) == "Hi<|end|>"
    assert tokenizer.decode([0xC3]) == "\ufffd"
    assert tokenizer.decode([0xC3, 0xA9]) == "é"


@pytest.mark.parametrize("i", [-1, 10**6])
def test_decode_refuses_ids_outside_of_the_vocabulary(tokenizer: Tokenizer, i: int) -> None:
    with pytest.raises(TokenizerError, match=f"Token id {i} is outside"):
        tokenizer.decode([i])


def test_P13_pad_and_end_are_different_and_specials_come_last(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.pad_id, tokenizer.document_id, tokenizer.system_id, tokenizer.user_id]
    ids += [tokenizer.assistant_id, tokenizer.end_id]
    assert ids == list(range(len(tokenizer) - 6, len(tokenizer)))
    assert list(tokenizer.specials) == list(bpe.SPECIALS)


def test_ids_of_text_do_not_depend_on_the_specials(tokenizer: Tokenizer) -> None:
    more = Tokenizer(tokenizer.merges, [*bpe.SPECIALS, "<|tool|>"])
    assert more.encode(TEXT) == tokenizer.encode(TEXT)
    assert more != tokenizer


def test_little_text_stops_early() -> None:
    small = Tokenizer.train(["ab ab"], vocab_size=2048)
    assert small.merges == [(ord("a"), ord("b"))]
    assert len(small) == 256 + 1 + len(bpe.SPECIALS)
    assert len(Tokenizer.train([], vocab_size=2048)) == 256 + len(bpe.SPECIALS)


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(TokenizerError, match="make it at least 262"):
        Tokenizer.train([TEXT], vocab_size=261)


def test_same_text_same_merges_whatever_the_packaging() -> None:
    lines = TEXT.splitlines(keepends=True)
    assert Tokenizer.train(lines, 350) == Tokenizer.train(iter(lines), 350)
    assert Tokenizer.train(["a b"], 262) != Tokenizer.train(["ab ab"], 263)


def test_a_full_cache_changes_nothing(tokenizer: Tokenizer) -> None:
    tiny = bpe._Words(tokenizer._rank, limit=2)
    words = bpe._WORDS.findall(TEXT)
    assert [i for word in words for i in tiny[word]] == tokenizer.encode(TEXT)
    assert len(tiny) <= 2


def test_save_and_load(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded == tokenizer
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"format": "gpt2"}, 'lacks "format"'),
        ({"pattern": r"\S+"}, "another pattern"),
        ({"specials": "<|end|>"}, "not a list of different ASCII names"),
        ({"specials": ["<|end|>", "<|end|>"]}, "not a list of different ASCII names"),
        ({"specials": ["<|end|>"]}, r"special token <\|pad\|> is missing"),
        ({"merges": None}, "not a list of pairs"),
        ({"merges": [[97]]}, r"merge 0 is \[97\]"),
        ({"merges": [[97, True]]}, r"merge 0 is \[97, true\]"),
        ({"merges": [[97, 98], [97, 258]]}, r"merge 1 joins \(97, 258\), of which one does not exist yet"),
        ({"merges": [[-1, 98]]}, "does not exist yet"),
        ({"merges": [[97, 98], [97, 98]]}, "listed twice"),
        ({"merges": [[97, 97], *[[i, i] for i in range(256, 300)]]}, "longer than any word"),  # 2^45 bytes if believed
    ],
)
def test_load_explains_damage(tokenizer: Tokenizer, tmp_path: Path, damage: dict[str, Any], message: str) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(TokenizerError, match=f"{path} is no usable tokenizer: .*{message}.*; copy or train it again"):
        Tokenizer.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 10**5])
def test_load_explains_what_is_no_tokenizer_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=str(path)):
        Tokenizer.load(path)


def test_load_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="There is no tokenizer at"):
        Tokenizer.load(tmp_path / "nothing.json")


def test_encode_is_linear_and_fast(tokenizer: Tokenizer) -> None:
    """The cache serves natural text (millions of tokens a second); the limit on words keeps hostile text linear."""
    text = TEXT * 1000
    tokenizer.encode(text)
    start = time.perf_counter()
    count = len(tokenizer.encode(text))
    assert count / (time.perf_counter() - start) > 300_000  # far below what an idle machine does
    letters = random.Random(0)
    hostile = "".join(chr(letters.randint(0x4E00, 0x9FFF)) for _ in range(50_000))
    start = time.perf_counter()
    assert tokenizer.decode(tokenizer.encode(hostile)) == hostile
    assert time.perf_counter() - start < 5


def test_docstring_examples_run() -> None:
    assert doctest.testmod(bpe).failed == 0
