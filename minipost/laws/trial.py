"""The laws of one target on trial: which break on the examples that are drawn, and on which smallest ones.

Drawing costs more than judging, so every example goes to all laws at once. Only for those that broke are the examples
drawn again, one law after the other: the same seed draws the same ones, the law breaks again, and from there on
Hypothesis looks for smaller ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minipost.laws import sandbox
from minipost.laws.candidate import Candidate, ContractBroken, Unsupported
from minipost.laws.law import Assertion, Broken, Call, Case, Law
from minipost.laws.sandbox import Hung

SHRINKING = 800  # how many examples shrinking may cost in all, shared by the broken laws of a target

Example: TypeAlias = tuple[Case, Mapping[str, Any]]  # a case, and the further numbers of all laws of the target


class _Breaks(Exception):  # noqa: N818
    """Tells Hypothesis that an example breaks the law."""


class _Enough(BaseException):
    """Leaves Hypothesis when the counterexample at hand will do, or shrinking it has cost enough."""


@dataclass
class Trial:
    """All laws of a target on one candidate, the law `contract` last. `broken` maps laws to counterexamples."""

    candidate: Candidate
    laws: tuple[Law, ...]
    max_examples: int
    seed: int
    drawn: Case | None = None  # the example that is being tried
    broken: dict[str, Broken] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)  # laws that came to an end on some example

    def run(self) -> None:
        """Sweep, then shrink; a call that hangs ends the trial."""
        try:
            for wide in sorted({self.is_wide(law) for law in self.laws}, reverse=True):
                self.sweep(wide)
            self.shrink()
        except Hung:
            self.broken["contract"] = no_answer(self.laws[-1], self.drawn)

    def sweep(self, wide: bool) -> None:
        """Try every law that draws such inputs on the same examples."""
        left = [law for law in self.laws if self.is_wide(law) == wide]

        def each(example: Example) -> None:
            for law in list(left):
                broken = self.tried(law, example)
                if broken is not None:
                    self.broken.setdefault(broken.law, broken)
                if law.once or law.name in self.broken or law.name in self.unjudged:
                    left.remove(law)

        self.draw(each, wide)

    def shrink(self) -> None:
        """Replace every counterexample by the smallest that is found; where one breaks several laws, by the same."""
        budget = SHRINKING // max(len(self.broken), 1)
        small: list[Example] = []
        for law in self.laws:
            if law.name in self.broken and not law.once:
                shared = next((b for example in small if (b := self._broken_by(law, example))), None)
                self.broken[law.name] = shared or self._shrunk(law, budget, small) or self.broken[law.name]

    def _shrunk(self, law: Law, budget: int, small: list[Example]) -> Broken | None:
        """The smallest counterexample to one law, which joins the `small` ones: the last one that broke it."""
        hits: list[tuple[Broken, Example]] = []
        left = iter(range(budget))

        def fails(example: Example) -> None:
            if hits and next(left, None) is None:
                raise _Enough
            broken = self._broken_by(law, example)
            if broken is not None:
                hits.append((broken, example))
                raise _Breaks

        with suppress(_Breaks, _Enough):
            self.draw(fails, self.is_wide(law), shrink=True)
        if not hits:
            return None
        small.append(hits[-1][1])
        return hits[-1][0]

    def _broken_by(self, law: Law, example: Example) -> Broken | None:
        """The evidence if the example breaks this very law."""
        broken = self.tried(law, example)
        return broken if broken is not None and broken.law == law.name else None

    def breaks(self, law: Law) -> bool:
        """Whether some example breaks this law: the first that does ends the search."""

        def each(example: Example) -> None:
            if self._broken_by(law, example):
                raise _Enough

        try:
            self.draw(each, self.is_wide(law))
        except (_Enough, Hung) as end:
            return isinstance(end, _Enough) or law.name == "contract"
        return False

    def tried(self, law: Law, example: Example) -> Broken | None:
        """One law on one example: the first false assertion as evidence, or a breach of the contract."""
        x, numbers = example
        self.candidate.calls.clear()
        try:
            extra = {name: numbers[f"{law.name} {name}"] for name in law.extra}
            for assertion in law.assertions(self.candidate, x, **extra):
                if not assertion.holds(self._scale()):
                    return _evidence(law, assertion, self.candidate.calls)
            self.judged.add(law.name)
        except ContractBroken as breach:
            return _evidence(self.laws[-1], breach.assertion, [breach.call])
        except Unsupported as missing:
            self.unjudged[law.name] = f"it takes no {missing}"
        return None

    def is_wide(self, law: Law) -> bool:
        """Central differences resolve nothing at 1e4."""
        return law.draws == "wide" and not (law.name == "gradient" and self.candidate.framework.name == "numpy")

    def draw(self, each: Callable[[Example], None], wide: bool, shrink: bool = False) -> None:
        """Call `each` on examples; the same ones for the same seed, target and width. Wide ones have more to vary."""
        from minipost.laws.drawing import draw  # the one line of a trial that needs Hypothesis
        from minipost.laws.strategies import examples

        def one(example: Example) -> None:
            self.drawn = example[0].without(*self.candidate.binding.unsupported)
            each((self.drawn, example[1]))

        target = self.candidate.target.name
        count = self.max_examples * (1 + wide)
        draw(examples(target, self.laws, wide), one, count, f"{self.seed} {target} {wide}", shrink)

    def _scale(self) -> float:
        """The size of what came back: assertions compare differences of it."""
        values = [call.returned for call in self.candidate.calls if not call.gradient]
        outputs = [np.ravel(np.asarray(v, np.float64)) for v in values if not isinstance(v, str)]  # str: it raised
        every = np.concatenate([np.zeros(1), *outputs])
        return float(np.abs(every[np.isfinite(every)]).max())


def _evidence(law: Law, assertion: Assertion, calls: Sequence[Call]) -> Broken:
    return Broken(law.name, law.says, law.formula, law.source, assertion, tuple(calls))


def no_answer(contract: Law, x: Case | None, what: str = "") -> Broken:
    """The breach of a call that never came back: it hung, or did `what`."""
    got = "nothing came back" if what else f"nothing came back within {sandbox.TIME_LIMIT:g} s"
    return _evidence(contract, Assertion(what or "it hung", got, "a result"), [Call(x, None)] if x else [])
