"""The report: true to the numbers, complete without the network, and whole when measurements are missing."""

from __future__ import annotations

import copy
import io
import itertools
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import fake_run
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from rich.console import Console

from minipost.report import print_summary, story, write_report
from minipost.report.curves import CURVES, learning_curve, running_mean
from minipost.report.gallery import gallery
from minipost.report.page import page
from minipost.report.rows import shares
from minipost.report.style import DARK, LIGHT, svg, theme
from minipost.report.summary import MODELS
from minipost.report.table import COLUMNS, best_in
from minipost.report.wording import duration, interval, listing, number, percent

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Document(HTMLParser):
    """Parses a page strictly: every tag that opens must close in order. Collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"unclosed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def render(summary: dict[str, Any], details: dict[str, Any]) -> str:
    return page(summary, details, gallery(summary, details))


@pytest.fixture(scope="module")
def html() -> str:
    return render(*fake_run())


def test_writes_page_and_figures(tmp_path: Path) -> None:
    summary, details = fake_run()
    path = write_report(tmp_path / "new", summary, details)
    assert path == tmp_path / "new" / "report.html"
    Document(path.read_text(encoding="utf-8"))
    for slug in ("overview", "frontier", "pizza", "calibration"):
        for suffix in ("", "-dark"):
            assert (path.parent / "figures" / f"{slug}{suffix}.png").read_bytes().startswith(b"\x89PNG")


def test_page_is_valid_html_with_unique_ids(html: str) -> None:
    ids = [attributes["id"] for _, attributes in Document(html).attributes if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_link_inside_the_page_has_its_target(html: str) -> None:
    parsed = Document(html).attributes
    ids = {attributes.get("id") for _, attributes in parsed}
    links = [a.get("href") or a.get("xlink:href") or "" for _, a in parsed]
    targets = [link[1:] for link in links if link.startswith("#")] + re.findall(r"url\(#([^)]*)\)", html)
    assert targets
    assert set(targets) <= ids


def test_page_loads_nothing_from_outside(html: str) -> None:
    assert not re.search(r"https?://|//cdn|@import|<script|<iframe|<img", html)
    for _, attributes in Document(html).attributes:
        for key in ("src", "href", "xlink:href", "srcset"):
            assert (attributes.get(key) or "#").startswith(("#", "data:"))


def test_every_figure_has_words(html: str) -> None:
    drawings = [attributes for tag, attributes in Document(html).attributes if tag == "svg"]
    assert len(drawings) == 13
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30


def test_figures_follow_the_readers_theme(html: str) -> None:
    body = html[html.index("<main>") :]
    for name in ("ink", "muted", "ppo", "dpo", "instructions"):
        assert f"var(--{name}, {LIGHT[name]})" in body
    assert not re.search(r"(?:fill|stroke): ?#(?!000|fff)[0-9a-f]{6}", body), "a colour that is no variable"
    assert set(LIGHT.colours) == set(DARK.colours)
    for chosen in (LIGHT, DARK):
        assert len(set(chosen.colours.values())) == len(chosen.colours)


def test_table_shows_the_numbers_of_the_summary(html: str) -> None:
    summary, _ = fake_run()
    rows = re.findall(r'<tr data-model="(\w+)">(.*?)</tr>', html)
    assert [name for name, _ in rows] == ["base", "sft", "best_of_n", "ppo", "dpo"]
    for name, row in rows:
        cells = {
            key: (rest, unescape(text))
            for key, rest, text in re.findall(r'<td data-key="(\w+)"([^>]*)>(.*?)</td>', row)
        }
        assert list(cells) == [column.key for column in COLUMNS]
        for column in COLUMNS:
            value = summary["models"][name][column.key]
            rest, text = cells[column.key]
            assert text.startswith(column.write(value))
            if value is None:
                assert "data-value" not in rest and text == "–"
            else:
                assert f'data-value="{value!r}"' in rest
                _, spread = column.texts(summary["models"][name])
                assert spread or column.key not in ("gold_mean", "win_rate_vs_sft")
                assert not spread or spread in text


def test_page_shows_the_findings(html: str) -> None:
    text = " ".join(Document(html).text)
    for said in (
        "from −2.31 to +1.71",
        "PPO went furthest",
        "PPO (78\u202f% [74, 82])",
        "DPO (52\u202f% [48, 56]) could not be told",
    ):
        assert said in text, said
    for said in ("77\u202f% of held-out pairs", "the web goes on with instructions 30\u202f%", "7 min 22 s"):
        assert said in text, said


def test_samples_stand_side_by_side_and_are_escaped(html: str) -> None:
    assert "<b>advert</b>" not in html
    assert "&lt;b&gt;advert&lt;/b&gt; &amp; more" in html
    card = re.search(r'<article class="card">.*?</article>', html, re.DOTALL)
    assert card is not None
    assert re.findall(r"</i>([^<]+)</dt>", card[0]) == ["Base", "SFT", "Best-of-n", "PPO", "DPO"]
    assert html.count('class="tag harmful"') == 1


def test_same_numbers_same_page() -> None:
    assert render(*fake_run()) == render(*fake_run())


@pytest.mark.parametrize("missing", ["models", "reward_model", "seconds", "seed", "size", "prompts"])
def test_summary_without_a_part_still_makes_a_page(missing: str) -> None:
    summary, details = fake_run()
    del summary[missing]
    Document(render(summary, details))
    print_summary(summary, Console(file=io.StringIO()))


@pytest.mark.parametrize("missing", ["curves", "frontier", "rollouts", "pizza", "samples"])
def test_details_without_a_part_still_make_a_page(missing: str) -> None:
    summary, details = fake_run()
    del details[missing]
    page = render(summary, details)
    Document(page)
    assert f'href="#{ {"frontier": "price"}.get(missing, missing) }"' not in page


def test_an_empty_run_makes_a_page(tmp_path: Path) -> None:
    text = write_report(tmp_path, {}, {}).read_text(encoding="utf-8")
    Document(text)
    assert "measured no utility" in text and "<svg" not in text


def test_a_tiny_run_makes_a_page(tmp_path: Path) -> None:
    """One model, one point a curve, NaN and None where a measurement failed."""
    summary, details = fake_run()
    summary["models"] = {"sft": {**summary["models"]["sft"], "gold_ci95": None, "correct": float("nan"), "by_kind": {}}}
    summary["reward_model"] = {
        "pair_accuracy": None,
        "calibration": [{"margin": 0, "predicted": 0.5, "empirical": None, "n": 0}],
    }
    details["frontier"] = {"ppo": [{"step": 0, "kl": 0.0, "gold": 0.1, "proxy": None}], "best_of_n": [], "dpo": None}
    details["rollouts"] = []
    details["curves"] = {"pretrain": [{"step": 1, "loss": 7.6}], "sft": [], "ppo": [{"step": 1, "objective/kl": None}]}
    details["pizza"] = {"web": {"instructions": 1.0}, "base": {}}
    text = write_report(tmp_path, summary, details).read_text(encoding="utf-8")
    Document(text)
    assert text.count("<svg") == 5  # gold, frontier, pizza, harm, the curve of pretraining
    assert ">nan" not in text.lower() and "None" not in text


number_or_nothing = st.one_of(st.none(), st.floats(-50, 50), st.just(float("nan")), st.just(float("inf")))


@settings(deadline=None, max_examples=15)
@given(
    values=st.lists(number_or_nothing, min_size=12, max_size=12), keep=st.lists(st.booleans(), min_size=5, max_size=5)
)
def test_no_value_breaks_the_page(values: list[float | None], keep: list[bool]) -> None:
    """Whatever a measurement returned, the page parses and says no NaN."""
    summary, details = fake_run()
    names = list(summary["models"])
    summary["models"] = {name: summary["models"][name] for name, kept in zip(names, keep, strict=True) if kept}
    supply = itertools.cycle(values)
    for model in summary["models"].values():
        model.update(
            gold_mean=next(supply),
            win_rate_vs_sft=next(supply),
            correct=next(supply),
            gold_ci95=[next(supply), next(supply)],
        )
    details["frontier"]["ppo"] = details["rollouts"] = [
        {"step": i, "kl": next(supply), "gold": next(supply), "proxy": next(supply)} for i in range(4)
    ]
    summary["reward_model"] = details["curves"] = details["pizza"] = {}
    text = render(summary, details)
    Document(text)
    assert ">nan" not in text.lower() and ">inf" not in text.lower()


def test_arguments_are_not_changed() -> None:
    summary, details = fake_run()
    before = copy.deepcopy((summary, details))
    render(summary, details)
    assert json.dumps((summary, details)) == json.dumps(before)


def test_terminal_table_has_all_models_and_findings() -> None:
    console = Console(record=True, width=160, color_system=None, file=io.StringIO())
    print_summary(fake_run()[0], console)
    text = console.export_text()
    for said in (
        *list(MODELS.values())[:5],
        "+1.71 [1.58, 1.83]",
        "78\u202f% [74, 82]",
        "7 min 22 s",
        "PPO went furthest",
    ):
        assert said in text, said


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_terminal_table_fits_the_terminal(width: int) -> None:
    """A narrow terminal gets fewer columns; from 60 characters on, no number is cut."""
    console = Console(record=True, width=width, color_system=None, file=io.StringIO())
    print_summary(fake_run()[0], console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    if width >= 60:
        assert "…" not in text and "+1.71" in text and "Best-of-n" in text
    assert ("Length" in text) == (width >= 120)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ppo": 0.9, "sft": 0.4}, "PPO went furthest"),
        ({"ppo": 0.1, "sft": 0.4}, "SFT went furthest"),
        ({"ppo": -4.0, "sft": -3.0}, "Nothing beat Base"),
    ],
)
def test_headline_follows_the_numbers(change: dict[str, float], said: str) -> None:
    assert said in story.headline(
        {"base": {"gold_mean": -2.0}, **{name: {"gold_mean": gold} for name, gold in change.items()}}
    )


def test_exploitation_is_told_apart_from_progress() -> None:
    def rows(golds: list[float]) -> list[dict[str, float]]:
        return [{"step": 10 * i, "proxy": float(i), "gold": gold} for i, gold in enumerate(golds)]

    assert "peaked at step 10 and then gave back 0.50" in story.exploited(rows([0, 1, 0.5]), "step", "ppo")
    assert "50\u202f% of what the reward model promised" in story.exploited(rows([0, 0.5, 1]), "step", "ppo")
    assert "more than the reward model promised" in story.exploited(rows([0, 1, 3]), "step", "ppo")
    assert "highest at the start" in story.exploited(rows([1, 0.5, 0]), "step", "ppo")
    assert story.exploited(rows([1]), "step", "ppo") == ""


def test_losing_to_sft_is_reported() -> None:
    models = {"sft": {}, "dpo": {"win_rate_vs_sft": 0.3, "win_rate_ci95": [0.25, 0.35]}}
    assert story.against_sft(models) == "DPO (30\u202f% [25, 35]) lost to SFT."


def test_best_in_a_column_is_what_looks_best() -> None:
    harm = next(column for column in COLUMNS if column.key == "harmful_compliance")
    models = {
        "sft": {"harmful_compliance": 0.5},
        "ppo": {"harmful_compliance": 0.012},
        "dpo": {"harmful_compliance": 0.008},
    }
    assert best_in(models, harm) == ["ppo", "dpo"]
    assert best_in({name: {"harmful_compliance": 0.0} for name in models}, harm) == []


def test_what_was_not_classified_is_shown_as_other() -> None:
    """Shares that do not reach 1 are neither stretched nor hidden."""
    assert "33\u202f% of the time" in story.modes({"base": {"instructions": 0.33, "context": 0.3}})
    assert shares({"instructions": 0.3, "context": 0.5})["other"] == pytest.approx(0.2)
    assert shares({"instructions": 30, "context": 10}) == {"instructions": 0.75, "context": 0.25, "other": 0.0}
    assert shares(None) == {} == shares({"instructions": float("nan")})


def test_configuration_is_shown_flat_and_complete() -> None:
    summary, details = fake_run()
    details["config"] = {"ppo": {"beta": 0.05, "out": Path("runs/<x>")}, "dpo": {"beta": 0.1}}
    text = render(summary, details)
    assert "All 3 settings" in text
    for key, value in (("ppo.beta", "0.05"), ("ppo.out", "runs/&lt;x&gt;"), ("dpo.beta", "0.1")):
        assert f'<th scope="row">{key}</th><td>{value}</td>' in text


def test_numbers_are_written_as_people_write_them() -> None:
    assert (number(-0.001), number(1.005, sign=True), number(float("nan")), number(None)) == ("0.00", "+1.00", "–", "–")
    assert (percent(0.683), percent(np.float32(1)), interval([-1, 2]), interval(None)) == (
        "68\u202f%",
        "100\u202f%",
        "[−1.00, 2.00]",
        "",
    )
    assert [duration(s) for s in (4.21, 48.4, 59.7, 200, 3900)] == [
        "4.2 s",
        "48 s",
        "1 min 00 s",
        "3 min 20 s",
        "1 h 05 min",
    ]
    assert [listing(list(parts)) for parts in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_running_mean_against_a_loop() -> None:
    values = np.random.default_rng(0).normal(size=17)
    slow = [values[max(0, i - 3) : i + 4].mean() for i in range(17)]
    np.testing.assert_allclose(running_mean(values, 3), slow, atol=1e-12)


def test_every_curve_can_be_drawn_on_axes_of_the_caller() -> None:
    _, details = fake_run()
    sheet = Figure()
    for ax, stage in zip(sheet.subplots(1, len(CURVES)), CURVES, strict=True):
        assert learning_curve(stage, details["curves"][stage], ax) is sheet
        assert ax.lines


def test_a_theme_changes_the_drawing_and_is_left_behind() -> None:
    summary, details = fake_run()
    plate = gallery(summary, details)[0]
    light = svg(plate.draw(None), "a", "words")
    with theme(DARK):
        dark = svg(plate.draw(None), "a", "words")
    assert DARK["ppo"] in dark and DARK["ppo"] not in light
    assert svg(plate.draw(None), "a", "words") == light


# How a dichromat sees linear RGB (Viénot, Brettel and Mollon 1999, equations 1 to 4, in sRGB primaries).
PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Linear sRGB to CIE L*a*b* (D65)."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    x, y, z = np.cbrt(np.maximum(xyz / np.array([0.9505, 1.0, 1.089]), 1e-4))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("chosen", [LIGHT, DARK], ids=lambda chosen: chosen.name)
@pytest.mark.parametrize("eye", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["trichromat", "protanope", "deuteranope"])
def test_models_of_the_tour_are_told_apart_by_colour(chosen: Any, eye: np.ndarray) -> None:
    """Any two of the five main models differ by at least 15 in CIE76, several times what is just noticeable."""
    seen = {name: lab(eye @ linear(chosen[name])) for name in ("base", "sft", "best_of_n", "ppo", "dpo")}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 15, (one, other)


@pytest.mark.parametrize("chosen", [LIGHT, DARK], ids=lambda chosen: chosen.name)
def test_colours_stand_out_from_the_paper(chosen: Any) -> None:
    """Contrast by WCAG 2.2: 4.5 for text, 3 for marks."""

    def luminance(name: str) -> float:
        return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(chosen[name])) + 0.05

    for name in ("ink", "muted", *MODELS):
        bright, dark = sorted((luminance(name), luminance("paper")), reverse=True)
        assert bright / dark >= (4.5 if name in ("ink", "muted") else 3.0), name
