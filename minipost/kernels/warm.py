"""Compile the kernels of a training step on several cores, before the first step would compile them on one.

Numba compiles under a lock, one kernel after the other, so that threads gain nothing. But processes share the cache: if
kernels are missing in it, helper processes compile some of them and this one the others. Each is compiled from types
alone, those of float32 arrays as `autograd.fused` and the optimisers pass them, and nothing is computed.

What a helper does not deliver (it cannot start, it dies, it hangs) is compiled at its first call, as without it.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
from numba import types

from minipost.kernels import adamw, cross_entropy, embedding, layer, matmul, newton_schulz

HELPERS = 2  # at most: the longest kernel takes about a third of all time
START = 0.6  # seconds until a helper has imported Numba, in the unit of `Part.seconds`
ENOUGH = 2.0  # seconds of missing kernels for which a helper pays
PATIENCE = 10.0  # seconds to wait for a helper, beside three times what this process took

INT, F, FLAG = types.int64, types.float64, types.boolean
V, M, CUBE = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]
IDS, TABLE = types.int64[::1], types.int64[:, ::1]
WEIGHTS, LAYOUT, KEPT = (
    types.Tuple((V, M, M, V, M, M)),
    types.Tuple((IDS, TABLE, M, M)),
    types.Tuple((M, M, CUBE, M, M)),
)


class Part(NamedTuple):
    """One kernel for one combination of types, or a product (a place in the table of `matmul.py`)."""

    seconds: float  # to compile it alone in a process, on the machine where all together take 11
    what: Any
    arguments: tuple[Any, ...] = ()

    def is_ready(self) -> bool:
        """Compiled in this process, or kept in the cache for this processor. True where nothing can be kept."""
        kernel: Any = matmul.c_function(self.what) if isinstance(self.what, int) else self.what
        file: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
        if numba.config.DISABLE_JIT or file is None or self.arguments in getattr(kernel, "overloads", ()):
            return True
        some_kernel: Any = adamw.update  # its processor is that of all
        codegen = some_kernel.targetctx.codegen()
        return kernel._cache._index_key(self.arguments or kernel._sig, codegen) in file._load_index()

    def compile(self) -> None:
        if isinstance(self.what, int):
            matmul.compile_product(self.what)
        else:
            self.what.compile(self.arguments)


PARTS = {
    "forward": Part(3.9, layer.forward, (M, WEIGHTS, LAYOUT, INT, INT, F, FLAG, KEPT, M)),
    "backward": Part(2.7, layer.backward, (M, M, WEIGHTS, LAYOUT, INT, INT, F, FLAG, KEPT, M, WEIGHTS)),
    "product": Part(1.5, matmul.FLOAT32),
    "bfloat16": Part(1.5, matmul.BFLOAT16),
    "muon": Part(1.3, newton_schulz.update, (M, M, M, F, F, INT)),
    "loss": Part(0.6, cross_entropy.weighted_nll, (M, M, IDS, V, M, M, FLAG)),
    "embedding": Part(0.1, embedding.backward, (M, IDS, M)),
    "norm": Part(0.1, adamw.sum_of_squares, (V,)),
    "adamw": Part(0.2, adamw.update, (V, V, V, V, INT, F, F, F, F, F, F)),
}


def compile_together(cores: int, leave_out: Sequence[str] = ()) -> None:
    """Compile what the cache lacks of `PARTS`, but for those to leave out, on this many cores.

    Does nothing if that is little, with one core, and where compiled code cannot be kept or no Python can be started.
    """
    missing = [name for name, part in PARTS.items() if name not in leave_out and not part.is_ready()]
    is_python = Path(sys.executable or "").stem.lower().startswith("python")  # and no program that embeds it
    if cores < 2 or not is_python or sum(PARTS[name].seconds for name in missing) < ENOUGH:
        return
    own, *others = shares(missing, min(cores, 1 + HELPERS))
    try:
        helpers, began = [start(share) for share in others if share], time.monotonic()
    except OSError:  # no more processes, for example
        return
    try:
        compile_parts(own)
        wait(helpers, 3 * (time.monotonic() - began) + PATIENCE)
    finally:
        for helper in helpers:
            helper.kill()  # nothing for one that has ended


def shares(names: Sequence[str], processes: int) -> list[list[str]]:
    """Kernels for each process, this one first: the longest goes to whoever has least to do so far."""
    found: list[list[str]] = [[] for _ in range(processes)]
    busy = [0.0] + [START] * (processes - 1)
    for name in sorted(names, key=lambda name: -PARTS[name].seconds):
        process = busy.index(min(busy))
        found[process].append(name)
        busy[process] += PARTS[name].seconds
    return found


def start(names: Sequence[str]) -> subprocess.Popen[bytes]:
    """A helper with this process's import path, environment and cache; it says nothing."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from minipost.kernels import warm; warm.compile_parts(sys.argv[1:])"
    )
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-c", code, *names], stdin=quiet, stdout=quiet, stderr=quiet)


def wait(helpers: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Until all have ended, but no longer than that."""
    end = time.monotonic() + seconds
    for helper in helpers:
        try:
            helper.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return


def compile_parts(names: Sequence[str]) -> None:
    """Without collecting garbage, which would take a twentieth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            PARTS[name].compile()
    finally:
        if collects:
            gc.enable()
