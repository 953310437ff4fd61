"""Talk with a trained model in the terminal.

`RUN` is the folder of a model, or of a tour, from which `--model` picks. With `--best-of N` the model answers N times
and the tour's reward model picks. Each message starts a new conversation unless `--history` keeps the earlier turns.
`minipost chat smollm2` talks with a pretrained model, see `minipost.interop.command`; a .gguf or llama2.c file will do
too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from minipost.config import parse
from minipost.interop.command import PACKAGED, read
from minipost.model import SERVED_TEMPERATURE, Model, Sampling
from minipost.stages.base import StageError
from minipost.text import Message, prompt_tokens
from minipost.text.batching import Example

FOLDERS = {"base": "pretrain", "sft": "sft", "dpo": "dpo", "ppo": "ppo"}

HELP = """Talk with a trained model; an empty line or Ctrl-D ends.

Examples:
  minipost chat runs/tour --model dpo
  minipost chat runs/tour --model sft --best-of 16
  minipost chat smollm2 --history
  echo 'What is the capital of Italy?' | minipost chat runs/tour"""


@dataclass(frozen=True)
class ChatConfig:
    run: Annotated[Path, tyro.conf.Positional] = Path("runs/tour")  # a model's or a tour's folder, a file, or smollm2
    model: Literal["base", "sft", "dpo", "ppo"] = "ppo"  # which of a tour's models
    best_of: int = 1  # answers to choose from, by the reward model
    reward: Path | None = None  # the reward model's folder, if it is not the tour's
    temperature: float = SERVED_TEMPERATURE  # 0 is greedy
    top_p: float = 1.0  # keep the smallest set of tokens with this probability
    max_new_tokens: int = 64  # length limit of an answer
    history: bool = False  # give the model the earlier turns too
    seed: int = 0  # of the samples

    def __post_init__(self) -> None:
        if self.best_of < 1:
            raise StageError(f"--best-of {self.best_of} must be at least 1.")


def chat(config: ChatConfig) -> None:
    """Read messages from standard input until it ends; write answers to standard output."""
    folder = config.run / FOLDERS[config.model] if (config.run / "sft").is_dir() else config.run
    model = load(folder)
    reward_model = Model.load(config.reward or config.run / "reward", "score") if config.best_of > 1 else None
    if reward_model is not None and reward_model.tokenizer != model.tokenizer:
        raise StageError("the model and the reward model have different tokenizers: take both from one tour.")
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"{folder}: type a message, an empty line or Ctrl-D ends.", file=sys.stderr)
    turns: list[Message] = []
    rng = np.random.default_rng(config.seed)
    while True:
        try:
            line = input("you> " if interactive else "").strip()
        except EOFError:
            return
        if not line:
            return
        turns = [*(turns if config.history else []), Message("user", line)]
        reply = respond(model, reward_model, turns, config, rng)
        print(reply, flush=True)
        turns.append(Message("assistant", reply))


def load(source: Path) -> Model:
    """A run folder's model, or one that lies in a foreign file or a package."""
    if source.is_dir() or (source.suffix not in (".gguf", ".bin") and str(source) not in PACKAGED):
        return Model.load(source)
    return read(source)


def respond(
    model: Model, reward_model: Model | None, turns: Sequence[Message], config: ChatConfig, rng: np.random.Generator
) -> str:
    """One answer, or the best of several."""
    prompt = prompt_tokens(model.tokenizer, turns)
    sampled = model.generate(
        [prompt] * config.best_of,
        rng,
        max_new_tokens=config.max_new_tokens,
        sampling=Sampling(config.temperature, top_p=config.top_p),
    )
    best = 0
    if reward_model is not None:
        best = int(np.argmax(reward_model.scores([Example(prompt, s.tokens) for s in sampled])))
    return model.tokenizer.decode(sampled[best].tokens, skip_special=True).strip()


def command(argv: Sequence[str]) -> int:
    chat(parse(ChatConfig, argv, "minipost chat", HELP))
    return 0
