"""Text in, token ids out: byte-level BPE and the chat template."""

from __future__ import annotations

from minipost.text.bpe import Tokenizer, TokenizerError
from minipost.text.chat import ChatError, Message, Rendered, Span, indented, prompt_tokens, render, response_tokens

__all__ = [
    "ChatError",
    "Message",
    "Rendered",
    "Span",
    "Tokenizer",
    "TokenizerError",
    "indented",
    "prompt_tokens",
    "render",
    "response_tokens",
]
