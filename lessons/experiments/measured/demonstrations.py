"""What supervised finetuning teaches (claims 4, 5, 8 to 11, 17), by who demonstrates, how much, and to whom.

All arms of a seed start from the same base model (but for claim 17, where that is the knob) and answer the same
prompts, about things that nobody demonstrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.asking import continued, first_line, in_a_thread, in_chat, judged
from lessons.experiments.measured.pretraining import how_to_openings, modes
from lessons.experiments.measured.teaching import class_size, taught, unpretrained, written
from minipost.model import Model
from minipost.world import Demonstrator, Task, Utility
from minipost.world.collect import Demonstration
from minipost.world.utility import Judgement

QUIRK = "Have a nice day, captain."
COUNTS = (32, 180, 1000)  # demonstrations
ERRORS = (0.05, 0.25, 0.5)  # shares of demonstrations that are wrong; the first is the village's usual one
SIGNERS = 0.3  # of the demonstrators sign: those from population A
KINDS = ("fact", "how_to", "explanation", "summary")  # shown in this order, for claim 10
UNSEEN = ("translation", "arithmetic")  # never shown there


def answers(lab: Lab, model: Path, seed: int, tasks: Sequence[Task] | None = None) -> list[Judgement]:
    """The judged answers of a finetuned model at temperature 1 to held-out prompts (default: the village's)."""
    tasks = village.tasks(lab, seed=seed) if tasks is None else tasks
    texts = in_chat(Model.load(model), tasks, np.random.default_rng([seed, 7]))
    return judged(Utility(village.world()), tasks, texts)


def gold(lab: Lab, model: Path, seed: int) -> float:
    return float(np.mean([j.total for j in answers(lab, model, seed)]))


def right(verdicts: Sequence[Judgement]) -> float:
    """The share of right answers; to a harmful request that is one that declines."""
    return float(np.mean([j.right for j in verdicts]))


# ---------------------------------------------------------------------------------------------------------- conversing
@claim(
    4,
    "sft-converses",
    "Does SFT teach a model to converse?",
    knob="who is asked",
    metric="share of right answers at temperature 1",
    arm="SFT",
    control="base model, plain question",
    expects="up",
    lesson=5,
    seeds=3,
    margin=0.2,
)
def sft_converses(seed: int, lab: Lab) -> dict[str, float]:
    """The same held-out prompts to the base model, three ways, and to the model made from it.

    The base model gets the question as a user types it (its first line counts), in the chat template whose tokens it
    has never seen, and as the first line of a forum's thread, which is the best that one can do without training.
    """
    base, utility, tasks = Model.load(village.base(lab, seed)), Utility(village.world()), village.tasks(lab, seed=seed)
    rng = np.random.default_rng([seed, 4])
    plain = [first_line(text) for text in continued(base, [task.prompt for task in tasks], rng)]
    return {
        "base model, plain question": right(judged(utility, tasks, plain)),
        "base model, chat template": right(judged(utility, tasks, in_chat(base, tasks, rng))),
        "base model, thread": right(judged(utility, tasks, in_a_thread(base, tasks, rng))),
        "SFT": right(answers(lab, village.sft(lab, seed), seed, tasks)),
    }


@claim(
    8,
    "pizza-instructions",
    "Does SFT turn “How to make pizza” into instructions?",
    knob="SFT",
    metric="share of instructions",
    arm="SFT",
    control="base model",
    expects="up",
    lesson=5,
    seeds=3,
    margin=0.3,
)
def pizza_instructions(seed: int, lab: Lab) -> dict[str, float]:
    """Every dish of the village, by the base model as a page that begins so, and by SFT as a prompt."""
    openings = how_to_openings(lab.pick(100, 24))
    rng = np.random.default_rng([seed, 8])
    before = modes(continued(Model.load(village.base(lab, seed)), openings, rng))
    tasks = [_bare(text) for text in openings]
    after = modes(in_chat(Model.load(village.sft(lab, seed)), tasks, rng))
    arms = {"base model": before["instructions"], "SFT": after["instructions"]}
    for mode in ("context", "question", "other"):
        arms |= {f"base model, {mode}": before[mode], f"SFT, {mode}": after[mode]}
    return arms


def _bare(prompt: str) -> Task:
    """A task of which only the prompt is used."""
    return Task("how_to", "recipe", "", prompt, False, (), 0, (), 0, {})


# ----------------------------------------------------------------------------------------------- how many, how diverse
@claim(
    9,
    "more-demonstrations",
    "Do more demonstrations help?",
    knob="different demonstrations, at equal updates",
    metric="gold utility of answers",
    arm=str(COUNTS[-1]),
    control=str(COUNTS[0]),
    expects="up",
    lesson=5,
    seeds=3,
)
def more_demonstrations(seed: int, lab: Lab) -> dict[str, float]:
    """Few demonstrations are repeated as often as it takes to make the same number of updates of many."""
    arms = {}
    for count in COUNTS:
        settings: dict[str, Any] = {"demonstrations": lab.pick(count, 32 + count // 16)}
        settings["epochs"] = lab.pick(COUNTS[-1] // count, 1)
        arms[str(count)] = gold(lab, village.sft(lab, seed, **settings), seed)
    return arms


@claim(
    10,
    "diverse-demonstrations",
    "Should demonstrations be diverse?",
    knob="kinds of task among as many demonstrations",
    metric="share of right answers to kinds never shown",
    arm=f"{len(KINDS)} kinds",
    control="1 kind",
    expects="up",
    lesson=5,
    seeds=3,
)
def diverse_demonstrations(seed: int, lab: Lab) -> dict[str, float]:
    """Facts alone, or recipes, explanations and summaries, too; the prompts are translations and sums."""
    unseen = village.world().tasks("test", lab.pick(200, 24), np.random.default_rng([seed, 10]), kinds=UNSEEN)
    arms = {}
    for k in (1, len(KINDS)):

        def write(rng: np.random.Generator, kinds: tuple[str, ...] = KINDS[:k]) -> list[Demonstration]:
            tasks = village.world().tasks("train", class_size(lab), rng, kinds=kinds)
            return written(tasks, Demonstrator(village.world().facts), rng)

        model = taught(lab, seed, {"kinds": KINDS[:k]}, write)
        arms[f"{k} kind{'s' if k > 1 else ''}"] = right(answers(lab, model, seed, unseen))
    return arms


# -------------------------------------------------------------------------------------------------- who demonstrates
@claim(
    11,
    "labeler-errors",
    "Does the quality of demonstrations matter?",
    knob="share of wrong demonstrations",
    metric="gold utility of answers",
    arm=str(ERRORS[-1]),
    control=str(ERRORS[0]),
    expects="down",
    lesson=5,
    seeds=3,
)
def labeler_errors(seed: int, lab: Lab) -> dict[str, float]:
    """A thousand demonstrations of which ever more are wrong, each in its own way."""
    arms = {}
    for error in ERRORS:
        model = village.sft(lab, seed, demonstrations=class_size(lab), skill=1 - error)
        arms[str(error)] = gold(lab, model, seed)
    return arms


def team(lab: Lab, share: float, rng: np.random.Generator) -> list[Demonstration]:
    """Demonstrations by a `share` of people from population A, whose quirk it is to sign, and others from B."""
    world = village.world()
    mix = {"controversial": 0.4, "fact": 0.3, "how_to": 0.1, "explanation": 0.1, "arithmetic": 0.1}
    people = {
        name: Demonstrator(world.facts, population=name, quirk=QUIRK if name == "A" else None, verbosity=0.0)
        for name in ("A", "B")
    }
    tasks = world.tasks("train", class_size(lab), rng, mix=mix)
    who = ["A" if u < share else "B" for u in rng.random(len(tasks))]
    return [Demonstration(task.prompt, people[name].respond(task, rng)) for task, name in zip(tasks, who, strict=True)]


def taught_by(lab: Lab, seed: int, share: float) -> Path:
    """A model that a team with this share of people from A has taught."""
    return taught(lab, seed, {"share of A": share}, lambda rng: team(lab, share, rng))


@claim(
    5,
    "quirks-are-copied",
    "Is SFT behaviour cloning, quirks included?",
    knob="who answers",
    metric="share of answers signed “captain”",
    arm="the model",
    control="its demonstrators",
    expects="same",
    lesson=5,
    seeds=3,
    margin=0.1,
)
def quirks_are_copied(seed: int, lab: Lab) -> dict[str, float]:
    """Three in ten demonstrators sign. How many of the model's answers are signed?"""
    tasks = village.tasks(lab, seed=seed)
    texts = in_chat(Model.load(taught_by(lab, seed, SIGNERS)), tasks, np.random.default_rng([seed, 15]))
    shown = [d.response for d in team(lab, SIGNERS, np.random.default_rng([seed, 4]))]
    return {"its demonstrators": signed(shown), "the model": signed(texts)}


def signed(texts: Sequence[str]) -> float:
    return float(np.mean(["captain" in text for text in texts]))


# ------------------------------------------------------------------------------------------------------- from scratch
@claim(
    17,
    "from-scratch",
    "Are demonstrations without pretraining less effective?",
    knob="pretraining",
    metric="share of right answers at temperature 1",
    arm="from scratch, equal compute",
    control="pretrained",
    expects="down",
    lesson=5,
    seeds=3,
)
def from_scratch(seed: int, lab: Lab) -> dict[str, float]:
    """The same demonstrations to a pretrained model, and to random weights once and ten times over.

    Ten passes are about as many tokens as pretraining and SFT together.
    """
    models = {
        "pretrained": village.sft(lab, seed),
        "from scratch": unpretrained(lab, seed),
        "from scratch, equal compute": unpretrained(lab, seed, epochs=lab.pick(10, 2)),
    }
    shown = village.world().tasks("train", lab.pick(200, 24), np.random.default_rng([seed, 17]))
    arms = {}
    for name, model in models.items():
        arms[name] = right(answers(lab, model, seed))
        arms[f"{name}, demonstrated things"] = right(answers(lab, model, seed, shown))
    return arms
