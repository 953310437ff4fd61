"""Claims: intervals, verdicts, the laboratory, the command, and the published table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons.experiments import CLAIMS, Claim, ClaimError, Finding, Lab, all_claims, claim, measure, measuring
from lessons.experiments.command import page
from lessons.experiments.measured.micro_reward import features, micro_world
from lessons.experiments.statistics import paired_interval, rank_correlation
from minipost import cli

DOCS = Path(__file__).resolve().parents[3] / "docs"


# --------------------------------------------------------------------------------------------------------- statistics
def test_what_a_seed_does_to_both_arms_cancels() -> None:
    seeds = np.array([5.0, -3.0, 11.0])
    assert paired_interval(seeds + 1, seeds) == pytest.approx((1, 1, 1))
    assert paired_interval([2.0], [1.0]) == (1, -math.inf, math.inf)


@given(st.lists(st.integers(0, 5), min_size=3, max_size=9).filter(lambda x: len(set(x)) > 1))
@settings(deadline=None, max_examples=30)
def test_rank_correlation_sees_order_only(x: list[int]) -> None:
    a = np.array(x, float)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)


# ------------------------------------------------------------------------------------------------------------ verdicts
def a_claim(expects: str, margin: float = 0.0) -> Claim:
    return Claim(0, "s", "q?", lambda seed, lab: {}, "k", "m", "b", "a", expects, 0, margin=margin)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expects", "margin", "low", "high", "verdict"),
    [
        ("up", 0.0, 0.1, 0.2, "confirmed"),
        ("up", 0.0, -0.2, -0.1, "refuted"),
        ("up", 0.0, -1.0, 1.0, "inconclusive"),
        ("up", 0.3, 0.1, 0.2, "refuted"),
        ("up", 0.15, 0.1, 0.2, "inconclusive"),
        ("down", 0.0, -0.2, -0.1, "confirmed"),
        ("down", 0.0, 0.1, 0.2, "refuted"),
        ("down", 0.3, -0.2, -0.1, "refuted"),
        ("same", 0.3, -0.2, 0.1, "confirmed"),
        ("same", 0.3, 0.4, 0.5, "refuted"),
        ("same", 0.3, 0.2, 0.5, "inconclusive"),
        ("same", 0.3, -math.inf, math.inf, "inconclusive"),
    ],
)
def test_the_verdict_follows_from_the_interval(
    expects: str, margin: float, low: float, high: float, verdict: str
) -> None:
    assert a_claim(expects, margin).verdict(low, high) == verdict


def test_no_difference_needs_a_margin() -> None:
    with pytest.raises(ClaimError, match="margin"):
        a_claim("same")


# ------------------------------------------------------------------------------------------------------ the laboratory
@dataclass(frozen=True)
class Config:
    base: Path
    steps: int = 3
    out: Path = Path("runs/x")


def test_an_artefact_is_made_once_and_another_configuration_is_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[int] = []

    def stage(config: Config) -> None:
        config.out.mkdir()
        made.append(config.steps)

    for root in ("one", "two"):
        lab = Lab(tmp_path / root)
        first, again = (lab.run(stage, Config(lab.root / "base"), about="2 s") for _ in range(2))
        other = lab.run(stage, Config(lab.root / "base", 4))
        assert first == again != other and first.is_dir()
    assert made == [3, 4, 3, 4]
    assert first.parent.name == (tmp_path / "one" / first.parent.name).name  # wherever the laboratory is
    printed = capsys.readouterr()
    assert (
        printed.out == ""
        and "training stage-" in printed.err
        and "(about 2 s)" in printed.err
        and "reusing stage-" in printed.err
    )


def test_an_artefact_that_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        Lab(tmp_path).numbers("x", {}, lambda: {"a": 1 // 0})
    assert not list(tmp_path.iterdir())
    assert Lab(tmp_path).numbers("x", {}, lambda: {"a": [1, 2]})["a"].tolist() == [1, 2]


def test_where_the_laboratory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lessons" / "01").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "lessons" / "01")
    monkeypatch.delenv("MINIPOST_LESSONS", raising=False)
    assert Lab().root == tmp_path / "runs" / "lessons"
    monkeypatch.setenv("MINIPOST_LESSONS", "elsewhere")
    monkeypatch.setenv("MINIPOST_FAST", "1")
    assert Lab().root == Path("elsewhere") and Lab().pick("full", "fast") == "fast"


# ----------------------------------------------------------------------------------------------------------- measuring
@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A claim of this test: B is 2 above A, whatever the seed."""
    monkeypatch.setattr(measuring, "all_claims", lambda: list(CLAIMS.values()))

    @claim(99, "b-above-a", "Is B above A?", knob="k", metric="m", arm="B", control="A", expects="up", lesson=0)
    def experiment(seed: int, lab: Lab) -> dict[str, float]:
        return {"A": seed, "B": seed + 2 + 0.01 * seed}

    yield "b-above-a"
    del CLAIMS["b-above-a"]


def test_a_claim_is_measured_once_over_its_seeds(
    drifting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = measure(drifting, Lab(tmp_path, fast=False))
    assert finding == measure(drifting, Lab(tmp_path, fast=False))
    assert finding.arms["A"] == [0, 1, 2, 3, 4] and finding.verdict == "confirmed"
    assert finding.effect == pytest.approx(2.02) and finding.low < 2.02 < finding.high
    assert Finding(**json.loads(json.dumps(finding.to_dict()))) == finding
    assert "confirmed: B > A; the difference in m is +2.02" in str(finding)
    assert capsys.readouterr().err.count("training") == 1
    assert len(measure(drifting, Lab(tmp_path, fast=True)).arms["A"]) == 2


def test_an_arm_that_was_not_measured_is_a_sentence(drifting: str, tmp_path: Path) -> None:
    object.__setattr__(CLAIMS[drifting], "arm", "C")
    with pytest.raises(ClaimError, match="measured no C"):
        measure(drifting, Lab(tmp_path))


@pytest.fixture(scope="module")
def two_labs(tmp_path_factory: pytest.TempPathFactory) -> list[Lab]:
    """Two laboratories that know nothing of each other. Claims share the models that one of them trains."""
    return [Lab(tmp_path_factory.mktemp("lab"), fast=True) for _ in range(2)]


@pytest.mark.parametrize("what", all_claims(), ids=lambda c: c.slug)
def test_every_claim_runs_in_fast_mode_and_repeats_its_bits(what: Claim, two_labs: list[Lab]) -> None:
    row, again = (what.experiment(0, lab) for lab in two_labs)
    assert {what.arm, what.control} <= set(row) and all(map(math.isfinite, row.values()))
    assert row == again


def test_claims_have_their_own_names_and_end_in_a_question() -> None:
    for c in all_claims():
        assert c.question.endswith("?") and c.slug == c.slug.lower() and " " not in c.slug and c.seeds >= 3


def test_the_micro_world_is_linear_in_its_features() -> None:
    world = micro_world(3)
    phi = features(world)
    w = np.linalg.lstsq(phi.reshape(-1, phi.shape[-1]), world.rewards.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(phi @ w, world.rewards, atol=1e-9)


# --------------------------------------------------------------------------------------------------------- the command
def test_the_command_lists_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIPOST_LESSONS", str(tmp_path))
    monkeypatch.setenv("MINIPOST_FAST", "1")
    assert cli.main(["claims"]) == 0
    assert " 24  triples-suffice" in capsys.readouterr().out
    assert cli.main(["claims", "run", "triples-suffice", "--json", str(tmp_path / "findings.json")]) == 0
    assert "tiny settings" in capsys.readouterr().out
    assert json.loads((tmp_path / "findings.json").read_text())[0]["slug"] == "triples-suffice"
    for argv, why in (
        (["run", "triple-suffices"], "did you mean"),
        (["run"], "Name the claims"),
        (["publish"], "MINIPOST_FAST"),
    ):
        assert cli.main(["claims", *argv]) == 2
        assert why in capsys.readouterr().err


def test_the_published_table_is_that_of_the_published_numbers() -> None:
    findings = {f["slug"]: Finding(**f) for f in json.loads((DOCS / "claims.json").read_text(encoding="utf-8"))}
    claims = all_claims()
    assert set(findings) <= {c.slug for c in claims} and not any(f.fast for f in findings.values())
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == page(claims, findings)
