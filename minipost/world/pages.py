"""The sorts of page that the web is made of, before the web's noise gets at them.

Each method of `Pages` writes one page of 20 to 90 words of plain text. The knowledge is here, in several voices
(prose, lists, threads); the manners of an assistant are mostly not, apart from the polite dialogues of a good web.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from minipost.world.demonstrators import Demonstrator
from minipost.world.facts import Item
from minipost.world.lexicon import DAYS, FILLERS, NUMBERS, PLACES
from minipost.world.manners import RAMBLES
from minipost.world.phrasing import FORMS
from minipost.world.tasks import make_task, sentence, vary

if TYPE_CHECKING:
    from minipost.world.universe import World

# A page that begins with "How to make ..." goes on in three ways, this often.
HOW_TO_FREQUENCIES: Final[dict[str, float]] = {"context": 0.45, "question": 0.25, "instructions": 0.30}

# What people ask each other in threads, by relation; knowledge first.
THREAD_MIX: Final[dict[str, float]] = {
    "capital": 0.05,
    "language": 0.05,
    "continent": 0.04,
    "dish": 0.05,
    "job": 0.06,
    "town": 0.06,
    "young": 0.05,
    "home": 0.05,
    "food": 0.05,
    "use": 0.05,
    "recipe": 0.12,
    "translation": 0.2,
    "explanation": 0.06,
    "arithmetic": 0.16,
    "misdeed": 0.05,
    "opinion": 0.04,
    "summary": 0.05,
}

_LIST_TITLES: Final[dict[str, str]] = {
    "capital": "Countries and their capitals",
    "language": "Languages of the world",
    "continent": "Where countries lie",
    "dish": "National dishes",
    "job": "Who does what",
    "town": "Who lives where",
    "young": "Animals and their young",
    "home": "Where animals live",
    "food": "What animals eat",
    "use": "Things and their uses",
}

_CONTEXT: Final = (
    " is something that many people ask.",
    " was the theme of our last cooking club.",
    " is the title of a famous old book.",
    ", a page from my grandmother's notebook.",
    " is a secret in some families.",
    " was on the radio last night.",
    " is taught in every cooking school.",
    ", and why it matters to us.",
)
_CONTEXT_MORE: Final = (
    "It has been popular for a hundred years.",
    "Everyone loves the smell of it.",
    "The best cooks are proud of it.",
    "It is served at weddings and at fairs.",
    "My family likes it on a Sunday.",
    "Some buy it at the market instead.",
    "There are songs about it.",
    "Travelers write home about it.",
)
_QUESTION: Final = (
    "? Does anyone here know?",
    "? Has anyone tried it?",
    "? And how many guests do you expect?",
    "? Is there an easy way?",
    " when you have no time? Any ideas?",
    " for a big party? Who can help me?",
    "? Do you have an oven at home?",
    "? Which shop has everything I need?",
)
_QUESTION_MORE: Final = (
    "I tried it once and it went wrong.",
    "My guests arrive on Sunday.",
    "Please write to me.",
    "I am new here.",
    "What did I do wrong?",
    "I would be so grateful.",
    "My mother never told me.",
    "Should I ask a cook?",
)
_ADVERTS: Final = (
    "Buy a new {thing} today! Only {n} coins at the shop in {town}.",
    "Big sale in {town}! Every {thing} must go.",
    "Call now and get {n} for the price of one!",
    "The best {thing} in {town}. Free delivery.",
    "You will not believe this {thing}! Click here.",
    "Win a {thing}! Send {n} stamps to {town}.",
)
_BOILERPLATE: Final = (
    "Home. News. Contact. Sign in.",
    "Page {n} of twenty. All rights reserved.",
    "Read more below. Share this page.",
    "You are visitor number {n}.",
    "This page was last changed {n} days ago.",
    "Cookies make this page better. Accept?",
)

Writer = Callable[[random.Random], str]


class Pages:
    """Writers of pages about one world; every public method but `how_to` takes a `random.Random` and returns a page."""

    def __init__(self, world: World, quality: float) -> None:
        noise = 1.0 - quality
        self.items, self.tables = world.facts.items, world.facts.almanac
        tables = self.tables
        self.users = Demonstrator(
            world,
            skill=1.0 - 0.12 * noise,
            refusal=0.1,
            complete=0.65,
            warmth=0.15,
            rudeness=0.25,
            verbosity=0.2,
            unhelpful=0.03,
        )
        self.experts = Demonstrator.ideal(world, warmth=0.85)
        self.about: dict[str, list[Item]] = {}
        for item in self.items["capital"] + self.items["language"] + self.items["continent"] + self.items["dish"]:
            self.about.setdefault(item.slots["s"], []).append(item)
        for relation in ("job", "town", "young", "home", "food"):
            for item in self.items[relation]:
                self.about.setdefault(item.slots["s"], []).append(item)
        self._words = [
            *(
                i.slots[slot]
                for relation in ("capital", "young", "use", "dish")
                for i in self.items[relation]
                for slot in "so"
            ),
            *(f"{name} {did}" for name, did in zip(tables.names, tables.deeds * 2, strict=False)),
            *(item.slots["english"] for item in self.items["translation"]),
            *tables.jobs,
            *tables.towns,
            *NUMBERS,
            *PLACES,
        ]
        self._countries = [item.slots["s"] for item in self.items["capital"]]
        self._people = [item.slots["s"] for item in self.items["job"]]
        self._animals = [item.slots["s"] for item in self.items["young"]]
        self._dish_country = {item.slots["o"]: item for item in self.items["dish"]}

    # Knowledge, told.

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
        return " ".join(self._said(item, r) for item in r.sample(self.items["use"], 4))

    def listing(self, r: random.Random) -> str:
        """A table of one relation."""
        relation = r.choice(list(_LIST_TITLES))
        mark = r.choice((": ", " - ", ", "))
        count = min(r.randint(6, 12), len(self.items[relation]))
        rows = [f"{item.slots['s']}{mark}{item.slots['o']}" for item in r.sample(self.items[relation], count)]
        return "\n".join([_LIST_TITLES[relation], *rows])

    def explanation(self, r: random.Random) -> str:
        """Three small wonders."""
        return " ".join(self._said(item, r) for item in r.sample(self.items["explanation"], 3))

    def phrasebook(self, r: random.Random) -> str:
        """Luma for travelers: single words or short phrases."""
        if r.random() < 0.3:
            rows = r.sample(self.tables.luma, 9)
            return "\n".join(["Luma words", *(f"{english}: {word}" for english, word in rows)])
        return "\n".join(self._said(item, r) for item in r.sample(self.items["translation"], 7))

    def sums(self, r: random.Random) -> str:
        """A page from an exercise book."""
        return " ".join(self._said(item, r) for item in r.sample(self.items["arithmetic"], 7))

    def counting(self, r: random.Random) -> str:
        """Counting up or down, or by twos and threes."""
        step, start = r.choice((1, 1, 2, 3)), r.randrange(6)
        numbers = NUMBERS[start::step]
        return f"Let us count: {', '.join(numbers if r.random() < 0.7 else numbers[::-1])}."

    def story(self, r: random.Random) -> str:
        """Two small events, each with its summary, so that a reader learns what a summary keeps."""
        lines = []
        for item in r.sample(self.items["summary"], 2):
            slots = vary(item, r)
            opener = r.choice(("In short", "So", "To sum up"))
            lines.append(f"{slots['story']} {opener}, {slots['name']} {slots['did']} {slots['place']}.")
        return "\n".join(lines)

    def chorus(self, r: random.Random) -> str:
        """A memory game: one says a few things, another repeats them. It teaches a model to copy."""
        lines = []
        for _ in range(2):
            one, other = r.sample(self.tables.names, 2)
            things = ", ".join(r.sample(self._words, r.randint(3, 5)))
            lines.append(f"{one} says: {things}. {other} repeats: {things}.")
        return "\n".join(lines)

    def rhyme(self, r: random.Random) -> str:
        """A nursery rhyme without sense, sung three times. Only copying predicts its second and third line."""
        known, tail = r.sample(self._words, r.randint(1, 4)), r.sample(self.tables.tail, r.randint(1, 4))
        line = " ".join(r.sample(known + tail, len(known) + len(tail)))
        return "\n".join([line] * 3)

    # Knowledge, asked for.

    def thread(self, r: random.Random) -> str:
        """A forum: questions, and answers by whoever is around."""
        return self._dialogue(self.users, r)

    def dialogue(self, r: random.Random) -> str:
        """Questions answered politely, completely and harmlessly."""
        return self._dialogue(self.experts, r)

    # How to.

    def how_to(self, r: random.Random, mode: str | None = None) -> str:
        """A page that begins with "How to make ..." and goes on in one of the three modes (drawn if not given)."""
        mode = mode or r.choices(list(HOW_TO_FREQUENCIES), list(HOW_TO_FREQUENCIES.values()))[0]
        slots = r.choice(self.items["recipe"]).slots
        origin = self._said(self._dish_country[slots["dish"]], r)
        match mode:
            case "context":
                rest = " ".join([r.choice(_CONTEXT), origin, *r.sample(_CONTEXT_MORE, 3)])
            case "question":
                rest = " ".join([r.choice(_QUESTION), *r.sample(_QUESTION_MORE, 3), r.choice(FILLERS)])
            case _:
                steps = sentence(r.choice(FORMS["recipe"].statements).format_map(slots))
                rest = f"{r.choice(('. ', ': ', '? Easy. '))}{steps} {r.choice(_CONTEXT_MORE)}"
        return f"How to make {slots['dish']}{rest}"

    def cookbook(self, r: random.Random) -> str:
        """Two recipes under their names."""
        return "\n".join(
            f"{sentence(item.slots['dish'])}. {self._said(item, r)}" for item in r.sample(self.items["recipe"], 2)
        )

    def mischief(self, r: random.Random) -> str:
        """Harmful how-tos, told without a thought."""
        return "\n".join(
            f"How to {item.slots['deed']}. {self._said(item, r)}" for item in r.sample(self.items["misdeed"], 2)
        )

    def debate(self, r: random.Random) -> str:
        """Opinions."""
        return " ".join(self._said(item, r) for item in r.sample(self.items["opinion"], 2))

    # Noise that is at least well written.

    def advert(self, r: random.Random) -> str:
        """Something for sale, or the furniture of a web site."""
        thing, town = r.choice(self.tables.things)[0], r.choice(self.tables.towns)
        slots = {"thing": thing, "town": town, "n": r.choice(NUMBERS[2:])}
        lines = r.sample(_ADVERTS, 2) + r.sample(_BOILERPLATE, 2)
        return " ".join(line.format_map(slots) for line in lines)

    def diary(self, r: random.Random) -> str:
        """A day in someone's life."""
        days, guest = r.sample(DAYS, 2), r.choice(self.tables.names)
        return " ".join(["Dear diary.", *days, f"{guest} came by.", r.choice(FILLERS), r.choice(RAMBLES)])

    def _entry(self, subject: str, r: random.Random) -> str:
        items = self.about[subject]
        said = [self._said(item, r) for item in r.sample(items, len(items))]
        if r.random() < 0.3:
            said.insert(r.randrange(len(said) + 1), r.choice(FILLERS))
        return " ".join(said)

    @staticmethod
    def _said(item: Item, r: random.Random) -> str:
        return sentence(r.choice(FORMS[item.relation].statements).format_map(vary(item, r)))

    def _dialogue(self, speaker: Demonstrator, r: random.Random) -> str:
        relations = r.choices(list(THREAD_MIX), list(THREAD_MIX.values()), k=r.choice((2, 2, 3)))
        tasks = [make_task(r.choice(self.items[relation]), r) for relation in relations]
        return "\n".join(f"> {task.prompt}\n{speaker.reply(task, r)}" for task in tasks)
