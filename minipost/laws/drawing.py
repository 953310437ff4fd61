"""How Hypothesis draws for the judge: every example afresh, the same ones for the same seed, and without a trace.

Left to itself Hypothesis follows every random example with several mutations of it, and sprinkles in numbers that it
finds in the sources of loaded modules. That finds rare bugs in large inputs; ours are small, and a hundred different
ones find more than twenty with four variations each. Shrinking is Hypothesis's own.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, configuration, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND = "minipost-independent"


class Independent(HypothesisProvider):
    """Bounded integers, of which all our draws are made, come uniformly. (A backend that is not Hypothesis's own is not
    followed by mutations.)"""

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        if min_value is None or max_value is None or weights is not None or self._random is None:
            return super().draw_integer(min_value, max_value, weights=weights, shrink_towards=shrink_towards)
        return self._random.randint(min_value, max_value)


def draw(
    examples: st.SearchStrategy[Any], each: Callable[[Any], None], max_examples: int, name: str, shrink: bool = False
) -> None:
    """Call `each` on examples; `name` seeds them. With `shrink`, what makes `each` raise is made smaller first."""
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.Independent"

    @seed(zlib.crc32(name.encode()))
    @settings(
        backend=BACKEND,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(examples)
    def run(example: Any) -> None:
        each(example)

    with _leaving_no_trace():
        run()


@contextmanager
def _leaving_no_trace() -> Iterator[None]:
    """Hypothesis may keep notes in a folder `.hypothesis`; not on our account."""
    home = vars(configuration).get("__hypothesis_home_directory")
    configuration.set_hypothesis_home_dir(os.devnull)
    try:
        yield
    finally:
        configuration.set_hypothesis_home_dir(home)
