"""`minipost tour`: the whole pipeline, in the simulated world or on a user's files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout

from minipost.config import parse
from minipost.tour import files, world
from minipost.tour.plan import FilesTourConfig

HELP = """Pretrain, finetune, and compare best-of-N, PPO and DPO, with a report: in the simulated world, where the true
utility of every answer is known, or on data of your own, where it is not.

Examples:
  minipost tour
  minipost tour --size nano --out runs/quick
  minipost tour --sft-data demonstrations.jsonl --preference-data pairs.jsonl --skip-bad --out runs/mine
  minipost tour --sft-data demonstrations.jsonl --preference-data pairs.jsonl --skip-bad --out runs/smol \\
    --base runs/smollm2 --lora-rank 16 --methods best_of_n dpo"""


def command(argv: Sequence[str]) -> int:
    config = parse(FilesTourConfig, argv, "minipost tour", HELP)
    with redirect_stdout(sys.stderr) if config.json else nullcontext():
        summary = files.tour(config) if config.sft_data else world.tour(config)
    if config.json:
        print(json.dumps(summary, indent=2))
    return 0
