"""What every stage promises: known answers, resuming bit for bit, nothing overwritten unasked, one-sentence errors."""

from __future__ import annotations

import json
import math
import shutil
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nano import STAGES, configs, contents, rows

from minipost.cli import main
from minipost.laws import whole_model
from minipost.model import AdamW, Model, Sampling, heads
from minipost.runs import Run
from minipost.runs.progress import Interrupted
from minipost.stages import base, best_of_n, dpo, grpo, ppo, rollouts, sft
from minipost.stages.base import StageError, known_answer
from minipost.stages.pairs import encode_pair
from minipost.stages.world import world_of
from minipost.text.batching import Packed, pack
from minipost.world import Utility, World
from minipost.world.collect import read_pairs

TRAINED = ["pretrain", "sft", "reward", "dpo", "ppo", "grpo"]
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in TRAINED},
    "sft with LoRA": ("sft", {"lora_rank": 2}),
    "dpo with LoRA": ("dpo", {"lora_rank": 2}),
    "reward with a scalar head": ("reward", {"head": "scalar"}),
    "rloo": ("grpo", {"method": "rloo", "weighting": "token"}),
    "ppo with one trunk and adaptive KL": (
        "ppo",
        {"value_network": "shared", "kl_control": "adaptive", "kl_target": 0.01, "kl_horizon": 20, "minibatches": 1},
    ),
}


# -------------------------------------------------------------------------------------------------------- known answers
def test_the_known_answers_stand_in_the_diaries(runs: Path) -> None:
    first = {name: rows(runs / name)[0] for name in TRAINED}
    assert first["pretrain"]["loss"] == pytest.approx(math.log(400), abs=0.15)
    assert first["dpo"]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["dpo"]["rewards/accuracies"] == pytest.approx(0.5, abs=0.5)
    assert first["dpo"]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert first["ppo"]["objective/kl"] == pytest.approx(0, abs=1e-4)
    whole_model.nothing_moved_yet({"val/ratio": first["ppo"]["val/ratio"]})  # the first minibatch; others are means
    whole_model.nothing_moved_yet({"val/ratio": first["grpo"]["val/ratio"]})
    assert first["grpo"]["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert math.isfinite(first["ppo"]["gold"]) and math.isfinite(first["grpo"]["gold"])
    assert rows(runs / "pretrain")[-1]["eval_loss"] < math.log(400)


def test_a_stage_plays_in_the_world_that_its_model_knows(tmp_path: Path) -> None:
    all_configs = configs(tmp_path)
    STAGES["pretrain"](replace(all_configs["pretrain"], world_seed=3, world_share=0.25))
    silent = all_configs["sft"]
    outspoken = replace(silent, out=tmp_path / "outspoken", world_seed=3, world_share=0.25)
    for config in (silent, outspoken):
        STAGES["sft"](config)
    assert contents(silent.out)["model.safetensors"] == contents(outspoken.out)["model.safetensors"]
    grandchild = world_of(all_configs["ppo"], silent.out)
    assert (grandchild.seed, grandchild.share) == (3, 0.25)
    assert world_of(replace(all_configs["ppo"], world_share=1.0), silent.out).share == 1.0


def test_a_known_answer_that_is_wrong_stops_the_run_and_only_at_step_0() -> None:
    for got in (1.2, math.nan, math.inf):
        with pytest.raises(StageError, match="at step 0 loss"):
            known_answer(0, "loss", got, 1.0, 0.1)
    known_answer(0, "loss", 1.05, 1.0, 0.1)
    known_answer(1, "loss", math.nan, 1.0, 0.1)


def test_labels_that_are_not_shifted_are_caught_at_step_0(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unshifted(*args: Any) -> Packed:
        packed = pack(*args)
        return replace(packed, targets=packed.tokens.reshape(-1)[packed.index])

    monkeypatch.setattr(sft, "pack", unshifted)
    with pytest.raises(StageError, match="masks, positions"):
        sft.run(replace(configs(runs)["sft"], out=tmp_path / "sft"))


def test_another_temperature_in_training_is_caught_at_step_0(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "Sampling", lambda temperature: Sampling(temperature / 2))
    with pytest.raises(StageError, match="at step 0"):
        ppo.run(replace(configs(runs)["ppo"], out=tmp_path / "ppo"))


# ------------------------------------------------------------------------------------------------------------- resuming
def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Press Ctrl-C while the given step is logged, or crash in the middle of the one after."""
    log, prepare, calls = Run.log, AdamW.prepare, [0]

    def log_and_press(self: Run, number: int, metrics: Any) -> None:
        log(self, number, metrics)
        if how == "ctrl-c" and number == step:
            signal.raise_signal(signal.SIGINT)

    def prepare_or_crash(self: AdamW, *args: Any) -> Any:
        """The beginning of an optimiser's step, Muon's too."""
        calls[0] += 1
        if how == "crash" and calls[0] == step + 1:
            raise MemoryError
        return prepare(self, *args)

    monkeypatch.setattr(Run, "log", log_and_press)
    monkeypatch.setattr(AdamW, "prepare", prepare_or_crash)


@pytest.mark.parametrize("how", ["ctrl-c", "crash"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_P50_a_resumed_stage_equals_an_uninterrupted_one(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, how: str
) -> None:
    name, change = VARIANTS[variant]
    config = replace(configs(runs)[name], **change)
    whole = runs / name
    if change:
        whole = tmp_path / "whole"
        STAGES[name](replace(config, out=whole))
    config = replace(config, out=tmp_path / "cut")
    with monkeypatch.context() as patch:
        stop_at(3 if how == "ctrl-c" else 5, patch, how)
        with pytest.raises(Interrupted if how == "ctrl-c" else MemoryError):
            STAGES[name](config)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    STAGES[name](replace(config, resume=True))
    assert rows(tmp_path / "cut") == rows(whole)
    model = "model.safetensors"
    whole_model.resumption((whole / model).read_bytes, (tmp_path / "cut" / model).read_bytes)


@pytest.mark.parametrize("name", STAGES)
def test_a_finished_run_is_resumed_to_itself(runs: Path, name: str) -> None:
    before = contents(runs / name)
    STAGES[name](replace(configs(runs)[name], resume=True))
    assert contents(runs / name) == before


# ----------------------------------------------------------------------------------------------------- the command line
def arguments(name: str, config: Any, **more: Any) -> list[str]:
    """The command that asks for `config`, and what differs from it."""
    values = {**vars(config), **more}
    defaults = {name: field.default for name, field in type(config).__dataclass_fields__.items()}
    argv = [name.replace("_", "-")]
    for field, value in values.items():
        if value is True:
            argv.append(f"--{field.replace('_', '-')}")
        elif value != defaults[field]:
            argv += [f"--{field.replace('_', '-')}", str(value)]
    return argv


def refused(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one sentence."""
    capsys.readouterr()
    assert main(argv) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.strip()]
    assert said in err
    assert "Traceback" not in err
    assert len(lines) == 1, err


@pytest.mark.parametrize("name", STAGES)
def test_an_existing_run_is_refused_and_stays(runs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(runs / name)
    refused(arguments(name, configs(runs)[name]), "already holds a finished run", capsys)
    refused(arguments(name, configs(runs)[name], resume=True, overwrite=True), "pass only one", capsys)
    refused(arguments(name, configs(runs)[name], resume=True, seed=1), "is another run", capsys)
    assert contents(runs / name) == before


def test_overwrite_makes_the_same_run_again(runs: Path, tmp_path: Path) -> None:
    config = replace(configs(runs)["sft"], out=tmp_path / "sft")
    shutil.copytree(runs / "sft", tmp_path / "sft")
    (tmp_path / "sft" / "model.safetensors").write_bytes(b"old")
    assert main(arguments("sft", config, overwrite=True)) == 0
    assert (tmp_path / "sft" / "model.safetensors").read_bytes() == (runs / "sft" / "model.safetensors").read_bytes()


PARENTS = {"sft": "base", "reward": "policy", "dpo": "policy", "ppo": "reward", "grpo": "policy", "best_of_n": "policy"}


@pytest.mark.parametrize("name", PARENTS)
@pytest.mark.parametrize("what", ["missing", "corrupt", "other shape", "unfinished"])
def test_a_parent_that_cannot_be_used(
    runs: Path, tmp_path: Path, name: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parent, out = tmp_path / "parent", tmp_path / "out"
    shutil.copytree(runs / name, out)  # an earlier run, which --overwrite may only delete if there is a new one
    before = contents(out)
    said = {"missing": "no model folder", "corrupt": "damaged", "unfinished": "has not finished"}.get(what, "weight")
    if what != "missing":
        shutil.copytree(runs / ("sft" if PARENTS[name] == "reward" else "reward"), parent)
    if what == "corrupt":
        data = (parent / "model.safetensors").read_bytes()
        (parent / "model.safetensors").write_bytes(data[: len(data) // 2])
    if what == "unfinished":
        (parent / "model.safetensors").unlink()
    config = replace(configs(runs)[name], out=out, **{PARENTS[name]: parent})
    refused(arguments(name, config, overwrite=True), said, capsys)
    assert contents(out) == before


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("pretrain", {"tokens": 500}, "too few"),
        ("sft", {"demonstrations": 0}, "demonstrations must be at least 1"),
        ("reward", {"batch_size": 0}, "batch_size must be at least 1"),
        ("dpo", {"beta": 0.0}, "beta"),
        ("dpo", {"loss_type": "robust"}, "--label-smoothing"),
        ("dpo", {"preferences": Path("nowhere.jsonl")}, "cannot read the preference pairs"),
        ("ppo", {"minibatches": 3}, "multiple of minibatches"),
        ("ppo", {"kl_control": "adaptive", "kl_horizon": 2.0}, "kl_horizon"),
        ("grpo", {"group": 1}, "no others to compare with"),
        ("grpo", {"minibatches": 3}, "multiple of minibatches"),
        ("best_of_n", {"n": 0}, "n must be at least 1"),
    ],
)
def test_impossible_configurations_leave_an_old_run_alone(
    runs: Path, tmp_path: Path, name: str, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / name, tmp_path / "out")
    argv = arguments(name, configs(runs)[name], out=tmp_path / "out", overwrite=True, **change)
    try:
        refused(argv, said, capsys)
    except SystemExit as leaving:  # the parser itself may refuse
        assert leaving.code == 2
        assert said in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(runs / name)


# ----------------------------------------------------------------------------------------------------------- the stages
@pytest.mark.parametrize(
    ("loss_type", "smoothing", "start"),
    [
        ("sigmoid", 0.0, math.log(2)),
        ("conservative", 0.1, math.log(2)),
        ("robust", 0.1, math.log(2)),
        ("ipo", 0.0, 25.0),
        ("hinge", 0.0, 1.0),
    ],
)
def test_every_relative_of_dpo_learns(
    runs: Path, tmp_path: Path, loss_type: Any, smoothing: float, start: float
) -> None:
    config = replace(
        configs(runs)["dpo"], out=tmp_path / "dpo", loss_type=loss_type, label_smoothing=smoothing, epochs=6
    )
    dpo.run(config)
    diary = rows(tmp_path / "dpo")
    assert diary[0]["loss"] == pytest.approx(start, rel=1e-5)
    assert np.mean([row["loss"] for row in diary[-3:]]) < start
    assert np.mean([row["rewards/margins"] for row in diary[-3:]]) > 0


def test_P70_a_precomputed_reference_is_the_live_one_and_never_changes(runs: Path, tmp_path: Path) -> None:
    config = replace(configs(runs)["dpo"], out=tmp_path / "dpo")
    policy = Model.load(config.policy)
    pairs = [encode_pair(policy.tokenizer, p) for p in read_pairs(config.preferences)]
    table = dpo.reference_logps(policy, pairs, config.row_length)
    for (chosen, rejected), row in zip(pairs[:6], table, strict=False):
        alone = [heads.sequence_logps(policy.weights, policy.config, pack([e], 1))[0] for e in (chosen, rejected)]
        np.testing.assert_allclose(row, alone, rtol=1e-4)
    run = Run.create(config.out, "dpo", config, 0)
    whole_model.reference_unchanged(lambda: dpo.train(run, policy, pairs, config), policy.weights)


@pytest.mark.parametrize("value_network", ["separate", "shared"])
def test_ppo_changes_the_policy_but_neither_reference_nor_judge(runs: Path, tmp_path: Path, value_network: Any) -> None:
    config = replace(configs(runs)["ppo"], out=tmp_path / "ppo", value_network=value_network, iterations=2)
    policy, judge = Model.load(config.policy), Model.load(config.reward, "score")
    before = {**policy.weights, **{f"judge.{n}": w for n, w in judge.weights.items()}}
    before = {name: w.copy() for name, w in before.items()}
    prompts = rollouts.WorldPrompts(World(0), policy.tokenizer)

    def score(examples: Any) -> Any:
        return rollouts.reward_scores(judge, examples, config.row_length)

    tuned = ppo.train(Run.create(config.out, "ppo", config, 0), policy, judge, prompts.draw, score, config)
    assert tuned.keys() == policy.weights.keys()  # no value head in what is saved
    for name, w in before.items():
        now = judge.weights[name[6:]] if name.startswith("judge.") else policy.weights[name]
        np.testing.assert_array_equal(now, w)
    assert all((tuned[name] != policy.weights[name]).any() for name in tuned)


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_a_group_is_compared_with_itself_alone(runs: Path, method: Any) -> None:
    """Answers to one prompt stand next to each other; what another prompt's answers earn changes nothing."""
    config = replace(configs(runs)["grpo"], method=method, prompts=3, group=4)
    policy, rng = Model.load(config.policy), np.random.default_rng

    def rolled(bonus: float) -> grpo.Rollout:
        def score(examples: Any) -> Any:
            return np.arange(12.0) + bonus * (np.arange(12) < 4)

        return grpo.rollout(
            policy.weights, policy, rollouts.WorldPrompts(World(0), policy.tokenizer).draw, score, rng(0), config
        )

    roll, other = rolled(0.0), rolled(100.0)
    prompts = [tuple(e.prompt) for e in roll.examples]
    assert all(len(set(prompts[i : i + 4])) == 1 for i in (0, 4, 8))
    np.testing.assert_allclose(roll.advantages, other.advantages, atol=1e-4)
    np.testing.assert_allclose(roll.advantages.reshape(3, 4).sum(axis=1), 0, atol=1e-4)


def test_the_papers_weigh_tokens_differently() -> None:
    assert grpo.GRPOConfig().reduction == "sequence"
    assert grpo.GRPOConfig(method="rloo").reduction == "constant"
    assert grpo.GRPOConfig(method="rloo", weighting="token").reduction == "token"


def test_an_adaptive_beta_rises_while_the_kl_is_above_its_target(runs: Path, tmp_path: Path) -> None:
    config = replace(
        configs(runs)["ppo"], out=tmp_path / "ppo", kl_control="adaptive", kl_target=1e-3, kl_horizon=20, iterations=6
    )
    ppo.run(config)
    diary = rows(tmp_path / "ppo")
    for now, after in pairwise(diary):
        error = np.clip(now["objective/kl"] / 1e-3 - 1, -0.2, 0.2)
        assert after["beta"] == pytest.approx(now["beta"] * (1 + error * 8 / 20))


def test_truncated_answers_are_fined_and_no_end_is_forged(runs: Path) -> None:
    config = replace(configs(runs)["ppo"], max_new_tokens=2, beta=0.0, whiten_advantages=False, lam=1.0)
    policy = Model.load(config.policy)
    weights = ppo.networks(policy, policy, config)
    roll = ppo.rollout(
        weights,
        policy,
        rollouts.WorldPrompts(World(0), policy.tokenizer).draw,
        lambda examples: np.full(len(examples), 3.0),
        0.0,
        np.random.default_rng(0),
        config,
    )
    assert not roll.ended.all()
    for example, ended, row, mask in zip(roll.examples, roll.ended, roll.returns, roll.mask, strict=True):
        assert (policy.tokenizer.end_id in example.response) == ended
        assert row[mask] == pytest.approx(3.0 if ended else 2.0)  # values start at 0: returns are the score


def test_best_of_1_is_the_mean_and_best_of_n_the_pick(runs: Path) -> None:
    config = configs(runs)["best_of_n"]
    policy, judge = Model.load(config.policy), Model.load(config.reward, "score")
    world = World(0)
    tasks, gold = world.tasks("test", 12, np.random.default_rng(0)), Utility(world)
    found = best_of_n.candidates(
        policy, judge, [task.prompt for task in tasks], np.random.default_rng(1), n=6, max_new_tokens=16
    )
    curve = {row["n"]: row for row in best_of_n.curve(found, tasks, gold)}
    assert list(curve) == [1, 2, 4, 6]
    golds = np.array([[gold(task, text) for text in c.texts] for task, c in zip(tasks, found, strict=True)])
    assert curve[1]["gold"] == pytest.approx(golds.mean())
    assert curve[1]["kl"] == 0
    assert curve[6]["gold"] == pytest.approx(np.mean([g[c.pick] for g, c in zip(golds, found, strict=True)]))
    assert curve[6]["proxy"] == pytest.approx(np.mean([c.proxy.max() for c in found]))
    proxies = [curve[n]["proxy"] for n in curve]
    assert proxies == sorted(proxies)  # P73
    samples = [json.loads(line) for line in (runs / "best_of_n" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == config.prompts
    assert all(s["scores"][s["pick"]] == max(s["scores"]) for s in samples)


def test_scores_of_a_reward_model_do_not_depend_on_the_batch(runs: Path) -> None:
    judge = Model.load(runs / "reward", "score")
    pairs = read_pairs(runs / "reward" / "preferences.jsonl")
    examples = [side for p in pairs for side in encode_pair(judge.tokenizer, p)]
    together = judge.scores(examples)
    np.testing.assert_allclose(judge.scores(examples[:5]), together[:5], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(judge.scores(examples[::-1])[::-1], together, rtol=1e-3, atol=1e-5)


def test_an_epoch_visits_every_item_once() -> None:
    seen = np.concatenate([base.minibatch(3, step, 12, 4) for step in range(6)])
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12].tolist() != seen[12:].tolist()
