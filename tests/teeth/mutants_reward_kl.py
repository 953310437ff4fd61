"""Bugs of the reward model's loss and of the three KL estimators: signs, stability, and a swapped ratio."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import sigmoid, softplus

from minipost import autograd


# ---------------------------------------------------------------------------------------------- reward.bradley_terry
@mutant("reward.bradley_terry", "P22")
def logarithm_of_sigmoid(chosen, rejected, margin=0.0, center=0.0):
    """`log(sigmoid(d))`: a pair that is badly wrong gives log 0."""
    with np.errstate(all="ignore"):
        win = 1 / (1 + np.exp(-(chosen - rejected - margin)))
        return -np.log(win).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P22")
def logarithm_of_sigmoid_plus_epsilon(chosen, rejected, margin=0.0, center=0.0):
    """`log(sigmoid(d) + 1e-5)` never exceeds 11.5: the worst pairs teach nothing."""
    return -np.log(sigmoid(chosen - rejected - margin) + 1e-5).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P22")
def one_plus_exponential(chosen, rejected, margin=0.0, center=0.0):
    """`log(1 + exp(-d))` overflows where the pair is badly wrong."""
    with np.errstate(over="ignore"):
        return np.log(1 + np.exp(rejected - chosen + margin)).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P22")
def clamps_the_difference(chosen, rejected, margin=0.0, center=0.0):
    """The difference is held within +-30 against overflow, and with it the loss and its gradient."""
    d = np.clip(chosen - rejected - margin, -30, 30)
    return softplus(-d).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P19")
def margin_of_the_wrong_sign(chosen, rejected, margin=0.0, center=0.0):
    """The margin is granted instead of demanded."""
    return softplus(-(chosen - rejected + margin)).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P19")
def margin_outside_the_softplus(chosen, rejected, margin=0.0, center=0.0):
    """The margin is added to the loss, where it has no gradient."""
    return (softplus(-(chosen - rejected)) + margin).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P19")
def one_margin_for_all_pairs(chosen, rejected, margin=0.0, center=0.0):
    """Margins [B] are averaged: sure and unsure labels are treated alike."""
    d = chosen - rejected - np.mean(margin, dtype=chosen.dtype)
    return softplus(-d).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P17")
def prefers_the_rejected(chosen, rejected, margin=0.0, center=0.0):
    """The two scores are swapped: the reward model learns to like what people disliked."""
    return softplus(-(rejected - chosen - margin)).mean() + center * ((chosen + rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P15")
def sums_over_pairs(chosen, rejected, margin=0.0, center=0.0):
    """A sum over the batch: the learning rate depends on the batch size."""
    return softplus(-(chosen - rejected - margin)).sum() + center * ((chosen + rejected) ** 2).sum()


@mutant("reward.bradley_terry", "formula")
def square_of_the_mean(chosen, rejected, margin=0.0, center=0.0):
    """Centring squares the batch's mean: two prompts may drift apart, up and down, unpunished."""
    return softplus(-(chosen - rejected - margin)).mean() + center * (chosen + rejected).mean() ** 2


@mutant("reward.bradley_terry", "P20")
def centres_the_difference(chosen, rejected, margin=0.0, center=0.0):
    """The centring term squares r_c - r_r: it shrinks the margin and fixes no origin."""
    return softplus(-(chosen - rejected - margin)).mean() + center * ((chosen - rejected) ** 2).mean()


@mutant("reward.bradley_terry", "P20")
def centres_the_average_score(chosen, rejected, margin=0.0, center=0.0):
    """The centring term squares the pair's mean score, a quarter of what was asked for."""
    return softplus(-(chosen - rejected - margin)).mean() + center * (((chosen + rejected) / 2) ** 2).mean()


@mutant("reward.bradley_terry", "P17", framework="tensor")
def rejected_without_gradient(chosen, rejected, margin=0.0, center=0.0):
    """The rejected score is a constant in the comparison: only the chosen one is ever moved."""
    loss = autograd.softplus(-(chosen - rejected.data - margin)).mean()
    return loss + ((chosen + rejected) ** 2).mean() * center


# ------------------------------------------------------------------------------------------------------------------ kl
@mutant("kl.k1", "P54")
def k1_swapped(logp, ref_logp):
    """`log ref - log pi`: the penalty becomes a reward for leaving the reference."""
    return ref_logp - logp


@mutant("kl.k1", "P51", thread="huggingface/trl#3710")
def k1_never_negative(logp, ref_logp):
    """Negative estimates are cut to 0: no estimate looks odd any more, and their mean is too large."""
    return np.maximum(logp - ref_logp, 0)


@mutant("kl.k1", "P51", thread="huggingface/trl#1161")
def k1_absolute(logp, ref_logp):
    """The absolute log-ratio, which measures no KL divergence."""
    return np.abs(logp - ref_logp)


@mutant("kl.k1", "gradient", framework="tensor")
def k1_without_gradient(logp, ref_logp):
    """The policy's log-probability is detached."""
    return (logp - logp.data) * 0.5 + (logp.data - ref_logp)


@mutant("kl.k2", "formula")
def k2_without_half(logp, ref_logp):
    """The square without its half: twice the estimate, twice the gradient."""
    return (logp - ref_logp) ** 2


@mutant("kl.k2", "formula")
def k2_of_probabilities(logp, ref_logp):
    """Squares the difference of probabilities, not of their logarithms."""
    return (np.exp(logp) - np.exp(ref_logp)) ** 2 / 2


@mutant("kl.k2", "contract")
def k2_averaged(logp, ref_logp):
    """Returns one mean where each token's own value was asked for."""
    return ((logp - ref_logp) ** 2).mean() / 2


@mutant("kl.k2", "formula", thread="areal-project/AReaL#408")
def k2_falls_through(logp, ref_logp):
    """A chain of `if` without `else`: whatever was asked for, the last one, k3, is what comes out."""
    log_r = ref_logp - logp
    return np.expm1(log_r) - log_r


@mutant("kl.k3", "P54")
def k3_swapped(logp, ref_logp):
    """log r has the wrong sign: the mean is chi^2 - KL."""
    log_r = logp - ref_logp
    return np.expm1(log_r) - log_r


@mutant("kl.k3", "P56")
def k3_cancels(logp, ref_logp):
    """`exp(x) - 1 - x` loses its digits for small x, in float32 below 1e-3."""
    log_r = ref_logp - logp
    return np.exp(log_r) - 1 - log_r


@mutant("kl.k3", "P56")
def k3_without_minus_one(logp, ref_logp):
    """`r - log r` is 1 where policy and reference agree."""
    log_r = ref_logp - logp
    return np.exp(log_r) - log_r


@mutant("kl.k3", "P51")
def k3_clamped(logp, ref_logp):
    """log r is held within +-2 for stability: far samples, which matter most, count least."""
    log_r = np.clip(ref_logp - logp, -2, 2)
    return np.expm1(log_r) - log_r


@mutant("kl.k3", "formula")
def k3_is_only_k1_plus(logp, ref_logp):
    """The ratio is taken of the policy's probability: `pi - 1 - log r`."""
    return np.expm1(logp) - (ref_logp - logp)


@mutant("kl.k3", "gradient", thread="allenai/open-instruct#531", framework="tensor")
def k3_ratio_without_gradient(logp, ref_logp):
    """The ratio is detached, so that the gradient is k1's and does nothing on average."""
    log_r = ref_logp - logp
    return np.expm1(log_r.data) - log_r
