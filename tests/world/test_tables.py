"""The tables are read as they are written, a slip in one is named, and a smaller world has fewer rows of each."""

from __future__ import annotations

import ast
from dataclasses import fields
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import minipost.world
from minipost.world.facts import RELATIONS
from minipost.world.phrasing import FORMS, STANCES
from minipost.world.tables import LEAST, Tables
from minipost.world.tables.reading import FOLDER, lines, pairs, rows, sections, weights, word_list

ROOM = Path(minipost.world.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("*.txt"))


def written(folder: Path, text: str) -> Path:
    (folder / "t.txt").write_text(text, encoding="utf-8")
    return folder


def test_a_table_is_read_as_it_is_written(tmp_path: Path) -> None:
    folder = written(tmp_path, "# a comment\n[pairs]\n\na | b c\n  d|e\n[empty]\n[more words]\none two\nthree\n")
    assert lines("t", "pairs", folder) == ("a | b c", "d|e")
    assert rows("t", "pairs", folder) == (("a", "b c"), ("d", "e"))
    assert lines("t", "empty", folder) == rows("t", "empty", folder) == ()
    assert list(sections(folder / "t.txt")) == ["pairs", "empty", "more words"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Italy | Rome\n", r"t\.txt:1: put a heading"),
        ("[a]\nx\n[a]\n", r"t\.txt:3: the heading \[a\] comes twice"),
        ("[a]\nx\n", r"t\.txt has no heading \[wanted\]"),
        ("[wanted]\na | b\nc\n", r"under \[wanted\] the line 'c' has 1 columns, and the first one has 2"),
    ],
)
def test_a_slip_in_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows("t", "wanted", written(tmp_path, text))


def test_words_pairs_and_weights() -> None:
    numbers = word_list("facts", "numbers")
    assert len(numbers) == 21 and numbers[12] == "twelve"
    assert pairs("toy_language", "verbs")["runs"] == "kuri"
    assert weights("pages", "threads")["translation"] == 0.2


@pytest.mark.parametrize("file", FILES)
def test_every_heading_is_read_by_some_module(file: str) -> None:
    """A heading that nothing reads is a slip: its lines would be missing from the world without a word."""
    code = "\n".join(path.read_text("utf-8") for path in ROOM.rglob("*.py"))
    for heading in sections(FOLDER / f"{file}.txt"):
        relation, _, part = heading.partition(": ")
        form = STANCES.get(relation.removeprefix("stance ")) or FORMS.get(relation)
        if file == "phrasing":
            assert form and getattr(form, part) == lines(file, heading), heading
        else:
            assert f'"{heading}"' in code or f'"{part}"' in code, f"{file}.txt: [{heading}]"


def test_no_entry_comes_twice() -> None:
    """What comes twice is drawn twice as often."""
    for file in FILES:
        for heading, entries in sections(FOLDER / f"{file}.txt").items():
            assert len(set(entries)) == len(entries), f"{file}.txt: [{heading}]"
    for file, heading in (("facts", "names"), ("facts", "jobs"), ("facts", "towns"), ("words", "rare")):
        assert len(set(word_list(file, heading))) == len(word_list(file, heading)), f"{file}.txt: [{heading}]"


def test_a_share_of_the_world_is_a_share_of_every_table() -> None:
    whole, village = Tables.of(1.0), Tables.of(0.25)
    for table in fields(Tables):
        if table.name == "largest_sum":
            continue
        large, small = getattr(whole, table.name), getattr(village, table.name)
        assert len(small) >= LEAST and set(small) <= set(large)
        if table.name != "recipes":  # those of the countries' dishes
            assert len(small) == max(LEAST, round(len(large) / 4))
    assert (len(whole.countries), len(village.countries)) == (48, 12)
    assert {row[0] for row in village.recipes} == {row[-1] for row in village.countries}
    with pytest.raises(ValueError, match="share is 0"):
        Tables.of(0.0)


def test_every_relation_has_a_form() -> None:
    for relations in RELATIONS.values():
        for relation in relations:
            form = FORMS[relation]
            assert form.questions and ((form.full and form.short) or relation == "opinion")
            assert form.statements or relation == "summary"
    assert all(stance.full and stance.short for stance in STANCES.values())


def test_no_module_of_the_room_imports_back() -> None:
    graph = {}
    for path in ROOM.rglob("*.py"):
        if path != ROOM / "__init__.py":
            name = ".".join(path.relative_to(ROOM).with_suffix("").parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text("utf-8"))
            assert "TYPE_CHECKING" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}, name
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
            targets = {
                n.module.removeprefix("minipost.world").strip(".") for n in imports if "minipost.world" in n.module
            }
            targets |= {alias.name for node in imports if node.module == "minipost.world" for alias in node.names}
            graph[name] = targets - {""}
    assert len(graph) > 15 and {"facts", "fluency"} <= graph["utility"] | graph["world"]
    TopologicalSorter(graph).prepare()  # raises CycleError
