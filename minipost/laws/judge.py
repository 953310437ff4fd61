"""The judge: holds a candidate to all laws of a target, or to one of them in a test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from minipost.laws.adapters import LawError
from minipost.laws.candidate import Candidate, Implementation
from minipost.laws.law import LAWS, Law, Verdict
from minipost.laws.printing import counterexample
from minipost.laws.targets import TARGETS, Target
from minipost.laws.trial import Trial
from minipost.laws.universal import universal

MAX_EXAMPLES = 100


def target_of(name: str) -> Target:
    """The target of that name, or a `LawError` that lists them."""
    if name not in TARGETS:
        raise LawError(f"There is no target {name!r}; choose one of {', '.join(TARGETS)}.")
    return TARGETS[name]


def laws_of(target: Target) -> tuple[Law, ...]:
    """All laws of a target: the most specific first, by number."""
    named = [replace(law, source=law.source or target.source) for law in LAWS if law.target == target.name]
    return (*sorted(named, key=lambda law: int(law.name[1:])), *universal(target))


def judge(
    target: str,
    candidate: Implementation,
    framework: str | None = None,
    max_examples: int = MAX_EXAMPLES,
    seed: int = 0,
    label: str | None = None,
) -> Verdict:
    """Hold `candidate` to all laws of `target`, such as "dpo.sigmoid".

    `framework` is "numpy", "tensor", "torch" or "jax"; None reads it from the annotations. `label` is what reports call
    the candidate. Raises `LawError` for an unknown target or framework, or without Hypothesis.
    """
    laws = laws_of(target_of(target))
    trial = _trial(target, laws, candidate, framework, max_examples, seed)
    trial.run()
    name = label or f"{getattr(candidate, '__module__', '')}.{getattr(candidate, '__qualname__', repr(candidate))}"
    verdict = Verdict(target, name, trial.candidate.framework.name, [], [], {}, laws, max_examples, seed)
    for law in laws:
        if law.name in trial.broken:
            verdict.broken.append(trial.broken[law.name])
        elif law.name in trial.unjudged or law.name not in trial.judged:
            verdict.unjudged[law.name] = trial.unjudged.get(law.name, "every call that it makes breaks the contract")
        else:
            verdict.held.append(law.name)
    return verdict


def _trial(
    target: str, laws: tuple[Law, ...], candidate: Implementation, framework: str | None, max_examples: int, seed: int
) -> Trial:
    """A candidate before some of its target's laws."""
    if find_spec("hypothesis") is None:
        raise LawError("The laws draw their examples with Hypothesis, which is not installed: pip install hypothesis.")
    return Trial(Candidate(target_of(target), candidate, framework), laws, max_examples, seed)


@dataclass(frozen=True)
class LawTest:
    """One law as a test: what `laws_for` gives to `pytest.mark.parametrize`."""

    law: Law

    @property
    def __name__(self) -> str:  # which pytest makes the test's id of
        return self.law.name

    def __str__(self) -> str:
        return str(self.law)

    def check(
        self, candidate: Implementation, framework: str | None = None, max_examples: int = MAX_EXAMPLES, seed: int = 0
    ) -> None:
        """Raise `AssertionError` with the smallest counterexample if `candidate` breaks this law or the contract."""
        target = self.law.target
        laws = tuple(law for law in laws_of(target_of(target)) if law.name in (self.law.name, "contract"))
        trial = _trial(target, laws, candidate, framework, max_examples, seed)
        trial.run()
        for broken in trial.broken.values():
            raise AssertionError(f"{target} breaks {counterexample(broken)}")

    def breaks(
        self, candidate: Implementation, framework: str | None = None, max_examples: int = MAX_EXAMPLES, seed: int = 0
    ) -> bool:
        """Whether `candidate` breaks this very law. Faster than `check`: the first counterexample will do."""
        laws = laws_of(target_of(self.law.target))
        return _trial(self.law.target, laws, candidate, framework, max_examples, seed).breaks(self.law)


def laws_for(target: str) -> list[LawTest]:
    """The laws of a target, each with `check(candidate, framework=None)`."""
    return [LawTest(law) for law in laws_of(target_of(target))]
