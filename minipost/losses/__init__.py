"""The losses as pure functions, one file a family: numbers in, a scalar out, no model, no state.

They take plain arrays (and give arrays) or `minipost.autograd.Tensor`s (and can be differentiated). In the docstrings
`P12` names a law of the maths that the tests check.
"""

from minipost.losses import dpo, kl, ppo, reward, sft
from minipost.losses.dpo import hinge, ipo, kto, kto_reference_point, orpo, robust, sigmoid, simpo
from minipost.losses.kl import exact_kl, k1, k2, k3
from minipost.losses.ppo import entropy, policy_loss, ratio_statistics, value_loss
from minipost.losses.reduction import Reduction, aggregate
from minipost.losses.reward import bradley_terry, pair_accuracy, plackett_luce, pointwise_regression, wins
from minipost.losses.sft import cross_entropy, sequence_logps, token_logps

__all__ = [
    "Reduction",
    "aggregate",
    "bradley_terry",
    "cross_entropy",
    "dpo",
    "entropy",
    "exact_kl",
    "hinge",
    "ipo",
    "k1",
    "k2",
    "k3",
    "kl",
    "kto",
    "kto_reference_point",
    "orpo",
    "pair_accuracy",
    "plackett_luce",
    "pointwise_regression",
    "policy_loss",
    "ppo",
    "ratio_statistics",
    "reward",
    "robust",
    "sequence_logps",
    "sft",
    "sigmoid",
    "simpo",
    "token_logps",
    "value_loss",
    "wins",
]
