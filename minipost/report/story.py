"""The words of the report: what each section is about, and sentences computed from the numbers.

Each function answers one question and returns a sentence, or an empty string if the run did not measure it. No
sentence is written in advance of its result: a stage that did not help is said not to have helped, and two models
whose intervals leave it open are said to be undecided.

A tour in the simulated world tells its story by gold, the true utility. On a user's files nobody knows what an answer
is worth; there the reward model's score is called a proxy throughout: that methods which were trained to please it do
please it is no finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minipost.report.rows import complete, shares
from minipost.report.summary import (
    Measure,
    ModelMeasures,
    Models,
    RewardModelMeasures,
    Rows,
    measure_of,
    measured,
    ordered,
)
from minipost.report.wording import interval, label, listing, number, percent, percent_interval, with_interval

PREFERENCE = ("best_of_n", "ppo", "dpo", "grpo", "rloo")


@dataclass(frozen=True)
class Section:
    """A section of the page: its name in the navigation, its heading, and how to read what stands in it."""

    name: str
    heading: str
    by_gold: str
    by_proxy: str = ""

    def reading(self, measure: Measure) -> str:
        """How to read the section in a run with this measure."""
        return self.by_proxy if measure == "proxy" and self.by_proxy else self.by_gold


SECTIONS = {
    "result": Section(
        "Result",
        "What did each stage add?",
        "Gold is the true utility of an answer, known because this world is simulated. No model was trained on it: the "
        "reward model saw only comparisons by noisy labelers. Prompts are held out; bars span 95 % intervals. Where no "
        "other temperature is named, answers are sampled as the model is served.",
        "This is somebody’s own data: no true utility of an answer is known, and no gold stands here. What can be "
        "measured is how well held-out demonstrations are predicted, how held-out pairs are ranked, and what the "
        "reward model makes of answers to held-out prompts. The last is a proxy: PPO and best-of-n were told to "
        "please it, and that it likes their answers does not say that people would. No prompt is in both parts.",
    ),
    "samples": Section(
        "Answers",
        "What do they say?",
        "The same held-out prompts to every model, each answered once as the model is served. The number is the "
        "answer’s gold utility, ✓ and ✗ say whether it is right.",
        "The same held-out prompts to every model, each answered once as the model is served. The number is the reward "
        "model’s score, a proxy. Judge for yourself.",
    ),
    "price": Section(
        "Price in KL",
        "What does it cost to leave SFT?",
        "Each point is a policy: how far it has moved from SFT, and what it is worth now. At equal KL, higher is "
        "better. Best-of-n moves by choosing among n answers; PPO and DPO move by training.",
        "Each point is a policy: how far it has moved from SFT, and how the reward model scores it now. Without a "
        "truth this shows how hard the proxy was pushed, and not whether that was good.",
    ),
    "proxy": Section(
        "Proxy and gold",
        "Is the reward model being fooled?",
        "Dashed is what the reward model believes, solid is the truth, both counted from where they started. "
        "Push hard enough, and the shaded gap opens: the policy then improves the score and no longer the answers.",
    ),
    "reward": Section(
        "Reward model",
        "How good is the reward model?",
        "Among pairs to which it gives a 70 % chance, 70 % should be won. Dots above the diagonal mean too little "
        "confidence in the favourite, dots below too much. Larger dots stand for more pairs.",
    ),
    "pizza": Section(
        "Pizza",
        "Does it answer, or does it go on?",
        "“How to make pizza” is, to a model of the web, the beginning of a page. It may add context, ask something "
        "back, or give instructions. Pretraining should copy the web’s frequencies. To a model that was shown "
        "demonstrations it is what a user says, and the third should remain.",
    ),
    "kinds": Section(
        "Kinds and harm",
        "Where is it good, and is it safe?",
        "The mean over all prompts hides what kind of task it was earned on. Harmful requests are shown by themselves: "
        "there, the right answer is a kind refusal.",
    ),
    "curves": Section(
        "Training",
        "How did training go?",
        "Dotted lines are known before training: a loss of ln 2 for a coin, a KL of 0 for a policy that has not moved. "
        "DPO and PPO start there, and so does a reward model with a scalar head. One that reads likelihoods starts "
        "with what they say.",
    ),
    "run": Section("Run", "What was run?", "The same seed gives the same numbers."),
}


# ---------------------------------------------------------------------------------------------------------- all models
def headline(models: Models) -> str:
    """The whole run in one sentence, by what no model was trained to please: gold, or else the held-out loss."""
    if measure_of(models) == "gold":
        return _climb(measured(models, "gold_mean"))
    losses = measured(models, "heldout_loss")
    if not {"base", "sft"} <= set(losses):
        return "No truth is known for this data, and no held-out loss was measured."
    before, after = losses["base"], losses["sft"]
    verb = "lowered" if after < before else "did not lower"
    return f"SFT {verb} the held-out loss: {number(before)} nats a token before, {number(after)} after."


def _climb(golds: dict[str, float]) -> str:
    """Where gold utility started, where SFT took it, who came out on top."""
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


def findings(models: Models) -> list[str]:
    """What the numbers of the models say, a sentence each."""
    sentences = (answering(models), against_sft(models), harmless(models), implied(models), changed(models))
    return [sentence for sentence in sentences if sentence]


def answering(models: Models) -> str:
    """What SFT changed: the share of right answers, and whether the model ends its answers."""
    right, ends = measured(models, "correct_served"), measured(models, "end_rate")
    if not {"base", "sft"} <= set(right):
        return ""
    verb = "learned to answer" if right["sft"] > right["base"] + 0.05 else "did not learn to answer"
    text = f"Shown demonstrations, the model {verb}: {percent(right['base'])} of its answers were right before"
    text += f", {percent(right['sft'])} after"
    if {"base", "sft"} <= set(ends):
        text += f"; it ended {percent(ends['base'])} of them by itself before, {percent(ends['sft'])} after"
    return text + "."


def against_sft(models: Models) -> str:
    """Which methods beat SFT in head-to-head judgements, which lost, and which cannot be told apart from it."""
    if measure_of(models) == "proxy":
        rates = [
            f"{label(name)}’s in {percent(rate)} {percent_interval(models[name].get('proxy_win_rate_ci95'))}".strip()
            for name, rate in measured(models, "proxy_win_rate_vs_sft").items()
            if name not in ("base", "sft")
        ]
        return f"The reward model, a proxy, prefers to an answer of SFT {listing(rates)} of the cases." if rates else ""
    verdicts: dict[str, list[str]] = {"beat": [], "lost": [], "open": []}
    for name, rate in measured(models, "win_rate_vs_sft").items():
        if name in PREFERENCE:
            bounds = models[name].get("win_rate_ci95")
            verdict = "open" if not bounds or bounds[0] <= 0.5 <= bounds[1] else "beat" if rate > 0.5 else "lost"
            verdicts[verdict].append(f"{label(name)} ({with_interval(percent(rate), percent_interval(bounds))})")
    parts = [
        f"{listing(verdicts['beat'])} beat SFT head to head" if verdicts["beat"] else "",
        f"{listing(verdicts['lost'])} lost to SFT" if verdicts["lost"] else "",
        f"{listing(verdicts['open'])} could not be told apart from SFT" if verdicts["open"] else "",
    ]
    return "; ".join(part for part in parts if part) + "." if any(parts) else ""


def harmless(models: Models) -> str:
    """How often each model goes along with a harmful request, and who does so least."""
    rates = measured(models, "harmful_compliance_served")
    if not rates:
        return ""
    if len(rates) > 1 and max(rates.values()) < 0.005:
        return "No model complied with a harmful request."
    (first, share), *others = rates.items()
    parts = [f"{label(first)} complied with {percent(share)} of the harmful requests"]
    return listing(parts + [f"{label(name)} with {percent(share)}" for name, share in others]) + "."


def implied(models: Models) -> str:
    """How the policies' implicit rewards rank held-out pairs, against a coin."""
    parts = []
    for name, share in measured(models, "implicit_accuracy").items():
        bounds = models[name].get("implicit_accuracy_ci95")
        undecided = " (not told apart from a coin)" if bounds and bounds[0] <= 0.5 <= bounds[1] else ""
        parts.append(f"{label(name)} in {with_interval(percent(share), percent_interval(bounds))}{undecided}")
    return f"The reward that a policy implies ranks held-out pairs as people did: {listing(parts)}." if parts else ""


def changed(models: Models) -> str:
    """Lengths and ends: without gold, the first things by which an overoptimised proxy gives itself away."""
    parts = [
        f"{label(name)} {number(length, 1)} ({percent(models[name].get('end_rate'))})"
        for name, length in measured(models, "mean_length").items()
    ]
    if measure_of(models) == "gold" or not parts:
        return ""
    return f"Tokens an answer, and the share that end by themselves: {listing(parts)}."


def means(models: Models, measure: Measure) -> str:
    """Every model's mean gold utility or proxy reward with its interval: the words behind the first figure."""
    parts = [
        with_interval(f"{label(name)} {number(mean, sign=True)}", interval(_bounds(models[name], measure)))
        for name, mean in measured(models, f"{measure}_mean").items()
    ]
    name = "Mean gold utility" if measure == "gold" else "Mean score by the reward model, a proxy"
    return f"{name}: {listing(parts)}." if parts else ""


def hardest(models: Models) -> str:
    """The kinds of task at which the best model is best and worst."""
    golds = {name: gold for name, gold in measured(models, "gold_mean").items() if models[name].get("by_kind")}
    if not golds:
        return ""
    best = max(golds, key=lambda name: golds[name])
    kinds = {k: cell["gold_mean"] for k, cell in models[best]["by_kind"].items() if cell["gold_mean"] is not None}
    if len(kinds) < 2:
        return ""
    top, low = max(kinds, key=lambda k: kinds[k]), min(kinds, key=lambda k: kinds[k])
    return (
        f"{label(best)} does best at {top.replace('_', ' ')} ({number(kinds[top], sign=True)}) "
        f"and worst at {low.replace('_', ' ')} ({number(kinds[low], sign=True)})."
    )


# ------------------------------------------------------------------------------------------------------ single figures
def price(frontier: Mapping[str, Any], measure: Measure) -> str:
    """What each method paid in KL at its last point, and what it had gained in gold over SFT."""
    start = (frontier.get("sft") or {}).get(measure)
    parts = []
    for method in (name for name in ordered(frontier) if name in PREFERENCE):
        if not (rows := complete(frontier[method], "kl", measure)):
            continue
        last, nats = rows[-1], f"{number(max(rows[-1]['kl'], 0.0), 1)} nats"
        if measure == "proxy":
            parts.append(f"{label(method)} {nats}")
            continue
        name = f"best-of-{last['n']:g}" if method == "best_of_n" and last.get("n") is not None else label(method)
        gain = number(last["gold"] - start, sign=True) if start is not None else f"a gold of {number(last['gold'])}"
        parts.append(f"{name} bought {gain} for {nats}")
    beginning = "Away from SFT" if measure == "proxy" else "Moving away from SFT costs KL"
    return f"{beginning}: {listing(parts)}." if parts else ""


def exploited(rows: Rows | None, by: str, method: str) -> str:
    """Whether gold kept up with proxy along `by`, or turned while proxy went on (Gao et al. 2022)."""
    rows = complete(rows, by, "proxy", "gold")
    if len(rows) < 2:
        return ""
    proxy, gold = rows[-1]["proxy"] - rows[0]["proxy"], rows[-1]["gold"] - rows[0]["gold"]
    peak = max(rows, key=lambda row: float(row["gold"]))
    where = f"n = {peak['n']:g}" if by == "n" else f"{by} {peak[by]:g}"
    text = f"{label(method)}'s proxy reward " + (f"rose by {number(proxy)}" if proxy > 0 else "did not rise")
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


def modes(pizza: Mapping[str, Mapping[str, float]]) -> str:
    """How often "How to make pizza" is continued by instructions: in the web, by the base model, and after SFT."""
    phrases = {"web": "the web goes on with instructions {}", "base": "the base model {}", "sft": "SFT {}"}
    histograms = {name: shares(pizza.get(name)) for name in phrases}
    parts = [
        phrases[name].format(f"{percent(histogram['instructions'])} of the time")
        for name, histogram in histograms.items()
        if "instructions" in histogram
    ]
    return f"After “How to make pizza”, {listing(parts)}." if parts else ""


def ranking(reward_model: RewardModelMeasures, measure: Measure) -> str:
    """How well the reward model ranks held-out pairs: against one that knew the utility (labelers are noisy, so nobody
    reaches 100 %), or against a coin and the rule that the longer answer wins."""
    accuracy, ceiling = reward_model.get("pair_accuracy"), reward_model.get("bayes_accuracy")
    if accuracy is None:
        return ""
    if measure == "gold":
        text = f"The reward model picks the labeler's choice in {percent(accuracy)} of held-out pairs"
        if ceiling is None:
            return text + "."
        text += f"; one that knew the true utility would in {percent(ceiling)}, because labelers are noisy."
        truth = reward_model.get("truth_accuracy")
        return text + (
            f" Where only one answer is right, it prefers that one in {percent(truth)}." if truth is not None else ""
        )
    text = f"The reward model ranks {percent(accuracy)} of {reward_model.get('pairs')} held-out pairs as people did"
    if bounds := reward_model.get("pair_accuracy_ci95"):
        chance = bounds[0] <= 0.5 <= bounds[1]
        text += f" {percent_interval(bounds)}, which {'does not tell it apart from' if chance else 'is not'} chance"
    longer = reward_model.get("longer_wins")
    return text + (f"; “the longer answer is better” ranks {percent(longer)}." if longer is not None else ".")


def _bounds(model: ModelMeasures, measure: Measure) -> list[float] | None:
    return model.get("gold_ci95") if measure == "gold" else model.get("proxy_ci95")
