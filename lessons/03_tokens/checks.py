"""What the answers of lesson 3 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal
from minipost.text import Tokenizer, bpe

IGNORED = -100
letters = st.lists(st.integers(97, 99), min_size=1, max_size=6)  # words of a, b and c, as bytes


# ----------------------------------------------------------------------------------------------------------- best_pair
@st.composite
def counted(draw: Any) -> dict[str, Any]:
    words = draw(st.lists(st.tuples(letters.map(tuple), st.integers(1, 3)), min_size=1, max_size=3))
    return {"words": {**dict(words), (97, 98): draw(st.integers(1, 3))}}


def frequencies(words: dict[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """How often each pair of the letters occurs, place by place."""
    places = [(word[i : i + 2], times) for word, times in words.items() for i in range(len(word) - 1)]
    return {pair: sum(times for p, times in places if p == pair) for pair, _ in places}


def none_is_more_frequent(f: Any, words: dict[tuple[int, ...], int]) -> Iterator[Assertion]:
    counts = frequencies(words)
    yield equal("how often best_pair(words) occurs", counts.get(tuple(f(words)), 0), max(counts.values()))


def ties_go_to_the_smaller(f: Any, words: dict[tuple[int, ...], int]) -> Iterator[Assertion]:
    counts = frequencies(words)
    most = max(counts.values())
    yield equal("best_pair(words)", f(words), min(pair for pair, count in counts.items() if count == most))


# -------------------------------------------------------------------------------------------------------------- encode
@st.composite
def merging(draw: Any) -> dict[str, Any]:
    """Merges that were really learnt, from words like the one to encode."""
    texts = draw(st.lists(letters, min_size=1, max_size=3))
    merges = bpe.learn_merges({bytes(text).decode(): 2 for text in texts}, draw(st.integers(0, 5)))
    return {"word": draw(letters), "merges": merges}


def keeps_the_bytes(f: Any, word: list[int], merges: list[tuple[int, int]]) -> Iterator[Assertion]:
    spelled = [[byte] for byte in range(256)]
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    yield equal("the bytes of encode(word, merges)", [b for i in f(word, merges) for b in spelled[i]], word)


def as_the_package(f: Any, word: list[int], merges: list[tuple[int, int]]) -> Iterator[Assertion]:
    expected = Tokenizer(merges).encode(bytes(word).decode())
    found = f(word, merges)
    yield equal("len(encode(word, merges))", len(found), len(expected))
    yield equal("encode(word, merges)", found, expected)


# -------------------------------------------------------------------------------------------------------------- labels
@st.composite
def rows(draw: Any) -> dict[str, Any]:
    prompt = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    response = [*draw(st.lists(st.integers(1, 3), max_size=3)), 9]  # 9 ends it
    length = len(prompt) + len(response) + draw(st.integers(0, 2))
    return {"prompt": prompt, "response": response, "length": length, "pad_id": draw(st.sampled_from([0, 9]))}


def rows_are_whole(f: Any, prompt: Any, response: Any, length: int, pad_id: int) -> Iterator[Assertion]:
    expected = [*prompt, *response, *[pad_id] * (length - len(prompt) - len(response))]
    yield equal("inputs", f(prompt, response, length, pad_id)[0], expected)


def each_response_token_once(f: Any, prompt: Any, response: Any, length: int, pad_id: int) -> Iterator[Assertion]:
    found = np.asarray(f(prompt, response, length, pad_id)[1])
    yield equal("how many labels are not ignored", (found != IGNORED).sum(), len(response))
    yield equal("those labels, in order", found[found != IGNORED], response)


def labels_are_the_next(f: Any, prompt: Any, response: Any, length: int, pad_id: int) -> Iterator[Assertion]:
    inputs, found = (np.asarray(x) for x in f(prompt, response, length, pad_id))
    at = np.nonzero(found != IGNORED)[0]
    at = at[at + 1 < length]
    yield equal("labels[t], where one is wanted", found[at], inputs[at + 1])


# -------------------------------------------------------------------------------------------------------------- decode
@st.composite
def cut_anywhere(draw: Any) -> dict[str, Any]:
    """The bytes of a text, cut into tokens of one or two."""
    raw, pieces = draw(st.text(st.sampled_from("aé比"), max_size=3)).encode(), []
    while raw:
        size = draw(st.integers(1, 2))
        pieces.append(list(raw[:size]))
        raw = raw[size:]
    return {"pieces": tuple(pieces)}


def text_comes_back(f: Any, pieces: tuple[list[int], ...]) -> Iterator[Assertion]:
    text = b"".join(map(bytes, pieces)).decode()
    yield equal("decode(pieces), as code points", [ord(c) for c in f(pieces)], [ord(c) for c in text])


word = merging()
CHECKS = [
    Check(
        "best_pair",
        [
            Property("E1", "no pair occurs more often", "count(best) = max count", counted(), none_is_more_frequent),
            Property("E2", "ties go to the smaller pair", "min of the argmax", counted(), ties_go_to_the_smaller),
        ],
        hints=[
            "itertools.pairwise gives the neighbours; a word that occurs three times counts three times.",
            "Order pairs by (-count, pair) and take the first.",
        ],
    ),
    Check(
        "encode",
        [
            Property("E3", "joining changes no byte", "bytes(encode(w)) = w", word, keeps_the_bytes),
            Property("E4", "merges in the order of learning", "encode = Tokenizer.encode", word, as_the_package),
        ],
        hints=[
            "Loop over merges outside, over places inside.",
            "After a replacement the list is shorter; do not skip a place.",
            "Greedy from the left: 'a a a' with the merge (a, a) is 'aa a'.",
        ],
    ),
    Check(
        "labels",
        [
            Property("E5", "inputs are prompt, response, padding", "x = p + r + pad", rows(), rows_are_whole),
            Property(
                "E6", "every response token is learnt once, the end too", "labels = r", rows(), each_response_token_once
            ),
            Property("E7", "a label is the next token", "labels_t = inputs_(t+1)", rows(), labels_are_the_next),
        ],
        hints=[
            "At which column are the logits that should predict the first token of the response?",
            "Response token j is predicted at column P - 1 + j.",
            "Never compare with pad_id: you know all lengths.",
        ],
    ),
    Check(
        "decode",
        [Property("E8", "what was encoded comes back", "decode(encode(text)) = text", cut_anywhere(), text_comes_back)],
        bug="E8",
        hints=[
            "Which characters have more than one byte?",
            "With few merges, 'é' is two tokens. What does each of them decode to alone?",
        ],
    ),
]
