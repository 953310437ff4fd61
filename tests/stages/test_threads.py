"""The number of threads changes a stage's results by rounding only.

Every stage trains a model of a few thousand weights with 1, 2, 3, 7 and 16 threads, on minibatches of four or eight.
In float64 rounding is far below any mistake. In float32, which users get, metrics and weights agree to 1e-4, a tenth of
the learning rate: AdamW divides a gradient by its size, so that rounding in a small gradient moves its weight further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nano import rows

from minipost.model import Array, Model, ModelConfig, init_weights
from minipost.stages import dpo, grpo, ppo, pretrain, reward, sft
from minipost.stages.base import run_folder
from minipost.stages.rollouts import Prompts, reward_scores
from minipost.text import Tokenizer
from minipost.text.batching import Example

TOKENIZER = Tokenizer([])
CONFIG = ModelConfig(vocab_size=len(TOKENIZER), dim=16, layers=2, heads=2, kv_heads=1, hidden=24, context=64)
RATE = 1e-3


def some_model(dtype: type, head: str | None = None) -> Model:
    rng = np.random.default_rng(3)
    weights = init_weights(CONFIG, rng, head)
    weights = {name: (w + 0.1 * rng.standard_normal(w.shape)).astype(dtype) for name, w in weights.items()}
    return Model(weights, CONFIG, TOKENIZER)


def some_tokens(count: int) -> list[list[int]]:
    """Sequences of very different lengths."""
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, rng.integers(1, 24)).tolist() for _ in range(count)]


EXAMPLES = [Example(prompt, response) for prompt, response in zip(some_tokens(16), some_tokens(16)[::-1], strict=True)]
PAIRS = [(x, Example(x.prompt, y.response)) for x, y in zip(EXAMPLES, EXAMPLES[::-1], strict=True)]


def pretrained(dtype: type, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Array]:
    text = folder.with_suffix(".txt")
    text.write_text(" ".join(str(i * i) for i in range(600)))
    monkeypatch.setattr(pretrain, "init_weights", partial(init_weights, dtype=dtype))
    shape = {name: getattr(CONFIG, name) for name in ("dim", "layers", "heads", "kv_heads", "hidden", "context")}
    size: dict[str, Any] = {"data": (text,), "tokens": 500, "vocab_size": 300, "batch_size": 8, "row_length": 16}
    config = pretrain.PretrainConfig(
        out=folder, learning_rate=RATE, muon_learning_rate=RATE, **size, **shape, **options
    )
    return pretrain.run(config).weights


def finetuned(dtype: type, folder: Path, **options: Any) -> dict[str, Array]:
    config = sft.SFTConfig(out=folder, batch_size=8, learning_rate=RATE, row_length=64, **options)
    return sft.train(run_folder("sft", config), some_model(dtype), EXAMPLES, config)


def judging(dtype: type, folder: Path, **options: Any) -> dict[str, Array]:
    config = reward.RewardConfig(out=folder, batch_size=8, learning_rate=RATE, row_length=64, **options)
    return reward.train(run_folder("reward", config), some_model(dtype), PAIRS, config)


def preferring(dtype: type, folder: Path) -> dict[str, Array]:
    config = dpo.DPOConfig(out=folder, batch_size=8, learning_rate=RATE, row_length=64)
    return dpo.train(run_folder("dpo", config), some_model(dtype), PAIRS, config)


ROLLOUTS: dict[str, Any] = {"iterations": 2, "max_new_tokens": 12, "learning_rate": RATE, "row_length": 64}


def draw(rng: np.random.Generator, count: int) -> Prompts:
    return Prompts(some_tokens(count))


def by_ppo(dtype: type, folder: Path, **options: Any) -> dict[str, Array]:
    config = ppo.PPOConfig(out=folder, rollout=8, **ROLLOUTS, **options)
    judge = some_model(dtype, "score")
    score = partial(reward_scores, judge, row_length=64)
    return ppo.train(run_folder("ppo", config), some_model(dtype), judge, draw, score, config)


def by_grpo(dtype: type, folder: Path, **options: Any) -> dict[str, Array]:
    config = grpo.GRPOConfig(out=folder, prompts=4, group=2, **ROLLOUTS, **options)
    score = partial(reward_scores, some_model(dtype, "score"), row_length=64)
    return grpo.train(run_folder("grpo", config), some_model(dtype), draw, score, config)


STAGES: dict[str, Callable[..., dict[str, Array]]] = {
    "pretrain with Muon": pretrained,
    "pretrain with AdamW": partial(pretrained, optimizer="adamw"),
    "sft": finetuned,
    "sft with LoRA": partial(finetuned, lora_rank=2),
    "reward": judging,
    "reward, scalar head": partial(judging, head="scalar"),
    "dpo": preferring,
    "ppo": by_ppo,
    "ppo with one trunk": partial(by_ppo, value_network="shared"),
    "grpo": by_grpo,
    "rloo": partial(by_grpo, method="rloo"),
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_alike_with_any_number_of_threads(
    stage: str,
    dtype: type,
    tolerance: float,
    use_threads: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = partial(STAGES[stage], monkeypatch=monkeypatch) if "pretrain" in stage else STAGES[stage]
    results = []
    for threads in (1, 2, 3, 7, 16):
        use_threads(threads)
        weights = train(dtype, tmp_path / str(threads))
        results.append((rows(tmp_path / str(threads)), weights))
    alone, alone_weights = results[0]
    assert len(alone) >= 2
    for metrics, weights in results:
        if stage == "dpo":  # policy and reference tie in the first minibatch, and rounding says who wins
            assert 0 <= metrics[0].pop("rewards/accuracies") <= 1
        for row, expected in zip(metrics, alone, strict=True):
            assert row == pytest.approx(expected, rel=tolerance, abs=tolerance)
        for name, w in weights.items():
            assert w.dtype == dtype
            np.testing.assert_allclose(w, alone_weights[name], rtol=tolerance, atol=tolerance, err_msg=name)
