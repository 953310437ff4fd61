"""Labelers: people who rate answers with a known utility and a known amount of noise.

A labeler is a random-utility rater. What they feel about an answer y to x is

    V(x, y) = u(x, y) + T G,     G ~ Gumbel(0, 1), drawn anew for each look,

and a *comparison* reports which of two answers feels better. The difference of two Gumbel variables is logistic, so
this is exactly Bradley-Terry: P(a beats b) = sigmoid((u(a) - u(b)) / T) (McFadden 1974). A *score* reports offset +
scale V, with an offset that drifts as the labeler goes on; in a comparison the same offset, scale and drift cancel.
That is the sense in which comparing is easier and more consistent than scoring.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from minipost.world.tasks import Task
from minipost.world.utility import Utility

# A lapse of attention scores an answer as if it were any answer: utilities of fluent text lie about in this range.
_ANY_UTILITY = (-3.0, 5.0)


@dataclass
class Labeler:
    """A rater with a known utility.

    Attributes:
        utility: what the labeler likes.
        temperature: T > 0; the larger, the less consistent.
        noise: probability of a lapse of attention, in which a comparison is a coin toss and a score is any score.
        offset, scale: this labeler's own scale for scores.
        drift: what is added to the offset with every score given.
        scored: how many scores were given so far (the only state; comparisons have none).
    """

    utility: Utility
    temperature: float = 0.6
    noise: float = 0.0
    offset: float = 0.0
    scale: float = 1.0
    drift: float = 0.0
    scored: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}: choose it > 0; 0.01 is nearly noiseless.")
        if not 0.0 <= self.noise <= 1.0:
            raise ValueError(f"noise is {self.noise}: it is a probability, so choose it from 0 to 1.")
        if self.scale <= 0:
            raise ValueError(f"scale is {self.scale}: choose it > 0, or the labeler prefers the worse answer.")

    def probability(self, task: Task, a: str, b: str) -> float:
        """P(a beats b) = (1 - noise) sigmoid((u(a) - u(b)) / T) + noise / 2."""
        gap = (self.utility(task, a) - self.utility(task, b)) / self.temperature
        return (1.0 - self.noise) * _sigmoid(gap) + self.noise / 2.0

    def compare(self, task: Task, a: str, b: str, rng: np.random.Generator) -> bool:
        """True if the labeler prefers `a` this time."""
        return bool(rng.random() < self.probability(task, a, b))

    def score(self, task: Task, response: str, rng: np.random.Generator) -> float:
        """A score on the labeler's own, drifting scale: offset + drift * scored + scale * V."""
        value = self.utility(task, response) + self.temperature * float(rng.gumbel())
        if rng.random() < self.noise:
            value = float(rng.uniform(*_ANY_UTILITY))
        offset = self.offset + self.drift * self.scored
        self.scored += 1
        return offset + self.scale * value


def bayes_accuracy(rater: Labeler | Utility, triples: Iterable[tuple[Task, str, str]]) -> float:
    """Accuracy, against such labels, of a predictor that knows the utility: the mean of max(p, 1 - p).

    No reward model can do better in expectation. A bare `Utility` stands for its labeler at the default temperature.
    """
    labeler = rater if isinstance(rater, Labeler) else Labeler(rater)
    p = [labeler.probability(task, a, b) for task, a, b in triples]
    if not p:
        raise ValueError("bayes_accuracy got no pairs: give it at least one (task, a, b).")
    return float(np.mean([max(q, 1.0 - q) for q in p]))


def _sigmoid(x: float) -> float:
    # The exponent is never positive: no overflow.
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
