"""Run folders: what a training run leaves behind, how it survives a crash, and what it says meanwhile."""

from __future__ import annotations

from minipost.files import RunError
from minipost.runs.folder import Checkpoint, Run, read_metrics, read_setting
from minipost.runs.progress import Interrupt, Interrupted, Progress, interruptible, progress

__all__ = [
    "Checkpoint",
    "Interrupt",
    "Interrupted",
    "Progress",
    "Run",
    "RunError",
    "interruptible",
    "progress",
    "read_metrics",
    "read_setting",
]
