"""Bugs of the losses without a reference or without pairs: SimPO, ORPO, KTO."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import log_odds, sigmoid, softplus

from minipost import autograd


# ----------------------------------------------------------------------------------------------------------- dpo.simpo
@mutant("dpo.simpo", "formula")
def gamma_scaled_by_beta(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """`beta (d - gamma)`: the margin is beta times what the paper says."""
    return softplus(-beta * (chosen_mean_logp - rejected_mean_logp - gamma)).mean()


@mutant("dpo.simpo", "formula")
def gamma_granted(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """`+ gamma`: the margin is given away instead of demanded."""
    return softplus(-(beta * (chosen_mean_logp - rejected_mean_logp) + gamma)).mean()


@mutant("dpo.simpo", "formula")
def gamma_as_a_ratio(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """gamma is read as a multiple of 1/beta."""
    return softplus(-(beta * (chosen_mean_logp - rejected_mean_logp) - gamma / beta)).mean()


@mutant("dpo.simpo", "gradient", framework="tensor")
def only_raises_the_chosen(chosen_mean_logp, rejected_mean_logp, beta, gamma):
    """The rejected mean log-probability is taken for data."""
    return autograd.softplus((chosen_mean_logp - rejected_mean_logp.data) * -beta + gamma).mean()


# ------------------------------------------------------------------------------------------------------------ dpo.orpo
@mutant("dpo.orpo", "P68")
def odds_of_one(chosen_mean_logp, rejected_mean_logp, lam):
    """The ratio of probabilities, not of odds: `1 - p` is missing."""
    return -chosen_mean_logp.mean() + lam * softplus(rejected_mean_logp - chosen_mean_logp).mean()


@mutant("dpo.orpo", "P68")
def one_minus_exponential(chosen_mean_logp, rejected_mean_logp, lam):
    """`log(1 - exp(x))` is log 0 for a response that is nearly certain, in float32 below 1e-7."""
    with np.errstate(all="ignore"):
        odds = [x - np.log(1 - np.exp(x)) for x in (chosen_mean_logp, rejected_mean_logp)]
        return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0]).mean()


@mutant("dpo.orpo", "P68")
def logarithm_of_one_minus_p(chosen_mean_logp, rejected_mean_logp, lam):
    """`log1p(-exp(x))`: loses its digits as x -> 0-, where exp(x) is rounded to 1."""
    with np.errstate(all="ignore"):
        odds = [x - np.log1p(-np.exp(x)) for x in (chosen_mean_logp, rejected_mean_logp)]
        return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0]).mean()


@mutant("dpo.orpo", "P68")
def odds_with_the_wrong_sign(chosen_mean_logp, rejected_mean_logp, lam):
    """`log p + log(1 - p)`: a variance instead of odds."""
    odds = [x + np.log(-np.expm1(x)) for x in (chosen_mean_logp, rejected_mean_logp)]
    return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0]).mean()


@mutant("dpo.orpo", "P68")
def lambda_on_the_likelihood(chosen_mean_logp, rejected_mean_logp, lam):
    """lambda weighs the wrong one of the two terms."""
    penalty = softplus(log_odds(rejected_mean_logp) - log_odds(chosen_mean_logp)).mean()
    return -lam * chosen_mean_logp.mean() + penalty


@mutant("dpo.orpo", "P68")
def likelihood_of_both(chosen_mean_logp, rejected_mean_logp, lam):
    """The SFT term learns the rejected response, too."""
    penalty = softplus(log_odds(rejected_mean_logp) - log_odds(chosen_mean_logp)).mean()
    return -(chosen_mean_logp + rejected_mean_logp).mean() / 2 + lam * penalty


@mutant("dpo.orpo", "P68")
def likelihood_forgotten(chosen_mean_logp, rejected_mean_logp, lam):
    """Only the odds ratio is left."""
    return lam * softplus(log_odds(rejected_mean_logp) - log_odds(chosen_mean_logp)).mean()


@mutant("dpo.orpo", "P68")
def odds_are_held_off_one(chosen_mean_logp, rejected_mean_logp, lam):
    """p is cut at 1 - 1e-6 for safety: sure answers stop competing."""
    odds = [log_odds(np.minimum(x, -1e-6)) for x in (chosen_mean_logp, rejected_mean_logp)]
    return -chosen_mean_logp.mean() + lam * softplus(odds[1] - odds[0]).mean()


# ------------------------------------------------------------------------------------------------------------- dpo.kto
def weights(desirable, weight_desirable, weight_undesirable):
    return np.where(desirable, weight_desirable, weight_undesirable)


def sign(desirable):
    return np.where(desirable, 1.0, -1.0)


@mutant("dpo.kto", "formula")
def weights_swapped(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """Each class is weighed with the other one's weight."""
    w = weights(desirable, weight_undesirable, weight_desirable)
    return (w * sigmoid(-sign(desirable) * beta * (policy - ref - z))).mean()


@mutant("dpo.kto", "P67", thread="huggingface/trl#1380")
def mean_of_an_empty_class(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """The two classes are averaged apart: a batch of one class is NaN, and rare examples weigh more."""
    gain = beta * (policy - ref - z)
    with np.errstate(invalid="ignore"):
        good = weight_desirable * sigmoid(-gain)[desirable].sum() / desirable.sum(dtype=gain.dtype)
        bad = weight_undesirable * sigmoid(gain)[~desirable].sum() / (~desirable).sum(dtype=gain.dtype)
    return (good + bad) / 2


@mutant("dpo.kto", "formula")
def normalised_weights(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """Divides by the sum of the weights and not by B: right as long as both are 1."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (w * sigmoid(-sign(desirable) * beta * (policy - ref - z))).sum() / w.sum()


@mutant("dpo.kto", "formula")
def wrong_sign_of_z(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """The reference point is added."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (w * sigmoid(-sign(desirable) * beta * (policy - ref + z))).mean()


@mutant("dpo.kto", "formula")
def z_mirrored_for_the_undesirable(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """`1 - sigmoid(-beta lr - beta z)`: for undesirable responses the yardstick stands on the wrong side."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (w * sigmoid(-beta * (sign(desirable) * (policy - ref) - z))).mean()


@mutant("dpo.kto", "formula")
def z_is_not_scaled(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """`beta lr - z`: only the log-ratio is scaled by beta."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (w * sigmoid(-sign(desirable) * (beta * (policy - ref) - z))).mean()


@mutant("dpo.kto", "formula", thread="huggingface/trl#1911")
def z_from_the_batch(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """z is not the one that was handed over but the batch's own mean log-ratio, of matched pairs."""
    w, own = weights(desirable, weight_desirable, weight_undesirable), max((policy - ref).mean(), 0)
    return (w * sigmoid(-sign(desirable) * beta * (policy - ref - own))).mean()


@mutant("dpo.kto", "formula")
def zero_means_estimate_it(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """`z or estimate`: a reference point of 0, right at the start of training, is replaced."""
    w, at = weights(desirable, weight_desirable, weight_undesirable), float(z) or max((policy - ref).mean(), 0)
    return (w * sigmoid(-sign(desirable) * beta * (policy - ref - at))).mean()


@mutant("dpo.kto", "P67")
def logarithmic(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """`-log sigmoid` for `1 - sigmoid`: hopeless outliers dominate, which KTO was made to avoid."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (w * softplus(-sign(desirable) * beta * (policy - ref - z))).mean()


@mutant("dpo.kto", "P67", thread="ContextualAI/HALOs#4", framework="tensor")
def gradient_through_z(policy, ref, desirable, z, beta, weight_desirable=1.0, weight_undesirable=1.0):
    """z keeps its gradient: the policy lowers the loss by moving the yardstick."""
    w = weights(desirable, weight_desirable, weight_undesirable)
    return (autograd.sigmoid((policy - ref - z) * (-beta * sign(desirable))) * w).mean()
