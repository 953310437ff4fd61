"""How arguments are drawn, one strategy for each signature of the contract: "plain" ones and "wide" ones.

Plain arguments are moderate and exact: whole numbers or thousandths, float64, integer masks. Wide ones are what breaks
real code: float32, boolean and float masks, NaN and infinities behind the mask, numbers of 1e4, arrays with gaps in
memory, optional arguments left out. Both have ragged masks, empty rows, one-token responses, ties, batches of one.

Everything is drawn so that it shrinks well: towards one row, one token, zeros and ones, and from wide to plain. That is
why arrays are drawn at full size and then cut (`Axis`): any row can go away, and all other draws stay where they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minipost.laws.law import GARBAGE, Array, Case, Law

Draw = Callable[[st.SearchStrategy[Any]], Any]
FAR = (0.0, 1.0, -1.0, 1e4, -1e4, 30.0, -30.0, 250.0, -250.0)  # what overflows exp, or drowns small differences
FAR_LOGPS = (-1.0, -30.0, -250.0, -1e4)


def small_array(*shape: int) -> st.SearchStrategy[Array]:
    """Whole numbers of this shape, from -3 to 3, which shrink to zeros."""
    size = math.prod(shape)
    return st.lists(st.integers(-3, 3), min_size=size, max_size=size).map(lambda x: np.array(x, float).reshape(shape))


@dataclass(frozen=True)
class Axis:
    """`kept` of the `full` places along one axis of an array."""

    full: int
    kept: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.kept)


def axis(draw: Draw, full: int, least: int = 1) -> Axis:
    """Each place is kept (three times of four) or not, but at least `least` of them."""
    kept = [i for i in range(full) if draw(st.integers(0, 3))]
    more = [i for i in range(full) if i not in kept][: max(least - len(kept), 0)]
    return Axis(full, tuple(sorted(kept + more)))


def batch(draw: Draw) -> Axis:
    """B of 1 to 3, for vectors."""
    return axis(draw, 3)


def rows(draw: Draw) -> Axis:
    """B of 1 to 2, for tables."""
    return axis(draw, 2)


def tokens(draw: Draw, least: int = 1) -> Axis:
    """T of 1 to 4."""
    return axis(draw, 4, least)


def numbers(low: float = -3.0, high: float = 3.0, often: Sequence[float] = ()) -> st.SearchStrategy[float]:
    """One number in [low, high], in thousandths; some that deserve it come `often`."""
    grid = st.integers(round(1000 * low), round(1000 * high)).map(lambda k: k / 1000)
    return st.sampled_from(often) | grid if often else grid


def block(draw: Draw, each: st.SearchStrategy[Any], *axes: Axis) -> Array:
    """An array of what `each` draws, cut from one of full size."""
    full = tuple(a.full for a in axes)
    drawn = np.array([draw(each) for _ in range(math.prod(full))]).reshape(full)
    return drawn[np.ix_(*(a.kept for a in axes))]


def reals(draw: Draw, *axes: Axis, low: float = -3.0, high: float = 3.0, far: Sequence[float] = ()) -> Array:
    """An array of whole numbers or of thousandths in [low, high]; or, if there are any, of `far` numbers."""
    kind = draw(st.sampled_from(["whole", "fine", "far"] if far else ["whole", "fine"]))
    if kind == "whole":
        each: Any = st.integers(math.ceil(low), math.floor(high))
    elif kind == "fine":
        each = st.integers(round(1000 * low), round(1000 * high))
    else:
        each = st.sampled_from(far)
    drawn = block(draw, each, *axes).astype(np.float64)
    return drawn / 1000 if kind == "fine" else drawn


def logps(draw: Draw, *axes: Axis, far: bool = False) -> Array:
    """Log-probabilities in [-5, 0], or far below."""
    return reals(draw, *axes, low=-5, high=0, far=FAR_LOGPS if far else ())


def bits(draw: Draw, B: Axis, T: Axis, some: bool = False) -> Array:
    """A mask with holes; with `some`, at least one entry counts."""
    mask = block(draw, st.integers(0, 1), B, T)
    if some and not mask.any():
        mask[0, -1] = 1
    return mask


def run_rows(draw: Draw, B: Axis, T: Axis) -> Array:
    """A mask whose rows are one run of ones each: prompt, response, padding. Some are empty."""
    one = Axis(1, (0,))
    start = block(draw, st.integers(0, T.full - 1), B, one)
    count = block(draw, st.integers(0, T.full), B, one)
    at = np.array(T.kept)
    return ((at >= start) & (at < start + count)).astype(np.int64)


LAYOUTS: dict[str, Callable[[Array], Array]] = {  # the same array, its elements lying in memory ...
    "row by row": lambda x: x,
    "with gaps": lambda x: np.stack([x, x], axis=-1)[..., 0],
    "column by column": np.asfortranarray,
}


def dressed(draw: Draw, wide: bool, mask: str = "", /, **arguments: Any) -> Case:
    """The case itself if plain; if wide, in some float type, mask type and memory layout, with garbage behind the mask.

    Garbage goes into the float arrays of the mask's shape.
    """
    if not wide:
        return Case(arguments)
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    spoilt = draw(st.sampled_from([False, True, True, True]))
    layout = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))]
    hidden = arguments[mask] == 0 if mask else None
    for name, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype == np.float64:
            if spoilt and hidden is not None and value.shape == hidden.shape:
                value = np.where(hidden, np.resize(GARBAGE, value.shape), value)
            value = value.astype(dtype)
        elif name == mask:
            value = value.astype(draw(st.sampled_from([np.int64, np.bool_, dtype])))
        arguments[name] = layout(value) if value.ndim else value
    return Case(arguments)


def optional(draw: Draw, wide: bool, **choices: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Optional arguments; in wide cases some are left out."""
    return {name: draw(choice) for name, choice in choices.items() if not (wide and draw(st.booleans()))}


betas = numbers(0.01, 3.0, often=[1.0, 0.1, 0.5, 3.0])
clips = numbers(0.05, 0.6, often=[0.5, 0.2])
units = numbers(0.0, 1.0, often=[1.0, 0.0, 0.5])


# ------------------------------------------------------------------------------------------------------------------ SFT
@st.composite
def labelled(draw: Draw, wide: bool) -> Case:
    """sft.cross_entropy; at least one label counts."""
    B, T, V = rows(draw), tokens(draw), axis(draw, 3, least=2)
    mask, labels = bits(draw, B, T, some=True), block(draw, st.integers(0, 2), B, T) % len(V)
    logits = reals(draw, B, T, V, far=FAR if wide else ())
    more = optional(draw, wide, reduction=st.sampled_from(["token", "sequence"]))
    return dressed(draw, wide, "mask", logits=logits, labels=labels, mask=mask, **more)


@st.composite
def texts(draw: Draw, wide: bool) -> Case:
    """sequence_logps; the first token is no response token, some rows have none. Wide masks have holes: a dialogue."""
    B, T, V = rows(draw), tokens(draw, least=2), axis(draw, 3, least=2)
    mask, ids = (bits if wide else run_rows)(draw, B, T), block(draw, st.integers(0, 2), B, T) % len(V)
    mask[:, 0] = 0
    logits = reals(draw, B, T, V, far=FAR if wide else ())
    return dressed(draw, wide, "response_mask", logits=logits, tokens=ids, response_mask=mask)


# ----------------------------------------------------------------------------------------- reward model, KL estimators
@st.composite
def scored_pairs(draw: Draw, wide: bool) -> Case:
    """reward.bradley_terry; the margin is one number or one for each pair."""
    B, far = batch(draw), FAR if wide else ()
    margin = draw(numbers(0, 2))
    if draw(st.booleans()):
        margin = reals(draw, B, low=0, high=2)
    chosen, rejected = reals(draw, B, far=far), reals(draw, B, far=far)
    more = optional(draw, wide, margin=st.just(margin), center=numbers(0, 2, often=[0.0, 1.0]))
    return dressed(draw, wide, chosen=chosen, rejected=rejected, **more)


@st.composite
def sampled_logps(draw: Draw, wide: bool) -> Case:
    """kl.k1, kl.k2, kl.k3: any shape; wide ones differ by as much as 25 nats, or by a millionth."""
    shape = draw(st.sampled_from([(1,), (), (3,), (2, 3), (2, 1, 2)] if wide else [(1,), (2,), (3,)]))
    axes = [Axis(n, tuple(range(n))) for n in shape]
    logp, ref_logp = logps(draw, *axes), logps(draw, *axes)
    step = draw(st.sampled_from([0.0, -25.0, 25.0, 1e-6, -1e-6])) if wide else 0.0
    if step:
        logp, ref_logp = logp - max(step, 0), logp - max(-step, 0)
    return dressed(draw, wide, logp=np.asarray(logp), ref_logp=np.asarray(ref_logp))


# ------------------------------------------------------------------------------------------------------------------ PPO
@st.composite
def scored_responses(draw: Draw, wide: bool) -> Case:
    """ppo.token_rewards; rows may be empty."""
    B, T = rows(draw), tokens(draw)
    mask, scores = run_rows(draw, B, T), reals(draw, B, far=FAR if wide else ())
    logp, ref_logp = logps(draw, B, T, far=wide), logps(draw, B, T, far=wide)
    beta = draw(numbers(0, 2, often=[1.0, 0.0, 0.1]))
    return dressed(draw, wide, "mask", scores=scores, logp=logp, ref_logp=ref_logp, mask=mask, beta=beta)


@st.composite
def episodes(draw: Draw, wide: bool) -> Case:
    """ppo.gae; rows may be empty."""
    B, T, far = rows(draw), tokens(draw), FAR if wide else ()
    rewards, values, mask = reals(draw, B, T, far=far), reals(draw, B, T, far=far), run_rows(draw, B, T)
    return dressed(draw, wide, "mask", rewards=rewards, values=values, mask=mask, gamma=draw(units), lam=draw(units))


@st.composite
def to_whiten(draw: Draw, wide: bool) -> Case:
    """ppo.whiten: one counted element, or a standard deviation of at least 0.3: below, an epsilon would matter."""
    B, T = rows(draw), tokens(draw)
    mask, x = bits(draw, B, T, some=True), reals(draw, B, T)
    counted = mask == 1
    if counted.sum() > 1 and x[counted].std() < 0.3:
        x[counted] = np.arange(counted.sum())
    x = x + draw(st.sampled_from([0.0, 10.0, -5.0]))
    return dressed(draw, wide, "mask", x=x, mask=mask, **optional(draw, wide, shift_mean=st.booleans()))


@st.composite
def updates(draw: Draw, wide: bool) -> Case:
    """ppo.policy_loss; nothing at all may be counted. Wide: ratios of up to exp(10)."""
    B, T = rows(draw), tokens(draw)
    mask, old = bits(draw, B, T), logps(draw, B, T, far=wide)
    reach = 10 if wide and draw(st.booleans()) else 1
    logp, advantages = old + reals(draw, B, T, low=-reach, high=reach), reals(draw, B, T)
    more = optional(draw, wide, clip=clips)
    return dressed(draw, wide, "mask", logp=logp, old_logp=old, advantages=advantages, mask=mask, **more)


@st.composite
def value_updates(draw: Draw, wide: bool) -> Case:
    """ppo.value_loss; nothing at all may be counted."""
    B, T = rows(draw), tokens(draw)
    mask = bits(draw, B, T)
    arrays = {name: reals(draw, B, T, far=FAR if wide else ()) for name in ("values", "old_values", "returns")}
    return dressed(draw, wide, "mask", **arrays, mask=mask, **optional(draw, wide, clip=clips))


# ------------------------------------------------------------------------------------------------------- the DPO family
@st.composite
def preferences(draw: Draw, wide: bool, smoothing: float | None = None, needed: bool = False) -> Case:
    """Four log-probabilities [B] and beta; with `smoothing`, flip rates up to it."""
    B = batch(draw)
    names = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")
    arguments = {name: logps(draw, B, far=wide) for name in names} | {"beta": draw(betas)}
    if smoothing is not None:
        rates = numbers(0.0, smoothing, often=[0.0, 0.25, smoothing])
        arguments |= optional(draw, wide and not needed, label_smoothing=rates)
    return dressed(draw, wide, **arguments)


@st.composite
def mean_logps(draw: Draw, /, wide: bool, near_zero: float, **scalars: st.SearchStrategy[float]) -> Case:
    """dpo.simpo and dpo.orpo: mean log-probabilities < 0, wide ones as close to it as `near_zero`."""
    B, far = batch(draw), (-1.0, near_zero, -0.5, -30.0, -250.0) if wide else ()
    arguments: dict[str, Any] = {
        name: reals(draw, B, low=-5, high=-0.001, far=far) for name in ("chosen_mean_logp", "rejected_mean_logp")
    }
    return dressed(draw, wide, **arguments, **{name: draw(scalar) for name, scalar in scalars.items()})


@st.composite
def thumbs(draw: Draw, wide: bool) -> Case:
    """dpo.kto; batches of one class happen."""
    B = batch(draw)
    policy, ref, desirable = logps(draw, B, far=wide), logps(draw, B, far=wide), block(draw, st.booleans(), B)
    z, beta, weights = np.array(draw(numbers(0, 3, often=[0.0, 1.0]))), draw(betas), numbers(0.1, 2, often=[1.0, 2.0])
    more = optional(draw, wide, weight_desirable=weights, weight_undesirable=weights)
    return dressed(draw, wide, policy=policy, ref=ref, desirable=desirable, z=z, beta=beta, **more)


# -------------------------------------------------------------------------------------------------- best-of-N, groups
@st.composite
def ranked_samples(draw: Draw, wide: bool) -> Case:
    """best_of_n.estimate; proxies tie often, and wide ones nearly do."""
    N = axis(draw, 8 if wide else 6)
    proxy, gold = reals(draw, N), reals(draw, N)
    if wide and draw(st.booleans()):
        proxy += 1e-6 * np.arange(len(N))
    return dressed(draw, wide, proxy=proxy, gold=gold)


def draw_counts(wide: bool) -> st.SearchStrategy[Case]:
    """best_of_n.kl_bound"""
    counts = st.integers(1, 20) | st.integers(1, 10**6) if wide else st.integers(1, 20)
    return counts.map(lambda n: Case({"n": n}))


@st.composite
def groups(draw: Draw, wide: bool) -> Case:
    """rl.rloo, rl.grpo: at least two a group; some groups have equal rewards, wide ones nearly equal ones. In float32
    no group is nearly equal, which only float64 can tell from equal."""
    rewards = reals(draw, rows(draw), axis(draw, 5, least=2))
    if wide and draw(st.booleans()):
        rewards *= 1e-3
    if draw(st.booleans()):
        rewards[-1] = rewards[-1, 0]
    x = dressed(draw, wide, rewards=rewards)
    narrow = x.rewards.dtype == np.float32 and (rewards.std(axis=1) < 0.3).any()
    return Case({"rewards": rewards}) if narrow else x


# ------------------------------------------------------------------------------------------------------------- targets
CASES: dict[str, Callable[[bool], st.SearchStrategy[Case]]] = {  # target -> its cases, plain or wide
    "sft.cross_entropy": labelled,
    "sequence_logps": texts,
    "reward.bradley_terry": scored_pairs,
    "kl.k1": sampled_logps,
    "kl.k2": sampled_logps,
    "kl.k3": sampled_logps,
    "ppo.token_rewards": scored_responses,
    "ppo.gae": episodes,
    "ppo.whiten": to_whiten,
    "ppo.policy_loss": updates,
    "ppo.value_loss": value_updates,
    "dpo.sigmoid": lambda wide: preferences(wide, 0.5),
    "dpo.ipo": preferences,
    "dpo.hinge": preferences,
    "dpo.robust": lambda wide: preferences(wide, 0.45, needed=True),
    "dpo.simpo": lambda wide: mean_logps(wide, -0.001, beta=betas, gamma=numbers(0, 3, often=[1.0, 0.0])),
    "dpo.orpo": lambda wide: mean_logps(wide, -1e-6, lam=numbers(0, 2, often=[1.0, 0.0])),
    "dpo.kto": thumbs,
    "best_of_n.estimate": ranked_samples,
    "best_of_n.kl_bound": draw_counts,
    "rl.rloo": groups,
    "rl.grpo": groups,
}


def examples(target: str, laws: Sequence[Law], wide: bool) -> st.SearchStrategy[tuple[Case, dict[str, float]]]:
    """A case of a target, and the further numbers of its laws: {"P60 c": 1.0}."""
    extra = {f"{law.name} {name}": numbers(n.low, n.high, n.often) for law in laws for name, n in law.extra.items()}
    return st.tuples(CASES[target](wide), st.fixed_dictionaries(extra))
