"""Rows of measurements as they come: plain mappings, in which anything may be missing, None or not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minipost.report.summary import Rows

Floats = npt.NDArray[np.float64]


def finite(value: object) -> float | None:
    """`value` as a float if it is a finite number, else None."""
    if not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def shares(histogram: Mapping[str, Any] | None) -> dict[str, float]:
    """A histogram's finite entries as shares of 1. Counts are divided by their sum; where shares lack something to 1,
    the rest is `other`, so that no bar and no sentence hides what was not classified.

    >>> shares({"yes": 0.5, "no": 0.25})
    {'yes': 0.5, 'no': 0.25, 'other': 0.25}
    >>> shares({"yes": 3, "no": 1})
    {'yes': 0.75, 'no': 0.25, 'other': 0.0}
    """
    known = {name: max(x, 0.0) for name, value in (histogram or {}).items() if (x := finite(value)) is not None}
    if not known:
        return {}
    total = max(sum(known.values()), 1.0)
    part = {name: value / total for name, value in known.items()}
    rest = 1.0 - sum(part.values())
    return {**part, "other": part.get("other", 0.0) + (rest if rest > 1e-9 else 0.0)}


def complete(rows: Rows | None, *keys: str) -> list[Mapping[str, Any]]:
    """The rows that have a finite number under every key; no rows are an empty list."""
    return [row for row in rows or () if all(finite(row.get(key)) is not None for key in keys)]


def column(rows: Rows, key: str) -> Floats:
    """One key of all rows [N]."""
    return np.array([float(row[key]) for row in rows])
