"""What the answers of lesson 5 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal

END, PAD = 2, 0


@st.composite
def shapes(draw: Any) -> dict[str, Any]:
    """One or two rows: lengths of prompts and responses, and a width that fits them."""
    B = draw(st.integers(1, 2))
    prompts = np.array([draw(st.integers(1, 2)) for _ in range(B)])
    responses = np.array([draw(st.integers(1, 3)) for _ in range(B)])
    width = int((prompts + responses).max()) + draw(st.integers(0, 2))
    return {"prompt_lengths": prompts, "response_lengths": responses, "width": width}


def spelled_out(prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int) -> list[list[float]]:
    """The mask token by token: target t is token t + 1."""
    return [
        [float(p <= t + 1 < p + r) for t in range(width - 1)]
        for p, r in zip(prompt_lengths.tolist(), response_lengths.tolist(), strict=True)
    ]


def counts_the_response(
    f: Any, prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int
) -> Iterator[Assertion]:
    found = np.asarray(f(prompt_lengths, response_lengths, width), float)
    yield equal("how many targets count", found.sum(axis=1), response_lengths)
    yield equal("target_mask(...)", found, spelled_out(prompt_lengths, response_lengths, width))


# ------------------------------------------------------------------------------------------------------------ may_look
@st.composite
def rows(draw: Any) -> dict[str, Any]:
    """Sequences side by side in one row or two."""
    T = draw(st.integers(1, 4))
    made = []
    for _ in range(draw(st.integers(1, 2))):
        opens = [True, *(draw(st.booleans()) for _ in range(T - 1))]
        made.append(np.maximum.accumulate(np.where(opens, np.arange(T), 0)))
    return {"start": np.array(made)}


def looks_back_only(f: Any, start: np.ndarray) -> Iterator[Assertion]:
    B, T = start.shape
    wanted = [[[float(start[b, i] <= j <= i) for j in range(T)] for i in range(T)] for b in range(B)]
    yield equal("may_look(start)", np.asarray(f(start), float), wanted)


# ------------------------------------------------------------------------------------------------ mask_without_padding
def batch_of(prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int, pad_id: int) -> np.ndarray:
    """Tokens [B, width]: 1 for content, END where a response ends, the pad afterwards."""
    tokens = np.full((len(prompt_lengths), width), pad_id)
    for b, stop in enumerate(prompt_lengths + response_lengths):
        tokens[b, : stop - 1], tokens[b, stop - 1] = 1, END
    return tokens


def masks_with(pad_id: int) -> Any:
    def holds(f: Any, prompt_lengths: np.ndarray, response_lengths: np.ndarray, width: int) -> Iterator[Assertion]:
        tokens = batch_of(prompt_lengths, response_lengths, width, pad_id)
        found = np.asarray(f(tokens, prompt_lengths, response_lengths, pad_id), float)
        yield equal(
            f"the mask with pad_id = {pad_id} and an end token of {END}",
            found,
            spelled_out(prompt_lengths, response_lengths, width),
        )

    return holds


CHECKS = [
    Check(
        "target_mask",
        [
            Property(
                "E1",
                "exactly the tokens of the response count, each where it is a target",
                "mask[b, t] = [P <= t + 1 < P + R]",
                shapes(),
                counts_the_response,
            )
        ],
        hints=[
            "Draw one row with P = 2 and R = 2. Which columns of tokens[:, 1:] hold the response?",
            "Token t is target t - 1: compare np.arange(1, width) with both ends of the response.",
        ],
    ),
    Check(
        "sequence_logps",
        "sequence_logps",
        hints=[
            "Which position of the logits predicts tokens[:, 1]?",
            "Cut the last position off the logits, and the first off tokens and mask.",
            "Masked entries may be anything: choose with np.where before you sum.",
        ],
    ),
    Check(
        "may_look",
        [
            Property(
                "E2",
                "a token looks back as far as its own sequence begins, and never ahead",
                "may[i, j] = [start[i] <= j <= i]",
                rows(),
                looks_back_only,
            )
        ],
        hints=["Two comparisons, and both must hold.", "start[:, :, None] is [B, T, 1] and meets j of [T]."],
    ),
    Check(
        "mask_without_padding",
        [
            Property(
                "E3",
                "with a padding id of its own the response counts, and nothing else",
                "mask[b, t] = [P <= t + 1 < P + R]",
                shapes(),
                masks_with(PAD),
            ),
            Property(
                "E4",
                "the end token counts even where pad and end share an id (P13)",
                "mask at the end token = 1, also if pad = end",
                shapes(),
                masks_with(END),
            ),
        ],
        bug="E4",
        hints=[
            "The check with pad_id = 0 passes. What is different in the other?",
            "Many tokenizers have no padding token, and people set it to the end token.",
            "Where does the response end? You are given a number that says so.",
        ],
    ),
]
