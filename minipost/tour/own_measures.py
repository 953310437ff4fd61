"""What can be said of a model where no true utility is known, and what it is worth.

    held-out loss           nats a token of held-out demonstrations: does it predict what people wrote?
    implicit accuracy       share of held-out pairs that log pi - log pi_SFT ranks as people did; chance is one half
    proxy                   the reward model's mean score of answers to held-out prompts
    proxy win rate          share of prompts on which the reward model prefers the answer to an independent one of SFT
    KL, length, end rate    how far it has moved from SFT, and how its answers have changed

The proxy is a judge that PPO and best-of-N were told to please: that it prefers their answers is what they were made
for, and no proof that people would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minipost.data import Turns
from minipost.losses import best_of_n_kl_bound, wins
from minipost.model import Array, Model
from minipost.report.plots import wilson
from minipost.stages.best_of_n import Candidates
from minipost.stages.pairs import EncodedPair
from minipost.text import prompt_tokens
from minipost.text.batching import Example
from minipost.tour.evaluate import interval
from minipost.tour.world import calibration

UNKNOWN = (
    "gold_mean",
    "gold_ci95",
    "win_rate_vs_sft",
    "win_rate_ci95",
    "correct",
    "correct_t1",
    "harmful_compliance",
    "harmful_compliance_t1",
)


@dataclass(frozen=True)
class Answers:
    """One model's sampled answers to the held-out prompts, and the reward model's scores of them [prompts]."""

    texts: list[str]
    ended: list[bool]
    lengths: list[int]  # tokens
    proxy: Array
    kl: float | None  # to SFT


def ask(model: Model, judge: Model, prompts: Sequence[Turns], seed: int, limit: int, reference: Model) -> Answers:
    """Answers at temperature 1 of at most `limit` tokens, scored; KL by the k1 estimate, as in `minipost eval`."""
    rng = np.random.default_rng([seed, 7])
    said = model.answer(prompts, rng, max_new_tokens=limit)
    drawn = [sampled for _, sampled in said]
    examples = [Example(prompt_tokens(model.tokenizer, p), s.tokens) for p, s in zip(prompts, drawn, strict=True)]
    kl = float(np.mean([s.logps.sum() for s in drawn]) - reference.logps(examples).mean())
    lengths = [len(s.tokens) for s in drawn]
    return Answers([text for text, _ in said], [s.ended for s in drawn], lengths, judge.scores(examples), kl)


def picked(found: Sequence[Candidates]) -> Answers:
    """Best-of-N as a model."""
    best = [(c.texts[c.pick], c.ended[c.pick], c.lengths[c.pick], c.proxy[c.pick]) for c in found]
    texts, ended, lengths, proxy = zip(*best, strict=True)
    kl = best_of_n_kl_bound(len(found[0].texts))
    return Answers(list(texts), list(ended), list(lengths), np.array(proxy), kl)


def measure(answers: Answers, rival: Answers) -> dict[str, Any]:
    """The numbers of one model's answers, under the keys of a simulated tour; what is unknown here is None."""
    won = wins(answers.proxy, rival.proxy)
    return dict.fromkeys(UNKNOWN) | {
        "by_kind": {},
        "proxy_mean": float(answers.proxy.mean()),
        "proxy_ci95": interval(answers.proxy),
        "proxy_win_rate_vs_sft": float(won.mean()),
        "proxy_win_rate_ci95": interval(won),
        "end_rate": float(np.mean(answers.ended)),
        "mean_length": float(np.mean(answers.lengths)),
        "kl_to_sft": answers.kl,
    }


def held_out_loss(model: Model, demonstrations: Sequence[Example]) -> dict[str, float]:
    """Loss in nats a response token, end tokens included, and its exponential."""
    tokens = sum(len(e.response) for e in demonstrations)
    loss = float(-model.logps(demonstrations).sum()) / tokens
    return {"heldout_loss": loss, "perplexity": float(np.exp(loss))}


def implicit_accuracy(model: Model, reference: Model, pairs: Sequence[EncodedPair]) -> dict[str, Any]:
    """How often the reward that a policy implies, log pi - log ref (Rafailov et al. 2023), ranks a pair right."""
    sides = [side for pair in pairs for side in pair]
    reward = (model.logps(sides) - reference.logps(sides)).reshape(-1, 2)
    return accuracy(reward[:, 0] - reward[:, 1], "implicit_accuracy")


def judge_the_judge(judge: Model, pairs: Sequence[EncodedPair], rng: np.random.Generator) -> dict[str, Any]:
    """The reward model on held-out pairs, beside chance and the simplest judge there is: the longer answer wins."""
    margins = judge.scores([c for c, _ in pairs]) - judge.scores([r for _, r in pairs])
    longer = np.array([len(c.response) - len(r.response) for c, r in pairs])
    return {
        **accuracy(margins, "pair_accuracy"),
        **accuracy(longer, "longer_wins"),
        "chance": 0.5,
        "expected_accuracy": None,
        "bayes_accuracy": None,
        "pairs": len(pairs),
        "calibration": calibration(margins, rng),
    }


def accuracy(margins: Array, name: str) -> dict[str, Any]:
    """The share of positive margins, ties half, with its 95 % interval."""
    share = float(wins(margins, 0.0).mean())
    return {name: share, f"{name}_ci95": list(wilson(share, len(margins)))}
