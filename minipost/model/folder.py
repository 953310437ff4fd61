"""A trained model on disk: `model.safetensors` (weights, with the configuration in its header) and `tokenizer.json`.

The two files are all that a model is; a folder that holds them can be moved, shared and loaded without the run that
made them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minipost.files import MODEL, TOKENIZER, Array, RunError, atomic, load_arrays, save_arrays
from minipost.text import Tokenizer, load_tokenizer


def save_model(folder: Path, weights: Mapping[str, Array], config: object, tokenizer: Tokenizer) -> None:
    """Write both files; `config` is a dataclass or a dict of JSON values, e.g. `ModelConfig`."""
    fields = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else config  # type: ignore[arg-type]
    with atomic(folder / TOKENIZER) as temporary:
        tokenizer.save(temporary)
    save_arrays(folder / MODEL, weights, {"config": json.dumps(fields)})


def load_model(folder: Path | str) -> tuple[dict[str, Array], dict[str, Any], Tokenizer]:
    """(weights, model configuration, tokenizer) of a finished run, or of a folder that holds just these two files.

    Errors: `RunError` or `TokenizerError`, one sentence.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"There is no model folder at {folder}; check the path, or train the model first.")
    for name in (MODEL, TOKENIZER):
        if not (folder / name).is_file():
            unfinished = (folder / "config.json").is_file()
            fix = "its training has not finished, so go on with --resume" if unfinished else "pass the folder of a run"
            raise RunError(f"{folder} holds no {name}; {fix}.")
    weights, metadata = load_arrays(folder / MODEL)
    try:
        config = json.loads(metadata["config"])
    except (KeyError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise RunError(f"{folder / MODEL} does not say how its model is built; pass a model that minipost has saved.")
    return weights, config, load_tokenizer(folder / TOKENIZER)


def check_shapes(weights: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]], where: Path | str) -> None:
    """Refuse weights that do not fit the model, naming the first that is missing, unknown or of another shape."""
    fix = "it belongs to another model"
    for name, shape in expected.items():
        if name not in weights:
            raise RunError(f"{where} lacks the weight {name} {shape}; {fix}.")
        if weights[name].shape != tuple(shape):
            raise RunError(f"{where}: {name} has shape {weights[name].shape} instead of {tuple(shape)}; {fix}.")
    for name in weights:
        if name not in expected:
            raise RunError(f"{where} has the unknown weight {name}; {fix}.")
