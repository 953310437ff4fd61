"""Other people's checkpoint formats, read and written without their libraries: what fits is represented, the rest is
refused with a sentence. Read first: `hf` (weights and configuration), `hf_tokenizer`, `llama2c`, `gguf`."""

from __future__ import annotations

from minipost.interop.checkpoint import InteropError

__all__ = ["InteropError"]
