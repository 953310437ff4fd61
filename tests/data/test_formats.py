"""Every format is read, and every way to be wrong is refused: with file, line, field, value and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipost.data import (
    FORMATS,
    Comparison,
    DataError,
    Demonstration,
    Prompt,
    Reader,
    Record,
    RowError,
    Scored,
    Text,
    Verdict,
)
from minipost.data.formats import detect, parse
from minipost.text import Message, Tokenizer

HI, HO = Message("user", "Hi"), Message("assistant", "Ho")
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
AGAIN = [*TURNS, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "So long"}]
SYSTEM = {"role": "system", "content": "Be kind."}
TOKENIZER = Tokenizer([])


def human(*said: str) -> str:
    """A transcript of HH-RLHF."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(said))


GOOD: dict[str, tuple[dict[str, Any], Record]] = {
    "text": ({"text": "Once"}, Text("Once")),
    "messages": ({"messages": TURNS}, Demonstration((HI, HO))),
    "prompt": ({"prompt": "Hi"}, Prompt((HI,))),
    "prompt-completion": ({"prompt": "Hi", "completion": "Ho"}, Demonstration((HI, HO), 1)),
    "preference": ({"prompt": "Hi", "chosen": "Ho", "rejected": "Ha"}, Comparison((HI,), "Ho", "Ha")),
    "implicit-prompt": (
        {"chosen": TURNS, "rejected": [TURNS[0], {"role": "assistant", "content": "Ha"}]},
        Comparison((HI,), "Ho", "Ha"),
    ),
    "hh-rlhf": ({"chosen": human("Hi", "Ho"), "rejected": human("Hi", "Ha")}, Comparison((HI,), "Ho", "Ha")),
    "unpaired": ({"prompt": "Hi", "completion": "Ho", "label": False}, Verdict((HI,), "Ho", False)),
    "alpaca": (
        {"instruction": "Add.", "input": "1, 2", "output": "3"},
        Demonstration((Message("user", "Add.\n\n1, 2"), Message("assistant", "3")), 1),
    ),
    "alpaca-preference": (
        {"instruction": "Hi", "input": "", "output": "Ho", "chosen": "Ho", "rejected": "Ha"},
        Comparison((HI,), "Ho", "Ha"),
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
        Demonstration((HI, HO)),
    ),
    "seed-triple": ({"prompt": "Hi", "winning_response": "Ho", "losing_response": "Ha"}, Comparison((HI,), "Ho", "Ha")),
    "scored": ({"prompt": "Hi", "completion": "Ho", "score": 2}, Scored((HI,), "Ho", 2.0)),
}


def test_every_format_has_an_example_here() -> None:
    assert list(GOOD) == list(FORMATS)


@pytest.mark.parametrize("name", GOOD)
def test_each_format_is_detected_and_read(name: str) -> None:
    row, record = GOOD[name]
    assert detect(row).name == name
    assert parse(row, FORMATS[name], forced=False) == record


@given(st.sampled_from(list(GOOD)), st.sampled_from(list(GOOD)))
def test_no_two_formats_are_confused(one: str, other: str) -> None:
    """A row is of its own format, whatever stands beside it in the file."""
    if one == other:
        return
    with pytest.raises(RowError) as caught:
        parse(GOOD[one][0], FORMATS[other], forced=False)
    assert caught.value.parts[0] in ("mixed formats", "missing key")


def test_further_forms() -> None:
    def read(row: dict[str, Any]) -> Record:
        return parse(row, detect(row), forced=False)

    assert read({"prompt": [SYSTEM, TURNS[0]], "completion": [TURNS[1]]}) == Demonstration(
        (Message("system", "Be kind."), HI, HO), 2
    )
    assert read({"prompt": "Hi", "chosen": "Ho", "rejected": "Ha", "margin": 0.5}) == Comparison((HI,), "Ho", "Ha", 0.5)
    longer = {"chosen": human("Hi", "Ho", "Bye", "So long"), "rejected": human("Hi", "Ho", "Bye", "Go")}
    assert read(longer) == Comparison((HI, HO, Message("user", "Bye")), "So long", "Go")
    system = {"conversations": [{"from": "system", "value": "Be kind."}, *GOOD["sharegpt"][0]["conversations"]]}
    assert read(system) == Demonstration((Message("system", "Be kind."), HI, HO))


LONG = "word " * 400
BAD: list[tuple[str, dict[str, Any] | str, str, str]] = [  # (kind, row or line, field, part of the sentence)
    ("invalid JSON", '{"prompt": "Hi"', "", "correct the row"),
    ("invalid JSON", '{"a":' * 100_000, "", "correct the row"),
    ("not UTF-8", '{"prompt": "caf\udce9"}', "", "save the file as UTF-8"),
    ("no character", {"prompt": "\ud800"}, "prompt", "lone surrogate U+D800"),
    ("wrong type", '"a text"', "the row", "must be an object"),
    ("wrong type", "[1]", "the row", "must be an object"),
    ("contradictory keys", '{"prompt": "Hi", "prompt": "Ho"}', "", "comes twice"),
    ("contradictory keys", {"text": "Hi", "messages": TURNS}, "the row", "keep those of one format"),
    ("contradictory keys", {**GOOD["preference"][0], "completion": "Ho"}, "the row", "has completion"),
    ("missing key", {"prompt": "Hi", "chosen": "Ho"}, "the row", "add rejected"),
    ("missing key", {"instruction": "Hi", "output": "Ho"}, "the row", "add input"),
    ("missing key", {"question": "Hi"}, "the row", "question"),
    ("missing key", {}, "the row", "no keys"),
    ("wrong type", {"prompt": "Hi", "completion": None}, "completion", "it is null"),
    ("wrong type", {"prompt": 7}, "prompt", "a number"),
    ("wrong type", {"prompt": "Hi", "completion": "Ho", "label": 1}, "label", "must be true or false"),
    ("wrong type", {"prompt": "Hi", "completion": "Ho", "score": "2"}, "score", "must be a number"),
    ("wrong type", {"prompt": "Hi", "completion": "Ho", "score": True}, "score", "must be a number"),
    ("wrong type", {"messages": "Hi"}, "messages", "a list of turns"),
    ("wrong type", {"messages": ["Hi"]}, "messages[0]", "an object"),
    ("wrong type", {"messages": [{"role": "user", "content": None}]}, "messages[0].content", "it is null"),
    ("missing key", {"messages": [{"role": "user"}]}, "messages[0]", "no content"),
    ("NaN or infinity", '{"prompt": "Hi", "completion": "Ho", "score": NaN}', "score", "not finite"),
    ("NaN or infinity", '{"prompt": "Hi", "completion": "Ho", "score": -Infinity}', "score", "not finite"),
    ("NaN or infinity", '{"prompt": "Hi", "completion": "Ho", "score": 1e999}', "score", "not finite"),
    ("NaN or infinity", '{"prompt": "Hi", "chosen": "a", "rejected": "b", "margin": NaN}', "margin", "not finite"),
    ("NaN or infinity", {"prompt": "Hi", "completion": "Ho", "score": 10**400}, "score", "not finite"),
    ("no conversation", {"messages": []}, "messages", "empty"),
    ("no conversation", {"conversations": []}, "conversations", "empty"),
    ("no conversation", {"messages": [{"role": "tool", "content": "Hi"}]}, "messages", "unknown role"),
    ("unknown role", {"conversations": [{"from": "bing", "value": "Hi"}]}, "conversations[0].from", "human (user)"),
    ("no conversation", {"messages": [TURNS[0], *TURNS]}, "messages", "take turns"),
    ("no conversation", {"messages": [*TURNS, SYSTEM]}, "messages", "only the first"),
    ("no conversation", {"messages": [SYSTEM]}, "messages", "only a system turn"),
    ("no assistant turn", {"messages": [TURNS[0]]}, "messages", "add its answer"),
    ("wrong last turn", {"messages": AGAIN[:3]}, "messages", "must be the assistant's"),
    ("wrong last turn", {"prompt": TURNS}, "prompt", "must be the user's"),
    ("empty text", {"messages": [{"role": "user", "content": " "}, TURNS[1]]}, "messages[0].content", "empty"),
    ("empty text", {"text": ""}, "text", "fill it in"),
    ("empty prompt", {"prompt": "\n"}, "prompt", "empty"),
    ("empty prompt", {"instruction": "", "input": "1", "output": "3"}, "instruction", "empty"),
    ("empty response", {"prompt": "Hi", "completion": "  "}, "completion", "empty"),
    ("empty response", {"prompt": "Hi", "chosen": "Ho", "rejected": ""}, "rejected", "empty"),
    ("empty response", {"chosen": human("Hi", ""), "rejected": human("Hi", "Ha")}, "chosen", "empty"),
    ("empty text", {"chosen": human("", "Ho"), "rejected": human("", "Ha")}, "chosen", "turn 0 is empty"),
    ("chosen equals rejected", {"prompt": "Hi", "chosen": "Ho", "rejected": "Ho "}, "chosen", "drop the row"),
    ("chosen equals rejected", {"chosen": TURNS, "rejected": TURNS}, "chosen", "drop the row"),
    ("equal after truncation", {"prompt": "Hi", "chosen": LONG, "rejected": LONG + "no"}, "chosen", "shorten"),
    ("prompts differ", {"chosen": human("Hi", "Ho"), "rejected": human("Hey", "Ha")}, "rejected", "one prompt"),
    ("prompts differ", {"chosen": AGAIN, "rejected": [{**TURNS[0]}, {**TURNS[1], "content": "Ha"}]}, "chosen", "part"),
    ("one side is a prefix", {"chosen": TURNS, "rejected": AGAIN}, "chosen", "prefix"),
    ("prompt repeated", {"prompt": "Say hi to me", "chosen": "Say hi to me: hi", "rejected": "n"}, "chosen", "repeats"),
    ("prompt repeated", {"prompt": "Hi", "chosen": "Hi Ho", "rejected": "Hi Ha"}, "chosen", "only the response"),
    ("wrong turns", {"prompt": "Hi", "chosen": TURNS, "rejected": "Ha"}, "chosen", "leave the prompt's turns out"),
    ("no transcript", {"chosen": "\n\nHuman: Hi", "rejected": human("Hi", "Ha")}, "chosen", "Assistant:"),
    ("no transcript", {"chosen": "Hi\n\nAssistant: Ho", "rejected": human("Hi", "Ha")}, "chosen", "start with"),
    ("wrong last turn", {"chosen": human("Hi", "Ho", "Bye"), "rejected": human("Hi", "Ha")}, "chosen", "human's"),
    ("special token", {"prompt": "Hi <|end|>", "completion": "Ho"}, "turn 0", "<|end|>"),
    ("special token", {"prompt": "Hi", "completion": "<|assistant|>Ho"}, "turn 1", "take templates out"),
    ("response fully truncated", {"prompt": "x" * 297, "completion": "Ho"}, "turn 1", "cut off entirely"),
    ("prompt longer than the context", {"prompt": LONG}, "prompt", "longer context"),
]


@pytest.mark.parametrize("kind, row, field, part", BAD, ids=[f"{i}-{case[0]}" for i, case in enumerate(BAD)])
def test_bad_rows_are_refused(kind: str, row: dict[str, Any] | str, field: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    line = row if isinstance(row, str) else json.dumps(row)
    path.write_bytes(b"\n" + line.encode("utf-8", "surrogateescape") + b"\n")
    reader = Reader(path, tokenizer=TOKENIZER, context=300)
    assert list(reader) == []
    assert (reader.ledger.rows, reader.ledger.bad) == (1, 1)
    problem = reader.ledger.first[0]
    assert (problem.kind, problem.field) == (kind, field)
    assert str(problem).startswith(f"{path}:2:")
    assert part in str(problem), str(problem)
    with pytest.raises(DataError, match=f"1 of 1 rows are bad \\(1 x {kind}\\)"):
        reader.finish("Correct them.")


def test_mixed_formats_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    rows = [GOOD["preference"][0], GOOD["seed-triple"][0], {**GOOD["preference"][0], "label": True}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = Reader(path)
    assert len(list(reader)) == 1
    assert [(p.line, p.kind) for p in reader.ledger.first] == [(2, "missing key"), (3, "contradictory keys")]
    path.write_text(json.dumps(GOOD["prompt"][0]) + "\n" + json.dumps(GOOD["prompt-completion"][0]))
    reader = Reader(path)
    list(reader)
    assert [(p.line, p.kind) for p in reader.ledger.first] == [(2, "mixed formats")]


def test_a_forced_format_wins_and_unknown_keys_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps({**GOOD["alpaca-preference"][0], "id": 3}))
    reader = Reader(path, "alpaca")
    assert [type(read.record) for read in reader] == [Demonstration]
    assert dict(reader.ignored) == {"id": 1}
    with pytest.raises(DataError, match="There is no format 'alpacca'; choose one of text"):
        list(Reader(path, "alpacca"))


def test_only_ten_problems_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": ""}\n' * 30 + '{"prompt": "Hi"}\n')
    reader = Reader(path)
    assert len(list(reader)) == 1
    message = reader.ledger.message()
    assert message.startswith("30 of 31 rows are bad (30 x empty prompt)")
    assert message.count(str(path)) == 10 and message.endswith("... and 20 more")
