"""The command line: finds the benchmark, and turns what goes wrong into one sentence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from minipost.cli import perform, with_open_output

COMMANDS = {  # name: what it measures; the module of that name has a `command(argv)`
    "train": "a training step against PyTorch, torch.compile and JAX",
    "threads": "a training step on 1 to 16 threads, and the time under Python's lock",
    "numpys": "a training step with other NumPys and with other instruction sets",
    "generate": "generation with a KV cache against PyTorch and transformers",
    "matmul": "matrix products at the model's shapes against NumPy's and PyTorch's",
    "kernels": "each kernel against the roofline, its NumPy reference and PyTorch",
    "ladders": "how the kernels became fast: every attempt, with its figure",
    "stages": "a step of DPO, reward model and PPO against plain PyTorch",
    "growth": "how time and memory grow with model, context and batch",
    "recipes": "what was tried for better models, and what it gave",
    "results": "write benchmarks/RESULTS.md from the JSON files of runs",
    "pretrained": "SmolLM2-135M, one token at a time, against the memory's bandwidth",
    "lora": "SFT and DPO of SmolLM2-135M with LoRA: before and after",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m benchmarks ARGV`; exit code 0, or 2 for what the user can fix."""
    return with_open_output(run, argv)


def run(name: str, *rest: str) -> int:
    """Run one benchmark, or print the help."""
    if name in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print("usage: python -m benchmarks COMMAND [OPTIONS]\n")
        print("\n".join(f"  {command:<{width}}  {what}" for command, what in COMMANDS.items()))
        print("\npython -m benchmarks COMMAND --help explains a command.")
        return 0

    def call() -> None:
        import_module(f"benchmarks.{name}").command(list(rest))

    return perform("python -m benchmarks", name, COMMANDS, call, "benchmark")


if __name__ == "__main__":
    sys.exit(main())
