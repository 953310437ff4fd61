"""A random number generator that counts the entropy of what it has handed out.

A page of the web is a function of its author's random draws, so its surprisal is at most that of the draws:

    H(page) <= H(draws),     with equality if the draws can be read off the page.

Nearly all of them can (which country, which phrasing, which typo), so `nats` per token is close to the web's entropy,
which is the floor of any language model's loss (Shannon 1951 had to ask people to guess letters).
"""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import Any


class CountingRNG(random.Random):
    """`random.Random` with `nats`: minus the log-probability of all that came out so far.

    A draw of `random()` costs nothing until it is compared: `r.random() < 0.3` tells one yes or no, and not fifty
    binary digits.

    >>> rng = CountingRNG(0)
    >>> [rng.choice("abcd"), rng.random() < 0.5][0] in "abcd"
    True
    >>> round(rng.nats, 4) == round(math.log(4) + math.log(2), 4)
    True
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.nats = 0.0

    def random(self) -> float:
        return Draw(super().random(), self)

    def _randbelow(self, n: int) -> int:
        """One of n equally likely numbers: `choice`, `sample`, `shuffle`, `randrange` and `randint` all come here."""
        self.nats += math.log(n)
        return int(float(super().random()) * n)

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        """As `random.Random.choices`; each costs minus the log of its share."""
        edges = list(cum_weights or accumulate(weights or [1.0] * len(population)))
        chosen = []
        for _ in range(k):
            at = float(super().random()) * edges[-1]
            i = next(i for i, edge in enumerate(edges) if at < edge)
            self.nats -= math.log((edges[i] - (edges[i - 1] if i else 0.0)) / edges[-1])
            chosen.append(population[i])
        return chosen


class Draw(float):
    """A uniform number of which only comparisons become known: it lies in [low, high) so far."""

    rng: CountingRNG
    low: float
    high: float

    def __new__(cls, value: float, rng: CountingRNG) -> Draw:
        draw = super().__new__(cls, value)
        draw.rng, draw.low, draw.high = rng, 0.0, 1.0
        return draw

    def __lt__(self, other: float) -> bool:
        below = float(self) < other
        if self.low < other < self.high:
            before = self.high - self.low
            if below:
                self.high = other
            else:
                self.low = other
            self.rng.nats -= math.log((self.high - self.low) / before)
        return below

    def __ge__(self, other: float) -> bool:
        return not self < other

    def __gt__(self, other: float) -> bool:  # equality has probability 0
        return not self < other

    def __le__(self, other: float) -> bool:
        return self < other
