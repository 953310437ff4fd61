"""Arrays of a safetensors checkpoint, one file or several, in any of the usual float types.

The format: eight bytes with the header's length, a JSON header with type, shape and place of each array, then raw
numbers. The safetensors library checks the header first (its size, that every array lies within the file, that none
overlap and that shapes fit lengths). Then arrays are read one by one through a memory map, so that a bfloat16
checkpoint, a type that NumPy does not know, needs no second copy of the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from minipost.interop.checkpoint import MEGABYTE, InteropError, read_json
from minipost.model import Array

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Entry:
    """Where an array lies: file, safetensors type, shape, first byte."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    begin: int

    def read(self) -> Array:
        """The array in float32."""
        raw = np.memmap(self.path, _TYPES[self.kind], "r", self.begin, self.shape)
        if self.kind == "BF16":  # the upper half of a float32
            return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.array(raw, np.float32)


def entries(folder: Path) -> dict[str, Entry]:
    """Every array of a checkpoint folder by name, none of them read yet. Errors: `InteropError`."""
    by_name: dict[str, Entry] = {}
    for path in _files(folder):
        for name, entry in _entries_of(path):
            if name in by_name:
                raise InteropError(
                    f"{path} holds {name}, which {by_name[name].path.name} holds too; remove one of them."
                )
            by_name[name] = entry
    return by_name


def _files(folder: Path) -> list[Path]:
    if (folder / MODEL).is_file():
        return [folder / MODEL]
    if not (folder / INDEX).is_file():
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        fix = "convert its pickled weights to safetensors first" if pickled else "pass the folder of a checkpoint"
        raise InteropError(f"{folder} holds neither {MODEL} nor {INDEX}; {fix}.")
    listed = read_json(folder / INDEX, 16 * MEGABYTE).get("weight_map")
    names = sorted(set(listed.values())) if isinstance(listed, dict) and _are_names(listed.values()) else []
    if not names:
        raise InteropError(f"{folder / INDEX} does not list files of this folder; download or copy it again.")
    return [folder / name for name in names]


def _are_names(values: Any) -> bool:
    """Plain names only: an index must not reach into other folders."""
    return all(isinstance(v, str) and v.endswith(".safetensors") and Path(v).name == v for v in values)


def _entries_of(path: Path) -> Iterator[tuple[str, Entry]]:
    try:
        with safetensors.safe_open(path, framework="numpy"), path.open("rb") as file:  # the library checks the header
            (length,) = struct.unpack("<Q", file.read(8))
            header: dict[str, Any] = json.loads(file.read(length))
    except FileNotFoundError:
        raise InteropError(f"There is no {path}; the checkpoint is incomplete.") from None
    except (OSError, safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise InteropError(f"{path} is damaged or no safetensors file ({error}); download or copy it again.") from None
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _TYPES:
            fix = f"only {', '.join(_TYPES)} are understood, so convert it first"
            raise InteropError(f"{path}: {name} is stored as {entry['dtype']}; {fix}.")
        yield name, Entry(path, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])


def check(stored: Mapping[str, Entry], expected: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Refuse, before anything is read, arrays that are missing, unknown or of another shape. Errors: `InteropError`."""
    for name, shape in expected.items():
        if name not in stored:
            raise InteropError(f"{where} lacks the array {name} {shape} that its configuration asks for.")
        if stored[name].shape != shape:
            raise InteropError(f"{where}: {name} has shape {stored[name].shape}, its configuration asks for {shape}.")
    if unknown := sorted(set(stored) - set(expected)):
        raise InteropError(f"{where} holds the array {unknown[0]}, for which a Llama model has no place.")
