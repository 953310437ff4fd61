"""`report.html`: one file that tells what a run did, to be opened anywhere and sent to anyone.

Everything is inside: figures as inline SVG that follow the reader's light or dark mode, the style sheet, the samples.
It asks the network for nothing and runs no script. Text from a model is escaped: whatever a policy says, it says as
text.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from minipost.report import story
from minipost.report.gallery import Plate, gallery, write_figures
from minipost.report.style import css_variables, svg
from minipost.report.summary import Details, Measure, Models, Summary, cleaned, measure_of, ordered
from minipost.report.table import best_in, columns_of
from minipost.report.wording import duration, label, number, percent


def write_report(out: Path, summary: Summary, details: Details) -> Path:
    """Write `out/report.html` and `out/figures/*.png`; return the page's path. What is missing from either record is
    left out of the report."""
    out.mkdir(parents=True, exist_ok=True)
    plates = gallery(summary, details)
    write_figures(plates, out / "figures")
    path = out / "report.html"
    path.write_text(page(summary, details, plates), encoding="utf-8")
    return path


def page(summary: Summary, details: Details, plates: list[Plate]) -> str:
    """The whole document as a string."""
    summary, details = cleaned(summary), cleaned(details)
    models = summary.get("models") or {}
    bodies = {
        "result": _result(models, [p for p in plates if p.section == "result"]),
        "samples": _samples(details.get("samples") or []),
        **{
            slug: _figures([p for p in plates if p.section == slug])
            for slug in ("price", "proxy", "reward", "pizza", "kinds", "curves")
        },
        "run": _run(summary, details),
    }
    shown = {slug: section for slug, section in story.SECTIONS.items() if bodies[slug]}
    sections = [_section(slug, words, measure_of(models), bodies[slug]) for slug, words in shown.items()]
    links = "".join(f'<a href="#{slug}">{escape(words.name)}</a>' for slug, words in shown.items())
    style = css_variables() + files("minipost.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>minipost report</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<p class="kicker">minipost · report of one run</p>
<h1>{escape(story.headline(models))}</h1>
<p class="meta">{escape(_meta(summary))}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def _meta(summary: Summary) -> str:
    facts = [
        f"size {summary['size']}" if summary.get("size") else "",
        f"seed {summary['seed']}" if summary.get("seed") is not None else "",
        f"{summary['prompts']} held-out prompts" if summary.get("prompts") else "",
        f"served at T = {summary['served_temperature']:g}" if summary.get("served_temperature") else "",
        f"{duration(sum(summary['seconds'].values()))} on a CPU" if summary.get("seconds") else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _section(slug: str, words: story.Section, measure: Measure, body: str) -> str:
    intro = f"<h2>{escape(words.heading)}</h2>\n<p>{escape(words.reading(measure))}</p>"
    return f'<section id="{slug}">\n<div class="intro">{intro}</div>\n{body}</section>\n'


def _figure(plate: Plate) -> str:
    finding = f'<p class="finding">{escape(plate.finding)}</p>' if plate.finding else ""
    return (
        f'<figure id="figure-{plate.slug}"><figcaption><h3>{escape(plate.title)}</h3>{finding}</figcaption>\n'
        f"{svg(plate.draw(None), plate.slug, plate.alt)}</figure>\n"
    )


def _figures(plates: list[Plate]) -> str:
    return f'<div class="plates n{min(len(plates), 3)}">{"".join(map(_figure, plates))}</div>\n' if plates else ""


def _result(models: Models, plates: list[Plate]) -> str:
    """The first figure beside the findings in words, and the table of everything."""
    if not models:
        return ""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in story.findings(models))
    findings = f'<ul class="findings">{sentences}</ul>' if sentences else ""
    return f'<div class="hero">{"".join(map(_figure, plates))}{findings}</div>\n{_table(models)}'


def _table(models: Models) -> str:
    """All models and all columns; the best of a column is bold, and a cell carries its raw value as `data-value`."""
    columns = columns_of(models)
    head = "".join(f'<th scope="col" title="{escape(c.meaning, quote=True)}">{escape(c.title)}</th>' for c in columns)
    best = {column.key: best_in(models, column) for column in columns}
    rows = []
    for name in ordered(models):
        cells = []
        for column in columns:
            value, spread = column.texts(models[name])
            raw: Any = models[name].get(column.key)
            mark = ' class="best"' if name in best[column.key] else ""
            data = "" if raw is None else f' data-value="{float(raw)!r}"'
            small = f" <small>{escape(spread)}</small>" if spread else ""
            cells.append(f'<td data-key="{column.key}"{data}{mark}>{escape(value)}{small}</td>')
        head_cell = f'<th scope="row">{_dot(name)}{escape(label(name))}</th>'
        rows.append(f'<tr data-model="{escape(name)}">{head_cell}{"".join(cells)}</tr>')
    return (
        '<p class="note">Every model on the held-out prompts. Brackets are 95 % intervals, '
        "bold is the best of its column.</p>\n"
        f'<div class="scroll"><table class="results">\n<thead><tr><th></th>{head}</tr></thead>\n'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _dot(model: str) -> str:
    return f'<i class="dot" style="background:var(--{escape(model)}, var(--muted))"></i>'


def _samples(samples: list[dict[str, Any]]) -> str:
    """One card a prompt, grouped by kind; the first of each kind is open, the others unfold."""
    kinds: dict[str, list[str]] = {}
    rewards = [_reward(answer) for sample in samples for answer in sample.get("answers", {}).values()]
    scale = max((abs(reward) for reward in rewards if reward is not None), default=1.0) or 1.0
    for sample in samples:
        kinds.setdefault(str(sample.get("kind", "")), []).append(_card(sample, scale))
    groups = []
    for cards in kinds.values():
        more = (
            f"<details><summary>{len(cards) - 1} more</summary>{''.join(cards[1:])}</details>" if len(cards) > 1 else ""
        )
        groups.append(f'<div class="kind">{cards[0]}{more}</div>\n')
    return f'<div class="samples">{"".join(groups)}</div>\n' if groups else ""


def _card(sample: Mapping[str, Any], scale: float) -> str:
    rows = []
    answers = sample.get("answers") or {}
    for name in ordered(answers):
        answer, reward = answers[name], _reward(answers[name])
        right = answer.get("correct")
        mark = "" if right is None else '<b title="right">✓</b>' if right >= 0.5 else '<b title="wrong">✗</b>'
        depth = 0 if reward is None else round(12 + 58 * min(abs(reward) / scale, 1.0))
        side = "bad" if (reward or 0) < 0 else "good"
        chip = f'<span class="gold {side}" style="--t:{depth}%">{number(reward, 1, sign=True)}</span>'
        text = escape(str(answer.get("text", ""))).strip() or "<em>(nothing)</em>"
        rows.append(f"<dt>{_dot(name)}{escape(label(name))}</dt><dd><p>{text}</p><span>{mark}{chip}</span></dd>")
    kind = escape(str(sample.get("kind", "")).replace("_", " "))
    tag = (
        '<span class="tag harmful">harmful request</span>'
        if sample.get("harmful")
        else f'<span class="tag">{kind}</span>'
    )
    return (
        f'<article class="card">{tag}'
        f"<blockquote>{escape(str(sample.get('prompt', '')))}</blockquote><dl>{''.join(rows)}</dl></article>"
    )


def _reward(answer: Mapping[str, float | None]) -> float | None:
    """What an answer is worth, or, where nobody knows, what the reward model makes of it."""
    gold = answer.get("gold")
    return answer.get("proxy") if gold is None else gold


def _run(summary: Summary, details: Details) -> str:
    """Seconds of every stage as bars, and the configuration."""
    total = sum((summary.get("seconds") or {}).values())
    bars = "".join(
        f'<tr><th scope="row">{escape(str(stage).replace("_", " "))}</th><td>{duration(seconds)}</td>'
        f'<td class="bar"><i style="width:{100 * seconds / total:.1f}%"></i></td>'
        f"<td>{percent(seconds / total)}</td></tr>"
        for stage, seconds in (summary.get("seconds") or {}).items()
        if total > 0
    )
    times = f'<table class="times"><caption>{duration(total)} in all</caption>{bars}</table>' if bars else ""
    facts: dict[str, Any] = {
        "size": summary.get("size"),
        "seed": summary.get("seed"),
        "held-out prompts": summary.get("prompts"),
    }
    facts |= {"serving temperature": summary.get("served_temperature"), "n of best-of-n": summary.get("n")}
    run = _settings("This run", [(key, value) for key, value in facts.items() if value is not None])
    config = _flat(details.get("config") or {})
    all_of_it = (
        f"<details><summary>All {len(config)} settings</summary>{_settings('', config)}</details>" if config else ""
    )
    return f'<div class="pair">{times}<div>{run}{all_of_it}</div></div>\n' if times or run or config else ""


def _settings(caption: str, pairs: list[tuple[str, Any]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(str(x))}</td></tr>' for key, x in pairs)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="config">{title}{rows}</table>' if rows else ""


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys: `{"ppo": {"beta": 0.1}}` gives `ppo.beta`."""
    flat = []
    for key, value in config.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
