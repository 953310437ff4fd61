"""The laws of next-token cross-entropy and of sequence log-probabilities."""

from __future__ import annotations

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import Array, Assertions, Case, Number, at_most, equal, law, slope

LOSS, LOGPS = "sft.cross_entropy", "sequence_logps"
BOTH = f"{LOSS} {LOGPS}"


def read(x: Case) -> Array:
    """Which positions of the logits [B, T] may be read at all."""
    if "mask" in x.arguments:
        return np.asarray(x.mask == 1)
    return np.append(x.response_mask[:, 1:] == 1, np.zeros((len(x.tokens), 1), bool), axis=1)  # one before each token


def garbled(x: Case, garbage: float) -> Case:
    """The same case with other logits and labels wherever they must not matter."""
    V = x.logits.shape[-1]
    logits = np.where(read(x)[..., None], x.logits, garbage * np.arange(V))
    if "mask" in x.arguments:
        return x.but(logits=logits, labels=np.where(x.mask == 1, x.labels, (x.labels + 1) % V))
    return x.but(logits=logits, tokens=np.where(x.response_mask == 1, x.tokens, (x.tokens + 1) % V))


@law(
    "P1",
    BOTH,
    "what the mask leaves out changes neither value nor gradient",
    "f(garbage where m = 0) = f; df/dlogits = 0 there",
    garbage=Number(1, 100),
)
def masked(f: Candidate, x: Case, garbage: float) -> Assertions:
    y = garbled(x, garbage)
    yield equal("value with garbage", f(y), f(x))
    yield slope("gradient where nothing is read", f.gradient(y)["logits"][~read(x)], 0.0)


@law(
    "P2",
    BOTH,
    "a constant added to all logits of a position changes nothing",
    "f(logits + c_t) = f(logits)",
    c=Number(-50, 50),
)
def shifted(f: Candidate, x: Case, c: float) -> Assertions:
    B, T, _ = x.logits.shape
    by = c * (1 + np.arange(B * T, dtype=np.float64)).reshape(B, T, 1)
    yield equal("value with shifted logits", f(x.but(logits=x.logits + by)), f(x))


@law("P3", LOSS, "uniform logits give log V", "L(0) = log V")
def uniform(f: Candidate, x: Case) -> Assertions:
    yield equal("loss at uniform logits", f(x.but(logits=np.zeros_like(x.logits))), np.log(x.logits.shape[-1]))


@law(
    "P4",
    LOSS,
    "the gradient is the error of the prediction, shared among the counted tokens",
    "dL/dlogits = (p - onehot) m / sum m; each row of it sums to 0",
)
def error_of_prediction(f: Candidate, x: Case) -> Assertions:
    x = x.but(reduction="token")
    p = np.exp(x.logits) / np.exp(x.logits).sum(axis=-1, keepdims=True)
    error = (p - np.eye(p.shape[-1])[x.labels]) * x.mask[..., None]
    g = f.gradient(x)["logits"]
    yield slope("dL/dlogits", g, error / x.mask.sum())
    yield slope("sum of dL/dlogits over the vocabulary", g.sum(axis=-1), 0.0)


@law("P5", BOTH, "rows may come in any order", "f(permuted batch) = f, permuted")
def any_order(f: Candidate, x: Case) -> Assertions:
    out = f(x)
    yield equal("value of the batch backwards", f(x.mapped(np.flipud)), out[::-1] if np.ndim(out) else out)


@law("P6", LOSS, "padding on either side changes nothing", "L(pad, x) = L(x, pad) = L(x)", garbage=Number(-100, 100))
def padded(f: Candidate, x: Case, garbage: float) -> Assertions:
    before = f(x)
    for side, width in (("left", (2, 0)), ("right", (0, 2))):
        y = x.but(
            logits=np.pad(x.logits, ((0, 0), width, (0, 0)), constant_values=garbage),
            labels=np.pad(x.labels, ((0, 0), width)),
            mask=np.pad(x.mask, ((0, 0), width)),
        )
        yield equal(f"loss with padding on the {side}", f(y), before)


@law("P7", LOSS, "micro-batches weighted by their tokens make up the full batch", "sum_i n_i L_i / sum_i n_i = L")
def micro_batches(f: Candidate, x: Case) -> Assertions:
    x = x.but(reduction="token")
    filled = [b for b in range(len(x.mask)) if x.mask[b].any()]
    parts = [f(x.mapped(lambda a, b=b: a[b : b + 1])) * x.mask[b].sum() for b in filled]  # type: ignore[misc]
    yield equal("sum of n_i L_i over n", sum(parts) / x.mask.sum(), f(x))


@law("P8", LOSS, "token mean and sequence mean agree on equal lengths", "L_token = L_sequence if all lengths are equal")
def equal_lengths(f: Candidate, x: Case) -> Assertions:
    x = x.but(mask=np.ones_like(x.mask))
    yield equal("sequence mean", f(x.but(reduction="sequence")), f(x.but(reduction="token")))


@law(
    "P9",
    LOSS,
    "an all-masked batch is an error or 0, never NaN; the sequence mean leaves empty rows out",
    "L(m = 0) = 0 or raises; L_sequence(x and an empty row) = L_sequence(x)",
)
def nothing_counted(f: Candidate, x: Case) -> Assertions:
    empty = f.attempt(x.but(mask=np.zeros_like(x.mask)))
    if empty is not None:
        yield equal("loss of nothing", empty, 0.0)
    x = x.but(reduction="sequence")
    longer = x.repeated(2)
    longer.mask[len(x.mask) :] = 0
    yield equal("sequence mean with empty rows", f(longer), f(x))


@law("P10", BOTH, "finite at logits of +-1e4", "|f| < inf")
def extreme_logits(f: Candidate, x: Case) -> Assertions:
    x = x.but(logits=np.where(x.logits > 0, 1e4, -1e4))
    yield at_most("size of the value", np.abs(f(x)), 3e4 * x.logits.shape[1])


@law(
    "P59",
    LOGPS,
    "a response's log-probability is the sum over its tokens, not their average: so shared parts cancel",
    "log p(a b) = log p(a) + log p(b | a)",
)
def sums_over_tokens(f: Candidate, x: Case) -> Assertions:
    whole, T = f(x), x.response_mask.shape[1]
    yield at_most("a log-probability", whole, 0.0)
    later = np.arange(T) >= (T + 1) // 2
    first, second = (f(x.but(response_mask=x.response_mask * part)) for part in (~later, later))
    yield equal("log p(a b)", whole, first + second)
