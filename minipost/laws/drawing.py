"""How examples are drawn: every one afresh, the same ones for the same seed, and nothing is written to disk.

Left to itself Hypothesis follows every random example with several mutations of it. That finds rare bugs in large
inputs; ours are small, and a hundred different ones find more than twenty with four variations each. So the examples
are made of random bytes of our own, which go in where a fuzzer's would, and each is independent of all others.
Shrinking is Hypothesis's own: it replays what failed from an example database, which lives in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, __version_info__, errors, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

from minipost.laws.adapters import LawError

if __version_info__ < (6, 170):  # of bytes, those before make no negative numbers
    raise LawError("The laws need Hypothesis 6.170 or later: pip install --upgrade hypothesis.")

BYTES = 1 << 13  # of one example: several times what the largest takes


def draw(
    examples: st.SearchStrategy[Any], each: Callable[[Any], None], max_examples: int, name: str, shrink: bool = False
) -> None:
    """Call `each` on examples; `name` seeds them. With `shrink`, what makes `each` raise is made smaller first."""

    @settings(
        phases=(Phase.reuse, Phase.shrink),
        max_examples=max_examples,
        database=InMemoryExampleDatabase(),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
    )
    @given(examples)
    def run(example: Any) -> None:
        each(example)

    handle: Any = run
    run_on_bytes, rng = handle.hypothesis.fuzz_one_input, Random(name)
    try:
        run_on_bytes(bytes(BYTES))  # zeros first: they make the smallest shapes
        for _ in range(max_examples - 1):
            run_on_bytes(rng.randbytes(BYTES))
    except Exception:
        if not shrink:
            raise
        with suppress(errors.Flaky):  # code that is random itself may not fail again
            run()
