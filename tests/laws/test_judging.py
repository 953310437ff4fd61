"""The judge itself: its formulas, how it calls, what it finds and says, and that it leaves no trace."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from minipost.autograd import Tensor
from minipost.laws import TARGETS, judge, laws_for, sandbox
from minipost.laws.adapters import LawError, NumPy, framework_of
from minipost.laws.binding import annotated, bind
from minipost.laws.judge import laws_of
from minipost.laws.printing import as_json, show, statement, verdict_lines
from minipost.laws.strategies import CASES
from minipost.laws.targets import loaded
from minipost.losses import k1
from minipost.losses import sigmoid as dpo


# ------------------------------------------------------------------------------------------------------- the contract
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.derivative])
def test_derivatives_beside_the_formulas_are_their_derivatives(name: str) -> None:
    target = TARGETS[name]
    assert target.derivative is not None

    @settings(deadline=None, max_examples=25, database=None)
    @given(CASES[name](False))
    def check(x: Any) -> None:
        x = loaded(x, target)
        if not target.smooth(x):
            return
        derivative = {k: g for k, g in target.derivative(x).items() if k != "z"}
        at = {k: x.arguments[k] for k in derivative}
        differences = NumPy().gradients(lambda leaves: np.sum(target.oracle(x.but(**leaves))), at)
        for k, g in derivative.items():
            assert_allclose(g, differences[k], rtol=1e-4, atol=1e-6, err_msg=k)

    check()


def test_signatures_are_read_as_the_contract_writes_them() -> None:
    assert TARGETS["dpo.kto"].arguments == (
        "policy",
        "ref",
        "desirable",
        "z",
        "beta",
        "weight_desirable",
        "weight_undesirable",
    )
    assert TARGETS["dpo.kto"].optional == ("weight_desirable", "weight_undesirable")
    assert TARGETS["kl.k3"].arguments == ("logp", "ref_logp")
    assert TARGETS["ppo.gae"].arguments == ("rewards", "values", "mask", "gamma", "lam")
    assert TARGETS["best_of_n.kl_bound"].arguments == ("n",)
    assert TARGETS["dpo.robust"].optional == ()


def test_every_target_has_named_laws_and_no_two_of_a_name() -> None:
    for target in TARGETS.values():
        names = [law.name for law in laws_of(target)]
        assert len(set(names)) == len(names)
        assert [n for n in names if n.startswith("P")] and names[-1] == "contract"
        assert all(len(statement(law).splitlines()) == 1 and law.source for law in laws_of(target))


# ----------------------------------------------------------------------------------------------------------- binding
OPTIONS = ("margin", "center")
NAMES = ("chosen", "rejected", *OPTIONS)


def called(function: Any, **given: Any) -> Any:
    return bind(function, NAMES, OPTIONS).call(function, given)


def test_arguments_go_by_name_and_what_is_left_by_order() -> None:
    every = {"chosen": 1, "rejected": 2, "margin": 3, "center": 4}
    assert called(lambda chosen, rejected, margin=0.0, center=0.0: (chosen, rejected, margin, center), **every) == (
        1,
        2,
        3,
        4,
    )
    assert called(lambda a, b, m=0.0, c=0.0: (a, b, m, c), **every) == (1, 2, 3, 4)
    assert called(lambda center, r_w, r_l, margin: (r_w, r_l, margin, center), **every) == (1, 2, 3, 4)
    assert called(lambda a, /, b, *, center=0.0, margin=0.0: (a, b, margin, center), **every) == (1, 2, 3, 4)
    assert called(lambda *args: args, **every) == (1, 2, 3, 4)
    assert called(lambda a, **rest: (a, rest), **every) == (1, {"rejected": 2, "margin": 3, "center": 4})
    assert called(functools.partial(lambda x, a, b: (x, a, b), 0), chosen=1, rejected=2) == (0, 1, 2)


def test_an_optional_argument_takes_no_parameter_of_another_kind() -> None:
    binding = bind(lambda a, b, reference_free=False: None, NAMES, OPTIONS)
    assert binding.unsupported == {"margin", "center"}
    assert bind(lambda a, b, margin: None, NAMES, OPTIONS).required == {"margin"}


def test_laws_of_an_argument_that_is_not_taken_are_not_judged() -> None:
    def plain_dpo(policy_chosen: Any, policy_rejected: Any, ref_chosen: Any, ref_rejected: Any, beta: Any) -> Any:
        return dpo(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)

    verdict = judge("dpo.sigmoid", plain_dpo, max_examples=15)
    assert verdict.holds and verdict.unjudged == {"P62": "it takes no label_smoothing"}


def test_annotations_name_the_framework() -> None:
    def tensors(a: Tensor, b: Tensor | np.ndarray, c: float) -> Tensor: ...
    def texts(a: torch.Tensor, b: jnp.ndarray, c: Tensor): ...  # type: ignore[name-defined]  # noqa: F821

    assert annotated(tensors) == {"a": "tensor", "b": "tensor", "return": "tensor"}
    assert annotated(texts) == {"a": "torch", "b": "jax", "c": "tensor"}
    assert annotated(lambda x: x) == {}
    assert judge("kl.k1", tensors_k1, max_examples=5).framework == "tensor"


def tensors_k1(logp: Tensor, ref_logp: Any) -> Tensor:
    assert isinstance(logp, Tensor | np.ndarray)
    return logp - ref_logp


def test_a_framework_that_is_unknown_or_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LawError, match="no framework 'tf'; choose one of numpy"):
        framework_of("tf")
    with pytest.raises(LawError, match=r"no target 'dpo'; choose one of sft\.cross_entropy"):
        judge("dpo", k1)


# ---------------------------------------------------------------------------------------------------- breaches, by name
def names_of(target: str, function: Any, **more: Any) -> list[str]:
    return [broken.law for broken in judge(target, function, max_examples=30, **more).broken]


def raises(logp: Any, ref_logp: Any) -> Any:
    raise KeyError("logp")


def leaves(logp: Any, ref_logp: Any) -> Any:
    raise SystemExit(0)


def flat(logp: Any, ref_logp: Any) -> Any:
    return (logp - ref_logp).sum()


def narrow(logp: Any, ref_logp: Any) -> Any:
    return (logp - ref_logp).astype(np.float32)


def writes(logp: Any, ref_logp: Any) -> Any:
    logp -= ref_logp
    return logp.copy()


def not_a_number(logp: Any, ref_logp: Any) -> Any:
    return np.where(logp == ref_logp, np.nan, logp - ref_logp)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (raises, "it raised"),
        (leaves, "it raised"),
        (flat, "it returned another shape"),
        (narrow, "it returned another type"),
        (writes, "it wrote to its argument logp"),
    ],
)
def test_a_breach_of_the_contract_is_named(function: Any, what: str) -> None:
    verdict = judge("kl.k1", function, max_examples=20)
    assert (verdict.broken[-1].law, verdict.broken[-1].assertion.what) == ("contract", what)
    assert function not in (raises, leaves) or not verdict.held
    assert "called with" in "\n".join(verdict_lines(verdict))


def test_nan_breaks_the_contract() -> None:
    assert "contract" in names_of("kl.k1", not_a_number)


def test_a_call_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "TIME_LIMIT", 0.2)

    def hangs(logp: Any, ref_logp: Any) -> Any:
        while True:
            time.sleep(0.01)

    verdict = judge("kl.k1", hangs)
    assert [b.law for b in verdict.broken] == ["contract"] and not verdict.held
    assert verdict.broken[0].calls[0].case.logp.shape == (1,)
    with pytest.raises(AssertionError, match="it hung"):
        laws_for("kl.k1")[0].check(hangs)


def test_random_results_are_still_a_verdict() -> None:
    rng = np.random.default_rng(0)
    assert "formula" in names_of("kl.k1", lambda logp, ref_logp: logp - ref_logp + rng.normal(size=logp.shape))


def test_gradients_are_judged_by_the_framework_itself() -> None:
    def detached(logp: Tensor, ref_logp: Any) -> Any:
        return Tensor(np.array(getattr(logp, "data", logp) - ref_logp))

    assert names_of("kl.k1", detached, framework="tensor") == ["gradient"]


# ------------------------------------------------------------------------------------------------------ counterexamples
def averaged(logits: Any, tokens: Any, response_mask: Any) -> Any:
    """The bug that ships most: an average where DPO sums."""
    logps = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    logps = logps - logits.max(-1, keepdims=True)
    picked = np.take_along_axis(logps[:, :-1], tokens[:, 1:, None], axis=-1)[..., 0]
    mask = response_mask[:, 1:]
    return (picked * mask).sum(-1) / np.maximum(mask.sum(-1), 1)


def test_counterexamples_can_be_checked_by_hand() -> None:
    verdict = judge("sequence_logps", averaged)
    p59 = next(b for b in verdict.broken if b.law == "P59")
    case = p59.calls[0].case
    assert case.logits.shape == (1, 3, 2) and not case.logits.any()
    assert case.response_mask.tolist() == [[0, 1, 1]]
    assert_allclose([p59.assertion.got, p59.assertion.should], [[-np.log(2)], [-2 * np.log(2)]])
    text = "\n".join(verdict_lines(verdict))
    assert "P59      a response's log-probability is the sum over its tokens" in text
    assert "response_mask = [[0, 1, 1]]" in text


def test_the_same_seed_gives_the_same_verdict_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, again, other = (verdict_lines(judge("kl.k1", not_a_number, seed=s)) for s in (3, 3, 4))
    assert first == again and first[0] == other[0]
    assert not list(tmp_path.iterdir())


def test_json_has_no_numbers_that_json_lacks() -> None:
    data = as_json(judge("kl.k1", not_a_number, max_examples=20))
    assert data["holds"] is False
    contract = data["laws"][-1]
    assert contract["status"] == "broken"
    assert "nan" in str(contract["counterexample"]["got"])


def test_numbers_are_shown_short() -> None:
    table, judged = np.array([[1.0, np.nan], [0.1, 2e20]]), np.array([[True, False], [True, True]])
    assert show(table, judged) == "[[1.0, .], [0.1, 2e+20]]"
    assert show(np.arange(20.0, dtype=np.float32)) == "[0.0, 1.0, 2.0, ..., 18.0, 19.0] (20 of them)  (float32)"
    assert show(np.zeros((2, 2))[:, 0]) == "[0.0, 0.0]  (not contiguous)"


@pytest.mark.parametrize("law", laws_for("kl.k1"))
def test_laws_are_pytest_parameters(law: Any, request: pytest.FixtureRequest) -> None:
    assert request.node.name == f"test_laws_are_pytest_parameters[{law.law.name}]"
    law.check(k1, max_examples=10)
    with pytest.raises(AssertionError, match=r"kl\.k1 breaks contract"):
        law.check(raises, max_examples=10)


@given(st.sampled_from(sorted(TARGETS)), st.booleans(), st.data())
@settings(deadline=None, max_examples=60)
def test_drawn_cases_are_within_the_contract(name: str, wide: bool, data: st.DataObject) -> None:
    target = TARGETS[name]
    x = data.draw(CASES[name](wide))
    assert set(x.arguments) <= set(target.arguments)
    assert set(target.arguments) - set(x.arguments) <= set(target.optional)
    if "beta" in x.arguments:
        assert x.beta >= 0
    if "response_mask" in x.arguments:
        assert not x.response_mask[:, 0].any()
    if name in ("ppo.gae", "ppo.token_rewards"):
        for row in np.asarray(x.mask) != 0:
            assert np.abs(np.diff(np.concatenate([[0], row, [0]]).astype(int))).sum() in (0, 2)  # one run
    if "chosen_mean_logp" in x.arguments:
        assert (x.chosen_mean_logp < 0).all() and (x.rejected_mean_logp < 0).all()
