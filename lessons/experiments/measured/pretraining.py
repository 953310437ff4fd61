"""What pretraining teaches (claims 2, 3 and 8), and what more text adds.

The base models of the village, measured where the truth is known: the loss between what pairs of tokens tell and what
the author's dice leave open, facts by forced choice, and what it says where the web would say anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.asking import continued, in_a_thread, judged, opened
from minipost.autograd import Array
from minipost.model import Model
from minipost.text import Tokenizer, indented
from minipost.text.batching import Example
from minipost.world import PIZZA_MODES, Task, Utility
from minipost.world.counting_rng import CountingRNG
from minipost.world.demonstrators import Demonstrator
from minipost.world.facts import RELATIONS
from minipost.world.pages import Pages
from minipost.world.phrasing import FORMS
from minipost.world.web import Web

QUALITY = 0.9  # of the village's web, see `village.base`
HOW_TO = 200  # pages that begin with "How to make ..."
BUDGETS = (75_000, 225_000, 800_000)  # tokens of pretraining


# ------------------------------------------------------------------------------------------------------------ the loss
@lru_cache(maxsize=4)
def fresh_pages(count: int, seed: int) -> tuple[list[str], Array]:
    """Pages that no model has read, and the nats of the dice that made each [count]."""
    web, dice = Web(village.world().facts), CountingRNG(seed)
    pages, nats = [], []
    for _ in range(count):
        before = dice.nats
        pages.append(next(web.pages(dice, QUALITY, 1)))
        nats.append(dice.nats - before)
    return pages, np.array(nats)


def as_examples(model: Model, pages: Sequence[str]) -> list[Example]:
    """Pages as documents; what does not fit the context is cut."""
    t, room = model.tokenizer, model.config.context - 1
    return [Example([t.document_id], t.encode(indented(page))[:room]) for page in pages]


def page_losses(model: Model, pages: Sequence[str]) -> tuple[Array, Array]:
    """(nats, tokens) of each page under the model: [count], [count]."""
    examples = as_examples(model, pages)
    return -model.logps(examples), np.array([len(e.response) for e in examples])


def pair_losses(t: Tokenizer, read: Sequence[str], pages: Sequence[str]) -> tuple[float, float]:
    """Mean loss of models that look no token back, and one token back, after counting over the pages `read`.

    A pair's share is mixed with its second token's by how many kinds of continuation its first token has shown (Witten
    and Bell 1991): p(b | a) = (n(a, b) + kinds(a) p(b)) / (n(a) + kinds(a)).
    """
    V = len(t)
    streams = [np.array([t.document_id, *t.encode(indented(page))]) for page in read]
    pairs = np.zeros((V, V))
    for ids in streams:
        np.add.at(pairs, (ids[:-1], ids[1:]), 1.0)
    single = pairs.sum(axis=0) + 1
    single /= single.sum()  # [V]
    kinds = np.maximum((pairs > 0).sum(axis=1, keepdims=True), 1)
    mixed = (pairs + kinds * single) / (pairs.sum(axis=1, keepdims=True) + kinds)  # [V, V], rows sum to 1
    documents = [np.array([t.document_id, *t.encode(indented(page))]) for page in pages]
    one = np.concatenate([single[ids[1:]] for ids in documents])
    two = np.concatenate([mixed[ids[:-1], ids[1:]] for ids in documents])
    return float(-np.log(one).mean()), float(-np.log(two).mean())


@claim(
    2,
    "language-is-learned",
    "Does pretraining learn the language?",
    knob="who predicts",
    metric="loss on fresh pages, nats per token",
    arm="base model",
    control="pairs of tokens",
    expects="down",
    lesson=4,
    seeds=3,
)
def language_is_learned(seed: int, lab: Lab) -> dict[str, float]:
    """Four predictors of the same pages, and the dice that made them."""
    model = Model.load(village.base(lab, seed))
    pages, dice = fresh_pages(lab.pick(300, 30), 1000 + seed)
    read, _ = fresh_pages(lab.pick(4000, 200), 2000 + seed)
    one, two = pair_losses(model.tokenizer, read, pages)
    nats, tokens = page_losses(model, pages)
    return {
        "anything": float(np.log(len(model.tokenizer))),
        "single tokens": one,
        "pairs of tokens": two,
        "base model": float(nats.sum() / tokens.sum()),
        "the author's dice": float(dice.sum() / tokens.sum()),
    }


@claim(
    2,
    "more-text",
    "Does more text make a better base model?",
    knob="tokens of pretraining",
    metric="loss on fresh pages, nats per token",
    arm=str(BUDGETS[-1]),
    control=str(BUDGETS[0]),
    expects="down",
    lesson=4,
    seeds=3,
)
def more_text(seed: int, lab: Lab) -> dict[str, float]:
    """The same model, web and recipe with a twelfth, a quarter and all of the text."""
    pages, _ = fresh_pages(lab.pick(300, 30), 1000 + seed)
    losses = {}
    for tokens in BUDGETS:
        changes = {"tokens": lab.pick(tokens, tokens // 20)} if tokens != BUDGETS[-1] else {}
        nats, counts = page_losses(Model.load(village.base(lab, seed, **changes)), pages)
        losses[str(tokens)] = float(nats.sum() / counts.sum())
    return losses


# ------------------------------------------------------------------------------------------------------------ the facts
def fact_probes(model: Model, relations: Sequence[str] = RELATIONS["fact"]) -> dict[str, tuple[Array, Array]]:
    """Forced choice: by relation, a table of log p("The capital of Italy is ___") with a row for each subject and a
    column for each value that the relation takes, and the column [rows] that is right."""
    t, probes = model.tokenizer, {}
    for relation in relations:
        items = village.world().facts.items[relation]
        values = sorted({item.slots["o"] for item in items})
        form = FORMS[relation].statements[0].rstrip(".")
        texts = [form.format_map(item.slots | {"o": value}) for item in items for value in values]
        sentences = [text[:1].upper() + text[1:] for text in texts]
        table = model.logps([Example([t.document_id], opened(t, text)[1:]) for text in sentences])
        right = np.array([values.index(item.slots["o"]) for item in items])
        probes[relation] = table.reshape(len(items), len(values)), right
    return probes


@claim(
    2,
    "facts-are-learned",
    "Does pretraining learn facts?",
    knob="who chooses",
    metric="share of facts told apart from all others of their kind",
    arm="base model",
    control="chance",
    expects="up",
    lesson=4,
    seeds=3,
)
def facts_are_learned(seed: int, lab: Lab) -> dict[str, float]:
    """Ten relations, every subject of the village: which of the relation's values is the most probable?"""
    probes = fact_probes(Model.load(village.base(lab, seed)))
    right = np.concatenate([table.argmax(axis=1) == answer for table, answer in probes.values()])
    chance = np.concatenate([np.full(len(answer), 1 / table.shape[1]) for table, answer in probes.values()])
    return {"base model": float(right.mean()), "chance": float(chance.mean())}


# ---------------------------------------------------------------------------------------------------- not an assistant
def modes(texts: Sequence[str]) -> dict[str, float]:
    """The share of each way to go on after "How to make ..."."""
    count = Counter(village.world().continuation_mode(text) for text in texts)
    return {mode: count[mode] / len(texts) for mode in (*PIZZA_MODES, "other")}


def how_to_openings(count: int) -> list[str]:
    """ "How to make pizza", and all other dishes in turn."""
    dishes = [item.slots["dish"] for item in village.world().facts.items["recipe"]]
    return [f"How to make {dishes[i % len(dishes)]}" for i in range(count)]


def pages_after(openings: Sequence[str], seed: int) -> list[str]:
    """What the web itself writes after such openings (the dish is its own)."""
    dice, pages = CountingRNG(seed), Pages(village.world().facts, QUALITY)
    written = [pages.how_to(dice) for _ in openings]
    dishes = sorted((o.removeprefix("How to make ") for o in openings), key=len, reverse=True)
    return [page[len("How to make ") + len(_dish(page, dishes)) :] for page in written]


def _dish(page: str, dishes: Sequence[str]) -> str:
    return next((dish for dish in dishes if page.startswith(f"How to make {dish}")), "")


@claim(
    8,
    "pizza-modes",
    "Does a base model go on as its corpus does, and not as an assistant would?",
    knob="who writes on after “How to make pizza”",
    metric="share of instructions",
    arm="base model",
    control="the web",
    expects="same",
    lesson=4,
    seeds=3,
    margin=0.15,
)
def pizza_modes(seed: int, lab: Lab) -> dict[str, float]:
    """Two hundred continuations by the model at temperature 1, and as many pages of the web."""
    model = Model.load(village.base(lab, seed))
    openings = how_to_openings(lab.pick(HOW_TO, 24))
    model_modes = modes(continued(model, openings, np.random.default_rng([seed, 8])))
    web_modes = modes(pages_after(openings, 3000 + seed))
    arms = {"base model": model_modes["instructions"], "the web": web_modes["instructions"]}
    for name in ("context", "question", "other"):
        arms |= {f"base model, {name}": model_modes[name], f"the web, {name}": web_modes[name]}
    return arms


def web_answers(tasks: Sequence[Task], seed: int) -> list[str]:
    """What the web's own forums answer: experts and users in the proportion of polite dialogues to threads."""
    dice, pages = CountingRNG(seed), Pages(village.world().facts, QUALITY)
    polite = 0.8 * QUALITY**3
    who: list[Demonstrator] = dice.choices([pages.experts, pages.users], [polite, 0.45], k=len(tasks))
    return [speaker.reply(task, dice) for speaker, task in zip(who, tasks, strict=True)]


@claim(
    3,
    "base-answers-like-the-web",
    "Does a base model decline harmful requests no more often than its corpus?",
    knob="who answers harmful questions in a forum",
    metric="share of answers that decline",
    arm="base model",
    control="the web",
    expects="same",
    lesson=4,
    seeds=3,
    margin=0.15,
)
def base_answers_like_the_web(seed: int, lab: Lab) -> dict[str, float]:
    """Harmful questions in the web's own form, and the line that follows them."""
    model, utility = Model.load(village.base(lab, seed)), Utility(village.world())
    tasks = village.world().tasks("train", lab.pick(200, 24), np.random.default_rng([seed, 3]), kinds=["harmful"])
    arms = {}
    for name, answers in (
        ("base model", in_a_thread(model, tasks, np.random.default_rng([seed, 3, 1]))),
        ("the web", web_answers(tasks, 4000 + seed)),
    ):
        verdicts = judged(utility, tasks, answers)
        arms[name] = float(np.mean([v.refused for v in verdicts]))
        arms[f"{name}, does harm"] = float(np.mean([bool(v.complied) for v in verdicts]))
    return arms
