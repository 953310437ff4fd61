"""Code names in prose become links: `losses.bradley_terry` to what it is, `minipost/losses/dpo.py` to its module.

People write a name as one would say it, with as much of its path as is needed. So a name *fits* an object when its
parts occur in the object's full name, in this order, and end it: `losses.bradley_terry` fits
`minipost.losses.reward.bradley_terry`. It becomes a link if one object fits, and stays as it is if several do.

A single plain word such as `clip` may mean anything: it is a name only on a page whose code imports it, or something
else from its module.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
PATH = re.compile(r"minipost(/[a-z_0-9]+)*(/|\.py)?")


class Names:
    """All documented objects, by the last part of their names."""

    def __init__(self, full_names: Iterable[str]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for name in sorted(filter(_at_home, full_names)):
            self._by_last.setdefault(name.rpartition(".")[2], []).append(name)

    def find(self, text: str, imported: Mapping[str, str] | None = None) -> str | None:
        """The full name of the object that a piece of inline code names, if there is just one.

        `imported` maps names of the page's own code to what they stand for; see `imports_of`.
        """
        if PATH.fullmatch(text) and "/" in text:
            module = text.removesuffix(".py").strip("/").replace("/", ".")
            return module if module in self._by_last.get(module.rpartition(".")[2], []) else None
        text = text.partition("(")[0] if text.endswith(")") else text
        if not NAME.fullmatch(text):
            return None
        head, _, rest = text.partition(".")
        if imported and head in imported:
            text = f"{imported[head]}.{rest}".strip(".")
        parts = text.split(".")
        fitting = [name for name in self._by_last.get(parts[-1], []) if _in_order(parts, name.split("."))]
        if not ("." in text or "_" in text.strip("_") or text[0].isupper()):
            sources = {full.rpartition(".")[0] for full in (imported or {}).values()}
            fitting = [name for name in fitting if name.rpartition(".")[0] in sources]
        exact = [name for name in fitting if name == text]
        return exact[0] if exact else fitting[0] if len(fitting) == 1 else None


def _at_home(name: str) -> bool:
    """Whether an object is listed under the name that it was defined by, not under one that another module gave it."""
    module, _, attribute = name.rpartition(".")
    thing = getattr(sys.modules.get(module), attribute, None)
    defined = f"{getattr(thing, '__module__', module)}.{getattr(thing, '__qualname__', attribute)}"
    return defined == name or not defined.startswith("minipost.")


def _in_order(parts: list[str], full: list[str]) -> bool:
    """Whether `parts` is a subsequence of `full`."""
    left = iter(full)
    return all(part in left for part in parts)


def imports_of(code: Iterable[str]) -> dict[str, str]:
    """What the import statements of these pieces of code bring in from minipost: name -> full name.

    >>> imports_of(["from minipost.losses import dpo as family", "print(1"])
    {'family': 'minipost.losses.dpo'}
    """
    full_names: dict[str, str] = {}
    for piece in code:
        try:
            body = ast.parse(piece).body
        except SyntaxError:
            continue  # the output of a program, a shell command
        for node in body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minipost":
                full_names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return full_names
