"""The commands of `python -m benchmarks`: refusals, the shape of what they write, and smoke runs without peers."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contenders import MACHINE

from benchmarks import (
    generate,
    kernels,
    ladders,
    lock,
    machine,
    matmul,
    peers,
    recipes,
    results,
    stages,
    threads,
    train,
)
from benchmarks.__main__ import COMMANDS, main
from benchmarks.harness import BenchmarkError
from benchmarks.registry import REGISTRY, register
from benchmarks.sizes import SIZES, scaled

ROOT = Path(__file__).resolve().parents[2]
NANO = SIZES["nano"]
QUICK = ["--rounds", "1", "--seconds", "0.01"]


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring the machine takes seconds."""
    monkeypatch.setattr(machine, "measure", lambda: MACHINE)


@pytest.fixture
def empty_registry() -> Iterator[None]:
    kept = dict(REGISTRY)
    REGISTRY.clear()
    yield
    REGISTRY.clear()
    REGISTRY.update(kept)


def run(tmp_path: Path, *argv: str) -> dict[str, object]:
    path = tmp_path / "results.json"
    assert main([*argv, "--json", str(path)]) == 0
    assert path.with_suffix(".png").stat().st_size > 1000
    return json.loads(path.read_text())


# ------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["trian"], "did you mean train?"),
        (["train", "--size", "XXL"], "choose one of nano, tour, XS, S, M"),
        (["train", "--against", "tensorflow"], "there is no peer 'tensorflow'"),
        (["generate", "--against", "jax"], "choose from torch, transformers"),
        (["generate", "--size", "nano", "--against", "none", "--batches", "0"], "whole numbers from 1"),
        (["kernels", "--size", "nano", "--against", "none", "--with", "nowhere.py"], "there is no file nowhere.py"),
        (["kernels", "--size", "nano", "--against", "none", "--only", "fft"], "no kernel's name has 'fft'"),
        (["matmul", "--sizes", "nano", "--against", "none", "--only", "fft"], "no product's name has 'fft'"),
        (["ladders", "--size", "nano", "--only", "fft"], "no ladder's name has 'fft'"),
        (["threads", "--sizes", "nano", "--against", "none", "--threads", "0"], "whole numbers from 1"),
        (["numpys", "--sizes", "nano", "--python", "nowhere"], "there is no interpreter nowhere"),
        (["results", "--folder", "nowhere"], "there are no results in nowhere"),
    ],
)
def test_what_a_user_can_fix_is_one_sentence(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str], empty_registry: None
) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in error and "Traceback" not in error


def test_a_missing_peer_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert main(["train", "--against", "jax"]) == 2
    assert "pip install 'minipost[peers]'" in capsys.readouterr().err
    assert peers.chosen("installed", train.PEERS) == []
    assert "not compared with: torch, torch-bf16, compile, jax" in capsys.readouterr().err


def test_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    with pytest.raises(SystemExit) as left:
        main(["train", "--help"])
    assert left.value.code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_benchmark_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m benchmarks {name} ")
    _, *flags = re.split(r"^\W+(?=--?[a-z])", printed.partition("options")[2], flags=re.MULTILINE)
    assert len(flags) > 2
    for flag in flags:
        assert re.search(r"[a-z]{2,} [a-z]", flag.partition("(default")[0].partition("  ")[2]), flag


def test_other_work_is_refused() -> None:
    own = {"parameters": 10, "losses": [3.0, 2.0]}
    train.same_work({"minipost": own, "roof": {}, "torch": dict(own)})
    with pytest.raises(BenchmarkError, match="has 11 parameters"):
        train.same_work({"minipost": own, "torch": {**own, "parameters": 11}})
    with pytest.raises(BenchmarkError, match="torch does other work"):
        train.same_work({"minipost": own, "torch": {**own, "losses": [3.0, 2.01]}})
    train.same_work({"minipost": own, "torch-bf16": {**own, "losses": [3.0, 2.001]}})  # rounds more
    with pytest.raises(BenchmarkError, match="torch-bf16 does other work"):
        train.same_work({"minipost": own, "torch-bf16": {**own, "losses": [3.0, 2.01]}})
    with pytest.raises(BenchmarkError, match="50% of its greedily"):
        generate.same_tokens({"minipost": {"greedy": [1, 2]}, "torch": {"greedy": [1, 3]}})
    with pytest.raises(BenchmarkError, match="its grad_norm is 2"):
        stages.same_work({"minipost": {"grad_norm": 1.0}, "torch": {"grad_norm": 2.0}})


# ---------------------------------------------------------------------------------------------------- smoke runs
def test_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run(tmp_path, "train", "--size", "nano", "--against", "none", *QUICK)
    own, rounded = record["results"]
    assert record["size"] == "nano" and list(record["ratio"]) == [rounded["name"]] == ["minipost-bf16"]
    assert record["ratio_bf16"]["minipost"] == pytest.approx(1 / record["ratio"]["minipost-bf16"])
    assert rounded["losses"] == pytest.approx(own["losses"], rel=1e-3) and rounded["losses"] != own["losses"]
    assert own["name"] == "minipost" and len(own["losses"]) == 4
    assert own["losses"][0] == pytest.approx(np.log(NANO.vocab_size), abs=0.1)
    assert own["tokens_per_second"] == pytest.approx(NANO.batch * NANO.tokens / own["median"])
    assert all(0 < seconds < own["p90"] for seconds in own["parts"].values()) and len(own["parts"]) == 2
    assert "matrix products alone" in capsys.readouterr().out


def test_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 2)
    path = tmp_path / "threads.json"
    argv = ["threads", "--sizes", "nano", "--against", "none", "--threads", "2", "3", "--json", str(path)]
    assert main([*argv, *QUICK]) == 0
    one, two, three = json.loads(path.read_text())["results"]
    assert [r["threads"] for r in (one, two, three)] == [1, 2, 3]
    assert two["faster"] == one["median"] / two["median"] and "median" not in three  # more than the cores
    if one["lock"]:
        assert 0 < one["lock"] < one["median"] and one["allowed"] == pytest.approx(1) and three["allowed"] > 0
    assert "lock allows" in capsys.readouterr().out
    page = results.page(results.read(tmp_path))
    assert "## Training step, thread by thread" in page and "| nano | 3 |  |" in page


def test_what_the_lock_allows_is_amdahls_law() -> None:
    lock = {"1": 1.0, "8": 8.0, "16": 1.0}
    assert threads.allowed(10.0, lock, 1, 1) == 1
    assert threads.allowed(9.0, lock, 8, 8) == 1  # each shard adds as much as it takes away
    assert threads.allowed(10.0, lock, 16, 9) == pytest.approx(5)  # serial 1, shared 9


@pytest.mark.skipif(machine.cores() < 2, reason="the watcher needs a core of its own")
def test_the_lock_is_seen_as_held_and_as_free() -> None:
    with lock.watched() as held:
        if held is None:
            pytest.skip("this Python keeps its lock elsewhere, or has none")
        counting, sleeping = held(lambda: sum(range(3_000_000))), held(lambda: time.sleep(0.05))
    assert sleeping < 0.5 * counting
    assert sys.getswitchinterval() != lock.RARE / 1e6


@pytest.mark.skipif(sys.platform == "win32", reason="another interpreter is started by what Windows does not have")
def test_numpys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "numpys.json"
    argv = ["numpys", "--sizes", "nano", "--python", sys.executable, "--no-avx2", "--json", str(path)]
    assert main([*argv, *QUICK]) == 0
    first, second = json.loads(path.read_text())["results"]
    assert (first["name"], second["name"]) == ("this Python", "another Python")
    assert first["numpy"] == second["numpy"] == np.__version__ and first["losses"] == second["losses"]
    assert first["times"] == 1 and second["times"] == second["median"] / first["median"]
    assert str(tmp_path.parent) not in capsys.readouterr().out


def test_generate(tmp_path: Path) -> None:
    record = run(tmp_path, "generate", "--size", "nano", "--against", "none", "--batches", "1", "3", *QUICK)
    assert record["ratio"] == {"1": {}, "3": {}}
    assert [r["batch"] for r in record["results"]] == [1, 3]


def test_the_better_number_of_threads_counts() -> None:
    speeds = {"minipost": 10.0, "torch, 1 threads": 4.0, "torch, 2 threads": 5.0, "transformers": 2.0}
    rows = [{"name": name, "tokens_per_second": speed} for name, speed in speeds.items()]
    assert generate.ratios(rows) == {"torch": 2.0, "transformers": 5.0}


def test_stages_run_the_stages_own_loops() -> None:
    for c in stages.comparisons(NANO)[2:]:
        (row,) = stages.measure(c, [], 1, 0.01)
        assert row["stage"] == c.name and row["per_second"] > 0
        if "loss" in row:
            assert row["loss"] == pytest.approx(np.log(2), abs=1e-4)
        else:
            assert row["ratio"] == pytest.approx(1, abs=1e-3) and row["updates"] == 8


@pytest.mark.usefixtures("empty_registry")
def test_kernels_and_one_of_a_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "import numpy as np\nfrom benchmarks.registry import register\n"
        "register('my doubling', lambda rng: (rng.random(9),), lambda x: 2 * x, lambda x: x + x, flops=9, bytes=144)\n"
    )
    argv = ["kernels", "--size", "nano", "--against", "none", "--with", str(own)]
    record = run(tmp_path, *argv, *QUICK)
    names = [r["name"] for r in record["results"]]
    assert names[-1] == "my doubling" and len(names) > 10
    assert all(r["median"] > 0 and r["share_of_roofline"] > 0 and r["ratio"]["NumPy"] > 0 for r in record["results"])
    assert "my doubling" in capsys.readouterr().out


@pytest.mark.usefixtures("empty_registry")
def test_a_kernel_that_is_wrong_is_not_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register("wrong", lambda rng: (np.ones(4),), lambda x: 2 * x, lambda x: 3 * x, flops=4, bytes=4)
    with pytest.raises(BenchmarkError, match="'wrong' already"):
        register("wrong", lambda rng: (), abs, abs, flops=1, bytes=1)
    with pytest.raises(BenchmarkError, match="must be positive"):
        register("empty", lambda rng: (), abs, abs, flops=0, bytes=1)
    assert main(["kernels", "--size", "nano", "--against", "none", "--only", "wrong"]) == 2
    assert "minipost is off by 1" in capsys.readouterr().err


def test_matmul(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "matmul.json"
    argv = ["matmul", "--sizes", "nano", "tour", "--against", "none", "--only", "attention", "--json", str(path)]
    assert main([*argv, *QUICK]) == 0
    results = json.loads(path.read_text())["results"]
    assert {r["group"] for r in results} == {"nano", "tour"}
    for r in results:
        assert r["ratio"]["NumPy"] == r["flops"]["minipost"] / r["flops"]["NumPy"] > 0
    assert "geometric mean" in capsys.readouterr().out
    assert matmul.mean([2.0, 0.5]) == pytest.approx(1)


def test_the_products_of_a_step_are_its_arithmetic() -> None:
    """Forward, input's and weight's gradient of each weight, on half of the batch: 6 N P operations in all."""
    size = SIZES["tour"]
    products = [p for p in matmul.products_of(size) if not p.name.startswith(("attention scores", "attention values"))]
    layers = {"qkv": 3, "attention out": 3, "gate, up": 3, "down": 3}
    chunks = size.batch * size.tokens / matmul.CHUNK
    flops = 0.0
    for p in products:
        name = p.name.rpartition(" ")[0]
        if name in layers or name == "output":
            flops += p.flops / p.stacked * (2 * layers[name] if name in layers else chunks)
    assert flops == 6 * size.batch * size.tokens * size.matrix_parameters


@pytest.mark.parametrize("edge", matmul.edges(), ids=lambda p: p.text)
def test_every_contender_multiplies_every_edge(edge: matmul.Product) -> None:
    a, b, c = edge.inputs(np.random.default_rng(0))
    expected = matmul.exact(edge, a, b)
    for name in ("minipost", "NumPy"):
        c[...] = np.nan  # no sum may start from what was there
        result = matmul.CONTENDERS[name](edge, a, b, c)()
        np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_a_product_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matmul.CONTENDERS, "NumPy", lambda product, a, b, c: lambda: np.zeros_like(c))
    with pytest.raises(BenchmarkError, match="NumPy is off"):
        matmul.row(matmul.edges()[0], ["minipost", "NumPy"], 1, 0.01)


@pytest.mark.parametrize("ladder", ladders.ladders(NANO), ids=lambda ladder: ladder.name.partition(",")[0])
def test_every_rung_of_a_ladder_gives_the_same_result(ladder: ladders.Ladder) -> None:
    rows = ladders.climb(ladder, 1, 0.001)
    assert [r["rung"] for r in rows] == [r.name for r in ladder.rungs]
    assert rows[0]["faster"] == 1 and ladder.rungs[-1].kept and any(not r.kept for r in ladder.rungs)


def test_the_results_page_is_what_its_files_say() -> None:
    records = results.read(ROOT / "benchmarks" / "results")
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8") == results.page(records)


# --------------------------------------------------------------------------------- with peers, where there are some
@pytest.mark.skipif(not find_spec("torch"), reason="needs the extra peers")
def test_pytorch_does_the_same_work() -> None:
    own = train.ours(NANO).facts
    train.same_work({"minipost": own, "torch": train.torch_peer(NANO).facts})
    train.same_work({"minipost": own, "torch-bf16": train.torch_peer(NANO, halved=True).facts})
    with_muon = scaled(NANO, layers=2, optimizer="muon")  # stacks of two matrices, tall and wide
    train.same_work({"minipost": train.ours(with_muon).facts, "torch": train.torch_peer(with_muon).facts})
    generate.same_tokens({"minipost": generate.ours(NANO, 3).facts, "torch": generate.torch_peer(NANO, 3, 1).facts})
    for c in stages.comparisons(NANO):
        assert len(stages.measure(c, ["torch"], 1, 0.01)) == 2


@pytest.mark.skipif(not find_spec("jax"), reason="needs the extra peers")
def test_jax_does_the_same_work() -> None:
    train.same_work({"minipost": train.ours(NANO).facts, "jax": train.jax_peer(NANO).facts})


@pytest.mark.usefixtures("empty_registry")
@pytest.mark.skipif(not find_spec("torch"), reason="needs the extra peers")
def test_pytorchs_kernels_agree() -> None:
    kernels.register_all(NANO)
    for kernel in REGISTRY.values():
        kernels.verify(kernel.name, kernels.contenders(kernel, with_torch=True))


# --------------------------------------------------------------------------------------------------------- recipes
def test_the_table_of_recipes_is_what_was_measured() -> None:
    results = json.loads(recipes.RESULTS.read_text(encoding="utf-8"))
    assert recipes.PAGE.read_text(encoding="utf-8") == recipes.page(results)
    for size, rows in results.items():
        assert rows.keys() == recipes.RECIPES[size].keys()  # failures too
        assert all(recipe.outcome for recipe in recipes.RECIPES[size].values())


def test_a_recipe_trains_shares_its_stages_and_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "PROMPTS", 12)
    monkeypatch.setattr(recipes, "PAIRS", 12)
    size: dict[str, Any] = {"dim": 32, "layers": 1, "heads": 2, "kv_heads": 1, "hidden": 48, "batch_size": 2}
    first = recipes.Recipe(
        0.25, {"tokens": 6000, "vocab_size": 400, **size}, {"demonstrations": 40}, {"pairs": 40, "batch_size": 8}
    )
    row = recipes.run(first, 0, tmp_path)
    assert set(row["sft"]) == {"1", "0.8", "0.7", "0.6", "0"} and len(row["seconds"]) == 3
    assert 0.5 <= row["reward"]["bayes_accuracy"] <= 1
    again = recipes.run(first.but("", sft={"learning_rate": 1e-4}), 0, tmp_path)
    assert len(list(tmp_path.glob("PretrainConfig-*"))) == 1 and len(list(tmp_path.glob("SFTConfig-*"))) == 2
    assert "reward" not in again
    with pytest.raises(BenchmarkError, match="no recipe 'salt'"):
        recipes.command(["--only", "salt"])
