"""The command line of the lessons: finds the command, and turns what goes wrong into one sentence."""

from __future__ import annotations

import difflib
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
    """Run `python -m lessons ARGV` and return its exit code: 2 for what the user can fix."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print("usage: python -m lessons COMMAND [OPTIONS]\n")
        print("\n".join(f"  {command:<{width}}  {summary}" for command, (_, summary) in COMMANDS.items()))
        print("\npython -m lessons COMMAND --help explains a command.")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        fix = f"did you mean {close[0]}?" if close else "see python -m lessons --help."
        print(f"lessons: error: There is no command {name!r}; {fix}", file=sys.stderr)
        return 2
    module, function = COMMANDS[name][0].split(":")
    try:
        return getattr(import_module(module), function)(rest) or 0
    except UserError as error:
        print(f"lessons {name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"lessons {name}: {str(interrupt) or 'Stopped.'}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
