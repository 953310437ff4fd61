"""Records as the model will see them: token ids, what is learnt of them, and what did not fit.

    demonstration   one example for each turn to imitate, with everything before it as its prompt
    comparison      two examples, chosen and rejected, each with its own copy of the prompt
    prompt          an example with an empty response

Several turns of one conversation as examples of their own give the same gradient as one row with several masked spans;
the price is to read the history again. What is longer than the context is cut at its end: a response that is cut has no
end token, so that nobody learns to stop there. A prompt that leaves no room is refused, and so is a comparison whose
sides are equal after the cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from minipost.data.problems import RowError
from minipost.data.records import Comparison, Demonstration, Prompt, Record, Scored, Text, Turns, Verdict
from minipost.text import Tokenizer, indented, prompt_tokens, response_tokens
from minipost.text.batching import Example


def examples(record: Record, tokenizer: Tokenizer, context: int) -> list[Example]:
    """A record as examples of at most `context` tokens each. Errors: `RowError`, if a prompt leaves no room or both
    sides of a comparison are the same after the cut."""
    match record:
        case Text():
            return [Example([tokenizer.document_id], text_tokens(record, tokenizer))]
        case Prompt(prompt):
            asked = prompt_tokens(tokenizer, prompt)
            _room(asked, context, prompt)  # may be 0: nothing is cut
            return [Example(asked, [])]
        case Demonstration(turns, first):
            replies = [i for i in range(first, len(turns)) if turns[i].role == "assistant"]
            return [_example(turns[:i], turns[i].content, tokenizer, context, f"turn {i}") for i in replies]
        case Comparison(prompt, chosen, rejected):
            pair = [
                _example(prompt, text, tokenizer, context, name)
                for name, text in (("chosen", chosen), ("rejected", rejected))
            ]
            if list(pair[0].response) == list(pair[1].response):
                what = f"chosen and rejected are the same in the first {context} tokens, which is the context"
                raise RowError("equal after truncation", "chosen", chosen, what, "shorten them, or drop the row")
            return pair
        case Verdict(prompt, response) | Scored(prompt, response):
            return [_example(prompt, response, tokenizer, context, "completion")]


def _example(prompt: Turns, response: str, tokenizer: Tokenizer, context: int, name: str) -> Example:
    asked = prompt_tokens(tokenizer, prompt)
    room = _room(asked, context, prompt)
    if not room:
        what = f"its prompt fills the context of {context} tokens, so that the response is cut off entirely"
        raise RowError("response fully truncated", name, response, what, "shorten it, or take a longer context")
    return Example(asked, response_tokens(tokenizer, response)[:room])


def _room(asked: Sequence[int], context: int, prompt: Turns) -> int:
    """Tokens that a prompt leaves for its response."""
    if len(asked) > context:
        what = f"the prompt has {len(asked)} tokens and the context only {context}"
        fix = "shorten it, or take a longer context"
        raise RowError("prompt longer than the context", "prompt", prompt[-1].content, what, fix)
    return context - len(asked)


def text_tokens(piece: Text, tokenizer: Tokenizer) -> list[int]:
    """A piece of text, its lines after one space each as in pretraining; joined up, the pieces give the whole's."""
    shifted = indented(piece.text)
    return tokenizer.encode(shifted if piece.opens else shifted[1:])


def truncated(examples: Sequence[Example], tokenizer: Tokenizer) -> int:
    """How many of these examples' responses were cut: those without their end token."""
    return sum(bool(e.response) and e.response[-1] != tokenizer.end_id for e in examples)


def forged(record: Record, tokenizer: Tokenizer) -> RowError | None:
    """A record whose content spells out a special token. The tokenizer never makes it one, but it is a sign that the
    data was rendered by a template already, and would be a second time."""
    for name, content in contents(record):
        if spelled := next((special for special in tokenizer.specials if special in content), None):
            what = f"it spells the special token {spelled}"
            return RowError("special token", name, content, what, "take templates out of the data")
    return None


def contents(record: Record) -> list[tuple[str, str]]:
    """All text of a record, by where it stands."""
    match record:
        case Text(text):
            return [("text", text)]
        case Demonstration(turns):
            return [(f"turn {i}", turn.content) for i, turn in enumerate(turns)]
        case Prompt(prompt):
            return [("prompt", turn.content) for turn in prompt]
        case Comparison(prompt, chosen, rejected):
            return [*(("prompt", turn.content) for turn in prompt), ("chosen", chosen), ("rejected", rejected)]
        case Verdict(prompt, response) | Scored(prompt, response):
            return [*(("prompt", turn.content) for turn in prompt), ("completion", response)]
