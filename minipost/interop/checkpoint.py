"""What every reader refuses, and how a stranger's file is opened.

A file from the network is a claim, not a fact. Nothing here runs code (no pickle), text files have a size limit, and
no array is made before its shape was compared with the configuration and with the bytes that the file really has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minipost.errors import UserError

MEGABYTE = 1 << 20
LONGEST_CONTEXT = 1 << 20  # positions: the rotary table alone has a row for each
MOST_LAYERS = 1000


class InteropError(UserError):
    """A foreign checkpoint that cannot be read, or a model that a foreign format cannot hold."""


def read_json(path: Path, limit: int = MEGABYTE) -> dict[str, Any]:
    """A JSON object of at most `limit` bytes. Errors: `InteropError`, one sentence."""
    try:
        if path.stat().st_size > limit:
            raise InteropError(f"{path} has {path.stat().st_size:,} bytes, more than the {limit:,} that it may have.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InteropError(f"Cannot read {path} ({error.strerror}); check the path.") from None
    except (ValueError, RecursionError) as error:
        raise InteropError(f"{path} is no JSON ({error}); download or copy it again.") from None
    if not isinstance(content, dict):
        raise InteropError(f"{path} holds no JSON object; download or copy it again.")
    return content


def whole(
    values: Mapping[str, Any], name: str, where: Path | str, default: int | None = None, most: int = 1 << 31
) -> int:
    """A whole number from 1 to `most`. Errors: `InteropError`."""
    value = values.get(name, default)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InteropError(f"{where}: {name} is {value!r}; it must be a whole number from 1 to {most:,}.")
    return value


def number(values: Mapping[str, Any], name: str, where: Path | str, default: float | None = None) -> float:
    """A finite number above 0. Errors: `InteropError`."""
    value = values.get(name, default)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InteropError(f"{where}: {name} is {value!r}; it must be a number above 0.")
    return float(value)
