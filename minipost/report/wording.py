"""How a number is written, once for the page, the terminal and the figures.

A number that is missing, None, NaN or infinite is written as a dash: a tiny run may lack any measurement, and a
report of it should say so rather than fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from minipost.report.rows import finite
from minipost.report.summary import MODELS

DASH = "–"


def number(value: object, digits: int = 2, sign: bool = False) -> str:
    """`1.234` as `1.23`; with `sign`, as `+1.23`. The minus is a true minus sign."""
    x = finite(value)
    if x is None:
        return DASH
    text = f"{x:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "").replace("+", "")
    return text.replace("-", "\N{MINUS SIGN}")


def percent(value: object) -> str:
    """A fraction as per cent: `0.683` as `68 %`, with a narrow no-break space."""
    x = finite(value)
    return DASH if x is None else f"{number(100 * x, 0)}\N{NARROW NO-BREAK SPACE}%"


def interval(bounds: Sequence[float] | None, digits: int = 2) -> str:
    """`[low, high]`, or an empty string where there is none."""
    return f"[{number(bounds[0], digits)}, {number(bounds[1], digits)}]" if bounds else ""


def percent_interval(bounds: Sequence[float] | None) -> str:
    """`[61, 74]`: an interval of fractions in per cent, without the sign."""
    return interval((100 * bounds[0], 100 * bounds[1]), 0) if bounds else ""


def with_interval(value: str, bounds: str) -> str:
    """`1.23 [1.10, 1.36]`, or the value alone where there is no interval."""
    return f"{value} {bounds}".strip()


def duration(value: object) -> str:
    """Seconds as a person says them: `4.2 s`, `48 s`, `3 min 20 s`, `1 h 05 min`."""
    x = finite(value)
    if x is None:
        return DASH
    if x < 10:
        return f"{x:.1f} s"
    whole = round(x)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def label(model: str) -> str:
    """A model's name as people write it: `best_of_n` as `Best-of-n`."""
    return MODELS.get(model, model.replace("_", " ").capitalize())


def listing(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
