"""What the answers of lesson 15 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.interop import hf
from minipost.laws.law import Assertion, equal
from minipost.model import ModelConfig


# ----------------------------------------------------------------------------------------------------------- split_qkv
@st.composite
def stacked(draw: Any) -> dict[str, Any]:
    kv_heads, group, D = draw(st.integers(1, 2)), draw(st.integers(1, 2)), 2
    heads = kv_heads * group
    rows = (heads + 2 * kv_heads) * D
    return {"qkv": np.arange(float(rows * heads * D)).reshape(rows, heads * D), "heads": heads, "kv_heads": kv_heads}


def nothing_is_lost(f: Any, qkv: np.ndarray, heads: int, kv_heads: int) -> Iterator[Assertion]:
    yield equal("the three on top of each other", np.concatenate(f(qkv, heads, kv_heads)), qkv)


def as_exported(f: Any, qkv: np.ndarray, heads: int, kv_heads: int) -> Iterator[Assertion]:
    config = ModelConfig(5, dim=qkv.shape[1], heads=heads, kv_heads=kv_heads, hidden=2, layers=1)
    expected = hf.to_tensors({"layers.0.qkv": qkv}, config).values()
    for name, found, should in zip("qkv", f(qkv, heads, kv_heads), expected, strict=True):
        yield equal(f"rows of {name}", len(found), len(should))
        yield equal(f"{name} of split_qkv", found, should)


# ------------------------------------------------------------------------------------------------------- from_bfloat16
def known_numbers(f: Any, number: float) -> Iterator[Assertion]:
    bits = np.array([number], np.float32).view(np.uint32) >> 16  # these numbers have no lower half
    yield equal("from_bfloat16 of its upper half", f(bits.astype(np.uint16)), [number])


def is_float32(f: Any, number: float) -> Iterator[Assertion]:
    found = np.asarray(f(np.array([0x3F80], np.uint16)))
    yield equal("bytes a number", found.dtype.itemsize, 4)


# ---------------------------------------------------------------------------------------------------- split_transcript


@st.composite
def transcripts(draw: Any) -> dict[str, Any]:
    exchanges = [
        (draw(st.sampled_from(["Hi", "Why?"])), draw(st.sampled_from(["Yes.", "No."])))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return {"text": "".join(f"\n\nHuman: {a}\n\nAssistant: {b}" for a, b in exchanges)}


def codes(text: str) -> list[int]:
    return [ord(c) for c in text]


def is_the_last(f: Any, text: str) -> Iterator[Assertion]:
    response = f(text)[1]
    yield equal("whether 'Assistant:' is in the response", float("Assistant:" in response), 0.0)
    yield equal("the response's characters", codes(response), codes(text.split()[-1]))


def joins_up(f: Any, text: str) -> Iterator[Assertion]:
    prompt, response = f(text)
    yield equal("prompt and response joined up again", codes(f"{prompt}\n\nAssistant: {response}"), codes(text))


# ------------------------------------------------------------------------------------------------------- shared_prompt
@st.composite
def sides(draw: Any) -> dict[str, Any]:
    shared = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
    return {name: shared + draw(st.lists(st.integers(1, 2), max_size=2)) for name in ("chosen", "rejected")}


def no_turn_is_lost(f: Any, chosen: list[int], rejected: list[int]) -> Iterator[Assertion]:
    prompt, first, second = f(chosen, rejected)
    yield equal("prompt + rest of chosen", [*prompt, *first], chosen)
    yield equal("prompt + rest of rejected", [*prompt, *second], rejected)


def is_all_they_share(f: Any, chosen: list[int], rejected: list[int]) -> Iterator[Assertion]:
    _, first, second = f(chosen, rejected)
    alike = bool(first) and bool(second) and first[0] == second[0]
    yield equal("whether both rests still begin alike", float(alike), 0.0)


exact = st.fixed_dictionaries({"number": st.sampled_from([1.0, 0.0, -2.0, 0.5, 1.5, -0.09375, 2.0**100])})
CHECKS = [
    Check(
        "split_qkv",
        [
            Property("E1", "nothing is lost or moved", "[q; k; v] = qkv", stacked(), nothing_is_lost),
            Property("E2", "cut where the exporter cuts", "H D, K D and K D rows", stacked(), as_exported),
        ],
        hints=[
            "How many channels has a head? The number of rows and of heads say it.",
            "np.split takes the places of the cuts: after H * D rows, and after (H + K) * D.",
        ],
    ),
    Check(
        "from_bfloat16",
        [
            Property("E3", "numbers that fit are exact", "from_bfloat16(upper half of x) = x", exact, known_numbers),
            Property("E4", "the result is float32", "4 bytes a number", exact, is_float32),
        ],
        hints=[
            "Widen to uint32 first: a shift by 16 in 16 bits leaves nothing.",
            "x << 16, then .view(np.float32): the same bits under another name. astype would convert.",
        ],
    ),
    Check(
        "split_transcript",
        [
            Property("E5", "the response is the last turn", "no 'Assistant:' in it", transcripts(), is_the_last),
            Property("E6", "nothing is lost", "prompt + marker + response = text", transcripts(), joins_up),
        ],
        hints=[
            "A conversation may have several turns of the assistant.",
            "str.rpartition splits at the last occurrence.",
        ],
    ),
    Check(
        "shared_prompt",
        [
            Property("E7", "no turn is lost", "prompt + rest = conversation", sides(), no_turn_is_lost),
            Property("E8", "the prompt is all they share", "the rests begin differently", sides(), is_all_they_share),
        ],
        bug="E8",
        hints=[
            "What if one conversation is the beginning of the other?",
            "Where does a for loop leave its variable if it never breaks?",
        ],
    ),
]
