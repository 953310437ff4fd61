"""Keep freed memory instead of handing it back to the system after every operation.

A training step makes and drops the same large arrays again and again. glibc by default returns blocks above 128 KB to
the kernel at once, and each new one costs a page fault per 4 KB: about an eighth of a step's time. Three settings make
it keep them. On other systems nothing happens. `MINIPOST_KEEP_MEMORY=0` leaves the allocator alone.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def keep_freed_memory() -> None:
    if not sys.platform.startswith("linux") or os.environ.get("MINIPOST_KEEP_MEMORY") == "0":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_ARENA_MAX, 1)  # one pool for all threads, so that one's freed arrays serve another


keep_freed_memory()
