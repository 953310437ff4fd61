"""The laws of the KL estimators. Expectations are exact, over a vocabulary of up to three tokens.

The drawn arrays serve as logits here: p = softmax(logp) is the policy, q = softmax(ref_logp) the reference.
"""

from __future__ import annotations

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import Array, Assertions, Case, Number, at_least, equal, law, slope
from minipost.laws.oracles import log_softmax

K1, K2, K3 = "kl.k1", "kl.k2", "kl.k3"


def normalised(x: Case) -> tuple[Case, Array, Array, float]:
    """Log-probabilities, the two distributions, and KL(p || q)."""
    x = Case({"logp": log_softmax(x.logp), "ref_logp": log_softmax(x.ref_logp)})
    p, q = np.exp(x.logp), np.exp(x.ref_logp)
    return x, p, q, float(p @ (x.logp - x.ref_logp))


def inside_a_loss(f: Candidate, x: Case, p: Array) -> Array:
    """What the logits of the policy receive when E_p f is differentiated with the samples held fixed."""
    d = p * f.gradient(x)["logp"]
    return np.asarray(d - p * d.sum())


@law("P51", f"{K1} {K3}", "unbiased", "E_pi k = KL(pi || ref)")
def unbiased(f: Candidate, x: Case) -> Assertions:
    x, p, _, kl = normalised(x)
    yield equal("E_pi k", p @ f(x), kl)


@law("P51", K2, "never negative", "k2 >= 0")
def never_negative(f: Candidate, x: Case) -> Assertions:
    yield at_least("k2", f(x), 0.0, tolerance=0.0)


@law("P52", K1, "does nothing inside a loss but add noise", "E_pi dk1/dtheta = 0")
def no_gradient(f: Candidate, x: Case) -> Assertions:
    x, p, _, _ = normalised(x)
    yield slope("E_pi dk1/dlogits", inside_a_loss(f, x, p), 0.0)


@law("P52", K2, "inside a loss it has the gradient of the KL divergence", "E_pi dk2/dtheta = dKL(pi || ref)/dtheta")
def forward_gradient(f: Candidate, x: Case) -> Assertions:
    x, p, _, kl = normalised(x)
    yield slope("E_pi dk2/dlogits", inside_a_loss(f, x, p), p * (x.logp - x.ref_logp - kl))


@law("P52", K3, "inside a loss it has the gradient of the other KL", "E_pi dk3/dtheta = dKL(ref || pi)/dtheta")
def reverse_gradient(f: Candidate, x: Case) -> Assertions:
    x, p, q, _ = normalised(x)
    yield slope("E_pi dk3/dlogits", inside_a_loss(f, x, p), p - q)


@law("P53", K1, "in the reward it gives the KL's gradient", "E_pi k1 dlog pi/dtheta = dKL(pi || ref)/dtheta")
def score_function(f: Candidate, x: Case) -> Assertions:
    x, p, _, kl = normalised(x)
    k = f(x)
    yield equal("E_pi k1 dlog pi/dlogits", p * (k - p @ k), p * (x.logp - x.ref_logp - kl))


@law("P54", K1, "policy and reference swapped give -KL", "E_pi k1(ref, pi) = -KL(pi || ref)")
def swapped_k1(f: Candidate, x: Case) -> Assertions:
    x, p, _, kl = normalised(x)
    yield equal("E_pi k1(ref, pi)", p @ f(x.but(logp=x.ref_logp, ref_logp=x.logp)), -kl)


@law("P54", K3, "policy and reference swapped give chi^2 - KL", "E_pi k3(ref, pi) = chi^2 - KL(pi || ref)")
def swapped_k3(f: Candidate, x: Case) -> Assertions:
    x, p, q, kl = normalised(x)
    yield equal("E_pi k3(ref, pi)", p @ f(x.but(logp=x.ref_logp, ref_logp=x.logp)), (p**2 / q).sum() - 1 - kl)


@law(
    "P56",
    f"{K1} {K2}",
    "zero if and only if both are equal, and accurate at differences of 1e-6",
    "k(p, p) = 0; |k(p, p - d) / exact - 1| < 1e-3 in float64",
    size=Number(0.1, 9, often=[1.0]),
)
def tiny_differences(f: Candidate, x: Case, size: float) -> Assertions:
    yield equal("k(p, p)", f(x.but(ref_logp=x.logp)), 0.0, tolerance=0.0)
    for d in (1e-6 * size, -1e-6 * size):
        y = x.but(ref_logp=x.logp - d)
        exact = f.target.oracle(y)
        yield equal("k(p, p - d)", f(y), exact, tolerance=1e-3 * np.abs(exact))


@law(
    "P56",
    K3,
    "zero if and only if both are equal, accurate at 1e-6; in float32 not negative by more than rounding",
    "k3(p, p) = 0; |k3(p, p - d) / exact - 1| < 1e-3 in float64; k3 >= -1e-9 in float32",
    size=Number(0.1, 9, often=[1.0]),
)
def tiny_k3(f: Candidate, x: Case, size: float) -> Assertions:
    yield from tiny_differences(f, x, size)
    logp = x.logp.astype(np.float32)
    for step in (1e-1, -1e-1, 1e-2, -1e-2, 1e-3, -1e-3, 1e-4, -1e-4):
        y = x.but(logp=logp, ref_logp=logp + np.float32(step * size))
        yield at_least("k3 in float32", f(y), 0.0, tolerance=1e-9)
