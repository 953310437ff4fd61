"""The tour on files: from two of them to a report that claims no truth, with base model and methods to choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minipost import cli
from minipost.model import Model
from minipost.stages.base import StageError
from minipost.tour.files import tour
from minipost.tour.measures import share_ranked_right
from minipost.tour.plan import FilesTourConfig, passes

BY_GOLD = (
    "gold_mean",
    "gold_ci95",
    "win_rate_vs_sft",
    "win_rate_ci95",
    "correct",
    "correct_t1",
    "harmful_compliance",
    "harmful_compliance_t1",
)


def files(folder: Path, count: int = 120) -> tuple[Path, Path]:
    """Sums: an answer is right, or off by one."""
    folder.mkdir(exist_ok=True)
    asked = [(f"What is {a} and {b}?", a + b) for a in range(count // 5) for b in range(5)]
    made: dict[str, list[dict[str, Any]]] = {
        "d.jsonl": [{"instruction": q, "input": "", "output": f"It is {n}."} for q, n in asked],
        "p.jsonl": [{"prompt": q, "chosen": f"It is {n}.", "rejected": f"{n + 1}"} for q, n in asked],
    }
    for name, rows in made.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "d.jsonl", folder / "p.jsonl"


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tour")
    demonstrations, pairs = map(str, files(folder))
    argv = ["tour", "--size", "smoke", "--sft-data", demonstrations, "--preference-data", pairs, "--out"]
    assert cli.main([*argv, str(folder / "tour"), "--held-out", "0.2", "--max-new-tokens", "12"]) == 0
    return folder / "tour"


def test_all_models_are_measured_and_nothing_gold_is_claimed(toured: Path) -> None:
    summary = json.loads((toured / "summary.json").read_text())
    assert list(summary["models"]) == ["base", "sft", "best_of_n", "ppo", "dpo"]
    for name, row in summary["models"].items():
        assert all(row[key] is None for key in BY_GOLD)
        assert row["proxy_ci95"][0] <= row["proxy_mean"] <= row["proxy_ci95"][1]
        assert 0 < row["mean_length"] <= 12
        assert ("heldout_loss" in row) == (name != "best_of_n")
        assert ("implicit_accuracy" in row) == (name in ("ppo", "dpo"))
    models, reward_model = summary["models"], summary["reward_model"]
    assert models["sft"]["heldout_loss"] < models["base"]["heldout_loss"]
    assert models["sft"]["perplexity"] == pytest.approx(np.exp(models["sft"]["heldout_loss"]))
    assert models["sft"]["kl_to_sft"] == pytest.approx(0, abs=1e-3)
    assert models["best_of_n"]["proxy_mean"] > models["sft"]["proxy_mean"]
    assert reward_model["pair_accuracy"] > 0.9
    assert reward_model["chance"] == 0.5 and reward_model["bayes_accuracy"] is None
    assert sum(summary["data"]["sft"][part] for part in ("train", "held_out")) == 120
    assert summary["data"]["preference"]["held_out"] == reward_model["pairs"] == summary["prompts"]


def test_the_report_says_that_no_truth_is_known(toured: Path) -> None:
    html = (toured / "report.html").read_text(encoding="utf-8")
    assert "no true utility" in html and "a proxy" in html
    assert "true utility of an answer, known" not in html and "true utility" not in html.split("<h1>")[1].split("<")[0]
    assert 'data-key="heldout_loss"' in html and 'data-key="gold_mean"' not in html
    assert 'id="figure-proxy"' in html and 'id="figure-gold"' not in html
    assert "What is" in html  # samples side by side
    assert (toured / "figures/overview.png").exists()


def test_a_finished_tour_is_resumed_to_the_same_numbers(toured: Path, tmp_path: Path) -> None:
    before = json.loads((toured / "summary.json").read_text())
    config = FilesTourConfig(
        out=toured,
        size="smoke",
        sft_data=(toured.parent / "d.jsonl",),
        preference_data=(toured.parent / "p.jsonl",),
        held_out=0.2,
        max_new_tokens=12,
        resume=True,
    )
    again = json.loads(json.dumps(tour(config)))
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in before.items() if k != "seconds"}


def test_a_base_model_of_ones_own_with_adapters(toured: Path, tmp_path: Path) -> None:
    demonstrations, pairs = files(tmp_path / "data")
    base = toured / "pretrain"
    config = FilesTourConfig(
        out=tmp_path / "tour",
        size="smoke",
        sft_data=(demonstrations,),
        preference_data=(pairs,),
        base=base,
        lora_rank=4,
        methods=("dpo",),
        held_out=0.2,
        max_new_tokens=8,
    )
    summary = tour(config)
    assert list(summary["models"]) == ["base", "sft", "dpo"]
    assert not (tmp_path / "tour/pretrain").exists()
    assert Model.load(tmp_path / "tour/reward", "score").tokenizer == Model.load(base).tokenizer


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lora_rank": 8}, "--lora-rank belongs to a tour on own data"),
        ({"sft_data": (Path("d"),)}, "pass both --sft-data and --preference-data"),
        ({"sft_data": (Path("d"),), "preference_data": (Path("p"),), "held_out": 1.0}, "--held-out 1.0 must be"),
        ({"sft_data": (Path("d"),), "preference_data": (Path("p"),), "lora_rank": 8}, "--methods best_of_n dpo"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(StageError, match=said):
        FilesTourConfig(**wrong)


def test_too_little_data_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    demonstrations, pairs = files(tmp_path / "data", count=20)
    config = FilesTourConfig(out=tmp_path / "tour", size="smoke", sft_data=(demonstrations,), preference_data=(pairs,))
    with pytest.raises(StageError, match="are too few; give more data"):
        tour(config)
    assert not (tmp_path / "tour/pretrain").exists()


def test_how_often_texts_are_read(tmp_path: Path) -> None:
    assert passes(1000, 3000, ()) == 1
    assert passes(1000, 1000, ()) == 3
    assert passes(10**6, 1000, ()) == 12
    (tmp_path / "more.txt").write_text("x" * 2000)
    assert passes(1000, 1000, (tmp_path / "more.txt",)) == 1


def test_ties_count_half() -> None:
    share, (low, high) = share_ranked_right(np.array([1.0, -1.0, 0.0, 2.0]))
    assert share == 0.625
    assert low < 0.625 < high
