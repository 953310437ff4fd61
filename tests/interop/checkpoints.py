"""Small random models and tokenizers for the tests of foreign formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from minipost.model import ModelConfig, RopeScaling, init_weights
from minipost.model.folder import save_model
from minipost.text import Tokenizer

TEXT = (
    "The river runs past 12 mills, and the miller's wife says: \"Don't!\" über façade naïve Ωmega 汉字汉字 при привет "
    "don't won't 1234567 -- ... ?? !!  \n\n\t tabs_and_underscores hello hello the the river river "
) * 4


def tokenizer(size: int = 400) -> Tokenizer:
    return Tokenizer.train([TEXT], size)


@st.composite
def configs(draw: st.DrawFn, vocab_size: int = 300) -> ModelConfig:
    """Any shape that a small Llama checkpoint may have."""
    kv_heads, group, head_dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), 2 * draw(st.integers(1, 6))
    heads = kv_heads * group
    scalings = st.one_of(
        st.none(),
        st.builds(RopeScaling, st.just("linear"), st.floats(1, 8)),
        st.builds(RopeScaling, st.just("llama3"), st.floats(2, 32), st.just(1.0), st.just(4.0), st.integers(8, 64)),
    )
    return ModelConfig(
        vocab_size,
        heads * head_dim,
        draw(st.integers(1, 3)),
        heads,
        kv_heads,
        draw(st.integers(1, 40)),
        draw(st.integers(32, 128)),
        tied=draw(st.booleans()),
        rope_base=draw(st.floats(100, 5e5)),
        norm_eps=draw(st.sampled_from([1e-6, 1e-5])),
        rope_scaling=draw(scalings),
    )


def save(folder: Path, config: ModelConfig, words: Tokenizer, seed: int = 0, head: str | None = None) -> dict:
    """A run folder with a model whose every weight is random; returns the weights."""
    rng = np.random.default_rng(seed)
    weights = init_weights(config, rng, head)
    noise = {n: 0.3 * rng.standard_normal(w.shape) / w.shape[-1] ** 0.5 for n, w in weights.items()}
    weights = {n: (w + noise[n]).astype(np.float32) for n, w in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, weights, config, words)
    return weights
