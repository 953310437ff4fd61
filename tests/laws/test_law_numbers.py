"""docs/laws.md explains every law number that the package, the tests, the pages and the lessons cite."""

from __future__ import annotations

import importlib
from operator import attrgetter

from law_numbers import BEGIN, END, PAGE, ROOT, citations, numbers_in, page, rows

from minipost.laws import TARGETS


def test_the_table_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == page(), "run: python tests/laws/law_numbers.py"


def test_every_number_that_is_cited_has_a_row_and_every_row_is_cited() -> None:
    cited = citations()
    unexplained = {
        f"P{number}": sorted(files) for number, files in cited.items() if number not in {r[0] for r in rows()}
    }
    assert not unexplained
    assert {number for number, *_ in rows()} <= cited.keys()


def test_every_law_is_checked_somewhere_that_exists() -> None:
    first = {}
    for number, says, formula, where in rows():
        first.setdefault(number, where)
        assert says and formula
        for place in where:
            if place.startswith("minipost.laws.whole_model."):
                assert callable(
                    attrgetter(place.rpartition(".")[2])(importlib.import_module("minipost.laws.whole_model"))
                )
            else:
                assert place in TARGETS or (ROOT / place).is_file(), place
    assert all(first.values()), [f"P{number}" for number, where in first.items() if not where]


def test_citations_are_read_as_people_write_them() -> None:
    assert numbers_in("Laws P36-P38, P43 and P84; test_P5_order_P7_shards") == {36, 37, 38, 43, 84, 5, 7}
    assert numbers_in("GP100, P2P, P0 and SHA P123") == set()
