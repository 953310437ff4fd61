"""A comparison as a model sees it: two examples, chosen and rejected, that stay together on their way to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minipost.model import Array
from minipost.stages.base import by_thread
from minipost.text import Tokenizer, prompt_tokens, response_tokens
from minipost.text.batching import Example, Packed, pack
from minipost.world.collect import Pair

EncodedPair = tuple[Example, Example]  # chosen, rejected


@dataclass(frozen=True)
class PairBatch:
    """Packed pairs, chosen and rejected taking turns, with the frozen reference's log-probabilities of each answer."""

    packed: Packed
    ref_logps: Array  # of whole answers [S] for DPO, of their tokens [S, R] for a reward model, 0 where there is none


def encode_pair(tokenizer: Tokenizer, pair: Pair) -> EncodedPair:
    """(chosen, rejected), each with its own prompt tokens: nothing is sliced by the other answer's lengths."""
    prompt = prompt_tokens(tokenizer, pair.prompt)
    chosen, rejected = (response_tokens(tokenizer, text) for text in (pair.chosen, pair.rejected))
    return Example(prompt, chosen), Example(prompt, rejected)


def pack_pairs(pairs: Sequence[EncodedPair], row_length: int) -> Packed:
    """One batch of 2 x pairs sequences: chosen 0, rejected 0, chosen 1, rejected 1, ..."""
    return pack([example for pair in pairs for example in pair], row_length)


def pairs_by_thread(pairs: Sequence[EncodedPair], batch: Array) -> list[Array]:
    """Cut the indices `batch` into shards of about equally many tokens, one a thread; a pair is never split."""
    return by_thread(batch, [len(chosen) + len(rejected) for chosen, rejected in (pairs[i] for i in batch)])
