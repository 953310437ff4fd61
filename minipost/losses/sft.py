"""Next-token cross-entropy: the loss of pretraining and of supervised fine-tuning, and the log-probability of a text.

    L = -sum_t m_t log p(y_t) / sum_t m_t

Pretraining counts every token; SFT counts the response's tokens only, its end token included.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minipost.autograd import log_softmax, value
from minipost.losses.reduction import TensorLike, aggregate, as_mask, hide


def token_logps(logits: TensorLike, labels: TensorLike, mask: TensorLike | None = None) -> Any:
    """`log p(labels[b, t])` under `softmax(logits[b, t])` -> [B, T], 0 at uncounted positions.

    `logits[B, T, V]` already predict `labels[B, T]`. Labels at uncounted positions may be any integer, such as -100.
    Laws P1-P4, P10.
    """
    labels = np.asarray(value(labels))
    counted = np.ones(labels.shape, np.bool_) if mask is None else as_mask(mask)
    B, T = labels.shape
    rows, positions = np.arange(B)[:, None], np.arange(T)[None, :]
    picked = log_softmax(logits)[rows, positions, np.where(counted, labels, 0).astype(np.intp)]  # [B, T]
    return hide(picked, counted)


def cross_entropy(
    logits: TensorLike, labels: TensorLike, mask: TensorLike, reduction: Literal["token", "sequence", "sum"] = "token"
) -> Any:
    """Mean negative log-likelihood of the counted labels, in nats -> scalar.

    `logits[B, T, V]` at position t already predict `labels[B, T]` at position t. "token": every token has the same
    vote; "sequence": every sequence has, empty ones are left out. To accumulate micro-batches, take "sum" and divide by
    the token count of the whole window: a mean of the micro-batches' means is another loss (P7).

    Raises `ValueError` if no label counts: an average over nothing is a bug upstream. Laws P1-P10.
    """
    if not as_mask(mask).any():
        raise ValueError(
            "cross_entropy: no label counts, the mask is all zero; "
            "check the spans that made the mask, or leave this batch out."
        )
    return aggregate(-token_logps(logits, labels, mask), mask, reduction)


def sequence_logps(logits: TensorLike, tokens: TensorLike, response_mask: TensorLike, average: bool = False) -> Any:
    """`log p(response | prompt)`, the sum over the response's tokens, end token included -> [B].

    Un-shifted: position t of `logits[B, T, V]` predicts `tokens[:, t + 1]`, and `response_mask[B, T]` marks the
    response tokens themselves, so that response token j of a prompt of P tokens is read at logit index `P - 1 + j`:

        tokens          p0   p1   y0   y1   end  pad
        response_mask   0    0    1    1    1    0
        logits used          ^y0  ^y1  ^end

    `average=True` gives the mean over the response's tokens, for SimPO and ORPO (0 for an empty response). An average
    is not a log-probability: DPO with averages is another algorithm (P59). Laws P1, P10, P59.
    """
    mask = as_mask(response_mask)[:, 1:]
    picked = token_logps(logits[:, :-1], value(tokens)[:, 1:], mask)  # [B, T - 1]
    total = picked.sum(axis=1)
    if not average:
        return total
    return total / np.maximum(mask.sum(axis=1), 1).astype(value(total).dtype)
