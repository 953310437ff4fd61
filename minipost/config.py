"""A stage's configuration dataclass becomes its command line, and a TOML file can stand in for the flags.

The dataclass is the one description of a stage's knobs: its field names are the flags (`learning_rate` ->
`--learning-rate`), its types the checks, its defaults the defaults, and the comment beside each field its help (tyro
reads the source). Later wins:

    the class's defaults  <  --config FILE.toml  <  flags

A file may set any field; a nested dataclass is a table:

    steps = 500
    learning_rate = 3e-4
    [optimizer]
    weight_decay = 0.1
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from minipost.errors import UserError

Config = TypeVar("Config")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", Path: "a string (a path)"}
_MISFIT = object()  # what `_converted` returns for a value of the wrong type
_FILE_HELP = "Any of these can also come from a TOML file: --config FILE.toml. Flags win over the file."


class ConfigError(UserError):
    """A configuration file that does not fit the command."""


def parse(config_class: type[Config], argv: Sequence[str], prog: str, description: str = "") -> Config:
    """The configuration that these arguments ask for.

    Leaves through `SystemExit`, as command lines do, with code 0 for `--help` and 2 for a wrong flag or value.
    Errors: `ConfigError` for a wrong file, and whatever `__post_init__` raises.
    """
    unchecked = _unchecked(config_class)
    finder = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path, metavar="FILE.toml")
    file, rest = finder.parse_known_args(list(argv))
    help_text = f"{description.strip()}\n\n{_FILE_HELP}".strip()
    if file.config is None:
        values = tyro.cli(unchecked, prog=prog, description=help_text, args=rest)
    else:
        default = _with_defaults(unchecked, _read(file.config), str(file.config))
        values = tyro.cli(unchecked, prog=prog, description=help_text, args=rest, default=default)
    return config_class(**{field.name: getattr(values, field.name) for field in dataclasses.fields(config_class)})  # type: ignore[arg-type]


def _unchecked(config_class: type[Config]) -> type[Config]:
    """The class without its `__post_init__`. tyro would print what is refused there in its own way, in a box; checked
    afterwards, it reaches the command line as the one sentence that it is."""
    source = ("__doc__", "__module__", "__firstlineno__")  # where tyro reads comments; the last from Python 3.13 on
    names = {name: getattr(config_class, name) for name in source if hasattr(config_class, name)}
    return type(config_class.__name__, (config_class,), {**names, "__post_init__": lambda self: None})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {path} ({error.strerror}); check the path.") from None
    except ValueError as error:  # broken TOML or broken UTF-8
        raise ConfigError(f"{path} is no valid TOML: {error}; correct that line.") from None


def _with_defaults(
    config_class: type[Config], values: Mapping[str, Any], where: str, base: Config | None = None
) -> Config:
    """An instance with the file's values, else `base`'s or the class's, else `tyro.MISSING`: the flags must give it.

    It is built without `__init__`, because a check in `__post_init__` may only see the final values.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    hints = get_type_hints(config_class)
    values = {name.replace("-", "_"): value for name, value in values.items()}
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            fix = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(fields)}."
            raise ConfigError(f"{where}: unknown key {name}; {fix}")
    instance = object.__new__(config_class)
    for name, field in fields.items():
        value = _default(field) if base is None else getattr(base, name)
        if name in values and dataclasses.is_dataclass(hints[name]) and isinstance(values[name], dict):
            inner = None if value is tyro.MISSING else value
            value = _with_defaults(hints[name], values[name], f"{where}, [{name}]", inner)
        elif name in values:
            value = _converted(values[name], hints[name])
            if value is _MISFIT:
                raise ConfigError(f"{where}: {name} is {values[name]!r}; make it {_named(hints[name])}.")
        object.__setattr__(instance, name, value)
    return instance


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING if field.default is dataclasses.MISSING else field.default


def _converted(value: Any, hint: Any) -> Any:
    """A TOML value as the type that its field declares, or `_MISFIT`. No guessing: "3" is no number, 1 is no bool."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        options = (_converted(value, option) for option in arguments if option is not NoneType)
        return next((option for option in options if option is not _MISFIT), _MISFIT)
    if origin is Literal:
        return value if any(type(value) is type(option) and value == option for option in arguments) else _MISFIT
    if origin in (list, tuple) and isinstance(value, list):
        inner = arguments[:1] * len(value) if origin is list or arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            return _MISFIT
        items = [_converted(item, option) for item, option in zip(value, inner, strict=True)]
        return _MISFIT if _MISFIT in items else origin(items)
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    return value if type(value) is hint else _MISFIT


def _named(hint: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_named(option) for option in arguments if option is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(repr(option) for option in arguments)
    if origin in (list, tuple):
        several = origin is list or arguments[-1] is Ellipsis
        return f"a list of {_named(arguments[0])}" if several else f"a list of {len(arguments)} values"
    if dataclasses.is_dataclass(hint):
        return "a table"
    return _NAMES.get(hint, str(hint))
