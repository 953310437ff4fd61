"""How fast a pretrained model answers, against this machine's memory: SmolLM2-135M-Instruct, one token at a time.

    python -m benchmarks pretrained

A new token needs every weight once and almost no arithmetic, so that memory sets the pace: tokens a second times the
weights' bytes is a bandwidth, and its share of what the machine can read at best says how much is left to gain.
transformers (float32, eager attention, its own cache), where it is installed, generates the same tokens from the same
weights in turns with minipost, so that both meet the same load.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import timed
from benchmarks.machine import read_bandwidth
from minipost.config import parse
from minipost.interop.command import ExportConfig, export_run, read
from minipost.model import Model, Sampling, threads
from minipost.text import prompt_tokens

PROMPT = "Explain in detail how a sailing ship moves against the wind."


@dataclass(frozen=True)
class PretrainedConfig:
    source: Path = Path("smollm2")  # a checkpoint that `minipost import` understands
    tokens: int = 64  # new tokens per round
    rounds: int = 5  # how often each answer is timed; the fastest counts


def ours(model: Model, prompt: list[int], tokens: int) -> list[int]:
    never = len(model.tokenizer)  # an id that is never sampled: no early end
    sampled = model.generate(
        [prompt], np.random.default_rng(0), end_id=never, max_new_tokens=tokens, sampling=Sampling(temperature=0)
    )[0]
    return sampled.tokens


def peer(model: Model) -> Callable[[list[int], int], list[int]] | None:
    """The same weights in transformers; None where it is not installed."""
    try:
        import torch
        import transformers
    except ImportError:
        return None
    torch.set_num_threads(threads())
    with tempfile.TemporaryDirectory() as folder:
        (run := Path(folder) / "run").mkdir()
        model.save(run)
        export_run(ExportConfig(run, Path(folder) / "hf"))
        loaded = transformers.AutoModelForCausalLM.from_pretrained(Path(folder) / "hf", dtype=torch.float32)

    def run_peer(prompt: list[int], tokens: int) -> list[int]:
        ids = torch.tensor([prompt])
        limits = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
        with torch.no_grad():
            out = loaded.generate(ids, attention_mask=torch.ones_like(ids), eos_token_id=None, **limits)
        return out[0, len(prompt) :].tolist()

    return run_peer


def command(argv: Sequence[str]) -> None:
    args = parse(PretrainedConfig, argv, "python -m benchmarks pretrained", __doc__ or "")
    model = read(args.source)
    size = sum(w.nbytes for name, w in model.weights.items() if name != "embedding" or model.config.tied)
    prompt = prompt_tokens(model.tokenizer, PROMPT)
    other = peer(model)
    contenders = {"minipost": lambda n: ours(model, prompt, n)}
    if other is not None:
        contenders["transformers"] = lambda n: other(prompt, n)
    answers, best = {}, dict.fromkeys(contenders, float("inf"))
    for name, run in contenders.items():
        answers[name] = run(args.tokens)  # also compiles
    for _ in range(args.rounds):
        for name, run in contenders.items():  # the prompt's time is taken out: it is arithmetic, not memory
            seconds = timed(lambda run=run: run(args.tokens + 1))[0] - timed(lambda run=run: run(1))[0]
            best[name] = min(best[name], seconds / args.tokens)
    bandwidth = read_bandwidth(threads())
    print(f"{size / 1e6:.0f} MB of weights, {threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"memory read at best: {bandwidth / 1e9:.1f} GB/s ({read_bandwidth(1) / 1e9:.1f} with one thread)")
    for name, seconds in best.items():
        reached = size / seconds
        print(f"{name:12} {1 / seconds:6.1f} tokens/s, {reached / 1e9:5.1f} GB/s, {reached / bandwidth:.0%}")
    if other is not None:
        print("the same tokens" if answers["minipost"] == answers["transformers"] else "DIFFERENT tokens")
