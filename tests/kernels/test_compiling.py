"""Kernels compile where the cache can be written and where it cannot, and say once that they do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

USE = """
import numpy as np
from minipost.autograd import fused
x = fused.rms_norm(np.full((2, 4), 3.0, np.float32), np.ones(4, np.float32), 0.0)
y = fused.rms_norm(np.full((2, 4), 3.0, np.float64), np.ones(4, np.float64), 0.0)  # a second specialisation
print(float(x[0, 0]), float(y[0, 0]))
"""
NOWHERE = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"  # as in a read-only install, no home


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )


def test_compiling_is_announced_once_and_a_cached_kernel_is_silent(tmp_path: Path) -> None:
    first, second = (run(USE, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.stdout == second.stdout == "1.0 1.0\n"
    assert first.stderr.count("Compiling kernels") == 1
    assert second.stderr == ""


def test_without_a_place_for_the_cache_kernels_compile_all_the_same(tmp_path: Path) -> None:
    done = run(NOWHERE + USE, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout == "1.0 1.0\n"
    assert "Compiling kernels" in done.stderr
    assert not any(tmp_path.rglob("*.nbi"))


STEP = """
import hashlib, sys
from pathlib import Path
from minipost.stages import pretrain
from minipost.stages.pretrain import PretrainConfig
tiny = dict(tokens=9_000, dim=32, layers=1, hidden=64, vocab_size=512, world_share=0.25, batch_size=8)
model = pretrain.run(PretrainConfig(out=Path(sys.argv[1]), **tiny))
print(hashlib.sha256(b"".join(model.weights[n].tobytes() for n in sorted(model.weights))).hexdigest())
print(float(abs(model.weights["embedding"]).sum()))
"""


@pytest.mark.parametrize("threads", ["1", "2", "16"])
def test_any_number_of_threads_works_and_repeats_its_bits(threads: str, tmp_path: Path) -> None:
    code = STEP.replace("sys.argv[1]", repr(str(tmp_path / "run")))
    once = run(code, MINIPOST_THREADS=threads).stdout
    again = run(code.replace("/run", "/again"), MINIPOST_THREADS=threads).stdout
    assert once == again
    alone = run(code.replace("/run", "/alone"), MINIPOST_THREADS="1").stdout
    assert float(once.split()[1]) == pytest.approx(float(alone.split()[1]), rel=1e-3)


MODEL = """
import hashlib
import numpy as np
from minipost.autograd import fused
from minipost.model import AdamW, ModelConfig, Sampling, generate, init_weights, output_weight, heads, value_and_grad
from minipost.text.batching import Example, pack

config = ModelConfig(vocab_size=300, dim=96, layers=2, heads=3, kv_heads=3, hidden=160, context=96)
rng = np.random.default_rng(0)
weights = init_weights(config, rng)
examples = [Example(list(rng.integers(0, 300, 9)), list(rng.integers(0, 300, size))) for size in (3, 20, 37, 50)]
digests = {}

def note(name, *arrays):
    digests[name] = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:8]

def loss(tensors, batch):
    logps, entropy = heads.response_logps(tensors, config, batch)
    return -(logps * batch.mask).sum() - 0.1 * (entropy * batch.mask).sum(), {}

def nll(tensors, batch):
    hidden = heads.response_states(tensors, config, batch)
    share = np.full(len(batch.targets), 1 / len(batch.targets))
    return fused.weighted_nll(hidden, output_weight(tensors), batch.targets, share), {}

batch = pack(examples, 96)
for name, f in (("logps", loss), ("nll", nll)):
    metrics, grads = value_and_grad(f, weights, [batch])
    note(name, *(grads[n] for n in sorted(grads)))
AdamW(weights).step(grads, 1e-3)
note("adamw", *(weights[n] for n in sorted(weights)))
prompts = [e.prompt for e in examples] * 5
sampling = Sampling(1.0, top_k=50, top_p=0.9)
found = generate(weights, config, prompts, rng, end_id=1, max_new_tokens=24, sampling=sampling)
note("generation", *(s.logps for s in found))
print(digests)
"""


def test_who_compiles_and_who_reads_the_cache_get_the_same_bits(tmp_path: Path) -> None:
    cold, warm = (run(MODEL, NUMBA_CACHE_DIR=str(tmp_path)).stdout for _ in range(2))
    assert cold == warm
