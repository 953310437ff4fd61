"""Sampling answers: of a finetuned model in its chat template, of a base model as the next line of a page.

A base model has never seen the template, so comparing both in the template would measure nothing else. A base model is
asked in the web's own way: the question is the first line of a forum's thread, and the second line is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minipost.autograd import Array
from minipost.model import Model, Sampling
from minipost.text import Tokenizer, indented, prompt_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility
from minipost.world.utility import Judgement

LONGEST = 48  # tokens that a model may say


def continued(model: Model, texts: Sequence[str], rng: np.random.Generator, temperature: float = 1.0) -> list[str]:
    """How the model goes on after each text, which begins a document. What starts another document is left out."""
    t = model.tokenizer
    sampled = model.generate(
        [opened(t, text) for text in texts],
        rng,
        end_id=t.document_id,
        max_new_tokens=LONGEST,
        sampling=Sampling(temperature),
    )
    return [t.decode(s.tokens, skip_special=True) for s in sampled]


def opened(t: Tokenizer, text: str) -> list[int]:
    """A document that begins with this text, as the web's pages are encoded. The next word brings its own space."""
    return [t.document_id, *t.encode(indented(text).rstrip(" "))]


def as_thread(prompt: str) -> str:
    """A page that has just been asked something."""
    return f"> {prompt}\n"


def in_a_thread(model: Model, tasks: Sequence[Task], rng: np.random.Generator, temperature: float = 1.0) -> list[str]:
    """The line that follows each question in a forum: a base model's answer."""
    continuations = continued(model, [as_thread(task.prompt) for task in tasks], rng, temperature)
    return [first_line(text) for text in continuations]


def first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].strip()


def in_chat(model: Model, tasks: Sequence[Task], rng: np.random.Generator, temperature: float = 1.0) -> list[str]:
    """Answers in the chat template."""
    answers = model.answer([task.prompt for task in tasks], rng, temperature, LONGEST)
    return [text for text, _ in answers]


def judged(utility: Utility, tasks: Sequence[Task], answers: Sequence[str]) -> list[Judgement]:
    return [utility.judge(task, text) for task, text in zip(tasks, answers, strict=True)]


def logps_in_a_thread(model: Model, prompts: Sequence[str], answers: Sequence[str]) -> Array:
    """log p(answer | question) [S] in a thread; the answer may go on afterwards."""
    t = model.tokenizer
    return model.logps(
        [
            Example(opened(t, as_thread(prompt)), t.encode(f" {text}"))
            for prompt, text in zip(prompts, answers, strict=True)
        ]
    )


def logps_in_chat(model: Model, prompts: Sequence[str], answers: Sequence[str]) -> Array:
    """The same in the chat template."""
    t = model.tokenizer
    return model.logps(
        [Example(prompt_tokens(t, prompt), t.encode(f" {text}")) for prompt, text in zip(prompts, answers, strict=True)]
    )
