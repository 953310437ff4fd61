"""The `minipost` command: finds the sub-command, and turns what goes wrong into one sentence.

A command is a function `command(argv)` in the module that does the work. The table below names it as text, and it is
imported when it is called: `minipost --help` must not wait for NumPy and Numba.

Results go to standard output, progress and messages to standard error. Exit codes: see `EXIT_CODES`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from minipost import __version__
from minipost.errors import UserError

COMMANDS = {  # name: (module:function, what it does)
    "tour": (
        "minipost.tour.command:command",
        "the whole pipeline, in the simulated world or on your data, with a report",
    ),
    "pretrain": ("minipost.stages.pretrain:command", "learn the language and the facts of a noisy web"),
    "sft": ("minipost.stages.sft:command", "learn to converse from demonstrations"),
    "reward": ("minipost.stages.reward:command", "learn a reward model from comparisons"),
    "best-of-n": ("minipost.stages.best_of_n:command", "answer N times and keep what the reward model likes best"),
    "ppo": ("minipost.stages.ppo:command", "raise the reward by reinforcement learning, near the SFT model"),
    "grpo": (
        "minipost.stages.grpo:command",
        "the same without a value network: GRPO and RLOO compare a group of answers",
    ),
    "dpo": ("minipost.stages.dpo:command", "learn from comparisons directly, without a reward model"),
    "data": ("minipost.data.command:command", "examine a file of your own: format, bad rows, counts, tokens"),
    "plot": ("minipost.report.compare:command", "compare the metrics of runs in one figure"),
    "chat": ("minipost.tour.chat:command", "talk with a trained model"),
    "import": (
        "minipost.interop.command:import_command",
        "bring in a checkpoint: Hugging Face, GGUF, llama2.c, smollm2",
    ),
    "export": ("minipost.interop.command:export_command", "take a trained model out, as a folder for transformers"),
    "laws": ("minipost.laws.command:command", "hold a loss, ours or yours, to the laws of its maths"),
    "claims": ("lessons.experiments.command:command", "measure what is said about post-training, claim by claim"),
    "lesson": ("lessons.tools.command:lesson_command", "build a lesson's page, or check that it is fresh"),
    "exercise": ("lessons.tools.command:exercise_command", "check your solutions of a lesson's exercises"),
    "site": ("lessons.tools.site.command:command", "build lessons, claims and API as a site that works offline"),
    "eval": ("minipost.tour.evaluate:command", "measure a trained model"),
}
COMPLETION = "minipost.completion:command"
EXIT_CODES = """exit codes:
  0    done
  1    a bug of ours, with its traceback; minipost laws: a law is broken
  2    something that you can fix: one sentence says what, where and how
  130  stopped by Ctrl-C; a training run goes on with --resume
  141  whoever read our output has stopped reading"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `minipost ARGV` and return its exit code."""
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
    if name == "--version":
        print(f"minipost {__version__}")
        return 0
    if name not in COMMANDS and name != "--completion":
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        fix = f"did you mean {close[0]}?" if close else "see minipost --help."
        print(f"minipost: error: There is no command {name!r}; {fix}", file=sys.stderr)
        return 2
    module, function = COMPLETION.split(":") if name == "--completion" else COMMANDS[name][0].split(":")
    try:
        if module.startswith("lessons."):
            _checkout_for(name)
        return getattr(import_module(module), function)(list(rest)) or 0
    except UserError as error:
        print(f"minipost {name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"minipost {name}: {str(interrupt) or 'Stopped.'}", file=sys.stderr)
        return 130


def _checkout_for(name: str) -> None:
    """Let Python import `lessons` from the checkout around the current folder; the installed package has none."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "lessons" / "__main__.py").is_file():
            sys.path.insert(0, str(folder))
            return
    raise UserError(
        f"minipost {name} needs the lessons, which are not part of the installed package; get minipost's source "
        "(pip download --no-deps --no-binary :all: minipost), unpack it, and run this inside of its folder."
    )


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: minipost COMMAND [OPTIONS]",
            "",
            "The whole post-training stack of a language model, from scratch, on a laptop's CPU.",
            "",
            *lines,
            "",
            "minipost COMMAND --help explains a command, with examples; minipost --version prints the version;",
            "minipost --completion bash (or zsh, fish) prints a script that completes commands and flags.",
            "",
            EXIT_CODES,
        ]
    )
