r"""Where other people's tokenizers cut text into words before they merge bytes.

A tokenizer file names its cuts as a regular expression in a dialect of its own (`\p{L}`, `\p{N}`). Running a pattern
out of a stranger's file could hang the reader, so the few that matter are written down here under a name, and a file
is recognised or refused. The classes are Unicode's: L letters, N numbers, W its White_Space property (which, unlike
Python's `\s`, leaves out the control characters U+001C to U+001F). They come from Python's own tables; a character that
is newer than those counts as neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import chain

Cut = Callable[[str], list[str]]

_WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PATTERNS = {
    # Radford et al. 2019, as published with GPT-2
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?[L]+| ?[N]+| ?[^WLN]+|[W]+(?![^W])|[W]+",
    # as published with Llama 3
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nLN]?[L]+|[N]{1,3}| ?[^WLN]+[\r\n]*|[W]*[\r\n]+|[W]+(?![^W])|[W]+",
}


def gpt2(text: str) -> list[str]:
    return _compiled("gpt2").findall(text)


def smollm(text: str) -> list[str]:
    """Every digit on its own, then GPT-2's cuts within what lies between."""
    return list(chain.from_iterable(map(gpt2, _digit().split(text))))


def llama3(text: str) -> list[str]:
    return _compiled("llama3").findall(text)


def sentence(text: str) -> list[str]:
    """No cuts: tokens may span words. A space goes in front, so that the first word is like any other."""
    return [" " + text] if text else []


CUTS: dict[str, Cut] = {"gpt2": gpt2, "smollm": smollm, "llama3": llama3, "sentence": sentence}


@lru_cache
def _compiled(name: str) -> re.Pattern[str]:
    classes = {"L": _ranges("L"), "N": _ranges("N"), "W": _WHITE}
    return re.compile(re.sub("[LNW]", lambda letter: classes[letter[0]], _PATTERNS[name]))


@lru_cache
def _digit() -> re.Pattern[str]:
    return re.compile(f"([{_ranges('N')}])")


@lru_cache
def _ranges(kind: str) -> str:
    """All characters of a general category ("L" is Lu, Ll, Lt, Lm and Lo) as the inside of a character class."""
    members = "".join(kind if unicodedata.category(chr(c))[0] == kind else "." for c in range(0x110000))
    return "".join(rf"\U{run.start():08x}-\U{run.end() - 1:08x}" for run in re.finditer(f"{kind}+", members))
