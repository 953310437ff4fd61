"""A tokenizer that somebody else has trained: the same idea as our own, with its ids in whatever order they come.

A byte-level tokenizer of GPT-2's family and a sentence tokenizer of Llama 2's both do three things: cut text into
words, turn a word into atoms (bytes, or characters with bytes as a fallback), and join neighbours, the join of lowest
order first and the leftmost of equals. A *join* is (left, right, new, order):

    GPT-2, SmolLM2, Llama 3    the k-th line of the merges, order k
    llama2.c                   every pair of tokens whose concatenation is a token, ordered by that token's score

Ours (`minipost.text.bpe`) is the special case in which the k-th join makes token 256 + k.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from minipost.text.bpe import Tokenizer, TokenizerError, utf8
from minipost.text.pretokenize import CUTS
from minipost.text.template import Template

Join = tuple[int, int, int, int]  # left, right, new, order

_FORMAT = "minipost-pretrained-1"


class PretrainedTokenizer(Tokenizer):
    """Text to ids and back, as the tokenizer that came with a checkpoint does it."""

    def __init__(
        self,
        token_bytes: Sequence[bytes],
        joins: Iterable[Join],
        specials: Mapping[str, int],
        atoms: Sequence[int],
        cuts: str,
        template: Template,
        document: str,
        pad: str,
        characters: Mapping[str, int] | None = None,
    ) -> None:
        """`token_bytes[i]` is what id i stands for (empty for specials and gaps), `atoms[b]` the id of byte b, or -1:
        some vocabularies lack control characters, and their tokenizers drop these from any text.

        `characters` become one atom each, before bytes are considered. `document` and `pad` name the specials that open
        a text and fill short rows. Errors: `TokenizerError` where parts do not fit each other.
        """
        self.token_bytes = list(token_bytes)
        self.specials = dict(specials)
        self.joins, self.atoms, self.characters = [tuple(j) for j in joins], list(atoms), dict(characters or {})
        self.cuts, self.template, self.document, self.pad = cuts, template, document, pad
        self._check()
        self._table = {(left, right): (order, new) for left, right, new, order in self.joins}
        # Llama 3 takes a word that is a token as it is, also where no chain of joins would lead to it.
        self._whole = {piece: [i] for i, piece in enumerate(self.token_bytes)} if cuts == "llama3" else {}
        self._cache: dict[str, list[int]] = {}

    def _check(self) -> None:
        if self.cuts not in CUTS:
            raise TokenizerError(f"its cuts {self.cuts!r} are none of {', '.join(CUTS)}")
        if len(self.atoms) != 256:
            raise TokenizerError(f"it has ids for {len(self.atoms)} bytes instead of 256")
        if missing := [name for name in (self.template.end, self.document, self.pad) if name not in self.specials]:
            raise TokenizerError(f"the special token {missing[0]} is missing")
        atoms = (i for i in self.atoms if i != -1)
        joined_ids = (i for join in self.joins for i in join[:3])
        used = chain(atoms, self.characters.values(), self.specials.values(), joined_ids)
        if not all(0 <= i < len(self.token_bytes) for i in used):
            raise TokenizerError(f"an id is outside of its vocabulary of {len(self.token_bytes)}")
        for left, right, new, _ in self.joins:
            if self.token_bytes[left] + self.token_bytes[right] != self.token_bytes[new] or not self.token_bytes[left]:
                raise TokenizerError(f"the join of tokens {left} and {right} does not make token {new}")

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, whatever it says: the name of a special token becomes its characters."""
        ids = []
        for word in CUTS[self.cuts](text):
            if word not in self._cache:
                if len(self._cache) >= 1 << 16:  # endless new words must not fill the memory
                    self._cache.clear()
                self._cache[word] = self._whole.get(utf8(word)) or joined(self._atoms(word), self._table)
            ids += self._cache[word]
        return ids

    def _atoms(self, word: str) -> list[int]:
        if not self.characters:
            return [i for byte in utf8(word) if (i := self.atoms[byte]) >= 0]
        pieces = ([self.characters[c]] if c in self.characters else [self.atoms[b] for b in utf8(c)] for c in word)
        return list(chain.from_iterable(pieces))

    def save(self, path: Path | str) -> None:
        """Write the tokenizer as one JSON file; bytes are written as the characters of the same number."""
        content = {
            "format": _FORMAT,
            "cuts": self.cuts,
            "template": vars(self.template),
            "document": self.document,
            "pad": self.pad,
            "specials": self.specials,
            "atoms": self.atoms,
            "characters": self.characters,
            "tokens": [piece.decode("latin-1") for piece in self.token_bytes],
            "joins": self.joins,
        }
        Path(path).write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return len(self.token_bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PretrainedTokenizer) and vars(self) | {"_cache": {}} == vars(other) | {"_cache": {}}

    __hash__ = None

    @property
    def pad_id(self) -> int:
        return self.specials[self.pad]

    @property
    def document_id(self) -> int:
        return self.specials[self.document]

    @property
    def end_id(self) -> int:
        return self.specials[self.template.end]


def joined(ids: list[int], table: Mapping[tuple[int, int], tuple[int, int]]) -> list[int]:
    """Join neighbours until none fit, lowest (order, place) first; `table[left, right]` is (order, new).

    Places form a linked list and candidates a heap, so that a word of n atoms costs n log n, however long. A candidate
    is stale if one of its two tokens has been joined with another since; comparing the tokens finds that out.
    """
    after, before = [*range(1, len(ids)), -1], list(range(-1, len(ids) - 1))
    alive: list[int] = list(ids)
    heap: list[tuple[int, int, int, int, int]] = []  # order, place, left, right, new

    def consider(place: int) -> None:
        if place >= 0 and after[place] >= 0:
            left, right = alive[place], alive[after[place]]
            if (merge := table.get((left, right))) is not None:
                heapq.heappush(heap, (merge[0], place, left, right, merge[1]))

    for place in range(len(ids)):
        consider(place)
    while heap:
        _, place, left, right, new = heapq.heappop(heap)
        other = after[place]
        if alive[place] != left or other < 0 or alive[other] != right:
            continue
        alive[place], alive[other] = new, -1
        after[place] = after[other]
        if after[other] >= 0:
            before[after[other]] = place
        consider(before[place])
        consider(place)
    return [i for i in alive if i >= 0]


def load_tokenizer(path: Path | str) -> Tokenizer:
    """A tokenizer of either kind, as its `save` wrote it. Errors: `TokenizerError`, one sentence."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return Tokenizer.load(path)  # or its sentence about what is wrong
    try:
        return _from(content)
    except TokenizerError as error:
        raise TokenizerError(f"{path} is no usable tokenizer: {error}; import it again.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{path} is damaged ({error!r}); import it again.") from None


def _from(content: Mapping[str, Any]) -> PretrainedTokenizer:
    return PretrainedTokenizer(
        [piece.encode("latin-1") for piece in content["tokens"]],
        [(int(left), int(right), int(new), int(order)) for left, right, new, order in content["joins"]],
        {str(name): int(i) for name, i in content["specials"].items()},
        [int(i) for i in content["atoms"]],
        content["cuts"],
        Template(**content["template"]),
        content["document"],
        content["pad"],
        {str(c): int(i) for c, i in content["characters"].items()},
    )
