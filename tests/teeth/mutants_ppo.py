"""Bugs of whitening and of PPO's two losses: wrong statistics, wrong side of a clip, wrong denominator."""

from __future__ import annotations

import numpy as np
from catalogue import mutant
from pieces import hide, log_ratio, token_mean

from minipost import autograd


def whitened(x, mask, shift_mean, mean, std):
    out = (x - mean) / (std + 1e-8)
    return hide(out if shift_mean else out + mean, mask)


def statistics(x, mask):
    counted = np.asarray(x, np.float64)[mask != 0]
    return (counted.mean(), counted.std()) if counted.size else (0.0, 1.0)


# ---------------------------------------------------------------------------------------------------------- ppo.whiten
@mutant("ppo.whiten", "P35", thread="ray-project/ray#63900")
def padding_counts(x, mask, shift_mean=True):
    """Mean and deviation are taken over the zeros of the padding, too."""
    x = hide(x, mask)
    return whitened(x, mask, shift_mean, x.mean(), x.std())


@mutant("ppo.whiten", "P35")
def deviation_from_the_wrong_mean(x, mask, shift_mean=True):
    """The mean minds the mask, the variance's divisor does not."""
    x, (mean, _) = hide(x, mask), statistics(x, mask)
    return whitened(x, mask, shift_mean, mean, np.sqrt((hide(x - mean, mask) ** 2).mean()))


@mutant("ppo.whiten", "P35", thread="DLR-RM/stable-baselines3#325")
def sample_deviation(x, mask, shift_mean=True):
    """Bessel's correction, PyTorch's default: a single element has deviation 0/0."""
    mean, _ = statistics(x, mask)
    with np.errstate(invalid="ignore"):
        std = np.sqrt((hide(x - mean, mask) ** 2).sum() / np.float64((mask != 0).sum() - 1))
    return whitened(x, mask, shift_mean, mean, std)


@mutant("ppo.whiten", "P35")
def keeps_no_mean(x, mask, shift_mean=True):
    """`shift_mean=False` is ignored: rewards lose their sign."""
    return whitened(hide(x, mask), mask, True, *statistics(x, mask))


@mutant("ppo.whiten", "P35")
def flag_is_inverted(x, mask, shift_mean=True):
    """The mean is put back exactly when it should not be."""
    return whitened(hide(x, mask), mask, not shift_mean, *statistics(x, mask))


@mutant("ppo.whiten", "P35")
def whitens_every_row(x, mask, shift_mean=True):
    """Each row is whitened by itself: good and bad responses look the same."""
    x, counted = hide(x, mask), mask != 0
    n = np.maximum(counted.sum(axis=1, keepdims=True), 1)
    mean = x.sum(axis=1, keepdims=True) / n
    std = np.sqrt((hide(x - mean, mask) ** 2).sum(axis=1, keepdims=True) / n)
    return whitened(x, mask, shift_mean, mean, std)


@mutant("ppo.whiten", "P35")
def divides_by_the_variance(x, mask, shift_mean=True):
    """The root is missing."""
    mean, std = statistics(x, mask)
    return whitened(hide(x, mask), mask, shift_mean, mean, std**2)


@mutant("ppo.whiten", "P35")
def epsilon_of_another_layer(x, mask, shift_mean=True):
    """eps = 1e-5 inside the root, as normalisation layers have it: advantages of small spread are not whitened."""
    mean, std = statistics(x, mask)
    return whitened(hide(x, mask), mask, shift_mean, mean, np.sqrt(std**2 + 1e-5))


@mutant("ppo.whiten", "contract")
def negative_variance(x, mask, shift_mean=True):
    """`E x^2 - (E x)^2` cancels, and may be negative for equal elements."""
    x, n = hide(x, mask), max((mask != 0).sum(), 1)
    mean = x.sum() / n
    with np.errstate(invalid="ignore"):
        return whitened(x, mask, shift_mean, mean, np.sqrt((x**2).sum() / n - mean**2))


@mutant("ppo.whiten", "P35")
def whitens_with_garbage(x, mask, shift_mean=True):
    """`x * mask` keeps the NaN of the padding, and the mean spreads it."""
    n = max((mask != 0).sum(), 1)
    with np.errstate(invalid="ignore"):
        mean = (x * mask).sum() / n
        std = np.sqrt((((x - mean) * mask) ** 2).sum() / n)
        return whitened(x, mask, shift_mean, mean, std)


# ----------------------------------------------------------------------------------------------------- ppo.policy_loss
def clipped(rho, clip):
    return np.clip(rho, 1 - clip, 1 + clip)


def ratio_of(logp, old_logp, mask):
    return np.exp(log_ratio(logp, old_logp, mask))


@mutant("ppo.policy_loss", "P38")
def optimistic_side(logp, old_logp, advantages, mask, clip=0.2):
    """The smaller of the two losses: there is always an incentive to move further."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.minimum(-A * rho, -A * clipped(rho, clip)), mask)


@mutant("ppo.policy_loss", "P37")
def optimistic_for_negative_advantages(logp, old_logp, advantages, mask, clip=0.2):
    """`-A min(rho, clip(rho))`: right for A > 0, for A < 0 the wrong side is clipped."""
    rho = ratio_of(logp, old_logp, mask)
    return token_mean(-hide(advantages, mask) * np.minimum(rho, clipped(rho, clip)), mask)


@mutant("ppo.policy_loss", "P37")
def clips_without_a_maximum(logp, old_logp, advantages, mask, clip=0.2):
    """Only the clipped term: a token that has moved the wrong way can never come back."""
    return token_mean(-hide(advantages, mask) * clipped(ratio_of(logp, old_logp, mask), clip), mask)


@mutant("ppo.policy_loss", "P37")
def never_clips(logp, old_logp, advantages, mask, clip=0.2):
    """The importance-weighted loss: nothing holds the policy near its samples."""
    return token_mean(-hide(advantages, mask) * ratio_of(logp, old_logp, mask), mask)


@mutant("ppo.policy_loss", "P37")
def clips_upwards_only(logp, old_logp, advantages, mask, clip=0.2):
    """`min(rho, 1 + eps)` has no lower edge: bad tokens are pushed to zero."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * np.minimum(rho, 1 + clip)), mask)


@mutant("ppo.policy_loss", "formula")
def clips_the_logarithm(logp, old_logp, advantages, mask, clip=0.2):
    """The log-ratio is clipped at +-eps: the edges are exp(-0.2) and exp(0.2), not 0.8 and 1.2."""
    A, lr = hide(advantages, mask), log_ratio(logp, old_logp, mask)
    return token_mean(np.maximum(-A * np.exp(lr), -A * np.exp(np.clip(lr, -clip, clip))), mask)


@mutant("ppo.policy_loss", "formula")
def reciprocal_lower_edge(logp, old_logp, advantages, mask, clip=0.2):
    """The lower edge is 1/(1 + eps), symmetric in logs."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * np.clip(rho, 1 / (1 + clip), 1 + clip)), mask)


@mutant("ppo.policy_loss", "P36")
def inverse_ratio(logp, old_logp, advantages, mask, clip=0.2):
    """`exp(old - new)`: the right value at rho = 1, the gradient reversed."""
    A, rho = hide(advantages, mask), ratio_of(old_logp, logp, mask)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), mask)


@mutant("ppo.policy_loss", "formula")
def second_clip_for_negative_advantages(logp, old_logp, advantages, mask, clip=0.2):
    """A dual clip: for A < 0 the loss never exceeds -3 A, another algorithm under the same name."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    loss = np.maximum(-A * rho, -A * clipped(rho, clip))
    return token_mean(np.where(A < 0, np.minimum(loss, -3 * A), loss), mask)


@mutant("ppo.policy_loss", "P39")
def whitens_within(logp, old_logp, advantages, mask, clip=0.2):
    """Advantages are whitened once more inside the loss: their scale is lost."""
    mean, std = statistics(advantages, mask)
    A, rho = hide(hide(advantages, mask) - mean, mask) / (std + 1e-8), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip)), mask)


@mutant("ppo.policy_loss", "formula")
def mean_over_all_positions(logp, old_logp, advantages, mask, clip=0.2):
    """Divides by B T: short responses learn more slowly."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return np.maximum(-A * rho, -A * clipped(rho, clip)).mean()


@mutant("ppo.policy_loss", "formula")
def mean_over_rows_of_means(logp, old_logp, advantages, mask, clip=0.2):
    """Every row has one vote, where every token was to have one."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    loss, tokens = np.maximum(-A * rho, -A * clipped(rho, clip)), (mask != 0).sum(axis=1)
    return (loss.sum(axis=1) / np.maximum(tokens, 1)).sum() / max((tokens > 0).sum(), 1)


@mutant("ppo.policy_loss", "P47", thread="OpenRLHF/OpenRLHF#1240")
def ratio_of_garbage(logp, old_logp, advantages, mask, clip=0.2):
    """`loss * mask` after the exponential: 0 * NaN in the padding is NaN in the loss."""
    with np.errstate(all="ignore"):
        rho = np.exp(logp - old_logp)
        loss = np.maximum(-advantages * rho, -advantages * clipped(rho, clip)) * mask
        return loss.sum() / max((mask != 0).sum(), 1)


@mutant("ppo.policy_loss", "contract")
def empty_batch_is_nan(logp, old_logp, advantages, mask, clip=0.2):
    """A microbatch without a counted token gives 0/0."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    with np.errstate(invalid="ignore"):
        return np.maximum(-A * rho, -A * clipped(rho, clip)).sum() / (mask != 0).sum()


@mutant("ppo.policy_loss", "formula")
def mask_shifted_once_more(logp, old_logp, advantages, mask, clip=0.2):
    """A mask that is aligned already is shifted: the first response token is never trained."""
    A, rho = hide(advantages, mask), ratio_of(logp, old_logp, mask)
    return token_mean(np.maximum(-A * rho, -A * clipped(rho, clip))[:, 1:], mask[:, 1:])


@mutant("ppo.policy_loss", "P37", framework="tensor")
def clip_lets_gradient_through(logp, old_logp, advantages, mask, clip=0.2):
    """A straight-through clip: the value is right, the gradient never stops."""
    counted, A = mask != 0, hide(advantages, mask)
    rho = autograd.exp(autograd.where(counted, logp - np.where(counted, old_logp, 0), 0.0))
    near = rho + (clipped(rho.data, clip) - rho.data)
    return autograd.maximum(rho * -A, near * -A).sum() / max(counted.sum(), 1)


# ------------------------------------------------------------------------------------------------------ ppo.value_loss
def squares(values, old_values, returns, mask, clip):
    V, old, R = hide(values, mask), hide(old_values, mask), hide(returns, mask)
    return (V - R) ** 2, (np.clip(V, old - clip, old + clip) - R) ** 2


@mutant("ppo.value_loss", "formula")
def without_half(values, old_values, returns, mask, clip=0.2):
    """The factor 1/2 is missing: the value coefficient counts twice."""
    return token_mean(np.maximum(*squares(values, old_values, returns, mask, clip)), mask)


@mutant("ppo.value_loss", "P41")
def smaller_square(values, old_values, returns, mask, clip=0.2):
    """The smaller of the two squares: below the squared error, not above it."""
    return token_mean(np.minimum(*squares(values, old_values, returns, mask, clip)), mask) / 2


@mutant("ppo.value_loss", "P41")
def clipped_square_only(values, old_values, returns, mask, clip=0.2):
    """Without the maximum a value that has moved too far never gets a gradient again."""
    return token_mean(squares(values, old_values, returns, mask, clip)[1], mask) / 2


@mutant("ppo.value_loss", "formula")
def clips_around_the_return(values, old_values, returns, mask, clip=0.2):
    """The clip is centred on R and not on the old value."""
    return token_mean(np.maximum(*squares(values, returns, returns, mask, clip)), mask) / 2


@mutant("ppo.value_loss", "formula")
def clips_by_a_factor(values, old_values, returns, mask, clip=0.2):
    """The ratio's clip, V_old (1 +- eps): a value near 0 can hardly move."""
    V, old, R = hide(values, mask), hide(old_values, mask), hide(returns, mask)
    edges = np.sort([old * (1 - clip), old * (1 + clip)], axis=0)
    return token_mean(np.maximum((V - R) ** 2, (np.clip(V, *edges) - R) ** 2), mask) / 2


@mutant("ppo.value_loss", "formula")
def forgets_to_add_the_old_value(values, old_values, returns, mask, clip=0.2):
    """`clip(V - V_old)` is compared with R without V_old."""
    V, old, R = hide(values, mask), hide(old_values, mask), hide(returns, mask)
    return token_mean(np.maximum((V - R) ** 2, (np.clip(V - old, -clip, clip) - R) ** 2), mask) / 2


@mutant("ppo.value_loss", "formula")
def value_mean_over_all_positions(values, old_values, returns, mask, clip=0.2):
    """Divides by B T and not by the count of tokens."""
    return hide(np.maximum(*squares(values, old_values, returns, mask, clip)), mask).mean() / 2


@mutant("ppo.value_loss", "P47")
def value_of_the_padding(values, old_values, returns, mask, clip=0.2):
    """`(V - R)^2 * mask` with NaN in the padding."""
    with np.errstate(invalid="ignore"):
        near = np.clip(values, old_values - clip, old_values + clip)
        loss = np.maximum((values - returns) ** 2, (near - returns) ** 2) * mask
        return loss.sum() / max((mask != 0).sum(), 1) / 2
