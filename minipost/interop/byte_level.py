"""GPT-2's way to write bytes in a text file, which its whole family of tokenizers has kept.

A vocabulary file is JSON, and a lone byte is no JSON. So each of the 256 bytes got a visible character: printable
Latin-1 characters stand for themselves, the others for U+0100 onwards; a space is "Ġ". A token is then spelled in that
alphabet, and a merge names two such spellings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minipost.interop.checkpoint import InteropError
from minipost.text import PretrainedTokenizer, Template

_VISIBLE = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]
ALPHABET = [chr(byte) if byte in _VISIBLE else chr(256 + _HIDDEN.index(byte)) for byte in range(256)]
_BYTE = {character: byte for byte, character in enumerate(ALPHABET)}


def spell(piece: bytes) -> str:
    """
    >>> spell(b" the")
    'Ġthe'
    """
    return "".join(ALPHABET[byte] for byte in piece)


def unspell(text: str) -> bytes:
    """The bytes that `text` spells. Errors: `InteropError` for a character outside of the alphabet."""
    try:
        return bytes(_BYTE[c] for c in text)
    except KeyError:
        raise InteropError(f"the token {text[:40]!r} is not spelled in GPT-2's byte alphabet") from None


def tokenizer(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    specials: Mapping[str, int],
    size: int,
    *,
    cuts: str,
    template: Template,
    document: str,
    pad: str,
) -> PretrainedTokenizer:
    """The tokenizer of a byte-level vocabulary (spelling -> id, specials left out) of a model with `size` tokens.

    Errors: `InteropError` or `TokenizerError`, a clause that says what does not fit.
    """
    top = max([*vocabulary.values(), *specials.values()], default=-1)
    if top >= size:
        raise InteropError(f"token id {top} does not fit a model of {size} tokens")
    pieces = [b""] * size
    for text, i in vocabulary.items():
        pieces[i] = unspell(text)
    joins = []
    for order, (left, right) in enumerate(merges):
        if unknown := [text for text in (left, right, left + right) if text not in vocabulary]:
            raise InteropError(f"merge {order} needs the token {unknown[0][:40]!r}, which it lacks")
        joins.append((vocabulary[left], vocabulary[right], vocabulary[left + right], order))
    atoms = [vocabulary.get(character, -1) for character in ALPHABET]
    return PretrainedTokenizer(pieces, joins, specials, atoms, cuts, template, document, pad)
