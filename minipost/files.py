"""Files that are either the old ones or the new ones, never half of each.

A run may die at any moment, also while it writes. So every file is first written beside its place, forced to the disk,
and then renamed over the old one, which the operating system does at once or not at all. Arrays go into safetensors
files: a JSON header and raw numbers, which unlike a pickle cannot run code when it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from minipost.errors import UserError

Array = npt.NDArray[Any]
MODEL, TOKENIZER = "model.safetensors", "tokenizer.json"  # the two files that are a model


class RunError(UserError):
    """A run folder that cannot be used as asked."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` when the block ends well and vanishes when it does not."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # without it, a power cut can leave the new name on an empty file
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"Cannot write {path} ({error.strerror}); check the disk and the folder's rights.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by a UTF-8 file with this text, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal: which model exactly a run has grown from."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Replace `path` by a safetensors file with these arrays (any shape and layout) and one string, atomically."""
    if len(metadata) > 1:  # the library writes them in random order: the same model would get another hash each time
        raise ValueError("A safetensors file with several metadata strings is not reproducible; put them into one.")
    # safetensors copies raw memory, so a transposed view would be saved in the wrong order; `ascontiguousarray` would
    # repair that too but turns a 0-d array into a 1-d one.
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if unfit := [f"{name} ({array.dtype})" for name, array in dense.items() if array.dtype.kind not in "biuf"]:
        raise RunError(f"Cannot save {unfit[0]} in {path}; arrays must hold numbers or bools.")
    with atomic(path) as temporary:
        safetensors.numpy.save_file(dense, temporary, metadata=dict(metadata))


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """(arrays, metadata) of a safetensors file; the arrays are writeable. Errors: `RunError` if missing or damaged."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no dict)
            return arrays, dict(file.metadata() or {})
    except FileNotFoundError:
        raise RunError(f"There is no {path}; check the path.") from None
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError, ValueError) as error:
        raise RunError(f"{path} is damaged or no safetensors file ({error}); copy or make it again.") from error


def load_metadata(path: Path) -> dict[str, str]:
    """Only the strings of a safetensors file, without reading its arrays. Errors as for `load_arrays`."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} is damaged or no safetensors file ({error}); copy or make it again.") from error
