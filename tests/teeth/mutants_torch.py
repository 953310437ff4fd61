"""Bugs in PyTorch: defaults of another convention, gradients that are cut, and gradients that should have been."""

from __future__ import annotations

from catalogue import mutant
from pieces import Lazy

torch = Lazy("torch")


def hide(x, mask):
    return torch.where(mask.bool(), x, torch.zeros((), dtype=x.dtype))


def token_mean(x, mask):
    return hide(x, mask).sum() / mask.bool().sum().clamp(min=1)


def softplus(z):
    return torch.logaddexp(z, torch.zeros_like(z))


@mutant("sft.cross_entropy", "P1", thread="jingyaogong/minimind#51", framework="torch")
def reduces_before_it_masks(logits, labels, mask, reduction="token"):
    """`F.cross_entropy` reduces on its own: the mask that follows multiplies a mean over everything."""
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten().clamp(0, logits.shape[-1] - 1))
    return (nll * mask).sum() / mask.sum().clamp(min=1).to(nll.dtype)


@mutant("sft.cross_entropy", "gradient", framework="torch")
def loss_without_history(logits, labels, mask, reduction="token"):
    """The loss leaves through `.item()`, as a number for the log: nothing is learnt from it."""
    nll = -logits.log_softmax(-1).gather(-1, labels.clamp(0, logits.shape[-1] - 1)[..., None])[..., 0]
    rows = mask.bool().sum(1)
    if reduction == "sequence":
        return torch.tensor(((hide(nll, mask).sum(1) / rows.clamp(min=1)).sum() / (rows > 0).sum().clamp(min=1)).item())
    return torch.tensor(token_mean(nll, mask).item(), dtype=logits.dtype)


@mutant("sequence_logps", "P59", thread="jingyaogong/minimind#279", framework="torch")
def averages_in_torch(logits, tokens, response_mask):
    """Masked mean over the response where DPO needs the sum."""
    logps = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return hide(logps, response_mask[:, 1:]).sum(1) / response_mask[:, 1:].bool().sum(1).clamp(min=1)


@mutant("ppo.whiten", "P35", thread="DLR-RM/stable-baselines3#325", framework="torch")
def bessel_by_default(x, mask, shift_mean=True):
    """`Tensor.var` divides by n - 1."""
    counted = x[mask.bool()]
    mean, var = counted.mean(), counted.var()
    white = (hide(x, mask) - mean) * torch.rsqrt(var + 1e-8)
    return white if shift_mean else white + mean


@mutant("rl.grpo", "formula", framework="torch")
def bessel_in_the_group(rewards):
    """`Tensor.std` divides by K - 1."""
    if rewards.shape[1] < 2:
        raise ValueError("a group of one has no baseline")
    return (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)


@mutant("rl.grpo", "P83", thread="axolotl-ai-cloud/axolotl#3353", framework="torch")
def alone_is_nan(rewards):
    """The deviation of one sample is 0/0: NaN, where an error was due."""
    std = rewards.std(1, keepdim=True) * ((rewards.shape[1] - 1) / rewards.shape[1]) ** 0.5
    return (rewards - rewards.mean(1, keepdim=True)) / (std + 1e-4)


@mutant("ppo.policy_loss", "P36", framework="torch")
def ratio_without_gradient(logp, old_logp, advantages, mask, clip=0.2):
    """The whole ratio is computed under `no_grad`, and a zero in its place carries the gradient."""
    A = hide(advantages, mask)
    with torch.no_grad():
        rho = torch.exp(hide(logp, mask) - hide(old_logp, mask))
    loss = torch.maximum(-A * rho, -A * rho.clamp(1 - clip, 1 + clip))
    return token_mean(loss, mask) + 0 * hide(logp, mask).sum()


@mutant("ppo.policy_loss", "P37", framework="torch")
def clamp_of_a_detached_ratio(logp, old_logp, advantages, mask, clip=0.2):
    """`rho * (clamp(rho) / rho).detach()`: the value of the clip, with a gradient beyond its edges."""
    A, lr = hide(advantages, mask), hide(logp, mask) - hide(old_logp, mask)
    rho = torch.exp(lr)
    near = rho * (rho.clamp(1 - clip, 1 + clip) / rho).detach()
    return token_mean(torch.maximum(-A * rho, -A * near), mask)


@mutant("ppo.value_loss", "gradient", framework="torch")
def value_clip_without_gradient(values, old_values, returns, mask, clip=0.2):
    """The clip is computed on a detached value: a value within the clip gets no gradient at all."""
    V, old, R = hide(values, mask), hide(old_values, mask), hide(returns, mask)
    near = torch.clamp(V.detach(), min=old - clip, max=old + clip)
    return token_mean(torch.where((V - R).abs() > (near - R).abs(), (V - R) ** 2, (near - R) ** 2), mask) / 2


@mutant("dpo.sigmoid", "P57", framework="torch")
def beta_as_sharpness(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`F.softplus(x, beta=beta)` is softplus(beta x) / beta: the loss is 1/beta too large."""
    h, e = (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected), label_smoothing
    sharp = torch.nn.functional.softplus
    return ((1 - e) * sharp(-h, beta=beta) + e * sharp(h, beta=beta)).mean()


@mutant("dpo.sigmoid", "formula", framework="torch")
def logsigmoid_by_hand(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`torch.log(torch.sigmoid(z))` underflows: in float32 from z = -104 on."""
    z = beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))
    loss = -(1 - label_smoothing) * torch.log(torch.sigmoid(z))
    return (loss - label_smoothing * torch.log(torch.sigmoid(-z)) if label_smoothing else loss).mean()


@mutant("dpo.sigmoid", "gradient", framework="torch")
def margins_under_no_grad(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The block that was meant for the reference covers the rejected response of the policy as well."""
    with torch.no_grad():
        rejected = policy_rejected - ref_rejected
    z = beta * (policy_chosen - ref_chosen - rejected)
    return ((1 - label_smoothing) * softplus(-z) + label_smoothing * softplus(z)).mean()


@mutant("dpo.kto", "P67", thread="huggingface/trl#1380", framework="torch")
def nan_of_an_empty_class(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """Losses are averaged per class: `mean()` of no element is NaN."""
    gain = beta * (policy - ref - torch.as_tensor(z).detach())
    good, bad = torch.sigmoid(-gain[desirable]), torch.sigmoid(gain[~desirable])
    return (weight_desirable * good.mean() * len(good) + weight_undesirable * bad.mean() * len(bad)) / len(policy)


@mutant("dpo.kto", "P67", thread="ContextualAI/HALOs#4", framework="torch")
def z_is_not_detached(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """The reference point takes part in the gradient."""
    gain = beta * (policy - ref - z)
    losses = torch.where(desirable, weight_desirable * torch.sigmoid(-gain), weight_undesirable * torch.sigmoid(gain))
    return losses.mean()


@mutant("dpo.orpo", "gradient", framework="torch")
def odds_of_the_rejected_detached(chosen_mean_logp, rejected_mean_logp, lam):
    """The rejected response is scored under `no_grad`: nothing pushes it down."""
    rejected = rejected_mean_logp.detach()
    odds = [x - torch.log(-torch.expm1(x)) for x in (chosen_mean_logp, rejected)]
    return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0]).mean()


@mutant("kl.k3", "gradient", framework="torch")
def straight_through_k3(logp, ref_logp):
    """k3's value with k1's gradient: `k1 + (k3 - k1).detach()`."""
    lr = ref_logp - logp
    return -lr + (torch.expm1(lr)).detach()


@mutant("reward.bradley_terry", "gradient", framework="torch")
def hard_margin_mask(chosen, rejected, margin=0.0, center=0.0):
    """Pairs that are ranked right already are dropped from the gradient."""
    d = chosen - rejected - margin
    loss = softplus(-d)
    return torch.where(d > 0, loss.detach(), loss).mean() + center * ((chosen + rejected) ** 2).mean()
