"""A stage in bfloat16: its own bits, repeated, about the same losses, and float32 weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minipost.autograd import fused
from minipost.errors import UserError
from minipost.stages import pretrain
from minipost.stages.pretrain import PretrainConfig

TINY = {"tokens": 9_000, "dim": 32, "layers": 1, "hidden": 64, "vocab_size": 512, "world_share": 0.25, "batch_size": 8}


def losses(folder: Path) -> np.ndarray:
    """Of every update."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return np.array([row["loss"] for row in rows if "loss" in row])


def test_a_stage_in_bfloat16_repeats_its_bits_and_learns_as_float32_does(tmp_path: Path) -> None:
    models = {}
    for name, precision in [("plain", "float32"), ("rounded", "bfloat16"), ("again", "bfloat16")]:
        config = PretrainConfig(out=tmp_path / name, precision=precision, **TINY)  # type: ignore[arg-type]
        models[name] = pretrain.run(config).weights
    plain, rounded = losses(tmp_path / "plain"), losses(tmp_path / "rounded")
    assert len(plain) > 4
    np.testing.assert_allclose(rounded, plain, rtol=5e-3)
    assert not np.array_equal(rounded, plain)
    for name, w in models["rounded"].items():
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w, models["again"][name])
    record = json.loads((tmp_path / "rounded/config.json").read_text(encoding="utf-8"))
    assert record["config"]["precision"] == "bfloat16"


def test_the_precision_ends_with_the_stage_also_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        pretrain.run(PretrainConfig(out=tmp_path / "run", precision="bfloat16", data=(tmp_path / "none.txt",)))
    x = np.full((1, 1), 1 + 2.0**-10, np.float32)
    assert fused.linear(x, np.ones((1, 1), np.float32))[0, 0] == x[0, 0]
