"""What is computed *about* samples, in plain NumPy: rewards, advantages, the KL coefficient, and best-of-n.

Nothing here is differentiated. Rewards and advantages enter the losses of `minipost.losses` as constants.
"""

from minipost.estimators.advantages import gae, grpo, rloo, whiten
from minipost.estimators.best_of_n import best_of_n_estimate, best_of_n_kl_bound, best_of_n_log_ratio, best_of_n_pmf
from minipost.estimators.kl_control import AdaptiveKL, FixedKL, KLControl
from minipost.estimators.rewards import has_end, penalize_missing_end, token_rewards

__all__ = [
    "AdaptiveKL",
    "FixedKL",
    "KLControl",
    "best_of_n_estimate",
    "best_of_n_kl_bound",
    "best_of_n_log_ratio",
    "best_of_n_pmf",
    "gae",
    "grpo",
    "has_end",
    "penalize_missing_end",
    "rloo",
    "token_rewards",
    "whiten",
]
