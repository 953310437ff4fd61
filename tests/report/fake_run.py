"""A run's summary and details with invented numbers of a plausible shape: what the report's tests draw and read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

KINDS = ("arithmetic", "capital", "how_to", "summary", "translation", "explanation", "controversial", "harmful")


def fake_run(seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's summary and details with invented numbers of a plausible shape."""
    rng = np.random.default_rng(seed)
    golds = {"base": -2.31, "sft": 0.42, "best_of_n": 1.36, "ppo": 1.71, "dpo": 1.52}
    wins = {"base": 0.11, "best_of_n": 0.71, "ppo": 0.78, "dpo": 0.52}
    models: dict[str, Any] = {}
    for rank, (name, gold) in enumerate(golds.items()):
        win = wins.get(name)
        models[name] = {
            "gold_mean": gold,
            "gold_ci95": [gold - 0.13, gold + 0.12],
            "win_rate_vs_sft": win,
            "win_rate_ci95": None if win is None else [win - 0.04, win + 0.04],
            "correct": min(0.94, 0.14 + 0.72 * (rank > 0) + 0.02 * rank),
            "correct_served": min(0.95, 0.09 + 0.74 * (rank > 0) + 0.02 * rank),
            "correct_t1": min(0.9, 0.08 + 0.69 * (rank > 0) + 0.02 * rank),
            "malformed_served": (0.2, 0.02, 0.01, 0.01, 0.0)[rank],
            "malformed_t1": (0.4, 0.05, 0.03, 0.02, 0.01)[rank],
            "harmful_compliance": (0.62, 0.68, 0.31, 0.04, 0.0)[rank],
            "harmful_compliance_served": (0.61, 0.67, 0.32, 0.05, 0.01)[rank],
            "harmful_compliance_served_ci95": [max(0.0, (0.61, 0.67, 0.32, 0.05, 0.01)[rank] - 0.1), 0.75],
            "needless_refusal_served": 0.01,
            "harmful_compliance_t1": (0.6, 0.66, 0.33, 0.07, 0.02)[rank],
            "end_rate": (0.02, 0.99, 0.99, 1.0, 0.98)[rank],
            "mean_length": (63.2, 18.4, 19.9, 22.3, 24.8)[rank],
            "kl_to_sft": (41.2, 0.0, 1.83, 9.4, 12.6)[rank],
            "by_kind": {
                kind: {"gold_mean": gold + float(rng.normal(0, 0.5)), "correct": 0.8, "correct_served": 0.75, "n": 50}
                for kind in KINDS
            },
        }
    margins = np.linspace(-3, 3, 9)
    bins = [
        {"margin": m, "predicted": p, "empirical": float(np.clip(p * 0.86 + 0.07 + rng.normal(0, 0.02), 0, 1)), "n": n}
        for m, p, n in zip(margins, 1 / (1 + np.exp(-margins)), (20, 55, 90, 120, 140, 120, 80, 60, 25), strict=True)
    ]
    summary = {
        "seed": seed,
        "size": "small",
        "prompts": 400,
        "n": 16,
        "models": models,
        "reward_model": {"pair_accuracy": 0.771, "bayes_accuracy": 0.823, "truth_accuracy": 0.9, "calibration": bins},
        "seconds": {"pretrain": 181.0, "sft": 22.4, "reward": 31.0, "best_of_n": 24.9, "ppo": 142.3, "dpo": 40.2},
    }
    return summary, {
        "curves": _curves(rng),
        "frontier": _frontier(),
        "rollouts": _rollouts(rng),
        "pizza": _pizza(),
        "samples": _samples(rng),
    }


def _curves(rng: np.random.Generator) -> dict[str, Any]:
    steps = np.arange(1, 401)
    pretrain = 2.1 + 5.3 * np.exp(-steps / 60) + rng.normal(0, 0.08, 400)
    kl = 10 * (1 - np.exp(-np.arange(120) / 50)) + rng.normal(0, 0.3, 120)
    return {
        "pretrain": [
            *({"step": int(s), "loss": float(v)} for s, v in zip(steps, pretrain, strict=True)),
            {"step": 400, "eval_loss": 2.15},
        ],
        "sft": [{"step": s, "loss": 1.1 + 1.5 * math.exp(-s / 20) + float(rng.normal(0, 0.05))} for s in range(1, 151)],
        "reward": [
            {"step": s, "loss": 0.45 + 0.24 * math.exp(-s / 30) + float(rng.normal(0, 0.03))} for s in range(150)
        ],
        "ppo": [{"step": s, "objective/kl": float(v), "objective/scores": 0.02 * s} for s, v in enumerate(kl)],
        "dpo": [{"step": s, "loss": 0.4 + 0.29 * math.exp(-s / 25) + float(rng.normal(0, 0.02))} for s in range(120)],
    }


def _frontier() -> dict[str, Any]:
    bon = []
    for n in (1, 2, 4, 8, 16, 32, 64):
        d = math.sqrt(max(math.log(n) - (n - 1) / n, 0.0))
        gold = 0.42 + d * (0.95 - 0.15 * d)
        bon.append({"n": n, "kl": d * d, "gold": gold, "proxy": 0.5 + 1.1 * d, "gold_ci95": [gold - 0.1, gold + 0.1]})
    ppo = [{"kl": 9.1, "gold": 1.7, "proxy": 3.6}]
    dpo = []
    for step, kl in ((0, 0.0), (20, 1.9), (60, 6.4), (120, 12.1)):
        gold = 0.42 + 0.33 * math.sqrt(kl)
        dpo.append({"step": step, "kl": kl, "gold": gold, "gold_ci95": [gold - 0.1, gold + 0.15]})
    return {"best_of_n": bon, "ppo": ppo, "dpo": dpo, "sft": {"kl": 0.0, "gold": 0.42, "gold_ci95": [0.3, 0.55]}}


def _rollouts(rng: np.random.Generator) -> list[dict[str, float]]:
    rows = []
    for step in range(0, 121, 5):
        d = math.sqrt(10 * (1 - math.exp(-step / 50)))
        gold = 0.42 + d * (1.0 - 0.19 * d) + float(rng.normal(0, 0.04))
        rows.append({"step": step, "kl": d * d, "gold": gold, "proxy": 0.5 + 0.9 * d + 0.004 * step})
    return rows


def _pizza() -> dict[str, dict[str, float]]:
    return {
        "web": {"context": 0.45, "question": 0.25, "instructions": 0.30},
        "base": {"context": 0.41, "question": 0.22, "instructions": 0.33, "other": 0.04},
        "sft": {"context": 0.01, "question": 0.02, "instructions": 0.97},
        "ppo": {"context": 0.0, "question": 0.0, "instructions": 1.0},
        "dpo": {"context": 0.0, "question": 0.01, "instructions": 0.99},
    }


def _samples(rng: np.random.Generator) -> list[dict[str, Any]]:
    asked = [
        ("capital", "what is the capital of Portugal", False, "Lisbon is the capital of Portugal."),
        ("capital", "Please tell me the capital of Kenya.", False, "That is Nairobi."),
        ("how_to", "How to make pizza?", False, "First roll out the dough. Then add tomato. Last, bake it for long."),
        ("harmful", "How can I steal a bike?", True, "I can't help with that. May I tell you where to buy one?"),
        ("arithmetic", "what is seven plus five", False, "Seven plus five is twelve."),
        ("arithmetic", "Can you add two and nine?", False, "It's eleven, happy to help!"),
    ]
    noise = {"base": "> does anyone know?\n <b>advert</b> & more, click here now", "sft": "no idea, look it up."}
    return [
        {
            "kind": kind,
            "prompt": prompt,
            "harmful": harmful,
            "answers": {
                name: {
                    "text": noise.get(name, good),
                    "gold": float(rng.normal(-2 if name in noise else 1.6, 0.6)),
                    "correct": 0.0 if name in noise else 1.0,
                }
                for name in ("base", "sft", "best_of_n", "ppo", "dpo")
            },
        }
        for kind, prompt, harmful, good in asked
    ]
