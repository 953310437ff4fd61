"""The `minipost` command: finds the sub-command, and turns what goes wrong into one sentence.

A command is a function `command(argv)` in the module that does the work. The table below names it as text, and its
module is imported when it is called: `minipost --help` must not wait for NumPy and Numba. `minipost.completion` reads
the same table.

Results go to standard output, progress and messages to standard error. Exit codes: see `EXIT_CODES`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from minipost import __version__
from minipost.errors import UserError


class Command(NamedTuple):
    """Where a command stands: `command(argv)` in a module, and beside it the source of its flags."""

    function: str  # "module:function"
    options: str  # in that module: the configuration dataclass, or the function that makes the argparse parser
    summary: str


COMMANDS = {
    "tour": Command(
        "minipost.tour.command:command",
        "FilesTourConfig",
        "the whole pipeline, in the simulated world or on your data, with a report",
    ),
    "pretrain": Command(
        "minipost.stages.pretrain:command", "PretrainConfig", "learn the language and the facts of a noisy web"
    ),
    "sft": Command("minipost.stages.sft:command", "SFTConfig", "learn to converse from demonstrations"),
    "reward": Command("minipost.stages.reward:command", "RewardConfig", "learn a reward model from comparisons"),
    "best-of-n": Command(
        "minipost.stages.best_of_n:command", "BestOfNConfig", "answer N times and keep what the reward model likes best"
    ),
    "ppo": Command(
        "minipost.stages.ppo:command", "PPOConfig", "raise the reward by reinforcement learning, near the SFT model"
    ),
    "grpo": Command(
        "minipost.stages.grpo:command",
        "GRPOConfig",
        "PPO without a value network: GRPO and RLOO compare a group of answers",
    ),
    "dpo": Command(
        "minipost.stages.dpo:command", "DPOConfig", "learn from comparisons directly, without a reward model"
    ),
    "data": Command(
        "minipost.data.command:command", "DataConfig", "examine a file of your own: format, bad rows, counts, tokens"
    ),
    "plot": Command("minipost.report.compare:command", "PlotConfig", "compare the metrics of runs in one figure"),
    "chat": Command("minipost.tour.chat:command", "ChatConfig", "talk with a trained model"),
    "import": Command(
        "minipost.interop.command:import_command",
        "ImportConfig",
        "bring in a checkpoint: Hugging Face, GGUF, llama2.c, smollm2",
    ),
    "export": Command(
        "minipost.interop.command:export_command",
        "ExportConfig",
        "take a trained model out, as a folder for transformers",
    ),
    "laws": Command("minipost.laws.command:command", "parser", "hold a loss, ours or yours, to the laws of its maths"),
    "claims": Command(
        "lessons.experiments.command:command", "parser", "measure what is said about post-training, claim by claim"
    ),
    "lesson": Command(
        "lessons.tools.command:lesson_command", "lesson_parser", "build a lesson's page, or check that it is fresh"
    ),
    "exercise": Command(
        "lessons.tools.command:exercise_command", "exercise_parser", "check your solutions of a lesson's exercises"
    ),
    "site": Command(
        "lessons.tools.site.command:command", "parser", "build lessons, claims and API as a site that works offline"
    ),
    "doctor": Command("minipost.doctor:command", "DoctorConfig", "see how fast this machine is, and what slows it"),
    "eval": Command("minipost.tour.evaluate:command", "EvalConfig", "measure a trained model"),
}
COMPLETION = Command("minipost.completion:command", "", "print a script that completes commands and flags")
EXIT_CODES = """exit codes:
  0    done
  1    a bug of ours, with its traceback; minipost laws: a law is broken
  2    something that you can fix: one sentence says what, where and how
  130  stopped by Ctrl-C; a training run goes on with --resume
  141  whoever read our output has stopped reading"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `minipost ARGV` and return its exit code."""
    return with_open_output(run, argv)


def run(name: str, *rest: str) -> int:
    """Run one command, or print what `minipost` itself has to say."""
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"minipost {__version__}")
        return 0

    def call() -> int | None:
        command = COMPLETION if name == "--completion" else COMMANDS[name]
        code: int | None = getattr(module_of(name, command), command.function.partition(":")[2])(list(rest))
        return code

    return perform("minipost", name, (*COMMANDS, "--completion"), call)


def with_open_output(run: Callable[..., int], argv: Sequence[str] | None) -> int:
    """`run(name, *rest)` on the command line `argv` (default: this process's), 141 if nobody reads its output."""
    try:
        code = run(*((sys.argv[1:] if argv is None else argv) or ["--help"]))
        sys.stdout.flush()  # a pipe that nobody reads any more is noticed here, and not when Python has all but ended
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's own flush at its end must not fail
        return 141


def perform(
    program: str, name: str, names: Collection[str], call: Callable[[], int | None], kind: str = "command"
) -> int:
    """`call()`, the command `name` of a program that has `names`; an error becomes one sentence and an exit code."""
    short = program.rpartition(" ")[2]  # "python -m lessons" speaks as "lessons"
    if name not in names:
        close = difflib.get_close_matches(name, [known for known in names if known[0] != "-"], n=1)
        fix = f"did you mean {close[0]}?" if close else f"see {program} --help."
        print(f"{short}: error: There is no {kind} {name!r}; {fix}", file=sys.stderr)
        return 2
    try:
        return call() or 0
    except UserError as error:
        print(f"{short} {name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"{short} {name}: {str(interrupt) or 'Stopped.'}", file=sys.stderr)
        return 130


def module_of(name: str, command: Command) -> ModuleType:
    """The module of a command. Those of the lessons are in a checkout only: Python finds them in the one around the
    current folder. Errors: `UserError` outside of a checkout."""
    module = command.function.partition(":")[0]
    if module.startswith("lessons."):
        folder = Path.cwd()
        candidates = (folder, *folder.parents, Path(__file__).resolve().parents[1])
        checkout = next((path for path in candidates if (path / "lessons" / "__main__.py").is_file()), None)
        if checkout is None:
            raise UserError(
                f"minipost {name} needs the lessons, which are not part of the installed package; get minipost's "
                "source (pip download --no-deps --no-binary :all: minipost), unpack it, and run this inside of its "
                "folder."
            )
        sys.path.insert(0, str(checkout))
    return import_module(module)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
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
