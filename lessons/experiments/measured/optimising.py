"""PPO's loop (claim 27): sample, score, update; what the reward model's score does, and what the true utility does.

Everything is read off the metrics of the runs: each row holds the mean over the 64 answers of one rollout, under the
policy that sampled them. The first rollout is the SFT model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from minipost.runs import read_metrics

PROXY, GOLD = "objective/scores", "gold"


def diary(run: Path, name: str) -> list[float]:
    """A metric over the iterations of a run."""
    return [float(row[name]) for row in read_metrics(run)]


def ends(values: list[float], width: int = 3) -> dict[str, float]:
    """The means of the first and of the last few rollouts: one rollout of 64 answers is a noisy number."""
    return {"first rollouts": float(np.mean(values[:width])), "last rollouts": float(np.mean(values[-width:]))}


def without_kl(lab: Lab, seed: int) -> Path:
    """PPO with beta 0: no KL penalty, and more and larger steps than usual."""
    longer: dict[str, Any] = lab.pick({"iterations": 20, "learning_rate": 4e-4}, {})
    return village.ppo(lab, seed, beta=0.0, **longer)


@claim(
    27,
    "ppo-raises-its-reward",
    "Does the loop of sampling, scoring and updating raise the reward?",
    knob="how long PPO has trained",
    metric="the reward model's score of sampled answers",
    arm="last rollouts",
    control="first rollouts",
    expects="up",
    lesson=9,
    seeds=3,
)
def ppo_raises_its_reward(seed: int, lab: Lab) -> dict[str, float]:
    """The proxy at both ends of a run."""
    return ends(diary(village.ppo(lab, seed), PROXY))


@claim(
    27,
    "ppo-raises-gold",
    "Does the true utility rise with it?",
    knob="how long PPO has trained",
    metric="true utility of sampled answers",
    arm="last rollouts",
    control="first rollouts",
    expects="up",
    lesson=9,
    seeds=3,
)
def ppo_raises_gold(seed: int, lab: Lab) -> dict[str, float]:
    """The gold, which PPO never sees, at both ends of the same run."""
    return ends(diary(village.ppo(lab, seed), GOLD))


@claim(
    27,
    "ppo-pushed-too-far",
    "Without a price of KL, does the true utility fall again while the proxy rises?",
    knob="how long PPO has trained, at beta 0",
    metric="true utility of sampled answers",
    arm="last quarter",
    control="second quarter",
    expects="down",
    lesson=9,
    seeds=3,
)
def ppo_pushed_too_far(seed: int, lab: Lab) -> dict[str, float]:
    """Gold in the quarters of a run with beta 0, fixed beforehand: the highest point is always above the end."""
    quarters = np.array_split(diary(without_kl(lab, seed), GOLD), lab.pick(4, 2))
    means = [float(np.mean(q)) for q in quarters]
    return {"first quarter": means[0], "second quarter": means[len(means) // 2 - 1], "last quarter": means[-1]}
