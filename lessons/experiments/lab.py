"""The laboratory: what was trained once is not trained again.

Lessons and claims share models. An *artefact* is a folder that a function fills. The folder's name has a hash of the
configuration: another configuration makes another folder, and the same configuration finds the same folder again:

    lab = Lab()
    base = lab.run(pretrain.run, PretrainConfig(tokens=lab.pick(200_000, 8_000)), about="60 s")  # a stage's run folder
    table = lab.numbers("landscape", {"beta": 0.1}, lambda: {"x": ..., "y": ...})                # arrays

Everything is kept below `MINIPOST_LESSONS` (default: `runs/lessons` in the project). A name includes the configuration
and the package's version, not the code below it: after a change to a stage or to the world delete the folder.

`MINIPOST_FAST=1` asks for tiny settings, which run everything and show nothing. Messages go to stderr: a lesson's page
reads the same whether its artefacts were made now or before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from minipost import __version__

T = TypeVar("T")
FINISHED = "piece.json"  # written last: a folder without it is a leftover of an interrupted run


class Lab:
    """Where artefacts are kept, and whether settings are tiny.

    `root` and `fast` default to what the environment variables `MINIPOST_LESSONS` and `MINIPOST_FAST` say.
    """

    def __init__(self, root: Path | None = None, fast: bool | None = None) -> None:
        self.root = default_root() if root is None else root
        self.fast = os.environ.get("MINIPOST_FAST") == "1" if fast is None else fast

    def pick(self, full: T, fast: T) -> T:
        """One of two settings, by mode."""
        return fast if self.fast else full

    def artefact(self, name: str, config: Any, make: Callable[[Path], object], about: str = "") -> Path:
        """The folder that `make(folder)` fills, now or in an earlier run. `about` says how long it takes: "20 s".

        `config` is a dataclass or JSON-like value that determines the result, seeds included.
        """
        text = json.dumps({"name": name, "version": __version__, "config": self._plain(config)}, sort_keys=True)
        folder = self.root / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
        if (folder / FINISHED).is_file():
            _say(f"reusing {folder.name}")
            return folder
        _say(f"training {folder.name}" + (f" (about {about})" if about else ""))
        self.root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=self.root))
        try:
            with contextlib.redirect_stdout(sys.stderr):  # callers print results: a page reads the same the second time
                make(work)
            (work / FINISHED).write_text(text + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return folder

    def run(self, stage: Callable[[Any], object], config: Any, about: str = "") -> Path:
        """The run folder of a stage, such as `lab.run(sft.run, SFTConfig(base=folder))`; `config.out` is set here."""
        module = stage.__module__.rpartition(".")[2]
        name = module if stage.__name__ == "run" else stage.__name__  # every stage's function is called `run`

        def make(folder: Path) -> None:
            stage(dataclasses.replace(config, out=folder / "run"))

        return self.artefact(name, dataclasses.replace(config, out=Path("here")), make, about) / "run"

    def numbers(
        self, name: str, config: Any, make: Callable[[], Mapping[str, npt.ArrayLike]], about: str = ""
    ) -> dict[str, npt.NDArray[Any]]:
        """The arrays that `make()` returns, by name, computed now or read from the disk."""

        def save(folder: Path) -> None:
            arrays: dict[str, Any] = {name: np.asarray(values) for name, values in make().items()}
            np.savez(folder / "numbers.npz", **arrays)

        with np.load(self.artefact(name, config, save, about) / "numbers.npz") as stored:
            return dict(stored)

    def _plain(self, value: Any) -> Any:
        """A configuration as JSON values. Paths inside the laboratory are written relative to it."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return self._plain(fields)
        if isinstance(value, Mapping):
            return {str(key): self._plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(inner) for inner in value]
        if isinstance(value, Path):
            return str(value.relative_to(self.root) if value.is_relative_to(self.root) else value)
        return value


def default_root() -> Path:
    """`MINIPOST_LESSONS`, else `runs/lessons` of the project around the current folder, else of that folder."""
    if root := os.environ.get("MINIPOST_LESSONS"):
        return Path(root)
    current = Path.cwd()
    project = next((folder for folder in (current, *current.parents) if (folder / "lessons").is_dir()), current)
    return project / "runs" / "lessons"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
