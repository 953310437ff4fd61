"""Run folders: what a training run leaves behind, how it survives a crash, and what it says meanwhile."""

from __future__ import annotations

from minipost.runs.files import RunError
from minipost.runs.folder import Checkpoint, Run, read_metrics, read_setting
from minipost.runs.model import check_shapes, load_model, save_model
from minipost.runs.progress import Interrupt, Interrupted, Progress, interruptible, progress

__all__ = [
    "Checkpoint",
    "Interrupt",
    "Interrupted",
    "Progress",
    "Run",
    "RunError",
    "check_shapes",
    "interruptible",
    "load_model",
    "progress",
    "read_metrics",
    "read_setting",
    "save_model",
]
