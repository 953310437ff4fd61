"""Kernels do not depend on NumPy's BLAS, nor their results on the processor's instructions beyond rounding."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest

import minipost

PACKAGE = Path(minipost.__file__).parent
ROOT = PACKAGE.parent
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "OPENBLAS_CORETYPE": "Haswell"}

# Three updates by Muon and AdamW, with sides that no tile divides; leaves losses, weights and a gradient behind.
STEPS = """
import sys
import numpy as np
from minipost.autograd import fused
from minipost.kernels import rms_norm
from minipost.model import ModelConfig, Muon, heads, init_weights, output_weight, value_and_grad
from minipost.text.batching import Example, pack

config = ModelConfig(vocab_size=301, dim=36, layers=2, heads=3, kv_heads=3, hidden=52, context=71)
rng = np.random.default_rng(0)
weights = init_weights(config, rng)
examples = [Example(list(rng.integers(0, 301, 9)), list(rng.integers(0, 301, size))) for size in (3, 20, 37, 50)]

def loss(tensors, batch):
    hidden = heads.response_states(tensors, config, batch)
    share = np.full(len(batch.targets), 1 / 110)
    return fused.weighted_nll(hidden, output_weight(tensors), batch.targets, share), {}

optimizer, losses = Muon(weights, peak_lr=1e-3), []
for _ in range(3):
    metrics, grads = value_and_grad(loss, weights, [pack(examples[:2], 71), pack(examples[2:], 71)])
    optimizer.step(grads, 1e-3)
    losses.append(metrics["loss"])
code = "".join(rms_norm.forward.inspect_asm().values())
np.savez(sys.argv[1], losses=losses, wide="zmm" in code, gradient=grads["layers.0.qkv"], **weights)
"""


def steps(folder: Path, python: str | Path = sys.executable, **environment: str) -> dict[str, np.ndarray]:
    """What `STEPS` leaves behind in an interpreter and an environment."""
    out = folder / "steps.npz"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MINIPOST_THREADS": "2", **environment}
    done = subprocess.run([python, "-c", STEPS, out], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(out) as arrays:
        return dict(arrays)


def same_within_rounding(results: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Losses to six digits; weights and gradients to 2e-3 of their largest, since Newton-Schulz enlarges rounding."""
    assert set(results) == set(expected)
    np.testing.assert_allclose(results["losses"], expected["losses"], rtol=1e-5)
    for name in set(expected) - {"losses", "wide"}:
        np.testing.assert_allclose(
            results[name], expected[name], atol=2e-3 * np.abs(expected[name]).max(), err_msg=name
        )


@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2"), reason="a processor without AVX2")
def test_avx2_gives_the_same_steps(tmp_path: Path) -> None:
    """Compiled for a Haswell: no register of AVX-512 is touched, and nothing but rounding changes."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    narrow = steps(elsewhere, NUMBA_CACHE_DIR=str(tmp_path / "cache"), **AVX2)
    assert not narrow["wide"]
    same_within_rounding(narrow, steps(here))


def test_no_file_of_the_package_opens_a_library_of_numpys() -> None:
    """No private symbol: what a NumPy was built with cannot matter."""
    private = re.compile(r"numpy\.libs|\.dylibs|openblas64|cblas_|scipy_openblas")
    wrong = [path.name for path in PACKAGE.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
    assert not wrong


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose NumPy was built without BLAS: MINIPOST_PLAIN_PYTHON, or one that is built in minutes."""
    if prepared := os.environ.get("MINIPOST_PLAIN_PYTHON"):
        return Path(prepared)
    folder = tmp_path_factory.mktemp("plain")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet"]
    options = [f"-Csetup-args=-D{option}" for option in ("allow-noblas=true", "blas=none", "lapack=none")]
    subprocess.run([*pip, "--no-binary", "numpy", f"numpy=={np.__version__}", *options], check=True)
    needs = ["numba", "matplotlib", "rich", "safetensors", "tyro", "hypothesis", "pytest"]
    subprocess.run([*pip, *needs], check=True)
    return python


@pytest.mark.slow
def test_a_numpy_without_blas_gives_the_same_steps(plain_python: Path, tmp_path: Path) -> None:
    ask = "import numpy; print(numpy.show_config(mode='dicts')['Build Dependencies']['blas']['name'])"
    assert subprocess.run([plain_python, "-c", ask], capture_output=True, text=True, check=True).stdout == "none\n"
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    plain = steps(elsewhere, plain_python, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    same_within_rounding(plain, steps(here))


@pytest.mark.slow
def test_the_kernels_tests_pass_with_a_numpy_without_blas(plain_python: Path, tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    tests = [ROOT / "tests" / "kernels" / "test_kernels.py", ROOT / "tests" / "model" / "test_transformer.py"]
    command = [plain_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_a_pretraining_ends_with_a_numpy_without_blas(plain_python: Path, tmp_path: Path) -> None:
    small = ["--tokens", "9000", "--dim", "32", "--layers", "1", "--hidden", "64", "--vocab-size", "512"]
    command = [plain_python, "-m", "minipost", "pretrain", *small, "--world-share", "0.25", "--out", tmp_path / "run"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "model.safetensors").is_file()
