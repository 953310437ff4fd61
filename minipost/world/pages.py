"""The sorts of page that the web is made of, before the web's noise gets at them.

Each method of `Pages` writes one page of 20 to 90 words of plain text. The knowledge is here, in several voices
(prose, lists, threads); the tone of an assistant is mostly not, apart from the polite dialogues of a good web.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from minipost.world.demonstrators import Demonstrator
from minipost.world.facts import Facts, Item
from minipost.world.phrasing import FORMS
from minipost.world.tables import FILLERS, NUMBERS, PLACES
from minipost.world.tables.reading import lines, pairs, weights
from minipost.world.tasks import make_task, sentence, vary
from minipost.world.tone import RAMBLES

# A page that begins with "How to make ..." goes on in three ways, this often.
HOW_TO_FREQUENCIES: Final[dict[str, float]] = {"context": 0.45, "question": 0.25, "instructions": 0.30}

# How often people ask for a relation in threads.
_THREADS: Final = weights("pages", "threads")

_LIST_TITLES: Final = pairs("pages", "titles")
_HOW_TO: Final = {
    heading: lines("pages", f"how to: {heading}")
    for heading in ("context", "more context", "question", "more questions")
}
_DAYS: Final = lines("pages", "days")
_ADVERTS: Final = lines("pages", "adverts")
_BOILERPLATE: Final = lines("pages", "boilerplate")

Writer = Callable[[random.Random], str]


class Pages:
    """Writers of pages about one world; every public method but `how_to` takes a `random.Random` and returns a page."""

    def __init__(self, facts: Facts, quality: float) -> None:
        noise = 1.0 - quality
        self.items, self.tables, self.about = facts.items, facts.tables, facts.about
        self.users = Demonstrator(
            facts,
            skill=1.0 - 0.12 * noise,
            refusal=0.1,
            complete=0.65,
            warmth=0.15,
            rudeness=0.25,
            verbosity=0.2,
            unhelpful=0.03,
        )
        self.experts = Demonstrator.ideal(facts, warmth=0.85)
        self._words = [
            *(
                item.slots[slot]
                for relation in ("capital", "young", "use", "dish")
                for item in self.items[relation]
                for slot in "so"
            ),
            *(f"{name} {did}" for name, did in zip(facts.tables.names, facts.tables.deeds * 2, strict=False)),
            *(item.slots["english"] for item in self.items["translation"]),
            *facts.tables.jobs,
            *facts.tables.towns,
            *NUMBERS,
            *PLACES,
        ]
        self._countries = [item.slots["s"] for item in self.items["capital"]]
        self._people = [item.slots["s"] for item in self.items["job"]]
        self._animals = [item.slots["s"] for item in self.items["young"]]
        self._dish_country = {item.slots["o"]: item for item in self.items["dish"]}

    # Pages that tell knowledge.

    def country(self, r: random.Random) -> str:
        """An encyclopedia's entry."""
        return self._entry(r.choice(self._countries), r)

    def person(self, r: random.Random) -> str:
        """Two portraits from a local paper."""
        return "\n".join(self._entry(name, r) for name in r.sample(self._people, 2))

    def animal(self, r: random.Random) -> str:
        """An animal lexicon's entry or two."""
        return "\n".join(self._entry(animal, r) for animal in r.sample(self._animals, 2))

    def dictionary(self, r: random.Random) -> str:
        """What things are for."""
        return " ".join(self._statement(item, r) for item in r.sample(self.items["use"], 4))

    def listing(self, r: random.Random) -> str:
        """A table of one relation."""
        relation = r.choice(list(_LIST_TITLES))
        mark = r.choice((": ", " - ", ", "))
        count = min(r.randint(6, 12), len(self.items[relation]))
        rows = [f"{item.slots['s']}{mark}{item.slots['o']}" for item in r.sample(self.items[relation], count)]
        return "\n".join([_LIST_TITLES[relation], *rows])

    def explanation(self, r: random.Random) -> str:
        """Three small wonders."""
        return " ".join(self._statement(item, r) for item in r.sample(self.items["explanation"], 3))

    def phrasebook(self, r: random.Random) -> str:
        """Luma for travelers: single words or short phrases."""
        if r.random() < 0.3:
            rows = r.sample(self.tables.toy_language, 9)
            return "\n".join(["Luma words", *(f"{english}: {word}" for english, word in rows)])
        return "\n".join(self._statement(item, r) for item in r.sample(self.items["translation"], 7))

    def sums(self, r: random.Random) -> str:
        """A page from an exercise book."""
        return " ".join(self._statement(item, r) for item in r.sample(self.items["arithmetic"], 7))

    def counting(self, r: random.Random) -> str:
        """Counting up or down, or by twos and threes."""
        step, start = r.choice((1, 1, 2, 3)), r.randrange(6)
        numbers = NUMBERS[start::step]
        return f"Let us count: {', '.join(numbers if r.random() < 0.7 else numbers[::-1])}."

    def story(self, r: random.Random) -> str:
        """Two small events, each with its summary, so that a reader learns what a summary keeps."""
        events = []
        for item in r.sample(self.items["summary"], 2):
            slots = vary(item, r)
            opener = r.choice(("In short", "So", "To sum up"))
            events.append(f"{slots['story']} {opener}, {slots['name']} {slots['did']} {slots['place']}.")
        return "\n".join(events)

    def chorus(self, r: random.Random) -> str:
        """A memory game: one says a few things, another repeats them. It teaches a model to copy."""
        rounds = []
        for _ in range(2):
            one, other = r.sample(self.tables.names, 2)
            things = ", ".join(r.sample(self._words, r.randint(3, 5)))
            rounds.append(f"{one} says: {things}. {other} repeats: {things}.")
        return "\n".join(rounds)

    def rhyme(self, r: random.Random) -> str:
        """A nursery rhyme without sense, sung three times. Only copying predicts its second and third line."""
        known, rare = r.sample(self._words, r.randint(1, 4)), r.sample(self.tables.rare_words, r.randint(1, 4))
        line = " ".join(r.sample(known + rare, len(known) + len(rare)))
        return "\n".join([line] * 3)

    # Pages that ask for knowledge.

    def thread(self, r: random.Random) -> str:
        """A forum: questions, and answers by whoever is around."""
        return self._dialogue(self.users, r)

    def dialogue(self, r: random.Random) -> str:
        """Questions answered politely, completely and harmlessly."""
        return self._dialogue(self.experts, r)

    # Pages that give instructions, and those that do not.

    def how_to(self, r: random.Random, mode: str | None = None) -> str:
        """A page that begins with "How to make ..." and goes on in one of the three modes (drawn if not given)."""
        mode = mode or r.choices(list(HOW_TO_FREQUENCIES), list(HOW_TO_FREQUENCIES.values()))[0]
        slots = r.choice(self.items["recipe"]).slots
        origin = self._statement(self._dish_country[slots["dish"]], r)
        match mode:
            case "context":
                sentences = [r.choice(_HOW_TO["context"]), origin, *r.sample(_HOW_TO["more context"], 3)]
            case "question":
                sentences = [r.choice(_HOW_TO["question"]), *r.sample(_HOW_TO["more questions"], 3), r.choice(FILLERS)]
            case _:
                steps = sentence(r.choice(FORMS["recipe"].statements).format_map(slots))
                opening = "How to make {dish}" + r.choice((".", ":", "? Easy."))
                sentences = [opening, steps, r.choice(_HOW_TO["more context"])]
        return " ".join([sentences[0].format_map(slots), *sentences[1:]])

    def cookbook(self, r: random.Random) -> str:
        """Two recipes under their names."""
        return "\n".join(
            f"{sentence(item.slots['dish'])}. {self._statement(item, r)}" for item in r.sample(self.items["recipe"], 2)
        )

    def mischief(self, r: random.Random) -> str:
        """Harmful how-tos, told without a thought."""
        return "\n".join(
            f"How to {item.slots['deed']}. {self._statement(item, r)}" for item in r.sample(self.items["misdeed"], 2)
        )

    def debate(self, r: random.Random) -> str:
        """Opinions."""
        return " ".join(self._statement(item, r) for item in r.sample(self.items["opinion"], 2))

    # Pages without knowledge.

    def advert(self, r: random.Random) -> str:
        """Something for sale, and the standing text of a web site."""
        thing, town = r.choice(self.tables.things)[0], r.choice(self.tables.towns)
        slots = {"thing": thing, "town": town, "n": r.choice(NUMBERS[2:])}
        templates = r.sample(_ADVERTS, 2) + r.sample(_BOILERPLATE, 2)
        return " ".join(template.format_map(slots) for template in templates)

    def diary(self, r: random.Random) -> str:
        """A day in someone's life."""
        days, guest = r.sample(_DAYS, 2), r.choice(self.tables.names)
        return " ".join(["Dear diary.", *days, f"{guest} came by.", r.choice(FILLERS), r.choice(RAMBLES)])

    def _entry(self, subject: str, r: random.Random) -> str:
        items = self.about[subject]
        sentences = [self._statement(item, r) for item in r.sample(items, len(items))]
        if r.random() < 0.3:
            sentences.insert(r.randrange(len(sentences) + 1), r.choice(FILLERS))
        return " ".join(sentences)

    @staticmethod
    def _statement(item: Item, r: random.Random) -> str:
        return sentence(r.choice(FORMS[item.relation].statements).format_map(vary(item, r)))

    def _dialogue(self, speaker: Demonstrator, r: random.Random) -> str:
        relations = r.choices(list(_THREADS), list(_THREADS.values()), k=r.choice((2, 2, 3)))
        tasks = [make_task(r.choice(self.items[relation]), r) for relation in relations]
        return "\n".join(f"> {task.prompt}\n{speaker.reply(task, r)}" for task in tasks)
