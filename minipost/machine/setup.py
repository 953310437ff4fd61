"""What minipost runs on, read and not measured: the processor, Python, NumPy, Numba, threads, memory, disk.

Reading takes some milliseconds, so that a training run can do it before its first step.
"""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minipost.kernels import compiled
from minipost.model.parallel import threads

THREAD_VARIABLES = ("MINIPOST_THREADS", "OMP_NUM_THREADS")  # the first that is set decides: `model.parallel.threads`
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")
CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Setup:
    """Facts in the order in which `minipost doctor` tells them. Sizes are in bytes; None is not known, or no limit."""

    system: str
    processor: str
    cores: int  # that this process may use
    cpu_limit: float | None  # of a container, in cores
    load: float | None  # processes that wanted to run in the last minute
    threads: int  # that minipost uses
    threads_from: str | None  # the variable that says so; None: the cores
    threads_ignored: str | None  # a variable that says nothing, as "NAME=value"
    python: str
    debug_build: bool
    translated: bool  # built for Intel, and run by Rosetta on Apple silicon
    numpy: str
    blas: str | None  # NumPy's library for matrix products
    blas_threads_from: str | None  # a variable that limits its threads, as "NAME=value"
    numba: str
    llvm: str
    compiled_for: str  # LLVM's name of the processor
    jit: bool
    compiler_settings: tuple[str, ...]  # that are not the default, as "NAME=value"
    cache: str | None  # where compiled kernels are kept; None: no folder can be written
    memory: int | None  # free
    disk: int  # free, where the current folder is

    @property
    def usable_cores(self) -> int:
        """The cores that threads can fill: a container may be allowed fewer than it sees."""
        return self.cores if self.cpu_limit is None else max(1, min(self.cores, math.ceil(self.cpu_limit)))


def read() -> Setup:
    """The facts of this process."""
    numba, llvm = compiled.versions()
    threads_from, threads_ignored = thread_variable()
    return Setup(
        system=f"{platform.system()} {platform.machine()}",
        processor=cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_limit=cpu_limit(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        threads=threads(),
        threads_from=threads_from,
        threads_ignored=threads_ignored,
        python=platform.python_version(),
        debug_build=hasattr(sys, "gettotalrefcount"),
        translated=is_translated(),
        numpy=np.__version__,
        blas=blas(),
        blas_threads_from=next((f"{name}={os.environ[name]}" for name in BLAS_VARIABLES if name in os.environ), None),
        numba=numba,
        llvm=llvm,
        compiled_for=compiled.processor(),
        jit=compiled.jit_enabled(),
        compiler_settings=compiled.changed_settings(),
        cache=compiled.cache_folder(),
        memory=free_memory(),
        disk=shutil.disk_usage(".").free,
    )


def thread_variable() -> tuple[str | None, str | None]:
    """(the variable that sets the number of threads, or None; one that would but is no number above 0, or None)."""
    name = next((name for name in THREAD_VARIABLES if os.environ.get(name)), None)
    if name is None or (os.environ[name].isdigit() and int(os.environ[name]) > 0):
        return name, None
    return None, f"{name}={os.environ[name]}"


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE) if info.exists() else None
    )
    if found is None and sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    return found[1].strip() if found else platform.processor() or platform.machine()


def is_translated() -> bool:
    return sys.platform == "darwin" and platform.machine() == "x86_64" and _sysctl("sysctl.proc_translated") == "1"


def _sysctl(name: str) -> str:
    try:
        return subprocess.run(["sysctl", "-in", name], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def blas() -> str | None:
    """Name and version of the library that NumPy was built against, None if it was built without one."""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name = str(built.get("name", "none"))
    return None if name == "none" or not built.get("found") else f"{name} {built.get('version', '')}".strip()


# ------------------------------------------------------------------------------------------------- limits of containers
def cpu_limit(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> float | None:
    """The cores' worth of time that this process's control groups allow, None without a limit."""
    limits = [line.split() for line in _of_groups("cpu.max", root, own)]  # quota and period, in microseconds
    limits.append([_first_line(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")])  # version 1
    return min((int(quota) / int(period) for quota, period in limits if quota.isdigit()), default=None)


def free_memory(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int | None:
    """Bytes that this process can still have, roughly: what is free, but no more than its control groups allow."""
    limits = [*_of_groups("memory.max", root, own), _first_line(root / "memory" / "memory.limit_in_bytes")]
    sizes = [int(limit) for limit in limits if limit.isdigit()]
    info = Path("/proc/meminfo")
    if found := re.search(r"^MemAvailable: +(\d+) kB", info.read_text() if info.exists() else "", re.MULTILINE):
        sizes.append(int(found[1]) << 10)
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(sizes, default=None)


def _of_groups(name: str, root: Path, own: Path) -> list[str]:
    """The first line of the file `name` of this process's control group and of all above it (version 2)."""
    listed = re.search(r"^0::/(.*)$", own.read_text() if own.exists() else "", re.MULTILINE)
    folder = root / listed[1] if listed else root
    return [
        line for path in (folder, *folder.parents) if path.is_relative_to(root) and (line := _first_line(path / name))
    ]


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0]
    except OSError:
        return ""
