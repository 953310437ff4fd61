"""What a reward model of the village knows (claims 22 and 26), measured on answers that it has not seen.

It is compared with the utility itself, and with the *informed rater*, who knows every utility and still disagrees with
single labels as often as people disagree with themselves: no reward model can agree with them more often.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np

from lessons.experiments import village
from lessons.experiments.candidates import Candidates, Floats, candidates, encoded, preferred, scored
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.statistics import rank_correlation
from minipost.losses import pair_accuracy
from minipost.model import Model
from minipost.world import Task
from minipost.world.demonstrators import mistake
from minipost.world.phrasing import FORMS
from minipost.world.tasks import sentence
from minipost.world.tone import KIND_REFUSALS, RUDE, WARM_OPENERS

PAIRS = (150, 600, 2500)  # comparisons
HEADS = {"the end token": "scalar", "likelihoods too": None}  # what a reward model's head reads; None: as in tours
GAPS = (0.0, 0.5, 1.0, 2.0, 3.5, np.inf)  # edges of the bins of utility gaps


def unseen(lab: Lab, seed: int) -> Candidates:
    """Answers of the seed's SFT model, on which its reward models are evaluated."""
    return candidates(lab, village.sft(lab, seed), seed)


def answers_and_scores(lab: Lab, seed: int, pairs: int) -> tuple[Candidates, Floats]:
    """Unseen answers, and their scores [T, N] by a reward model that has learned from so many comparisons."""
    size: dict[str, Any] = {} if pairs == PAIRS[-1] else {"pairs": lab.pick(pairs, 64 + pairs // 100)}
    answers = unseen(lab, seed)
    return answers, scored(lab, village.reward(lab, seed, **size), answers)


def ranking(answers: Candidates, proxy: Floats) -> float:
    """Rank correlation of scores and utilities within a prompt, averaged over prompts whose answers differ in both."""
    rows = [(p, g) for p, g in zip(proxy, answers.gold, strict=True) if np.ptp(p) > 0 and np.ptp(g) > 0]
    return float(np.mean([rank_correlation(p, g) for p, g in rows]))


def agreement(answers: Candidates, proxy: Floats) -> tuple[float, float]:
    """How often the scores, and how often the informed rater, agree with a label: both exact, no label is drawn."""
    task, first, second = answers.pairs()
    gap = answers.gold[task, first] - answers.gold[task, second]
    margin = proxy[task, first] - proxy[task, second]
    follows = np.where(margin > 0, preferred(gap), preferred(-gap))
    return float(follows.mean()), float(preferred(np.abs(gap)).mean())


def by_gap(answers: Candidates, proxy: Floats) -> dict[str, Floats]:
    """For each bin of `GAPS`: `gap`, its mean; `right`, how often the truly better answer scores higher; `people`, how
    often a label agrees with the utility; `truth`, how often the two differ in being right; `pairs`, how many."""
    task, first, second = answers.pairs()
    gap = answers.gold[task, first] - answers.gold[task, second]
    right = (proxy[task, first] - proxy[task, second]) * np.sign(gap) > 0
    size, correct = np.abs(gap), answers.terms["correct"]
    truth = np.abs(correct[task, first] - correct[task, second]) >= 0.5
    bins = [(size > low) & (size <= high) for low, high in pairwise(GAPS)]
    bins = [b for b in bins if b.any()]
    return {
        "gap": np.array([size[b].mean() for b in bins]),
        "right": np.array([right[b].mean() for b in bins]),
        "people": np.array([preferred(size[b]).mean() for b in bins]),
        "truth": np.array([truth[b].mean() for b in bins]),
        "pairs": np.array([float(b.sum()) for b in bins]),
    }


# ---------------------------------------------------------------------------------------------------- minimal pairs
def minimal_pairs(lab: Lab, seed: int) -> dict[str, list[tuple[Task, str, str]]]:
    """(task, better, worse): two answers that differ in one thing only, named by the key.

    "truth": a right answer and the same sentence with another thing of the same kind. "tone": a right answer with a
    warm opener or with a rude remark. "harm": a refusal, and the steps that were asked for.
    """
    rng, r, count = np.random.default_rng([seed, 32]), random.Random(seed), lab.pick(300, 30)
    world = village.world()
    out: dict[str, list[tuple[Task, str, str]]] = {"truth": [], "tone": [], "harm": []}
    for task in world.tasks("test", count, rng, kinds=["fact", "arithmetic", "translation", "explanation"]):
        template = r.choice(FORMS[task.relation].full)
        right, wrong = (sentence(template.format_map(slots)) for slots in (task.slots, mistake(world.facts, task, r)))
        out["truth"].append((task, right, wrong))
        out["tone"].append((task, f"{r.choice(WARM_OPENERS)} {right}", f"{r.choice(RUDE)} {right}"))
    for task in world.tasks("test", count, rng, kinds=["harmful"]):
        steps = sentence(r.choice(FORMS[task.relation].full).format_map(task.slots))
        out["harm"].append((task, r.choice(KIND_REFUSALS), steps))
    return out


def minimal_pair_accuracy(lab: Lab, seed: int, head: str | None = None) -> dict[str, float]:
    """For each kind of minimal pair, how often the seed's reward model scores the better answer higher."""
    reward_model = Model.load(village.reward(lab, seed, head=head), "score")
    share = {}
    for kind, triples in minimal_pairs(lab, seed).items():
        sides = [encoded(reward_model.tokenizer, task, text) for task, *both in triples for text in both]
        better, worse = reward_model.scores(sides).reshape(-1, 2).T
        share[kind] = pair_accuracy(better, worse)
    return share


# ------------------------------------------------------------------------------------------------------------ claims
@claim(
    22,
    "reward-learns-utility",
    "Does a reward model learn to rank answers as the true utility does?",
    knob="how many comparisons it learns from",
    metric="rank correlation with the utility, within prompts",
    arm="2500 pairs",
    control="150 pairs",
    expects="up",
    lesson=7,
    seeds=3,
)
def reward_learns_utility(seed: int, lab: Lab) -> dict[str, float]:
    """Reward models from 150, 600 and 2500 comparisons, on the same unseen answers."""
    return {f"{pairs} pairs": ranking(*answers_and_scores(lab, seed, pairs)) for pairs in PAIRS}


@claim(
    22,
    "reward-near-ceiling",
    "Does a reward model agree with people as often as is possible?",
    knob="who judges",
    metric="expected agreement with a label",
    arm="reward model",
    control="informed rater",
    expects="same",
    margin=0.03,
    lesson=7,
    seeds=3,
)
def reward_near_ceiling(seed: int, lab: Lab) -> dict[str, float]:
    """A reward model from 2500 comparisons, beside a rater who knows every utility."""
    learned, informed = agreement(*answers_and_scores(lab, seed, PAIRS[-1]))
    return {"reward model": learned, "informed rater": informed}


@claim(
    22,
    "tone-before-truth",
    "Does a reward model see tone better than truth?",
    knob="the one thing in which two answers differ",
    metric="how often the better one scores higher",
    arm="tone",
    control="truth",
    expects="up",
    lesson=7,
    seeds=3,
)
def tone_before_truth(seed: int, lab: Lab) -> dict[str, float]:
    """Pairs that differ in the truth, in the tone, or in whether harm is done, and in nothing else."""
    return minimal_pair_accuracy(lab, seed)


@claim(
    22,
    "likelihoods-show-truth",
    "Does a reward model see more of the truth if its head reads likelihoods?",
    knob="what the head reads",
    metric="how often the true one of two answers scores higher",
    arm="likelihoods too",
    control="the end token",
    expects="up",
    lesson=7,
    seeds=3,
)
def likelihoods_show_truth(seed: int, lab: Lab) -> dict[str, float]:
    """Two reward models from the same comparisons, on pairs that differ in the truth and in nothing else."""
    return {arm: minimal_pair_accuracy(lab, seed, head)["truth"] for arm, head in HEADS.items()}


@claim(
    26,
    "preferred-scores-higher",
    "Does a better answer score higher, and the surer the better it is?",
    knob="how far the utilities of two answers are apart",
    metric="how often the truly better one scores higher",
    arm="furthest apart",
    control="closest together",
    expects="up",
    lesson=7,
    seeds=3,
)
def preferred_scores_higher(seed: int, lab: Lab) -> dict[str, float]:
    """All pairs of unseen answers, by the gap of their utilities."""
    bins = by_gap(*answers_and_scores(lab, seed, PAIRS[-1]))
    return {"closest together": float(bins["right"][0]), "furthest apart": float(bins["right"][-1])}


@claim(
    26,
    "follows-the-sigmoid",
    "Is the reward model right as often as people are, whatever the gap?",
    knob="who judges",
    metric="how often the truly better answer is preferred, mean over five sizes of the gap",
    arm="reward model",
    control="people",
    expects="same",
    margin=0.05,
    lesson=7,
    seeds=3,
)
def follows_the_sigmoid(seed: int, lab: Lab) -> dict[str, float]:
    """People prefer the better of two answers with probability sigmoid(gap / temperature); the reward model?"""
    bins = by_gap(*answers_and_scores(lab, seed, PAIRS[-1]))
    return {"reward model": float(bins["right"].mean()), "people": float(bins["people"].mean())}
