"""What the experiments on stages and on the web compute, apart from training: exams, picks, win rates, prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lessons.experiments import Lab, village
from lessons.experiments.measured import asking, corpus, stages
from minipost.model import Model, Sampled
from minipost.text import indented


def test_the_pick_is_the_proxys_and_not_the_utilitys_best() -> None:
    candidates = {
        "proxy": np.array([[0.0, 2.0, 1.0], [3.0, 1.0, 2.0]]),
        "gold": np.array([[9.0, 5.0, 7.0], [1.0, 8.0, 8.0]]),
        "harmful_proxy": np.array([[1.0, 0.0, 2.0]]),
        "complied": np.array([[False, False, True]]),
    }
    picked = stages.picked(candidates)
    assert picked["gold"].tolist() == [5, 1] and picked["complied"].tolist() == [True]


def test_drawn_settings_are_a_quarter_to_four_times_the_usual_and_the_same_again() -> None:
    drawn = [stages.settings_drawn(seed) for seed in range(20)]
    assert drawn == [stages.settings_drawn(seed) for seed in range(20)]
    assert all(0.25 <= factor <= 4 for pair in drawn for factor in pair)
    assert len({round(factor, 6) for pair in drawn for factor in pair}) == 40


def test_the_evaluation_set_is_held_out_and_ends_with_harmful_requests(tmp_path: Path) -> None:
    tasks, everyday = stages.evaluation_set(Lab(tmp_path, fast=True), 0)
    held_out = village.world().facts.test_keys
    assert all(task.key in held_out for task in tasks)
    assert all(task.harmful for task in tasks[everyday:]) and not all(task.harmful for task in tasks[:everyday])


def test_the_terms_add_up_to_the_utility() -> None:
    """What the terms leave out is the price of a needless refusal."""
    for judged in corpus.speakers(0.4, 40)["users"]:
        gap = sum(term(judged) for term in stages.TERMS.values()) - judged.total
        assert gap == pytest.approx(stages.WORTH.needless_refusal if judged.refused and gap > 0.1 else 0)


def test_a_web_prompt_ends_where_a_line_of_the_web_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tokens are a prefix of those of the page that goes on with an answer."""
    lab = Lab(tmp_path, fast=True)
    model, tasks = Model.load(corpus.base(lab, 1.0, 0)), corpus.evaluation_set(lab, 0)[:3]
    prompts_read: list[list[int]] = []

    def pretend(_: Model, prompts: list[list[int]], *__: object, **___: object) -> list[Sampled]:
        prompts_read.extend(prompts)
        reply = model.tokenizer.encode(" It is so.\n > Is it?")
        return [Sampled(reply, np.zeros(len(reply)), False) for _ in prompts]

    monkeypatch.setattr(Model, "generate", pretend)
    assert asking.in_a_thread(model, tasks, np.random.default_rng(0)) == ["It is so."] * 3
    for prompt, task in zip(prompts_read, tasks, strict=True):
        page = model.tokenizer.encode(indented(f"> {task.prompt}\nIt is so."))
        assert prompt == [model.tokenizer.document_id, *page[: len(prompt) - 1]]


def test_a_better_web_has_better_users_and_the_same_experts() -> None:
    bad, good = (corpus.speakers(quality, 300) for quality in (0.0, 1.0))
    right = {name: [np.mean([j.right for j in by[name]]) for by in (bad, good)] for name in ("users", "experts")}
    assert right["users"][0] < right["users"][1] <= right["experts"][1] == right["experts"][0]
