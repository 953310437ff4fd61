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

from minipost.report import own
from minipost.report.gallery import Plate, gallery, write_figures
from minipost.report.rows import finite
from minipost.report.style import css_variables, svg
from minipost.report.table import best_in, columns_of, findings, headline
from minipost.report.wording import duration, label, number, ordered, percent

Data = Mapping[str, Any]

# Name in the navigation, heading, how to read what is below. The finding is computed and stands above its figure.
SECTIONS = {
    "result": (
        "Result",
        "What did each stage add?",
        "Gold is the true utility of an answer, known because this world is simulated. No model was trained on it: the "
        "reward model saw only comparisons by noisy labelers. Prompts are held out; bars span 95 % intervals.",
    ),
    "samples": (
        "Answers",
        "What do they say?",
        "The same held-out prompts to every model. The number is the answer’s gold utility, "
        "✓ and ✗ say whether it is right.",
    ),
    "price": (
        "Price in KL",
        "What does it cost to leave SFT?",
        "Each point is a policy: how far it has moved from SFT, and what it is worth now. At equal KL, higher is "
        "better. Best-of-n moves by choosing among n answers; PPO and DPO move by training.",
    ),
    "proxy": (
        "Proxy and gold",
        "Is the reward model being fooled?",
        "Dashed is what the reward model believes, solid is the truth, both counted from where they started. "
        "Push hard enough, and the shaded gap opens: the policy then improves the score and no longer the answers.",
    ),
    "reward": (
        "Reward model",
        "How good is the reward model?",
        "Among pairs to which it gives a 70 % chance, 70 % should be won. Dots above the diagonal mean too little "
        "confidence in the favourite, dots below too much. Larger dots stand for more pairs.",
    ),
    "pizza": (
        "Pizza",
        "Does it answer, or does it go on?",
        "“How to make pizza” is, to a model of the web, the beginning of a page. It may add context, ask something "
        "back, or give instructions. Pretraining should copy the web’s frequencies. To a model that was shown "
        "demonstrations it is what a user says, and the third should remain.",
    ),
    "kinds": (
        "Kinds and harm",
        "Where is it good, and is it safe?",
        "The mean over all prompts hides what kind of task it was earned on. Harmful requests are shown by themselves: "
        "there, the right answer is a kind refusal.",
    ),
    "curves": (
        "Training",
        "How did training go?",
        "Dotted lines are answers known before training: a loss of ln 2 for a model that cannot tell two answers "
        "apart, a KL of 0 for a policy that has not moved. A curve that starts elsewhere is a bug.",
    ),
    "run": ("Run", "What was run?", "The same seed gives the same numbers."),
}


def write_report(out: Path, summary: Data, details: Data) -> Path:
    """Write `out/report.html` and `out/figures/*.png`; return the page's path.

    `summary` holds the seed, the size and what was measured of each model; `details` the curves, the frontier, PPO's
    rollouts, the modes of "How to make pizza" and the samples. Whatever is missing from either is left out of the
    report.
    """
    out.mkdir(parents=True, exist_ok=True)
    plates = gallery(summary, details)
    write_figures(plates, out / "figures")
    path = out / "report.html"
    path.write_text(page(summary, details, plates), encoding="utf-8")
    return path


def page(summary: Data, details: Data, plates: list[Plate]) -> str:
    """The whole document as a string."""
    models = summary.get("models") or {}
    bodies = {
        "result": _result(summary, [p for p in plates if p.section == "result"]),
        "samples": _samples(details.get("samples") or (), models),
        **{
            slug: _figures([p for p in plates if p.section == slug])
            for slug in ("price", "proxy", "reward", "pizza", "kinds", "curves")
        },
        "run": _run(summary, details),
    }
    words = SECTIONS | own.SECTIONS if own.proxy_only(models) else SECTIONS
    sections = [_section(slug, words[slug], bodies[slug]) for slug in words if bodies.get(slug)]
    links = "".join(f'<a href="#{slug}">{escape(words[slug][0])}</a>' for slug in words if bodies.get(slug))
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
<h1>{escape(headline(summary))}</h1>
<p class="meta">{escape(_meta(summary))}</p>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def _meta(summary: Data) -> str:
    facts = [
        f"size {summary['size']}" if summary.get("size") else "",
        f"seed {summary['seed']}" if summary.get("seed") is not None else "",
        f"{summary['prompts']} held-out prompts" if summary.get("prompts") else "",
        f"{duration(_total(summary))} on a CPU" if summary.get("seconds") else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _section(slug: str, words: tuple[str, str, str], body: str) -> str:
    _, heading, reading = words
    intro = f"<h2>{escape(heading)}</h2>\n<p>{escape(reading)}</p>"
    return f'<section id="{slug}">\n<div class="intro">{intro}</div>\n{body}</section>\n'


def _figure(plate: Plate) -> str:
    finding = f'<p class="finding">{escape(plate.finding)}</p>' if plate.finding else ""
    return (
        f'<figure id="figure-{plate.slug}"><figcaption><h3>{escape(plate.title)}</h3>{finding}</figcaption>\n'
        f"{svg(plate.draw(None), plate.slug, plate.alt)}</figure>\n"
    )


def _figures(plates: list[Plate]) -> str:
    return f'<div class="plates n{min(len(plates), 3)}">{"".join(map(_figure, plates))}</div>\n' if plates else ""


def _result(summary: Data, plates: list[Plate]) -> str:
    """The first figure beside the findings in words, and the table of everything."""
    models = summary.get("models") or {}
    if not models:
        return ""
    words = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings(models))
    said = f'<ul class="findings">{words}</ul>' if words else ""
    return f'<div class="hero">{"".join(map(_figure, plates))}{said}</div>\n{_table(models)}'


def _table(models: Data) -> str:
    """All models and all columns; the best of a column is bold, and a cell carries its raw value as `data-value`."""
    columns = columns_of(models)
    head = "".join(f'<th scope="col" title="{escape(c.meaning, quote=True)}">{escape(c.title)}</th>' for c in columns)
    best = {column.key: best_in(models, column) for column in columns}
    rows = []
    for name in ordered(models):
        cells = []
        for column in columns:
            value, spread = column.texts(models[name])
            raw = finite(models[name].get(column.key))
            mark = ' class="best"' if name in best[column.key] else ""
            data = "" if raw is None else f' data-value="{raw!r}"'
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


def _samples(samples: Any, models: Data) -> str:
    """One card a prompt, grouped by kind; the first of each kind is open, the others unfold."""
    kinds: dict[str, list[str]] = {}
    golds = [abs(g) for s in samples for a in s.get("answers", {}).values() if (g := _reward(a)) is not None]
    scale = max(golds, default=1.0) or 1.0
    for sample in samples:
        kinds.setdefault(str(sample.get("kind", "")), []).append(_card(sample, scale))
    groups = []
    for cards in kinds.values():
        more = (
            f"<details><summary>{len(cards) - 1} more</summary>{''.join(cards[1:])}</details>" if len(cards) > 1 else ""
        )
        groups.append(f'<div class="kind">{cards[0]}{more}</div>\n')
    return f'<div class="samples">{"".join(groups)}</div>\n' if groups else ""


def _card(sample: Data, scale: float) -> str:
    rows = []
    answers = sample.get("answers") or {}
    for name in ordered(answers):
        answer, gold = answers[name], _reward(answers[name])
        right = finite(answer.get("correct"))
        mark = "" if right is None else '<b title="right">✓</b>' if right >= 0.5 else '<b title="wrong">✗</b>'
        depth = 0 if gold is None else round(12 + 58 * min(abs(gold) / scale, 1.0))
        side = "bad" if (gold or 0) < 0 else "good"
        chip = f'<span class="gold {side}" style="--t:{depth}%">{number(gold, 1, sign=True)}</span>'
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


def _reward(answer: Data) -> float | None:
    """What an answer is worth, or, where nobody knows, what the reward model makes of it."""
    gold = finite(answer.get("gold"))
    return finite(answer.get("proxy")) if gold is None else gold


def _total(summary: Data) -> float:
    return sum(finite(value) or 0.0 for value in (summary.get("seconds") or {}).values())


def _run(summary: Data, details: Data) -> str:
    """Seconds of every stage as bars, and the configuration."""
    total = _total(summary)
    bars = "".join(
        f'<tr><th scope="row">{escape(str(stage).replace("_", " "))}</th><td>{duration(seconds)}</td>'
        f'<td class="bar"><i style="width:{100 * (finite(seconds) or 0.0) / total:.1f}%"></i></td>'
        f"<td>{percent((finite(seconds) or 0.0) / total)}</td></tr>"
        for stage, seconds in (summary.get("seconds") or {}).items()
        if total > 0
    )
    times = f'<table class="times"><caption>{duration(total)} in all</caption>{bars}</table>' if bars else ""
    facts = {"size": summary.get("size"), "seed": summary.get("seed"), "held-out prompts": summary.get("prompts")}
    facts["n of best-of-n"] = summary.get("n")
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


def _flat(config: Data, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys: `{"ppo": {"beta": 0.1}}` gives `ppo.beta`."""
    flat = []
    for key, value in config.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
