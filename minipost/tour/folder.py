"""The folder of a tour: its stages are trained into it, one after the other, and its results are left there.

    DIR/pretrain  DIR/sft  DIR/reward  DIR/ppo  DIR/dpo     the run folders of the stages
    DIR/summary.json  DIR/report.html  DIR/figures          what was measured
    DIR/details.json  DIR/seconds.json                      what the report draws; how long each part took

An interrupted tour goes on with `--resume` where it stopped; finished stages are not repeated.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rich.console import Console

from minipost.files import write_text
from minipost.model import Model
from minipost.report import print_summary, write_report
from minipost.report.summary import Details, Summary
from minipost.runs import read_metrics
from minipost.stages import dpo, ppo, pretrain, reward, sft
from minipost.stages.base import StageError
from minipost.tour.plan import Plan, TourConfig

T = TypeVar("T")
STAGES: dict[str, Callable[[Any], Model]] = {
    "pretrain": pretrain.run,
    "sft": sft.run,
    "reward": reward.run,
    "ppo": ppo.run,
    "dpo": dpo.run,
}


class TourFolder:
    """A tour's folder. A folder that is in use is refused before hours of work, not after: `StageError`."""

    def __init__(self, config: TourConfig) -> None:
        self.config, self.path = config, config.out
        if self.path.exists() and not self.path.is_dir():
            raise StageError(f"{self.path} is a file; choose another --out.")
        if self.path.exists() and any(self.path.iterdir()) and not (config.resume or config.overwrite):
            raise StageError(
                f"{self.path} is not empty; pass --resume to go on with its tour, --overwrite to start anew, "
                "or another --out."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        clock = self.path / "seconds.json"
        if config.overwrite:
            clock.unlink(missing_ok=True)
        self.seconds: dict[str, float] = json.loads(clock.read_text()) if clock.exists() else {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        """`work()`, announced and timed. A resumed tour adds to the seconds of before."""
        print(f"\n{name}", file=sys.stderr)
        start = time.perf_counter()
        result = work()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 1)
        write_text(self.path / "seconds.json", json.dumps(self.seconds))
        return result

    def train(self, plan: Plan, names: Collection[str]) -> dict[str, Model]:
        """Train the stages that are named, in the pipeline's order; returns their models by stage."""
        again: dict[str, Any] = {"resume": self.config.resume, "overwrite": self.config.overwrite}
        models = {}
        for name, stage in STAGES.items():
            if name in names:
                config = replace(getattr(plan, name), **again)
                models[name] = self.time(name, lambda stage=stage, config=config: stage(config))  # type: ignore[misc]
        return models

    def curves(self, stages: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The metrics that the stages have logged, by stage."""
        return {name: read_metrics(self.path / name) for name in stages}

    def finish(self, summary: Summary, details: Details, plan: Plan, stages: Sequence[str]) -> Summary:
        """Write both records and the report, print the table; returns the summary, with the seconds in it."""
        summary["seconds"] = dict(self.seconds)
        details["config"] = {name: vars(getattr(plan, name)) for name in stages}
        write_text(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")
        write_text(self.path / "details.json", json.dumps(details, indent=2, default=str) + "\n")
        page = write_report(self.path, summary, details)
        print_summary(summary, Console(force_jupyter=False))  # text, also in a notebook
        last = next((name for name in ("ppo", "dpo") if name in summary["models"]), "sft")
        print(f"\nThe report: {page}\nTalk with it: minipost chat {self.path} --model {last}", file=sys.stderr)
        return summary
