"""The laws of DPO and its family. h is how much more the policy prefers the chosen response than the reference does."""

from __future__ import annotations

import numpy as np

from minipost.laws import oracles
from minipost.laws.candidate import Candidate
from minipost.laws.law import Array, Assertions, Case, Number, at_least, equal, law, slope
from minipost.laws.oracles import h, sigmoid

WITH_REFERENCE = "dpo.sigmoid dpo.ipo dpo.hinge dpo.robust"
FAMILY = f"{WITH_REFERENCE} dpo.simpo dpo.orpo dpo.kto"
rates = Number(0.01, 0.45, often=[0.25])


def of_margin(x: Case, margin: float) -> Case:
    """One pair with this margin."""
    zero = np.zeros(1)
    return x.but(policy_chosen=zero + margin, policy_rejected=zero, ref_chosen=zero, ref_rejected=zero)


def swapped(x: Case) -> Case:
    """Chosen and rejected change places."""
    return x.but(
        policy_chosen=x.policy_rejected,
        policy_rejected=x.policy_chosen,
        ref_chosen=x.ref_rejected,
        ref_rejected=x.ref_chosen,
    )


def plain(x: Case) -> Case:
    return x.but(label_smoothing=0.0)


# ---------------------------------------------------------------------------------------------------- the whole family
@law(
    "P60",
    WITH_REFERENCE,
    "what policy and reference share of a response cancels",
    "L(log pi_w + c, log ref_w + c) = L, and so for the rejected one",
    c=Number(-50, 50),
)
def shared_cancels(f: Candidate, x: Case, c: float) -> Assertions:
    by, before = c * (1 + np.arange(len(x.policy_chosen))), f(x)
    yield equal("loss", f(x.but(policy_chosen=x.policy_chosen + by, ref_chosen=x.ref_chosen + by)), before)
    yield equal("loss", f(x.but(policy_rejected=x.policy_rejected + by, ref_rejected=x.ref_rejected + by)), before)


@law(
    "P66",
    WITH_REFERENCE,
    "a reference of equal log-probabilities is no reference",
    "L(ref_w = ref_l = c) = L(ref_w = ref_l = 0)",
    c=Number(-50, 0),
)
def reference_free(f: Candidate, x: Case, c: float) -> Assertions:
    zero = np.zeros(len(x.ref_chosen))
    level = x.but(ref_chosen=zero + c, ref_rejected=zero + c)
    yield equal("loss", f(level), f(x.but(ref_chosen=zero, ref_rejected=zero)))


@law("P71", FAMILY, "repeating the batch leaves the mean loss", "L(x, x) = L(x)")
def repeated(f: Candidate, x: Case) -> Assertions:
    yield equal("loss of the batch twice", f(x.repeated(2)), f(x))


# ------------------------------------------------------------------------------------------------------------- sigmoid
@law(
    "P57",
    "dpo.sigmoid",
    "at the reference the loss is log 2, and the gradient is not zero",
    "L = log 2, dL/dlog pi_w = -beta / (2 B) at pi = ref",
)
def at_the_reference(f: Candidate, x: Case) -> Assertions:
    x = plain(x).but(ref_chosen=x.policy_chosen, ref_rejected=x.policy_rejected)
    yield equal("loss at pi = ref", f(x), np.log(2))
    g, expected = f.gradient(x), np.full(len(x.policy_chosen), x.beta / 2 / len(x.policy_chosen))
    yield slope("dL/dlog pi_w", g["policy_chosen"], -expected)
    yield slope("dL/dlog pi_l", g["policy_rejected"], expected)


@law("P58", "dpo.sigmoid", "swapping the two responses adds their margin", "L(h) - L(-h) = -beta mean h")
def swap(f: Candidate, x: Case) -> Assertions:
    x = plain(x)
    yield equal("L(h) - L(-h)", f(x) - f(swapped(x)), -x.beta * h(x).mean())


@law(
    "P61",
    "dpo.sigmoid",
    "the push is as hard as the implicit reward is wrong, up on chosen, down on rejected",
    "-dL/dlog pi_w = dL/dlog pi_l = beta sigmoid(-beta h) / B",
)
def push(f: Candidate, x: Case) -> Assertions:
    x = plain(x)
    g, expected = f.gradient(x), x.beta * sigmoid(-x.beta * h(x)) / len(x.policy_chosen)
    yield slope("dL/dlog pi_w", g["policy_chosen"], -expected)
    yield slope("dL/dlog pi_l", g["policy_rejected"], expected)


@law(
    "P62",
    "dpo.sigmoid",
    "label smoothing adds a straight line; the optimum is as unsure as the labels",
    "L_e = L_0 + e beta mean h; dL_e = 0 at beta h = logit(1 - e); L_(1/2)(h) = L_(1/2)(-h)",
    e=rates,
)
def smoothing(f: Candidate, x: Case, e: float) -> Assertions:
    yield equal("L_e", f(x.but(label_smoothing=e)), f(plain(x)) + e * x.beta * h(x).mean())
    best = of_margin(x, float(np.log((1 - e) / e)) / x.beta).but(label_smoothing=e)
    yield slope("dL_e/dlog pi_w at beta h = logit(1 - e)", f.gradient(best)["policy_chosen"], 0.0)
    half = x.but(label_smoothing=0.5)
    yield equal("L_(1/2)(h)", f(half), f(swapped(half)))


# -------------------------------------------------------------------------------------------------- robust, IPO, hinge
@law(
    "P63", "dpo.robust", "averaged over flipped labels it is the plain loss", "(1-e) L(h) + e L(-h) = softplus(-beta h)"
)
def unbiased(f: Candidate, x: Case) -> Assertions:
    e, true = x.label_smoothing, np.mean(np.logaddexp(0, -x.beta * h(x)))
    yield equal("(1-e) L(h) + e L(-h)", (1 - e) * f(x) + e * f(swapped(x)), true)


@law(
    "P64",
    "dpo.ipo",
    "satisfied at a margin of 1/(2 beta), and pulled back beyond",
    "L(0) = 1/(4 beta^2); L(1/(2 beta)) = 0; L(1/(2 beta) +- s) = s^2",
    s=Number(0.1, 3, often=[1.0]),
)
def satisfied(f: Candidate, x: Case, s: float) -> Assertions:
    goal = 1 / (2 * x.beta)
    yield equal("L(0)", f(of_margin(x, 0.0)), goal**2)
    yield equal("L(1/(2 beta))", f(of_margin(x, goal)), 0.0)
    yield equal("L(1/(2 beta) + s)", f(of_margin(x, goal + s)), s**2)
    yield equal("L(1/(2 beta) - s)", f(of_margin(x, goal - s)), s**2)


@law("P65", "dpo.hinge", "zero if and only if the margin is reached", "L(h) = 0 iff beta h >= 1", z=Number(-3, 3))
def reached(f: Candidate, x: Case, z: float) -> Assertions:
    loss = f(of_margin(x, z / x.beta))
    if z >= 1:
        yield equal("L(h) at beta h >= 1", loss, 0.0)
    else:
        yield at_least("L(h) at beta h < 1", loss, (1 - z) * (1 - 1e-6))


# ----------------------------------------------------------------------------------------------------------- ORPO, KTO
@law(
    "P68",
    "dpo.orpo",
    "swapping the sides turns the odds ratio round; finite as a mean log-probability nears 0",
    "L(w, l) - L(l, w) = -mean(lbar_w - lbar_l) - lam mean(lo_w - lo_l)",
    tiny=Number(0, 30),
)
def odds(f: Candidate, x: Case, tiny: float) -> Assertions:
    def difference(y: Case) -> float:
        w, l = y.chosen_mean_logp, y.rejected_mean_logp  # noqa: E741
        return float(-np.mean(w - l) - y.lam * np.mean(oracles.log_odds(w) - oracles.log_odds(l)))

    def turned(y: Case) -> Case:
        return y.but(chosen_mean_logp=y.rejected_mean_logp, rejected_mean_logp=y.chosen_mean_logp)

    yield equal("L(w, l) - L(l, w)", f(x) - f(turned(x)), difference(x))
    near = x.but(chosen_mean_logp=np.full(len(x.chosen_mean_logp), -(10.0**-tiny)))
    for name, y in (("L(w, l), w near 0", near), ("L(l, w), w near 0", turned(near))):
        yield equal(name, f(y), oracles.dpo_orpo(y))


@law(
    "P67",
    "dpo.kto",
    "1/2 at the reference, whatever the class; the reference point z receives no gradient",
    "L = 1/2 at pi = ref, z = 0, equal weights; dL/dz = 0",
)
def half(f: Candidate, x: Case) -> Assertions:
    level = x.but(ref=x.policy, z=np.zeros(()), weight_desirable=1.0, weight_undesirable=1.0)
    for desirable in (x.desirable, np.ones_like(x.desirable), np.zeros_like(x.desirable)):
        yield equal("loss at pi = ref", f(level.but(desirable=desirable)), 0.5)
    received = f.gradient(x).get("z")
    if received is not None:
        yield slope("dL/dz", received, 0.0)


@law(
    "P60",
    "dpo.kto",
    "what policy and reference share of a response cancels",
    "L(log pi + c, log ref + c) = L",
    c=Number(-50, 50),
)
def shared_by_one(f: Candidate, x: Case, c: float) -> Assertions:
    by: Array = c * (1 + np.arange(len(x.policy)))
    yield equal("loss", f(x.but(policy=x.policy + by, ref=x.ref + by)), f(x))
