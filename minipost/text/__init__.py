"""Text in, token ids out: byte-level BPE and the chat template."""

from __future__ import annotations

from minipost.text.bpe import Tokenizer, TokenizerError
from minipost.text.chat import ChatError, Message, Rendered, Span, indented, prompt_tokens, render, response_tokens
from minipost.text.pretrained import PretrainedTokenizer, load_tokenizer
from minipost.text.template import Template

__all__ = [
    "ChatError",
    "Message",
    "PretrainedTokenizer",
    "Rendered",
    "Span",
    "Template",
    "Tokenizer",
    "TokenizerError",
    "indented",
    "load_tokenizer",
    "prompt_tokens",
    "render",
    "response_tokens",
]
