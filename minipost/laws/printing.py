"""What the judge found, as text that can be checked by hand and as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minipost.laws.law import Broken, Call, Case, Law, Verdict
from minipost.laws.sandbox import same

INDENT = " " * 8
RELATIONS = {"==": "should be", ">=": "should be at least", "<=": "should be at most"}


def verdict_lines(verdict: Verdict) -> list[str]:
    """A headline, one line for each law, and the counterexample below each broken one."""
    broken = {b.law: b for b in verdict.broken}
    lines = [f"{verdict.target}  {verdict.candidate}  ({verdict.framework})"]
    for law in verdict.laws:
        if law.name in broken:
            lines += [f"  BROKEN  {statement(law)}", *counterexample_lines(broken[law.name])]
        elif law.name in verdict.unjudged:
            lines.append(f"  -       {law.name:<8} not judged: {verdict.unjudged[law.name]}")
        else:
            lines.append(f"  ok      {statement(law)}")
    return lines


def statement(law: Law | Broken) -> str:
    """A law on one line: name, words, symbols."""
    name = law.name if isinstance(law, Law) else law.law
    return f"{name:<8} {law.says}: {law.formula}"


def counterexample(broken: Broken) -> str:
    """A broken law and its counterexample: what pytest shows."""
    source = f"  [{broken.source}]" if broken.source else ""
    return "\n".join([f"{statement(broken)}{source}", *counterexample_lines(broken)])


def counterexample_lines(broken: Broken) -> list[str]:
    """The calls, then what came back and what should have."""
    lines: list[str] = []
    first: Case | None = None
    for call in broken.calls:
        lines += _call_lines(call, first)
        first = first or call.case
    false = broken.assertion
    if isinstance(false.should, str):  # a breach of the contract
        return [*lines, f"{INDENT}{false.what}: {show(false.got)}", f"{INDENT}it should give {false.should}"]
    return [
        *lines,
        f"{INDENT}{false.what}",
        f"{INDENT}    is         {show(false.got, false.where)}",
        f"{INDENT}    {RELATIONS[false.relation]}  {show(false.should, false.where)}",
        *([f"{INDENT}source: {broken.source}"] if broken.source else []),
    ]


def _call_lines(call: Call, first: Case | None) -> list[str]:
    """The arguments, of a later call only those that differ from the first's, and what came back."""
    arguments = call.case.arguments
    if first is not None:
        arguments = {name: value for name, value in arguments.items() if not _alike(value, first.arguments.get(name))}
    width = max(map(len, arguments), default=0)
    head = "called with" if first is None else "and with" if arguments else "and again with the same"
    lines = [f"{INDENT}{head}", *(f"{INDENT}    {name:<{width}} = {show(value)}" for name, value in arguments.items())]
    if call.returned is None:
        return lines
    if call.gradient:
        return [*lines, *(f"{INDENT}  gradient of {name}: {show(g)}" for name, g in call.returned.items())]
    return [*lines, f"{INDENT}  returned {show(call.returned)}"]


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return same(a, b)
    return type(a) is type(b) and bool(np.all(a == b))


def show(value: Any, where: Any = True) -> str:
    """A number or an array on one line, with what is unusual about it; a dot where an element is not judged."""
    if isinstance(value, tuple):
        return " and ".join(show(part) for part in value)
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.ndim == 0:
        return _number(array[()])
    judged = np.broadcast_to(np.asarray(where), array.shape)
    text = _nested(array, judged)
    notes = [str(array.dtype)] if array.dtype not in (np.float64, np.int64, np.bool_) else []
    notes += [] if array.flags.c_contiguous else ["not contiguous"]
    return f"{text}  ({', '.join(notes)})" if notes else text


def _nested(array: Any, judged: Any) -> str:
    if array.ndim == 0:
        return _number(array[()]) if judged else "."
    if len(array) > 12:
        parts = [_nested(array[i], judged[i]) for i in (0, 1, 2, -2, -1)]
        return "[" + ", ".join([*parts[:3], "...", *parts[3:]]) + f"] ({len(array)} of them)"
    return "[" + ", ".join(_nested(a, j) for a, j in zip(array, judged, strict=True)) + "]"


def _number(x: Any) -> str:
    if not isinstance(x, float | np.floating):
        return str(x)
    number = float(x)
    return f"{number:.1f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.10g}"


# ----------------------------------------------------------------------------------------------------------------- JSON
def as_json(verdict: Verdict) -> dict[str, Any]:
    """What `--json` writes of one target. Numbers that JSON does not have become the texts "nan", "inf", "-inf"."""
    about = {
        name: getattr(verdict, name) for name in ("target", "candidate", "framework", "max_examples", "seed", "holds")
    }
    return {**about, "laws": [_law(law, verdict) for law in verdict.laws]}


def _law(law: Law, verdict: Verdict) -> dict[str, Any]:
    broken = next((b for b in verdict.broken if b.law == law.name), None)
    status = "broken" if broken else "unjudged" if law.name in verdict.unjudged else "held"
    row: dict[str, Any] = {
        "law": law.name,
        "status": status,
        "says": law.says,
        "formula": law.formula,
        "source": law.source,
    }
    if status == "unjudged":
        row["why"] = verdict.unjudged[law.name]
    if broken:
        row["counterexample"] = _evidence(broken)
    return row


def _evidence(broken: Broken) -> dict[str, Any]:
    calls = [
        {"arguments": _plain(call.case.arguments), "gradients" if call.gradient else "returned": _plain(call.returned)}
        for call in broken.calls
    ]
    false = broken.assertion
    return {
        "calls": calls,
        "what": false.what,
        "relation": RELATIONS[false.relation],
        "got": _plain(false.got),
        "should": _plain(false.should),
    }


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers that JSON lacks as texts."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
