"""A comparison as a model sees it: two examples, chosen and rejected, that stay together on their way to the loss."""

from __future__ import annotations

from collections.abc import Sequence

from minipost.model.parallel import threads
from minipost.text import Tokenizer, prompt_tokens, response_tokens
from minipost.text.batching import Example, Packed, pack, split_evenly
from minipost.world.collect import Pair

Sides = tuple[Example, Example]  # chosen, rejected


def encode_pair(tokenizer: Tokenizer, pair: Pair) -> Sides:
    """(chosen, rejected), each with its own prompt tokens: nothing is sliced by the other side's lengths."""
    prompt = prompt_tokens(tokenizer, pair.prompt)
    chosen, rejected = (response_tokens(tokenizer, text) for text in (pair.chosen, pair.rejected))
    return Example(prompt, chosen), Example(prompt, rejected)


def pack_pairs(pairs: Sequence[Sides], row_length: int) -> Packed:
    """chosen 0, rejected 0, chosen 1, rejected 1, ..."""
    return pack([side for pair in pairs for side in pair], row_length)


def halves(batch: Sequence[Sides]) -> list[range]:
    """Shards of about equal size, one a thread, that never part a pair."""
    return split_evenly([len(chosen) + len(rejected) for chosen, rejected in batch], threads())
