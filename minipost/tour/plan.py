"""What a tour is asked for, and the stages' configurations that follow.

In the simulated world the size says all. On a user's files the stages learn from the training parts of the files. The
base model reads their prompts and (chosen) answers as pages, and the texts of `--pretrain-data` besides; the tokenizer
is trained on the same. A few hundred rows are little to learn a language from: they are read several times, until there
are some tokens for each weight, and the report shows how far that goes. With `--base` nothing is pretrained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from minipost.autograd import fused
from minipost.data.split import Parts
from minipost.stages.base import StageError, require_positive
from minipost.stages.best_of_n import BestOfNConfig
from minipost.stages.dpo import DPOConfig
from minipost.stages.ppo import PPOConfig
from minipost.stages.pretrain import PretrainConfig
from minipost.stages.reward import RewardConfig
from minipost.stages.sft import SFTConfig

Method = Literal["best_of_n", "ppo", "dpo"]
METHODS: tuple[Method, ...] = ("best_of_n", "ppo", "dpo")
VILLAGE = 0.25  # share of the world in which the smallest tours play: it must be learnt in a minute
SHARES = {"smoke": VILLAGE, "nano": VILLAGE, "default": PretrainConfig.world_share, "small": 1.0}
SIZES: dict[str, dict[str, dict[str, Any]]] = {  # what differs from the stages' defaults
    "smoke": {
        "pretrain": {"tokens": 40_000, "dim": 32, "layers": 2, "hidden": 64, "vocab_size": 512},
        "sft": {"demonstrations": 256},
        "reward": {"pairs": 128},
        "ppo": {"iterations": 2, "rollout": 16},
        "best_of_n": {"n": 4},
    },
    "nano": {
        "pretrain": {"tokens": 800_000, "nursery": 0.3},
        "sft": {"demonstrations": 8000, "replay": 0.3},
        "reward": {"pairs": 2500},
        "ppo": {"iterations": 14},
        "best_of_n": {"n": 8},
    },
    "default": {},
    "small": {
        "pretrain": {
            "tokens": 11_000_000,
            "dim": 160,
            "layers": 4,
            "heads": 5,
            "kv_heads": 5,
            "hidden": 432,
            "vocab_size": 4096,
            "batch_size": 8,
        },
        "sft": {"demonstrations": 24_000},
        "reward": {"pairs": 24_000},
        "ppo": {"iterations": 120},
    },
}
DPO_BETA = 0.2  # in the world: at 0.1 the policy drifts, and at temperature 1 a tenth of its answers is malformed
PROMPTS = {"smoke": 40, "nano": 150, "default": 400, "small": 800}  # held-out ones, on which models are compared
LORA_RATES = {"sft": 5e-4, "reward": 3e-4, "dpo": 1e-4}
FILES_VOCABULARY = 2048  # tokens that are trained on a user's files, at most
CHARACTERS = 3  # of English in a token of a small vocabulary, about
MOST_PASSES = 12  # over a user's texts: more is learning by heart


@dataclass(frozen=True)
class TourConfig:
    out: Path = Path("runs/tour")  # the tour's folder
    size: Literal["smoke", "nano", "default", "small"] = "default"  # 10 seconds (learns nothing), 2, 8 or 30 minutes
    seed: int = 0  # of everything but the world
    world_seed: int = 0  # which world
    world_share: float | None = None  # share of the world; 0.5, for small 1, for smoke and nano 0.25, a village
    quality: float | None = None  # of the web: 0 is noise, 1 is mostly good dialogue; 0.75, or for smoke and nano 0.9
    precision: fused.Precision = "float32"  # of the operands of large products; see `minipost doctor`
    resume: bool = False  # go on with an interrupted tour
    overwrite: bool = False  # replace an existing tour


@dataclass(frozen=True)
class FilesTourConfig(TourConfig):
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
        changed = {name for name in FILES_FIELDS if getattr(self, name) != getattr(FilesTourConfig, name)}
        if changed and not (self.sft_data and self.preference_data):
            flag = "--" + min(changed).replace("_", "-")
            raise StageError(f"{flag} belongs to a tour on own data; pass both --sft-data and --preference-data.")
        if not 0 < self.held_out < 1:
            raise StageError(f"--held-out {self.held_out} must be a share of the prompts, above 0 and below 1.")
        if self.base and self.pretrain_data:
            raise StageError("--base names a pretrained model and --pretrain-data trains one; pass only one of them.")
        if self.lora_rank and "ppo" in self.methods:
            raise StageError("PPO trains all weights; with --lora-rank pass --methods best_of_n dpo.")
        require_positive(self, "context", "max_new_tokens")


FILES_FIELDS = [name for name in FilesTourConfig.__annotations__ if name not in ("methods", "json")]


@dataclass(frozen=True)
class Plan:
    """The configurations of a tour's stages, and how much is measured."""

    pretrain: PretrainConfig
    sft: SFTConfig
    reward: RewardConfig
    ppo: PPOConfig
    dpo: DPOConfig
    best_of_n: BestOfNConfig
    prompts: int  # held-out prompts on which models are compared


def plan(config: TourConfig) -> Plan:
    """What a size means, in the stages' own terms."""
    out, sizes, in_village = config.out, SIZES[config.size], config.size in ("smoke", "nano")
    share = config.world_share or SHARES[config.size]
    quality = config.quality if config.quality is not None else (0.9 if in_village else 0.75)
    everywhere: dict[str, Any] = {"seed": config.seed, "precision": config.precision}
    common = everywhere | {"world_seed": config.world_seed, "world_share": share}

    def of(stage: str) -> dict[str, Any]:
        return common | sizes.get(stage, {})

    return Plan(
        PretrainConfig(out=out / "pretrain", quality=quality, **of("pretrain")),
        SFTConfig(base=out / "pretrain", out=out / "sft", **of("sft")),
        RewardConfig(policy=out / "sft", out=out / "reward", **of("reward")),
        PPOConfig(policy=out / "sft", reward=out / "reward", out=out / "ppo", **of("ppo")),
        DPOConfig(
            policy=out / "sft",
            preferences=out / "reward/preferences.jsonl",
            out=out / "dpo",
            beta=DPO_BETA,
            **everywhere,
        ),
        BestOfNConfig(policy=out / "sft", reward=out / "reward", out=out / "best_of_n", **of("best_of_n")),
        PROMPTS[config.size],
    )


def files_plan(
    config: FilesTourConfig, demonstrations: Parts, comparisons: Parts, pages: Path, characters: int
) -> Plan:
    """The same on a user's files; `pages` is what the base model reads of them, `characters` how long that is."""
    p, sft_files, preference_files = plan(config), tuple(demonstrations.train), tuple(comparisons.train)
    skip: dict[str, Any] = {"skip_bad": config.skip_bad}
    adapters: dict[str, dict[str, Any]] = {"sft": {}, "reward": {}, "dpo": {}}
    if config.lora_rank:
        adapters = {name: {"lora_rank": config.lora_rank, "learning_rate": rate} for name, rate in LORA_RATES.items()}
    epochs = passes(p.pretrain.tokens, characters, config.pretrain_data)
    texts = (pages, *config.pretrain_data)
    return replace(
        p,
        pretrain=replace(
            p.pretrain,
            data=texts,
            context=config.context,
            epochs=epochs,
            vocab_size=min(p.pretrain.vocab_size, FILES_VOCABULARY),
            **skip,
        ),
        sft=replace(p.sft, base=config.base or p.sft.base, data=sft_files, epochs=3, **adapters["sft"], **skip),
        reward=replace(p.reward, data=preference_files, epochs=2, **adapters["reward"], **skip),
        ppo=replace(p.ppo, data=sft_files + preference_files, max_new_tokens=config.max_new_tokens, **skip),
        dpo=replace(p.dpo, data=preference_files, epochs=2, beta=DPOConfig.beta, **adapters["dpo"], **skip),
    )


def passes(tokens: int, characters: int, more: Sequence[Path]) -> int:
    """How often to read the texts, so that about `tokens` are read in all."""
    size = characters + sum(path.stat().st_size for path in more if path.exists())
    return min(MOST_PASSES, max(1, CHARACTERS * tokens // max(1, size)))
