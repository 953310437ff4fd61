"""SFT, then DPO, of SmolLM2-135M-Instruct with LoRA on 1,100 instructions, on a laptop's cores: before and after.

    python -m benchmarks lora --data instruction-data-with-preference.json

The file is a JSON list of objects with instruction, input, output, chosen, rejected; its last 100 rows are held out.
Printed, for the pretrained model and after each stage: the loss on held-out `chosen` answers, the share of held-out
pairs whose chosen answer the model itself finds more probable per token than the rejected one, and, after DPO, the
share that the implicit reward `log pi - log ref` ranks right; then answers to a few held-out instructions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import timed
from minipost.config import parse
from minipost.interop.command import ImportConfig, import_run
from minipost.model import Model, Sampling
from minipost.runs import Run
from minipost.stages import dpo, sft
from minipost.stages.pairs import encode_pair
from minipost.text import prompt_tokens
from minipost.world.collect import Demonstration, Pair

HELD_OUT, SHOWN, ROW = 100, 4, 128


@dataclass(frozen=True)
class LoraConfig:
    data: Path  # the file of instructions with preferences: see above
    out: Path = Path("runs/lora")  # where the runs go
    pairs: int = 900  # how many of the rows to train on
    rank: int = 16  # rank of the adapters
    batch_size: int = 8  # demonstrations or pairs per update
    sft_rate: float = 5e-4  # learning rate of SFT
    dpo_rate: float = 1e-4  # learning rate of DPO
    beta: float = 0.1  # beta of DPO


def read(path: Path) -> list[tuple[Pair, str]]:
    """(pair, the demonstration) of each row that has two different answers."""
    rows = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        prompt = f"{row['instruction']}\n\n{row['input']}".strip()
        if row["chosen"] != row["rejected"] and all(row[key] for key in ("chosen", "rejected", "output")):
            rows.append((Pair(prompt, row["chosen"], row["rejected"]), row["output"]))
    return rows


@dataclass(frozen=True)
class Measured:
    """Log-probabilities of held-out answers, [pairs, 2], with their lengths in tokens."""

    logps: np.ndarray
    lengths: np.ndarray

    def __str__(self) -> str:
        loss = -self.logps[:, 0].sum() / self.lengths[:, 0].sum()
        mean = self.logps / self.lengths
        return f"loss on chosen {loss:.3f}, chosen more probable per token {np.mean(mean[:, 0] > mean[:, 1]):.0%}"


def measure(model: Model, pairs: list[Pair]) -> Measured:
    sides = [encode_pair(model.tokenizer, pair) for pair in pairs]
    flat = [side for pair in sides for side in pair]
    logps = model.logps(flat, ROW, group=16).reshape(-1, 2)
    return Measured(logps, np.array([[len(side.response) for side in pair] for pair in sides]))


def show(model: Model, prompts: list[str]) -> None:
    for prompt in prompts:
        ids = prompt_tokens(model.tokenizer, prompt)
        sampled = model.generate([ids], np.random.default_rng(0), max_new_tokens=60, sampling=Sampling(temperature=0))[
            0
        ]
        answer = model.tokenizer.decode(sampled.tokens, skip_special=True).strip()
        print(f"    {prompt!r}\n      -> {answer!r}")


def command(argv: Sequence[str]) -> None:
    args = parse(LoraConfig, argv, "python -m benchmarks lora", __doc__ or "")
    rows = read(args.data)
    train, held_out = rows[:-HELD_OUT][: args.pairs], [pair for pair, _ in rows[-HELD_OUT:]]
    shown = [pair.prompt for pair in held_out[:SHOWN]]
    base = import_run(ImportConfig(Path("smollm2"), args.out / "smollm2", overwrite=True))
    print(f"pretrained: {measure(base, held_out)}", flush=True)
    show(base, shown)

    sft_config = sft.SFTConfig(
        base=args.out / "smollm2",
        out=args.out / "sft",
        batch_size=args.batch_size,
        row_length=ROW,
        learning_rate=args.sft_rate,
        lora_rank=args.rank,
        overwrite=True,
    )
    run = Run.create(sft_config.out, "sft", sft_config, 0, {"base": sft_config.base}, overwrite=True)
    examples = sft.encode(base, [Demonstration(pair.prompt, output) for pair, output in train])
    seconds, weights = timed(lambda: sft.train(run, base, examples, sft_config))
    run.finish(Model(weights, base.config, base.tokenizer))
    tuned = Model(weights, base.config, base.tokenizer)
    reference = measure(tuned, held_out)
    print(f"after SFT ({seconds:.0f} s): {reference}", flush=True)
    show(tuned, shown)

    dpo_config = dpo.DPOConfig(
        policy=args.out / "sft",
        out=args.out / "dpo",
        batch_size=args.batch_size,
        row_length=ROW,
        beta=args.beta,
        learning_rate=args.dpo_rate,
        lora_rank=args.rank,
        overwrite=True,
    )
    run = Run.create(dpo_config.out, "dpo", dpo_config, 0, {"policy": dpo_config.policy}, overwrite=True)
    pairs = [encode_pair(tuned.tokenizer, pair) for pair, _ in train]
    seconds, weights = timed(lambda: dpo.train(run, tuned, pairs, dpo_config))
    run.finish(Model(weights, base.config, base.tokenizer))
    preferring = Model(weights, base.config, base.tokenizer)
    after = measure(preferring, held_out)
    reward = after.logps - reference.logps
    print(f"after DPO ({seconds:.0f} s): {after}, implicit reward right {np.mean(reward[:, 0] > reward[:, 1]):.0%}")
    show(preferring, shown)
