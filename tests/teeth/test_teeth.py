"""Every mutant breaks the law that its decorator names; no correct alternative breaks any.

The quick tests look for one counterexample to one law. The slow ones put everything before the whole judge, and the
alternatives with 20 seeds. Mutants and alternatives of a framework that is not installed are skipped.
"""

from __future__ import annotations

from collections import Counter

import pytest
from catalogue import Entry, collected
from page import PAGE, page

from minipost.laws import TARGETS, judge, laws_for

MUTANTS, CORRECT = collected()


def entries(which: list[Entry]) -> pytest.MarkDecorator:
    missing = "its framework is not installed: install the extra minipost[peers]"
    return pytest.mark.parametrize(
        "entry", [pytest.param(e, id=e.name, marks=pytest.mark.skipif(not e.runs_here, reason=missing)) for e in which]
    )


@entries(MUTANTS)
def test_the_law_kills_the_mutant(entry: Entry) -> None:
    laws = [law for law in laws_for(entry.target) if law.__name__ == entry.law]
    assert any(law.breaks(entry.function, entry.framework, max_examples=300) for law in laws)


@entries(CORRECT)
def test_no_false_alarm(entry: Entry) -> None:
    verdict = judge(entry.target, entry.function, entry.framework, max_examples=10)
    assert verdict.holds, verdict


@pytest.mark.slow
@entries(MUTANTS)
def test_the_whole_judge_condemns_the_mutant(entry: Entry) -> None:
    verdict = judge(entry.target, entry.function, entry.framework)
    assert entry.law in [broken.law for broken in verdict.broken]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@entries(CORRECT)
def test_no_false_alarm_with_any_seed(entry: Entry, seed: int) -> None:
    verdict = judge(entry.target, entry.function, entry.framework, seed=seed)
    assert verdict.holds, verdict


def test_the_collection_is_complete() -> None:
    """Every target has two mutants and an alternative, every mutant a line that says what is wrong."""
    bugs, correct = (Counter(entry.target for entry in which) for which in (MUTANTS, CORRECT))
    assert set(bugs) == set(correct) == set(TARGETS)
    assert min(bugs.values()) >= 2
    names = [entry.name for entry in [*MUTANTS, *CORRECT]]
    assert len(names) == len(set(names))
    assert all(entry.says.endswith((".", "`")) for entry in [*MUTANTS, *CORRECT])


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/teeth/page.py"
