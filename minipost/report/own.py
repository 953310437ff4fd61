"""The words of a report on a user's own data, where nobody knows what an answer is truly worth.

As in `story`, each sentence is computed from the numbers, and empty if they were not measured. The reward model is
called a proxy throughout: that the methods which were told to please it do please it is no finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minipost.report.rows import finite, pair
from minipost.report.wording import interval, label, listing, number, ordered, percent, percent_interval

Data = Mapping[str, Any]

SECTIONS = {
    "result": (
        "Result",
        "What did each stage add?",
        "This is somebody’s own data: no true utility of an answer is known, and no gold stands here. What can be "
        "measured is how well held-out demonstrations are predicted, how held-out pairs are ranked, and what the "
        "reward model makes of answers to held-out prompts. The last is a proxy: PPO and best-of-n were told to "
        "please it, and that it likes their answers does not say that people would. No prompt is in both parts.",
    ),
    "samples": (
        "Answers",
        "What do they say?",
        "The same held-out prompts to every model, sampled at temperature 1. The number is the reward model’s score, "
        "a proxy. Judge for yourself.",
    ),
    "price": (
        "Price in KL",
        "What does it cost to leave SFT?",
        "Each point is a policy: how far it has moved from SFT, and how the reward model scores it now. Without a "
        "truth this shows how hard the proxy was pushed, and not whether that was good.",
    ),
}


def proxy_only(models: Data) -> bool:
    """Whether answers were scored by a reward model, and not by anything true."""

    def known(key: str) -> bool:
        return any(finite(model.get(key)) is not None for model in models.values())

    return known("proxy_mean") and not known("gold_mean")


def headline(models: Data) -> str:
    """What SFT did to the held-out loss: the one number here that no model was trained to please."""
    before, after = (finite(models.get(name, {}).get("heldout_loss")) for name in ("base", "sft"))
    if before is None or after is None:
        return "No truth is known for this data, and no held-out loss was measured."
    verb = "lowered" if after < before else "did not lower"
    return f"SFT {verb} the held-out loss: {number(before)} nats a token before, {number(after)} after."


def against_sft(models: Data) -> str:
    """How often the reward model prefers each method to SFT."""
    rates = [
        f"{label(name)}’s in {percent(rate)} {percent_interval(models[name].get('proxy_win_rate_ci95'))}".strip()
        for name in ordered(models)
        if name not in ("base", "sft") and (rate := finite(models[name].get("proxy_win_rate_vs_sft"))) is not None
    ]
    return f"The reward model, a proxy, prefers to an answer of SFT {listing(rates)} of the cases." if rates else ""


def implied(models: Data) -> str:
    """How the policies' implicit rewards rank held-out pairs, against a coin."""
    said = []
    for name in ordered(models):
        if (share := finite(models[name].get("implicit_accuracy"))) is not None:
            bounds = pair(models[name].get("implicit_accuracy_ci95"))
            told = percent(share) + (f" {percent_interval(bounds)}" if bounds else "")
            open_ = " (not told apart from a coin)" if bounds and bounds[0] <= 0.5 <= bounds[1] else ""
            said.append(f"{label(name)} in {told}{open_}")
    return f"The reward that a policy implies ranks held-out pairs as people did: {listing(said)}." if said else ""


def changed(models: Data) -> str:
    """Lengths and ends: the first things by which an overoptimised proxy gives itself away."""
    said = [
        f"{label(name)} {number(length, 1)} ({percent(models[name].get('end_rate'))})"
        for name in ordered(models)
        if (length := finite(models[name].get("mean_length"))) is not None
    ]
    return f"Tokens an answer, and the share that end by themselves: {listing(said)}." if said else ""


def judged(reward_model: Data) -> str:
    """The reward model against a coin and against a judge who prefers the longer answer."""
    accuracy, bounds = finite(reward_model.get("pair_accuracy")), pair(reward_model.get("pair_accuracy_ci95"))
    if accuracy is None:
        return ""
    text = f"The reward model ranks {percent(accuracy)} of {reward_model.get('pairs')} held-out pairs as people did"
    if bounds is not None:
        chance = bounds[0] <= 0.5 <= bounds[1]
        text += f" {percent_interval(bounds)}, which {'does not tell it apart from' if chance else 'is not'} chance"
    longer = finite(reward_model.get("longer_wins"))
    return text + (f"; “the longer answer is better” ranks {percent(longer)}." if longer is not None else ".")


def proxies(models: Data) -> str:
    """Every model's mean score with its interval."""
    parts = [
        f"{label(name)} {number(mean, sign=True)} {interval(models[name].get('proxy_ci95'))}".strip()
        for name in ordered(models)
        if (mean := finite(models[name].get("proxy_mean"))) is not None
    ]
    return f"Mean score by the reward model, a proxy: {listing(parts)}." if parts else ""


def moved(models: Data) -> str:
    """How far each method has gone from SFT."""
    parts = [
        f"{label(name)} {number(max(kl, 0.0), 1)} nats"
        for name in ordered(models)
        if name not in ("base", "sft") and (kl := finite(models[name].get("kl_to_sft"))) is not None
    ]
    return f"Away from SFT: {listing(parts)}." if parts else ""
