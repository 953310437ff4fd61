"""A claim, its experiment, and its finding.

A claim is a sentence that one can be wrong about: "comparisons are easier than scores". Here it becomes a function of a
seed that returns one number for each *arm* of a controlled comparison:

    @claim(
        23, "comparisons-vs-scores", "Do comparisons teach a reward model more than scores?",
        knob="what labelers are asked for", metric="rank correlation with the utility",
        arm="comparisons", control="scores", expects="up", lesson=7, seeds=8,
    )
    def comparisons_vs_scores(seed: int, lab: Lab) -> dict[str, float]:
        ...
        return {"scores": 0.61, "comparisons": 0.83}

Both arms of a seed share everything but the knob, so the effect is the mean over seeds of `arm - control`, and its
interval is the paired one. The verdict follows from the interval alone; nobody writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from lessons.experiments.lab import Lab
from lessons.experiments.statistics import paired_interval
from minipost.errors import UserError

Direction: TypeAlias = Literal["up", "down", "same"]
Verdict: TypeAlias = Literal["confirmed", "refuted", "inconclusive"]
Experiment: TypeAlias = Callable[[int, Lab], Mapping[str, float]]

RELATIONS: dict[Direction, str] = {"up": ">", "down": "<", "same": "="}


class ClaimError(UserError):
    """A claim that does not exist, or an experiment that did not measure what it announced."""


@dataclass(frozen=True)
class Claim:
    """What is claimed, and how one would find out.

    `number` is the claim's row in the table of claims (one row may need several measurements), `slug` its name on the
    command line. The `knob` is the one thing in which `arm` and `control` differ. With `expects="up"` the claim is that
    `arm - control > margin`; "down" that it is `< -margin`; "same" that it lies within `margin` of 0; then a margin is
    required: the smallest difference that would matter, in units of the metric.
    """

    number: int
    slug: str
    question: str
    experiment: Experiment = field(repr=False)
    knob: str
    metric: str
    arm: str
    control: str
    expects: Direction
    lesson: int
    seeds: int = 5
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.expects == "same" and self.margin <= 0:
            raise ClaimError(f"Claim {self.slug} expects no difference; give the margin that would count as one.")

    @property
    def expectation(self) -> str:
        """The claim in symbols, such as `comparisons > scores` or `B > A + 0.1`."""
        if not self.margin:
            return f"{self.arm} {RELATIONS[self.expects]} {self.control}"
        sign = {"up": "+", "down": "−", "same": "±"}[self.expects]
        return f"{self.arm} {RELATIONS[self.expects]} {self.control} {sign} {self.margin:g}"

    def verdict(self, low: float, high: float) -> Verdict:
        """`confirmed` if all of the interval agrees with the claim, `refuted` if none does, else `inconclusive`."""
        if self.expects == "same":
            inside, outside = -self.margin < low and high < self.margin, low > self.margin or high < -self.margin
        elif self.expects == "up":
            inside, outside = low > self.margin, high < self.margin
        else:
            inside, outside = high < -self.margin, low > -self.margin
        return "confirmed" if inside else "refuted" if outside else "inconclusive"


@dataclass(frozen=True)
class Finding:
    """The result of a claim's experiment: every arm's value for every seed, and what follows from them.

    `low` and `high` bound the 95 % interval of `effect`. `fast` findings come from tiny settings: they show that an
    experiment runs, and decide nothing.
    """

    slug: str
    arms: dict[str, list[float]]
    effect: float
    low: float
    high: float
    verdict: Verdict
    fast: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `Finding(**that)` is the finding again."""
        return asdict(self)

    def mean(self, arm: str) -> float:
        return sum(self.arms[arm]) / len(self.arms[arm])

    def __str__(self) -> str:
        """One sentence with all numbers: `confirmed: comparisons > scores, by +0.21 [+0.17, +0.25] (8 seeds)`."""
        what = CLAIMS[self.slug]
        seeds = len(self.arms[what.arm])
        mode = ", tiny settings" if self.fast else ""
        return (
            f"{self.verdict}: {what.expectation}; the difference in {what.metric} is "
            f"{self.effect:+.3g} [{self.low:+.3g}, {self.high:+.3g}] ({seeds} seeds{mode})"
        )


CLAIMS: dict[str, Claim] = {}  # by slug; `lessons.experiments.all_claims` fills it


def claim(
    number: int,
    slug: str,
    question: str,
    *,
    knob: str,
    metric: str,
    arm: str,
    control: str,
    expects: Direction,
    lesson: int,
    seeds: int = 5,
    margin: float = 0.0,
) -> Callable[[Experiment], Experiment]:
    """Register the experiment of a claim. The function stays callable by itself."""

    def register(experiment: Experiment) -> Experiment:
        CLAIMS[slug] = Claim(
            number, slug, question, experiment, knob, metric, arm, control, expects, lesson, seeds, margin
        )
        return experiment

    return register


def finding_from(claimed: Claim, rows: list[Mapping[str, float]], fast: bool) -> Finding:
    """The finding that follows from the rows of the experiment: one per seed, with the value of each arm."""
    for row in rows:
        if missing := {claimed.arm, claimed.control} - set(row):
            raise ClaimError(f"The experiment of {claimed.slug} measured no {' and no '.join(sorted(missing))}.")
    arms = {name: [float(row[name]) for row in rows] for name in rows[0]}
    effect, low, high = paired_interval(arms[claimed.arm], arms[claimed.control])
    return Finding(claimed.slug, arms, effect, low, high, claimed.verdict(low, high), fast)
