"""How arguments are drawn, one strategy for each signature of the contract: "plain" ones and "wide" ones.

Plain arguments are moderate and exact: whole numbers or thousandths, float64, integer masks. Wide ones are what breaks
real code: float32, boolean and float masks, NaN and infinities behind the mask, numbers of 1e4, arrays with gaps in
memory, optional arguments left out. Both have ragged masks, empty rows, one-token responses, ties, batches of one.

Everything is drawn so that it shrinks well: towards one row, one token, zeros and ones, and from wide to plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minipost.laws.law import Array, Case

Draw = Callable[[st.SearchStrategy[Any]], Any]
GARBAGE = (np.nan, np.inf, -np.inf)
FAR = (0.0, 1.0, -1.0, 1e4, -1e4, 30.0, -30.0, 250.0, -250.0)  # what overflows exp, or drowns small differences
FAR_LOGPS = (-1.0, -30.0, -250.0, -1e4)

sizes = st.integers(1, 3)
lengths = st.integers(1, 4)


def numbers(low: float, high: float, often: Sequence[float] = ()) -> st.SearchStrategy[float]:
    """One number in [low, high], in thousandths; some that deserve it come `often`."""
    grid = st.integers(round(1000 * low), round(1000 * high)).map(lambda k: k / 1000)
    return st.sampled_from(often) | grid if often else grid


def reals(
    draw: Draw, shape: tuple[int, ...], low: float = -3.0, high: float = 3.0, far: Sequence[float] = ()
) -> Array:
    """An array of whole numbers or of thousandths in [low, high]; or, if there are any, of `far` numbers."""
    kind = draw(st.sampled_from(["whole", "fine", "far"] if far else ["whole", "fine"]))
    if kind == "whole" and math.ceil(low) < math.floor(high):
        each: Any = st.integers(math.ceil(low), math.floor(high))
    elif kind == "far":
        each = st.sampled_from(far)
    else:
        each = st.integers(round(1000 * low), round(1000 * high))
    drawn = np.array([draw(each) for _ in range(math.prod(shape))], np.float64).reshape(shape)
    return drawn / 1000 if kind == "fine" else drawn


def bits(draw: Draw, shape: tuple[int, ...]) -> Array:
    """A mask with holes."""
    return np.array([draw(st.booleans()) for _ in range(math.prod(shape))], np.int64).reshape(shape)


def run_rows(draw: Draw, B: int, T: int, empty: bool = True) -> Array:
    """A mask whose rows are one run of ones each: prompt, response, padding."""
    mask = np.zeros((B, T), np.int64)
    for row in mask:
        start = draw(st.integers(0, T - 1))
        row[start : draw(st.integers(start if empty else start + 1, T))] = 1
    return mask


def gapped(x: Array) -> Array:
    """The same array, its elements not side by side in memory."""
    return np.stack([x, x], axis=-1)[..., 0]


def dressed(draw: Draw, wide: bool, mask: str = "", /, **given: Any) -> Case:
    """The case itself if plain; if wide, in some float type, mask type and memory layout, with garbage behind the mask.

    Garbage goes into the float arrays of the mask's shape.
    """
    if not wide:
        return Case(given)
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    spoilt, gaps = draw(st.booleans()), draw(st.booleans())
    hidden = given[mask] == 0 if mask else None
    for name, value in given.items():
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype == np.float64:
            if spoilt and hidden is not None and value.shape == hidden.shape:
                value = np.where(hidden, np.resize(GARBAGE, value.shape), value)
            value = value.astype(dtype)
        elif name == mask:
            value = value.astype(draw(st.sampled_from([np.int64, np.bool_, dtype])))
        given[name] = gapped(value) if gaps else value
    return Case(given)


def optional(draw: Draw, wide: bool, **choices: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Optional arguments; in wide cases some are left out."""
    return {name: draw(choice) for name, choice in choices.items() if not (wide and draw(st.booleans()))}


betas = numbers(0.01, 2.0, often=[1.0, 0.1, 0.5])
clips = numbers(0.05, 0.6, often=[0.5, 0.2])
units = numbers(0.0, 1.0, often=[1.0, 0.0, 0.5])


# ------------------------------------------------------------------------------------------------------------------ SFT
@st.composite
def labelled(draw: Draw, wide: bool) -> Case:
    """sft.cross_entropy; at least one label counts."""
    B, T, V = draw(sizes), draw(lengths), draw(st.integers(2, 4))
    mask = bits(draw, (B, T))
    if not mask.any():
        mask[0, -1] = 1
    labels = np.array([draw(st.integers(0, V - 1)) for _ in range(B * T)]).reshape(B, T)
    logits = reals(draw, (B, T, V), far=FAR if wide else ())
    given = {"logits": logits, "labels": labels, "mask": mask}
    return dressed(draw, wide, "mask", **given, **optional(draw, wide, reduction=st.sampled_from(["token", "sequence"])))


@st.composite
def texts(draw: Draw, wide: bool) -> Case:
    """sequence_logps; the first token is no response token, some rows have none."""
    B, T, V = draw(sizes), draw(st.integers(2, 5)), draw(st.integers(2, 4))
    mask = np.concatenate([np.zeros((B, 1), np.int64), run_rows(draw, B, T - 1)], axis=1)
    tokens = np.array([draw(st.integers(0, V - 1)) for _ in range(B * T)]).reshape(B, T)
    logits = reals(draw, (B, T, V), far=FAR if wide else ())
    return dressed(draw, wide, "response_mask", logits=logits, tokens=tokens, response_mask=mask)


# ----------------------------------------------------------------------------------------- reward model, KL estimators
@st.composite
def scored_pairs(draw: Draw, wide: bool) -> Case:
    """reward.bradley_terry"""
    B, far = draw(sizes), FAR if wide else ()
    margins: Any = numbers(0, 2)
    if draw(st.booleans()):
        margins = st.just(reals(draw, (B,), 0, 2))
    given = {"chosen": reals(draw, (B,), far=far), "rejected": reals(draw, (B,), far=far)}
    return dressed(draw, wide, **given, **optional(draw, wide, margin=margins, center=numbers(0, 2, often=[0.0, 1.0])))


@st.composite
def sampled_logps(draw: Draw, wide: bool) -> Case:
    """kl.k1, kl.k2, kl.k3: any shape; wide ones differ by as much as 30 nats, or by a millionth."""
    shape = draw(st.sampled_from([(1,), (), (3,), (2, 3), (2, 1, 2)] if wide else [(1,), (2,), (3,)]))
    logp, ref_logp = reals(draw, shape, -5, 0), reals(draw, shape, -5, 0)
    if wide:
        step = draw(st.sampled_from([0.0, -25.0, 25.0, 1e-6, -1e-6]))
        logp, ref_logp = (logp - max(step, 0), (logp if step else ref_logp) - max(-step, 0))
    return dressed(draw, wide, logp=logp, ref_logp=ref_logp)


# ------------------------------------------------------------------------------------------------------------------ PPO
@st.composite
def judged_responses(draw: Draw, wide: bool) -> Case:
    """ppo.token_rewards; rows may be empty."""
    B, T, far = draw(sizes), draw(lengths), FAR_LOGPS if wide else ()
    mask, scores = run_rows(draw, B, T), reals(draw, (B,), far=FAR if wide else ())
    logp, ref_logp = reals(draw, (B, T), -5, 0, far), reals(draw, (B, T), -5, 0, far)
    beta = draw(numbers(0, 2, often=[1.0, 0.0, 0.1]))
    return dressed(draw, wide, "mask", scores=scores, logp=logp, ref_logp=ref_logp, mask=mask, beta=beta)


@st.composite
def episodes(draw: Draw, wide: bool) -> Case:
    """ppo.gae; rows may be empty."""
    B, T, far = draw(sizes), draw(st.integers(1, 5)), FAR if wide else ()
    mask, rewards, values = run_rows(draw, B, T), reals(draw, (B, T), far=far), reals(draw, (B, T), far=far)
    gamma, lam = draw(units), draw(units)
    return dressed(draw, wide, "mask", rewards=rewards, values=values, mask=mask, gamma=gamma, lam=lam)


@st.composite
def to_whiten(draw: Draw, wide: bool) -> Case:
    """ppo.whiten: one counted element, or a standard deviation of at least 0.3: below, an epsilon would matter."""
    B, T = draw(sizes), draw(st.integers(1, 5))
    mask, x = bits(draw, (B, T)), reals(draw, (B, T))
    if not mask.any():
        mask[0, -1] = 1
    counted = mask == 1
    if counted.sum() > 1 and x[counted].std() < 0.3:
        x[counted] = np.arange(counted.sum())
    x = x + draw(st.sampled_from([0.0, 10.0, -5.0]))
    return dressed(draw, wide, "mask", x=x, mask=mask, **optional(draw, wide, shift_mean=st.booleans()))


@st.composite
def updates(draw: Draw, wide: bool) -> Case:
    """ppo.policy_loss; nothing at all may be counted. Wide: ratios of up to exp(10)."""
    B, T = draw(sizes), draw(lengths)
    mask, old = bits(draw, (B, T)), reals(draw, (B, T), -5, 0, FAR_LOGPS if wide else ())
    moved = reals(draw, (B, T), -10, 10) if wide and draw(st.booleans()) else reals(draw, (B, T), -1, 1)
    given = {"logp": old + moved, "old_logp": old, "advantages": reals(draw, (B, T)), "mask": mask}
    return dressed(draw, wide, "mask", **given, **optional(draw, wide, clip=clips))


@st.composite
def value_updates(draw: Draw, wide: bool) -> Case:
    """ppo.value_loss; nothing at all may be counted."""
    B, T, far = draw(sizes), draw(lengths), FAR if wide else ()
    mask, values = bits(draw, (B, T)), reals(draw, (B, T), far=far)
    given = {"values": values, "old_values": reals(draw, (B, T), far=far), "returns": reals(draw, (B, T), far=far)}
    return dressed(draw, wide, "mask", **given, mask=mask, **optional(draw, wide, clip=clips))


# ------------------------------------------------------------------------------------------------------- the DPO family
@st.composite
def preferences(draw: Draw, wide: bool, smoothing: float | None = None, needed: bool = False) -> Case:
    """Four log-probabilities [B] and beta; with `smoothing`, flip rates up to it."""
    B, far = draw(sizes), FAR if wide else ()
    names = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")
    given = {name: reals(draw, (B,), -5, 0, far) for name in names} | {"beta": draw(betas)}
    if smoothing is not None:
        rates = numbers(0.0, smoothing, often=[0.0, 0.25])
        given |= optional(draw, wide and not needed, label_smoothing=rates)
    return dressed(draw, wide, **given)


@st.composite
def mean_logps(draw: Draw, wide: bool, near_zero: bool, **scalars: st.SearchStrategy[float]) -> Case:
    """dpo.simpo and dpo.orpo: mean log-probabilities < 0; `near_zero`, where odds are huge, in wide cases."""
    B, tiny = draw(sizes), 1e-6 if near_zero else 1e-3
    far = (-1.0, -tiny, -0.5, -30.0, -250.0) if wide else ()
    given: dict[str, Any] = {
        name: reals(draw, (B,), -5, -0.001, far) for name in ("chosen_mean_logp", "rejected_mean_logp")
    }
    given |= {name: draw(scalar) for name, scalar in scalars.items()}
    return dressed(draw, wide, **given)


@st.composite
def thumbs(draw: Draw, wide: bool) -> Case:
    """dpo.kto; batches of one class happen."""
    B, far = draw(sizes), FAR if wide else ()
    given = {
        "policy": reals(draw, (B,), -5, 0, far),
        "ref": reals(draw, (B,), -5, 0, far),
        "desirable": np.array([draw(st.booleans()) for _ in range(B)]),
        "z": np.array(draw(numbers(0, 3, often=[0.0, 1.0]))),
        "beta": draw(betas),
    }
    weights = numbers(0.1, 2, often=[1.0, 2.0])
    return dressed(
        draw, wide, **given, **optional(draw, wide, weight_desirable=weights, weight_undesirable=weights)
    )


# -------------------------------------------------------------------------------------------------- best-of-N, groups
@st.composite
def ranked_samples(draw: Draw, wide: bool) -> Case:
    """best_of_n.estimate; proxies tie often."""
    N = draw(st.integers(1, 8 if wide else 6))
    return dressed(draw, wide, proxy=reals(draw, (N,)), gold=reals(draw, (N,)))


def draw_counts(wide: bool) -> st.SearchStrategy[Case]:
    """best_of_n.kl_bound"""
    often = st.integers(1, 20)
    return (often | st.integers(1, 10**6)).map(lambda n: Case({"n": n})) if wide else often.map(lambda n: Case({"n": n}))


@st.composite
def groups(draw: Draw, wide: bool) -> Case:
    """rl.rloo, rl.grpo: at least two a group; some groups have equal rewards. In float32 no group is nearly equal,
    which only float64 can tell from equal."""
    G, K = draw(sizes), draw(st.integers(2, 5))
    rewards = reals(draw, (G, K))
    if draw(st.booleans()):
        rewards[-1] = rewards[-1, 0]
    x = dressed(draw, wide, rewards=rewards)
    narrow = x.rewards.dtype == np.float32 and (rewards.std(axis=1) < 0.3).any()
    return Case({"rewards": rewards}) if narrow else x
