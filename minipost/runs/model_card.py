"""The model card: what a stranger who finds the folder needs to know (after Mitchell et al. 2019, arXiv:1810.03993)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minipost.model import Model


def model_card(record: Mapping[str, Any], last: Mapping[str, Any], model: Model | None, description: str) -> str:
    """Markdown from a run's record (config.json), last row of metrics, model and a sentence about the stage."""
    parents = {
        name: f"`{parent['path']}` (sha256 `{parent['sha256'][:12]}`)" for name, parent in record["parents"].items()
    }
    origin = {name: record[name] for name in ("stage", "seed", "created", "finished", "platform")}
    sections = [
        f"# A {'model from' if model else 'run of'} minipost's `{record['stage']}` stage",
        description,
        "## Origin\n\n" + _table(origin | record["versions"]),
        "## Parents\n\n" + (_table(parents) if parents else "None: trained from random weights."),
        "## Configuration\n\n" + _table(record["config"]),
        "## Last metrics\n\n" + (_table(last) if last else "None were logged."),
        _loading(model) if model else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _loading(model: Model) -> str:
    count = sum(array.size for array in model.weights.values())
    head = ', head="score"' if "score" in model.weights else ""
    return f"""## Loading

{count:,} parameters in {len(model.weights)} arrays.

```python
from minipost.model import Model

model = Model.load("path/to/this/folder"{head})
```"""


def _table(rows: Mapping[str, Any]) -> str:
    def cell(value: Any) -> str:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return text.replace("|", "\\|").replace("\n", " ")

    lines = [f"| {cell(name)} | {cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|-|-|", *lines])
