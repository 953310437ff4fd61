"""The one place that pads, shifts and masks.

Sequences of different lengths are packed into rows, several to a row, so that almost no padding is computed. Two
integers for each token keep them apart: `start`, the column of the first token of its sequence, which is as far back as
attention may look; and `position`, which counts from 0 in each sequence. One row of T = 12 columns with two sequences:

    column      0    1     2    3     4     5    6    7     8     9    10   11
    token      <|u|> How  to  <|a|> Boil <|e|> <|u|> Hi  <|a|>  Oh  <|e|> pad
    start       0    0     0    0     0     0    6    6     6     6    6   11
    position    0    1     2    3     4     5    0    1     2     3    4    0
    response?   .    .     .    .     1     1    .    .     .     1    1    .
    index                       3     4                     8     9              whose logits predict a response
    targets                   Boil  <|e|>                  Oh   <|e|>            token[index + 1]
    last                                    5                         10         where a reward model reads

Logits at column t predict the token at column t + 1: for a prompt of P tokens, response token j sits at logit index
P - 1 + j of its sequence. That shift happens here and nowhere else. Masks come from lengths, never from `id == pad`:
the end token is a response token and is supervised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from minipost.errors import UserError

Ints = npt.NDArray[np.int64]


class BatchError(UserError):
    """Sequences that do not fit the model's context."""


@dataclass(frozen=True)
class Example:
    """A prompt and a response as token ids. The response holds its end token, unless a length limit cut it off."""

    prompt: Sequence[int]
    response: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Packed:
    """S sequences packed into B rows of T tokens; n response tokens in all, R in the longest response."""

    tokens: Ints  # [B, T]
    positions: Ints  # [B, T]
    start: Ints  # [B, T]
    index: Ints  # [n] flat places (row * T + column) whose logits predict a response token, sequence after sequence
    targets: Ints  # [n] the response tokens
    lengths: Ints  # [S] how many of them each sequence has
    last: Ints  # [S] flat place of each sequence's last token

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """[S, R]: which entries of a rectangular table are response tokens."""
        return np.arange(self.lengths.max(initial=0)) < self.lengths[:, None]


def pack(examples: Sequence[Example], row_length: int, pad_id: int = 0) -> Packed:
    """Pack sequences into rows of `row_length` tokens (more if one is longer), longest first, each into the first row
    with room. The order of sequences in the result is that of `examples`; where they stand does not matter."""
    if not examples:
        raise BatchError("there is nothing to pack: give at least one sequence.")
    if not all(e.prompt for e in examples):
        raise BatchError("a prompt is empty, so nothing predicts its response's first token: begin it with a token.")
    sizes = np.array([len(e) for e in examples])
    T = max(row_length, int(sizes.max()))
    place = np.empty((len(examples), 2), np.int64)
    room: list[int] = []  # free columns of each row
    for i in np.argsort(-sizes, kind="stable"):
        row = next((r for r, free in enumerate(room) if free >= sizes[i]), len(room))
        if row == len(room):
            room.append(T)
        place[i] = row, T - room[row]
        room[row] -= int(sizes[i])

    B = len(room)
    tokens = np.full((B, T), pad_id, np.int64)
    start, positions = np.tile(np.arange(T), (B, 1)), np.zeros((B, T), np.int64)  # a pad is a sequence of its own
    index, targets = [], []
    for (row, column), e in zip(place, examples, strict=True):
        P, stop = len(e.prompt), column + len(e)
        tokens[row, column:stop] = [*e.prompt, *e.response]
        start[row, column:stop] = column
        positions[row, column:stop] = np.arange(len(e))
        index.append(row * T + np.arange(column + P - 1, stop - 1))
        targets.append(np.asarray(e.response, np.int64))
    return Packed(
        tokens=tokens,
        positions=positions,
        start=start,
        index=np.concatenate(index),
        targets=np.concatenate(targets),
        lengths=np.array([len(e.response) for e in examples]),
        last=place[:, 0] * T + place[:, 1] + sizes - 1,
    )


def stream(ids: Ints, document_id: int, rows: Ints, row_length: int) -> Packed:
    """Windows of a long token stream for pretraining: window r holds tokens `r * row_length` onwards.

    Every token is a target, also the first of the next window; documents begin with `document_id` and do not see the
    document before.
    """
    columns = np.arange(row_length)
    window = ids[rows[:, None] * row_length + np.arange(row_length + 1)]  # [B, T + 1]
    tokens = window[:, :-1]
    start = np.maximum.accumulate(np.where(tokens == document_id, columns, 0), axis=1)
    count = len(rows) * row_length
    return Packed(
        tokens=tokens,
        positions=columns - start,
        start=start,
        index=np.arange(count),
        targets=window[:, 1:].reshape(-1),
        lengths=np.full(len(rows), row_length),
        last=(np.arange(len(rows)) + 1) * row_length - 1,
    )


def split_evenly(sizes: Sequence[int], parts: int) -> list[range]:
    """Cut a list into at most `parts` runs of neighbours of about equal total size: the shards of a batch."""
    edges, total = np.cumsum(sizes), float(np.sum(sizes))
    cuts = [0, *(int(np.searchsorted(edges, total * k / parts) + 1) for k in range(1, parts)), len(sizes)]
    return [range(lo, hi) for lo, hi in pairwise(cuts) if hi > lo]
