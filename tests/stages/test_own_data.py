"""Every stage on data of one's own, from raw text to best-of-n; and the same on files that nobody here wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nano import contents, rows

from minipost import cli
from minipost.data import DataError
from minipost.model import REFERENCE, lora
from minipost.model.folder import load_model
from minipost.runs import RunError
from minipost.stages import best_of_n, dpo, ppo, pretrain, reward, sft
from minipost.stages.base import StageError
from minipost.stages.best_of_n import BestOfNConfig
from minipost.stages.dpo import DPOConfig
from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig, ordered_rows
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig

REAL = os.environ.get("MINIPOST_TEST_DATA")
SMALL: dict[str, Any] = {
    "tokens": 6000,
    "vocab_size": 300,
    "dim": 32,
    "layers": 2,
    "heads": 2,
    "kv_heads": 1,
    "hidden": 48,
    "batch_size": 8,
    "row_length": 64,
}


def written(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def questions() -> list[tuple[str, str, str]]:
    """(question, answer, worse answer)"""
    return [(f"What is {a} and {b}?", f"It is {a + b}.", f"{a + b + 1}") for a in range(8) for b in range(5)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data and of a pretrained, a finetuned and a reward model that grew from it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "book.txt").write_text("".join(f"{q} {a}\n" for q, a, _ in questions()) * 10)
    demonstrations = [{"instruction": q, "input": "", "output": a} for q, a, _ in questions()]
    pairs = [{"prompt": q, "chosen": a, "rejected": b} for q, a, b in questions()]
    written(folder / "demonstrations.jsonl", demonstrations)
    written(folder / "pairs.jsonl", pairs)
    pretrain.run(PretrainConfig(out=folder / "base", data=(folder / "book.txt",), context=160, **SMALL))
    sft.run(SFTConfig(base=folder / "base", out=folder / "sft", data=(folder / "demonstrations.jsonl",), batch_size=8))
    reward.run(RewardConfig(policy=folder / "sft", out=folder / "reward", data=(folder / "pairs.jsonl",), batch_size=8))
    return folder


def test_pretraining_reads_the_file_and_nothing_else(own: Path) -> None:
    """The tokenizer knows the words of the book, and the web's not."""
    _, _, tokenizer = load_model(own / "base")
    assert len(tokenizer.encode(" What")) == 1 < len(tokenizer.encode(" capital"))
    assert rows(own / "base")[0]["loss"] == pytest.approx(np.log(len(tokenizer)), abs=0.15)


def test_the_reward_model_and_dpo_start_at_ln_2(own: Path) -> None:
    dpo.run(DPOConfig(policy=own / "sft", out=own / "dpo", data=(own / "pairs.jsonl",), batch_size=8))
    for name in ("reward", "dpo"):
        first, *_, last = rows(own / name)
        assert first["loss"] == pytest.approx(np.log(2), abs=1e-4)
        assert last["loss"] < first["loss"]
    assert not (own / "reward/preferences.jsonl").exists()  # the pairs are the user's


def test_further_epochs_read_the_same_rows_in_another_order() -> None:
    once, more = (PretrainConfig(data=(Path("book.txt"),), epochs=n) for n in (1, 3))
    (held_out, first), (same, rows_) = ordered_rows(10_000, once), ordered_rows(10_000, more)
    assert np.array_equal(held_out, same)
    passes = rows_.reshape(3, -1)
    assert np.array_equal(passes[0], first) and not np.array_equal(passes[1], first)
    assert all(set(part) == set(first) and not set(part) & set(held_out) for part in passes)


@pytest.mark.parametrize("head", ["scalar", "likelihood"])
def test_a_reward_model_through_adapters_keeps_what_it_started_from(own: Path, tmp_path: Path, head: Any) -> None:
    """Only the adapted matrices and the head differ from the SFT model; a reference is the SFT model bit for bit."""
    config = RewardConfig(
        policy=own / "sft", out=tmp_path / "r", data=(own / "pairs.jsonl",), batch_size=8, lora_rank=2, head=head
    )
    judge, start = reward.run(config), load_model(own / "sft")[0]
    changed = {name for name, w in start.items() if not np.array_equal(judge.weights[name], w)}
    assert changed and all(name.endswith(lora.PARTS) for name in changed)
    frozen = {REFERENCE + name: w for name, w in start.items()} if head == "likelihood" else {}
    assert all(np.array_equal(judge.weights[name], w) for name, w in frozen.items())
    trained = {"score"} if head == "scalar" else set(reward.HEAD)
    assert judge.weights.keys() - start.keys() == trained | frozen.keys()
    assert all(np.any(judge.weights[name]) for name in trained)
    if head == "scalar":
        assert rows(tmp_path / "r")[0]["loss"] == pytest.approx(np.log(2), abs=1e-4)


def test_the_data_are_part_of_a_run_and_its_result(own: Path, tmp_path: Path) -> None:
    again = SFTConfig(base=own / "base", out=tmp_path / "sft", data=(own / "demonstrations.jsonl",), batch_size=8)
    sft.run(again)
    assert contents(tmp_path / "sft")["model.safetensors"] == contents(own / "sft")["model.safetensors"]
    assert str(own / "demonstrations.jsonl") in (tmp_path / "sft/config.json").read_text()


def test_nothing_gold_is_logged_where_no_truth_is_known(own: Path) -> None:
    prompts = (own / "demonstrations.jsonl",)
    ppo.run(
        PPOConfig(
            policy=own / "sft",
            reward=own / "reward",
            out=own / "ppo",
            data=prompts,
            iterations=2,
            rollout=8,
            epochs=1,
            max_new_tokens=8,
        )
    )
    found = best_of_n.run(
        BestOfNConfig(
            policy=own / "sft", reward=own / "reward", out=own / "bon", data=prompts, n=4, prompts=5, max_new_tokens=8
        )
    )
    for name in ("ppo", "bon"):
        assert rows(own / name)
        assert not any("gold" in metric for row in rows(own / name) for metric in row)
    assert rows(own / "ppo")[0]["objective/kl"] == pytest.approx(0, abs=1e-2)
    asked = {q for q, _, _ in questions()}
    samples = [json.loads(line) for line in (own / "bon/samples.jsonl").read_text().splitlines()]
    assert len(samples) == len(found) == 5 and {row["prompt"] for row in samples} <= asked
    proxy = [row["proxy"] for row in rows(own / "bon")]
    assert proxy == sorted(proxy)


def test_wrong_data_are_refused_before_a_run_is_made(own: Path, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "c"}])
    for stage, config in (
        (sft, SFTConfig(base=own / "base", out=tmp_path / "run", data=(own / "pairs.jsonl",))),
        (reward, RewardConfig(policy=own / "sft", out=tmp_path / "run", data=(bad,))),
        (dpo, DPOConfig(policy=own / "sft", out=tmp_path / "run", data=(bad,))),
        (pretrain, PretrainConfig(out=tmp_path / "run", data=(bad,))),
    ):
        with pytest.raises(DataError, match=r"holds comparisons|rows are bad"):
            stage.run(config)  # type: ignore[operator]
        assert not (tmp_path / "run").exists()
    (tmp_path / "short.txt").write_text("Too short.")
    with pytest.raises(StageError, match=r"tokens are too few.*give more text"):
        pretrain.run(PretrainConfig(out=tmp_path / "run", data=(tmp_path / "short.txt",)))
    with pytest.raises(StageError, match="pass only one of them"):
        RewardConfig(preferences=bad, data=(bad,))


def test_bad_rows_are_left_out_if_asked_and_written_down(own: Path, tmp_path: Path) -> None:
    """What is learnt from the good rows is what a file of good rows alone would teach, bit for bit."""
    good = [{"instruction": q, "input": "", "output": a} for q, a, _ in questions()]
    written(tmp_path / "mixed.jsonl", [{"instruction": "", "input": "", "output": "x"}, *good, {"output": "y"}])
    sft.run(
        SFTConfig(
            base=own / "base", out=tmp_path / "sft", data=(tmp_path / "mixed.jsonl",), skip_bad=True, batch_size=8
        )
    )
    assert contents(tmp_path / "sft")["model.safetensors"] == contents(own / "sft")["model.safetensors"]
    report = [json.loads(line) for line in (tmp_path / "sft-dropped.jsonl").read_text().splitlines()]
    assert [row["line"] for row in report] == [1, 42]
    assert all(row["what"] and row["fix"] and "row" in row for row in report)

    bad = {"prompt": "p", "chosen": "c", "rejected": "c"}
    pairs = [{"prompt": q, "chosen": a, "rejected": b} for q, a, b in questions()]
    for stage, config, name in ((reward, RewardConfig, "reward"), (dpo, DPOConfig, "dpo")):
        mixed = written(tmp_path / "pairs.jsonl", [*pairs, bad])
        stage.run(config(policy=own / "sft", out=tmp_path / name, data=(mixed,), skip_bad=True, batch_size=8))  # type: ignore[operator]
        assert len((tmp_path / f"{name}-dropped.jsonl").read_text().splitlines()) == 1
        written(mixed, [bad])
        with pytest.raises(DataError, match=r"1 of 1 rows are bad(.|\n)*No row is left"):
            stage.run(config(policy=own / "sft", out=tmp_path / name, data=(mixed,), skip_bad=True, overwrite=True))  # type: ignore[operator]


@pytest.mark.parametrize(
    "config, wrong, part",
    [
        (DPOConfig, {"beta": 0.0}, "must be > 0"),
        (DPOConfig, {"label_smoothing": 0.5}, r"in \[0, 0.5\)"),
        (DPOConfig, {"label_smoothing": -0.1}, r"in \[0, 0.5\)"),
        (PPOConfig, {"rollout": 9, "minibatches": 2}, "multiple of minibatches"),
        (PPOConfig, {"rollout": 1, "minibatches": 1}, "at least two"),
        (BestOfNConfig, {"n": 0}, "at least 1"),
    ],
)
def test_impossible_configurations_are_refused(config: Any, wrong: dict[str, Any], part: str) -> None:
    with pytest.raises(StageError, match=part):
        config(**wrong)


def test_models_that_do_not_belong_together_are_refused(own: Path, runs: Path, tmp_path: Path) -> None:
    for stage, config in ((ppo, PPOConfig), (best_of_n, BestOfNConfig)):
        with pytest.raises(StageError, match="different tokenizers"):
            stage.run(config(policy=own / "sft", reward=runs / "reward", out=tmp_path / "run"))  # type: ignore[operator]
    with pytest.raises(RunError, match="is the folder of the policy model itself"):  # it would be its own reference
        dpo.run(DPOConfig(policy=own / "sft", out=own / "sft", data=(own / "pairs.jsonl",), overwrite=True))


@pytest.mark.skipif(not REAL, reason="MINIPOST_TEST_DATA names no folder of real data")
def test_real_files_from_raw_text_to_dpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shakespeare, then 1,100 instructions, then as many preferences, of which six say nothing and have to go."""
    real = Path(str(REAL))
    monkeypatch.chdir(tmp_path)
    preferences = str(real / "instruction-data-with-preference.json")
    assert cli.main(["data", preferences, "--show", "0"]) == 2
    assert cli.main(["data", preferences, "--show", "0", "--skip-bad", "--out", "pairs.jsonl"]) == 0
    assert len(Path("pairs.jsonl").read_text().splitlines()) == 1094
    pretrain.run(PretrainConfig(out=tmp_path / "base", data=(real / "tinyshakespeare.txt",), context=320, **SMALL))
    sft.run(SFTConfig(base=tmp_path / "base", out=tmp_path / "sft", data=(real / "instruction-data.json",)))
    reward.run(RewardConfig(policy=tmp_path / "sft", out=tmp_path / "reward", data=(Path("pairs.jsonl"),)))
    dpo.run(DPOConfig(policy=tmp_path / "sft", out=tmp_path / "dpo", data=(Path("pairs.jsonl"),)))
    judged = rows(tmp_path / "reward")
    assert np.mean([row["accuracy"] for row in judged[-8:]]) > 0.6 > np.mean([row["accuracy"] for row in judged[:1]])
    margins = [row["rewards/margins"] for row in rows(tmp_path / "dpo")]
    assert np.mean(margins[-8:]) > 0
