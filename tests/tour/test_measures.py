"""What is measured of a model in the simulated world: which answers count where, and at which temperature."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minipost.model import SERVED_TEMPERATURE, Model, ModelConfig, init_weights
from minipost.stages.best_of_n import Candidates
from minipost.text import Tokenizer
from minipost.text.batching import Example
from minipost.tour.measures import Answers, ask, judged, measure, picked, reward_model_accuracy
from minipost.world import Demonstrator, Labeler, Utility, World
from minipost.world.collect import Pair

WORLD = World(0, 0.25)
UTILITY = Utility(WORLD)
IDEAL = Demonstrator.ideal(WORLD.facts)
HARMLESS = WORLD.tasks("test", 4, np.random.default_rng(0), kinds=["fact"])
HARMFUL = WORLD.tasks("test", 2, np.random.default_rng(1), kinds=["harmful"])
TASKS = [*HARMLESS, *HARMFUL]
RIGHT = [IDEAL.respond(task, np.random.default_rng(2)) for task in TASKS]
WRONG, BROKEN, REFUSAL = "I think bread.", "I thinkk brread.", "I am sorry, but I cannot help with that."
HARM = " ".join(HARMFUL[0].slots[step] for step in ("one", "two")) + "."


def answers(texts: Sequence[str], greedy: Sequence[str] = (), t1: Sequence[str] = ()) -> Answers:
    count = len(texts)
    return judged(Answers(list(texts), [True] * count, [5] * count, None), TASKS, UTILITY, greedy, t1)


def test_each_share_is_counted_on_its_own_answers() -> None:
    served = [RIGHT[0], RIGHT[1], BROKEN, REFUSAL, HARM, RIGHT[5]]
    t1 = [RIGHT[0], WRONG, BROKEN, BROKEN, HARM, BROKEN]
    row = measure(TASKS, answers(served, greedy=RIGHT, t1=t1))
    assert (row["correct"], row["correct_served"], row["correct_t1"]) == (1.0, 0.5, 0.25)
    assert (row["malformed_served"], row["malformed_t1"]) == (pytest.approx(1 / 6), 0.5)
    assert (row["harmful_compliance"], row["harmful_compliance_served"], row["harmful_compliance_t1"]) == (0, 0.5, 0.5)
    low, high = row["harmful_compliance_served_ci95"] or (1, 0)
    assert 0 < low < 0.5 < high < 1  # two requests say little
    assert row["needless_refusal_served"] == 0.25
    kinds = row["by_kind"]
    assert (kinds["fact"]["correct"], kinds["fact"]["correct_served"]) == (1.0, 0.5)
    assert (kinds["harmful"]["correct"], kinds["harmful"]["correct_served"]) == (1.0, 0.5)  # not complied
    assert row["gold_mean"] == pytest.approx(np.mean([UTILITY(t, text) for t, text in zip(TASKS, served, strict=True)]))


def test_the_picks_of_best_of_n_stand_in_no_column_of_greedy_answers() -> None:
    found = [
        Candidates(task.prompt, [WRONG, right], [True, True], [3, 6], np.array([0.0, 1.0]))
        for task, right in zip(TASKS, RIGHT, strict=True)
    ]
    row = measure(TASKS, judged(picked(found), TASKS, UTILITY, t1=[WRONG] * len(TASKS)))
    assert (row["correct"], row["correct_served"], row["correct_t1"]) == (None, 1.0, 0.0)
    assert row["harmful_compliance"] is None and row["harmful_compliance_served"] == 0
    assert row["by_kind"]["fact"]["correct"] is None and row["by_kind"]["fact"]["correct_served"] == 1.0


def test_a_model_is_asked_greedily_at_temperature_1_and_as_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer([])
    config = ModelConfig(len(tokenizer), dim=16, layers=1, heads=2, kv_heads=1, hidden=24, context=192)
    model, asked = Model(init_weights(config, np.random.default_rng(0)), config, tokenizer), []
    answer = Model.answer

    def listen(self: Model, prompts: Any, rng: Any, temperature: float = 1.0, max_new_tokens: int = 64) -> Any:
        asked.append(temperature)
        return answer(self, prompts, rng, temperature, max_new_tokens)

    monkeypatch.setattr(Model, "answer", listen)
    found = ask(model, TASKS, UTILITY, 0, reference=model)
    assert sorted(asked) == [0.0, SERVED_TEMPERATURE, 1.0]
    assert found.kl == pytest.approx(0.0, abs=1e-3)  # sampled and scored at one temperature
    assert len(found.judgements) == len(found.greedy) == len(found.t1) == len(TASKS)


def test_truth_is_counted_where_one_answer_is_right_and_the_other_wrong() -> None:
    right, wrong = RIGHT[:4], [WRONG] * 4
    pairs = [
        (HARMLESS[0], Pair(HARMLESS[0].prompt, right[0], wrong[0])),
        (HARMLESS[1], Pair(HARMLESS[1].prompt, wrong[1], right[1])),  # the labeler has erred
        (HARMLESS[2], Pair(HARMLESS[2].prompt, wrong[2], BROKEN)),  # both are wrong
    ]
    tokenizer = Tokenizer([])

    def judge(likes_truth: bool) -> Any:
        def scores(examples: Sequence[Example]) -> Any:
            said = [tokenizer.decode(e.response, skip_special=True).strip() for e in examples]
            return np.array([float((text in right) == likes_truth) for text in said])

        return SimpleNamespace(tokenizer=tokenizer, scores=scores)

    rows = [
        reward_model_accuracy(judge(likes), pairs, Labeler(UTILITY), np.random.default_rng(0))
        for likes in (True, False)
    ]
    assert [row["truth_accuracy"] for row in rows] == [1.0, 0.0] and rows[0]["truth_pairs"] == 2
    assert rows[0]["pair_accuracy"] == pytest.approx((1 + 0 + 0.5) / 3)
