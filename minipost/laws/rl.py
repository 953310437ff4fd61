"""The laws of group advantages, RLOO's and GRPO's."""

from __future__ import annotations

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import Assertion, Assertions, Case, Number, equal, law

RLOO, GRPO = "rl.rloo", "rl.grpo"
BOTH = f"{RLOO} {GRPO}"


@law("P80", RLOO, "the distance from the mean of the others", "A = K/(K-1) (r - mean), sum_k A_k = 0")
def leave_one_out(f: Candidate, x: Case) -> Assertions:
    K = x.rewards.shape[1]
    A = f(x)
    yield equal("A", A, K / (K - 1) * (x.rewards - x.rewards.mean(axis=1, keepdims=True)))
    yield equal("sum over a group of A", A.sum(axis=1), 0.0)


@law("P81", RLOO, "a reward added to a whole group changes nothing", "A(r + c) = A(r)", c=Number(-50, 50))
def shift(f: Candidate, x: Case, c: float) -> Assertions:
    by = c * (1 + np.arange(len(x.rewards)))[:, None]
    yield equal("A(r + c)", f(x.but(rewards=x.rewards + by)), f(x))


@law(
    "P81",
    GRPO,
    "a reward added to a whole group changes nothing; nor does the scale, where it is large",
    "A(r + c) = A(r); A(c r) = A(r) for std >> 1e-4",
    c=Number(-50, 50),
)
def shift_and_scale(f: Candidate, x: Case, c: float) -> Assertions:
    yield from shift(f, x, c)
    differ = np.ptp(x.rewards, axis=1, keepdims=True) > 0  # equal rewards are P82's: here rounding would be scaled too
    large, larger = (np.where(differ, f(x.but(rewards=scale * x.rewards)), 0.0) for scale in (1e6, 1e9))
    yield equal("A(1e6 r)", large, larger)


@law("P82", BOTH, "equal rewards teach nothing", "A = 0 where r_k are equal", r=Number(-50, 50, often=[1.0, 0.1]))
def equal_rewards(f: Candidate, x: Case, r: float) -> Assertions:
    yield equal("A of equal rewards", f(x.but(rewards=np.full_like(x.rewards, r))), 0.0, tolerance=1e-6)


@law("P83", BOTH, "a group of one is an error: it has no others", "K = 1 raises")
def group_of_one(f: Candidate, x: Case) -> Assertions:
    raised = f.raises(x.but(rewards=x.rewards[:, :1]))
    yield Assertion("whether K = 1 raises", raised, True)


@law("P86", BOTH, "permuting a group permutes its advantages", "A(r permuted) = A(r), permuted")
def permuted(f: Candidate, x: Case) -> Assertions:
    yield equal("A of the groups backwards", f(x.but(rewards=np.fliplr(x.rewards))), np.fliplr(f(x)))
