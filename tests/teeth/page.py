"""Writes `docs/teeth.md`: each bug, the law that it breaks, and the public thread in which people met it.

python tests/teeth/page.py
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from catalogue import Entry, collected

from minipost.laws import TARGETS, laws_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "teeth.md"

INTRODUCTION = """\
# The teeth of the law suite

<!-- Written by tests/teeth/page.py; a test fails when this page is not what it writes. -->

A law that never fails proves nothing. So {mutants} implementations with a bug stand in `tests/teeth/`, each a few lines
that somebody could have written, and a test shows for each that the law named here breaks. {alternatives} correct
implementations stand beside them, in other algebra and other frameworks, and no law may break for any of those.

{threads} of the bugs were met in public, and the thread is linked: it is where the bug, or its mirror image in another
code base, was reported or discussed.

To see what the judge says of a bug, point it at one:

```bash
minipost laws ppo.gae my_losses.py:my_gae
```
"""

ALTERNATIVES = """
## Right, and written differently

| Target | Implementation | Framework |
|-|-|-|
"""


def page() -> str:
    """The whole page as Markdown."""
    mutants, alternatives = collected()
    threads = sum(bug.thread is not None for bug in mutants)
    text = INTRODUCTION.format(mutants=len(mutants), alternatives=len(alternatives), threads=threads)
    for target in TARGETS:
        text += section(target, [bug for bug in mutants if bug.target == target])
    rows = (f"| `{one.target}` | {one.says} | {framework(one)} |" for one in alternatives)
    return text + ALTERNATIVES + "\n".join(rows) + "\n"


def section(target: str, bugs: list[Entry]) -> str:
    """The bugs of one target as a table."""
    says = {each.law.name: each.law.says for each in laws_for(target)}
    frameworks = Counter(bug.framework for bug in bugs if bug.framework)
    note = ", ".join(f"{n} on {'`Tensor`' if name == 'tensor' else 'PyTorch'}" for name, n in frameworks.items())
    head = f"\n## `{target}`\n\n{len(bugs)} bugs" + (f", {note} for its gradient or its defaults" if note else "")
    rows = (f"| {bug.says} | {bug.law}: {says[bug.law or '']} | {link(bug.thread)} |" for bug in bugs)
    return head + ".\n\n| Bug | Law that breaks | Met in |\n|-|-|-|\n" + "\n".join(rows) + "\n"


def framework(entry: Entry) -> str:
    return {None: "NumPy", "tensor": "minipost's Tensor", "torch": "PyTorch", "jax": "JAX"}[entry.framework]


def link(thread: str | None) -> str:
    """`owner/repo#7` as a link; GitHub leads from there to the pull request if it is one."""
    if thread is None:
        return ""
    repository, number = thread.split("#")
    return f"[{thread}](https://github.com/{repository}/issues/{number})"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
