"""Packing, streaming and sharding against oracles that go through tokens one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.model import heads
from minipost.text.batching import BatchError, Example, Packed, pack, split_evenly, stream

check = settings(deadline=None, max_examples=80)
END, PAD, DOCUMENT = 1, 1, 0  # pad and end share an id on purpose: no mask may be made from ids

ids = st.integers(0, 9)
examples = st.builds(Example, st.lists(ids, min_size=1, max_size=6), st.lists(ids, max_size=5).map(lambda r: [*r, END]))
batches = st.lists(examples, min_size=1, max_size=12)


def places(packed: Packed, i: int, size: int) -> np.ndarray:
    """The flat places of sequence i, which ends at `last`."""
    return np.arange(packed.last[i] + 1 - size, packed.last[i] + 1)


def test_the_timeline_of_the_docstring() -> None:
    boil = Example(["<|u|>", "How", "to", "<|a|>"], ["Boil", "<|e|>"])
    hi = Example(["<|u|>", "Hi", "<|a|>"], ["Oh", "<|e|>"])
    words = ["pad", "<|u|>", "<|a|>", "<|e|>", "How", "to", "Boil", "Hi", "Oh"]

    def encode(e: Example) -> Example:
        return Example([words.index(w) for w in e.prompt], [words.index(w) for w in e.response])

    packed = pack([encode(boil), encode(hi)], row_length=12)
    line = "<|u|> How to <|a|> Boil <|e|> <|u|> Hi <|a|> Oh <|e|> pad"
    assert [words[t] for t in packed.tokens[0]] == line.split()
    assert packed.start.tolist() == [[0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 11]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 0]]
    assert packed.index.tolist() == [3, 4, 8, 9]
    assert [words[t] for t in packed.targets] == ["Boil", "<|e|>", "Oh", "<|e|>"]
    assert packed.lengths.tolist() == [2, 2]
    assert packed.last.tolist() == [5, 10]


@check
@given(batch=batches, row_length=st.integers(1, 24))
def test_every_sequence_stands_whole_in_one_row_and_none_overlap(batch: list[Example], row_length: int) -> None:
    packed = pack(batch, row_length, PAD)
    B, T = packed.tokens.shape
    assert max(row_length, max(map(len, batch))) == T
    taken = np.zeros(B * T, int)
    for i, e in enumerate(batch):
        here = places(packed, i, len(e))
        assert len(set(here // T)) == 1  # one row
        taken[here] += 1
        assert packed.tokens.reshape(-1)[here].tolist() == [*e.prompt, *e.response]
        assert packed.positions.reshape(-1)[here].tolist() == list(range(len(e)))
        assert set(packed.start.reshape(-1)[here]) == {here[0] % T}
    assert taken.max() == 1
    for row, column in zip(*np.nonzero(taken.reshape(B, T) == 0), strict=True):
        assert packed.tokens[row, column] == PAD
        assert packed.start[row, column] == column  # a pad sees only itself
    assert (np.diff(packed.start, axis=1) >= 0).all()  # what the attention kernel relies on


@check
@given(batch=batches, row_length=st.integers(1, 24))
def test_P13_each_response_token_is_predicted_once_the_end_included(batch: list[Example], row_length: int) -> None:
    packed = pack(batch, row_length, PAD)
    flat, starts = packed.tokens.reshape(-1), packed.start.reshape(-1)
    assert packed.targets.tolist() == [t for e in batch for t in e.response]  # in the order of the batch
    assert len(set(packed.index)) == len(packed.index)
    assert (flat[packed.index + 1] == packed.targets).all()
    assert (starts[packed.index + 1] == starts[packed.index]).all()  # never across sequences
    n = 0
    for i, e in enumerate(batch):
        mine = packed.index[n : n + len(e.response)]
        assert packed.positions.reshape(-1)[mine].tolist() == list(range(len(e.prompt) - 1, len(e) - 1))
        assert packed.targets[n + len(e.response) - 1] == END
        assert packed.last[i] == mine[-1] + 1  # a reward model reads the end token itself
        n += len(e.response)


@check
@given(batch=batches, row_length=st.integers(1, 24))
def test_tables_hold_each_sequence_in_a_row(batch: list[Example], row_length: int) -> None:
    packed = pack(batch, row_length)
    table = heads.place(packed.targets.astype(float), packed.mask)
    assert packed.mask.sum(axis=1).tolist() == [len(e.response) for e in batch]
    for row, e in zip(table, batch, strict=True):
        assert row.tolist() == [*e.response] + [0] * (table.shape[1] - len(e.response))


@check
@given(batch=batches, row_length=st.integers(1, 24))
def test_at_most_one_row_is_less_than_half_full(batch: list[Example], row_length: int) -> None:
    packed = pack(batch, row_length)
    B, T = packed.tokens.shape
    full = np.zeros(B, int)
    for i, e in enumerate(batch):
        full[packed.last[i] // T] += len(e)
    assert (full <= T).all()
    assert (2 * full < T).sum() <= 1  # first fit: two such rows would have become one


def test_a_cut_response_has_no_end_forged() -> None:
    packed = pack([Example([5], [7, 8])], row_length=4)
    assert packed.targets.tolist() == [7, 8]
    assert packed.last.tolist() == [2]


def test_an_empty_response_scores_but_has_no_targets() -> None:
    packed = pack([Example([5, 6], []), Example([5], [7])], row_length=8)
    assert packed.lengths.tolist() == [0, 1]
    assert packed.tokens.reshape(-1)[packed.last].tolist() == [6, 7]
    assert packed.mask.tolist() == [[False], [True]]


@pytest.mark.parametrize(("batch", "said"), [([], "at least one sequence"), ([Example([], [1])], "prompt is empty")])
def test_what_cannot_be_packed_is_refused(batch: list[Example], said: str) -> None:
    with pytest.raises(BatchError, match=said):
        pack(batch, 8)


@check
@given(tokens=st.lists(ids, min_size=2, max_size=60), T=st.integers(1, 12), seed=st.integers(0, 99), data=st.data())
def test_a_stream_predicts_every_token_and_documents_see_no_other(
    tokens: list[int], T: int, seed: int, data: st.DataObject
) -> None:
    windows = (len(tokens) - 1) // T
    if windows == 0:
        return
    rows = data.draw(st.lists(st.integers(0, windows - 1), min_size=1, max_size=5))
    packed = stream(np.array(tokens), DOCUMENT, np.array(rows), T)
    targets = packed.targets.reshape(len(rows), T)
    for b, r in enumerate(rows):
        begin = 0
        for t in range(T):
            here = r * T + t
            begin = t if tokens[here] == DOCUMENT else begin
            assert packed.tokens[b, t] == tokens[here]
            assert targets[b, t] == tokens[here + 1]
            assert packed.start[b, t] == begin
            assert packed.positions[b, t] == t - begin
    assert packed.index.tolist() == list(range(len(rows) * T))
    assert packed.mask.all()
    assert packed.mask.shape == (len(rows), T)


@check
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), parts=st.integers(1, 8))
def test_an_even_split_keeps_order_and_no_part_is_far_too_large(sizes: list[int], parts: int) -> None:
    ranges = split_evenly(sizes, parts)
    assert [i for part in ranges for i in part] == list(range(len(sizes)))
    assert all(a.stop == b.start for a, b in pairwise(ranges))
    assert 1 <= len(ranges) <= parts
    assert all(len(part) > 0 for part in ranges)
    assert max(sum(sizes[i] for i in part) for part in ranges) <= sum(sizes) / parts + max(sizes)
