"""A world so small that every response can be written down: nothing is estimated, everything is summed.

A handful of prompts; responses are up to `max_length` tokens from a few words and an end token. They form a tree:

    node 0 ""  --end-->  response ""
      |--a-->  node 1 "a"  --end-->  response "a"
      |          |--a-->  ...
      |--b-->  node 2 "b"  --end-->  response "b"          at the depth of max_length: cut, without an end token

A policy is a distribution over the next token at each (prompt, node): logits `[P, K, A]`. They may be a table, or what
a decoder says about `contexts()`. The probability of a response is the product along its path, and since every path
ends or is cut, they sum to 1. So KL, expected reward, the best policy, best-of-n and all gradients are exact, and what
an algorithm reaches can be compared with what there was to reach.

Dimensions: P prompts, N responses, L max_length, K nodes, A actions (words and end). Functions on log-probabilities
[P, N] take arrays or Tensors unless they say otherwise, and give one number a prompt, [P].
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minipost.autograd import Array, Tensor, exp, log_softmax, sigmoid, softplus, where
from minipost.losses import best_of_n_log_ratio, exact_kl

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
TensorLike: TypeAlias = Tensor | Array
MAX_RESPONSES = 30_000


class MicroWorld:
    """All responses of a tiny language, their tree, and their known rewards. The same seed gives the same world.

    Token ids: words `0 .. vocab-2`, the end token `vocab-1`, then padding, then one id a prompt; `vocab_size` counts
    them all. Raises `ValueError` if there would be more than 30,000 responses.

        responses [N, L]   token ids, end token included, padded       lengths [N]   with the end token
        mask [N, L]        which of them are tokens                    ended [N]     False: cut at max_length
        nodes [N, L]       the node at which each token was chosen     rewards [P, N], the sum of `attributes`
    """

    def __init__(self, vocab: int = 6, max_length: int = 4, prompts: int = 3, seed: int = 0) -> None:
        words = vocab - 1
        if min(words, max_length, prompts) < 1:
            raise ValueError(
                f"MicroWorld: needs vocab >= 2 (a word and the end), max_length >= 1 and prompts >= 1, "
                f"got {vocab}, {max_length} and {prompts}."
            )
        size = sum(words**depth for depth in range(max_length + 1))
        if size > MAX_RESPONSES:
            raise ValueError(f"MicroWorld: {size} responses are too many to enumerate; lower vocab or max_length.")
        self.vocab, self.max_length, self.prompts = vocab, max_length, prompts
        self.end_id, self.pad_id, self.vocab_size = vocab - 1, vocab, vocab + 1 + prompts

        # Texts by length, so that node k is text k: response k is that text and an end token, or was cut.
        self._texts = [text for depth in range(max_length + 1) for text in product(range(words), repeat=depth)]
        self._number = {text: k for k, text in enumerate(self._texts)}
        depths = np.array([len(text) for text in self._texts])
        self.ended: Bools = depths < max_length
        self.lengths: Ints = depths + self.ended
        self.mask: Bools = np.arange(max_length) < self.lengths[:, None]
        padding = [self.end_id, *[self.pad_id] * max_length]
        self.responses: Ints = np.array([[*text, *padding][:max_length] for text in self._texts])
        prefixes = [[self._number[text[:depth]] for depth in range(max_length)] for text in self._texts]
        self.nodes: Ints = np.where(self.mask, prefixes, 0)
        self.attributes = self._attributes(np.random.default_rng(seed))
        self.rewards: Array = np.sum(list(self.attributes.values()), axis=0)

    def _attributes(self, rng: np.random.Generator) -> dict[str, Array]:
        """What a response is worth, by reason -> each [P, N].

        "relevance": each *distinct* word has a worth to each prompt, saying it again adds nothing. "flow": each pair of
        neighbouring words fits or does not (twice the same does not), so a word's worth depends on its context. Every
        word costs a little, and being cut costs much.
        """
        words = self.vocab - 1
        relevance, flow = rng.standard_normal((self.prompts, words)), 0.7 * rng.standard_normal((words, words))
        relevance += 0.3 - relevance.mean(axis=1, keepdims=True)  # else all words could be bad, and silence best
        np.fill_diagonal(flow, -0.5)
        says = (self.responses[:, :, None] == np.arange(words)).any(axis=1)  # [N, W]
        left, right = self.responses[:, :-1], self.responses[:, 1:]
        neighbours = (left < words) & (right < words)
        fits = np.where(neighbours, flow[left * neighbours, right * neighbours], 0).sum(axis=1)
        of_all_prompts = np.ones((self.prompts, 1))
        return {
            "relevance": relevance @ says.T,
            "flow": of_all_prompts * fits,
            "length": of_all_prompts * (-0.2 * (self.lengths - self.ended)),
            "cut": of_all_prompts * -1.0 * ~self.ended,
        }

    @property
    def node_count(self) -> int:
        """K, the number of places at which a token is chosen."""
        return int(self.ended.sum())

    def contexts(self) -> Ints:
        """The inputs [P * C, L] for a causal decoder, a prompt id and L - 1 words, that together visit every node.

        Row `p * C + c`. Feed its logits [P * C, L, vocab_size] to `node_logits`.
        """
        longest = [text for text in self._texts if len(text) == self.max_length - 1]
        rows = [[self.pad_id + 1 + p, *text] for p in range(self.prompts) for text in longest]
        return np.array(rows, np.int64)

    def node_logits(self, logits: TensorLike) -> Any:
        """A decoder's logits on `contexts()`, [P * C, L, vocab_size] -> the policy's logits [P, K, A].

        The decoder may only choose words and the end: logits of other ids are dropped. Causality makes all rows that
        share a prefix agree there, so one of them is read.
        """
        _, L, V = logits.shape
        node_texts = self._texts[: self.node_count]
        depth = np.array([len(text) for text in node_texts])
        first = self._number[(0,) * (L - 1)]
        row = np.array([self._number[text + (0,) * (L - 1 - len(text))] - first for text in node_texts])
        return logits.reshape(self.prompts, -1, L, V)[:, row, depth, : self.vocab]

    def batch(self, prompt: Ints, response: Ints) -> tuple[Ints, Bools]:
        """Token ids [B, 1 + L] and response masks [B, 1 + L] of the given prompts [B] and responses [B], by number."""
        tokens = np.concatenate([self.pad_id + 1 + prompt[:, None], self.responses[response]], axis=1)
        mask = np.concatenate([np.zeros((len(prompt), 1), np.bool_), self.mask[response]], axis=1)
        return tokens, mask

    def token_logps(self, node_logits: TensorLike) -> Any:
        """The log-probability of each token of each response under logits [P, K, A] -> [P, N, L], 0 at padding."""
        chosen = np.where(self.mask, self.responses, 0)
        return where(self.mask, log_softmax(node_logits)[:, self.nodes, chosen], 0.0)

    def response_logps(self, node_logits: TensorLike) -> Any:
        """The log-probability of each response under logits [P, K, A] -> [P, N]; their exponentials sum to 1."""
        return self.token_logps(node_logits).sum(axis=-1)

    def policy_of(self, logps: Array) -> Array:
        """The logits [P, K, A] of the policy whose responses have log-probabilities [P, N]: `response_logps` inverted.

        Any distribution over responses is a policy: at each node the next token's odds are those of the mass of all
        responses that go on that way.
        """
        mass = np.full((self.prompts, self.node_count, self.vocab), -np.inf)
        for t in range(self.max_length):
            longer = np.flatnonzero(self.mask[:, t])
            action = (np.arange(self.prompts)[:, None], self.nodes[longer, t], self.responses[longer, t])
            np.logaddexp.at(mass, action, logps[:, longer])
        return mass


# ------------------------------------------------------------------------------------------------- exact quantities
def exact_reward(logps: TensorLike, rewards: Array) -> Any:
    """`E_{y ~ pi} r(x, y)`: [P, N], [P, N] -> [P]."""
    return (exp(logps) * rewards).sum(axis=-1)


def exact_objective(logps: TensorLike, ref_logps: Array, rewards: Array, beta: float) -> Any:
    """`J = E r - beta KL(pi || ref)`, what RLHF maximises -> [P]. Its maximum is `beta log Z` (P69)."""
    return exact_reward(logps, rewards) - exact_kl(logps, ref_logps) * beta


def log_partition(ref_logps: Array, rewards: Array, beta: float) -> Array:
    """`log Z = log sum_y ref(y) exp(r(y) / beta)` -> [P]."""
    return np.asarray(np.logaddexp.reduce(ref_logps + rewards / beta, axis=-1))


def optimal_policy(ref_logps: Array, rewards: Array, beta: float) -> Array:
    """`log pi* = log ref + r / beta - log Z`, the maximiser of J -> [P, N] (Rafailov 2023, eq. 4)."""
    return ref_logps + rewards / beta - log_partition(ref_logps, rewards, beta)[:, None]


def exact_policy_gradient(logps: Array, ref_logps: Array, rewards: Array, beta: float) -> Array:
    """The gradient of J with respect to logits over whole responses, `p (a - E a)` -> [P, N].

    `a = r - beta (log pi - log ref)` is the reward with the k1 penalty in it; that a itself depends on pi adds nothing,
    as the expected score is 0 (P53). For other parameters, call `backward` on `exact_objective`.
    """
    p = np.exp(logps)
    a = rewards - beta * (logps - ref_logps)
    return np.asarray(p * (a - (p * a).sum(axis=-1, keepdims=True)))


def exact_best_of_n(ref_logps: Array, proxy: Array, n: int) -> Array:
    """Log-probabilities of the best of n responses by `proxy` [P, N], ties broken at random -> [P, N]."""
    ratios = [best_of_n_log_ratio(np.exp(row), scores, n) for row, scores in zip(ref_logps, proxy, strict=True)]
    return ref_logps + np.array(ratios)


def exact_win_rate(logps: Array, other_logps: Array, rewards: Array) -> Array:
    """The chance that a response of `logps` beats an independent one of `other_logps`, ties half -> [P]."""
    rates = []
    for p, other_p, r in zip(np.exp(logps), np.exp(other_logps), rewards, strict=True):
        _, group = np.unique(r, return_inverse=True)
        mass = np.bincount(group, weights=other_p)
        rates.append(p @ (np.cumsum(mass) - 0.5 * mass)[group])  # all that is worse, and half of what is equal
    return np.array(rates)


def exact_dpo_loss(
    logps: TensorLike, ref_logps: Array, rewards: Array, beta: float, sampler_logps: Array, temperature: float = 1.0
) -> Any:
    """DPO's loss over *all* pairs of responses that `sampler_logps` may draw, labelled by Bradley-Terry -> [P].

    The limit of infinite data. With temperature 1 and a sampler that reaches everything, its only minimum is the
    maximiser of J (P69). Builds [P, N, N] arrays.
    """
    lr = logps - ref_logps
    P, N = lr.shape
    h = lr.reshape(P, N, 1) - lr.reshape(P, 1, N)
    prefers = sigmoid((rewards[:, :, None] - rewards[:, None, :]) / temperature)
    weight = np.exp(sampler_logps[:, :, None] + sampler_logps[:, None, :])
    return (softplus(-h * beta) * (2 * weight * prefers)).sum(axis=(1, 2))  # (i, j) and (j, i) are one pair


# -------------------------------------------------------------------------------------------------------- samples
def sample_responses(rng: np.random.Generator, logps: Array, count: int) -> Ints:
    """`count` response numbers a prompt, drawn from log-probabilities [P, N] -> [P, count]."""
    probs = np.exp(logps)
    rows = [rng.choice(len(p), size=count, p=p / p.sum()) for p in probs]
    return np.array(rows, np.int64)


@dataclass(frozen=True)
class Preferences:
    """Comparisons by number, [M] each: at `prompt`, response `chosen` was preferred to `rejected`."""

    prompt: Ints
    chosen: Ints
    rejected: Ints


def sample_preferences(
    rng: np.random.Generator, logps: Array, rewards: Array, count: int, temperature: float = 1.0
) -> Preferences:
    """`count` pairs a prompt drawn from `logps`, labelled by `P(a beats b) = sigmoid((r_a - r_b) / temperature)`."""
    prompt = np.repeat(np.arange(len(logps)), count)
    a, b = sample_responses(rng, logps, 2 * count).reshape(len(logps), 2, count).swapaxes(0, 1).reshape(2, -1)
    first_wins = rng.random(len(prompt)) < sigmoid((rewards[prompt, a] - rewards[prompt, b]) / temperature)
    return Preferences(prompt, np.where(first_wins, a, b), np.where(first_wins, b, a))
