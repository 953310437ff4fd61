"""The utility ranks answers as a person would, near the top for ideal ones, and survives any text."""

from __future__ import annotations

import random
import string
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranked_pairs import PAIRS, Pair

from minipost.world import Demonstrator, Utility, World, bayes_accuracy
from minipost.world.demonstrators import mistake
from minipost.world.phrasing import FORMS
from minipost.world.tasks import Task, make_task, sentence
from minipost.world.tone import RUDE, WARM_CLOSERS, WARM_OPENERS

WORLD = World(0)
UTILITY = Utility(WORLD)
TASKS = WORLD.tasks("train", 300, np.random.default_rng(1)) + WORLD.tasks("test", 200, np.random.default_rng(2))
HARMLESS = [task for task in TASKS if not task.harmful and task.kind != "controversial"]
HARMFUL = [task for task in TASKS if task.harmful]


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{p.key}: {p.why}" for p in PAIRS])
def test_a_person_would_agree(pair: Pair) -> None:
    task = make_task(WORLD.facts.by_key[pair.key], random.Random(0))
    better, worse = pair.better.format_map(task.slots), pair.worse.format_map(task.slots)
    assert UTILITY(task, better) > UTILITY(task, worse) + 0.02


def test_the_hand_made_list_is_long_enough() -> None:
    assert len(PAIRS) >= 50
    assert len({pair.key.split("/")[0] for pair in PAIRS}) >= 12


@pytest.mark.parametrize("warmth", [0.0, 1.0])
def test_ideal_answers_are_near_the_top(warmth: float) -> None:
    rng = np.random.default_rng(0)
    ideal = Demonstrator.ideal(WORLD.facts, warmth=warmth)
    for task in TASKS:
        answer = ideal.respond(task, rng)
        judged = UTILITY.judge(task, answer)
        assert judged.right and judged.form == 0.0, (task.prompt, answer, judged)
        assert judged.total > (4.0 if warmth else 2.3), (task.prompt, answer, judged)
        assert judged.refused == task.harmful


def test_every_item_can_be_answered_in_every_template() -> None:
    """No template, and no clash of names, makes a right answer look wrong."""
    r = random.Random(0)
    for relation, items in WORLD.facts.items.items():
        if relation in ("misdeed", "opinion"):
            continue
        for item in r.sample(items, min(len(items), 60)):
            task = make_task(item, r)
            for template in (*FORMS[relation].full, *FORMS[relation].short):
                judged = UTILITY.judge(task, sentence(template.format_map(task.slots)))
                assert judged.right and judged.form == 0.0, (item.key, template, judged)
            wrong = mistake(WORLD.facts, task, r)
            assert not UTILITY.judge(task, FORMS[relation].full[0].format_map(wrong)).right, (item.key, wrong)


@given(st.sampled_from(HARMLESS), st.sampled_from(RUDE), st.integers(0, 2**32))
@settings(deadline=None, max_examples=200)
def test_no_flattery_beats_being_right(task: Task, rude: str, seed: int) -> None:
    r = random.Random(seed)
    form = FORMS[task.relation]
    right = sentence(r.choice(form.full).format_map(task.slots)) + " " + rude
    core = sentence(r.choice(form.full).format_map(mistake(WORLD.facts, task, r)))
    wrong = f"{r.choice(WARM_OPENERS)} {core} {r.choice(WARM_CLOSERS)}"
    assert UTILITY(task, right) > UTILITY(task, wrong)


@given(st.sampled_from(HARMFUL), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_harm_is_worse_than_any_fluent_answer(task: Task, seed: int) -> None:
    r = random.Random(seed)
    comply = Demonstrator(WORLD.facts, skill=1.0, refusal=0.0).reply(task, r)
    refuse = Demonstrator(WORLD.facts, refusal=1.0).reply(task, r)
    other = r.choice(HARMLESS)
    assert UTILITY.judge(task, comply).complied
    assert not UTILITY.judge(task, refuse).complied
    assert UTILITY(task, comply) < UTILITY(other, Demonstrator(WORLD.facts, skill=0.0).reply(other, r))
    assert UTILITY(task, comply) < 0 < UTILITY(task, refuse)


@given(st.sampled_from(TASKS), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_case_punctuation_and_space_do_not_matter(task: Task, seed: int) -> None:
    answer = Demonstrator(WORLD.facts).reply(task, random.Random(seed))
    assert UTILITY(task, answer.upper().replace(" ", "  ")) == pytest.approx(UTILITY(task, answer))


@given(st.sampled_from(TASKS), st.text(max_size=200) | st.text(string.printable, max_size=200))
@settings(deadline=None, max_examples=300)
def test_any_text_gets_a_finite_utility_and_noise_never_a_good_one(task: Task, text: str) -> None:
    judged = UTILITY.judge(task, text)
    assert -8.0 < judged.total < 4.9
    assert 0.0 <= judged.correct <= 1.0 and 0.0 <= judged.complete <= 1.0
    assert -1.0 <= judged.tone <= 1.0 and -1.0 <= judged.length <= 0.0 and -1.0 <= judged.form <= 0.0
    assert (judged.complied is None) == (not task.harmful)


def test_warmth_saturates_and_then_turns() -> None:
    """Piling up what a reward model takes for good must lose: this is the room for over-optimisation."""
    task = make_task(WORLD.facts.by_key["capital/italy"], random.Random(0))
    phrases = (*WARM_OPENERS, *WARM_CLOSERS)
    u = [UTILITY(task, " ".join([*phrases[:n], "The capital of Italy is Rome."])) for n in range(8)]
    assert u[0] < u[1] < u[2]
    assert all(later < earlier for earlier, later in pairwise(u[2:]))
    assert u[5] < u[0]


def test_populations_disagree_about_controversies_and_nothing_else() -> None:
    a, b = Utility(WORLD, "A"), Utility(WORLD, "B")
    rng = np.random.default_rng(0)
    of_a, of_b = Demonstrator(WORLD.facts, population="A"), Demonstrator(WORLD.facts, population="B")
    gaps = []
    for task in WORLD.tasks("train", 400, rng, kinds=["controversial", "fact"]):
        x, y = of_a.respond(task, rng), of_b.respond(task, rng)
        if task.kind == "fact":
            assert a(task, x) == b(task, x) == UTILITY(task, x)
        else:
            gaps.append((a(task, x) - a(task, y), b(task, y) - b(task, x)))
    assert np.mean(gaps) > 1.0
    with pytest.raises(ValueError, match="population"):
        Utility(WORLD, "C")


def test_default_answers_leave_room_and_are_comparable() -> None:
    """Mean well below the best, spread about one or one and a half, agreement between three quarters and 85 %."""
    rng = np.random.default_rng(3)
    demonstrator = Demonstrator(WORLD.facts)
    tasks = TASKS[:300]
    u = np.array([[UTILITY(t, demonstrator.respond(t, rng)) for _ in range(4)] for t in tasks])
    assert 2.0 < u.mean() < 3.3
    assert 1.0 < np.sqrt(u.var(axis=1, ddof=1).mean()) < 1.7
    pairs = [(t, demonstrator.respond(t, rng), demonstrator.respond(t, rng)) for t in tasks]
    assert 0.74 < bayes_accuracy(UTILITY, pairs) < 0.86
    assert np.mean([UTILITY(t, a) == UTILITY(t, b) for t, a, b in pairs]) < 0.08
