"""What cross-entropy and sequence log-probabilities promise beyond `minipost.laws`: any masked label, sums, means."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from law_strategies import gradient, law, numbers, reals, runs, seeds, sizes
from numpy.testing import assert_allclose

from minipost.autograd import check_gradient
from minipost.losses import aggregate, cross_entropy, sequence_logps, token_logps

reductions = st.sampled_from(["token", "sequence"])


@st.composite
def labelled(draw: st.DrawFn, rows: int | None = None) -> SimpleNamespace:
    """Logits, labels and a mask that counts at least one label."""
    B, T, V = rows or draw(sizes), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    mask = draw(runs(B, T))
    assume(mask.any())
    labels = draw(hnp.arrays(np.int64, (B, T), elements=st.integers(0, V - 1)))
    return SimpleNamespace(B=B, T=T, V=V, logits=draw(reals(B, T, V)), labels=labels, mask=mask)


@law
@given(labelled(), reductions, numbers(-1e6, 1e6), st.sampled_from([-100, -1, 10**9]))
def test_P1_masked_logits_and_labels_change_neither_loss_nor_gradient(case, reduction, garbage, label):
    masked = case.mask == 0
    changed = np.where(masked[..., None], garbage * np.arange(case.V), case.logits)
    labels = np.where(masked, label, case.labels)

    def loss(logits, labels=case.labels):
        return cross_entropy(logits, labels, case.mask, reduction)

    (before,), (after,) = gradient(loss, case.logits), gradient(lambda x: loss(x, labels), changed)
    assert loss(case.logits) == loss(changed, labels)
    assert np.array_equal(before, after) and not after[masked].any()


@law
@given(labelled(rows=4))
def test_P7_micro_batches_with_token_weights_equal_the_full_batch(case):
    full = cross_entropy(case.logits, case.labels, case.mask)
    halves = [slice(0, 2), slice(2, 4)]
    parts = [(case.logits[h], case.labels[h], case.mask[h]) for h in halves if case.mask[h].any()]
    summed = sum(cross_entropy(*part, "sum") for part in parts)
    assert_allclose(summed / case.mask.sum(), full, atol=1e-12)
    weighted = sum(cross_entropy(*part) * part[2].sum() for part in parts)
    assert_allclose(weighted / case.mask.sum(), full, atol=1e-12)


def test_P7_the_mean_of_micro_batch_means_is_another_loss():
    logits = np.zeros((2, 2, 2))
    logits[0, :, 0] = 3.0
    labels, mask = np.zeros((2, 2), np.int64), np.array([[1, 1], [1, 0]])
    means = [cross_entropy(logits[b : b + 1], labels[b : b + 1], mask[b : b + 1]) for b in range(2)]
    assert abs(np.mean(means) - cross_entropy(logits, labels, mask)) > 0.05


def test_P8_token_and_sequence_means_differ_on_unequal_lengths():
    x, mask = np.array([[1.0, 1.0, 1.0], [4.0, np.nan, np.inf]]), np.array([[1, 1, 1], [1, 0, 0]])
    assert aggregate(x, mask, "token") == 7 / 4
    assert aggregate(x, mask, "sequence") == 5 / 2
    assert aggregate(x, mask, "constant", length=10) == 7 / 20
    assert aggregate(x, mask, "sum") == 7


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_P9_an_all_masked_batch_is_an_error(reduction):
    with pytest.raises(ValueError, match="no label counts"):
        cross_entropy(np.zeros((1, 2, 3)), np.zeros((1, 2), int), np.zeros((1, 2)), reduction)


def test_aggregate_refuses_unknown_reductions_and_missing_lengths():
    with pytest.raises(ValueError, match="reduction is"):
        aggregate(np.zeros((1, 1)), np.ones((1, 1)), "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="length"):
        aggregate(np.zeros((1, 1)), np.ones((1, 1)), "constant")


# ------------------------------------------------------------------------------------------- sequence log-probabilities
@st.composite
def sequences(draw: st.DrawFn) -> SimpleNamespace:
    """Un-shifted logits and tokens with response masks that leave out the first token."""
    B, T, V = draw(sizes), draw(st.integers(2, 5)), draw(st.integers(2, 4))
    mask = np.concatenate([np.zeros((B, 1), np.int64), draw(runs(B, T - 1))], axis=1)
    tokens = draw(hnp.arrays(np.int64, (B, T), elements=st.integers(0, V - 1)))
    return SimpleNamespace(B=B, T=T, V=V, logits=draw(reals(B, T, V)), tokens=tokens, mask=mask)


@law
@given(sequences())
def test_sequence_logps_sum_the_response_tokens_one_position_late(case):
    expected, lengths = np.zeros(case.B), case.mask.sum(axis=1)
    for b in range(case.B):
        for t in range(1, case.T):
            if case.mask[b, t]:
                before = case.logits[b, t - 1]
                expected[b] += before[case.tokens[b, t]] - np.log(np.exp(before).sum())
    assert_allclose(sequence_logps(case.logits, case.tokens, case.mask), expected, atol=1e-12)
    mean = sequence_logps(case.logits, case.tokens, case.mask, average=True)
    assert_allclose(mean, expected / np.maximum(lengths, 1), atol=1e-12)


@law
@given(sequences(), seeds)
def test_sequence_logps_gradient_matches_finite_differences(case, seed):
    rng = np.random.default_rng(seed)
    for average in (False, True):
        check_gradient(lambda x, a=average: sequence_logps(x, case.tokens, case.mask, a), case.logits, rng=rng)


@law
@given(sequences())
def test_P10_token_logps_are_log_probabilities(case):
    every = np.broadcast_to(np.arange(case.V)[:, None, None], (case.V, case.B, case.T))
    total = sum(np.exp(token_logps(1000 * case.logits, labels)) for labels in every)
    assert_allclose(total, 1, atol=1e-9)
