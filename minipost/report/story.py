"""The sentences of the report, computed from the numbers.

Each function answers one question and returns a sentence, or an empty string if the run did not measure it. No
sentence is written in advance of its result: a stage that did not help is said not to have helped, and two models
whose intervals leave it open are said to be undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minipost.report.rows import complete, finite, pair, shares
from minipost.report.wording import interval, label, listing, number, ordered, percent, percent_interval

Data = Mapping[str, Any]
PREFERENCE = ("best_of_n", "ppo", "dpo", "grpo", "rloo")


def headline(models: Data) -> str:
    """The whole run in one sentence: where gold utility started, where SFT took it, who came out on top."""
    golds = {name: gold for name in ordered(models) if (gold := finite(models[name].get("gold_mean"))) is not None}
    if not golds:
        return "This run measured no utility."
    best = max(golds, key=lambda name: golds[name])
    start = "base" if "base" in golds else next(iter(golds))
    if best == start:
        return f"Nothing beat {label(start)}: its gold utility of {number(golds[start], sign=True)} is the highest."
    climb = f"from {number(golds[start], sign=True)} to {number(golds[best], sign=True)}"
    if best in PREFERENCE and "sft" in golds and start != "sft":
        middle = number(golds["sft"], sign=True)
        return f"Post-training took the true utility {climb}: SFT reached {middle}, {label(best)} went furthest."
    return f"Post-training took the true utility {climb}, and {label(best)} went furthest."


def answering(models: Data) -> str:
    """What SFT changed: the share of right answers, and whether the model ends its answers."""
    base, sft = models.get("base", {}), models.get("sft", {})
    before, after = finite(base.get("correct")), finite(sft.get("correct"))
    if before is None or after is None:
        return ""
    verb = "learned to answer" if after > before + 0.05 else "did not learn to answer"
    text = f"Shown demonstrations, the model {verb}: {percent(before)} of its answers were right before"
    text += f", {percent(after)} after"
    ends = finite(base.get("end_rate")), finite(sft.get("end_rate"))
    if None not in ends:
        text += f"; it ended {percent(ends[0])} of them by itself before, {percent(ends[1])} after"
    return text + "."


def against_sft(models: Data) -> str:
    """Which methods beat SFT in head-to-head judgements, which lost, and which cannot be told apart from it."""
    verdicts: dict[str, list[str]] = {"beat": [], "lost": [], "open": []}
    for name in (name for name in ordered(models) if name in PREFERENCE):
        rate, bounds = finite(models[name].get("win_rate_vs_sft")), pair(models[name].get("win_rate_ci95"))
        if rate is None:
            continue
        verdict = "open" if bounds is None or bounds[0] <= 0.5 <= bounds[1] else "beat" if rate > 0.5 else "lost"
        verdicts[verdict].append(f"{label(name)} ({_rate(models[name])})")
    said = [
        f"{listing(verdicts['beat'])} beat SFT head to head" if verdicts["beat"] else "",
        f"{listing(verdicts['lost'])} lost to SFT" if verdicts["lost"] else "",
        f"{listing(verdicts['open'])} could not be told apart from SFT" if verdicts["open"] else "",
    ]
    return "; ".join(part for part in said if part) + "." if any(said) else ""


def harmless(models: Data) -> str:
    """How often each model goes along with a harmful request, and who does so least."""
    rates = {n: x for n in ordered(models) if (x := finite(models[n].get("harmful_compliance"))) is not None}
    if not rates:
        return ""
    if len(rates) > 1 and max(rates.values()) < 0.005:
        return "No model complied with a harmful request."
    (first, share), *others = rates.items()
    told = [f"{label(first)} complied with {percent(share)} of the harmful requests"]
    return listing(told + [f"{label(name)} with {percent(share)}" for name, share in others]) + "."


def price(curves: Data) -> str:
    """What each method paid in KL at its last point, and what it had gained in gold over SFT."""
    sft = curves.get("sft") or {}
    start = finite(sft.get("gold")) if isinstance(sft, Mapping) else None
    parts = []
    for method in (name for name in ordered(curves) if name in PREFERENCE):
        rows = complete(curves[method], "kl", "gold")
        if not rows:
            continue
        last, n = rows[-1], finite(rows[-1].get("n"))
        name = f"best-of-{n:g}" if method == "best_of_n" and n is not None else label(method)
        gain = number(last["gold"] - start, sign=True) if start is not None else f"a gold of {number(last['gold'])}"
        parts.append(f"{name} bought {gain} for {number(max(last['kl'], 0.0), 1)} nats")
    return f"Moving away from SFT costs KL: {listing(parts)}." if parts else ""


def exploited(rows: Any, by: str, method: str) -> str:
    """Whether gold kept up with proxy along `by`, or turned while proxy went on (Gao et al. 2022)."""
    rows = complete(rows, by, "proxy", "gold")
    if len(rows) < 2:
        return ""
    proxy, gold = rows[-1]["proxy"] - rows[0]["proxy"], rows[-1]["gold"] - rows[0]["gold"]
    peak = max(rows, key=lambda row: float(row["gold"]))
    where = f"n = {peak['n']:g}" if by == "n" else f"{by} {peak[by]:g}"
    text = (
        f"{label(method)}'s proxy reward rose by {number(proxy)}"
        if proxy > 0
        else f"{label(method)}'s proxy reward did not rise"
    )
    fall = peak["gold"] - rows[-1]["gold"]
    if peak is rows[0]:
        return f"{text}; gold was highest at the start ({number(gold, sign=True)} since)."
    if fall > 0.1 * max(peak["gold"] - rows[0]["gold"], 1e-9):
        return f"{text}; gold peaked at {where} and then gave back {number(fall)}."
    if 0 < proxy < gold:
        return f"{text}, gold by {number(gold)}: more than the reward model promised."
    if proxy > 0 and gold > 0:
        return f"{text}, gold by {number(gold)}: {percent(gold / proxy)} of what the reward model promised."
    return f"{text}, gold changed by {number(gold, sign=True)}."


def modes(pizza: Data) -> str:
    """How often "How to make pizza" is continued by instructions: in the web, by the base model, and after SFT."""
    said = []
    for name, phrase in (
        ("web", "the web goes on with instructions {}"),
        ("base", "the base model {}"),
        ("sft", "SFT {}"),
    ):
        if "instructions" in (found := shares(pizza.get(name))):
            said.append(phrase.format(f"{percent(found['instructions'])} of the time"))
    return f"After “How to make pizza”, {listing(said)}." if said else ""


def judged(reward_model: Data) -> str:
    """How good the reward model is, and how good anyone could be: labelers are noisy, so the ceiling is below 100 %."""
    accuracy, ceiling = finite(reward_model.get("pair_accuracy")), finite(reward_model.get("bayes_accuracy"))
    if accuracy is None:
        return ""
    text = f"The reward model picks the labeler's choice in {percent(accuracy)} of held-out pairs"
    if ceiling is None:
        return text + "."
    return f"{text}; one that knew the true utility would in {percent(ceiling)}, because labelers are noisy."


def hardest(models: Data) -> str:
    """The kinds of task at which the best model is best and worst."""
    golds = {n: g for n in models if models[n].get("by_kind") and (g := finite(models[n].get("gold_mean"))) is not None}
    if not golds:
        return ""
    best = max(golds, key=lambda name: golds[name])
    kinds = {k: g for k, cell in models[best]["by_kind"].items() if (g := finite(cell.get("gold_mean"))) is not None}
    if len(kinds) < 2:
        return ""
    top, low = max(kinds, key=lambda k: kinds[k]), min(kinds, key=lambda k: kinds[k])
    return (
        f"{label(best)} does best at {top.replace('_', ' ')} ({number(kinds[top], sign=True)}) "
        f"and worst at {low.replace('_', ' ')} ({number(kinds[low], sign=True)})."
    )


def utilities(models: Data) -> str:
    """Every model's gold utility with its interval: the words behind the first figure."""
    parts = []
    for name in ordered(models):
        if finite(models[name].get("gold_mean")) is not None:
            bounds = interval(models[name].get("gold_ci95"))
            parts.append(
                f"{label(name)} {number(models[name]['gold_mean'], sign=True)}{' ' + bounds if bounds else ''}"
            )
    return f"Mean gold utility: {listing(parts)}." if parts else ""


def _rate(model: Data) -> str:
    bounds = percent_interval(model.get("win_rate_ci95"))
    return f"{percent(model['win_rate_vs_sft'])}{' ' + bounds if bounds else ''}"
