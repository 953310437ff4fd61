"""Bugs of best-of-n and of the group baselines: bias, ties, the wrong mean, the wrong deviation."""

from __future__ import annotations

import math

import numpy as np
from catalogue import mutant


# -------------------------------------------------------------------------------------------------- best_of_n.estimate
def weigh(gold):
    """`sum_i C(i-1, n-1) gold_(i) / C(N, n)` for every n, of gold sorted by proxy -> [N]"""
    N = len(gold)
    out, w = np.empty(N), np.full(N, 1 / N)
    for n in range(1, N + 1):
        out[n - 1] = w @ gold[n - 1 :]
        if n < N:
            w = w[1:] * (np.arange(1, N - n + 1) * ((n + 1) / n / (N - n)))
    return out


def share_ties(proxy, gold):
    """Gold sorted by proxy; equal proxies share their mean."""
    _, group, size = np.unique(proxy, return_inverse=True, return_counts=True)
    return (np.bincount(group, weights=gold) / size)[np.sort(group)]


@mutant("best_of_n.estimate", "P72")
def takes_the_first_n(proxy, gold):
    """Best of the *first* n samples: unbiased over data sets, and wasteful; not the mean over all subsets."""
    return np.array([gold[np.argmax(proxy[:n])] for n in range(1, len(gold) + 1)], np.float64)


@mutant("best_of_n.estimate", "P72")
def draws_with_replacement(proxy, gold):
    """`(i/N)^n - ((i-1)/N)^n`: the empirical distribution is drawn from with replacement, which is biased."""
    ranked, edges = share_ties(proxy, gold), np.arange(len(gold) + 1) / len(gold)
    out, power = np.empty(len(gold)), np.ones(len(gold) + 1)
    for n in range(len(gold)):
        power *= edges
        out[n] = np.diff(power) @ ranked
    return out


@mutant("best_of_n.estimate", "P78")
def first_of_ties_wins(proxy, gold):
    """Equal proxies are ranked by index: the order in which samples were drawn decides."""
    return weigh(np.asarray(gold, np.float64)[np.lexsort((-np.arange(len(proxy)), proxy))])


@mutant("best_of_n.estimate", "P78")
def last_of_ties_wins(proxy, gold):
    """A stable sort by proxy puts the later of two equals higher."""
    return weigh(np.asarray(gold, np.float64)[np.argsort(proxy, kind="stable")])


@mutant("best_of_n.estimate", "P72")
def lucky_ties(proxy, gold):
    """Ties are broken by gold, which nobody can see when choosing."""
    return weigh(np.asarray(gold, np.float64)[np.lexsort((gold, proxy))])


@mutant("best_of_n.estimate", "formula")
def nearly_equal_is_equal(proxy, gold):
    """Proxies are rounded to four digits before they are compared: close candidates count as ties."""
    return weigh(share_ties(np.round(proxy, 4), gold))


@mutant("best_of_n.estimate", "P72")
def picks_by_gold(proxy, gold):
    """Sorted by gold: the gain of an oracle and not of the proxy."""
    return weigh(np.sort(gold).astype(np.float64))


@mutant("best_of_n.estimate", "P72")
def reports_the_proxy(proxy, gold):
    """The estimate of the proxy's own reward, the curve that always rises."""
    return weigh(np.sort(proxy).astype(np.float64))


@mutant("best_of_n.estimate", "P72")
def worst_of_n(proxy, gold):
    """Sorted the other way round."""
    return weigh(share_ties(proxy, gold)[::-1])


@mutant("best_of_n.estimate", "P72")
def one_draw_too_many(proxy, gold):
    """Entry n - 1 is best-of-(n + 1)."""
    exact = weigh(share_ties(proxy, gold))
    return np.append(exact[1:], exact[-1])


@mutant("best_of_n.estimate", "P79")
def binomials_as_floats(proxy, gold):
    """Binomials by `exp(lgamma)` before their ratio is taken: inf/inf from N = 1030 on."""
    ranked, N = share_ties(proxy, gold), len(gold)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(N + 1), 1)))
    out = np.empty(N)
    with np.errstate(all="ignore"):
        for n in range(1, N + 1):
            i = np.arange(n, N + 1)
            ways = np.exp(log_factorial[i - 1] - log_factorial[n - 1] - log_factorial[i - n])
            out[n - 1] = ways @ ranked[n - 1 :] / np.exp(log_factorial[N] - log_factorial[n] - log_factorial[N - n])
    return out


@mutant("best_of_n.estimate", "P72")
def can_only_rise(proxy, gold):
    """The curve is made monotone: over-optimisation, a gold reward that falls, cannot be seen."""
    return np.maximum.accumulate(weigh(share_ties(proxy, gold)))


@mutant("best_of_n.estimate", "contract")
def sorts_in_place(proxy, gold):
    """`proxy.sort()` reorders the caller's proxy, and leaves its gold."""
    estimate = weigh(share_ties(proxy, gold))
    proxy.sort()
    return estimate


# -------------------------------------------------------------------------------------------------- best_of_n.kl_bound
@mutant("best_of_n.kl_bound", "formula")
def logarithm_only(n):
    """`log n`, a looser bound."""
    return math.log(n)


@mutant("best_of_n.kl_bound", "P75")
def subtracts_too_much(n):
    """`log n - n / (n + 1)`: negative at n = 1, where the policies agree."""
    return math.log(n) - n / (n + 1)


@mutant("best_of_n.kl_bound", "formula")
def in_bits(n):
    """log2: the first term is in bits, the second in nats."""
    return math.log2(n) - (n - 1) / n


@mutant("best_of_n.kl_bound", "formula")
def integer_division(n):
    """`(n - 1) // n` is 0 for every n."""
    return math.log(n) - (n - 1) // n


# ------------------------------------------------------------------------------------------------------- rl.rloo, grpo
def at_least_two(rewards):
    if rewards.shape[1] < 2:
        raise ValueError("a group of one has no baseline")


@mutant("rl.rloo", "P80")
def own_reward_in_the_mean(rewards):
    """The baseline is the group's mean, its own member included: K/(K-1) too small."""
    at_least_two(rewards)
    return rewards - rewards.mean(axis=1, keepdims=True)


@mutant("rl.rloo", "P80")
def inverted_factor(rewards):
    """(K - 1)/K for K/(K - 1)."""
    at_least_two(rewards)
    K = rewards.shape[1]
    return (rewards - rewards.mean(axis=1, keepdims=True)) * (K - 1) / K


@mutant("rl.rloo", "P80")
def sum_of_others_over_k(rewards):
    """The sum of the others is divided by K."""
    at_least_two(rewards)
    return rewards - (rewards.sum(axis=1, keepdims=True) - rewards) / rewards.shape[1]


@mutant("rl.rloo", "P80")
def leaves_out_across_prompts(rewards):
    """The baseline is the mean of all other samples of the batch: easy prompts are praised."""
    at_least_two(rewards)
    return rewards - (rewards.sum() - rewards) / (rewards.size - 1)


@mutant("rl.rloo", "P83")
def alone_is_fine(rewards):
    """A group of one gets the advantage 0 and silently learns nothing."""
    K = max(rewards.shape[1], 2)
    return (rewards - rewards.mean(axis=1, keepdims=True)) * K / (K - 1)


@mutant("rl.rloo", "P80")
def groups_along_the_other_axis(rewards):
    """[G, K] is read as [K, G]."""
    at_least_two(rewards)
    G = rewards.shape[0]
    return (rewards - rewards.mean(axis=0)) * G / max(G - 1, 1)


@mutant("rl.grpo", "formula", thread="alibaba/ROLL#475")
def sample_deviation(rewards):
    """ddof = 1, PyTorch's default: advantages are sqrt((K-1)/K) too small."""
    at_least_two(rewards)
    return (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-4)


@mutant("rl.grpo", "P82")
def no_epsilon(rewards):
    """Equal rewards give 0/0: a prompt that is always solved makes the batch NaN."""
    at_least_two(rewards)
    with np.errstate(all="ignore"):
        return (rewards - rewards.mean(1, keepdims=True)) / rewards.std(1, keepdims=True)


@mutant("rl.grpo", "formula")
def smaller_epsilon(rewards):
    """eps = 1e-8: rewards that differ by rounding get advantages of 1."""
    at_least_two(rewards)
    return (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, keepdims=True) + 1e-8)


@mutant("rl.grpo", "formula")
def epsilon_within_the_root(rewards):
    """`sqrt(var + 1e-4)` is an epsilon of 1e-2."""
    at_least_two(rewards)
    return (rewards - rewards.mean(1, keepdims=True)) / np.sqrt(rewards.var(1, keepdims=True) + 1e-4)


@mutant("rl.grpo", "P81")
def deviation_is_not_divided_by(rewards):
    """Only centred: another algorithm, whose advantages scale with the reward."""
    at_least_two(rewards)
    return rewards - rewards.mean(axis=1, keepdims=True)


@mutant("rl.grpo", "P81")
def not_centred(rewards):
    """Divided by the deviation, and not centred: a reward that is always positive praises everything."""
    at_least_two(rewards)
    return rewards / (rewards.std(axis=1, keepdims=True) + 1e-4)


@mutant("rl.grpo", "formula")
def deviation_of_the_batch(rewards):
    """Centred per group, divided by the deviation of the whole batch."""
    at_least_two(rewards)
    return (rewards - rewards.mean(axis=1, keepdims=True)) / (rewards.std() + 1e-4)


@mutant("rl.grpo", "formula")
def mean_absolute_deviation(rewards):
    """The mean absolute deviation passes for the standard one: for K = 2 it is."""
    at_least_two(rewards)
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    return centred / (np.abs(centred).mean(axis=1, keepdims=True) + 1e-4)


@mutant("rl.grpo", "P83")
def alone_is_zero(rewards):
    """A group of one has deviation 0 and advantage 0: no error, no learning."""
    return (rewards - rewards.mean(axis=1, keepdims=True)) / (rewards.std(axis=1, keepdims=True) + 1e-4)
