"""The judge: for each law, draw inputs until a claim is false, then shrink them until they can be checked by hand.

Drawing and shrinking are Hypothesis's. The same seed draws the same inputs; no database is read or written.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, configuration, errors, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from minipost.laws.adapters import LawError
from minipost.laws.candidate import TIME_LIMIT, Candidate, ContractBroken, Hung, Unsupported
from minipost.laws.law import LAWS, Broken, Call, Case, Claim, Law, Verdict
from minipost.laws.printing import counterexample
from minipost.laws.targets import TARGETS, Target
from minipost.laws.universal import universal

MAX_EXAMPLES = 60
SHRINKS = 400  # failing or not, the examples that shrinking one counterexample may cost


class _Counterexample(Exception):  # noqa: N818
    """Tells Hypothesis that an example breaks the law, and carries the evidence."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.law)
        self.broken = broken


class _SmallEnough(BaseException):
    """Leaves Hypothesis when shrinking has cost enough; the best example so far is kept by the search."""


def target_of(name: str) -> Target:
    """The target of that name, or a `LawError` that lists them."""
    if name not in TARGETS:
        raise LawError(f"There is no target {name!r}; choose one of {', '.join(TARGETS)}.")
    return TARGETS[name]


def laws_of(target: Target) -> tuple[Law, ...]:
    """All laws of a target: the most specific first."""
    return (*(law for law in LAWS if law.target == target.name), *universal(target))


def judge(
    target: str,
    candidate: Callable[..., Any],
    framework: str | None = None,
    max_examples: int = MAX_EXAMPLES,
    seed: int = 0,
    watch: Callable[[str, Case], None] | None = None,
) -> Verdict:
    """Hold `candidate` to all laws of `target`, such as "dpo.sigmoid".

    `framework` is "numpy", "tensor", "torch" or "jax"; None reads it from the annotations. `watch(law, case)` is told
    before each call. Raises `LawError` for an unknown target or framework.
    """
    found = target_of(target)
    laws = laws_of(found)
    current = ["contract"]
    subject = Candidate(found, candidate, framework, None if watch is None else lambda x: watch(current[0], x))
    name = f"{getattr(candidate, '__module__', '')}.{getattr(candidate, '__qualname__', repr(candidate))}"
    verdict = Verdict(target, name, subject.framework.name, [], [], {}, laws, max_examples, seed)
    contract = laws[-1]
    outcomes: dict[str, Broken | None] = {}
    for law in (contract, *laws[:-1]):  # the contract first: what hangs need not be tried again
        current[0] = law.name
        search = Search(law, subject, max_examples, seed)
        try:
            outcomes[law.name] = search.run()
        except Unsupported as missing:
            verdict.unjudged[law.name] = f"it takes no {missing}"
        except Hung:
            outcomes["contract"] = _hung(contract, search.drawn)
            break
        if search.breach and not outcomes.get("contract"):
            outcomes["contract"] = search.breach
    for law in laws:
        broken = outcomes.get(law.name)
        if broken:
            verdict.broken.append(broken)
        elif law.name in outcomes:
            verdict.held.append(law.name)
        else:
            verdict.unjudged.setdefault(law.name, "a call hung before its turn")
    return verdict


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
        self,
        candidate: Callable[..., Any],
        framework: str | None = None,
        max_examples: int = MAX_EXAMPLES,
        seed: int = 0,
    ) -> None:
        """Raise `AssertionError` with the smallest counterexample if `candidate` breaks this law or the contract."""
        search = Search(
            self.law, Candidate(target_of(self.law.target), candidate, framework), max_examples, seed
        )
        try:
            broken = search.run() or search.breach
        except Hung:
            broken = _hung(self.law, search.drawn)
        if broken:
            raise AssertionError(f"{self.law.target} breaks {counterexample(broken)}")


def laws_for(target: str) -> list[LawTest]:
    """The laws of a target, each with `check(candidate, framework=None)`."""
    return [LawTest(law) for law in laws_of(target_of(target))]


@dataclass
class Search:
    """The hunt for the smallest counterexample to one law. `drawn` is the example at hand; `breach` a breach of the
    contract that was met on the way and is not this law's own affair."""

    law: Law
    subject: Candidate
    max_examples: int
    seed: int
    drawn: Case | None = None
    breach: Broken | None = None
    best: Broken | None = None
    _left: int = field(default=SHRINKS)

    def run(self) -> Broken | None:
        """The counterexample, or None if none was found."""
        wide = self.law.draws == "wide"
        if self.law.name == "gradient" and self.subject.framework.name == "numpy":
            wide = False  # central differences resolve nothing at 1e4
        examples = st.tuples(self.subject.target.strategy(wide), st.fixed_dictionaries(dict(self.law.extra)))

        @seeded(zlib.crc32(f"{self.seed} {self.law.target} {self.law.name}".encode()))
        @settings(
            database=None, deadline=None, max_examples=self.max_examples, phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False, print_blob=False, verbosity=Verbosity.quiet, derandomize=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(examples)
        def search(example: tuple[Case, dict[str, Any]]) -> None:
            if self.best is not None:
                self._left -= 1
                if self._left < 0:
                    raise _SmallEnough
            x, extra = example
            broken = self._tried(x, extra)
            if broken is not None:
                self.best = broken
                raise _Counterexample(broken)

        try:
            with _leaving_no_trace():
                search()
        except _Counterexample as found:
            return found.broken
        except (_SmallEnough, errors.Flaky):
            return self.best
        return None

    def _tried(self, x: Case, extra: dict[str, Any]) -> Broken | None:
        """One example: the first false claim as evidence."""
        self.subject.calls.clear()
        self.drawn = x = x.without(*self.subject.binding.unsupported)
        try:
            claims: Iterator[Claim] = self.law.claims(self.subject, x, **extra)
            for claim in claims:
                if not claim.holds(self._scale()):
                    return self._evidence(claim)
        except ContractBroken as breach:
            broken = _breach(self.law, breach)
            if self.law.name == "contract":
                return broken
            self.breach = self.breach or broken
        return None

    def _scale(self) -> float:
        """The size of what came back: claims compare differences of it."""
        outs = [np.ravel(np.asarray(c.returned, np.float64)) for c in self.subject.calls if not c.gradient]
        every = np.concatenate([np.zeros(1), *outs])
        return float(np.abs(every[np.isfinite(every)]).max())

    def _evidence(self, claim: Claim) -> Broken:
        law = self.law
        return Broken(
            law.name, law.says, law.formula, law.source, claim.what, claim.got, claim.should, claim.relation,
            claim.where, tuple(self.subject.calls),
        )  # fmt: skip


@contextmanager
def _leaving_no_trace() -> Iterator[None]:
    """Hypothesis remembers constants of the sources that it meets in a folder `.hypothesis`; not on our account."""
    home = vars(configuration).get("__hypothesis_home_directory")
    configuration.set_hypothesis_home_dir(os.devnull)
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(home)


def _breach(law: Law, breach: ContractBroken) -> Broken:
    return Broken(
        "contract", "never raises, hangs, returns NaN, another shape or type, nor writes to arguments", law.formula,
        "the contract", breach.what, breach.got, breach.should, calls=(breach.call,),
    )  # fmt: skip


def _hung(contract: Law, x: Case | None) -> Broken:
    return Broken(
        "contract", contract.says, contract.formula, contract.source, "it hung",
        f"nothing within {TIME_LIMIT:g} s", "a result", calls=(Call(x, None),) if x else (),
    )  # fmt: skip
