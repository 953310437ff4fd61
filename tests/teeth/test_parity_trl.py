"""The losses against the functions of TRL, the library in which most people meet them.

TRL computes its losses inside trainers. Here a trainer is a stand-in that has the few attributes which the loss reads,
and a model that returns log-probabilities made up beforehand: the formula that runs is TRL's own. Optional, and skipped
without TRL; its version is pinned by the extra `peers`, because these are not its public functions.
"""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from minipost import losses
from minipost.autograd import Tensor

torch = pytest.importorskip("torch", reason="parity needs PyTorch: install the extra minipost[peers]")
pytest.importorskip("trl", reason="parity with TRL needs TRL: install the extra minipost[peers]")

B, T = 4, 6
SEEDS = range(3)


def trainer(**attributes):
    """A trainer that is nothing but `attributes`, on one process, whose metrics go nowhere."""
    itself = lambda x, **_: x  # noqa: E731
    alone = SimpleNamespace(device="cpu", gather=itself, gather_for_metrics=itself, reduce=itself)
    off = {"aux_loss_enabled": False, "precompute_ref_logps": True, "use_weighting": False, "_tp_size": 1}
    return MagicMock(accelerator=alone, model=SimpleNamespace(training=False), **off, **attributes)


def completions(rng, rows):
    """Log-probabilities [rows, T] of response tokens, 0 elsewhere, and the mask [rows, T + 1] that says where."""
    mask = np.zeros((rows, T + 1))
    for row in mask:
        row[rng.integers(1, 3) : rng.integers(4, T + 2)] = 1
    return -rng.gamma(1, size=(rows, T)) * mask[:, 1:], mask


def model_of(logps):
    """A model that answers with these log-probabilities whatever it is asked."""
    metrics = torch.zeros(len(logps), T)
    outputs = SimpleNamespace(log_probs=logps, entropy=metrics, mean_logits=metrics, is_top1=metrics > 0)
    return lambda **_: outputs


def same(ours, leaves, theirs, torch_leaves, rtol=1e-10):
    """Values and gradients agree."""
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=rtol)
    ours.backward()
    theirs.backward()
    for leaf, torch_leaf in zip(leaves, torch_leaves, strict=True):
        np.testing.assert_allclose(leaf.grad, torch_leaf.grad.numpy(), rtol=rtol, atol=1e-12)


def dpo_inputs(seed):
    rng = np.random.default_rng(seed)
    logps, mask = completions(rng, 2 * B)
    ref = logps.sum(axis=1) + rng.normal(size=2 * B)
    return logps, mask, ref


def trl_dpo(name, logps, mask, ref, beta, e=0.0):
    """TRL's loss and the leaf [2B, T] whose gradient it has: chosen rows first."""
    from trl import DPOTrainer

    leaf = torch.tensor(logps, requires_grad=True)
    self = trainer(
        beta=beta,
        label_smoothing=e,
        loss_types=[name],
        loss_weights=[1.0],
        ld_alpha=None,
        f_divergence_type="reverse_kl",
    )
    inputs = {"input_ids": torch.ones(2 * B, T + 1, dtype=torch.long), "completion_mask": torch.tensor(mask).long()}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = torch.tensor(ref).chunk(2)
    return DPOTrainer._compute_loss(self, model_of(leaf), inputs, False), leaf


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["sigmoid", "hinge", "robust", "ipo"])
def test_dpo_and_its_family(name, seed):
    logps, mask, ref = dpo_inputs(seed)
    leaf = Tensor(logps)
    sums = leaf.sum(axis=1)
    arguments = (sums[:B], sums[B:], ref[:B], ref[B:], 0.3)
    if name == "ipo":  # TRL averages over tokens, the paper sums
        lengths = mask.sum(axis=1)
        ours = losses.ipo(*arguments, lengths=(lengths[:B], lengths[B:]))
    else:
        ours = getattr(losses, name)(*arguments, **({"label_smoothing": 0.1} if name == "robust" else {}))
    theirs, torch_leaf = trl_dpo(name, logps, mask, ref, 0.3, e=0.1)
    same(ours, [leaf], theirs, [torch_leaf])


@pytest.mark.parametrize("seed", SEEDS)
def test_kto(seed):
    from trl import KTOTrainer

    rng = np.random.default_rng(seed)
    logps, mask = completions(rng, B)
    ref, desirable, z = logps.sum(axis=1) + rng.normal(size=B), np.arange(B) % 2 == seed % 2, 0.4

    leaf = torch.tensor(logps, requires_grad=True)
    self = trainer(beta=0.3, loss_type="kto", calculate_KL=True, desirable_weight=1.5, undesirable_weight=0.8)
    self._compute_kl_logps = lambda *_: torch.full((B,), z, dtype=torch.float64)
    inputs = {"input_ids": torch.ones(B, T + 1, dtype=torch.long), "completion_mask": torch.tensor(mask).long()}
    inputs |= {"label": torch.tensor(desirable), "ref_logps": torch.tensor(ref), "ref_KL_logps": torch.zeros(B)}
    theirs = KTOTrainer._compute_loss(self, model_of(leaf), inputs, False)

    ours_leaf = Tensor(logps)
    same(losses.kto(ours_leaf.sum(axis=1), ref, desirable, z, 0.3, 1.5, 0.8), [ours_leaf], theirs, [leaf])


def mean_logps(seed):
    rng = np.random.default_rng(seed)
    arrays = [-rng.gamma(2, size=B) for _ in range(2)]
    return [Tensor(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("seed", SEEDS)
def test_orpo(seed):
    from trl.experimental.orpo import ORPOTrainer

    leaves, torch_leaves = mean_logps(seed)
    ratio, *_ = ORPOTrainer.odds_ratio_loss(trainer(beta=0.3), *torch_leaves)
    same(losses.orpo(*leaves, 0.3), leaves, (-torch_leaves[0] - ratio).mean(), torch_leaves, rtol=1e-5)  # TRL: float32


@pytest.mark.parametrize("seed", SEEDS)
def test_simpo(seed):
    from trl.experimental.cpo import CPOTrainer

    leaves, torch_leaves = mean_logps(seed)
    self = trainer(beta=2.0, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.0, alpha=0.0)
    same(losses.simpo(*leaves, 2.0, 0.5), leaves, CPOTrainer.cpo_loss(self, *torch_leaves)[0].mean(), torch_leaves)


@pytest.mark.parametrize("seed", SEEDS)
def test_bradley_terry(seed):
    from trl import RewardTrainer

    rng = np.random.default_rng(seed)
    scores, margin = rng.normal(size=2 * B), rng.normal(size=B)
    leaf, torch_leaf = Tensor(scores), torch.tensor(scores, requires_grad=True)
    self = trainer(args=SimpleNamespace(center_rewards_coefficient=0.2))
    theirs = RewardTrainer.compute_loss(
        self, lambda **_: SimpleNamespace(logits=torch_leaf[:, None]), {"margin": torch.tensor(margin)}
    )
    same(losses.bradley_terry(leaf[:B], leaf[B:], margin, 0.2), [leaf], theirs, [torch_leaf])


@pytest.mark.parametrize("seed", SEEDS)
def test_policy_loss_and_k3(seed):
    from trl import GRPOTrainer

    rng = np.random.default_rng(seed)
    logps, mask = completions(rng, B)
    mask = mask[:, 1:]
    old, ref, A = (logps + rng.normal(size=(B, T)) * 0.3, logps + rng.normal(size=(B, T)), rng.normal(size=B))

    torch_leaf = torch.tensor(logps, requires_grad=True)
    args = SimpleNamespace(use_bias_correction_kl=False, delta=None)
    self = trainer(
        beta=0.1,
        loss_type="bnpo",
        epsilon_low=0.2,
        epsilon_high=0.2,
        importance_sampling_level="token",
        args=args,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        _entropy_bonus_enabled=False,
    )
    self._get_per_token_logps_and_entropies = lambda *_, **__: (torch_leaf, torch.zeros(B, T), None)
    ids = torch.ones(B, T, dtype=torch.long)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": torch.tensor(mask).long(),
    }
    inputs |= {"advantages": torch.tensor(A), "old_per_token_logps": torch.tensor(old)}
    inputs["ref_per_token_logps"] = torch.tensor(ref)
    theirs = GRPOTrainer._compute_loss(self, None, inputs)

    leaf = Tensor(logps)
    policy = losses.policy_loss(leaf, old, np.broadcast_to(A[:, None], (B, T)), mask)
    ours = policy + losses.aggregate(losses.k3(leaf, ref), mask) * 0.1
    same(ours, [leaf], theirs, [torch_leaf])


@pytest.mark.parametrize("seed", SEEDS)
def test_sequence_logps_and_entropy(seed):
    from trl.experimental.orpo import ORPOTrainer
    from trl.trainer.utils import entropy_from_logits

    rng = np.random.default_rng(seed)
    logits, tokens = rng.normal(size=(B, T, 5)), rng.integers(0, 5, (B, T))
    mask = rng.random((B, T)) < 0.6
    mask[:, 0], mask[:, 1] = False, True
    labels = torch.tensor(np.where(mask, tokens, -100))
    for average in (False, True):
        theirs = ORPOTrainer.get_batch_logps(torch.tensor(logits), labels, average_log_prob=average)
        np.testing.assert_allclose(losses.sequence_logps(logits, tokens, mask, average), theirs.numpy(), rtol=1e-10)
    np.testing.assert_allclose(losses.entropy(logits), entropy_from_logits(torch.tensor(logits)).numpy(), rtol=1e-10)
