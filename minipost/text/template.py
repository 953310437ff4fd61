"""How a conversation is written down: one small record for each convention that models were trained with.

    begin  opening(role 1) lead content closing  between  opening(role 2) lead content end  between ...

A template's text names special tokens ("<|user|>") and may hold plain text too. Content is never part of it, which is
what makes templates safe: only the template's own text is searched for special tokens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """The pieces of text around each turn; `{role}` stands for "system", "user" or "assistant"."""

    name: str
    end: str  # the special token that closes the assistant's turn
    opening: str  # before a turn
    lead: str = ""  # before its content, and encoded together with it
    closing: str = ""  # after a system's or user's turn
    between: str = ""  # before every turn but the first
    begin: str = ""  # before everything
    default_system: str = ""  # the system turn of a conversation that has none


# A role's token opens its turn; one space follows, so that " Rome" is the same token here as within a sentence.
MINIPOST = Template("minipost", end="<|end|>", opening="<|{role}|>", lead=" ")
CHATML = Template("chatml", end="<|im_end|>", opening="<|im_start|>{role}\n", closing="<|im_end|>", between="\n")
LLAMA3 = Template(
    "llama3",
    end="<|eot_id|>",
    opening="<|start_header_id|>{role}<|end_header_id|>\n\n",
    closing="<|eot_id|>",
    begin="<|begin_of_text|>",
)


def plain(begin: str) -> Template:
    """A model that was never taught to converse: it goes on with what the user has written until `begin` comes again,
    with which its training texts began."""
    return Template("plain", end=begin, opening="", begin=begin)
