"""The recipes: what was tried, and what came of it, failures too.

`before` is the tour of version 0.1. Every other recipe names its settings in full, so that a later change of the
package's defaults does not change what a row of the table means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Settings of the stages that differ from the stages' own defaults, and the share of the world that is played."""

    share: float
    pretrain: Mapping[str, Any]
    sft: Mapping[str, Any]
    reward: Mapping[str, Any] | None = None  # None: no reward model is trained
    outcome: str = ""  # what the figures say, in a few words

    def but(self, outcome: str, share: float | None = None, **stages: Mapping[str, Any]) -> Recipe:
        """The same with other settings, by stage."""
        changed = {name: {**(getattr(self, name) or {}), **settings} for name, settings in stages.items()}
        kept: dict[str, Any] = {"reward": None} | changed
        return replace(self, outcome=outcome, share=share or self.share, **kept)


SCALAR: Mapping[str, Any] = {"head": "scalar", "epochs": 1, "temperature": 1.0}
LIKELIHOOD: Mapping[str, Any] = {"head": "likelihood", "epochs": 2, "temperature": 1.0}
WORDS: Mapping[str, Any] = {"vocab_size": 3072}

_village = Recipe(
    share=0.25,
    pretrain={"tokens": 900_000, "nursery": 0.3, "vocab_size": 1536, "quality": 0.9},
    sft={"demonstrations": 3000, "replay": 0.6, "learning_rate": 1e-3},
    reward={"pairs": 2500, **SCALAR},
    outcome="one word in seven is several tokens, and sampling breaks them",
)
_village_words = _village.but("the largest step of all: a word that is one token cannot be misspelt", pretrain=WORDS)
_brief = _village_words.but("", pretrain={"tokens": 700_000})
_many: Mapping[str, Any] = {"demonstrations": 8000, "replay": 0.3}
_fewer: Mapping[str, Any] = {"demonstrations": 6000, "learning_rate": 2e-3}

_half = Recipe(
    share=0.5,
    pretrain={"tokens": 4_300_000, "vocab_size": 3072},
    sft={"demonstrations": 12_000, "replay": 0.6, "learning_rate": 1e-3},
    reward={"pairs": 12_000, **LIKELIHOOD},
    outcome="every target but those at T = 1",
)

RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "nano": {
        "before": _village,
        "updates of 2 rows": _village.but("a little better, a third slower", pretrain={"batch_size": 2}),
        "doubled rates": _village.but("much worse", pretrain={"learning_rate": 6e-3, "muon_learning_rate": 0.024}),
        "a tenth of the world, 2,048 tokens": _village.but(
            "no better than a quarter: copying is missing, not knowledge", share=0.1, pretrain={"vocab_size": 2048}
        ),
        "words as tokens": _village_words,
        "words as tokens, doubled rates": _village_words.but(
            "worse", pretrain={"learning_rate": 6e-3, "muon_learning_rate": 0.024}
        ),
        "words as tokens, halved rates": _village_words.but(
            "much worse: too slow for so few tokens", pretrain={"learning_rate": 1.5e-3, "muon_learning_rate": 0.006}
        ),
        "words as tokens, updates of 2 rows": _village_words.but(
            "better greedily, not when sampled; a third slower", pretrain={"batch_size": 2}
        ),
        "words as tokens, a web of quality 1": _village_words.but("hardly anything", pretrain={"quality": 1.0}),
        "words as tokens, 9,000 demonstrations": _village_words.but(
            "demonstrations help most per second", sft={"demonstrations": 9000}
        ),
        "9,000 demonstrations, 600,000 tokens": _village_words.but(
            "too few tokens before", pretrain={"tokens": 600_000}, sft={"demonstrations": 9000}
        ),
        "9,000 demonstrations, replay 0.3, 600,000 tokens": _village_words.but(
            "less replay forgets", pretrain={"tokens": 600_000}, sft={"demonstrations": 9000, "replay": 0.3}
        ),
        "8,000 demonstrations, replay 0.3, 700,000 tokens, quality 1": _brief.but(
            "the same", pretrain={"quality": 1.0}, sft=_many
        ),
        "8,000 demonstrations, replay 0.3, 700,000 tokens, SFT rate 0.0015": _brief.but(
            "a higher rate makes up for the replay: taken, with 800,000 tokens", sft={**_many, "learning_rate": 1.5e-3}
        ),
        "the same, SFT rate 0.003": _brief.but("the same again", sft={**_many, "learning_rate": 3e-3}),
        "6,000 demonstrations, 700,000 tokens, SFT rate 0.002": _brief.but("replay against demonstrations", sft=_fewer),
        "the same, replay 0.3, updates of 16": _brief.but(
            "smaller updates change nothing", sft={**_fewer, "replay": 0.3, "batch_size": 16}
        ),
        "the same, replay 0.3, updates of 32": _brief.but("worse than 8,000", sft={**_fewer, "replay": 0.3}),
    },
    "default": {
        "half the world, words as tokens, likelihood head": _half,
        "the same, comparisons as served": _half.but(
            "a smaller gap where it is used: taken", reward={"temperature": 0.7}
        ),
        "24,000 demonstrations": _half.but(
            "fewer malformed answers, for a minute more", sft={"demonstrations": 24_000}
        ),
        "18,000 demonstrations, a web of quality 0.9": _half.but(
            "a cleaner web changes nothing", pretrain={"quality": 0.9}, sft={"demonstrations": 18_000}
        ),
        "18,000 demonstrations, replay 0.4, SFT rate 0.002": _half.but(
            "least malformed, a little less right", sft={"demonstrations": 18_000, "replay": 0.4, "learning_rate": 2e-3}
        ),
        "16,000 demonstrations, SFT rate 0.0015": _half.but(
            "taken", sft={"demonstrations": 16_000, "learning_rate": 1.5e-3}
        ),
    },
}
