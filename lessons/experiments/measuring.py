"""Measuring claims: run an experiment over its seeds, and keep its result."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import inspect
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from lessons.experiments import measured
from lessons.experiments.claim import CLAIMS, Claim, ClaimError, Finding, finding_from
from lessons.experiments.lab import Lab

FAST_SEEDS = 2  # seeds of a tiny run: enough for an interval, and for nothing else


def all_claims() -> list[Claim]:
    """Every claim of `measured/`, by number."""
    for module in sorted(pkgutil.iter_modules(measured.__path__), key=lambda m: m.name):
        importlib.import_module(f"{measured.__name__}.{module.name}")
    return sorted(CLAIMS.values(), key=lambda c: (c.number, c.slug))


def find_claim(slug: str) -> Claim:
    """The claim of that name; `ClaimError` with a suggestion if there is none."""
    known = {c.slug: c for c in all_claims()}
    if slug not in known:
        close = difflib.get_close_matches(slug, known, n=1)
        raise ClaimError(
            f"There is no claim {slug!r}; " + (f"did you mean {close[0]}?" if close else "see minipost claims list.")
        )
    return known[slug]


def measure(slug: str, lab: Lab | None = None, seeds: int | None = None) -> Finding:
    """The finding of a claim: its experiment over seeds 0, 1, ...; the laboratory keeps the result.

    `seeds` overrides the claim's own number (in fast mode two). A kept result is used only while the source file of its
    experiment is unchanged.
    """
    lab, claim = lab or Lab(), find_claim(slug)
    count = seeds or lab.pick(claim.seeds, FAST_SEEDS)
    config = {"seeds": count, "fast": lab.fast, "source": source_hash(claim)}

    def experiment(folder: Path) -> None:
        rows = [claim.experiment(seed, lab) for seed in range(count)]
        (folder / "rows.json").write_text(json.dumps([dict(row) for row in rows]) + "\n", encoding="utf-8")

    folder = lab.artefact(f"claim-{slug}", config, experiment)
    return finding_from(claim, json.loads((folder / "rows.json").read_text(encoding="utf-8")), lab.fast)


def measure_all(claims: Sequence[Claim], lab: Lab) -> dict[str, Finding]:
    """The findings of several claims, by slug."""
    return {c.slug: measure(c.slug, lab) for c in claims}


def source_hash(claim: Claim) -> str:
    """A hash of the file in which the experiment is written; comments and layout do not count."""
    source = inspect.getsource(inspect.getmodule(claim.experiment) or claim.experiment)
    return hashlib.sha256(ast.dump(ast.parse(source)).encode()).hexdigest()[:12]
