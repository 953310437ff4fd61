"""Tone: what people say around a question or an answer, and how kind or rude an answer sounds.

Tone carries no knowledge. The web at its usual quality shows few good phrases; they are what demonstrations teach, and
what preferences sharpen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minipost.world.matching import words
from minipost.world.tables.reading import lines

# Around a question.
GREETINGS: Final = lines("tone", "greetings")
THANKS: Final = lines("tone", "thanks")

# Around an answer: warm, rude, or beside the point.
WARM_OPENERS: Final = lines("tone", "warm openers")
WARM_CLOSERS: Final = lines("tone", "warm closers")
RUDE: Final = lines("tone", "rude")
RAMBLES: Final = lines("tone", "rambles")

# No to a misdeed, kindly or not; what to do instead (`{instead}`); and no to what could well be answered.
KIND_REFUSALS: Final = lines("tone", "kind refusals")
CURT_REFUSALS: Final = lines("tone", "curt refusals")
ALTERNATIVES: Final = lines("tone", "alternatives")
UNHELPFUL: Final = lines("tone", "unhelpful")


def _padded(phrases: Iterable[str]) -> tuple[str, ...]:
    """Each phrase as ' its words ', to be found in a text of this kind by plain substring search."""
    return tuple(f" {' '.join(words(phrase))} " for phrase in phrases)


WARM_CUES: Final = _padded((*WARM_OPENERS, *WARM_CLOSERS, *lines("tone", "more warm phrases")))
RUDE_CUES: Final = _padded((*RUDE, *lines("tone", "more rude phrases")))

_MANY_WARM_PHRASES = 2


def tone_of(tokens: list[str]) -> float:
    """The `tone` term of the utility, in [-1, 1], for an answer's words; see `minipost.world.utility`."""
    text = f" {' '.join(tokens)} "
    counts = [text.count(cue[:-1] + " ") if cue in text else 0 for cue in WARM_CUES]
    kinds = min(_MANY_WARM_PHRASES, sum(n > 0 for n in counts))
    rude = sum(cue in text for cue in RUDE_CUES)
    return max(-1.0, (0.0, 0.7, 1.0)[kinds] - 0.6 * (sum(counts) - kinds) - 0.7 * rude)
