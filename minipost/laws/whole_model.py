"""Laws of a whole model and of a whole run, which no single loss can obey or break.

Most bugs that ship sit between the losses: a mask that is off by one, padding that attention sees, a reference that
trains along, a resumed run that has lost its random numbers. So these laws take *functions* of the thing that they
judge, as small as possible, and raise an `AssertionError` that names the law and the first number that is off:

    def measure(texts, row_length):            # yours: the loss is a sum over all response tokens
        return loss, {"embedding": ..., ...}   # and its gradient with respect to every weight
    packing(measure, texts, row_length=16)

A *text* is a pair of token lists, a prompt and its response, end token included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from minipost.laws.law import Array

Text: TypeAlias = tuple[Sequence[int], Sequence[int]]  # (prompt, response)
Measured: TypeAlias = tuple[float, Mapping[str, Array]]  # the summed loss, and the gradient of each weight
Measure: TypeAlias = Callable[[Sequence[Text], int], Measured]  # (texts, tokens a row)
Weights: TypeAlias = Mapping[str, Array]

TOLERANCE = 1e-9  # of float64 models: another order of sums, nothing more


def packing(measure: Measure, texts: Sequence[Text], row_length: int) -> None:
    """P11: several texts packed into a row give the loss and the gradient that each gives alone."""
    alone = [measure([text], 1) for text in texts]
    _same_measure("P11, packed rows equal unpacked ones", measure(texts, row_length), _added(alone))


def accumulation(measure: Measure, texts: Sequence[Text], parts: int, order: Sequence[int], row_length: int) -> None:
    """P5 and P7: micro-batches of summed losses, in any order, add up to the full batch."""
    shuffled = [texts[i] for i in order]
    shards = [shuffled[k::parts] for k in range(min(parts, len(texts)))]
    pieces = _added([measure(shard, row_length) for shard in shards])
    _same_measure("P7, micro-batches add up to the full batch", pieces, measure(texts, row_length))


def padding(padded: Callable[[Text, int, int], Measured], text: Text, left: int, right: int) -> None:
    """P6: pads before and after a text change nothing. `padded(text, left, right)` measures it with so many of them."""
    _same_measure("P6, padding changes nothing", padded(text, left, right), padded(text, 0, 0))


def documents_apart(second: Callable[[Text, Text], Weights], a: Text, other: Text, b: Text) -> None:
    """P12: what stands before a document in its row never moves it.

    `second(a, b)` packs both into one row and returns arrays that belong to b's loss alone: its hidden states, the
    gradient of every weight. `other` is a text of a's lengths.
    """
    _same("P12, one document never moves another", second(other, b), second(a, b))


def batch_mates(score: Callable[[Sequence[Text], int], Array], texts: Sequence[Text], row_length: int) -> None:
    """P24: a score depends neither on the texts that it shares a batch with, nor on the padding."""
    together = score(texts, row_length)
    for i, text in enumerate(texts):
        for length in (1, row_length):
            _close(f"P24, a score is the text's own: score {i}", together[i], score([text], length)[0])


def prompts_unsupervised(logit_gradient: Callable[[Text], Array], text: Text) -> None:
    """P47: of the logits [T, V] of one text, those that predict its response receive gradient, and no others.

    Logits at t predict token t + 1: for a prompt of P tokens these are the rows P - 1 and on, but not the last one.
    """
    g = np.asarray(logit_gradient(text))
    predicts = np.zeros(len(g), bool)
    predicts[len(text[0]) - 1 : len(text[0]) + len(text[1]) - 1] = True
    received = np.any(g, axis=-1).reshape(len(g))
    for t in np.flatnonzero(received != predicts):
        what = "predicts a prompt token or nothing, and receives gradient" if received[t] else "receives no gradient"
        raise AssertionError(f"P47, the response alone is learned: the logits at position {t} {what}")


def reference_unchanged(train: Callable[[], Weights], reference: Weights) -> None:
    """P70: training moves the policy and never the reference. `train()` returns the trained weights."""
    before = {name: np.array(w) for name, w in reference.items()}
    trained = train()
    for name, w in before.items():
        assert np.array_equal(reference[name], w), f"P70, the reference never changes: {name} has changed"
    still = [name for name in trained if name in before and np.array_equal(trained[name], before[name])]
    assert not still, f"training moves every weight of the policy: {still[0]} has not moved"


def nothing_moved_yet(metrics: Mapping[str, float], tolerance: float = 1e-5) -> None:
    """P43: at the first minibatch the ratio is 1, the approximate KL 0 and nothing is clipped.

    `metrics` are those of the first update, under PPO's usual names; any that is missing is not judged.
    """
    for names, start in (
        (("policy/ratio", "val/ratio"), 1.0),
        (("policy/approxkl_avg",), 0.0),
        (("policy/clipfrac_avg",), 0.0),
    ):
        for name in names:
            if name in metrics:
                _close(f"P43, before the first update nothing has moved: {name}", metrics[name], start, tolerance)


def resumption(whole: Callable[[], bytes], cut_and_resumed: Callable[[], bytes]) -> None:
    """P50: a run that was interrupted and resumed ends in the very bytes of one that was not."""
    a, b = whole(), cut_and_resumed()
    first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert a == b, (
        f"P50, a resumed run equals an uninterrupted one: {len(a)} and {len(b)} bytes, the first difference at {first}"
    )


# ------------------------------------------------------------------------------------------------------------- helpers
def _added(pieces: Sequence[Measured]) -> Measured:
    """The sum of several measures."""
    names = pieces[0][1]
    return sum(loss for loss, _ in pieces), {name: np.sum([g[name] for _, g in pieces], axis=0) for name in names}


def _same_measure(law: str, got: Measured, should: Measured) -> None:
    _close(f"{law}: the loss", got[0], should[0])
    _same(f"{law}: gradient", got[1], should[1])


def _same(law: str, got: Weights, should: Weights) -> None:
    assert got.keys() == should.keys(), f"{law}: {sorted(got.keys() ^ should.keys())} are in one of both only"
    for name, expected in should.items():
        _close(f"{law} {name}", got[name], expected)


def _close(what: str, got: Any, should: Any, tolerance: float = TOLERANCE) -> None:
    got, should = np.asarray(got, np.float64), np.asarray(should, np.float64)
    assert got.shape == should.shape, f"{what} has shape {got.shape} and should have {should.shape}"
    wrong = ~(np.abs(got - should) <= tolerance * (1 + np.abs(should)))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f" at {list(at)}" if at else ""
        raise AssertionError(f"{what}{place} is {got[at]:.10g} and should be {should[at]:.10g}")
