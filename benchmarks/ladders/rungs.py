"""What a ladder is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rung:
    """One attempt: what was tried, and why it helped or did not. `kept` is False for a failed attempt."""

    name: str
    run: Callable[..., Any]
    idea: str
    kept: bool = True


@dataclass(frozen=True)
class Ladder:
    """A kernel's attempts in the order of their trial; the first is the reference, the last the package's kernel."""

    name: str
    make_inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    rungs: tuple[Rung, ...]
