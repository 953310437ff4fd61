"""Bugs of DPO and of its closest relatives: where beta goes, which sign, which side a smoothed label falls on."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import margin_of, softplus

from minipost import autograd


# --------------------------------------------------------------------------------------------------------- dpo.sigmoid
def conservative(z, e):
    return ((1 - e) * softplus(-z) + e * softplus(z)).mean()


@mutant("dpo.sigmoid", "P57")
def beta_outside(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`beta softplus(-h)`: beta scales the loss, not how far the policy may go."""
    return beta * conservative(margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing)


@mutant("dpo.sigmoid", "P57")
def beta_on_the_policy_only(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`beta (pi_w - pi_l) - (ref_w - ref_l)`: a misplaced bracket."""
    z = beta * (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)
    return conservative(z, label_smoothing)


@mutant("dpo.sigmoid", "P61")
def prefers_the_rejected(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """softplus(beta h): the sign of -log sigmoid is lost."""
    h = margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(-beta * h, label_smoothing)


@mutant("dpo.sigmoid", "P60")
def forgets_the_reference(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The margin of the policy alone."""
    return conservative(beta * (policy_chosen - policy_rejected), label_smoothing)


@mutant("dpo.sigmoid", "P57")
def references_crossed(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The reference's chosen and rejected log-probabilities come back in the other order."""
    return conservative(beta * margin_of(policy_chosen, policy_rejected, ref_rejected, ref_chosen), label_smoothing)


@mutant("dpo.sigmoid", "P62")
def smooths_the_wrong_term(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """e and 1 - e are swapped as soon as e > 0: the labels are believed to be mostly wrong."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(z, 1 - label_smoothing if label_smoothing else 0.0)


@mutant("dpo.sigmoid", "P62")
def subtracts_the_smoothing(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`(1-e) softplus(-z) - e softplus(z)`: the robust form, without its denominator, in place of the conservative."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return ((1 - label_smoothing) * softplus(-z) - label_smoothing * softplus(z)).mean()


@mutant("dpo.sigmoid", "P62")
def smooths_over_two_classes(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The smoothing of classifiers, e/2 to each of two classes: half of what was asked for."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(z, label_smoothing / 2)


@mutant("dpo.sigmoid", "P62")
def smooths_the_positive_only(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`(1 - e) softplus(-z)` and nothing else: smoothing only scales the loss."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return (1 - label_smoothing) * softplus(-z).mean()


@mutant("dpo.sigmoid", "formula")
def loss_of_the_mean(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The margins are averaged before the softplus: pairs that are won pay for pairs that are lost."""
    h = margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(beta * h.mean(), label_smoothing)


@mutant("dpo.sigmoid", "P57")
def sums_over_pairs(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """A sum over the batch where a mean belongs."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(z, label_smoothing) * len(z)


@mutant("dpo.sigmoid", "formula")
def logarithm_of_sigmoid(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """`log(sigmoid(z))` is log 0 for a pair that is badly wrong."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    with np.errstate(all="ignore"):
        win, lose = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
        loss = -(1 - label_smoothing) * np.log(win)
        return (loss - label_smoothing * np.log(lose) if label_smoothing else loss).mean()


@mutant("dpo.sigmoid", "contract")
def refuses_one_half(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """A validation one step too strict: e = 1/2, labels that say nothing, is allowed and is an error here."""
    if not 0 <= label_smoothing < 0.5:
        raise ValueError("label_smoothing must be below 1/2")
    return conservative(beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing)


@mutant("dpo.sigmoid", "gradient", framework="tensor")
def rejected_without_gradient(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing=0.0):
    """The rejected log-probability is detached: DPO degrades to finetuning on the chosen responses."""
    z = margin_of(policy_chosen, policy_rejected.data, ref_chosen, ref_rejected) * beta
    return (autograd.softplus(-z) * (1 - label_smoothing) + autograd.softplus(z) * label_smoothing).mean()


# ---------------------------------------------------------------------------------------------------------- dpo.robust
@mutant("dpo.robust", "P63")
def without_the_denominator(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing):
    """The division by 1 - 2e is missing: the mean over flipped labels is (1 - 2e) times the true loss."""
    z, e = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing
    return ((1 - e) * softplus(-z) - e * softplus(z)).mean()


@mutant("dpo.robust", "P63")
def conservative_instead(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing):
    """Adds the flipped term: the conservative loss under the robust one's name."""
    z = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return conservative(z, label_smoothing) / (1 - 2 * label_smoothing)


@mutant("dpo.robust", "P63")
def never_below_zero(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing):
    """Negative losses look wrong and are cut off; the correction was to be negative now and then."""
    z, e = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing
    return np.maximum((1 - e) * softplus(-z) - e * softplus(z), 0).mean() / (1 - 2 * e)


@mutant("dpo.robust", "P63")
def denominator_of_one_minus_e(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing):
    """Divides by 1 - e."""
    z, e = beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing
    return ((1 - e) * softplus(-z) - e * softplus(z)).mean() / (1 - e)


# ------------------------------------------------------------------------------------------------------------- dpo.ipo
@mutant("dpo.ipo", "P64")
def one_over_beta(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """The wanted margin is 1/beta, twice the paper's."""
    return ((margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected) - 1 / beta) ** 2).mean()


@mutant("dpo.ipo", "P64")
def beta_inside_the_square(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`(beta h - 1/2)^2`: the same minimum, beta^2 times the loss."""
    return ((beta * margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected) - 0.5) ** 2).mean()


@mutant("dpo.ipo", "P64")
def satisfied_beyond_the_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """A squared hinge: nothing pulls a margin back that has grown too wide."""
    h = margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return (np.maximum(1 / (2 * beta) - h, 0) ** 2).mean()


@mutant("dpo.ipo", "P64")
def half_of_beta(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`1 / 2 * beta` for `1 / (2 * beta)`."""
    return ((margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected) - 1 / 2 * beta) ** 2).mean()


@mutant("dpo.ipo", "P60")
def chosen_without_its_reference(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """Only the rejected response is compared with its reference."""
    return ((policy_chosen - (policy_rejected - ref_rejected) - 1 / (2 * beta)) ** 2).mean()


# ----------------------------------------------------------------------------------------------------------- dpo.hinge
@mutant("dpo.hinge", "P65")
def margin_of_beta(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`relu(beta - h)`: beta is the margin and no longer the scale."""
    return np.maximum(beta - margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), 0).mean()


@mutant("dpo.hinge", "P65")
def hinge_without_beta(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """`relu(1 - h)`."""
    return np.maximum(1 - margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected), 0).mean()


@mutant("dpo.hinge", "formula")
def squared_hinge(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """The hinge is squared: zero in the same place, another slope."""
    h = margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return (np.maximum(1 - beta * h, 0) ** 2).mean()


@mutant("dpo.hinge", "formula")
def hinge_of_the_mean(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """One won pair makes up for a lost one: the mean is taken inside the hinge."""
    h = margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return np.maximum(1 - beta * h.mean(), 0)


@mutant("dpo.hinge", "gradient", framework="tensor")
def leaks_beyond_the_hinge(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    """The hinge cuts the value only: a pair that is won still pulls."""
    loss = 1 - margin_of(policy_chosen, policy_rejected, ref_chosen, ref_rejected) * beta
    return (loss + np.maximum(-loss.data, 0)).mean()
