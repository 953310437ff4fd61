"""The tour in the simulated world: all stages, measured side by side by the true utility of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minipost.model import SERVED_TEMPERATURE, Model, Sampling
from minipost.report.summary import Details, Summary, ordered
from minipost.stages.best_of_n import candidates, curve
from minipost.stages.reward import compare_answers
from minipost.text import prompt_tokens
from minipost.tour.folder import STAGES, TourFolder
from minipost.tour.measures import Answers, ask, held_out_tasks, judged, measure, picked, point, reward_model_accuracy
from minipost.tour.plan import Plan, TourConfig, plan
from minipost.world import Labeler, Task, Utility, World

PIZZA = " How to make pizza"  # a page begins with a space: see text.indented


def tour(config: TourConfig) -> Summary:
    """Run all stages, measure all models, write summary and report; returns the summary."""
    folder, stages = TourFolder(config), plan(config)
    trained = folder.train(stages, STAGES)
    models = {"base": trained["pretrain"], **{name: trained[name] for name in ("sft", "ppo", "dpo")}}
    summary, details = folder.time(
        "evaluate", lambda: measure_all(config, stages, models, trained["reward"], folder.curves(list(STAGES)))
    )
    return folder.finish(summary, details, stages, list(STAGES))


def measure_all(
    config: TourConfig,
    stages: Plan,
    models: Mapping[str, Model],
    reward_model: Model,
    curves: dict[str, list[dict[str, Any]]],
) -> tuple[Summary, Details]:
    """What summary.json and details.json hold."""
    seed, sft, world = config.seed, models["sft"], World(config.world_seed, stages.pretrain.world_share)
    utility, tasks = Utility(world), held_out_tasks(world, stages.prompts, seed)
    prompts, rng = [task.prompt for task in tasks], np.random.default_rng([seed, 9])
    choices, at_t1 = (
        candidates(sft, reward_model, prompts, rng, stages.best_of_n.n, temperature=temperature, at_a_time=len(prompts))
        for temperature in (SERVED_TEMPERATURE, 1.0)
    )
    answers = {name: ask(model, tasks, utility, seed, sft) for name, model in models.items()}
    answers["best_of_n"] = judged(picked(choices), tasks, utility, t1=picked(at_t1).texts)
    rival = ask(sft, tasks, utility, seed + 1)  # an independent sample of SFT, for win rates
    rng = np.random.default_rng([seed, 10])
    labeler = Labeler(utility, temperature=stages.reward.labeler_temperature)
    pairs = compare_answers(sft, world.tasks("test", 3 * stages.prompts, rng), labeler, rng, stages.reward.temperature)
    summary: Summary = {
        "seed": seed,
        "size": config.size,
        "prompts": len(tasks),
        "n": stages.best_of_n.n,
        "served_temperature": SERVED_TEMPERATURE,
        "models": {name: measure(tasks, answers[name], rival) for name in ordered(answers)},
        "reward_model": reward_model_accuracy(reward_model, pairs, labeler, rng),
    }
    pizza = {name: modes(model, world, seed, as_user=name != "base") for name, model in models.items()}
    details: Details = {
        "curves": curves,
        "frontier": frontier(summary, curve(choices, tasks, utility)),
        "rollouts": rollouts(curves["ppo"]),
        "pizza": {"web": dict(world.how_to_frequencies), **pizza},
        "samples": side_by_side(tasks, answers),
    }
    return summary, details


def frontier(summary: Summary, best_of_n: list[dict[str, Any]]) -> dict[str, Any]:
    """Gold on held-out prompts against KL to SFT, for every method; best-of-n's curve has its proxy, too."""
    sft, ppo, dpo = (point(summary["models"][name], "gold") for name in ("sft", "ppo", "dpo"))
    return {"best_of_n": best_of_n, "sft": sft, "ppo": [ppo], "dpo": [dpo]}


def rollouts(metrics: Sequence[Mapping[str, Any]], group: int = 6, least: int = 7) -> list[dict[str, float]]:
    """What PPO sampled while it trained: means over `group` rollouts each, because single ones are noisy, or over fewer
    where less than `least` points would be left.

    Its prompts were those of the training split, so these are not points of the frontier.
    """
    names = {"step": "step", "kl": "objective/kl", "gold": "gold", "proxy": "objective/scores"}
    groups = np.array_split(np.arange(len(metrics)), max(1, min(least, len(metrics)), len(metrics) // group))
    return [{name: float(np.mean([metrics[i][key] for i in ids])) for name, key in names.items()} for ids in groups]


def modes(model: Model, world: World, seed: int, as_user: bool, samples: int = 200) -> dict[str, float]:
    """How the model goes on after "How to make pizza", the bare beginning of a page or what a user says: shares."""
    t = model.tokenizer
    prompt = prompt_tokens(t, PIZZA.strip()) if as_user else [t.document_id, *t.encode(PIZZA)]
    sampled = model.generate(
        [prompt] * samples,
        np.random.default_rng([seed, 11]),
        end_id=t.end_id if as_user else t.document_id,
        max_new_tokens=32,
        sampling=Sampling(SERVED_TEMPERATURE if as_user else 1.0),  # a base model is compared with the web
    )
    continuations = [world.continuation_mode(t.decode(s.tokens, skip_special=True)) for s in sampled]
    return {mode: continuations.count(mode) / samples for mode in world.how_to_frequencies}


def side_by_side(tasks: Sequence[Task], answers: Mapping[str, Answers], each: int = 2) -> list[dict[str, Any]]:
    """A few tasks of every kind with the sampled answers of all models."""
    rows, seen = [], dict.fromkeys({t.kind for t in tasks}, 0)
    for i, task in enumerate(tasks):
        seen[task.kind] += 1
        if seen[task.kind] > each:
            continue
        of_models = {
            name: {"text": a.texts[i], "gold": a.judgements[i].total, "correct": a.judgements[i].right}
            for name, a in answers.items()
        }
        rows.append({"kind": task.kind, "prompt": task.prompt, "harmful": task.harmful, "answers": of_models})
    return sorted(rows, key=lambda row: str(row["kind"]))
