"""`minipost --completion bash|zsh|fish`: a script that completes commands, flags and their choices in one's shell.

    minipost --completion bash > ~/.local/share/bash-completion/completions/minipost
    minipost --completion zsh  > ~/.zfunc/_minipost           # a folder of $fpath
    minipost --completion fish > ~/.config/fish/completions/minipost.fish

The flags come from the commands' configurations, so that the script has to be made again after an update.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minipost.cli import COMMANDS
from minipost.errors import UserError

SHELLS = ("bash", "zsh", "fish")

CONFIGS = {  # command: where its configuration stands
    "tour": "minipost.tour.plan:FilesTourConfig",
    "pretrain": "minipost.stages.pretrain:PretrainConfig",
    "sft": "minipost.stages.sft:SFTConfig",
    "reward": "minipost.stages.reward:RewardConfig",
    "best-of-n": "minipost.stages.best_of_n:BestOfNConfig",
    "ppo": "minipost.stages.ppo:PPOConfig",
    "dpo": "minipost.stages.dpo:DPOConfig",
    "data": "minipost.data.command:DataConfig",
    "plot": "minipost.report.compare:PlotConfig",
    "chat": "minipost.tour.chat:ChatConfig",
    "import": "minipost.interop.command:ImportConfig",
    "export": "minipost.interop.command:ExportConfig",
    "eval": "minipost.tour.evaluate:EvalConfig",
}


@dataclass(frozen=True)
class LawsConfig:
    all: tyro.conf.FlagCreatePairsOff[bool] = False  # every target that a module implements
    framework: Literal["numpy", "tensor", "torch", "jax"] = "numpy"  # in which arrays arrive
    max_examples: int = 0  # a law
    seed: int = 0  # of the examples
    json: Path | None = None  # also write the result to this file


def script(shell: str) -> str:
    """The completion script for a shell. Errors: `UserError` for one that is not known."""
    if shell not in SHELLS:
        raise UserError(f"--completion {shell or 'nothing'} is no shell that is known; choose one of bash, zsh, fish.")
    commands = [
        Annotated[configuration(name), tyro.conf.subcommand(name, description=summary)]
        for name, (_, summary) in COMMANDS.items()
    ]
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(reduce(or_, commands), prog="minipost", args=["--tyro-write-completion", shell, "-"])  # type: ignore[call-overload]
    return written.getvalue().strip()


def configuration(name: str) -> Any:
    """A command's configuration; `minipost laws` reads its arguments by itself, so that its flags stand here."""
    if name in CONFIGS:
        module, config = CONFIGS[name].split(":")
        return getattr(import_module(module), config)
    return LawsConfig


def command(argv: Sequence[str]) -> int:
    """`minipost --completion SHELL`; without a shell, that of $SHELL."""
    print(script(argv[0] if argv else Path(os.environ.get("SHELL", "")).name))
    return 0
