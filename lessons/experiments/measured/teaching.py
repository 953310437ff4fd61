"""Teaching the village's base models something else: demonstrations by anybody, of anything.

`village.sft` turns the knobs that SFT has. Here an experiment writes the demonstrations itself, and everything else
stays as it is there: the base model, the pages that are replayed, the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lessons.experiments import village
from lessons.experiments.lab import Lab
from minipost.model import Model, init_weights
from minipost.runs import Run
from minipost.stages.sft import SFTConfig, encode, replayed, train
from minipost.world import Demonstrator, Task
from minipost.world.collect import Demonstration

Writer = Callable[[np.random.Generator], list[Demonstration]]


def class_size(lab: Lab) -> int:
    """Demonstrations in an experiment of many arms: a third of the village's usual number."""
    return lab.pick(1000, 64)


def taught(
    lab: Lab, seed: int, what: Mapping[str, Any], write: Writer, start: Path | None = None, **changes: Any
) -> Path:
    """The run folder of `start` (default: the seed's base model) after SFT on what `write(rng)` wrote.

    `what` says in JSON values what that is: with the seed it has to determine the demonstrations.
    """
    start = start or village.base(lab, seed)
    settings = {"demonstrations": class_size(lab)} | changes

    def make(folder: Path) -> None:
        base = Model.load(start)
        config = SFTConfig(base=start, out=folder / "run", seed=seed, **village.WORLD, **settings)
        examples = encode(base, write(np.random.default_rng([seed, 4]))) + replayed(base, config)
        run = Run.create(config.out, "sft", config, seed, {"base": start})
        weights = train(run, base, examples, config)
        run.finish(Model(weights, base.config, base.tokenizer), description="Taught in an experiment.")

    return lab.artefact("taught", {"what": what, "seed": seed, "start": start, **settings}, make, "4 s") / "run"


def written(tasks: Sequence[Task], by: Demonstrator, rng: np.random.Generator) -> list[Demonstration]:
    return [Demonstration(task.prompt, by.respond(task, rng)) for task in tasks]


def newborn(lab: Lab, seed: int) -> Path:
    """A model with random weights that has read nothing, and the tokenizer of the seed's base model."""
    parent = village.base(lab, seed)

    def make(folder: Path) -> None:
        base = Model.load(parent)
        (folder / "run").mkdir()
        weights = init_weights(base.config, np.random.default_rng([seed, 1]))
        Model(weights, base.config, base.tokenizer).save(folder / "run")

    return lab.artefact("newborn", {"seed": seed, "base": parent}, make) / "run"


def unpretrained(lab: Lab, seed: int, epochs: int = 1) -> Path:
    """Random weights after SFT on the village's demonstrations, at pretraining's rate and without its pages."""
    return village.sft(lab, seed, newborn(lab, seed), epochs=epochs, replay=0.0, learning_rate=3e-3)
