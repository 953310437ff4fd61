"""Bugs of next-token losses: shifts, masks, averages, and softmax without care."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import hide, log_softmax, pick, token_mean

from minipost import autograd


# ------------------------------------------------------------------------------------------------- sft.cross_entropy
def rows_mean(x, mask):
    """The mean over rows that have a counted token of their means: what "sequence" stands for."""
    tokens = (mask != 0).sum(axis=1)
    means = hide(x, mask).sum(axis=1) / np.maximum(tokens, 1)
    return means.sum() / max((tokens > 0).sum(), 1)


def average(x, mask, reduction):
    return token_mean(x, mask) if reduction == "token" else rows_mean(x, mask)


@mutant("sft.cross_entropy", "formula")
def shifts_labels_again(logits, labels, mask, reduction="token"):
    """The labels arrive shifted and are shifted a second time: position t learns the token after next."""
    nll = -pick(log_softmax(logits[:, :-1]), labels[:, 1:])
    return average(nll, mask[:, 1:], reduction)


@mutant("sft.cross_entropy", "P1", thread="jingyaogong/minimind#621")
def shifts_the_mask(logits, labels, mask, reduction="token"):
    """The mask is one position late: the first response token is not learnt, one token of padding is."""
    nll = -pick(log_softmax(logits), labels)
    return average(nll, np.concatenate([np.zeros_like(mask[:, :1]), mask[:, :-1]], axis=1), reduction)


@mutant("sft.cross_entropy", "P3")
def divides_by_all_positions(logits, labels, mask, reduction="token"):
    """The sum over counted tokens is divided by B T, so padding shrinks the loss."""
    nll = -pick(log_softmax(logits), labels)
    return hide(nll, mask).mean() if reduction == "token" else rows_mean(nll, mask)


@mutant("sft.cross_entropy", "P7", thread="huggingface/transformers#24725")
def token_mean_is_a_mean_of_means(logits, labels, mask, reduction="token"):
    """Each row is averaged first, whatever was asked for: short answers weigh more than long ones."""
    return rows_mean(-pick(log_softmax(logits), labels), mask)


@mutant("sft.cross_entropy", "formula")
def ignores_the_reduction(logits, labels, mask, reduction="token"):
    """`reduction="sequence"` silently gives the token mean."""
    return token_mean(-pick(log_softmax(logits), labels), mask)


@mutant("sft.cross_entropy", "P9")
def empty_rows_count_as_zero_loss(logits, labels, mask, reduction="token"):
    """The sequence mean divides by B: a row without a counted token drags it down."""
    nll = -pick(log_softmax(logits), labels)
    if reduction == "token":
        return token_mean(nll, mask)
    return (hide(nll, mask).sum(axis=1) / np.maximum((mask != 0).sum(axis=1), 1)).mean()


@mutant("sft.cross_entropy", "P9", thread="karpathy/nanochat#619")
def nothing_over_nothing(logits, labels, mask, reduction="token"):
    """A batch whose mask is all zero gives 0/0 = NaN."""
    nll = -pick(log_softmax(logits), labels)
    with np.errstate(invalid="ignore"):
        return hide(nll, mask).sum() / (mask != 0).sum() if reduction == "token" else rows_mean(nll, mask)


@mutant("sft.cross_entropy", "P10")
def exponentiates_raw_logits(logits, labels, mask, reduction="token"):
    """The softmax does not subtract the maximum: logits of 1e4 overflow."""
    with np.errstate(all="ignore"):
        e = np.exp(logits)
        return average(-np.log(pick(e / e.sum(axis=-1, keepdims=True), labels)), mask, reduction)


@mutant("sft.cross_entropy", "formula")
def logarithm_of_softmax_plus_epsilon(logits, labels, mask, reduction="token"):
    """`log(p + 1e-8)` never exceeds 18.4, however wrong the model is."""
    return average(-np.log(pick(np.exp(log_softmax(logits)), labels) + 1e-8), mask, reduction)


@mutant("sft.cross_entropy", "P2")
def softmax_over_positions(logits, labels, mask, reduction="token"):
    """The softmax runs over T and not over V."""
    return average(-pick(log_softmax(logits.swapaxes(1, 2)).swapaxes(1, 2), labels), mask, reduction)


@mutant("sft.cross_entropy", "formula", thread="huggingface/trl#976")
def mask_from_a_pad_id(logits, labels, mask, reduction="token"):
    """Label 0 is taken for padding: where end and pad share an id, stopping is never learnt."""
    return average(-pick(log_softmax(logits), labels), (mask != 0) & (labels != 0), reduction)


@mutant("sft.cross_entropy", "formula")
def drops_the_last_position(logits, labels, mask, reduction="token"):
    """An old shift cuts position T-1 off, though its label is there."""
    return average(-pick(log_softmax(logits[:, :-1]), labels[:, :-1]), mask[:, :-1], reduction)


@mutant("sft.cross_entropy", "formula")
def mask_as_an_index(logits, labels, mask, reduction="token"):
    """`nll[mask]` selects where the mask is boolean; a mask of integers 0/1 picks the rows 0 and 1 instead."""
    nll = -pick(log_softmax(logits), labels)
    if reduction == "sequence" or mask.dtype.kind == "f":
        return average(nll, mask, reduction)
    return nll[mask].mean() if mask.any() else nll.sum() * 0


@mutant("sft.cross_entropy", "contract")
def subtracts_the_maximum_in_place(logits, labels, mask, reduction="token"):
    """`logits -= max` changes the caller's logits."""
    logits -= logits.max(axis=-1, keepdims=True)
    return average(-pick(log_softmax(logits), labels), mask, reduction)


@mutant("sft.cross_entropy", "P4", framework="tensor")
def normaliser_without_gradient(logits, labels, mask, reduction="token"):
    """The log-sum-exp is a constant: pushing one logit up no longer pushes the others down."""
    constant = logits.data.max(-1) + np.log(np.exp(logits.data - logits.data.max(-1, keepdims=True)).sum(-1))
    B, T = labels.shape
    valid = np.clip(labels, 0, logits.shape[-1] - 1)
    nll = constant - logits[np.arange(B)[:, None], np.arange(T)[None], valid]
    counted = mask != 0
    tokens, rows = np.maximum(counted.sum(axis=1, keepdims=True), 1), max(counted.any(axis=1).sum(), 1)
    share = 1 / max(counted.sum(), 1) if reduction == "token" else 1 / tokens / rows
    return (nll * (counted * share)).sum()


# --------------------------------------------------------------------------------------------------- sequence_logps
@mutant("sequence_logps", "formula")
def mask_is_not_shifted(logits, tokens, response_mask):
    """The mask of the tokens is laid over the logits: counts the first token of the padding, loses the first answer."""
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), response_mask[:, :-1]).sum(axis=1)


@mutant("sequence_logps", "P59", thread="eric-mitchell/direct-preference-optimization#40")
def averages_where_dpo_sums(logits, tokens, response_mask):
    """The mean over the response's tokens: not a log-probability, and DPO on it is another algorithm."""
    mask = response_mask[:, 1:]
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), mask).sum(axis=1) / np.maximum((mask != 0).sum(1), 1)


@mutant("sequence_logps", "formula", thread="lucidrains/PaLM-rlhf-pytorch#31")
def logits_are_not_shifted(logits, tokens, response_mask):
    """Logits at position t are read as if they predicted token t, which the model has already seen."""
    return hide(pick(log_softmax(logits), tokens), response_mask).sum(axis=1)


@mutant("sequence_logps", "formula", thread="huggingface/trl#6357")
def forgets_the_end_token(logits, tokens, response_mask):
    """The last counted token, the end of the answer, is not scored."""
    counted = response_mask != 0
    counted = counted & (np.cumsum(counted[:, ::-1], axis=1)[:, ::-1] > 1)
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), counted[:, 1:]).sum(axis=1)


@mutant("sequence_logps", "formula")
def slices_by_the_first_rows_prompt(logits, tokens, response_mask):
    """All rows are cut at the prompt length of the first row, as if chosen and rejected had one length."""
    start = int(np.argmax(response_mask[0] != 0))
    mask = response_mask.copy()
    mask[:, :start] = 0
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), mask[:, 1:]).sum(axis=1)


@mutant("sequence_logps", "formula")
def fills_holes_of_the_mask(logits, tokens, response_mask):
    """From the first to the last counted token everything is summed, the user's turn in between included."""
    counted = response_mask != 0
    span = (np.cumsum(counted, axis=1) > 0) & (np.cumsum(counted[:, ::-1], axis=1)[:, ::-1] > 0)
    return hide(pick(log_softmax(logits[:, :-1]), tokens[:, 1:]), span[:, 1:]).sum(axis=1)


@mutant("sequence_logps", "formula", thread="OpenRLHF/OpenRLHF#853")
def at_another_temperature(logits, tokens, response_mask):
    """The log-probabilities are those of temperature 0.7, at which nobody asked."""
    return hide(pick(log_softmax(logits / 0.7)[:, :-1], tokens[:, 1:]), response_mask[:, 1:]).sum(axis=1)


@mutant("sequence_logps", "gradient", framework="tensor")
def chosen_token_without_gradient(logits, tokens, response_mask):
    """Only the normaliser carries gradient: what was sampled is never made likelier."""
    logps = autograd.log_softmax(logits[:, :-1])
    B, T = tokens[:, 1:].shape
    at = (np.arange(B)[:, None], np.arange(T)[None], tokens[:, 1:])
    picked = logps[at] - logits[:, :-1][at] + logits.data[:, :-1][at]
    return (picked * (response_mask[:, 1:] != 0)).sum(axis=1)
