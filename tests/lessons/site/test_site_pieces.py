"""The site's own pieces, without Sphinx and without a browser: figures, links from names, docstrings, pages."""

from __future__ import annotations

import html.parser
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons.tools.site import command as site_command
from lessons.tools.site.command import SiteError, build, server
from lessons.tools.site.docstrings import restructured
from lessons.tools.site.names import Names, imports_of
from lessons.tools.site.numbers import every_play
from lessons.tools.site.play import Frame, Play, Series, figure_html
from lessons.tools.site.sources import (
    api_page,
    as_table,
    lesson_page,
    modules,
    notebook_of,
    rooms,
    without_folder_links,
)

ROOT = Path(__file__).resolve().parents[3]
PLAYS = {play.slug: play for play in every_play()}


def small_play(**changes: object) -> Play:
    fields = {
        "slug": "s",
        "lesson": 1,
        "title": "T",
        "about": "a < b",
        "try_this": "t",
        "slider": "knob",
        "kind": "lines",
        "x": [0.0, 1.0],
        "x_label": "x",
        "y_label": "y",
        "series": [Series("one", "ppo")],
        "frames": [Frame("1", [[0.0, 1.0]], [("it", "</script>")]), Frame("2", [[1.0, None]], [("it", "2")])],
    }
    return Play(**(fields | changes))  # type: ignore[arg-type]


def value(slug: str, frame: int, caption: str) -> float:
    """What a frame says of something, as a number."""
    return float(dict(PLAYS[slug].frames[frame].says)[caption].rstrip("%").split()[0])


# --------------------------------------------------------------------------------------------------- the figures
def test_at_least_the_five_knobs_that_people_turn() -> None:
    assert {"dpo-beta", "clip-range", "best-of-n", "temperature", "labeler-noise"} <= set(PLAYS)
    assert all(len(play.frames) >= 5 and 0 <= play.start < len(play.frames) for play in PLAYS.values())


def test_moving_a_slider_always_changes_something() -> None:
    for play in PLAYS.values():
        for before, after in zip(play.frames, play.frames[1:], strict=False):
            assert before.y != after.y, f"{play.slug}: {before.at} and {after.at} show the same"


def test_figures_say_what_theory_says() -> None:
    assert value("best-of-n", 0, "wins against one draw") == 50
    for i in range(len(PLAYS["best-of-n"].frames)):
        assert value("best-of-n", i, "KL to the base") <= value("best-of-n", i, "log N − (N−1)/N") + 0.01
    kls = [value("dpo-beta", i, "KL to the reference") for i in range(len(PLAYS["dpo-beta"].frames))]
    assert kls == sorted(kls, reverse=True) and kls[-1] < 0.01, "a large beta stays near the reference"
    for frame in PLAYS["clip-range"].frames:
        clip = float(frame.at)
        assert max(v for v in frame.y[0] if v is not None) == pytest.approx(1 + clip)
        assert max(v for v in frame.y[1] if v is not None) == pytest.approx(-(1 - clip))
    for frame in PLAYS["temperature"].frames:
        assert sum(v for v in frame.y[0] if v is not None) == pytest.approx(1)


def test_the_axes_hold_every_frame() -> None:
    for play in PLAYS.values():
        low, high = play.y_range
        assert all(low <= v <= high for frame in play.frames for row in frame.y for v in row if v is not None)


def test_a_frame_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="s at 3: needs 1 rows of 2 numbers"):
        small_play(frames=[Frame("3", [[1.0]], [])])


def test_figure_is_self_contained_and_escaped() -> None:
    page = figure_html(small_play())
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None and json.loads(data[1])["frames"][0]["says"] == [["it", "</script>"]]
    assert "a &lt; b" in page and "<noscript>" in page and "<td>&lt;/script&gt;</td>" in page
    assert '<label for="play-s-slider">' in page and not re.search(r"https?:", page)


def test_every_colour_exists() -> None:
    from lessons.tools.site.sources import colours

    known = set(re.findall(r"--play-(\w+):", colours()))
    assert {series.colour for play in PLAYS.values() for series in play.series} <= known


# ------------------------------------------------------------------------------------------------ links from names
NAMES = Names(
    [
        "minipost",
        "minipost.losses",
        "minipost.losses.reward",
        "minipost.losses.reward.bradley_terry",
        "minipost.autograd.tensor.Tensor",
        "minipost.losses.dpo.sigmoid",
        "minipost.autograd.primitives.sigmoid",
        "minipost.a.twin_name",
        "minipost.b.twin_name",
        "minipost.autograd.primitives.clip",
    ]
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bradley_terry", "minipost.losses.reward.bradley_terry"),
        ("losses.bradley_terry", "minipost.losses.reward.bradley_terry"),
        ("bradley_terry(chosen, rejected)", "minipost.losses.reward.bradley_terry"),
        ("Tensor", "minipost.autograd.tensor.Tensor"),
        ("dpo.sigmoid", "minipost.losses.dpo.sigmoid"),
        ("minipost/losses/reward.py", "minipost.losses.reward"),
        ("minipost/losses/", "minipost.losses"),
        ("twin_name", None),
        ("b.twin_name", "minipost.b.twin_name"),
        ("clip", None),
        ("x = Tensor(3)", None),
        ("minipost laws", None),
    ],
)
def test_names_in_prose(text: str, name: str | None) -> None:
    assert NAMES.find(text) == name


def test_a_plain_word_is_a_name_where_the_page_imports_it() -> None:
    imported = imports_of(["from minipost.autograd import clip, Tensor as T", "loss 0.1\n", "from numpy import exp"])
    assert imported == {"clip": "minipost.autograd.clip", "T": "minipost.autograd.Tensor"}
    assert NAMES.find("clip", imported) == "minipost.autograd.primitives.clip"
    assert NAMES.find("exp", imported) is None
    assert NAMES.find("T", imported) == "minipost.autograd.tensor.Tensor"


def test_a_plain_word_is_a_name_where_the_page_uses_its_module() -> None:
    imported = imports_of(["from minipost.autograd.primitives import sigmoid"])
    assert NAMES.find("clip", imported) == "minipost.autograd.primitives.clip"
    assert NAMES.find("clip", imports_of(["from minipost.losses import dpo"])) is None


def test_an_object_is_found_where_it_was_defined() -> None:
    twice = Names(["lessons.tools.site.command.UserError", "minipost.errors.UserError"])
    assert twice.find("UserError") == "minipost.errors.UserError"


# ------------------------------------------------------------------------------------------------------ docstrings
def test_docstrings_keep_code_and_drawings() -> None:
    lines = ["The `mean` of x * y, see reward_.", "", "    a --> b", "     *", "", "Laws:", "- one `x`s", "- two"]
    text = "\n".join(restructured(lines))
    assert "The ``mean`` of x \\* y, see reward\\_." in text
    assert "::\n\n    a --> b\n     *\n" in text
    assert "Laws:\n\n- one ``x``\\ s\n- two" in text


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("ab `*_|-\n", max_size=30), max_size=6))
def test_no_docstring_breaks_the_build(lines: list[str]) -> None:
    words = re.findall(r"\w+", " ".join(lines).replace("`", " "))
    made = re.findall(r"\w+", "\n".join(restructured("\n".join(lines).splitlines())).replace("`", " "))
    assert [w.strip("_") for w in made if w.strip("_")] == [w.strip("_") for w in words if w.strip("_")]


# ------------------------------------------------------------------------------------------------------------ pages
def test_a_lesson_gets_its_figures_and_downloads() -> None:
    page = lesson_page("# Lesson", [PLAYS["dpo-beta"]], ["lesson.py"])
    assert page.startswith("# Lesson\n") and "```{play} dpo-beta\n```" in page and "{download}`lesson.py`" in page
    assert "play" not in lesson_page("# Lesson", [], [])


def test_a_script_becomes_a_notebook() -> None:
    notebook = json.loads(notebook_of(ROOT / "lessons" / "01_autograd" / "lesson.py"))
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown" and first["source"][0] == "# Lesson 1: autograd from scratch\n"
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    compile(code, "notebook", "exec")
    assert "import numpy as np" in code


def test_flowcharts_become_tables() -> None:
    table = as_table('flowchart TD\n    a{"Is it?<br>Really"} -- "yes, it is" --> b["do"]\n    b --> c[("done")]\n')
    assert table.splitlines()[2:] == ["| Is it? Really | yes, it is | do |", "| do | → | done |"]


def test_links_to_folders_become_text(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    text = "[results/](results) [page](page.md) [out](https://example.org/a)"
    assert without_folder_links(text, tmp_path) == "results/ [page](page.md) [out](https://example.org/a)"


def test_every_public_module_is_on_one_page() -> None:
    names = modules()
    assert {"minipost.losses.dpo", "minipost.stages.ppo", "minipost.tour.files"} <= set(names)
    assert "minipost.__main__" not in names
    pages = rooms(names)
    assert sorted(name for page in pages.values() for name in page) == sorted(names)
    assert "minipost.cli" in pages["minipost"] and pages["minipost.losses"][0] == "minipost.losses"
    assert ".. automodule:: minipost.losses.dpo\n   :members:" in api_page(pages["minipost.losses"], [])
    assert "   minipost.losses\n" in api_page(["minipost"], ["minipost.losses"])


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_without_javascript_there_is_a_table_for_every_figure() -> None:
    for play in PLAYS.values():
        tags = Tags()
        tags.feed(figure_html(play))
        assert tags.tags.count("tr") == len(play.frames) + 1


# ---------------------------------------------------------------------------------------------------------- command
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(site_command, "find_spec", lambda name: None if name == "furo" else object())
    with pytest.raises(SiteError, match=re.escape("needs furo: pip install 'minipost[site]'")):
        build(tmp_path / "site")


def test_a_folder_that_is_no_site_is_not_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(site_command, "find_spec", lambda name: object())
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SiteError, match="is no site"):
        build(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_it_is_served_on_this_machine_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    with server(tmp_path) as running:
        assert running.server_address[0] == "127.0.0.1"
        Thread(target=running.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{running.server_port}/index.html") as answer:
            assert answer.read() == b"hello"
        with pytest.raises(SiteError, match="Cannot listen on port"):
            server(tmp_path, running.server_port)
        running.shutdown()
