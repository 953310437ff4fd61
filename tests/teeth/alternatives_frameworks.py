"""Right, and written with gradients: minipost's Tensor, PyTorch and JAX, each in the style of its users."""

from __future__ import annotations

import numpy as np
from catalogue import alternative
from pieces import Lazy

from minipost import autograd

torch = Lazy("torch")
F = Lazy("torch.nn.functional")
jax = Lazy("jax")
jnp = Lazy("jax.numpy")


# -------------------------------------------------------------------------------------------------------------- Tensor
@alternative("sft.cross_entropy", framework="tensor")
def one_hot_on_the_tape(logits, labels, mask, reduction="token"):
    """A one-hot product and weights that hold the whole average."""
    onehot = (np.arange(logits.shape[-1]) == np.asarray(labels)[..., None]).astype(logits.dtype)
    weight = np.asarray(mask) != 0
    if not weight.any():
        raise ValueError("no label counts")
    if reduction == "sequence":
        weight = weight / np.maximum(weight.sum(1, keepdims=True), 1)
    nll = -(autograd.log_softmax(logits) * onehot).sum(axis=-1)
    return (nll * (weight / weight.sum()).astype(logits.dtype)).sum()


@alternative("ppo.policy_loss", framework="tensor")
def indexes_the_counted(logp, old_logp, advantages, mask, clip=0.2):
    """Counted tokens are taken out first; the rest is the paper's formula."""
    at = np.nonzero(mask)
    if not len(at[0]):
        return autograd.where(np.zeros(logp.shape, bool), logp, 0.0).sum()
    A, rho = advantages[at], autograd.exp(logp[at] - old_logp[at])
    return -autograd.minimum(rho * A, autograd.clip(rho, 1 - clip, 1 + clip) * A).mean()


@alternative("dpo.sigmoid", framework="tensor")
def soft_labels_on_the_tape(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`softplus(-z) + e z`"""
    z = ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)) * beta
    return (autograd.softplus(-z) + z * label_smoothing).mean()


@alternative("dpo.kto", framework="tensor")
def kto_on_the_tape(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """1 - sigmoid by tanh, z as data."""
    sign = np.where(desirable, 1.0, -1.0).astype(policy.dtype)
    weight = np.where(desirable, weight_desirable, weight_undesirable).astype(policy.dtype)
    return ((1 - autograd.tanh((policy - ref - autograd.value(z)) * (sign * beta) * 0.5)) * (weight * 0.5)).mean()


# --------------------------------------------------------------------------------------------------------------- torch
@alternative("sft.cross_entropy", framework="torch")
def ignore_index(logits, labels, mask, reduction="token"):
    """`F.cross_entropy` with the masked labels set to -100."""
    hidden = torch.where(mask.bool(), labels, torch.full_like(labels, -100))
    nll = F.cross_entropy(logits.transpose(1, 2), hidden, ignore_index=-100, reduction="none")
    if reduction == "token":
        return nll.sum() / mask.bool().sum().clamp(min=1)
    rows = mask.bool().sum(1)
    return (nll.sum(1) / rows.clamp(min=1)).sum() / (rows > 0).sum().clamp(min=1)


@alternative("sequence_logps", framework="torch")
def gather_and_sum(logits: torch.Tensor, tokens: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    """The usual `get_batch_logps`."""
    labels, mask = tokens[:, 1:].clone(), response_mask[:, 1:].bool()
    labels[~mask] = 0
    logps = torch.gather(logits[:, :-1].log_softmax(-1), 2, labels.unsqueeze(2)).squeeze(2)
    return (logps * mask).sum(-1)


@alternative("reward.bradley_terry", framework="torch")
def negative_logsigmoid(chosen, rejected, margin=0.0, center=0.0):
    """`-F.logsigmoid(d).mean()`"""
    return -F.logsigmoid(chosen - rejected - margin).mean() + center * torch.mean((chosen + rejected) ** 2)


@alternative("kl.k3", framework="torch")
def k3_in_torch(logp, ref_logp):
    """expm1 in PyTorch."""
    return torch.expm1(ref_logp - logp) - (ref_logp - logp)


@alternative("ppo.token_rewards", framework="torch")
def scatter_at_the_end(scores, logp, ref_logp, mask, beta):
    """`scatter_add` at the index of the last counted token."""
    counted = mask.bool()
    rewards = -beta * torch.where(counted, logp - ref_logp, torch.zeros_like(logp))
    last = (counted * torch.arange(1, mask.shape[1] + 1)).argmax(1, keepdim=True)
    paid = torch.where(counted.any(1), scores, torch.zeros_like(scores))
    return rewards.scatter_add(1, last, paid[:, None].to(rewards.dtype))


@alternative("ppo.gae", framework="torch")
def last_gae_lam(rewards, values, mask, gamma, lam):
    """The usual backward loop with `lastgaelam`; padding is filled with zeros first."""
    values, rewards = (x.masked_fill(mask == 0, 0) for x in (values, rewards))
    lastgaelam, reversed_advantages = torch.zeros_like(values[:, 0]), []
    for t in reversed(range(values.size(1))):
        nextvalues = values[:, t + 1] if t < values.size(1) - 1 else 0.0
        lastgaelam = rewards[:, t] + gamma * nextvalues - values[:, t] + gamma * lam * lastgaelam
        reversed_advantages.append(lastgaelam)
    advantages = torch.stack(reversed_advantages[::-1], dim=1)
    return advantages, advantages + values


@alternative("ppo.whiten", framework="torch")
def rsqrt_of_the_variance(x, mask, shift_mean=True):
    """`rsqrt(var + 1e-8)` of the counted elements."""
    counted = x[mask.bool()]
    mean = counted.mean() if len(counted) else torch.zeros((), dtype=x.dtype)
    var = ((counted - mean) ** 2).mean() if len(counted) else torch.ones((), dtype=x.dtype)
    white = (x - mean) * torch.rsqrt(var + 1e-8)
    return white if shift_mean else white + mean


@alternative("ppo.policy_loss", framework="torch")
def masked_fill_first(logp, old_logp, advantages, mask, clip=0.2):
    """Fills before it computes, so that no gradient is NaN."""
    off = ~mask.bool()
    A, rho = advantages.masked_fill(off, 0), (logp.masked_fill(off, 0) - old_logp.masked_fill(off, 0)).exp()
    losses = torch.max(-A * rho, -A * torch.clamp(rho, 1 - clip, 1 + clip))
    return losses.sum() / (~off).sum().clamp(min=1)


@alternative("ppo.value_loss", framework="torch")
def selects_then_means(values, old_values, returns, mask, clip=0.2):
    """Indexing by a boolean mask."""
    at = mask.to(torch.bool)
    V, old, R = values[at], old_values[at], returns[at]
    if not len(V):
        return values.masked_fill(~at, 0).sum()
    return 0.5 * torch.max((V - R).pow(2), (old + (V - old).clamp(-clip, clip) - R).pow(2)).mean()


@alternative("dpo.sigmoid", framework="torch")
def the_authors_form(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`-(1 - e) logsigmoid(beta h) - e logsigmoid(-beta h)`"""
    logits = (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)
    losses = -F.logsigmoid(beta * logits) * (1 - label_smoothing) - F.logsigmoid(-beta * logits) * label_smoothing
    return losses.mean()


@alternative("dpo.sigmoid", framework="torch")
def with_options_of_its_own(
    policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0, *, reduction="mean"
):
    """Further options with defaults, and a default for beta."""
    logits = beta * (policy_chosen - ref_chosen - policy_rejected + ref_rejected)
    targets = torch.full_like(logits, 1 - label_smoothing)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)


@alternative("dpo.hinge", framework="torch")
def relu_in_torch(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`torch.relu`"""
    return torch.relu(1 - beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))).mean()


@alternative("dpo.orpo", framework="torch")
def orpo_in_torch(chosen_mean_logp, rejected_mean_logp, lam):
    """Log-odds with expm1."""
    log_odds = (chosen_mean_logp - rejected_mean_logp) - (
        torch.log(-torch.expm1(chosen_mean_logp)) - torch.log(-torch.expm1(rejected_mean_logp))
    )
    return (-chosen_mean_logp - lam * F.logsigmoid(log_odds)).mean()


@alternative("dpo.kto", framework="torch")
def kto_in_torch(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """`torch.where` over the two classes; z under `detach`."""
    lr, z = policy - ref, torch.as_tensor(z).detach()
    good, bad = 1 - torch.sigmoid(beta * (lr - z)), 1 - torch.sigmoid(beta * (z - lr))
    return torch.where(desirable.bool(), weight_desirable * good, weight_undesirable * bad).mean()


@alternative("rl.grpo", framework="torch")
def biased_deviation(rewards):
    """`std(unbiased=False)`"""
    if rewards.size(1) < 2:
        raise ValueError("one sample has no group")
    return (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True, unbiased=False) + 1e-4)


# ----------------------------------------------------------------------------------------------------------------- jax
@alternative("dpo.sigmoid", framework="jax")
def log_sigmoid_in_jax(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`jax.nn.log_sigmoid`"""
    z = beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))
    win, lose = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
    return -((1 - label_smoothing) * win + label_smoothing * lose).mean()


@alternative("ppo.policy_loss", framework="jax")
def where_in_jax(logp, old_logp, advantages, mask, clip=0.2):
    """`jnp.where` before the exponential, `where=` in the mean's sums."""
    counted = mask.astype(bool)
    rho = jnp.exp(jnp.where(counted, logp, 0) - jnp.where(counted, old_logp, 0))
    A = jnp.where(counted, advantages, 0)
    loss = -jnp.minimum(rho * A, jnp.clip(rho, 1 - clip, 1 + clip) * A)
    return loss.sum() / jnp.maximum(counted.sum(), 1)


@alternative("kl.k3", framework="jax")
def k3_in_jax(logp, ref_logp):
    """expm1 in JAX."""
    return jnp.expm1(ref_logp - logp) - (ref_logp - logp)


@alternative("dpo.orpo", framework="jax")
def orpo_in_jax(chosen_mean_logp, rejected_mean_logp, lam):
    """Log-odds with expm1, softplus from `jax.nn`."""
    odds = [x - jnp.log(-jnp.expm1(x)) for x in (chosen_mean_logp, rejected_mean_logp)]
    return -chosen_mean_logp.mean() + lam * jax.nn.softplus(odds[1] - odds[0]).mean()
