"""The built site in headless Chromium: what a reader gets on a phone, without a network, with a keyboard.

It needs the extra `site-test` and a Chromium on the machine; `MINIPOST_SITE` names a site that is built already. With
`MINIPOST_SCREENSHOTS` set to a folder, pictures of the main pages are kept there for people to look at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest

from lessons.tools.site.command import NEEDED, build, server

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = [name for name in (*NEEDED, "playwright") if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (the extra site-test)"),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site; its build warns of nothing."""
    if "MINIPOST_SITE" in os.environ:
        return Path(os.environ["MINIPOST_SITE"]).resolve()
    folder = tmp_path_factory.mktemp("site") / "html"
    assert build(folder) == []
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server(site) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page whose console must stay silent and which must ask nobody but us."""
    made = browser.new_page(viewport={"width": 1200, "height": 900})
    made.set_default_timeout(60_000)
    complaints: list[str] = []
    made.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # given up because the page was left, as an icon often is
            complaints.append(f"failed: {request.url} {request.failure}")

    made.on("requestfailed", failed)
    own = (address, "file:", "data:", "blob:")
    made.on(
        "request", lambda request: None if request.url.startswith(own) else complaints.append(f"asked {request.url}")
    )
    yield made
    made.close()
    assert complaints == []


def lessons(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.glob("lessons/*/README.html"))


def main_pages(site: Path) -> list[str]:
    wanted = [
        "index",
        "play",
        "lessons/index",
        "docs/claims",
        "docs/laws",
        "docs/teeth",
        "docs/glossary",
        "docs/which_stage",
        "benchmarks/RESULTS",
        "api/minipost.losses",
    ]
    return [name for name in (f"{name}.html" for name in wanted) if (site / name).is_file()] + lessons(site)


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("MINIPOST_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_every_lesson_is_there_and_loads(site: Path, address: str, page: Any) -> None:
    root = Path(__file__).resolve().parents[3] / "lessons"
    assert {Path(name).parent.name for name in lessons(site)} == {path.parent.name for path in root.glob("*/README.md")}
    for name in main_pages(site):
        page.goto(address + name)
        assert page.locator("article h1").count() == 1, name
        broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        assert broken == [], name
        keep(page, name.replace("/", "-").removesuffix(".html"))


def test_formulas_are_drawn(site: Path, address: str, page: Any) -> None:
    count = 0
    for name in lessons(site):
        page.goto(address + name)
        sizes = page.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().width)")
        assert all(width > 1 for width in sizes), name
        assert "$" not in page.evaluate("[...document.querySelectorAll('article p')].map(p => p.innerText).join('')")
        count += len(sizes)
    assert count


@pytest.mark.parametrize("protocol", ["http", "file"])
def test_sliders_move_the_figures(protocol: str, site: Path, address: str, page: Any) -> None:
    page.goto(address + "play.html" if protocol == "http" else (site / "play.html").as_uri())
    figures = page.locator("figure.play")
    assert figures.count() >= 5
    for i in range(figures.count()):
        figure = figures.nth(i)
        slider, drawing = figure.locator("input"), figure.locator(".play-drawing svg")
        drawing.wait_for()
        before, value = drawing.inner_html(), figure.locator("output").inner_text()
        slider.focus()
        slider.press("ArrowRight")
        assert drawing.inner_html() != before
        assert figure.locator("output").inner_text() != value
        assert slider.get_attribute("aria-valuetext").startswith(figure.locator("output").inner_text() + ":")
        slider.press("ArrowLeft")
        assert drawing.inner_html() == before, "the same position shows the same"


def test_without_javascript_the_figures_say_what_they_would_show(site: Path, address: str, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "play.html")
    assert page.locator("figure.play table").count() == page.locator("figure.play").count()
    assert not page.locator("figure.play input").first.is_visible()
    context.close()


@pytest.mark.parametrize("protocol", ["http", "file"])
def test_search_finds_ppo(protocol: str, site: Path, address: str, page: Any) -> None:
    start = address if protocol == "http" else site.as_uri() + "/"
    page.goto(start + "search.html?q=PPO")
    page.locator("#search-results ul.search li a").first.wait_for()
    page.wait_for_function("document.querySelector('#search-results .search-summary')?.textContent.match(/[0-9]/)")
    links = page.eval_on_selector_all("#search-results ul.search li a", "all => all.map(a => a.href)")
    assert any("play.html" in link for link in links), links


def test_nothing_scrolls_sideways_on_a_phone(site: Path, address: str, page: Any) -> None:
    page.set_viewport_size(PHONE)
    wide = []
    for name in main_pages(site):
        page.goto(address + name)
        page.evaluate("window.scrollTo(10000, 0)")
        if (left := page.evaluate("window.scrollX")) > 0:
            wide.append(f"{name}: {left} px")
        keep(page, "phone-" + name.replace("/", "-").removesuffix(".html"))
    assert not wide


def test_dark_mode_is_dark(address: str, page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(address + "play.html")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3]) < 60
    keep(page, "dark-play")


def test_names_in_lessons_link_to_the_api(site: Path, address: str, page: Any) -> None:
    page.goto(address + "lessons/01_autograd/README.html")
    links = page.eval_on_selector_all("article a > code", "all => all.map(c => c.parentElement.getAttribute('href'))")
    assert any(link.endswith("api/minipost.autograd.html#minipost.autograd.tensor.Tensor") for link in links)


def test_every_link_and_anchor_resolves(site: Path, address: str, page: Any) -> None:
    """Read from the files by the browser's own parser; links to other hosts are not followed."""
    anchors: dict[Path, set[str]] = {}

    def look(path: Path) -> tuple[set[str], list[str]]:
        ids, hrefs = page.evaluate(
            """async (url) => {
              const text = await (await fetch(url)).text(), read = new DOMParser().parseFromString(text, 'text/html');
              return [[...read.querySelectorAll('[id]')].map(e => e.id),
                      [...read.querySelectorAll('a[href], img[src], link[href], script[src]')]
                        .map(e => e.getAttribute('href') ?? e.getAttribute('src'))]; }""",
            address + path.relative_to(site).as_posix(),
        )
        return set(ids), hrefs

    page.goto(address)
    hrefs = {}
    for path in sorted(site.rglob("*.html")):
        if "_modules" not in path.parts:
            anchors[path], hrefs[path] = look(path)
    broken = []
    for path, links in hrefs.items():
        for link in links:
            url, anchor = urldefrag(urljoin(path.as_uri(), link))
            target = Path(unquote(urlparse(url).path))
            if not url.startswith("file:") or link.startswith("data:"):
                continue
            if not target.is_file() or (anchor and target in anchors and unquote(anchor) not in anchors[target]):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken)
