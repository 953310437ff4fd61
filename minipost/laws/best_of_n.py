"""The laws of the best-of-N estimate and of the KL bound."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from minipost.laws.candidate import Candidate
from minipost.laws.law import Array, Assertions, Case, Number, at_least, equal, law

ESTIMATE, BOUND = "best_of_n.estimate", "best_of_n.kl_bound"


def gold_of_best(proxy: Array, gold: Array) -> float:
    """The gold reward of the best by proxy, averaged over those that tie."""
    return float(gold[proxy == proxy.max()].mean())


def exact_kl(p: Array, n: int) -> float:
    """KL(best-of-n || base) for a base distribution over outcomes of rising score."""
    F = np.concatenate([[0.0], np.cumsum(p)])
    q = np.minimum(F[1:], 1.0) ** n - F[:-1] ** n
    return float(np.sum(q * np.log(np.maximum(q, 1e-300) / p)))


@law(
    "P72",
    ESTIMATE,
    "R(n) is the mean over all n-subsets: n = 1 the mean, n = N the best; ties are broken at random",
    "R(n) = mean over subsets S, |S| = n, of gold(argmax_S proxy)",
)
def all_subsets(f: Candidate, x: Case) -> Assertions:
    estimate, N = f(x), len(x.proxy)
    yield equal("R(1)", estimate[0], x.gold.mean())
    yield equal("R(N)", estimate[-1], gold_of_best(x.proxy, x.gold))
    for n in range(2, N):
        picks = [gold_of_best(x.proxy[list(s)], x.gold[list(s)]) for s in combinations(range(N), n)]
        yield equal(f"R({n})", estimate[n - 1], np.mean(picks))


@law("P73", ESTIMATE, "with the true reward, more samples never hurt", "R(n + 1) >= R(n) if proxy = gold")
def never_hurts(f: Candidate, x: Case) -> Assertions:
    estimate = f(x.but(proxy=x.gold))
    yield at_least("R(n + 1)", estimate[1:], estimate[:-1])


@law(
    "P74",
    ESTIMATE,
    "only the order of the proxy counts",
    "R unchanged by permuting samples, by an increasing map",
    shift=Number(-5, 5),
)
def only_order(f: Candidate, x: Case, shift: float) -> Assertions:
    estimate = f(x)
    yield equal("R of the samples backwards", f(x.mapped(np.flip)), estimate)
    yield equal("R with proxy exp(proxy) + shift", f(x.but(proxy=np.exp(x.proxy) + shift)), estimate)


@law("P77", ESTIMATE, "a binary reward gives pass@k", "R(k) = 1 - C(N - c, k) / C(N, k), c of N right")
def pass_at_k(f: Candidate, x: Case) -> Assertions:
    right = (x.gold > 0).astype(np.float64)
    N, c = len(right), int(right.sum())
    expected = [1 - comb(N - c, k) / comb(N, k) for k in range(1, N + 1)]
    yield equal("R", f(x.but(proxy=right, gold=right)), expected)


@law("P78", ESTIMATE, "a constant proxy picks at random", "R(n) = mean gold", c=Number(-3, 3))
def constant_proxy(f: Candidate, x: Case, c: float) -> Assertions:
    yield equal("R", f(x.but(proxy=np.full(len(x.gold), c))), np.full(len(x.gold), x.gold.mean()))


@law("P79", ESTIMATE, "stable at N = 10^4", "R(n) = n (N + 1) / (n + 1) for proxy = gold = 1..N", once=True)
def many_samples(f: Candidate, x: Case) -> Assertions:
    N = 10_000
    ranks = np.arange(1.0, N + 1)
    shuffled = np.concatenate([ranks[::2], ranks[1::2][::-1]])
    n = np.arange(1, N + 1)
    yield equal("R", f(Case({"proxy": shuffled, "gold": shuffled})), n * (N + 1) / (n + 1))


@law(
    "P75",
    BOUND,
    "an upper bound of the exact KL, tight for many small outcomes",
    "KL(best-of-n || base) <= log n - (n-1)/n",
)
def bounds_the_kl(f: Candidate, x: Case) -> Assertions:
    bound, n = f(x), x.n
    yield at_least("the bound, beside the KL of three outcomes", bound, exact_kl(np.array([0.5, 0.3, 0.2]), n))
    tight = exact_kl(np.full(20_000, 1 / 20_000), n)
    yield equal("the bound, beside the KL of 20,000 equal outcomes", bound, tight, tolerance=1e-3)
