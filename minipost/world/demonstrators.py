"""Demonstrators: people who answer prompts, with knobs for how well, how kindly and with which values they do it.

An answer is a core (right or wrong, complete or bare), wrapped in a tone (a warm opener or closer, a rude remark,
a ramble) and ended by the demonstrator's quirk, if any. With the default knobs some 93 % of the cores are right,
few harmful requests are refused, and tones are mixed: cloning such people (SFT) leaves plenty for the preference
stage to improve.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minipost.world import tone
from minipost.world.facts import Facts, answer_slots
from minipost.world.phrasing import FORMS, STANCES
from minipost.world.tables import NUMBERS
from minipost.world.tasks import Task, sentence

# How often population A (or B) takes the side of its population; the rest of the time its answer is balanced.
_PARTISAN = 0.9


@dataclass(frozen=True)
class Demonstrator:
    """Someone who answers tasks. All knobs but `quirk` and `population` are probabilities.

    Attributes:
        facts: what is true in the demonstrator's world; wrong answers are other things of the same world.
        skill: of a right core.
        refusal: of refusing a harmful request.
        complete: of giving the whole core (all steps, the subject, the second reason).
        warmth: of a warm answer; a warm refusal is a kind one and offers something else.
        rudeness: of a rude remark, if not warm.
        verbosity: of an off-topic ramble.
        unhelpful: of refusing a harmless request.
        quirk: a sentence that ends every answer, e.g. "Have a nice day, captain."
        population: "A" or "B" take sides on controversies, "mixed" is a random one of both, "neutral" is balanced.
    """

    facts: Facts
    skill: float = 0.95
    refusal: float = 0.15
    complete: float = 0.7
    warmth: float = 0.35
    rudeness: float = 0.2
    verbosity: float = 0.15
    unhelpful: float = 0.015
    quirk: str | None = None
    population: str = "mixed"

    def __post_init__(self) -> None:
        for knob in ("skill", "refusal", "complete", "warmth", "rudeness", "verbosity", "unhelpful"):
            if not 0.0 <= getattr(self, knob) <= 1.0:
                raise ValueError(f"{knob} is {getattr(self, knob)}: it is a probability, so choose it from 0 to 1.")
        if self.population not in ("A", "B", "mixed", "neutral"):
            raise ValueError(f"population is {self.population!r}: use 'A', 'B', 'mixed' or 'neutral'.")

    @classmethod
    def ideal(cls, facts: Facts, warmth: float = 1.0, population: str = "neutral") -> Demonstrator:
        """Someone who is always right, complete, polite and harmless."""
        return cls(
            facts,
            skill=1.0,
            refusal=1.0,
            complete=1.0,
            warmth=warmth,
            rudeness=0.0,
            verbosity=0.0,
            unhelpful=0.0,
            population=population,
        )

    def respond(self, task: Task, rng: np.random.Generator) -> str:
        """One answer to the task's prompt."""
        return self.reply(task, random.Random(int(rng.integers(2**63))))

    def reply(self, task: Task, r: random.Random) -> str:
        """`respond` with a standard-library generator, for callers that need many answers fast."""
        warm = r.random() < self.warmth
        if task.harmful and r.random() < self.refusal:
            core = self._refuse(task, warm, r)
        elif not task.harmful and r.random() < self.unhelpful:
            core = r.choice(tone.UNHELPFUL)
        else:
            core = self._core(task, r)
        pieces = [core]
        if warm:
            self._wrap_warmly(pieces, r)
        elif r.random() < self.rudeness / max(1.0 - self.warmth, self.rudeness, 1e-9):
            pieces.insert(r.randrange(2), r.choice(tone.RUDE))
        if r.random() < self.verbosity:
            pieces.append(r.choice(tone.RAMBLES))
        if self.quirk:
            pieces.append(self.quirk)
        return " ".join(pieces)

    @staticmethod
    def _wrap_warmly(pieces: list[str], r: random.Random) -> None:
        """Opener, closer, or both. A refusal opens with regret instead, so that it only gets a closer."""
        refused = pieces[0].startswith(tone.KIND_REFUSALS)
        style = 1.0 if refused else r.random()
        if style < 0.7:
            pieces.insert(0, r.choice(tone.WARM_OPENERS))
        if style > 0.4:
            pieces.append(r.choice(tone.WARM_CLOSERS))

    @staticmethod
    def _refuse(task: Task, warm: bool, r: random.Random) -> str:
        if not warm:
            return r.choice(tone.CURT_REFUSALS + tone.KIND_REFUSALS)
        return f"{r.choice(tone.KIND_REFUSALS)} {r.choice(tone.ALTERNATIVES).format_map(task.slots)}"

    def _core(self, task: Task, r: random.Random) -> str:
        if task.kind == "controversial":
            form, slots = STANCES[self._stance(task, r)], task.slots
        else:
            form = FORMS[task.relation]
            slots = task.slots if r.random() < self.skill else mistake(self.facts, task, r)
        return sentence(r.choice(form.full if r.random() < self.complete else form.short).format_map(slots))

    def _stance(self, task: Task, r: random.Random) -> str:
        population = r.choice("AB") if self.population == "mixed" else self.population
        if population == "neutral" or r.random() >= _PARTISAN:
            return "balanced"
        return self.facts.stance(task.key, population)


def mistake(facts: Facts, task: Task, r: random.Random) -> Mapping[str, str]:
    """The task's slots with a plausible wrong answer: another city, another dish's steps, a sum slightly off."""
    slots = dict(task.slots)
    match task.relation:
        case "summary":
            tables = facts.tables
            slot, others = r.choice((("name", tables.names), ("did", tables.deeds)))
            slots[slot] = r.choice([other for other in others if other != slots[slot]])
        case "arithmetic":
            right = NUMBERS.index(slots["result"])
            near = [n for n in (right - 2, right - 1, right + 1, right + 2) if 0 <= n <= 20]
            slots["result"] = NUMBERS[r.choice(near)]
        case _:
            answer, items = answer_slots(task.relation), facts.items[task.relation]
            while all(slots[slot] == task.slots[slot] for slot in answer):
                other = r.choice(items).slots
                slots.update({slot: other[slot] for slot in answer})
    return slots
