"""What a tour on own data is asked for, and the stages' configurations that follow.

What the base model reads, unless `--base` names a model that has read already: the training part of the files
themselves, prompts and (chosen) answers as pages, and before or instead of nothing else `--pretrain-data`. The
tokenizer is trained on the same. A few hundred rows are little to learn a language from; they are read several times,
until there are some tokens for each weight, and the report shows how far that goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from minipost.data.split import Parts
from minipost.stages.base import StageError, require_positive
from minipost.tour.world import Plan, TourConfig, plan

Method = Literal["best_of_n", "ppo", "dpo"]
METHODS: tuple[Method, ...] = ("best_of_n", "ppo", "dpo")
CHARACTERS = 3  # of English in a token of a small vocabulary, about
MOST_PASSES = 12  # over the texts of one's own: more is learning by heart


@dataclass(frozen=True)
class OwnTourConfig(TourConfig):
    sft_data: tuple[Path, ...] = ()  # own data: files of demonstrations, in any format of `minipost data`
    preference_data: tuple[Path, ...] = ()  # own data: files of comparisons
    pretrain_data: tuple[Path, ...] = ()  # own data: texts for the base model, besides those in the files above
    base: Path | None = None  # own data: the run folder of a base model, e.g. an imported one; nothing is pretrained
    lora_rank: int = 0  # own data: train thin adapters of this rank in SFT, reward model and DPO; 0 trains all weights
    methods: tuple[Method, ...] = METHODS  # own data: which preference methods to compare
    held_out: float = 0.1  # own data: share of the prompts that is kept for measuring
    context: int = 256  # own data: longest sequence of a new base model, tokens
    max_new_tokens: int = 64  # own data: length limit of an answer
    skip_bad: bool = False  # own data: leave bad rows out, and write down which and why
    json: bool = False  # print the summary as JSON instead of the table

    def __post_init__(self) -> None:
        own = {name for name in OWN_FIELDS if getattr(self, name) != OwnTourConfig.__dataclass_fields__[name].default}
        if own and not (self.sft_data and self.preference_data):
            named = "--" + min(own).replace("_", "-")
            raise StageError(f"{named} belongs to a tour on own data; pass both --sft-data and --preference-data.")
        if not 0 < self.held_out < 1:
            raise StageError(f"--held-out {self.held_out} must be a share of the prompts, above 0 and below 1.")
        if self.base and self.pretrain_data:
            raise StageError("--base names a pretrained model and --pretrain-data trains one; pass only one of them.")
        if self.lora_rank and "ppo" in self.methods:
            raise StageError("PPO trains all weights; with --lora-rank pass --methods best_of_n dpo.")
        require_positive(self, "context", "max_new_tokens")


OWN_FIELDS = [name for name in OwnTourConfig.__annotations__ if name not in ("methods", "json")]


def own_plan(config: OwnTourConfig, demonstrations: Parts, comparisons: Parts, pages: Path, characters: int) -> Plan:
    """The stages' configurations; `pages` is what the base model reads of the files, `characters` how long that is."""
    p, trains = plan(config), (tuple(demonstrations.train), tuple(comparisons.train))
    also: dict[str, Any] = {"skip_bad": config.skip_bad}
    rates: dict[str, dict[str, Any]] = {"sft": {}, "reward": {}, "dpo": {}}
    if config.lora_rank:
        rates = {name: {"lora_rank": config.lora_rank, "learning_rate": rate} for name, rate in LORA_RATES.items()}
    return replace(
        p,
        pretrain=replace(
            p.pretrain,
            data=(pages, *config.pretrain_data),
            context=config.context,
            epochs=passes(p.pretrain.tokens, characters, config.pretrain_data),
            **also,
        ),
        sft=replace(p.sft, base=config.base or p.sft.base, data=trains[0], epochs=3, **rates["sft"], **also),
        reward=replace(p.reward, data=trains[1], epochs=2, **rates["reward"], **also),
        ppo=replace(p.ppo, data=trains[0] + trains[1], max_new_tokens=config.max_new_tokens, **also),
        dpo=replace(p.dpo, data=trains[1], epochs=2, **rates["dpo"], **also),
    )


LORA_RATES = {"sft": 5e-4, "reward": 3e-4, "dpo": 1e-4}


def passes(tokens: int, characters: int, more: Sequence[Path]) -> int:
    """How often to read the texts, so that about `tokens` are read in all."""
    size = characters + sum(path.stat().st_size for path in more if path.exists())
    return min(MOST_PASSES, max(1, CHARACTERS * tokens // max(1, size)))
