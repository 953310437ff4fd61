"""The whole pipeline from one command: pretraining, SFT, reward model, best-of-N, PPO and DPO, measured side by side.

    DIR/pretrain  DIR/sft  DIR/reward  DIR/ppo  DIR/dpo     the run folders of the stages
    DIR/summary.json  DIR/report.html  DIR/figures          what came out

An interrupted tour goes on with `--resume` where it stopped; finished stages are not repeated.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from minipost.files import write_text
from minipost.losses import pair_accuracy
from minipost.model import Array, Model
from minipost.runs import read_metrics
from minipost.stages import dpo, ppo, pretrain, reward, sft
from minipost.stages.base import StageError
from minipost.stages.best_of_n import BestOfNConfig, Candidates, candidates, curve
from minipost.stages.dpo import DPOConfig
from minipost.stages.pairs import encode_pair
from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig
from minipost.text import prompt_tokens
from minipost.tour.evaluate import Answers, ask, held_out_tasks, measure, picked
from minipost.world import Labeler, Task, Utility, World, bayes_accuracy
from minipost.world.collect import compare

T = TypeVar("T")
NAMES = ("base", "sft", "best_of_n", "ppo", "dpo")
VILLAGE = 0.25  # share of the world in which the smallest tours play
PIZZA = " How to make pizza"  # a page begins with a space: see text.indented


@dataclass(frozen=True)
class TourConfig:
    out: Path = Path("runs/tour")  # the tour's folder
    size: Literal["smoke", "nano", "default", "small"] = "default"  # 10 seconds (learns nothing), 2, 10 or 30 minutes
    seed: int = 0  # of everything but the world
    world_seed: int = 0  # which world
    world_share: float | None = None  # how much of it there is; all of it, or for nano a quarter, a village
    quality: float | None = None  # of the web: 0 is noise, 1 is mostly good dialogue; 0.75, or for nano 0.9
    resume: bool = False  # go on with an interrupted tour
    overwrite: bool = False  # replace an existing tour


@dataclass(frozen=True)
class Plan:
    """The configurations of a tour's stages, and how much is measured."""

    pretrain: PretrainConfig
    sft: SFTConfig
    reward: RewardConfig
    ppo: PPOConfig
    dpo: DPOConfig
    best_of_n: BestOfNConfig
    prompts: int  # held-out prompts on which models are compared


def plan(config: TourConfig) -> Plan:
    """What a size means, in the stages' own terms."""
    out = config.out
    little = config.size in ("smoke", "nano")
    share = config.world_share or (VILLAGE if little else 1.0)
    quality = config.quality if config.quality is not None else (0.9 if little else 0.75)
    common: dict[str, Any] = {"seed": config.seed, "world_seed": config.world_seed, "world_share": share}
    full = Plan(
        PretrainConfig(out=out / "pretrain", quality=quality, **common),
        SFTConfig(base=out / "pretrain", out=out / "sft", **common),
        RewardConfig(policy=out / "sft", out=out / "reward", **common),
        PPOConfig(policy=out / "sft", reward=out / "reward", out=out / "ppo", **common),
        DPOConfig(policy=out / "sft", preferences=out / "reward/preferences.jsonl", out=out / "dpo", seed=config.seed),
        BestOfNConfig(policy=out / "sft", reward=out / "reward", out=out / "best_of_n", **common),
        prompts=400,
    )
    if config.size == "smoke":
        return replace(
            full,
            pretrain=replace(full.pretrain, tokens=40_000, dim=32, layers=2, hidden=64, vocab_size=512),
            sft=replace(full.sft, demonstrations=256, epochs=1),
            reward=replace(full.reward, pairs=128),
            ppo=replace(full.ppo, iterations=2, rollout=16),
            best_of_n=replace(full.best_of_n, n=4),
            prompts=40,
        )
    if config.size == "nano":  # a village: it must be learnt in a minute
        return replace(
            full,
            pretrain=replace(full.pretrain, tokens=900_000, nursery=0.3, vocab_size=1536),
            sft=replace(full.sft, demonstrations=3000),
            reward=replace(full.reward, pairs=2500),
            ppo=replace(full.ppo, iterations=14),
            best_of_n=replace(full.best_of_n, n=8),
            prompts=150,
        )
    if config.size == "small":
        return replace(
            full,
            pretrain=replace(
                full.pretrain, tokens=11_000_000, dim=160, layers=4, heads=5, kv_heads=5, hidden=432, batch_size=8
            ),
            sft=replace(full.sft, demonstrations=24_000),
            reward=replace(full.reward, pairs=24_000),
            ppo=replace(full.ppo, iterations=120),
            prompts=800,
        )
    return full


class Clock:
    """Seconds that each part of the tour took. A resumed tour keeps what it knows from before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        print(f"\n{name}", file=sys.stderr)
        start = time.perf_counter()
        result = work()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 1)
        write_text(self.path, json.dumps(self.seconds))
        return result


def tour(config: TourConfig) -> dict[str, Any]:
    """Run all stages, measure all models, write summary and report; returns the summary."""
    prepare(config)
    p, clock = plan(config), Clock(config.out / "seconds.json")
    again: dict[str, Any] = {"resume": config.resume, "overwrite": config.overwrite}
    base = clock.time("pretrain", lambda: pretrain.run(replace(p.pretrain, **again)))
    tuned = clock.time("sft", lambda: sft.run(replace(p.sft, **again)))
    judge = clock.time("reward", lambda: reward.run(replace(p.reward, **again)))
    models = {
        "base": base,
        "sft": tuned,
        "ppo": clock.time("ppo", lambda: ppo.run(replace(p.ppo, **again))),
        "dpo": clock.time("dpo", lambda: dpo.run(replace(p.dpo, **again))),
    }
    summary, details = clock.time("evaluate", lambda: compare_models(config, p, models, judge))
    summary["seconds"] = dict(clock.seconds)
    details["config"] = {name: vars(getattr(p, name)) for name in ("pretrain", "sft", "reward", "ppo", "dpo")}
    write_text(config.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_text(config.out / "details.json", json.dumps(details, indent=2, default=str) + "\n")
    return show(config.out, summary, details)


def prepare(config: TourConfig) -> None:
    """Refuse a folder that is in use before hours of work, not after."""
    if config.out.exists() and not config.out.is_dir():
        raise StageError(f"{config.out} is a file; choose another --out.")
    if config.out.exists() and any(config.out.iterdir()) and not (config.resume or config.overwrite):
        raise StageError(
            f"{config.out} is not empty; pass --resume to go on with its tour, --overwrite to start anew, "
            "or another --out."
        )
    if config.overwrite:
        (config.out / "seconds.json").unlink(missing_ok=True)
    config.out.mkdir(parents=True, exist_ok=True)


def show(out: Path, summary: dict[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """The table in the terminal and the report."""
    from rich.console import Console

    from minipost.report import print_summary, write_report

    page = write_report(out, summary, details)
    print_summary(summary, Console(force_jupyter=False))  # text, also in a notebook
    last = next((name for name in ("ppo", "dpo") if name in summary["models"]), "sft")
    print(f"\nThe report: {page}\nTalk with it: minipost chat {out} --model {last}", file=sys.stderr)
    return summary


# ------------------------------------------------------------------------------------------------------- measurements
def compare_models(
    config: TourConfig, p: Plan, models: Mapping[str, Model], judge: Model
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(summary, details for the report)."""
    world = World(config.world_seed, p.pretrain.world_share)
    utility, sft_model = Utility(world), models["sft"]
    tasks = held_out_tasks(world, p.prompts, config.seed)
    rng = np.random.default_rng([config.seed, 9])
    prompts = [task.prompt for task in tasks]
    found = candidates(sft_model, judge, prompts, rng, p.best_of_n.n, at_a_time=len(prompts))
    answers = {name: ask(m, tasks, utility, config.seed, sft_model) for name, m in models.items()}
    answers["best_of_n"] = picked(found, tasks, utility)
    rival = ask(sft_model, tasks, utility, config.seed + 1)  # an independent sample of SFT, for win rates
    summary: dict[str, Any] = {
        "seed": config.seed,
        "size": config.size,
        "prompts": len(tasks),
        "n": p.best_of_n.n,
        "models": {name: measure(tasks, answers[name], rival) for name in NAMES},
        "reward_model": judge_the_judge(config, p, sft_model, judge, world),
    }
    details = {
        "curves": {name: read_metrics(config.out / name) for name in ("pretrain", "sft", "reward", "ppo", "dpo")},
        "frontier": frontier(summary, found, tasks, utility),
        "rollouts": rollouts(read_metrics(config.out / "ppo")),
        "pizza": {
            "web": dict(world.how_to_frequencies),
            **{n: modes(m, world, config.seed, as_user=n != "base") for n, m in models.items()},
        },
        "samples": side_by_side(tasks, answers),
    }
    return summary, details


def judge_the_judge(config: TourConfig, p: Plan, policy: Model, judge: Model, world: World) -> dict[str, Any]:
    """The reward model's accuracy on held-out comparisons, beside that of a rater who knows the utility."""
    rng = np.random.default_rng([config.seed, 10])
    tasks = world.tasks("test", 3 * p.prompts, rng)
    prompts = [t.prompt for t in tasks]
    first, second = ([text for text, _ in policy.answer(prompts, rng)] for _ in range(2))
    labeler = Labeler(Utility(world), temperature=p.reward.labeler_temperature)
    pairs = compare(tasks, first, second, labeler, rng)
    sides = [encode_pair(judge.tokenizer, pair) for _, pair in pairs]
    chosen, rejected = judge.scores([c for c, _ in sides]), judge.scores([r for _, r in sides])
    margins = chosen - rejected
    triples = [(t, pair.chosen, pair.rejected) for t, pair in pairs]
    agree = np.array([labeler.probability(*triple) for triple in triples])  # that the winner wins again
    return {
        "pair_accuracy": pair_accuracy(chosen, rejected),
        "expected_accuracy": float(np.mean(np.where(margins > 0, agree, 1 - agree))),
        "bayes_accuracy": bayes_accuracy(labeler, triples),
        "pairs": len(pairs),
        "calibration": calibration(margins, rng),
    }


def calibration(margins: Array, rng: np.random.Generator, bins: int = 8) -> list[dict[str, float]]:
    """Predicted against observed wins, each pair shown in a random order."""
    flip = rng.random(len(margins)) < 0.5
    margin, won = np.where(flip, -margins, margins), ~flip
    rows = []
    for part in np.array_split(np.argsort(margin), bins):
        predicted = float(np.mean(1 / (1 + np.exp(-margin[part]))))
        row = {"margin": float(margin[part].mean()), "predicted": predicted, "empirical": float(won[part].mean())}
        rows.append(row | {"n": len(part)})
    return rows


def frontier(
    summary: Mapping[str, Any], found: Sequence[Candidates], tasks: Sequence[Task], utility: Utility
) -> dict[str, Any]:
    """Gold on held-out prompts against KL to SFT, for every method; best-of-n's curve has its proxy, too."""
    points: dict[str, Any] = {"best_of_n": curve(found, tasks, utility)}
    for name in ("sft", "ppo", "dpo"):
        row = summary["models"][name]
        point = {"kl": max(0.0, row["kl_to_sft"]), "gold": row["gold_mean"], "gold_ci95": row["gold_ci95"]}
        points[name] = point if name == "sft" else [point]
    return points


def rollouts(diary: Sequence[Mapping[str, Any]], group: int = 6) -> list[dict[str, float]]:
    """PPO's way, from what it sampled while training: means over some rollouts each, for single ones are noisy.

    Its prompts were those of the training split, so these are not points of the frontier.
    """
    names = {"step": "step", "kl": "objective/kl", "gold": "gold", "proxy": "objective/scores"}
    parts = np.array_split(np.arange(len(diary)), max(1, len(diary) // group))
    return [{name: float(np.mean([diary[i][key] for i in part])) for name, key in names.items()} for part in parts]


def modes(model: Model, world: World, seed: int, as_user: bool, samples: int = 200) -> dict[str, float]:
    """How the model goes on after "How to make pizza", the bare beginning of a page or what a user says: shares."""
    t = model.tokenizer
    prompt = prompt_tokens(t, PIZZA.strip()) if as_user else [t.document_id, *t.encode(PIZZA)]
    sampled = model.generate(
        [prompt] * samples,
        np.random.default_rng([seed, 11]),
        end_id=t.end_id if as_user else t.document_id,
        max_new_tokens=32,
    )
    found = [world.continuation_mode(t.decode(s.tokens, skip_special=True)) for s in sampled]
    return {mode: found.count(mode) / samples for mode in world.how_to_frequencies}


def side_by_side(tasks: Sequence[Task], answers: Mapping[str, Answers], each: int = 2) -> list[dict[str, Any]]:
    """A few tasks of every kind with the sampled answers of all models."""
    rows, seen = [], dict.fromkeys({t.kind for t in tasks}, 0)
    for i, task in enumerate(tasks):
        seen[task.kind] += 1
        if seen[task.kind] > each:
            continue
        said = {
            name: {"text": a.sampled[i], "gold": a.judged[i].total, "correct": a.judged[i].right}
            for name, a in answers.items()
        }
        rows.append({"kind": task.kind, "prompt": task.prompt, "harmful": task.harmful, "answers": said})
    return sorted(rows, key=lambda row: str(row["kind"]))
