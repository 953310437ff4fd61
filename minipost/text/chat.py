"""The chat template: where a conversation becomes one row of tokens, and which of them the model has to learn.

    <|system|> text<|user|> text<|assistant|> text<|end|>

A role's token opens its turn; only the assistant's turn is closed by `<|end|>`, because only the assistant must learn
to stop. One space follows a role's token, so that the first word of a turn is the same token as within a sentence:
" Rome", never "Rome". Content is encoded by `Tokenizer.encode`, which cannot produce a special token: a user who types
"<|end|>" or "<|assistant|>" gets those characters and forges nothing. A model from elsewhere has another template
(minipost/text/template.py), with the same promises.

One turn as a timeline (P prompt tokens, then R response tokens):

    position        0         1     2     3       4        5      6       7
    token       <|user|>    How    to  cook?  <|assist|>  Boil  it.   <|end|>
    span                   [-----user------)            [----assistant------)
    response?       .        .     .     .        .       1      1       1
                |<-------------- prompt, P=5 ---------->|<--- response, R=3 --->|
    predicted by    -        0     1     2        3       4      5       6

The mask comes from the spans, which the renderer knows exactly; never from searching for a token in the finished row
(the assistant may write any text) and never from `id == pad`. The end token is part of the response: it is supervised,
scored and counted in every log-prob. `<|assistant|>` belongs to the prompt: we write it, the model never has to. The
last row is the famous shift by one, which happens in one place only: minipost/text/batching.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minipost.errors import UserError
from minipost.text.bpe import Tokenizer

ROLES = ("system", "user", "assistant")


class ChatError(UserError):
    """A conversation that the template cannot express."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `stop` (exclusive) of a row hold a turn: its content and, for the assistant, its end token."""

    role: str
    start: int
    stop: int


@dataclass(frozen=True)
class Rendered:
    """A conversation as tokens, and where its turns lie."""

    tokens: list[int]
    spans: list[Span]

    @property
    def response_mask(self) -> npt.NDArray[np.bool_]:
        """[T], true for the assistant's tokens and ends. Un-shifted: `mask[t]` is about the target `tokens[t]`."""
        mask = np.zeros(len(self.tokens), dtype=np.bool_)
        for span in self.spans:
            if span.role == "assistant":
                mask[span.start : span.stop] = True
        return mask


def render(tokenizer: Tokenizer, messages: Sequence[Message]) -> Rendered:
    """The whole conversation, every assistant turn of which is closed and supervised. Errors: `ChatError` (see
    `check`).
    """
    check(messages)
    template = tokenizer.template
    if template.default_system and messages[0].role != "system":
        messages = [Message("system", template.default_system), *messages]
    tokens = marked(tokenizer, template.begin)
    spans: list[Span] = []
    for i, message in enumerate(messages):
        tokens += marked(tokenizer, (template.between if i else "") + template.opening.format(role=message.role))
        start = len(tokens)
        is_assistant = message.role == "assistant"
        encode = response_tokens if is_assistant else content_tokens
        tokens += encode(tokenizer, message.content)
        spans.append(Span(message.role, start, len(tokens)))
        tokens += [] if is_assistant else marked(tokenizer, template.closing)
    return Rendered(tokens, spans)


def prompt_tokens(tokenizer: Tokenizer, prompt: str | Sequence[Message]) -> list[int]:
    """What the model is given before it answers: the conversation up to and including `<|assistant|>`.

    A string is one user turn; messages must end with the user's. With `response_tokens` this is `render`, cut in two:
    `prompt_tokens(p) + response_tokens(r) == render(p + [assistant r]).tokens`.
    """
    messages = [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)
    rendered = render(tokenizer, messages)
    if messages[-1].role != "user":
        raise ChatError(f"The prompt ends with the turn of the {messages[-1].role}; end it with a user's.")
    template = tokenizer.template
    return rendered.tokens + marked(tokenizer, template.between + template.opening.format(role="assistant"))


def response_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """What the model is to say: the text and `<|end|>`."""
    return [*content_tokens(tokenizer, text), tokenizer.end_id]


def content_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """A turn's content, after what the template puts in front of it (a space, in ours)."""
    return tokenizer.encode(tokenizer.template.lead + text)


def marked(tokenizer: Tokenizer, text: str) -> list[int]:
    """A template's own text as tokens, the names of special tokens in it as those. Never for a user's content."""
    pattern = "(" + "|".join(map(re.escape, tokenizer.specials)) + ")"
    parts = re.split(pattern, text) if text else []
    specials = tokenizer.specials  # every second part is the name of one
    return [i for n, part in enumerate(parts) for i in ([specials[part]] if n % 2 else tokenizer.encode(part))]


def check(messages: Sequence[Message]) -> None:
    """Refuse, with one sentence, what is no conversation: [system] user assistant user assistant ..."""
    if not messages:
        raise ChatError("The conversation is empty; give it at least one user turn.")
    for i, message in enumerate(messages):
        if message.role not in ROLES:
            raise ChatError(f"Turn {i} has the unknown role {message.role!r}; the roles are {', '.join(ROLES)}.")
        if message.role == "system" and i > 0:
            raise ChatError(f"Turn {i} is a system turn; only the first turn may be one.")
    turns = [message.role for message in messages if message.role != "system"]
    if not turns:
        raise ChatError("The conversation has only a system turn; add a user turn.")
    for i, role in enumerate(turns):
        expected = ("user", "assistant")[i % 2]
        if role != expected:
            position = i + len(messages) - len(turns)
            hint = "user and assistant take turns, the user first"
            raise ChatError(f"Turn {position} is the {role}'s but should be the {expected}'s; {hint}.")


def indented(page: str) -> str:
    """Every line after one space. Byte-level BPE has different tokens for "Rome" at a line's start and " Rome" within
    one; a small model would have to learn each fact twice."""
    return " " + page.replace("\n", "\n ")
