"""The laws of PPO: token rewards, generalised advantages, whitening, the policy loss and the value loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minipost.laws import oracles
from minipost.laws.candidate import Candidate
from minipost.laws.law import GARBAGE, Array, Assertion, Assertions, Case, Number, at_least, equal, law, slope

REWARDS, GAE, WHITEN = "ppo.token_rewards", "ppo.gae", "ppo.whiten"
POLICY, VALUE = "ppo.policy_loss", "ppo.value_loss"


def counted(x: Case) -> Array:
    return np.asarray(x.mask == 1)


def spoilt(x: Case, *names: str) -> Case:
    """NaN and infinities behind the mask."""
    return x.but(**{name: np.where(counted(x), getattr(x, name), np.resize(GARBAGE, x.mask.shape)) for name in names})


def padded(x: Case, names: tuple[str, ...], left: int, right: int) -> Case:
    """More columns that do not count, full of NaN."""
    wider = {
        name: np.pad(getattr(x, name), ((0, 0), (left, right)), constant_values=0 if name == "mask" else np.nan)
        for name in (*names, "mask")
    }
    return x.but(**wider)


def token_mean(x: Case, values: Any) -> Any:
    """Over all counted tokens; 0 if there is none."""
    return np.sum(values, where=counted(x)) / max(int(counted(x).sum()), 1)


# -------------------------------------------------------------------------------------------------------- token rewards
@law(
    "P42",
    REWARDS,
    "a response's rewards sum to its score less the price of its divergence",
    "sum_t r_t = score - beta log-ratio",
)
def total_reward(f: Candidate, x: Case) -> Assertions:
    log_ratio = np.sum(x.logp - x.ref_logp, axis=1, where=counted(x))
    expected = np.where(counted(x).any(axis=1), x.scores - x.beta * log_ratio, 0.0)
    yield equal("sum of the counted r_t", np.sum(f(x), axis=1, where=counted(x)), expected)


@law(
    "P44",
    REWARDS,
    "without divergence only the score is left, on the last counted token",
    "pi = ref: r_t = [t = last counted] score",
)
def score_on_the_last(f: Candidate, x: Case) -> Assertions:
    x = x.but(ref_logp=x.logp)
    expected = np.zeros(x.mask.shape)
    for b, row in enumerate(oracles.runs(x.mask)):
        if row:
            expected[b, row[-1]] = x.scores[b]
    yield Assertion("r_t at pi = ref", f(x), expected, where=counted(x))


@law("P33", f"{REWARDS} {GAE}", "padding, and garbage outside the response, change nothing", "f(x, NaN) = f(x)")
def garbage_changes_nothing(f: Candidate, x: Case) -> Assertions:
    names = ("logp", "ref_logp") if "logp" in x.arguments else ("rewards", "values")
    clean, dirty, wide = f(x), f(spoilt(x, *names)), f(padded(spoilt(x, *names), names, 1, 2))
    if "logp" in x.arguments:
        clean, dirty, wide = (clean,), (dirty,), (wide,)
    for before, after, wider in zip(clean, dirty, wide, strict=True):
        yield Assertion("value with NaN outside the response", after, before, where=counted(x))
        yield Assertion("value with more padding", wider[:, 1:-2], before, where=counted(x))


# ------------------------------------------------------------------------------------------------------------------ GAE
def along_rows(x: Case) -> Iterator[tuple[int, list[int]]]:
    """Row number and counted positions of each row that has any."""
    return ((b, row) for b, row in enumerate(oracles.runs(x.mask)) if row)


@law("P27", GAE, "lambda = 1 is the Monte-Carlo return less the value", "lambda = 1: A_t = sum_k gamma^k r_(t+k) - V_t")
def monte_carlo(f: Candidate, x: Case) -> Assertions:
    x = x.but(lam=1.0)
    A, _ = f(x)
    for b, row in along_rows(x):
        to_go = [sum(x.gamma**k * r for k, r in enumerate(x.rewards[b, row[i:]])) for i in range(len(row))]
        yield equal("A_t at lambda = 1", A[b, row], np.array(to_go) - x.values[b, row])


@law("P28", GAE, "lambda = 0 is the TD error", "A_t = r_t + gamma V_(t+1) - V_t at lambda = 0, V = 0 beyond the end")
def td_error(f: Candidate, x: Case) -> Assertions:
    x = x.but(lam=0.0)
    A, _ = f(x)
    for b, row in along_rows(x):
        ahead = np.append(x.values[b, row[1:]], 0.0)
        yield equal("A_t at lambda = 0", A[b, row], x.rewards[b, row] + x.gamma * ahead - x.values[b, row])


@law(
    "P29",
    GAE,
    "the discounted sum of TD errors; returns are advantages plus values, before any whitening",
    "A_t = sum_k (gamma lambda)^k delta_(t+k); R = A + V",
)
def sum_of_errors(f: Candidate, x: Case) -> Assertions:
    A, R = f(x)
    for b, row in along_rows(x):
        yield equal("R", R[b, row], A[b, row] + x.values[b, row])
        delta = x.rewards[b, row] + x.gamma * np.append(x.values[b, row[1:]], 0.0) - x.values[b, row]
        expected = [sum((x.gamma * x.lam) ** k * d for k, d in enumerate(delta[i:])) for i in range(len(row))]
        yield equal("A_t", A[b, row], expected)


@law("P30", GAE, "linear in rewards and values", "A(r + c r', V + c V') = A(r, V) + c A(r', V')", c=Number(-3, 3))
def linear(f: Candidate, x: Case, c: float) -> Assertions:
    other = x.but(rewards=x.values[::-1].copy(), values=x.rewards + 1)
    both = x.but(rewards=x.rewards + c * other.rewards, values=x.values + c * other.values)
    expected = f(x)[0] + c * f(other)[0]
    yield Assertion("A of the sum", f(both)[0], expected, where=counted(x))


@law(
    "P31",
    GAE,
    "a score at the end alone decays backwards by lambda",
    "A_t = s lambda^(T-1-t) if V = 0, gamma = 1",
    s=Number(-3, 3, often=[1.0]),
)
def decays(f: Candidate, x: Case, s: float) -> Assertions:
    rewards = np.zeros(x.mask.shape)
    for b, row in along_rows(x):
        rewards[b, row[-1]] = s
    A, _ = f(x.but(rewards=rewards, values=np.zeros_like(rewards), gamma=1.0))
    for b, row in along_rows(x):
        yield equal("A_t", A[b, row], s * x.lam ** np.arange(len(row))[::-1].astype(float))


@law(
    "P32",
    GAE,
    "values too high by c lower the advantages, the more the nearer the end",
    "gamma = 1: A_t(V + c) = A_t(V) - c lambda^(T-1-t)",
    c=Number(-3, 3, often=[1.0]),
)
def shifted_values(f: Candidate, x: Case, c: float) -> Assertions:
    x = x.but(gamma=1.0)
    plain, _ = f(x)
    shifted, _ = f(x.but(values=x.values + c))
    for b, row in along_rows(x):
        fall = c * x.lam ** np.arange(len(row))[::-1].astype(float)
        yield equal("A_t(V + c) - A_t(V)", shifted[b, row] - plain[b, row], -fall)


@law("P34", GAE, "perfect values leave no advantage", "A = 0 if V_t = sum_k gamma^k r_(t+k)")
def perfect_values(f: Candidate, x: Case) -> Assertions:
    values = np.zeros(x.mask.shape)
    for b, row in along_rows(x):
        ahead = 0.0
        for t in reversed(row):
            values[b, t] = ahead = x.rewards[b, t] + x.gamma * ahead
    yield Assertion("A", f(x.but(values=values))[0], np.zeros(x.mask.shape), where=counted(x))


# ------------------------------------------------------------------------------------------------------------ whitening
@law(
    "P35",
    WHITEN,
    "mean 0, variance 1 over counted elements; affine invariant; the mean can be kept; one is defined",
    "mean w = 0, mean w^2 = 1, w(a x + c) = w(x), w(x; keep mean) = w(x) + mean x; w of one element = 0",
    a=Number(1, 3),
    c=Number(-3, 3),
)
def standardises(f: Candidate, x: Case, a: float, c: float) -> Assertions:
    at, x = counted(x), x.but(shift_mean=True)
    w = f(x)
    several = at.sum() > 1
    yield equal("mean of w", w[at].mean(), 0.0)
    yield equal("variance of w", w[at].var(), 1.0 if several else 0.0)
    yield equal("w(a x + c)", f(x.but(x=a * x.x + c))[at], w[at])
    yield equal("w with NaN behind the mask", f(spoilt(x, "x"))[at], w[at])
    yield equal("w with its mean kept", f(x.but(shift_mean=False))[at], w[at] + x.x[at].mean())
    first = np.zeros_like(x.mask)
    first[np.unravel_index(np.argmax(at), at.shape)] = 1
    yield equal("w of one element", f(x.but(mask=first))[first == 1], 0.0)


# ---------------------------------------------------------------------------------------------------------- policy loss
def ratios(x: Case) -> Array:
    return np.asarray(np.exp(x.logp - x.old_logp))


@law("P36", POLICY, "at ratio 1 it is the policy gradient", "dL/dlog pi = -A m / sum m at rho = 1")
def on_policy(f: Candidate, x: Case) -> Assertions:
    x = x.but(logp=x.old_logp)
    expected = -x.advantages * x.mask / max(x.mask.sum(), 1)
    yield slope("dL/dlog pi at rho = 1", f.gradient(x)["logp"], expected)


@law(
    "P37",
    POLICY,
    "the gradient vanishes only beyond the edge that helped",
    "for A != 0: dL/dlog pi = 0 iff (A > 0 and rho > 1 + eps) or (A < 0 and rho < 1 - eps)",
)
def one_sided(f: Candidate, x: Case) -> Assertions:
    if not f.target.smooth(x):
        return
    rho, A = ratios(x), x.advantages
    beyond = ((A > 0) & (rho > 1 + x.clip)) | ((A < 0) & (rho < 1 - x.clip))
    expected = np.where(beyond, 0.0, -A * rho * x.mask / max(x.mask.sum(), 1))
    yield slope("dL/dlog pi", f.gradient(x)["logp"], expected)


@law("P38", POLICY, "the clipped objective is never above the unclipped", "L >= mean(-A rho)")
def pessimistic(f: Candidate, x: Case) -> Assertions:
    yield at_least("the loss", f(x), token_mean(x, -x.advantages * ratios(x)))


@law("P39", POLICY, "advantages twice as large weigh twice as much", "L(c A) = c L(A), c > 0", c=Number(0.1, 3))
def scales(f: Candidate, x: Case, c: float) -> Assertions:
    larger = x.but(advantages=c * x.advantages)
    yield equal("L(c A)", f(larger), c * f(x))
    if f.target.smooth(x):
        yield slope("dL(c A)/dlog pi", f.gradient(larger)["logp"], c * f.gradient(x)["logp"])


@law("P40", POLICY, "with a wide clip, the importance-weighted gradient", "eps = 0.99: dL/dlog pi = -A rho m / sum m")
def wide_clip(f: Candidate, x: Case) -> Assertions:
    x = x.but(clip=0.99, logp=x.old_logp + (x.logp - x.old_logp) * 0.6)
    expected = -x.advantages * ratios(x) * x.mask / max(x.mask.sum(), 1)
    yield slope("dL/dlog pi", f.gradient(x)["logp"], expected)


@law("P43", POLICY, "before the first update nothing has moved", "L = -mean A at rho = 1")
def nothing_moved(f: Candidate, x: Case) -> Assertions:
    yield equal("the loss at rho = 1", f(x.but(logp=x.old_logp)), token_mean(x, -x.advantages))


@law(
    "P47",
    f"{POLICY} {VALUE}",
    "uncounted positions move neither loss nor gradient, whatever they hold",
    "L(NaN where m = 0) = L; dL = 0 there",
    garbage=Number(-3, 3),
)
def uncounted(f: Candidate, x: Case, garbage: float) -> Assertions:
    names = [name for name, value in x.arguments.items() if name != "mask" and np.shape(value) == x.mask.shape]
    yield equal("the loss with NaN behind the mask", f(spoilt(x, *names)), f(x))
    dirty = x.but(**{name: np.where(counted(x), getattr(x, name), garbage) for name in names})
    yield slope("gradient behind the mask", next(iter(f.gradient(dirty).values()))[~counted(x)], 0.0)


# ----------------------------------------------------------------------------------------------------------- value loss
@law(
    "P41",
    VALUE,
    "clipping never lowers the squared error; a clip that is never reached changes nothing",
    "L >= mean (V - R)^2 / 2, equal at a wide clip",
)
def at_least_squared(f: Candidate, x: Case) -> Assertions:
    squared = token_mean(x, (x.values - x.returns) ** 2) / 2
    yield at_least("the loss", f(x), squared)
    yield equal("the loss with a clip of 100", f(x.but(clip=100.0)), squared)
