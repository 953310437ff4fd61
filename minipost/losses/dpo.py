"""Direct preference optimisation and its family: a preference loss on log-probabilities, no reward model, no sampling.

The policy that maximises `E r - beta KL(pi || ref)` is `pi = ref exp(r / beta) / Z`. Turned around, any policy *is* a
reward model, `r = beta log(pi / ref) + beta log Z`, and Z cancels in the difference of two responses to one prompt. Put
that difference into Bradley-Terry and out comes DPO (Rafailov et al. 2023).

Throughout, `lr = log pi - log ref` of a response is the *sum* over its tokens, and `h = lr_chosen - lr_rejected`.

    sigmoid   softplus(-beta h)              never satisfied, ever more slowly
    ipo       (h - 1/(2 beta))^2             satisfied at a margin, pulls back beyond it
    hinge     relu(1 - beta h)               satisfied from a margin on
    simpo     no reference, mean log-probs   orpo   no reference, odds, with its own SFT term
    kto       single responses, thumbs up or down

Arguments named `policy_*` and `ref_*` are [B]; reference terms are data. All losses are means over B.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.autograd import Array, log, minimum, relu, softplus, tanh, value
from minipost.autograd import sigmoid as logistic
from minipost.losses.reduction import TensorLike


def log_ratio_margin(
    policy_chosen: TensorLike, policy_rejected: TensorLike, ref_chosen: TensorLike, ref_rejected: TensorLike
) -> Any:
    """`h = (log pi - log ref)(chosen) - (log pi - log ref)(rejected)` -> [B]; `beta h` is the implicit reward margin.

    Each response is subtracted from its own reference first: what policy and reference share of it cancels before the
    two responses meet. Laws P59, P60.
    """
    return (policy_chosen - value(ref_chosen)) - (policy_rejected - value(ref_rejected))


def sigmoid(
    policy_chosen: TensorLike,
    policy_rejected: TensorLike,
    ref_chosen: TensorLike,
    ref_rejected: TensorLike,
    beta: float,
    label_smoothing: float = 0.0,
) -> Any:
    """`(1 - e) softplus(-beta h) + e softplus(beta h)` -> scalar. DPO (Rafailov 2023, eq. 7) at e = 0.

    `label_smoothing` e in [0, 1/2] is the believed share of flipped labels: the *conservative* form (Mitchell 2023),
    which wants `sigmoid(beta h) = 1 - e` and no more. Laws P57-P62, P66, P69, P71.
    """
    _check_smoothing("sigmoid", label_smoothing, inclusive=True)
    z = log_ratio_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected) * beta
    if not label_smoothing:
        return softplus(-z).mean()
    return (softplus(-z) * (1 - label_smoothing) + softplus(z) * label_smoothing).mean()


def robust(
    policy_chosen: TensorLike,
    policy_rejected: TensorLike,
    ref_chosen: TensorLike,
    ref_rejected: TensorLike,
    beta: float,
    label_smoothing: float,
) -> Any:
    """`[(1 - e) softplus(-beta h) - e softplus(beta h)] / (1 - 2e)` -> scalar (Chowdhury 2024, eq. 12).

    Averaged over labels flipped at rate e < 1/2 it is the plain loss on the true labels: unbiased, where the
    conservative form is biased but calmer. Law P63.
    """
    _check_smoothing("robust", label_smoothing, inclusive=False)
    e = label_smoothing
    z = log_ratio_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected) * beta
    return ((softplus(-z) * (1 - e) - softplus(z) * e) / (1 - 2 * e)).mean()


def ipo(
    policy_chosen: TensorLike,
    policy_rejected: TensorLike,
    ref_chosen: TensorLike,
    ref_rejected: TensorLike,
    beta: float,
    lengths: tuple[Array, Array] | None = None,
) -> Any:
    """`mean (h - 1/(2 beta))^2` -> scalar (Azar 2023, eq. 17; beta is the paper's tau).

    The paper sums log-ratios over tokens. A common library averages them: for that pass `lengths`, the token counts [B]
    of chosen and rejected. Under averages a given beta asks for a far larger change. Laws P60, P64.
    """
    per_chosen, per_rejected = (1.0, 1.0) if lengths is None else (np.asarray(n) for n in lengths)
    lr_chosen, lr_rejected = policy_chosen - value(ref_chosen), policy_rejected - value(ref_rejected)
    h = lr_chosen / per_chosen - lr_rejected / per_rejected
    return ((h - 1 / (2 * beta)) ** 2).mean()


def hinge(
    policy_chosen: TensorLike,
    policy_rejected: TensorLike,
    ref_chosen: TensorLike,
    ref_rejected: TensorLike,
    beta: float,
) -> Any:
    """`mean relu(1 - beta h)` -> scalar: SLiC's loss (Zhao 2023) on DPO's log-ratios. Laws P60, P65."""
    return relu(1.0 - log_ratio_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected) * beta).mean()


def simpo(chosen_mean_logp: TensorLike, rejected_mean_logp: TensorLike, beta: float, gamma: float) -> Any:
    """`mean softplus(-(beta (lbar_w - lbar_l) - gamma))` -> scalar (Meng 2024, eq. 6).

    `lbar[B]` is the mean log-probability of a response's tokens, the very thing that generation maximises; there is no
    reference. `gamma` is the wanted margin, as in the paper *not* scaled by beta.
    """
    return softplus(-((chosen_mean_logp - rejected_mean_logp) * beta - gamma)).mean()


def orpo(chosen_mean_logp: TensorLike, rejected_mean_logp: TensorLike, lam: float) -> Any:
    """`mean -lbar_w + lam mean softplus(-(lo_w - lo_l))` -> scalar (Hong 2024, eq. 6-7): SFT and preference in one.

    `lbar[B] < 0` are mean log-probabilities, `lo = log odds = lbar - log(1 - exp(lbar))`. Law P68.
    """
    odds_ratio = log_odds(chosen_mean_logp) - log_odds(rejected_mean_logp)
    return -chosen_mean_logp.mean() + softplus(-odds_ratio).mean() * lam


def log_odds(logp: TensorLike) -> Any:
    """`log(p / (1 - p))` from `log p < 0`, any shape, accurate both for p near 1 and for p near 0.

    `log p - log(1 - p)` with `1 - e^x = -tanh(x/2) (1 + e^x)`. A log-probability that was rounded to 0 is taken to be a
    few times the tiniest number of its type below it: the odds are huge, but they and their gradient are finite.
    """
    x = minimum(logp, -4 * float(np.finfo(value(logp).dtype).tiny))
    return -softplus(-x) - log(-tanh(x * 0.5))


def kto(
    policy: TensorLike,
    ref: TensorLike,
    desirable: TensorLike,
    z: TensorLike | float,
    beta: float,
    weight_desirable: float = 1.0,
    weight_undesirable: float = 1.0,
) -> Any:
    """Single responses marked good or bad (Ethayarajh 2024, eq. 8) -> scalar.

    `lambda_D (1 - sigmoid(beta (lr - z)))` for desirable ones, `lambda_U (1 - sigmoid(beta (z - lr)))` for the others.
    `policy[B]`, `ref[B]` log-probabilities, `desirable[B]` booleans, `z >= 0` the reference point, see
    `kto_reference_point`. z is data even if it comes as a Tensor: with a gradient the policy could lower its loss by
    moving the yardstick. Law P67.
    """
    good = np.asarray(value(desirable)) != 0
    gain = (policy - value(ref) - value(z)) * beta
    dtype = value(gain).dtype
    sign = np.where(good, 1, -1).astype(dtype)
    weight = np.where(good, weight_desirable, weight_undesirable).astype(dtype)
    return (logistic(-gain * sign) * weight).mean()  # 1 - sigmoid(u) = sigmoid(-u)


def kto_reference_point(policy: Array, ref: Array) -> float:
    """`z = max(0, mean(log pi - log ref))` over mismatched pairs (prompt i with the response to prompt j != i).

    A rough, but cheap estimate of KL(pi || ref); `policy[B]` and `ref[B]` are their log-probabilities. Law P67.
    """
    return max(0.0, float(np.mean(value(policy) - value(ref))))


def _check_smoothing(name: str, e: float, inclusive: bool) -> None:
    if not (0 <= e < 0.5 or (inclusive and e == 0.5)):
        allowed = "in [0, 1/2]" if inclusive else "in [0, 1/2)"
        raise ValueError(f"{name}: label_smoothing is the share of flipped labels, {allowed}; got {e}.")
