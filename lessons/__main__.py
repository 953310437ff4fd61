"""The command line of the lessons: finds the command, and turns what goes wrong into one sentence.

A command is a function `command(argv, prog)`, where `prog` is the name that its help shows. Exit codes are those of
`minipost`: see `minipost.cli.EXIT_CODES`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from minipost.errors import UserError

COMMANDS = {  # name: (module:function, what it does)
    "list": ("lessons.tools.command:list_command", "every lesson, by number"),
    "build": ("lessons.tools.command:build_command", "build a lesson's page, or check that it is fresh"),
    "exercise": ("lessons.tools.command:exercise_command", "check your solutions of a lesson's exercises"),
    "experiments": ("lessons.experiments.command:command", "measure what is said about post-training, claim by claim"),
    "site": ("lessons.tools.site.command:command", "build lessons, claims and API as a site that works offline"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m lessons ARGV` and return its exit code."""
    try:
        code = run(*((sys.argv[1:] if argv is None else argv) or ["--help"]))
        sys.stdout.flush()  # a pipe that nobody reads any more is noticed here, and not when Python has all but ended
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own flush at its end must not fail
        return 141


def run(name: str, *rest: str) -> int:
    """One command, with what goes wrong turned into one sentence and an exit code."""
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        fix = f"did you mean {close[0]}?" if close else "see python -m lessons --help."
        print(f"lessons: error: There is no command {name!r}; {fix}", file=sys.stderr)
        return 2
    module, function = COMMANDS[name][0].split(":")
    try:
        return getattr(import_module(module), function)(list(rest), f"python -m lessons {name}") or 0
    except UserError as error:
        print(f"lessons {name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"lessons {name}: {str(interrupt) or 'Stopped.'}", file=sys.stderr)
        return 130


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: python -m lessons COMMAND [OPTIONS]",
            "",
            "The lessons, the experiments that they show, and the tools that make their pages.",
            "",
            *lines,
            "",
            "python -m lessons COMMAND --help explains a command, with examples.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
