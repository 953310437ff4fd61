"""Stopping has to be taught (claim 4): a model whose end token is left out of the loss never learns to end.

A common way to lose it: the padding shares the end token's id, and the mask is made from `id == pad`. Everything else
about the training stays right, and the loss falls as it should; only the answers do not end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from minipost.model import Model
from minipost.runs import Run
from minipost.stages.sft import SFTConfig, from_the_world, train
from minipost.text.batching import Example


@claim(
    4,
    "end-token-teaches-stopping",
    "Does a model learn to stop if its end token is masked like padding?",
    knob="whether the end token counts in the loss",
    metric="share of answers that end",
    arm="end token masked",
    control="end token counts",
    expects="down",
    lesson=3,
    seeds=3,
    margin=0.5,
)
def end_token_teaches_stopping(seed: int, lab: Lab) -> dict[str, float]:
    """The same finetuning with and without the end token; the base model beside them."""
    base = village.base(lab, seed)
    return {
        "base model": share_that_ends(base, lab, seed),
        "end token masked": share_that_ends(finetuned(lab, seed, base, masked=True), lab, seed),
        "end token counts": share_that_ends(finetuned(lab, seed, base, masked=False), lab, seed),
    }


def finetuned(lab: Lab, seed: int, base: Path, masked: bool) -> Path:
    """The run folder of a short finetuning. To mask the last token of a sequence is to leave it out: nothing follows
    that could see it."""
    config = SFTConfig(base=base, seed=seed, **village.WORLD, demonstrations=lab.pick(1000, 64), replay=0.0)

    def make(folder: Path) -> None:
        model = Model.load(base)
        examples = from_the_world(model, config)
        if masked:
            examples = [Example(e.prompt, e.response[:-1]) for e in examples]
        run = Run.create(folder / "run", "sft", config, seed, {"base": base})
        weights = train(run, model, examples, config)
        run.finish(Model(weights, model.config, model.tokenizer), description="A model that may not know its end.")

    return lab.artefact("stopping", {"sft": config, "masked": masked}, make, about="5 s") / "run"


def share_that_ends(folder: Path, lab: Lab, seed: int) -> float:
    """Of sampled answers to held-out prompts, how many end within 64 tokens."""
    model, prompts = Model.load(folder), [task.prompt for task in village.tasks(lab, 100, seed)]
    rng = np.random.default_rng([seed, 64])
    answers = model.answer(prompts, rng)
    return float(np.mean([sampled.ended for _, sampled in answers]))
