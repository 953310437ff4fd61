"""What the compiler does on this machine: its versions and settings, and which kernels it has compiled already.

Compiled code is kept in files beside the sources, or in a folder of Numba's (`minipost.kernels.jit`). Each file's index
says for which processor it holds code, so that a folder that two machines share serves both.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import llvmlite.binding
import numba
from numba.core import dispatcher

from minipost.kernels import adamw

# Numba's settings that change how fast compiled code is: its name for each, the environment's, and the default
SETTINGS = {
    "CPU_NAME": ("NUMBA_CPU_NAME", None),
    "CPU_FEATURES": ("NUMBA_CPU_FEATURES", None),
    "OPT": ("NUMBA_OPT", 3),
    "BOUNDSCHECK": ("NUMBA_BOUNDSCHECK", None),
    "DEBUGINFO_DEFAULT": ("NUMBA_DEBUGINFO", 0),
}


def versions() -> tuple[str, str]:
    """(Numba's version, LLVM's version)."""
    return numba.__version__, ".".join(map(str, llvmlite.binding.llvm_version_info))


def processor() -> str:
    """LLVM's name of the processor that kernels are compiled for: this one, unless NUMBA_CPU_NAME says another."""
    return numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()


def jit_enabled() -> bool:
    return not numba.config.DISABLE_JIT


def changed_settings() -> tuple[str, ...]:
    """Settings of `SETTINGS` that are not the default, as "NAME=value". NUMBA_CPU_NAME may name this very processor."""
    values = {name: getattr(numba.config, name, default) for name, (_, default) in SETTINGS.items()}
    values["CPU_NAME"] = None if values["CPU_NAME"] == llvmlite.binding.get_host_cpu_name() else values["CPU_NAME"]
    return tuple(f"{name}={values[key]}" for key, (name, default) in SETTINGS.items() if values[key] != default)


def cache_folder() -> str | None:
    """Where compiled kernels are kept; None where no folder can be written, or nothing is compiled."""
    kernel: Any = adamw.update
    return kernel.stats.cache_path if jit_enabled() else None


def compiled_kernels() -> tuple[int, int]:
    """(kernels of which the cache holds code for this processor, all kernels of the package)."""
    folder = import_module("minipost.kernels")
    modules = [import_module(f"minipost.kernels.{module.name}") for module in pkgutil.iter_modules(folder.__path__)]
    kernels = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, dispatcher.Dispatcher)
    }
    return sum(map(_is_cached, kernels.values())), len(kernels)


def _is_cached(kernel: Any) -> bool:
    """An index maps (types, processor, hash of the bytecode) to a file. It is empty for another source or Numba."""
    index = getattr(kernel._cache, "_cache_file", None)  # a kernel without a cache has none
    target = kernel.targetctx.codegen().magic_tuple()
    return index is not None and any(key[1] == target for key in index._load_index())
