"""`minipost --completion bash|zsh|fish`: a script that completes commands, flags and their choices in one's shell.

    minipost --completion bash > ~/.local/share/bash-completion/completions/minipost
    minipost --completion zsh  > ~/.zfunc/_minipost           # a folder of $fpath
    minipost --completion fish > ~/.config/fish/completions/minipost.fish

A command's arguments are read where the command reads them: from its configuration dataclass, or from its argparse
parser, which `minipost.cli.COMMANDS` names. The script holds them as text, so that completing starts no Python; it has
to be made again after an update.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from minipost.cli import COMMANDS, module_of
from minipost.errors import UserError


@dataclasses.dataclass(frozen=True)
class Argument:
    """A flag with its spellings, or a positional argument, which has none."""

    flags: tuple[str, ...]
    help: str
    takes_value: bool = True
    several: bool = False  # values may follow each other: --methods ppo dpo
    choices: tuple[str, ...] = ()


BASH = """# bash completion for minipost
_minipost() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} name=${{COMP_WORDS[1]}} flag= words= i
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ ${{COMP_WORDS[i]}} == -* ]]; then flag=${{COMP_WORDS[i]}}; fi
    done
    if ((COMP_CWORD == 1)); then
        words='{commands}'
    elif [[ $name == --completion ]]; then
        words='{shells}'
    elif [[ $cur == -* ]]; then
        case $name in
{flags}
        esac
    else
        case $name:$before:$flag in
{values}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _minipost minipost"""
FISH_QUOTE = "\\'"
ZSH = """#compdef minipost
_minipost() {{
    local -a commands=(
{commands}
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
    case $words[1] in
        --completion) _arguments '1:shell:({shells})' ;;
{cases}
    esac
}}
_minipost "$@\""""
HELP = Argument(("-h", "--help"), "show help message and exit", takes_value=False)
CONFIG = Argument(("--config",), "a TOML file with any of these")


def script(shell: str) -> str:
    """The completion script for a shell. Errors: `UserError` for one that is not known."""
    if shell not in SHELLS:
        raise UserError(f"--completion {shell or 'nothing'} is no shell that is known; choose one of bash, zsh, fish.")
    return SHELLS[shell]({name: arguments(name) for name in COMMANDS})


def arguments(name: str) -> list[Argument]:
    """The arguments of a command. Those of the lessons' commands are known in a checkout only, elsewhere none are."""
    command = COMMANDS[name]
    try:
        options = getattr(module_of(name, command), command.options)
    except UserError:
        return [HELP]
    if dataclasses.is_dataclass(options):
        return [HELP, CONFIG, *_of_dataclass(options)]
    return [_of_action(action) for action in options()._actions]


def _of_action(action: argparse.Action) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    text = (action.help or "") % vars(action)
    return Argument(tuple(action.option_strings), text, action.nargs != 0, action.nargs in ("*", "+"), choices)


def _of_dataclass(config: Any) -> Iterator[Argument]:
    """The fields as tyro spells them: `learning_rate` is --learning-rate, and a switch also has its --no-."""
    hints, comments = get_type_hints(config, include_extras=True), _comments(config)
    for field in dataclasses.fields(config):
        hint, flag, text = hints[field.name], f"--{field.name.replace('_', '-')}", comments.get(field.name, "")
        positional = tyro.conf.Positional in get_args(hint)
        if hint is bool:
            yield Argument((flag, flag.replace("--", "--no-", 1)), text, takes_value=False)
        else:
            several = tuple in (get_origin(hint), get_origin(get_args(hint)[0]) if positional else None)
            yield Argument(() if positional else (flag,), text, True, several, _choices(hint))


def _choices(hint: Any) -> tuple[str, ...]:
    """The values of a `Literal`, also of one that is optional or stands in a tuple."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    inner = get_args(hint) if get_origin(hint) in (Union, UnionType, tuple) else ()
    return tuple(choice for option in inner for choice in _choices(option))


def _comments(config: type) -> dict[str, str]:
    """The comment beside each field, the base classes' included: what `--help` says of it."""
    lines = "".join(inspect.getsource(base) for base in reversed(config.__mro__) if dataclasses.is_dataclass(base))
    return dict(re.findall(r"^    (\w+): .*?  # (.*)$", lines, re.MULTILINE))


# -------------------------------------------------------------------------------------------------------------- shells
Commands = Mapping[str, Sequence[Argument]]


def _bash(commands: Commands) -> str:
    """`$before` is the word before the cursor, `$flag` the last flag before it. `-o default` completes the names of
    files where no words are offered."""
    flags, values = [], []
    for name, options in commands.items():
        spelled = " ".join(flag for option in options for flag in option.flags)
        flags.append(f"        {name}) words='{spelled}' ;;")
        files = []
        for option in (option for option in options if option.flags and option.takes_value):
            patterns = [f"{name}:*:{flag}" if option.several else f"{name}:{flag}:*" for flag in option.flags]
            if option.choices:
                values.append(f"        {'|'.join(patterns)}) words='{' '.join(option.choices)}' ;;")
            else:
                files += patterns
        values += [f"        {'|'.join(files)}) ;;"] if files else []
        positional = [option for option in options if not option.flags]
        choices = " ".join(choice for option in positional for choice in option.choices)
        values.append(f"        {name}:*) words='{choices if positional else spelled}' ;;")
    return BASH.format(
        commands=" ".join([*commands, "--help", "--version", "--completion"]),
        shells=" ".join(SHELLS),
        flags="\n".join(flags),
        values="\n".join(values),
    )


def _zsh(commands: Commands) -> str:
    """A description for each command, and the arguments of each as `_arguments` reads them."""

    def described(option: Argument) -> Iterator[str]:
        action = f"({' '.join(option.choices)})" if option.choices else "_files"
        if not option.flags:
            yield _quoted(f"{'*' * (not option.choices)}:{_plain(option.help)}:{action}")
        for flag in option.flags:
            value = f":value:{action}" if option.takes_value else ""
            yield _quoted(f"{'*' * option.several}{flag}[{_plain(option.help)}]{value}")

    return ZSH.format(
        commands="\n".join(f"        {_quoted(f'{name}:{_plain(COMMANDS[name].summary)}')}" for name in commands),
        shells=" ".join(SHELLS),
        cases="\n".join(
            f"        {name}) _arguments {' '.join(word for option in options for word in described(option))} ;;"
            for name, options in commands.items()
        ),
    )


def _fish(commands: Commands) -> str:
    """A line for each command and each spelling of a flag."""
    lines = [
        "# fish completion for minipost",
        "complete -c minipost -n __fish_use_subcommand -l completion -x -a 'bash zsh fish'",
    ]
    for name, options in commands.items():
        summary = _quoted(COMMANDS[name].summary, FISH_QUOTE)
        lines.append(f"complete -c minipost -n __fish_use_subcommand -f -a {name} -d {summary}")
        start = f"complete -c minipost -n '__fish_seen_subcommand_from {name}'"
        for option in options:
            values = f" -a '{' '.join(option.choices)}'" if option.choices else ""
            value = (" -x" if option.choices else " -r") if option.takes_value else ""
            spellings = [
                f" -l {flag[2:]}{value}" if flag.startswith("--") else f" -s {flag[1:]}{value}" for flag in option.flags
            ]
            for spelling in spellings or [""] * bool(values):
                lines.append(f"{start}{spelling}{values} -d {_quoted(option.help, FISH_QUOTE)}")
    return "\n".join(lines)


def _quoted(text: str, quote: str = "'\\''") -> str:
    """In single quotes; `quote` stands for those in the text."""
    return "'" + text.replace("'", quote) + "'"


def _plain(text: str) -> str:
    """Without the characters that `_arguments` and `_describe` read as marks."""
    return text.translate(str.maketrans(":[]", ",()"))


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def command(argv: Sequence[str]) -> int:
    """`minipost --completion SHELL`; without a shell, that of $SHELL."""
    print(script(argv[0] if argv else Path(os.environ.get("SHELL", "")).name))
    return 0
