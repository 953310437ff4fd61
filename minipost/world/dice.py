"""Dice: a random number generator that keeps account of how much chance it has handed out.

A page of the web is a function of the dice that its author threw, so its surprisal is at most that of the throws:

    H(page) <= H(throws),     with equality if the throws can be read off the page.

Nearly all of them can (which country, which phrasing, which typo), so `nats` per token is close to the web's entropy,
which is the floor of any language model's loss (Shannon 1951 had to ask people to guess letters).
"""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import Any


class Dice(random.Random):
    """`random.Random` with `nats`: minus the log-probability of all that came out so far.

    A throw of `random()` costs nothing until it is compared: what one learns from `r.random() < 0.3` is that, and not
    fifty binary digits.

    >>> dice = Dice(0)
    >>> [dice.choice("abcd"), dice.random() < 0.5][0] in "abcd"
    True
    >>> round(dice.nats, 4) == round(math.log(4) + math.log(2), 4)
    True
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.nats = 0.0

    def random(self) -> float:
        return Throw(super().random(), self)

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


class Throw(float):
    """A uniform number of which only comparisons become known: it lies in [low, high) so far."""

    dice: Dice
    low: float
    high: float

    def __new__(cls, value: float, dice: Dice) -> Throw:
        throw = super().__new__(cls, value)
        throw.dice, throw.low, throw.high = dice, 0.0, 1.0
        return throw

    def __lt__(self, other: float) -> bool:
        below = float(self) < other
        if self.low < other < self.high:
            before = self.high - self.low
            if below:
                self.high = other
            else:
                self.low = other
            self.dice.nats -= math.log((self.high - self.low) / before)
        return below

    def __ge__(self, other: float) -> bool:
        return not self < other

    def __gt__(self, other: float) -> bool:  # equality has probability 0
        return not self < other

    def __le__(self, other: float) -> bool:
        return self < other
