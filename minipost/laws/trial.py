"""The laws of one target on trial: which break on the examples that are drawn, and on which smallest ones.

Drawing costs more than judging, so every example goes to all laws at once. Only for those that broke are the examples
drawn again, one law after the other: the same seed draws the same ones, the law breaks again, and from there on
Hypothesis looks for smaller ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from hypothesis import errors
from hypothesis import strategies as st

from minipost.laws.candidate import TIME_LIMIT, Candidate, ContractBroken, Hung, Unsupported
from minipost.laws.drawing import draw
from minipost.laws.law import Broken, Call, Case, Claim, Law

SHRINKING = 800  # how many examples shrinking may cost in all, shared by the broken laws of a target

Example: TypeAlias = tuple[Case, Mapping[str, Any]]  # a case, and the further draws of all laws of the target


class _Broken(Exception):  # noqa: N818
    """Tells Hypothesis that an example breaks the law."""


class _SmallEnough(BaseException):
    """Leaves Hypothesis when the counterexample at hand will do, or shrinking it has cost enough."""


@dataclass
class Trial:
    """All laws of a target on one candidate, the law `contract` last. `broken` maps laws to counterexamples."""

    subject: Candidate
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
            self.broken["contract"] = hung(self.laws[-1], self.drawn)

    def sweep(self, wide: bool) -> None:
        """Try every law that draws such inputs on the same examples."""
        left = [law for law in self.laws if self.is_wide(law) == wide]

        def each(x: Case, extra: Mapping[str, Any]) -> None:
            for law in list(left):
                found = self.tried(law, x, extra)
                if found is not None:
                    self.broken.setdefault(found.law, found)
                if law.once or law.name in self.broken or law.name in self.unjudged:
                    left.remove(law)

        self.drawing(each, wide)

    def shrink(self) -> None:
        """Replace every counterexample by the smallest that is found; where one breaks several laws, by the same."""
        budget = SHRINKING // max(len(self.broken), 1)
        small: list[Example] = []
        for law in self.laws:
            if law.name in self.broken and not law.once:
                found = next((b for example in small if (b := self._broken_by(law, example))), None)
                self.broken[law.name] = found or self._shrunk(law, budget, small) or self.broken[law.name]

    def _shrunk(self, law: Law, budget: int, small: list[Example]) -> Broken | None:
        """The smallest counterexample to one law, which joins the `small` ones: the last one that broke it."""
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
            self.drawing(fails, self.is_wide(law), shrink=True)
        if not hits:
            return None
        small.append(hits[-1][1])
        return hits[-1][0]

    def _broken_by(self, law: Law, example: Example) -> Broken | None:
        """The evidence if the example breaks this very law."""
        found = self.tried(law, *example)
        return found if found is not None and found.law == law.name else None

    def breaks(self, law: Law) -> bool:
        """Whether some example breaks this law: the first that does ends the search."""

        def each(x: Case, extra: Mapping[str, Any]) -> None:
            if self._broken_by(law, (x, extra)):
                raise _SmallEnough

        try:
            self.drawing(each, self.is_wide(law))
        except (_SmallEnough, Hung) as end:
            return isinstance(end, _SmallEnough) or law.name == "contract"
        return False

    def tried(self, law: Law, x: Case, extra: Mapping[str, Any]) -> Broken | None:
        """One law on one example: the first false claim as evidence, or a breach of the contract."""
        self.subject.calls.clear()
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

    def is_wide(self, law: Law) -> bool:
        """Central differences resolve nothing at 1e4."""
        return law.draws == "wide" and not (law.name == "gradient" and self.subject.framework.name == "numpy")

    def drawing(self, each: Callable[[Case, Mapping[str, Any]], None], wide: bool, shrink: bool = False) -> None:
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
            law.name,
            law.says,
            law.formula,
            law.source,
            claim.what,
            claim.got,
            claim.should,
            claim.relation,
            claim.where,
            tuple(self.subject.calls),
        )


def _breach(contract: Law, breach: ContractBroken) -> Broken:
    return Broken(
        contract.name,
        contract.says,
        contract.formula,
        contract.source,
        breach.what,
        breach.got,
        breach.should,
        calls=(breach.call,),
    )


def hung(contract: Law, x: Case | None, what: str = "") -> Broken:
    """The breach of a call that never came back: it hung, or did `what`."""
    return Broken(
        contract.name,
        contract.says,
        contract.formula,
        contract.source,
        what or "it hung",
        "nothing came back" if what else f"nothing came back within {TIME_LIMIT:g} s",
        "a result",
        calls=(Call(x, None),) if x else (),
    )
