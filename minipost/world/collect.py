"""What a team of labelers delivers: demonstrations, and comparisons of a model's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minipost.errors import UserError
from minipost.world.demonstrators import Demonstrator
from minipost.world.labelers import Labeler
from minipost.world.tasks import Task
from minipost.world.world import World


@dataclass(frozen=True)
class Demonstration:
    """A prompt and the response that a labeler wrote."""

    prompt: str
    response: str


@dataclass(frozen=True)
class Pair:
    """A prompt with two responses, of which a labeler chose one and rejected the other."""

    prompt: str
    chosen: str
    rejected: str


def demonstrate(world: World, by: Demonstrator, count: int, rng: np.random.Generator) -> list[Demonstration]:
    """`count` demonstrations on training prompts."""
    return [Demonstration(t.prompt, by.respond(t, rng)) for t in world.tasks("train", count, rng)]


def compare(
    tasks: Sequence[Task], first: Sequence[str], second: Sequence[str], by: Labeler, rng: np.random.Generator
) -> list[tuple[Task, Pair]]:
    """A labeler's verdict on two answers to each task; identical and empty answers are left out."""
    pairs = []
    for task, a, b in zip(tasks, first, second, strict=True):
        if a != b and a and b:
            chosen, rejected = (a, b) if by.compare(task, a, b, rng) else (b, a)
            pairs.append((task, Pair(task.prompt, chosen, rejected)))
    return pairs


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """One JSON object a line: prompt, chosen, rejected."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(vars(p), ensure_ascii=False) + "\n" for p in pairs), encoding="utf-8")


def read_pairs(path: Path) -> list[Pair]:
    """Read `write_pairs`' format. Errors: `UserError` naming file, line and what is wrong."""
    pairs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the preference pairs {path} ({error}); check the path.") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            pair = Pair(row["prompt"], row["chosen"], row["rejected"])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}:{number}: not a JSON object with prompt, chosen and rejected.") from None
        if not all(isinstance(text, str) and text for text in vars(pair).values()) or pair.chosen == pair.rejected:
            raise UserError(f"{path}:{number}: prompt, chosen and rejected must be texts, and the last two differ.")
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{path} holds no pairs; each line should be a JSON object with prompt, chosen and rejected.")
    return pairs
