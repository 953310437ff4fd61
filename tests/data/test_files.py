"""Files as streams: lines, arrays and plain text, in small memory, with the right line numbers and bytes."""

from __future__ import annotations

import codecs
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipost.data import DataError, Reader, RowError, comparisons, demonstrations, files, prompts, texts
from minipost.data.tokens import text_tokens
from minipost.text import Tokenizer, indented

TOKENIZER = Tokenizer([])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)
per_example = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@per_example
@given(values=st.lists(JSON.filter(lambda v: v is not None), min_size=1), indent=st.none() | st.integers(0, 3))
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_an_array_is_what_json_says_it_is(values: list[Any], indent: int | None, chunk: int, tmp_path: Path) -> None:
    """Whatever the chunks in which it is read; the bytes that a row reports hold that row."""
    path = tmp_path / "array.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False).replace("\ud800", "?"), "utf-8", "replace")
    expected, whole = json.loads(path.read_text("utf-8")), path.read_bytes()
    before, files.CHUNK = files.CHUNK, chunk
    try:
        found = list(files.rows(path))
    finally:
        files.CHUNK = before
    assert [row.value for row in found] == expected
    for row in found:
        assert json.loads(whole[row.start : row.stop]) == row.value
        assert row.line == whole[: row.start].count(b"\n") + 1


@per_example
@given(values=st.lists(JSON, min_size=1))
def test_lines_are_rows(values: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n\n" + "".join(json.dumps(value) + "\r\n" for value in values))
    found = list(files.rows(path))[1:]
    assert [row.value for row in found] == values
    assert [row.line for row in found] == list(range(3, 3 + len(values)))


BROKEN = [
    (b"", "is blank"),
    (b" \n\t\n", "is blank"),
    (codecs.BOM_UTF8 + b'{"text": "a"}', ":1: the file starts with a byte-order mark (UTF-8)"),
    ('{"text": "a"}'.encode("utf-16"), "byte-order mark (UTF-16)"),
    (b"[]", "has no rows"),
    (b'[{"text": "a"},\n{"text": "b"}', ":2: invalid JSON: the array is not closed"),
    (b'[{"text": "a"}\n{"text": "b"}]', ":2: invalid JSON: a comma is missing between two rows"),
    (b'[{"text": "a"},\n{"text": oops}]', ":2: invalid JSON: Expecting value"),
    (b'[{"text": "a"},\n]', ":2: invalid JSON"),
    (b'[{"text": "a"}]\n[]', ":2: invalid JSON: something follows the array"),
    (b'[{"text": "\xff"}]', "0xff is not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize("content, part", BROKEN)
def test_broken_files_are_refused(content: bytes, part: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(Reader(path))
    assert part in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_files_that_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.jsonl"):
        with pytest.raises(DataError, match=r"Cannot read .*; check the path"):
            list(Reader(path))


def test_a_bad_row_of_an_array_does_not_hide_the_next(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    path.write_text('[{"text": "a", "text": "b"}, {"text": "c"}]')
    found = list(files.rows(path))
    assert isinstance(found[0].value, RowError) and found[1].value == {"text": "c"}


# -------------------------------------------------------------------------------------------------------- plain text
@per_example
@given(lines=st.lists(st.text(" ab\n.é\r", max_size=30)), piece=st.integers(1, 40))
def test_pieces_join_up_to_the_whole_in_text_and_tokens(lines: list[str], piece: int, tmp_path: Path) -> None:
    whole = "x" + "\n".join(lines)
    path = tmp_path / "book.txt"
    path.write_bytes(whole.encode())
    tokenizer = Tokenizer.train([indented(whole)], 300)
    before, files.CHUNK, files.PIECE = (files.CHUNK, files.PIECE), piece, piece
    try:
        found = list(texts([path]))
    finally:
        files.CHUNK, files.PIECE = before
    whole = whole.replace("\r\n", "\n")
    assert "".join(piece.text for piece in found) == whole
    assert [piece.opens for piece in found] == [True] + [False] * (len(found) - 1)
    assert [i for piece in found for i in text_tokens(piece, tokenizer)] == tokenizer.encode(indented(whole))


def test_a_text_that_is_not_utf8_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"one\ntwo\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"latin.txt:3: 0xe9 is not UTF-8; save the file as UTF-8"):
        list(texts([path]))


# ------------------------------------------------------------------------------------------------- what stages take
def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_turn_to_imitate_is_an_example_with_what_came_before_it(tmp_path: Path) -> None:
    talk = [{"role": role, "content": role + str(i)} for i in range(2) for role in ("user", "assistant")]
    talks = write(tmp_path / "a.jsonl", [{"messages": talk}])
    single = write(tmp_path / "b.jsonl", [{"prompt": "p", "completion": "c"}])
    found = demonstrations([talks, single], TOKENIZER, 300)
    shown = [(TOKENIZER.decode(e.prompt), TOKENIZER.decode(e.response)) for e in found]
    first = "<|user|> user0<|assistant|>"
    assert shown == [
        (first, " assistant0<|end|>"),
        (first + " assistant0<|end|><|user|> user1<|assistant|>", " assistant1<|end|>"),
        ("<|user|> p<|assistant|>", " c<|end|>"),
    ]
    assert found[1:] == [found[1], found[2]]


def test_what_is_cut_has_no_end_token_and_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "p", "completion": "long " * 20}, {"prompt": "p", "completion": "c"}]
    path = write(tmp_path / "a.jsonl", rows)
    found = demonstrations([path], TOKENIZER, 20)
    assert [len(e) for e in found] == [20, 7]
    assert [e.response[-1] == TOKENIZER.end_id for e in found] == [False, True]
    assert "2 responses to imitate, of which 1 do not fit into 20 tokens and are cut" in capsys.readouterr().err


def test_special_tokens_in_content_stay_text(tmp_path: Path) -> None:
    """Refused where people talk; a page that spells one is a page, and its characters are its tokens."""
    path = write(tmp_path / "a.jsonl", [{"text": "say <|end|>"}])
    (piece,) = texts([path])
    assert not set(text_tokens(piece, TOKENIZER)) & set(TOKENIZER.specials.values())
    reader = Reader(path, tokenizer=TOKENIZER)
    assert len(list(reader)) == 1 and reader.spelled == 1


def test_stages_refuse_files_of_another_kind_and_bad_rows(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "r"}])
    asked = write(tmp_path / "asked.jsonl", [{"prompt": "p"}, {"prompt": "q"}])
    with pytest.raises(DataError, match=r"pairs.jsonl holds comparisons, and this stage takes demonstrations"):
        demonstrations([pairs], TOKENIZER, 300)
    with pytest.raises(DataError, match="holds prompts, and this stage takes comparisons"):
        comparisons([asked], TOKENIZER, 300)
    with pytest.raises(DataError, match="no room for prompts"):
        prompts([asked], TOKENIZER, 0)
    assert [turns[-1].content for turns in prompts([asked, pairs], TOKENIZER, 300)] == ["p", "q", "p"]
    write(pairs, [{"prompt": "p", "chosen": "c", "rejected": "c"}, {"prompt": "p", "chosen": "c", "rejected": "r"}])
    with pytest.raises(DataError, match=r"1 of 2 rows are bad .*\n.*pairs.jsonl:1: chosen is \"c\".*\n.*--skip-bad"):
        comparisons([pairs], TOKENIZER, 300)


def test_a_bad_text_is_refused_also_where_only_the_next_one_is_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "good"}, {"text": ""}, {"text": "better"}, {"text": None}])
    found = texts([path])
    assert next(found).text == "good"
    with pytest.raises(DataError, match="2 of 4 rows are bad"):
        next(found)


def test_a_file_that_changes_under_a_run_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "p", "completion": "c"}] * 3)
    found = demonstrations([path], TOKENIZER, 300)
    path.write_text("x")
    with pytest.raises(DataError, match="has changed while it was being trained on"):
        found[2]


@pytest.mark.parametrize("kind", ["text", "lines", "array"])
def test_memory_does_not_grow_with_the_file(kind: str, tmp_path: Path) -> None:
    """Peak of Python's own memory while 1 and 4 MB are read: about the same."""
    page = "All the world's a stage,\nand all the men and women merely players.\n" * 60
    row = page if kind == "text" else json.dumps({"prompt": page, "completion": page})
    path = tmp_path / ("big.txt" if kind == "text" else "big.jsonl")
    before, between, after = {"text": ("", "", ""), "lines": ("", "\n", "\n"), "array": ("[", ",", "]")}[kind]

    def peak(size: int) -> int:
        count = size // len(row)
        with path.open("w") as file:
            file.write(before + row)
            for _ in range(count - 1):
                file.write(between + row)
            file.write(after)
        tracemalloc.start()
        try:
            if kind == "text":
                assert sum(len(piece.text) for piece in texts([path])) == count * len(page)
            else:
                assert len(demonstrations([path], TOKENIZER, 1 << 14)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1 << 18)  # fills the tokenizer's cache of words
    small, large = peak(1 << 20), peak(4 << 20)
    assert large < small + (1 << 19), (small, large)
