"""`minipost laws`: judge an implementation of a loss, this package's or anyone's, and name every law that it breaks."""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minipost.errors import UserError
from minipost.laws.adapters import FRAMEWORKS, LawError
from minipost.laws.judge import MAX_EXAMPLES, judge, laws_of, target_of
from minipost.laws.law import Verdict
from minipost.laws.loading import function_name, implemented, load_function
from minipost.laws.printing import as_json, statement, verdict_lines
from minipost.laws.sandbox import Died, Sandbox
from minipost.laws.targets import TARGETS
from minipost.laws.trial import no_answer

DESCRIPTION = """Hold an implementation of a loss to the laws of its maths. Each law that it breaks is named, with the
smallest inputs that break it, what came back, and what should have."""

EXAMPLES = """examples:
  minipost laws                                        every target and its laws, one line each
  minipost laws dpo.sigmoid                            the package's own implementation
  minipost laws dpo.sigmoid my_losses.py:dpo_loss      yours
  minipost laws ppo.gae my_package.rl:gae --framework torch
  minipost laws --all                                  all of the package's own
  minipost laws --all my_losses.py                     every target that a module implements under its name
                                                       (dpo_sigmoid, ppo_gae, sequence_logps, ...)

Your file is imported, so the code in it runs. Nothing else is executed, and nothing is written but --json's FILE.
Arrays arrive in the framework that your function is annotated with, or that --framework names; NumPy if neither says.

exit codes: 0 every law holds, 1 a law is broken, 2 wrong usage, a file that cannot be imported, or a bug of ours."""


@dataclass(frozen=True)
class Job:
    """One target to be judged; `source` is `MODULE:FUNCTION`."""

    target: str
    source: str
    framework: str | None
    max_examples: int
    seed: int


@dataclass(frozen=True)
class Report:
    """A verdict as text and as data; the laws themselves do not cross processes."""

    holds: bool
    lines: list[str]
    data: dict[str, Any]


def command(argv: Sequence[str]) -> int:
    """`minipost laws ARGV`."""
    options = parser().parse_args(list(argv))
    try:
        _check(options)
        if options.target is None and options.all is None:
            print("\n".join(listing()))
            return 0
        return _print_reports(options)
    except UserError:
        raise
    except Exception:  # exit code 1 means a broken law, and nothing else
        traceback.print_exc()
        return 2


def listing() -> Iterator[str]:
    """Every target with its signature, and below it its laws, one line each."""
    for target in TARGETS.values():
        yield f"{target.name} {target.signature}"
        yield from (f"    {statement(law)}" for law in laws_of(target))


def parser() -> argparse.ArgumentParser:
    """The arguments of `minipost laws`."""
    parser = argparse.ArgumentParser(
        "minipost laws", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?", help="what it implements, such as dpo.sigmoid")
    parser.add_argument("candidate", nargs="?", metavar="FILE.py:FUNCTION", help="or MODULE:FUNCTION; else our own")
    parser.add_argument("--all", nargs="?", const="", metavar="MODULE", help="every target that MODULE implements")
    parser.add_argument("--framework", choices=list(FRAMEWORKS), help="in which arrays arrive")
    parser.add_argument("--max-examples", type=int, default=MAX_EXAMPLES, metavar="N", help="a law (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the examples (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything runs."""
    if options.all is not None and options.target is not None:
        raise LawError("--all judges every target; leave the target out, or --all.")
    if options.max_examples < 1:
        raise LawError(f"--max-examples is at least 1, not {options.max_examples}.")
    if options.json is not None and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        raise LawError(f"--json cannot write {options.json}; name a file in a folder that exists.")


def _print_reports(options: argparse.Namespace) -> int:
    """Print a report for each target as it comes, write them all, and say how it went."""
    reports = []
    with Sandbox() as sandbox:
        for job in _jobs(options, sandbox):
            report = _report(job, sandbox)
            print("\n".join(report.lines), flush=True)
            reports.append(report)
    broken = [report.data["target"] for report in reports if not report.holds]
    if len(reports) > 1:
        held = len(reports) - len(broken)
        print(f"\n{held} of {len(reports)} targets hold" + "".join(f"\n  broken: {target}" for target in broken))
    if options.json is not None:
        data = {"holds": not broken, "targets": [report.data for report in reports]}
        try:
            options.json.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise LawError(f"--json cannot write {options.json}: {error.strerror}.") from None
    return 1 if broken else 0


def _jobs(options: argparse.Namespace, sandbox: Sandbox) -> Iterator[Job]:
    """What the command line asks for, a target at a time. A whole module is imported to see, hence in the sandbox."""
    if options.target is not None:
        sources = {options.target: options.candidate or target_of(options.target).implementation}
        target_of(options.target)
    elif options.all:
        try:
            names = sandbox.call(implemented, options.all)
        except Died as death:
            raise LawError(f"The process ended while {options.all} was imported: {death.what}.") from None
        sources = {name: f"{options.all}:{function_name(name)}" for name in names}
    else:
        sources = {target.name: target.implementation for target in TARGETS.values()}
    for target, source in sources.items():
        yield Job(target, source, options.framework, options.max_examples, options.seed)


def _report(job: Job, sandbox: Sandbox) -> Report:
    """The verdict on one job; if the implementation took its process with it, its last call is the counterexample."""
    try:
        return sandbox.call(_judged, job)
    except Died as death:
        if death.arguments is None:
            raise LawError(f"The process ended while {job.source} was imported: {death.what}.") from None
        laws = laws_of(target_of(job.target))
        broken = no_answer(laws[-1], death.arguments, death.what)
        unjudged = {law.name: "a call never came back" for law in laws[:-1]}
        framework = job.framework or "not known"
        return _as_report(
            Verdict(job.target, job.source, framework, [broken], [], unjudged, laws, job.max_examples, job.seed)
        )


def _judged(job: Job) -> Report:
    """In the sandbox: the function imported and judged."""
    function = load_function(job.source)
    return _as_report(judge(job.target, function, job.framework, job.max_examples, job.seed, label=job.source))


def _as_report(verdict: Verdict) -> Report:
    return Report(verdict.holds, verdict_lines(verdict), as_json(verdict))
