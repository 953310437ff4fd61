"""A run's metrics in TensorBoard, for those who use it already: `--tensorboard`, then `tensorboard --logdir runs`.

The files are written by tensorboardX, a small package of its own that needs neither TensorFlow nor PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minipost.files import RunError

EVENTS = "tensorboard"  # the folder inside a run's


class TensorBoard:
    """Writes rows of metrics as scalars; the first row makes the folder."""

    def __init__(self, run: Path) -> None:
        """Errors: `RunError` if the package is missing, before anything is trained."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            fix = "install it with: pip install 'minipost[tensorboard]'"
            raise RunError(f"--tensorboard needs the package tensorboardX, which is not here; {fix}.") from None
        self._open, self._folder = SummaryWriter, run / EVENTS
        self._writer: Any = None

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Numbers become scalars under their own names; other values are left out."""
        if self._writer is None:  # a resumed run repeats steps: they replace those shown before
            self._writer = self._open(str(self._folder), purge_step=step)
        for name, value in row.items():
            if isinstance(value, int | float) and name != "step":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
