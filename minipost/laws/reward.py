"""The laws of the Bradley-Terry loss; d is the difference of the two scores."""

from __future__ import annotations

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import Assertions, Case, Number, at_least, at_most, equal, law, slope
from minipost.laws.oracles import sigmoid

BT = "reward.bradley_terry"
positive = Number(0.01, 3, often=[1.0])


def plain(x: Case) -> Case:
    """No margin and no centring."""
    return x.but(margin=0.0, center=0.0)


def swapped(x: Case) -> Case:
    return x.but(chosen=x.rejected, rejected=x.chosen)


def of_difference(d: float) -> Case:
    """One pair whose scores differ by d."""
    return Case({"chosen": np.array([d]), "rejected": np.zeros(1)})


@law("P14", BT, "only differences count, unless scores are centred", "L(r + c) = L(r) at center 0", c=Number(-50, 50))
def only_differences(f: Candidate, x: Case, c: float) -> Assertions:
    x = x.but(center=0.0)
    yield equal("loss of shifted scores", f(x.but(chosen=x.chosen + c, rejected=x.rejected + c)), f(x))


@law("P15", BT, "equal scores give log 2", "L(d = 0) = log 2")
def equal_scores(f: Candidate, x: Case) -> Assertions:
    yield equal("loss of equal scores", f(plain(x).but(rejected=x.chosen)), np.log(2))


@law("P16", BT, "swapping the two sides adds the difference", "l(d) - l(-d) = -d")
def swap(f: Candidate, x: Case) -> Assertions:
    x = plain(x)
    yield equal("l(d) - l(-d)", f(x) - f(swapped(x)), -np.mean(x.chosen - x.rejected))


@law(
    "P17",
    BT,
    "the push is as hard as the model is wrong, up on chosen, down on rejected",
    "dL/dr_c = -dL/dr_r = -sigmoid(-(d - margin)) / B, in [-1/B, 0]",
)
def push(f: Candidate, x: Case) -> Assertions:
    x = x.but(center=0.0)
    expected = -sigmoid(-(x.chosen - x.rejected - x.margin)) / len(x.chosen)
    g = f.gradient(x)
    yield slope("dL/dr_c", g["chosen"], expected)
    yield slope("dL/dr_r", g["rejected"], -expected)


@law(
    "P18",
    BT,
    "the loss falls and is convex in the difference",
    "l(d + s) < l(d); l(d) + l(d + 2 s) >= 2 l(d + s)",
    d=Number(-3, 3),
    s=positive,
)
def convex(f: Candidate, x: Case, d: float, s: float) -> Assertions:
    low, middle, high = (f(of_difference(d + k * s)) for k in range(3))
    yield at_most("l(d + s)", middle, low - 1e-6)
    yield at_least("l(d) + l(d + 2 s)", low + high, 2 * middle)


@law("P19", BT, "a margin shifts the difference", "L(d; margin) = L(d - margin; 0)")
def margin_shifts(f: Candidate, x: Case) -> Assertions:
    x = x.but(center=0.0)
    yield equal("loss with a margin", f(x), f(x.but(chosen=x.chosen - x.margin, margin=0.0)))
    each = np.zeros(len(x.chosen)) + x.margin
    yield equal("loss with that margin for each pair", f(x.but(margin=each)), f(x))


@law(
    "P20",
    BT,
    "the centring term pulls the mean of the two scores to 0",
    "dL along a common shift = 4 center mean(r_c + r_r)",
    center=positive,
)
def centring(f: Candidate, x: Case, center: float) -> Assertions:
    x = x.but(center=center)
    g = f.gradient(x)
    pull = g["chosen"].sum() + g["rejected"].sum()  # Bradley-Terry's own part cancels
    yield slope("sum of dL/dr_c and dL/dr_r", pull, 4 * center * np.mean(x.chosen + x.rejected))


@law("P21", BT, "it is the softmax cross-entropy of two candidates", "L = -log softmax([r_c, r_r])_c")
def softmax_of_two(f: Candidate, x: Case) -> Assertions:
    x = plain(x)
    p = np.exp(x.chosen) / (np.exp(x.chosen) + np.exp(x.rejected))
    yield equal("loss", f(x), -np.mean(np.log(p)))


@law("P22", BT, "exactly 0 and 1e4 at differences of +-1e4", "l(1e4) = 0, l(-1e4) = 1e4")
def extreme_scores(f: Candidate, x: Case) -> Assertions:
    x = plain(x).but(chosen=np.full(len(x.chosen), 5e3), rejected=np.full(len(x.chosen), -5e3))
    yield equal("l(1e4)", f(x), 0.0, tolerance=1e-6)
    yield equal("l(-1e4)", f(swapped(x)), 1e4)
    yield slope("dL/dr_c at d = -1e4", f.gradient(swapped(x))["chosen"], -1 / len(x.chosen))


@law("P23", BT, "an identical pair teaches nothing", "dL/dr_c + dL/dr_r = 0 at r_c = r_r")
def identical_pair(f: Candidate, x: Case) -> Assertions:
    g = f.gradient(x.but(center=0.0, rejected=x.chosen))
    yield slope("dL/dr_c + dL/dr_r", g["chosen"] + g["rejected"], 0.0)


@law(
    "P26",
    BT,
    "with labels flipped at rate e the optimum is where the model is as unsure as the labels",
    "(1-e) l(d) + e l(-d) is least at d* = logit(1 - e)",
    e=Number(0.01, 0.49, often=[0.25]),
)
def flipped_labels(f: Candidate, x: Case, e: float) -> Assertions:
    best = of_difference(float(np.log((1 - e) / e)))
    right, wrong = f.gradient(best)["chosen"], f.gradient(swapped(best))["rejected"]
    yield slope("d/dd of the expected loss at d*", (1 - e) * right + e * wrong, 0.0)
