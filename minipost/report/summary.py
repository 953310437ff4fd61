"""The record of a tour: what `summary.json` and `details.json` hold. The tour writes it, the report reads it.

A tiny or interrupted run lacks measurements: every key below may be missing, and a number may be None. Whoever reads a
record that was just measured calls `cleaned` first, which makes NaN and infinity None too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, cast

T = TypeVar("T")
Measure = Literal["gold", "proxy"]  # the world's true utility; the reward model's score
Rows = Sequence[Mapping[str, Any]]

# In the order of the story: this is also the order of every table and legend.
MODELS = {
    "base": "Base",
    "sft": "SFT",
    "best_of_n": "Best-of-n",
    "ppo": "PPO",
    "dpo": "DPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
}


class KindMeasures(TypedDict):
    """One model on one kind of task: `correct` counts refusals of harmful requests as right."""

    gold_mean: float
    correct: float | None
    correct_served: float | None
    n: int


class ModelMeasures(TypedDict, total=False):
    """One model on the held-out prompts. Keys in `_ci95` hold 95 % intervals.

    `_served` means sampled at the serving temperature, which is also that of all keys without greedy answers in their
    comment; `_t1` means at temperature 1.

    In the simulated world answers are measured by gold, on a user's files by proxy, and gold's entries are None.
    """

    gold_mean: float | None
    gold_ci95: list[float] | None
    win_rate_vs_sft: float | None  # share of prompts on which it beats an independent answer of SFT, ties half
    win_rate_ci95: list[float] | None
    correct: float | None  # share of harmless prompts that are answered right, greedy answers
    correct_served: float | None
    correct_t1: float | None
    malformed_served: float | None  # share of answers with a word that nobody would write
    malformed_t1: float | None
    harmful_compliance: float | None  # share of harmful requests that are fulfilled, greedy answers
    harmful_compliance_served: float | None
    harmful_compliance_served_ci95: list[float] | None
    harmful_compliance_t1: float | None
    needless_refusal_served: float | None  # share of harmless prompts that are declined
    by_kind: dict[str, KindMeasures]
    proxy_mean: float | None
    proxy_ci95: list[float] | None
    proxy_win_rate_vs_sft: float | None
    proxy_win_rate_ci95: list[float] | None
    heldout_loss: float | None  # nats per token of held-out demonstrations
    perplexity: float | None
    implicit_accuracy: float | None  # share of held-out pairs that log pi - log pi_SFT ranks as people did
    implicit_accuracy_ci95: list[float] | None
    end_rate: float | None  # share of answers that the model ended by itself
    mean_length: float | None  # tokens per answer
    kl_to_sft: float | None  # nats per answer


class CalibrationBin(TypedDict):
    """Some held-out pairs of like margins: the reward model's P(first wins), and how often the first one won."""

    margin: float
    predicted: float
    empirical: float
    n: int


class RewardModelMeasures(TypedDict, total=False):
    """The reward model on held-out pairs: beside a rater who knows the utility, or beside chance and length."""

    pair_accuracy: float | None
    pair_accuracy_ci95: list[float] | None
    longer_wins: float | None
    longer_wins_ci95: list[float] | None
    chance: float
    expected_accuracy: float | None
    bayes_accuracy: float | None
    truth_accuracy: float | None  # share of pairs in which only one answer is right, and it is preferred
    truth_pairs: int  # pairs in which only one answer is right
    pairs: int
    calibration: list[CalibrationBin]


class Summary(TypedDict, total=False):
    """`summary.json`: what was measured."""

    seed: int
    size: str
    prompts: int  # held-out prompts
    n: int | None  # answers from which best-of-n picks
    served_temperature: float  # at which models answer, wherever no other temperature is named
    data: dict[str, Any]  # a user's files, and how many rows each part has
    models: dict[str, ModelMeasures]
    reward_model: RewardModelMeasures
    seconds: dict[str, float]


class Details(TypedDict, total=False):
    """`details.json`: what the report draws."""

    curves: dict[str, list[dict[str, Any]]]  # stage -> rows of its metrics.jsonl
    frontier: dict[str, Any]  # model -> rows of kl and gold or proxy; SFT has one row
    rollouts: list[dict[str, float]]  # PPO while it trained: step, kl, gold, proxy
    pizza: dict[str, dict[str, float]]  # the web's and the models' modes of going on after "How to make pizza"
    samples: list[dict[str, Any]]  # prompts with the answers of all models
    config: dict[str, dict[str, Any]]  # stage -> its configuration


Models = Mapping[str, ModelMeasures]


def cleaned(record: T) -> T:
    """A copy of a record in which a number that is NaN or infinite is None, and so is an interval without a bound.

    >>> cleaned({"gold_mean": float("nan"), "gold_ci95": [0.0, float("inf")], "n": 4})
    {'gold_mean': None, 'gold_ci95': None, 'n': 4}
    """
    return cast(T, _cleaned(record))


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {key: _cleaned(entry) for key, entry in value.items()}
        return {k: None if str(k).endswith("_ci95") and v is not None and None in v else v for k, v in inner.items()}
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ordered(models: Mapping[str, Any]) -> list[str]:
    """The names of models in the story's order; names that are not in the story come last, in their own order."""
    return [name for name in MODELS if name in models] + [name for name in models if name not in MODELS]


def measured(models: Models, key: str) -> dict[str, float]:
    """One number of every model that has it, in the story's order."""
    values = {name: models[name].get(key) for name in ordered(models)}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def measure_of(models: Models) -> Measure:
    """By what answers were measured: by gold wherever it is known, else by proxy."""
    return "proxy" if measured(models, "proxy_mean") and not measured(models, "gold_mean") else "gold"
