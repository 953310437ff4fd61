"""Every loss and its gradient against PyTorch, in float64, by formulas written here and nowhere else.

Optional: without PyTorch these tests are skipped. They share no line with the package nor with its law suite.
"""

from __future__ import annotations

import numpy as np
import pytest

from minipost import losses
from minipost.autograd import Tensor

torch = pytest.importorskip("torch", reason="parity needs PyTorch: install the extra minipost[peers]")
F = torch.nn.functional

B, T, V = 5, 7, 11


def masked(rng):
    """A ragged mask of runs, one row empty, one row full."""
    mask = np.zeros((B, T))
    for row in mask[1:]:
        start = rng.integers(0, T - 1)
        row[start : rng.integers(start + 1, T + 1)] = 1
    mask[-1] = 1
    return mask


def normal(rng, *shape, scale=2.0):
    return rng.normal(size=shape) * scale


def four(rng):
    return tuple(normal(rng, B) for _ in range(4))


def torch_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def torch_rows(x, mask):
    rows = mask.sum(1) > 0
    return ((x * mask).sum(1)[rows] / mask.sum(1)[rows]).mean()


def torch_nll(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def torch_sequence_logps(logits, tokens, mask):
    return (-torch_nll(logits[:, :-1], tokens[:, 1:]) * mask[:, 1:]).sum(1)


def torch_policy(logp, old, A, mask, clip):
    rho = (logp - old).exp()
    return torch_mean(-torch.min(A * rho, A * rho.clamp(1 - clip, 1 + clip)), mask)


def torch_value(V, old, R, mask, clip):
    return 0.5 * torch_mean(torch.max((V - R) ** 2, (old + (V - old).clamp(-clip, clip) - R) ** 2), mask)


def torch_h(policy_chosen, policy_rejected, ref_chosen, ref_rejected):
    return (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)


def torch_dpo(pc, pr, rc, rr, beta, e):
    h = beta * torch_h(pc, pr, rc, rr)
    return F.binary_cross_entropy_with_logits(h, torch.full_like(h, 1 - e))


def torch_robust(pc, pr, rc, rr, beta, e):
    h = beta * torch_h(pc, pr, rc, rr)
    return ((e * F.logsigmoid(-h) - (1 - e) * F.logsigmoid(h)) / (1 - 2 * e)).mean()


def torch_log_odds(x):
    return torch.logit(x.exp())


def torch_orpo(chosen, rejected, lam):
    return (-chosen - lam * F.logsigmoid(torch_log_odds(chosen) - torch_log_odds(rejected))).mean()


def torch_kto(policy, ref, desirable, z, beta, good, bad):
    lr = policy - ref
    return torch.where(desirable, good * torch.sigmoid(beta * (z - lr)), bad * torch.sigmoid(beta * (lr - z))).mean()


def tokens_and_mask(rng):
    mask = masked(rng)
    mask[:, 0] = 0
    return normal(rng, B, T, V), rng.integers(0, V, (B, T)), mask


def rollouts(rng):
    return normal(rng, B, T, scale=0.3), normal(rng, B, T, scale=0.3), normal(rng, B, T), masked(rng)


def mean_logps(rng):
    return -rng.gamma(2, size=B), -rng.gamma(2, size=B)


# name: (minipost's function, PyTorch's formula, the arguments of one call, how many of them are differentiated)
PAIRS = {
    "cross_entropy": (losses.cross_entropy, lambda x, y, m: torch_mean(torch_nll(x, y), m), tokens_and_mask, 1),
    "cross_entropy by sequence": (
        lambda *a: losses.cross_entropy(*a, reduction="sequence"),
        lambda x, y, m: torch_rows(torch_nll(x, y), m),
        tokens_and_mask,
        1,
    ),
    "sequence_logps": (losses.sequence_logps, torch_sequence_logps, tokens_and_mask, 1),
    "bradley_terry": (
        losses.bradley_terry,
        lambda c, r, m, k: (
            F.binary_cross_entropy_with_logits(c - r - m, torch.ones(B).double()) + k * (c + r).square().mean()
        ),
        lambda g: (normal(g, B), normal(g, B), normal(g, B), 0.3),
        2,
    ),
    "plackett_luce": (losses.plackett_luce, F.cross_entropy, lambda g: (normal(g, B, 4), g.integers(0, 4, B)), 1),
    "pointwise_regression": (losses.pointwise_regression, F.mse_loss, lambda g: (normal(g, B), normal(g, B)), 1),
    "k1": (losses.k1, lambda p, q: p - q, lambda g: (normal(g, B, T), normal(g, B, T)), 1),
    "k2": (losses.k2, lambda p, q: (p - q).square() / 2, lambda g: (normal(g, B, T), normal(g, B, T)), 1),
    "k3": (losses.k3, lambda p, q: (q - p).exp() - 1 - (q - p), lambda g: (normal(g, B, T), normal(g, B, T)), 1),
    "exact_kl": (
        lambda p, q: losses.exact_kl(p, q),
        lambda p, q: (p.exp() * (p - q)).sum(-1),
        lambda g: (normal(g, B, V), normal(g, B, V)),
        1,
    ),
    "entropy": (
        losses.entropy,
        lambda x: torch.distributions.Categorical(logits=x).entropy(),
        lambda g: (normal(g, B, T, V),),
        1,
    ),
    "policy_loss": (losses.policy_loss, torch_policy, lambda g: (*rollouts(g), 0.2), 1),
    "value_loss": (losses.value_loss, torch_value, lambda g: (*rollouts(g), 0.2), 1),
    "dpo.sigmoid": (losses.sigmoid, torch_dpo, lambda g: (*four(g), 0.4, 0.0), 2),
    "dpo.sigmoid, conservative": (losses.sigmoid, torch_dpo, lambda g: (*four(g), 0.4, 0.2), 2),
    "dpo.robust": (losses.robust, torch_robust, lambda g: (*four(g), 0.4, 0.2), 2),
    "dpo.ipo": (
        losses.ipo,
        lambda *a: (torch_h(*a[:4]) - 1 / (2 * a[4])).square().mean(),
        lambda g: (*four(g), 0.4),
        2,
    ),
    "dpo.hinge": (losses.hinge, lambda *a: F.relu(1 - a[4] * torch_h(*a[:4])).mean(), lambda g: (*four(g), 0.4), 2),
    "dpo.simpo": (
        losses.simpo,
        lambda c, r, beta, gamma: -F.logsigmoid(beta * (c - r) - gamma).mean(),
        lambda g: (*mean_logps(g), 2.0, 0.7),
        2,
    ),
    "dpo.orpo": (losses.orpo, torch_orpo, lambda g: (*mean_logps(g), 0.3), 2),
    "dpo.kto": (
        losses.kto,
        torch_kto,
        lambda g: (normal(g, B), normal(g, B), g.random(B) < 0.5, 0.4, 0.5, 1.5, 0.8),
        1,
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradient_equal_pytorchs(name, seed):
    ours, theirs, draw, differentiable = PAIRS[name]
    arguments = draw(np.random.default_rng(seed))
    arrays, rest = arguments[:differentiable], arguments[differentiable:]

    leaves = [Tensor(a) for a in arrays]
    value = ours(*leaves, *rest)
    torch_leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    torch_value = theirs(*torch_leaves, *(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in rest))
    np.testing.assert_allclose(value.data, torch_value.detach().numpy(), rtol=1e-12, atol=1e-12)

    # Vector-valued functions are pulled back along one random direction.
    direction = np.random.default_rng(seed + 1).normal(size=value.shape)
    value.backward(direction)
    torch_value.backward(torch.as_tensor(direction))
    for leaf, torch_leaf in zip(leaves, torch_leaves, strict=True):
        np.testing.assert_allclose(leaf.grad, torch_leaf.grad.numpy(), rtol=1e-10, atol=1e-12)
