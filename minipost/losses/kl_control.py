"""The KL coefficient beta: fixed, or steered towards a target.

A fixed beta fixes the price of a nat of KL; what KL results depends on the reward's scale. The adaptive controller of
Ziegler et al. (2019, section 2.2) fixes the KL instead: a proportional controller in log beta, with a clipped error so
that one odd batch cannot move it far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MAX_ERROR = 0.2  # Ziegler's clip of the relative error


class KLControl(Protocol):
    """What a stage needs: `beta` now, and `update` after each batch of `n` responses with mean sequence KL `kl`."""

    @property
    def beta(self) -> float: ...

    def update(self, kl: float, n: int) -> None: ...


@dataclass
class FixedKL:
    """A constant `beta >= 0`."""

    beta: float

    def update(self, kl: float, n: int) -> None:
        """Nothing to learn from the KL."""


@dataclass
class AdaptiveKL:
    """`beta <- beta (1 + clip(KL / target - 1, +-0.2) n / horizon)`. Law P46.

    `target` is the wanted KL in nats a response; `horizon` the number of responses over which an error of 20 % moves
    beta by 20 %.
    """

    beta: float
    target: float
    horizon: float

    def __post_init__(self) -> None:
        if min(self.beta, self.target, self.horizon) <= 0:
            raise ValueError(f"AdaptiveKL: beta, target and horizon must be positive, got {self}.")

    def update(self, kl: float, n: int) -> None:
        if MAX_ERROR * n >= self.horizon:
            raise ValueError(
                f"AdaptiveKL: one batch of {n} responses with horizon {self.horizon:g} could turn beta negative; "
                f"use a horizon of at least {n}."
            )
        error = min(max(kl / self.target - 1, -MAX_ERROR), MAX_ERROR)
        self.beta *= 1 + error * n / self.horizon
