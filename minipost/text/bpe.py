r"""Byte-level byte-pair encoding, trained from scratch: the bridge between text and the integers that a model reads.

A tokenizer is nothing but a list of *merges*. Text becomes UTF-8 bytes (256 base tokens, so no input is ever
"unknown"), and each merge joins two neighbouring tokens into a new one, most frequent pair of the training text first
(Sennrich et al. 2016, https://arxiv.org/abs/1508.07909; on bytes: Radford et al. 2019, GPT-2):

    "the then"  ->  t h e | ␣ t h e n  ->  (t,h)=256:  256 e | ␣ 256 e n  ->  (256,e)=257:  257 | ␣ 257 n

The bars show the step that comes before: text is cut into *words*, and no merge crosses a cut, so that "dog." and
"dog!" share the token of "dog". A word carries its leading space, as in GPT-2, and thus a decoder needs no rule about
spaces: it only joins bytes.

The ids, in order:      0 ... 255      256 ... 256+M-1      256+M ... 256+M+5
                       the bytes       the M merges         the specials

The specials come last, so that the ids of text do not depend on which specials exist: a tokenizer with another set of
them gives the same ids for the same text, and `id < 256 + M` is the whole test for "this token is text".
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

from minipost.errors import UserError
from minipost.text.template import MINIPOST, Template

Pair = tuple[int, int]

SPECIALS = ("<|pad|>", "<|document|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")

# The cuts: English contractions; then letters, digits (in threes, so that numbers share tokens) and punctuation, each
# with at most one leading space; then white space, which leaves its last space to the word that follows. `\w` without
# digits and `_` is a letter of any script. The limit of 64 keeps every word short: text without spaces (DNA, Chinese, a
# megabyte of dashes) cannot make the encoder quadratic.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]{1,64}| ?\d{1,3}| ?(?:[^\s\w]|_){1,64}|\s{1,64}(?!\S)|\s{1,64}"
_WORDS = re.compile(PATTERN)
_LONGEST_TOKEN = 4 * 64 + 1  # bytes: 64 characters of UTF-8 and a leading space
_FORMAT = "minipost-bpe-1"


class TokenizerError(UserError):
    """Text that cannot be encoded, ids that cannot be decoded, or a broken tokenizer file."""


def merge(tokens: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Replace every `pair` in `tokens` by `new`, from left to right (so `a a a` becomes `aa a`).

    >>> merge([7, 7, 7, 8], (7, 7), 300)
    [300, 7, 8]
    """
    merged, i = [], 0
    while i < len(tokens):
        if tokens[i] == pair[0] and i + 1 < len(tokens) and tokens[i + 1] == pair[1]:
            merged.append(new)
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged


def learn_merges(word_counts: Mapping[str, int], limit: int) -> list[Pair]:
    """The first `limit` merges for these words; fewer where no pair occurs twice any more.

    Each round takes the pair with the highest count; **ties go to the smaller pair of ids**, which makes the result a
    function of the counts alone. Recounting everything each round would cost (rounds x words); instead `where`
    remembers the words that may hold a pair, so that a round rewrites only those, and a heap finds the maximum. A heap
    cannot change an entry that lies inside it. Entries may therefore be stale, and only ever too high: a count that
    rises is pushed anew, and a count that has fallen is noticed, corrected and pushed back when its entry surfaces.
    """
    words = [list(utf8(word)) for word in word_counts]
    times = list(word_counts.values())
    counts: Counter[Pair] = Counter()
    where: defaultdict[Pair, dict[int, None]] = defaultdict(dict)  # an ordered set: same order, same bits

    def count(index: int, sign: int) -> list[Pair]:
        pairs = list(pairwise(words[index]))
        for pair in pairs:
            counts[pair] += sign * times[index]
        return pairs

    for index in range(len(words)):
        for pair in count(index, +1):
            where[pair][index] = None
    heap = [(-total, pair) for pair, total in counts.items()]
    heapq.heapify(heap)

    merges: list[Pair] = []
    spellings = [bytes([byte]) for byte in range(256)]
    known = dict.fromkeys(spellings)
    while heap and len(merges) < limit:
        total, best = heapq.heappop(heap)
        if -total < 2:
            break
        if counts[best] != -total:  # stale
            heapq.heappush(heap, (-counts[best], best))
            continue
        spelled = spellings[best[0]] + spellings[best[1]]
        if spelled in known:  # "a bc" after "ab c": a second id for the same text would help nobody
            continue
        known[spelled] = None
        spellings.append(spelled)
        new = 256 + len(merges)
        merges.append(best)
        changed: dict[Pair, None] = {}
        for index in where.pop(best):
            count(index, -1)
            words[index] = merge(words[index], best, new)
            for pair in count(index, +1):
                if new in pair:  # only pairs with the new token can have risen
                    where[pair][index] = None
                    changed[pair] = None
        for pair in changed:
            heapq.heappush(heap, (-counts[pair], pair))
    return merges


class Tokenizer:
    """Text to ids and back.

    `encode` gives ids of text only: the specials are reached by name (`tokenizer.end_id`), never by text.
    """

    template: Template = MINIPOST  # how it writes a conversation down, see minipost/text/chat.py

    def __init__(self, merges: Iterable[Pair], specials: Sequence[str] = SPECIALS) -> None:
        """`merges[k] = (left, right)` makes token 256 + k; `specials` name the last ids. Errors: `TokenizerError`."""
        self.merges: list[Pair] = list(merges)
        self.token_bytes: list[bytes] = _token_bytes(self.merges)
        self.specials: dict[str, int] = {name: len(self.token_bytes) + i for i, name in enumerate(specials)}
        if missing := [name for name in SPECIALS if name not in self.specials]:
            raise TokenizerError(f"the special token {missing[0]} is missing")
        self._rank: dict[Pair, int] = {pair: 256 + i for i, pair in enumerate(self.merges)}
        if len(self._rank) != len(self.merges):
            raise TokenizerError("one merge is listed twice")
        self._words = _Words(self._rank)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn at most `vocab_size` tokens, specials included. Little text supports fewer: `len()` says how many."""
        limit = vocab_size - 256 - len(SPECIALS)
        if limit < 0:
            least = f"{256 + len(SPECIALS)} (256 bytes and {len(SPECIALS)} specials)"
            raise TokenizerError(f"vocab_size is {vocab_size}; make it at least {least}.")
        word_counts: Counter[str] = Counter()
        for text in texts:
            word_counts.update(_WORDS.findall(text))
        return cls(learn_merges(word_counts, limit))

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, whatever it says: "<|end|>" typed by a user becomes its seven characters."""
        return list(chain.from_iterable(map(self._words.__getitem__, _WORDS.findall(text))))

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """The text of `ids`: specials show as their names (or not at all), bytes that are not UTF-8 as U+FFFD."""
        specials = {i: b"" if skip_special else name.encode() for name, i in self.specials.items()}
        pieces = []
        for i in map(int, ids):
            if not 0 <= i < len(self):
                hint = "use the tokenizer that the model was trained with"
                raise TokenizerError(f"Token id {i} is outside of the vocabulary (0 to {len(self) - 1}); {hint}.")
            pieces.append(specials[i] if i in specials else self.token_bytes[i])
        return b"".join(pieces).decode("utf-8", errors="replace")

    def save(self, path: Path | str) -> None:
        """Write the tokenizer as one JSON file."""
        content = {"format": _FORMAT, "pattern": PATTERN, "specials": list(self.specials), "merges": self.merges}
        Path(path).write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """Read what `save` wrote. Errors: `TokenizerError` with one sentence for a missing, foreign or damaged file."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TokenizerError(f"There is no tokenizer at {path}; check the path.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise TokenizerError(f"{path} cannot be read as a tokenizer ({error}); copy or train it again.") from None
        try:
            return cls(*_validated(content))
        except TokenizerError as error:
            raise TokenizerError(f"{path} is no usable tokenizer: {error}; copy or train it again.") from None

    def __len__(self) -> int:
        return len(self.token_bytes) + len(self.specials)

    def __eq__(self, other: object) -> bool:
        """Equal tokenizers give the same ids: the test before two models may share tokens."""
        return isinstance(other, Tokenizer) and self.merges == other.merges and self.specials == other.specials

    __hash__ = None  # type: ignore[assignment]

    @property
    def pad_id(self) -> int:
        """Fills a batch's short rows. Not the end token: a model whose end is masked as padding never stops (P13)."""
        return self.specials["<|pad|>"]

    @property
    def document_id(self) -> int:
        """Opens each document of the pretraining text."""
        return self.specials["<|document|>"]

    @property
    def system_id(self) -> int:
        """Opens a system turn."""
        return self.specials["<|system|>"]

    @property
    def user_id(self) -> int:
        """Opens a user's turn."""
        return self.specials["<|user|>"]

    @property
    def assistant_id(self) -> int:
        """Opens the assistant's turn: the last token of every prompt."""
        return self.specials["<|assistant|>"]

    @property
    def end_id(self) -> int:
        """Closes the assistant's turn: part of the response, supervised, and the signal to stop."""
        return self.specials["<|end|>"]


class _Words(dict[str, list[int]]):
    """word -> ids, computed at the first look-up. Natural text repeats itself, so this cache is what makes `encode`
    fast.
    """

    def __init__(self, rank: Mapping[Pair, int], limit: int = 1 << 17) -> None:
        self._rank, self._limit = rank, limit

    def __missing__(self, word: str) -> list[int]:
        if len(self) >= self._limit:  # endless new words (random text) must not fill the memory
            self.clear()
        ids = self[word] = self._merged(list(utf8(word)))
        return ids

    def _merged(self, ids: list[int]) -> list[int]:
        """Apply the merges in the order in which they were learnt: the earliest that fits, until none does."""
        while len(ids) > 1:
            new, pair = min((self._rank.get(pair, len(self._rank) + 256), pair) for pair in pairwise(ids))
            if pair not in self._rank:
                break
            ids = merge(ids, pair, new)
        return ids


def utf8(word: str) -> bytes:
    """Its bytes. Errors: `TokenizerError` for a lone surrogate, which has none."""
    try:
        return word.encode("utf-8")
    except UnicodeEncodeError as error:
        code = f"U+{ord(word[error.start]):04X}"
        hint = "read the text with errors='replace'"
        raise TokenizerError(f"The text holds the lone surrogate {code}, which is no character; {hint}.") from None


def _token_bytes(merges: Sequence[Pair]) -> list[bytes]:
    """The bytes that each text token stands for; refuses merges that no training could have produced."""
    table = [bytes([byte]) for byte in range(256)]
    for k, (left, right) in enumerate(merges):
        if not (0 <= left < len(table) and 0 <= right < len(table)):
            raise TokenizerError(f"merge {k} joins ({left}, {right}), of which one does not exist yet")
        table.append(table[left] + table[right])
        if len(table[-1]) > _LONGEST_TOKEN:
            raise TokenizerError(f"merge {k} makes a token longer than any word ({_LONGEST_TOKEN} bytes)")
    return table


def _validated(content: object) -> tuple[list[Pair], list[str]]:
    """(merges, specials) of a parsed tokenizer file, or one sentence about what is wrong with it."""
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TokenizerError(f'it lacks "format": "{_FORMAT}"')
    if content.get("pattern") != PATTERN:
        raise TokenizerError("it cuts words by another pattern than this version of minipost")
    merges, specials = content.get("merges"), content.get("specials")
    names = (
        [name for name in specials if isinstance(name, str) and name.isascii()] if isinstance(specials, list) else []
    )
    if not names or names != specials or len(set(names)) < len(names):
        raise TokenizerError('"specials" is not a list of different ASCII names')
    if not isinstance(merges, list):
        raise TokenizerError('"merges" is not a list of pairs of ids')
    for k, pair in enumerate(merges):
        if not isinstance(pair, list) or len(pair) != 2 or any(type(i) is not int for i in pair):
            raise TokenizerError(f"merge {k} is {json.dumps(pair)[:60]}, not a pair of ids")
    return [(left, right) for left, right in merges], names
