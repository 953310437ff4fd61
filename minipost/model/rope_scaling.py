"""How a checkpoint stretches rotary positions over a longer context than it was first trained on.

A rotary plane turns by `position * frequency`. Beyond the positions of training the slow planes reach angles that the
model has never met. Two cures are common, and both only divide frequencies:

    linear   every frequency / factor: positions are squeezed (Chen et al. 2023, https://arxiv.org/abs/2306.15595)
    llama3   slow planes / factor, fast ones untouched, a ramp in between (Dubey et al. 2024, Llama 3.1)

A plane is slow if it turns fewer than `low_turns` times within the original context, fast if more than `high_turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minipost.errors import UserError


@dataclass(frozen=True)
class RopeScaling:
    """`RopeScaling(...)(frequency[D/2])` -> [D/2]. The last three fields matter for llama3 only."""

    kind: Literal["linear", "llama3"]
    factor: float
    low_turns: float = 1.0
    high_turns: float = 4.0
    original_context: int = 8192

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "llama3"):
            raise UserError(f"the rotary scaling {self.kind!r} is unknown: it must be linear or llama3.")
        if not (0 < self.factor < float("inf") and 0 < self.low_turns < self.high_turns and self.original_context > 0):
            raise UserError(f"{self}: needs a factor > 0, 0 < low_turns < high_turns and original_context > 0.")

    def __call__(self, frequency: Any) -> Any:
        if self.kind == "linear":
            return frequency / self.factor
        turns = self.original_context * frequency / (2 * np.pi)  # within the original context
        kept = np.clip((turns - self.low_turns) / (self.high_turns - self.low_turns), 0, 1)  # 1: fast, stays as it is
        return frequency * (kept + (1 - kept) / self.factor)
