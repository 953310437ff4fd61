"""`minipost laws`: judge an implementation of a loss, this package's or anyone's, and name every law that it breaks."""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from minipost.errors import UserError
from minipost.laws.adapters import FRAMEWORKS, LawError
from minipost.laws.judge import MAX_EXAMPLES, laws_of, target_of
from minipost.laws.printing import statement
from minipost.laws.supervise import Job, reports
from minipost.laws.targets import TARGETS

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


def command(argv: Sequence[str]) -> int:
    """`minipost laws ARGV`."""
    asked = parser().parse_args(list(argv))
    try:
        _check(asked)
        if asked.target is None and asked.all is None:
            print("\n".join(listing()))
            return 0
        return _judge(list(_jobs(asked)), asked.json)
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


def _check(asked: argparse.Namespace) -> None:
    """Refuse what cannot work before anything runs."""
    if asked.all is not None and asked.target is not None:
        raise LawError("--all judges every target; leave the target out, or --all.")
    if asked.max_examples < 1:
        raise LawError(f"--max-examples is at least 1, not {asked.max_examples}.")
    if asked.json is not None and (asked.json.is_dir() or not asked.json.absolute().parent.is_dir()):
        raise LawError(f"--json cannot write {asked.json}; name a file in a folder that exists.")


def _jobs(asked: argparse.Namespace) -> Iterator[Job]:
    """What the command line asks for, a target at a time."""
    if asked.target is not None:
        found = [(asked.target, asked.candidate or target_of(asked.target).implementation)]
        target_of(asked.target)
    elif asked.all:
        found = [("", asked.all)]
    else:
        found = [(target.name, target.implementation) for target in TARGETS.values()]
    for target, source in found:
        yield Job(target, source, asked.framework, asked.max_examples, asked.seed)


def _judge(jobs: Sequence[Job], file: Path | None) -> int:
    """Print a report for each target as it comes, write them all, and say how it went."""
    done = []
    for report in reports(jobs):
        print("\n".join(report.lines), flush=True)
        done.append(report)
    broken = [report.data["target"] for report in done if not report.holds]
    if len(done) > 1:
        print(f"\n{len(done) - len(broken)} of {len(done)} targets hold" + "".join(f"\n  broken: {t}" for t in broken))
    if file is not None:
        data = {"holds": not broken, "targets": [report.data for report in done]}
        try:
            file.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise LawError(f"--json cannot write {file}: {error.strerror}.") from None
    return 1 if broken else 0
