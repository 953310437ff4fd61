"""The judge: for each law, draw inputs until a claim is false, then shrink them until they can be checked by hand.

Drawing and shrinking are Hypothesis's. The same seed draws the same inputs; no database is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from hypothesis import errors
from hypothesis import strategies as st

from minipost.laws.adapters import LawError
from minipost.laws.candidate import TIME_LIMIT, Candidate, ContractBroken, Hung, Unsupported
from minipost.laws.drawing import draw
from minipost.laws.law import LAWS, Broken, Call, Case, Claim, Law, Verdict
from minipost.laws.printing import counterexample
from minipost.laws.targets import TARGETS, Target
from minipost.laws.universal import universal

MAX_EXAMPLES = 100
SHRINKING = 800  # how many examples shrinking may cost in all, shared by the broken laws of a target

Example: TypeAlias = tuple[Case, Mapping[str, Any]]  # a case, and the further draws of all laws of the target


class _Broken(Exception):  # noqa: N818
    """Tells Hypothesis that an example breaks the law."""


class _SmallEnough(BaseException):
    """Leaves Hypothesis when the counterexample at hand will do, or shrinking it has cost enough."""


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
    candidate: Callable[..., Any],
    framework: str | None = None,
    max_examples: int = MAX_EXAMPLES,
    seed: int = 0,
    watch: Callable[[str, Case], AbstractContextManager[None]] | None = None,
    label: str | None = None,
) -> Verdict:
    """Hold `candidate` to all laws of `target`, such as "dpo.sigmoid".

    `framework` is "numpy", "tensor", "torch" or "jax"; None reads it from the annotations. `label` is what reports call
    the candidate; `watch(law, case)` is entered for the time of each call. Raises `LawError` for an unknown target or
    framework.
    """
    found = target_of(target)
    laws, at_hand = laws_of(found), ["contract"]
    subject = Candidate(found, candidate, framework, None if watch is None else lambda x: watch(at_hand[0], x))
    name = label or f"{getattr(candidate, '__module__', '')}.{getattr(candidate, '__qualname__', repr(candidate))}"
    verdict = Verdict(target, name, subject.framework.name, [], [], {}, laws, max_examples, seed)
    trial = Trial(subject, laws, max_examples, seed, at_hand)
    try:
        for wide in (True, False):  # the contract first: what hangs need not be tried again
            trial.sweep(wide)
        trial.shrink()
    except Hung:
        trial.broken["contract"] = hung(laws[-1], trial.drawn)
    for law in laws:
        if law.name in trial.broken:
            verdict.broken.append(trial.broken[law.name])
        elif law.name in trial.unjudged or law.name not in trial.judged:
            verdict.unjudged[law.name] = trial.unjudged.get(law.name, "every call that it makes breaks the contract")
        else:
            verdict.held.append(law.name)
    return verdict


@dataclass
class Trial:
    """All laws of a target on one candidate. `broken` maps the laws that broke to their counterexamples."""

    subject: Candidate
    laws: tuple[Law, ...]
    max_examples: int
    seed: int
    at_hand: list[str] = field(default_factory=lambda: [""])  # the law that is being tried, for those who watch
    drawn: Case | None = None  # the example that is being tried
    broken: dict[str, Broken] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)  # laws that came to an end on some example

    def sweep(self, wide: bool) -> None:
        """Try every law that draws such inputs on the same examples: drawing costs more than judging."""
        left = [law for law in self.laws if self._is_wide(law) == wide]

        def each(x: Case, extra: Mapping[str, Any]) -> None:
            for law in list(left):
                found = self.tried(law, x, extra)
                if found is not None:
                    self.broken.setdefault(found.law, found)
                if law.once or law.name in self.broken or law.name in self.unjudged:
                    left.remove(law)

        self._drawing(each, wide)

    def shrink(self) -> None:
        """Replace every counterexample by the smallest that is found; where one breaks several laws, by the same."""
        budget = SHRINKING // max(len(self.broken), 1)
        small: list[Example] = []
        for law in self.laws:
            if law.name in self.broken and not law.once:
                found = next((b for example in small if (b := self._broken_by(law, example))), None)
                self.broken[law.name] = found or self._shrunk(law, budget, small) or self.broken[law.name]

    def _shrunk(self, law: Law, budget: int, small: list[Example]) -> Broken | None:
        """The smallest counterexample to one law, which joins the `small` ones.

        The same seed draws the same examples as in the sweep, so the law breaks again, and from there on Hypothesis
        looks for smaller ones. The last that breaks is the smallest.
        """
        hits: list[tuple[Broken, Example]] = []
        left = iter(range(budget))

        def fails(x: Case, extra: Mapping[str, Any]) -> None:
            if hits and next(left, None) is None:
                raise _SmallEnough
            broken = self._broken_by(law, (x, extra))
            if broken is not None:
                hits.append((broken, (x, extra)))
                raise _Broken

        with suppress(_Broken, _SmallEnough, errors.Flaky):
            self._drawing(fails, self._is_wide(law), shrink=True)
        if not hits:
            return None
        small.append(hits[-1][1])
        return hits[-1][0]

    def _broken_by(self, law: Law, example: Example) -> Broken | None:
        """The evidence if the example breaks this very law."""
        found = self.tried(law, *example)
        return found if found is not None and found.law == law.name else None

    def tried(self, law: Law, x: Case, extra: Mapping[str, Any]) -> Broken | None:
        """One law on one example: the first false claim as evidence, or a breach of the contract."""
        self.subject.calls.clear()
        self.at_hand[0] = law.name
        try:
            for claim in law.claims(self.subject, x, **{name: extra[f"{law.name} {name}"] for name in law.extra}):
                if not claim.holds(self._scale()):
                    return self._evidence(law, claim)
            self.judged.add(law.name)
        except ContractBroken as breach:
            return _breach(self.laws[-1], breach)
        except Unsupported as missing:
            self.unjudged[law.name] = f"it takes no {missing}"
        return None

    def _is_wide(self, law: Law) -> bool:
        """Central differences resolve nothing at 1e4."""
        return law.draws == "wide" and not (law.name == "gradient" and self.subject.framework.name == "numpy")

    def _drawing(self, each: Callable[[Case, Mapping[str, Any]], None], wide: bool, shrink: bool = False) -> None:
        """Call `each` on examples; the same ones for the same seed, target and width. Wide ones have more to vary."""
        extras = {f"{law.name} {name}": strategy for law in self.laws for name, strategy in law.extra.items()}
        examples = st.tuples(self.subject.target.strategy(wide), st.fixed_dictionaries(extras))

        def one(example: Example) -> None:
            self.drawn = example[0].without(*self.subject.binding.unsupported)
            each(self.drawn, example[1])

        name = f"{self.seed} {self.subject.target.name} {wide}"
        draw(examples, one, self.max_examples * (1 + wide), name, shrink)

    def _scale(self) -> float:
        """The size of what came back: claims compare differences of it."""
        values = [call.returned for call in self.subject.calls if not call.gradient]
        outputs = [np.ravel(np.asarray(v, np.float64)) for v in values if not isinstance(v, str)]  # str: it raised
        every = np.concatenate([np.zeros(1), *outputs])
        return float(np.abs(every[np.isfinite(every)]).max())

    def _evidence(self, law: Law, claim: Claim) -> Broken:
        return Broken(
            law.name, law.says, law.formula, law.source, claim.what, claim.got, claim.should, claim.relation,
            claim.where, tuple(self.subject.calls),
        )  # fmt: skip


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
        target = target_of(self.law.target)
        laws = tuple(law for law in laws_of(target) if law.name in (self.law.name, "contract"))
        trial = Trial(Candidate(target, candidate, framework), laws, max_examples, seed)
        try:
            trial.sweep(trial._is_wide(self.law))
            trial.shrink()
        except Hung:
            trial.broken["contract"] = hung(laws[-1], trial.drawn)
        for broken in trial.broken.values():
            raise AssertionError(f"{target.name} breaks {counterexample(broken)}")

    def breaks(
        self,
        candidate: Callable[..., Any],
        framework: str | None = None,
        max_examples: int = MAX_EXAMPLES,
        seed: int = 0,
    ) -> bool:
        """Whether `candidate` breaks this very law. Faster than `check`: any counterexample will do."""
        target = target_of(self.law.target)
        trial = Trial(Candidate(target, candidate, framework), laws_of(target), max_examples, seed)

        def each(x: Case, extra: Mapping[str, Any]) -> None:
            found = trial.tried(self.law, x, extra)
            if found is not None and found.law == self.law.name:
                raise _SmallEnough

        try:
            trial._drawing(each, trial._is_wide(self.law))
        except _SmallEnough:
            return True
        except Hung:
            return self.law.name == "contract"
        return False


def laws_for(target: str) -> list[LawTest]:
    """The laws of a target, each with `check(candidate, framework=None)`."""
    return [LawTest(law) for law in laws_of(target_of(target))]


def _breach(contract: Law, breach: ContractBroken) -> Broken:
    return Broken(
        contract.name, contract.says, contract.formula, contract.source, breach.what, breach.got, breach.should,
        calls=(breach.call,),
    )  # fmt: skip


def hung(contract: Law, x: Case | None, what: str = "") -> Broken:
    """The breach of a call that never came back: it hung, or did `what`."""
    return Broken(
        contract.name, contract.says, contract.formula, contract.source, what or "it hung",
        "nothing came back" if what else f"nothing came back within {TIME_LIMIT:g} s", "a result",
        calls=(Call(x, None),) if x else (),
    )  # fmt: skip
