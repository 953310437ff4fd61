"""What is measured of a model: its answers to held-out prompts, by gold where a utility is known, by proxy where not.

    gold                    the true utility, which the simulated world knows of every answer
    correct                 share of harmless prompts that are answered right
    harmful compliance      share of harmful requests that are fulfilled
    malformed               share of answers with a word that nobody in the world would write
    needless refusal        share of harmless prompts that are declined
    proxy                   the reward model's mean score
    win rate                share of prompts on which gold or proxy prefers the answer to an independent one of SFT
    held-out loss           nats per token of held-out demonstrations: does it predict what people wrote?
    implicit accuracy       share of held-out pairs that log pi - log pi_SFT ranks as people did; chance is one half
    KL, length, end rate    how far the model has moved from SFT, and how its answers have changed

A model is asked three times: greedily (`correct`, `harmful_compliance`), at the temperature at which it is served
(`_served`, and everything without a suffix that is not a share of right or harmful answers: gold, wins, KL, length) and
at temperature 1 (`_t1`), which shows the whole distribution that was trained. Best-of-n has no greedy answer.

KL is the mean over served answers of `log pi(y) - log pi_SFT(y)`, both at the serving temperature, summed over tokens
(the k1 estimate, which is unbiased). PPO and best-of-N were made to please the reward model. If it prefers their
answers, that is no proof that people would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minipost.losses import best_of_n_kl_bound, pair_accuracy, wins
from minipost.model import SERVED_TEMPERATURE, Array, Model
from minipost.report.summary import CalibrationBin, Measure, ModelMeasures, RewardModelMeasures
from minipost.runs.intervals import mean_interval, share_interval
from minipost.stages.best_of_n import Candidates
from minipost.stages.pairs import EncodedPair, encode_pair
from minipost.text import Message, prompt_tokens
from minipost.text.batching import Example
from minipost.world import Labeler, Task, Utility, World, bayes_accuracy
from minipost.world.collect import Pair
from minipost.world.utility import Judgement


# ------------------------------------------------------------------------------------------------------------- answers
@dataclass(frozen=True)
class Answers:
    """One model's answers as it is served, one for each prompt, and what is known of them."""

    texts: list[str]
    ended: list[bool]
    lengths: list[int]  # tokens
    kl: float | None  # to the reference, nats per answer; None without one
    proxy: Array | None = None  # the reward model's scores [prompts]
    judgements: list[Judgement] = field(default_factory=list)  # by the world's utility
    greedy: list[Judgement] = field(default_factory=list)  # of the most likely answers to the same prompts
    t1: list[Judgement] = field(default_factory=list)  # of answers at temperature 1

    @property
    def gold(self) -> Array:
        """True utility [prompts]."""
        return np.array([j.total for j in self.judgements])


def ask(model: Model, tasks: Sequence[Task], utility: Utility, seed: int, reference: Model | None = None) -> Answers:
    """Let a model answer every task greedily, as it is served, and at temperature 1; all are judged by the utility."""
    prompts, rng = [t.prompt for t in tasks], np.random.default_rng([seed, 7])
    greedy, t1 = ([text for text, _ in model.answer(prompts, rng, temperature)] for temperature in (0.0, 1.0))
    answers, _ = _sample(model, prompts, rng, 64, reference)
    return judged(answers, tasks, utility, greedy, t1)


def ask_by_proxy(
    model: Model,
    reward_model: Model,
    prompts: Sequence[Sequence[Message]],
    seed: int,
    max_new_tokens: int,
    reference: Model,
) -> Answers:
    """Let a model answer every prompt as it is served; the reward model scores the answers."""
    answers, examples = _sample(model, prompts, np.random.default_rng([seed, 7]), max_new_tokens, reference)
    return replace(answers, proxy=reward_model.scores(examples))


def _sample(
    model: Model,
    prompts: Sequence[str | Sequence[Message]],
    rng: np.random.Generator,
    max_new_tokens: int,
    reference: Model | None,
) -> tuple[Answers, list[Example]]:
    """Answers at the serving temperature, also as tokens."""
    texts, sampled = zip(*model.answer(prompts, rng, SERVED_TEMPERATURE, max_new_tokens), strict=True)
    ids = [prompt_tokens(model.tokenizer, prompt) for prompt in prompts]
    examples = [Example(p, s.tokens) for p, s in zip(ids, sampled, strict=True)]
    kl = None
    if reference is not None:
        ref_logps = reference.logps(examples, temperature=SERVED_TEMPERATURE)
        kl = float(np.mean([s.logps.sum() for s in sampled]) - ref_logps.mean())
    return Answers(list(texts), [s.ended for s in sampled], [len(s.tokens) for s in sampled], kl), examples


def picked(candidates: Sequence[Candidates]) -> Answers:
    """Best-of-n as a model: its answers are those that the reward model picks. None of them is a greedy one."""
    picks = [(c.texts[c.pick], c.ended[c.pick], c.lengths[c.pick], c.proxy[c.pick]) for c in candidates]
    texts, ended, lengths, proxy = zip(*picks, strict=True)
    kl = best_of_n_kl_bound(len(candidates[0].texts))
    return Answers(list(texts), list(ended), list(lengths), kl, np.array(proxy))


def judged(
    answers: Answers, tasks: Sequence[Task], utility: Utility, greedy: Sequence[str] = (), t1: Sequence[str] = ()
) -> Answers:
    """The same answers with the utility's judgements, and those of greedy answers and of answers at temperature 1."""

    def judge(texts: Sequence[str]) -> list[Judgement]:
        return [utility.judge(task, text) for task, text in zip(tasks, texts, strict=True)] if texts else []

    return replace(answers, judgements=judge(answers.texts), greedy=judge(greedy), t1=judge(t1))


def held_out_tasks(world: World, count: int, seed: int) -> list[Task]:
    """Prompts on combinations that no demonstration and no comparison has used."""
    return world.tasks("test", count, np.random.default_rng([seed, 8]))


# ------------------------------------------------------------------------------------------------------------- a model
def measure(tasks: Sequence[Task], answers: Answers, rival: Answers | None = None) -> ModelMeasures:
    """A model by gold; `rival` are SFT's answers, for the win rate (ties half)."""
    gold, served, greedy, t1 = answers.gold, answers.judgements, answers.greedy, answers.t1
    harmful = np.array([t.harmful for t in tasks])
    every = np.ones(len(tasks), bool)
    complied = share([bool(j.complied) for j in served], harmful)
    measures: ModelMeasures = {
        "gold_mean": float(gold.mean()),
        "gold_ci95": mean_interval(gold),
        "correct": share([j.right for j in greedy], ~harmful),
        "correct_served": share([j.right for j in served], ~harmful),
        "correct_t1": share([j.right for j in t1], ~harmful),
        "malformed_served": share([j.malformed for j in served], every),
        "malformed_t1": share([j.malformed for j in t1], every),
        "harmful_compliance": share([bool(j.complied) for j in greedy], harmful),
        "harmful_compliance_served": complied,
        "harmful_compliance_served_ci95": None
        if complied is None
        else list(share_interval(complied, int(harmful.sum()))),
        "harmful_compliance_t1": share([bool(j.complied) for j in t1], harmful),
        "needless_refusal_served": share([j.refused for j in served], ~harmful),
        "end_rate": float(np.mean(answers.ended)),
        "mean_length": float(np.mean(answers.lengths)),
        "kl_to_sft": None if answers.kl is None or np.isnan(answers.kl) else answers.kl,
        "by_kind": {},
    }
    if rival is not None:
        won = wins(gold, rival.gold)
        measures |= {"win_rate_vs_sft": float(won.mean()), "win_rate_ci95": mean_interval(won)}
    greedily, as_served = (
        [not j.complied if t.harmful else j.right for t, j in zip(tasks, judgements, strict=False)]
        for judgements in (greedy, served)
    )
    for kind in sorted({t.kind for t in tasks}):
        of_kind = np.array([t.kind == kind for t in tasks])
        measures["by_kind"][kind] = {
            "gold_mean": float(gold[of_kind].mean()),
            "correct": share(greedily, of_kind),
            "correct_served": share(as_served, of_kind),
            "n": int(of_kind.sum()),
        }
    return measures


def measure_by_proxy(answers: Answers, rival: Answers) -> ModelMeasures:
    """A model by proxy, under the same keys: what only a utility could know is None."""
    assert answers.proxy is not None and rival.proxy is not None, "answers without scores"
    won = wins(answers.proxy, rival.proxy)
    return {
        "gold_mean": None,
        "gold_ci95": None,
        "win_rate_vs_sft": None,
        "win_rate_ci95": None,
        "correct": None,
        "correct_served": None,
        "correct_t1": None,
        "malformed_served": None,
        "malformed_t1": None,
        "harmful_compliance": None,
        "harmful_compliance_served": None,
        "harmful_compliance_t1": None,
        "needless_refusal_served": None,
        "by_kind": {},
        "proxy_mean": float(answers.proxy.mean()),
        "proxy_ci95": mean_interval(answers.proxy),
        "proxy_win_rate_vs_sft": float(won.mean()),
        "proxy_win_rate_ci95": mean_interval(won),
        "end_rate": float(np.mean(answers.ended)),
        "mean_length": float(np.mean(answers.lengths)),
        "kl_to_sft": answers.kl,
    }


def point(measures: ModelMeasures, by: Measure) -> dict[str, Any]:
    """A model's place on the plane of gold or proxy over KL."""
    row: Mapping[str, Any] = measures
    return {"kl": max(0.0, row["kl_to_sft"] or 0.0), by: row[f"{by}_mean"], f"{by}_ci95": row[f"{by}_ci95"]}


def held_out_loss(model: Model, demonstrations: Sequence[Example]) -> ModelMeasures:
    """Loss in nats per response token, end tokens included, and its exponential."""
    tokens = sum(len(e.response) for e in demonstrations)
    loss = float(-model.logps(demonstrations).sum()) / tokens
    return {"heldout_loss": loss, "perplexity": float(np.exp(loss))}


def implicit_accuracy(model: Model, reference: Model, pairs: Sequence[EncodedPair]) -> ModelMeasures:
    """How often the reward that a policy implies, log pi - log ref (Rafailov et al. 2023), ranks a pair right."""
    examples = [example for pair in pairs for example in pair]
    rewards = (model.logps(examples) - reference.logps(examples)).reshape(-1, 2)
    accuracy, interval = share_ranked_right(rewards[:, 0] - rewards[:, 1])
    return {"implicit_accuracy": accuracy, "implicit_accuracy_ci95": interval}


def share(flags: Sequence[bool], among: Array) -> float | None:
    """The share of true flags among the selected; None if none is selected, or there are no flags at all."""
    selected: Array = np.asarray(flags)[among] if len(flags) else np.zeros(0)
    return float(selected.mean()) if len(selected) else None


# ---------------------------------------------------------------------------------------------------- the reward model
def reward_model_accuracy(
    reward_model: Model, pairs: Sequence[tuple[Task, Pair]], labeler: Labeler, rng: np.random.Generator
) -> RewardModelMeasures:
    """The reward model on the labeler's comparisons, beside a rater who knows the utility.

    `expected_accuracy` counts how often the labeler would choose the same if asked again, `truth_accuracy` how often
    the reward model prefers the right answer where the other one is wrong.
    """
    chosen, rejected = _scores(reward_model, [encode_pair(reward_model.tokenizer, pair) for _, pair in pairs])
    triples = [(task, pair.chosen, pair.rejected) for task, pair in pairs]
    utility = labeler.utility
    right = np.array([[utility.judge(t, text).right for text in (a, b)] for t, a, b in triples]).reshape(-1, 2)
    differ = right[:, 0] != right[:, 1]
    truthful = np.where(right[:, 0], chosen > rejected, rejected > chosen)
    again = np.array([labeler.probability(*triple) for triple in triples])  # that the winner wins again
    return {
        "pair_accuracy": pair_accuracy(chosen, rejected),
        "expected_accuracy": float(np.mean(np.where(chosen - rejected > 0, again, 1 - again))),
        "bayes_accuracy": bayes_accuracy(labeler, triples),
        "truth_accuracy": share(list(truthful), differ),
        "truth_pairs": int(differ.sum()),
        "pairs": len(pairs),
        "calibration": calibration(chosen - rejected, rng),
    }


def reward_model_accuracy_on_files(
    reward_model: Model, pairs: Sequence[EncodedPair], rng: np.random.Generator
) -> RewardModelMeasures:
    """The reward model on people's comparisons, beside chance and the simplest rule: the longer answer wins."""
    chosen, rejected = _scores(reward_model, pairs)
    accuracy, interval = share_ranked_right(chosen - rejected)
    longer, longer_interval = share_ranked_right(np.array([len(c.response) - len(r.response) for c, r in pairs]))
    return {
        "pair_accuracy": accuracy,
        "pair_accuracy_ci95": interval,
        "longer_wins": longer,
        "longer_wins_ci95": longer_interval,
        "chance": 0.5,
        "expected_accuracy": None,
        "bayes_accuracy": None,
        "pairs": len(pairs),
        "calibration": calibration(chosen - rejected, rng),
    }


def _scores(reward_model: Model, pairs: Sequence[EncodedPair]) -> tuple[Array, Array]:
    """Scores of the chosen and of the rejected answers, [pairs] each."""
    return reward_model.scores([c for c, _ in pairs]), reward_model.scores([r for _, r in pairs])


def share_ranked_right(margins: Array) -> tuple[float, list[float]]:
    """The share of positive margins, ties half, with its 95 % interval."""
    accuracy = float(wins(margins, 0.0).mean())
    return accuracy, list(share_interval(accuracy, len(margins)))


def calibration(margins: Array, rng: np.random.Generator, bins: int = 8) -> list[CalibrationBin]:
    """Predicted against observed wins, each pair shown in a random order."""
    flip = rng.random(len(margins)) < 0.5
    margin, won = np.where(flip, -margins, margins), ~flip
    return [
        {
            "margin": float(margin[ids].mean()),
            "predicted": float(np.mean(1 / (1 + np.exp(-margin[ids])))),
            "empirical": float(won[ids].mean()),
            "n": len(ids),
        }
        for ids in np.array_split(np.argsort(margin), min(bins, len(margin)))
    ]
