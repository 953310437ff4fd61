"""Print pip constraints for the oldest versions that pyproject.toml allows: `numpy>=2.0` becomes `numpy==2.0.*`.

    python .ci/lowest.py > lowest.txt && MINIPOST_CONSTRAINTS=lowest.txt bash .ci/run

A lower bound of one number (`pytest>=8`) is the first release of that series, `pytest==8.0.*`. Tools that only read the
sources (the extra dev: Ruff, mypy) and the pinned peers of the benchmarks are left as they are.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def constraints(project: Path = PROJECT) -> list[str]:
    """One constraint for each dependency that has a lower bound, those of the extras included."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = [names for extra, names in table["optional-dependencies"].items() if extra not in ("dev", "peers")]
    lines = set()
    for requirement in [*table["dependencies"], *(name for names in extras for name in names)]:
        if bound := re.match(r"([\w.-]+)>=([\d.]+)", requirement):
            name, version = bound.groups()
            lines.add(f"{name}=={version if '.' in version else f'{version}.0'}.*")
    return sorted(lines)


if __name__ == "__main__":
    print("\n".join(constraints()))
