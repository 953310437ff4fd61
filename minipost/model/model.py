"""A trained model: its weights, what they mean, and the tokenizer that it was trained with.

Training works on the weights themselves (`minipost.model.heads`); a `Model` is what all others hold in their hands: it
is loaded from a folder, it answers, and it says how probable or how good answers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minipost.model import heads
from minipost.model.config import Array, ModelConfig, head_of, shapes
from minipost.model.folder import check_shapes, load_model, save_model
from minipost.model.generation import Sampled, Sampling, generate
from minipost.model.parallel import map_shards
from minipost.text import Message, Tokenizer, prompt_tokens
from minipost.text.batching import Example, Packed, pack


@dataclass(frozen=True)
class Model:
    """Weights by name, the configuration that says how they belong together, and the tokenizer."""

    weights: dict[str, Array]
    config: ModelConfig
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path | str, head: str | None = None) -> Model:
        """A finished run's model; `head` is the scalar output that it must have ("score", of either kind) or not
        have (None).

        Errors: `RunError`, `ModelError` or `TokenizerError`, one sentence.
        """
        weights, fields, tokenizer = load_model(folder)
        config = ModelConfig.from_dict(fields)
        head = "likelihood" if head == "score" and head_of(weights) == "likelihood" else head
        check_shapes(weights, shapes(config, head), folder)
        return cls(weights, config, tokenizer)

    def save(self, folder: Path) -> None:
        """Write the files that `load` reads."""
        save_model(folder, self.weights, self.config, self.tokenizer)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        rng: np.random.Generator,
        *,
        max_new_tokens: int,
        sampling: Sampling = Sampling(),
        end_id: int | None = None,
        on_token: Callable[[int, int], None] | None = None,
    ) -> list[Sampled]:
        """One response to each prompt (token ids), until the tokenizer's end token or `end_id`: see `generate`."""
        end_id = self.tokenizer.end_id if end_id is None else end_id
        limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "sampling": sampling, "on_token": on_token}
        return generate(self.weights, self.config, prompts, rng, end_id=end_id, **limits)

    def answer(
        self,
        prompts: Sequence[str | Sequence[Message]],
        rng: np.random.Generator,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
    ) -> list[tuple[str, Sampled]]:
        """Answers to user prompts or conversations: (text without special tokens, what was sampled)."""
        ids = [prompt_tokens(self.tokenizer, prompt) for prompt in prompts]
        sampled = self.generate(ids, rng, max_new_tokens=max_new_tokens, sampling=Sampling(temperature))
        return [(self.tokenizer.decode(s.tokens, skip_special=True).strip(), s) for s in sampled]

    def token_logps(self, batch: Packed, temperature: float = 1.0) -> Array:
        """The log-probability of every response token of a packed batch, 0 where there is none: [S, R]."""
        return np.asarray(heads.response_logps(self.weights, self.config, batch, temperature)[0])

    def logps(
        self, examples: Sequence[Example], row_length: int = 128, group: int = 128, temperature: float = 1.0
    ) -> Array:
        """log pi(response | prompt) of each example, end token included: [S]."""
        return self._in_groups(partial(heads.sequence_logps, temperature=temperature), examples, row_length, group)

    def scores(self, examples: Sequence[Example], row_length: int = 128, group: int = 64) -> Array:
        """A reward model's score of each example: [S]."""
        return self._in_groups(heads.scores, examples, row_length, group)

    def _in_groups(self, head: Callable[..., Any], examples: Sequence[Example], row_length: int, group: int) -> Array:
        """`head(weights, config, packed)`, one number a sequence, for groups of examples on all cores: [S]."""
        packed = [pack(examples[lo : lo + group], row_length) for lo in range(0, len(examples), group)]
        numbers = map_shards(lambda batch: head(self.weights, self.config, batch), packed)
        return np.concatenate([np.zeros(0, self.weights["norm"].dtype), *numbers])  # of no example, none
