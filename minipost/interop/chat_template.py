"""Chat templates as Jinja programs, which is how checkpoints carry them.

Ours are data (`minipost.text.template`), so that content can never forge a special token. Writing one as a program is
mechanical. Reading one would mean to run a stranger's program: instead it is recognised by its special tokens, or, if
it is none that we know, the model is taken for one that only continues text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from minipost.text import Template
from minipost.text.template import CHATML, LLAMA3, plain

_ROLE, _CONTENT = "message['role']", "message['content']"
_DEFAULT_SYSTEM = re.compile(r"<\|im_start\|>system(?:\\n|\n)([^<>{}'\"]+?)<\|im_end\|>")


def to_jinja(template: Template) -> str:
    """The program that renders `messages` as `minipost.text.chat.render` does."""
    before, slot, after = template.opening.partition("{role}")
    opening = [_text(before), *([_ROLE, _text(after)] if slot else [])]
    system = template.opening.format(role="system") + template.lead + template.default_system + template.closing
    prompt = template.between + template.opening.format(role="assistant")
    lines = [
        _print(_text(template.begin)),
        _when("messages[0]['role'] != 'system'", _text(system + template.between)) if template.default_system else "",
        "{% for message in messages %}",
        _when("not loop.first", _text(template.between)) if template.between else "",
        _print(*opening, _text(template.lead), _CONTENT),
        _when(f"{_ROLE} == 'assistant'", _text(template.end)),
        _when(f"{_ROLE} != 'assistant'", _text(template.closing)) if template.closing else "",
        "{% endfor %}",
        _when("add_generation_prompt", _text(prompt)) if prompt else "",
    ]
    return "".join(lines)


def from_jinja(program: Any, start: str, specials: Mapping[str, int]) -> Template:
    """The template that a program stands for; `start` opens the texts of a model that only continues them."""
    program = program if isinstance(program, str) else ""
    if "<|im_start|>" in program and CHATML.end in specials:
        system = _DEFAULT_SYSTEM.search(program)
        return replace(CHATML, default_system=system[1] if system else "")
    if "<|start_header_id|>" in program and LLAMA3.end in specials:
        return LLAMA3
    return plain(start)


def _text(raw: str) -> str:
    return json.dumps(raw, ensure_ascii=False)


def _print(*parts: str) -> str:
    shown = " + ".join(part for part in parts if part != '""')
    return f"{{{{ {shown} }}}}" if shown else ""


def _when(condition: str, part: str) -> str:
    return f"{{% if {condition} %}}{_print(part)}{{% endif %}}"
