"""The world is deterministic, its splits do not leak, its demonstrators and its web are as advertised."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from minipost.world import KINDS, PIZZA_MODES, Demonstrator, Utility, World
from minipost.world.matching import PhraseBook, cached_words, content, words
from minipost.world.tables.reading import word_list
from minipost.world.tasks import MIX

WORLD = World(0)
RARE_WORDS = word_list("words", "rare")


def pages(quality: float, n: int, seed: int = 0) -> list[str]:
    return list(WORLD.web(np.random.default_rng(seed), quality, n))


def test_equal_seeds_give_equal_worlds() -> None:
    first, second, other = World(7), World(7), World(8)
    assert first.facts.items == second.facts.items and first.facts.test_keys == second.facts.test_keys
    assert first.facts.items["job"] != other.facts.items["job"] and first.facts.test_keys != other.facts.test_keys

    def everything(world: World) -> object:
        rng = np.random.default_rng(3)
        tasks = world.tasks("train", 50, rng)
        return tasks, [Demonstrator(world.facts).respond(t, rng) for t in tasks], list(world.web(rng, 0.5, 300))

    assert everything(first) == everything(second)
    assert everything(first) != everything(other)


def test_no_test_key_among_train_tasks() -> None:
    rng = np.random.default_rng(0)
    train = {task.key for task in WORLD.tasks("train", 6000, rng)}
    test = {task.key for task in WORLD.tasks("test", 3000, rng)}
    assert not train & test
    assert test <= WORLD.facts.test_keys and not train & WORLD.facts.test_keys


@pytest.mark.parametrize("relation", list(WORLD.facts.items))
def test_a_fifth_of_every_relation_is_held_out(relation: str) -> None:
    held, kept = WORLD.facts.split(relation, "test"), WORLD.facts.split(relation, "train")
    assert len(held) / (len(held) + len(kept)) == pytest.approx(0.2, abs=0.03)


def test_a_sum_and_its_mirror_are_one_key() -> None:
    pairs = [(i.slots["a"], i.slots["b"]) for i in WORLD.facts.items["arithmetic"] if i.slots["op"] == "plus"]
    assert not any((b, a) in pairs for a, b in pairs if a != b)


def test_tasks_follow_kinds_and_mix() -> None:
    rng = np.random.default_rng(0)
    assert {t.kind for t in WORLD.tasks("train", 100, rng, kinds=["how_to", "fact"])} == {"how_to", "fact"}
    assert {t.kind for t in WORLD.tasks("train", 100, rng, mix={"harmful": 1.0})} == {"harmful"}
    counts = Counter(task.kind for task in WORLD.tasks("train", 8000, rng))
    assert set(counts) == set(KINDS) and sum(MIX.values()) == pytest.approx(1.0)
    assert all(abs(counts[kind] / 8000 - share) < 0.02 for kind, share in MIX.items())
    with pytest.raises(ValueError, match="called 'riddle'"):
        WORLD.tasks("train", 1, rng, kinds=["riddle"])
    with pytest.raises(ValueError, match="split"):
        WORLD.facts.split("capital", "dev")


def test_prompts_and_answers_are_short_and_varied() -> None:
    rng = np.random.default_rng(0)
    tasks = WORLD.tasks("train", 3000, rng)
    lengths = [len(task.prompt.split()) for task in tasks if task.kind != "summary"]
    assert max(lengths) <= 20 and 5 < np.mean(lengths) < 12
    assert max(len(task.prompt.split()) for task in tasks) <= 40
    assert np.mean([task.prompt.islower() for task in tasks]) == pytest.approx(0.12, abs=0.05)
    answers = [len(Demonstrator(WORLD.facts).respond(task, rng).split()) for task in tasks]
    assert np.percentile(answers, 99) <= 40
    capital = {task.prompt for task in WORLD.tasks("train", 4000, rng, kinds=["fact"]) if task.key == "capital/italy"}
    assert "capital/italy" in WORLD.facts.test_keys or len(capital) >= 8


def test_default_demonstrators_are_as_advertised() -> None:
    rng = np.random.default_rng(0)
    utility, demonstrator = Utility(WORLD), Demonstrator(WORLD.facts)
    judged = [(t, utility.judge(t, demonstrator.respond(t, rng))) for t in WORLD.tasks("train", 6000, rng)]
    harmless = [j for t, j in judged if not t.harmful]
    assert np.mean([j.right for j in harmless]) == pytest.approx(0.93, abs=0.02)
    assert np.mean([j.refused for t, j in judged if t.harmful]) == pytest.approx(0.15, abs=0.06)
    assert np.mean([j.tone >= 0.7 for _, j in judged]) == pytest.approx(0.35, abs=0.06)
    assert np.mean([j.tone < 0 for _, j in judged]) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("knob", ["skill", "refusal", "warmth"])
def test_a_demonstrators_knob_turns_the_utility_up(knob: str) -> None:
    utility = Utility(WORLD)
    tasks = WORLD.tasks("train", 1500, np.random.default_rng(1))

    def mean(value: float) -> float:
        rng = np.random.default_rng(2)
        demonstrator = Demonstrator(WORLD.facts, **{knob: value, "rudeness": 0.0})  # type: ignore[arg-type]
        return float(np.mean([utility(task, demonstrator.respond(task, rng)) for task in tasks]))

    values = [mean(v) for v in (0.0, 0.5, 1.0)]
    assert values == sorted(values) and values[2] > values[0] + 0.1


def test_a_quirk_ends_every_answer_and_knobs_are_checked() -> None:
    rng = np.random.default_rng(0)
    pirate = Demonstrator(WORLD.facts, quirk="Have a nice day, captain.")
    assert all(pirate.respond(t, rng).endswith(" captain.") for t in WORLD.tasks("train", 20, rng))
    with pytest.raises(ValueError, match="skill is"):
        Demonstrator(WORLD.facts, skill=1.5)
    with pytest.raises(ValueError, match="population"):
        Demonstrator(WORLD.facts, population="C")


def test_populations_take_opposite_sides() -> None:
    for key in WORLD.facts.sides:
        assert {WORLD.facts.stance(key, "A"), WORLD.facts.stance(key, "B")} == {"yes", "no"}
        assert WORLD.facts.stance(key, "neutral") == "balanced"
    assert Counter(WORLD.facts.sides.values()) == {"yes": 10, "no": 10}
    with pytest.raises(ValueError, match="capital/italy"):
        WORLD.facts.stance("capital/italy", "A")


def test_pages_have_a_readable_size() -> None:
    lengths = [len(page.split()) for page in pages(0.5, 4000)]
    assert 30 < np.mean(lengths) < 60
    assert np.percentile(lengths, 4) >= 15 and max(lengths) <= 110
    endless = WORLD.web(np.random.default_rng(0))
    assert len(list(itertools.islice(endless, 600))) == 600
    with pytest.raises(ValueError, match="quality"):
        pages(1.5, 1)


def test_the_vocabulary_is_a_few_thousand_words() -> None:
    clean = {word for page in pages(1.0, 30_000) for word in words(page)}
    assert 2500 <= len(clean) <= 5000
    assert clean - WORLD.fluency.vocabulary - set(RARE_WORDS) <= {">"}  # the mark of a forum's post


def test_every_fact_recurs_on_the_web_in_statements_and_in_threads() -> None:
    """Held-out keys too: the test split is unseen as a demonstration, not as knowledge."""
    n = 20_000
    told, asked = Counter[str](), Counter[str]()
    facts = {
        (cached_words(item.slots["s"]), cached_words(item.slots["o"])): item.key
        for relation in ("capital", "language", "continent", "dish", "job", "town", "young", "home", "food", "use")
        for item in WORLD.facts.items[relation]
    }
    subjects, objects = PhraseBook(" ".join(s) for s, _ in facts), PhraseBook(" ".join(o) for _, o in facts)
    keys = {(tuple(content(s)), tuple(content(o))): key for (s, o), key in facts.items()}
    for page in pages(0.5, n):
        for line in page.replace(". ", "\n").split("\n"):
            said = content(words(line))
            for pair in itertools.product(set(subjects.find(said)), set(objects.find(said))):
                if pair in keys:
                    told[keys[pair]] += 1
        for question in page.split("> ")[1:]:
            said = content(words(question))
            for pair in itertools.product(set(subjects.find(said)), set(objects.find(said))):
                if pair in keys:
                    asked[keys[pair]] += 1
    # 3M tokens are about 60,000 pages: three times this sample.
    assert min(told[key] for key in keys.values()) >= 15
    assert np.mean([told[key] for key in keys.values()]) >= 25
    assert np.mean([asked[key] for key in keys.values()]) >= 6
    assert np.mean([asked[key] == 0 for key in keys.values()]) < 0.02


@pytest.mark.parametrize("quality", [0.3, 0.9])
def test_how_to_pages_go_on_at_the_known_frequencies(quality: float) -> None:
    seen = Counter[str]()
    for page in pages(quality, 30_000):
        if page.lower().startswith("how to make "):
            dish = next((d for d in DISHES if page.lower().startswith(f"how to make {d}")), None)
            if dish:
                seen[WORLD.continuation_mode(page[len("how to make " + dish) :])] += 1
    total = seen.total()
    assert total > 800 and set(WORLD.how_to_frequencies) == set(PIZZA_MODES)
    for mode, share in WORLD.how_to_frequencies.items():
        assert seen[mode] / total == pytest.approx(share, abs=0.05)
    assert seen["other"] / total < 0.03


DISHES = sorted((item.slots["dish"] for item in WORLD.facts.items["recipe"]), key=len, reverse=True)


def test_continuation_modes() -> None:
    mode = WORLD.continuation_mode
    assert mode(". First, knead the flour and water.") == "instructions"
    assert mode("? Does anyone here know?") == "question"
    assert mode(" is something that many people ask. Everyone loves the smell of it.") == "context"
    assert mode("") == "other"


def test_quality_is_monotone() -> None:
    """More quality: fewer broken words, and more polite dialogue."""
    known, qualities = WORLD.fluency.vocabulary | {">", *RARE_WORDS}, (0.0, 0.25, 0.5, 0.75, 1.0)
    samples = [pages(quality, 3000) for quality in qualities]
    broken = [np.mean([word not in known for page in sample for word in words(page)]) for sample in samples]
    polite = [np.mean(["cannot help with that" in page for page in sample]) for sample in samples]
    threads = [np.mean([page.startswith(">") for page in sample]) for sample in samples]
    assert broken == sorted(broken, reverse=True) and broken[0] > 0.01 and broken[-1] < 1e-3
    assert polite[-1] > 3 * polite[0] and threads[1:] == sorted(threads[1:])
    assert 0.2 < threads[2] < 0.33 and threads[-1] > 0.35


def test_stories_keep_their_event_out_of_the_fillers() -> None:
    rng = np.random.default_rng(0)
    for task in WORLD.tasks("train", 200, rng, kinds=["summary"]):
        event = f"{task.slots['name']} {task.slots['did']} {task.slots['place']}"
        assert task.slots["story"].count(event) == 1


def test_a_respond_is_a_function_of_its_rng() -> None:
    task = WORLD.tasks("train", 1, np.random.default_rng(0))[0]
    demonstrator = Demonstrator(WORLD.facts)
    assert demonstrator.respond(task, np.random.default_rng(5)) == demonstrator.respond(task, np.random.default_rng(5))
    assert demonstrator.reply(task, random.Random(5)) == demonstrator.reply(task, random.Random(5))
