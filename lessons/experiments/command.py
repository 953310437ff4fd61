"""`python -m lessons experiments`, or `minipost claims`: list the claims, measure them, write the table of verdicts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lessons.experiments.claim import Claim, ClaimError, Finding
from lessons.experiments.lab import Lab
from lessons.experiments.measuring import all_claims, find_claim, measure, measure_all

DESCRIPTION = "The claims of post-training, each measured in the simulated world with several seeds and an interval."
EXAMPLES = """examples:
  {prog}                            every claim: number, name, question
  {prog} run triples-suffice        measure one claim, or read its result from the disk
  {prog} run --all --json all.json  measure all of them
  {prog} publish                    measure all of them and write docs/claims.md

MINIPOST_FAST=1 runs tiny settings. MINIPOST_LESSONS names the folder that keeps results and models."""
HEAD = """# The claims, measured

Each row is an experiment in the simulated world, where the true utility of every answer is known. Both arms of a seed
share everything but one knob; *effect* is the mean difference, with its 95 % interval over seeds (Student's t, paired).
*Confirmed* means that the whole interval agrees with the claim, *refuted* that none of it does, *inconclusive* all
else. `minipost claims run NAME` repeats a row; `minipost claims publish` writes this page.

How to read a claim: *A > B* says that arm A is above its control B, *A > B + m* by more than m, and *A = B ± m* that
they differ by less than m, which is the smallest difference that would matter. A refuted *A = B ± m* is a difference;
the sign of its effect says which way. *Inconclusive* is no evidence against a claim: most of these experiments have
three to ten seeds, and say only what so few can say. A verdict is about this small world; the lesson says what it may
mean beyond.

| # | Question | Claim | Metric | Effect | Seeds | Verdict | Lesson |
|-|-|-|-|-|-|-|-|
"""


def command(argv: Sequence[str], prog: str = "minipost claims") -> int:
    """`minipost claims ARGV`, or `python -m lessons experiments ARGV`: the help uses the name `prog`."""
    args = parser(prog).parse_args(list(argv))
    if args.action == "run":
        return _run(args.slugs, args.all, args.json)
    if args.action == "publish":
        return publish(args.docs)
    if args.json:
        _write(args.json, [_described(c) for c in all_claims()])
    for c in all_claims():
        print(f"{c.number:3}  {c.slug:28} {c.question}")
    return 0


def parser(prog: str = "minipost claims") -> argparse.ArgumentParser:
    """The arguments of `minipost claims` and of `python -m lessons experiments`."""
    parser = argparse.ArgumentParser(
        prog,
        description=DESCRIPTION,
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action", nargs="?", default="list", choices=["list", "run", "publish"], help="what to do (%(default)s)"
    )
    parser.add_argument("slugs", nargs="*", metavar="NAME", help="the names of claims to run")
    parser.add_argument("--all", action="store_true", help="run all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what is printed to this file")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where publish writes (%(default)s)")
    return parser


def _run(slugs: Sequence[str], everything: bool, file: Path | None) -> int:
    if bool(slugs) == everything:
        raise ClaimError("Name the claims to run, or say --all; minipost claims lists them.")
    lab, findings = Lab(), []
    for c in all_claims() if everything else [find_claim(slug) for slug in slugs]:
        finding = measure(c.slug, lab)
        print(f"{c.number:3}  {c.slug}: {finding}")
        for arm, values in finding.arms.items():
            print(f"       {arm:32} {finding.mean(arm):8.3f}   of {min(values):.3f} to {max(values):.3f}")
        findings.append(finding)
    if file:
        _write(file, [finding.to_dict() for finding in findings])
    return 0


def publish(docs: Path) -> int:
    """Measure every claim (or find its result) and write `docs/claims.md`, with the numbers in `docs/claims.json`."""
    lab = Lab()
    if lab.fast:
        raise ClaimError("MINIPOST_FAST=1 is set, and tiny settings decide nothing: unset it to publish findings.")
    if not docs.is_dir():
        raise ClaimError(f"There is no folder {docs} to publish to; run this at the project's top, or give --docs.")
    claims = all_claims()
    findings = measure_all(claims, lab)
    _write(docs / "claims.json", [findings[c.slug].to_dict() for c in claims])
    (docs / "claims.md").write_text(page(claims, findings), encoding="utf-8")
    print(f"{docs / 'claims.md'}: {len(claims)} claims")
    return 0


def page(claims: Sequence[Claim], findings: dict[str, Finding]) -> str:
    """The table of verdicts as a Markdown page."""
    return HEAD + "".join(_row(c, findings[c.slug]) for c in claims if c.slug in findings)


def _row(c: Claim, f: Finding) -> str:
    effect = f"{f.effect:+.2f} [{f.low:+.2f}, {f.high:+.2f}]".replace("-", "\N{MINUS SIGN}")
    cells = [
        str(c.number),
        f"{c.question} (`{c.slug}`)",
        c.expectation,
        c.metric,
        effect,
        str(len(f.arms[c.arm])),
        f"**{f.verdict}**",
        str(c.lesson),
    ]
    return f"| {' | '.join(cells)} |\n"


def _described(c: Claim) -> dict[str, Any]:
    return {
        "number": c.number,
        "slug": c.slug,
        "question": c.question,
        "knob": c.knob,
        "metric": c.metric,
        "arm": c.arm,
        "control": c.control,
        "expects": c.expects,
        "margin": c.margin,
        "seeds": c.seeds,
        "lesson": c.lesson,
    }


def _write(file: Path, data: object) -> None:
    """As JSON. A single seed's interval is infinite, which JSON lacks: it would be refused."""
    try:
        file.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ClaimError(f"Cannot write {file} ({error.strerror}); name a file in a folder that exists.") from None
