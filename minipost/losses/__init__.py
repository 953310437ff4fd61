"""The maths of post-training as pure functions, one file a family: no model, no state.

The losses: numbers in, a scalar out. They take plain arrays (and give arrays) or `minipost.autograd.Tensor`s (and can
be differentiated). What is computed *about* samples (rewards of tokens, advantages, the KL coefficient, best-of-n) is
plain NumPy and is not differentiated: it enters the losses as constants.

In the docstrings `P12` names a law of the maths that the tests check; `docs/laws.md` lists them.
"""

from minipost.losses import advantages, best_of_n, dpo, kl, ppo, reward, sft
from minipost.losses.advantages import gae, grpo, rloo, whiten
from minipost.losses.best_of_n import best_of_n_estimate, best_of_n_kl_bound, best_of_n_log_ratio, best_of_n_pmf
from minipost.losses.dpo import hinge, ipo, kto, kto_reference_point, orpo, robust, sigmoid, simpo
from minipost.losses.kl import exact_kl, k1, k2, k3
from minipost.losses.kl_control import AdaptiveKL, FixedKL, KLControl
from minipost.losses.ppo import entropy, policy_loss, ratio_statistics, value_loss
from minipost.losses.reduction import Reduction, aggregate
from minipost.losses.reward import bradley_terry, pair_accuracy, plackett_luce, pointwise_regression, wins
from minipost.losses.sft import cross_entropy, sequence_logps, token_logps
from minipost.losses.token_rewards import has_end, penalize_missing_end, token_rewards

__all__ = [
    "AdaptiveKL",
    "FixedKL",
    "KLControl",
    "Reduction",
    "advantages",
    "aggregate",
    "best_of_n",
    "best_of_n_estimate",
    "best_of_n_kl_bound",
    "best_of_n_log_ratio",
    "best_of_n_pmf",
    "bradley_terry",
    "cross_entropy",
    "dpo",
    "entropy",
    "exact_kl",
    "gae",
    "grpo",
    "has_end",
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
    "penalize_missing_end",
    "plackett_luce",
    "pointwise_regression",
    "policy_loss",
    "ppo",
    "ratio_statistics",
    "reward",
    "rloo",
    "robust",
    "sequence_logps",
    "sft",
    "sigmoid",
    "simpo",
    "token_logps",
    "token_rewards",
    "value_loss",
    "whiten",
    "wins",
]
