"""The command line of the lessons: finds the command, and turns what goes wrong into one sentence.

A command is a function `command(argv, prog)`, where `prog` is the name that its help shows. Exit codes are those of
`minipost`: see `minipost.cli.EXIT_CODES`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from minipost.cli import perform, with_open_output

COMMANDS = {  # name: (module:function, what it does)
    "list": ("lessons.tools.command:list_command", "every lesson, by number"),
    "build": ("lessons.tools.command:build_command", "build a lesson's page, or check that it is fresh"),
    "exercise": ("lessons.tools.command:exercise_command", "check your solutions of a lesson's exercises"),
    "experiments": ("lessons.experiments.command:command", "measure what is said about post-training, claim by claim"),
    "site": ("lessons.tools.site.command:command", "build lessons, claims and API as a site that works offline"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m lessons ARGV` and return its exit code."""
    return with_open_output(run, argv)


def run(name: str, *rest: str) -> int:
    """Run one command, or print the help."""
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0

    def call() -> int | None:
        module, function = COMMANDS[name][0].split(":")
        code: int | None = getattr(import_module(module), function)(list(rest), f"python -m lessons {name}")
        return code

    return perform("python -m lessons", name, COMMANDS, call)


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
