"""Our extension of Sphinx: formulas without a script, links from code names, our docstrings, figures with a slider."""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

from lessons.tools.site import formulas
from lessons.tools.site.docstrings import restructured
from lessons.tools.site.names import Names, imports_of
from lessons.tools.site.numbers import every_play
from lessons.tools.site.play import Play, figure_html
from minipost import __version__


class PlayDirective(Directive):
    """`{play} SLUG`: the figure of that name; without a name all of them, one below the other."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = [play for play in plays() if not self.arguments or play.slug == self.arguments[0]]
        if not wanted:
            known = ", ".join(play.slug for play in plays())
            raise self.error(f"There is no figure {self.arguments[0]!r}; there are {known}.")
        return [nodes.raw("", figure_html(play), format="html") for play in wanted]


@cache
def plays() -> list[Play]:
    """All figures, computed when the first page asks; their numbers depend on nothing but the package."""
    return every_play()


class LinkNames(SphinxPostTransform):
    """Inline code that names something of the package links to its page."""

    default_priority = 400

    def run(self, **kwargs: Any) -> None:
        objects = self.env.get_domain("py").objects
        names = _names(self.app, objects)
        imported = imports_of(block.astext() for block in self.document.findall(nodes.literal_block))
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.reference) or "download" in literal.get("classes", []):
                continue
            name = names.find(literal.astext(), imported)
            if name is None:
                continue
            entry = objects[name]
            link = make_refnode(
                self.app.builder, self.env.docname, entry.docname, entry.node_id, literal.deepcopy(), name
            )
            literal.replace_self(link)


def _names(app: Any, objects: Any) -> Names:
    """The index, made once: all pages have been read when the first is transformed."""
    if not hasattr(app, "minipost_names"):
        app.minipost_names = Names(name for name, entry in objects.items() if not entry.aliased)
    names: Names = app.minipost_names
    return names


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(formulas.visit_inline, None), block_renderers=(formulas.visit_block, None)
    )
    app.add_directive("play", PlayDirective)
    app.add_post_transform(LinkNames)
    app.connect("autodoc-process-docstring", _docstring)
    return {"version": __version__, "parallel_read_safe": False, "parallel_write_safe": True}
