"""The command line: finds the benchmark, and turns what goes wrong into one sentence."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from minipost.errors import UserError

COMMANDS = {  # name: what it measures; the module of that name has a `command(argv)`
    "train": "a training step against PyTorch, torch.compile and JAX",
    "generate": "generation with a KV cache against PyTorch and transformers",
    "kernels": "each kernel against the roofline, its NumPy reference and PyTorch",
    "ladders": "how the kernels became fast: every attempt, with its figure",
    "stages": "a step of DPO, reward model and PPO against plain PyTorch",
    "growth": "how time and memory grow with model, context and batch",
    "results": "write benchmarks/RESULTS.md from the JSON files of runs",
    "pretrained": "SmolLM2-135M, one token at a time, against the memory's bandwidth",
    "lora": "SFT and DPO of SmolLM2-135M with LoRA: before and after",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m benchmarks ARGV`; exit code 0, or 2 for what the user can fix."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print("usage: python -m benchmarks COMMAND [OPTIONS]\n")
        print("\n".join(f"  {command:<{width}}  {what}" for command, what in COMMANDS.items()))
        print("\npython -m benchmarks COMMAND --help explains a command.")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        fix = f"did you mean {close[0]}?" if close else "see python -m benchmarks --help."
        print(f"benchmarks: error: There is no benchmark {name!r}; {fix}", file=sys.stderr)
        return 2
    try:
        import_module(f"benchmarks.{name}").command(rest)
    except UserError as error:
        print(f"benchmarks {name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
