"""Formulas as MathML, made when the site is built.

All current browsers draw MathML themselves: no script, no fonts to load, nothing that waits for a network, and a screen
reader reads it. latex2mathml understands the LaTeX that the lessons use; the build warns of a command that it lacks.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

_log = logging.getLogger(__name__)


def mathml(latex: str, block: bool = False) -> str:
    """A formula as a `<math>` element, its LaTeX kept as the label that is copied and searched.

    Raises `ValueError` if a command is left over that the converter did not know.
    """
    # \\text{...} would be set without its blanks at the ends, which is where a formula's words need them.
    made = str(convert(latex, display="block" if block else "inline"))
    if unknown := re.search(r">(\\[A-Za-z]+)<", made):
        raise ValueError(f"the command {unknown[1]} of {latex!r} is not known")
    return made


def visit_inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<span class="inline-formula">{_translated(node, block=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="formula" tabindex="0">{_translated(node, block=True)}</div>')
    raise nodes.SkipNode


def _translated(node: nodes.Element, block: bool) -> str:
    try:
        return mathml(node.astext(), block)
    except Exception as error:  # the converter has many ways to refuse; whichever it is, the page names the formula
        _log.warning("formula: %s", error, location=node)
        return f"<code>{nodes.unescape(node.astext())}</code>"
