"""From `my_losses.py:dpo_loss`, or `package.module:function`, to the function: the user's own code, imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from minipost.laws.adapters import LawError
from minipost.laws.targets import TARGETS


def load_module(name: str) -> ModuleType:
    """The module of a file `*.py` or of a dotted name; the current folder, and the file's, can be imported from."""
    path = Path(name)
    folder = str(path.resolve().parent) if path.suffix == ".py" else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if path.suffix == ".py" and not path.is_file():
        raise LawError(f"There is no file {name}; check the path.")
    try:
        if path.suffix != ".py":
            return importlib.import_module(name)
        own_name = path.stem if path.stem not in sys.modules else f"{path.stem} of {folder}"  # types.py, random.py
        spec = importlib.util.spec_from_file_location(own_name, path)
        assert spec is not None and spec.loader is not None, "a file *.py has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules[own_name] = module
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        raise LawError(f"Importing {name} raised {type(error).__name__}: {message}; correct that first.") from None


def load_function(source: str) -> Callable[..., Any]:
    """The function that `MODULE:FUNCTION` names; dots reach into classes."""
    module_name, colon, name = source.rpartition(":")
    if not colon or not name:
        raise LawError(f"{source!r} names no function; write it as FILE.py:FUNCTION or MODULE:FUNCTION.")
    module = load_module(module_name)
    try:
        function: Callable[..., Any] = attrgetter(name)(module)
    except AttributeError:
        raise LawError(f"{module_name} has no {name}; check the name after the colon.") from None
    if not callable(function):
        raise LawError(f"{name} in {module_name} is a {type(function).__name__}, not a function.")
    return function


def implemented(module_name: str) -> list[str]:
    """The targets that a module implements under their names: `dpo_sigmoid` for dpo.sigmoid, and so on."""
    module = load_module(module_name)
    names = [name for name in TARGETS if callable(getattr(module, function_name(name), None))]
    if not names:
        raise LawError(
            f"{module_name} implements no target under its name; "
            f"name a function {function_name('dpo.sigmoid')}, {function_name('ppo.gae')} or like another target."
        )
    return names


def function_name(target: str) -> str:
    """`dpo_sigmoid` for dpo.sigmoid."""
    return target.replace(".", "_")
