"""Candidates: several answers of one model to each held-out prompt, with what the true utility says of them.

Sampled and judged once, they serve every experiment that only *reads* answers: a reward model's agreement with people,
best-of-N with any number of answers and any reward model. T tasks, N answers each:

    found = candidates(lab, village.sft(lab, seed), seed)
    proxy = scored(lab, village.reward(lab, seed), found)        # [T, N], in units of the utility
    found.gold                                                   # [T, N]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lessons.experiments import village
from lessons.experiments.lab import Lab
from minipost.model import SERVED_TEMPERATURE, Model
from minipost.text import Tokenizer, prompt_tokens, response_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility

Floats: TypeAlias = npt.NDArray[np.float64]
TERMS = ("correct", "tone", "length", "form")  # of the utility, kept beside its total
LABELER_TEMPERATURE = 0.6  # of the world's labelers: one logit of a reward model is worth this much utility


@dataclass(frozen=True)
class Candidates:
    """N answers to each of T tasks: `texts` and their utility `gold`, both [T, N], and the utility's `terms`."""

    name: dict[str, Any]  # the configuration that determines all of it
    tasks: list[Task]
    texts: npt.NDArray[np.str_]
    gold: Floats
    terms: dict[str, Floats]

    def pairs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(task, first, second), each [M]: all pairs of different answers to the same task."""
        T, N = self.texts.shape
        first, second = np.triu_indices(N, 1)
        task = np.repeat(np.arange(T), len(first))
        first, second = np.tile(first, T), np.tile(second, T)
        differ = self.texts[task, first] != self.texts[task, second]
        return task[differ], first[differ], second[differ]


def candidates(
    lab: Lab, model: Path, seed: int = 0, tasks: int = 120, count: int = 16, temperature: float = SERVED_TEMPERATURE
) -> Candidates:
    """`count` answers of `model` to each of `tasks` held-out prompts, sampled at `temperature` (0 is greedy)."""
    asked, count = village.tasks(lab, tasks, seed), lab.pick(count, min(count, 4))
    name = {"model": model, "seed": seed, "tasks": len(asked), "count": count, "temperature": temperature}

    def make() -> dict[str, npt.ArrayLike]:
        writer, utility = Model.load(model), Utility(village.world())
        rng = np.random.default_rng([seed, 31])
        prompts = [t.prompt for t in asked for _ in range(count)]
        texts = [text for text, _ in writer.answer(prompts, rng, temperature)]
        judged = [utility.judge(asked[i // count], text) for i, text in enumerate(texts)]
        numbers: dict[str, npt.ArrayLike] = {"texts": np.array(texts).reshape(-1, count)}
        for term in ("total", *TERMS):
            numbers[term] = np.array([getattr(j, term) for j in judged]).reshape(-1, count)
        return numbers

    stored = lab.numbers("candidates", name, make, lab.pick("10 s", "1 s"))
    return Candidates(name, asked, stored["texts"], stored["total"], {term: stored[term] for term in TERMS})


def scored(lab: Lab, judge: Path, found: Candidates) -> Floats:
    """What the reward model in `judge` says of all candidates, [T, N].

    A Bradley-Terry fit is in logits of the labelers' choices, and their choices are sigmoid(gap / temperature). Times
    the labelers' temperature it is in the units of the utility, with a constant a prompt that means nothing.
    """

    def make() -> dict[str, npt.ArrayLike]:
        reader = Model.load(judge, "score")
        asked = [task for task in found.tasks for _ in range(found.texts.shape[1])]
        examples = [encoded(reader.tokenizer, t, text) for t, text in zip(asked, found.texts.ravel(), strict=True)]
        return {"proxy": reader.scores(examples).astype(np.float64).reshape(found.texts.shape)}

    stored = lab.numbers("scores", {"judge": judge, **found.name}, make, lab.pick("3 s", "1 s"))
    return LABELER_TEMPERATURE * stored["proxy"]


def encoded(tokenizer: Tokenizer, task: Task, text: str) -> Example:
    """A prompt with an answer, as a reward model reads it."""
    return Example(prompt_tokens(tokenizer, task.prompt), response_tokens(tokenizer, text))


def preferred(gap: npt.ArrayLike) -> Floats:
    """The share of labelers who prefer the first of two answers whose utilities differ by `gap`."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(gap) / LABELER_TEMPERATURE)), np.float64)
