"""What the answers of lesson 9 are held to."""

from __future__ import annotations

from lessons.tools import Check

CHECKS = [
    Check(
        "advantages",
        "ppo.gae",
        hints=[
            "Replace what the mask hides by 0 first: NaN times 0 is NaN.",
            "Keep the next value and the next advantage of each row, and start both at 0.",
            "At a position that does not count, change neither of them: np.where(here, new, old).",
        ],
    ),
    Check(
        "clipped_loss",
        "ppo.policy_loss",
        hints=[
            "Write it literally first, and see which law complains.",
            "exp of 1000 is infinite. For A > 0 the ratio never counts beyond 1 + eps: cut it before exp.",
            "minimum(log_rho, log1p(eps)) for A > 0, maximum(log_rho, log1p(-eps)) for A < 0; where A is 0, anything.",
        ],
    ),
    Check(
        "whiten",
        "ppo.whiten",
        hints=[
            "Mean and variance of the counted entries of the whole batch; divide by how many count.",
            "The variance is the population's: over N, not N - 1. One entry alone must not become NaN.",
            "Take the statistics in float64, and return 0 where nothing counts.",
        ],
    ),
    Check(
        "token_rewards",
        "ppo.token_rewards",
        bug="P42",
        hints=[
            "Add up the rewards of each row, and compare with score - beta * log-ratio. Which rows are off?",
            "Padding stands on the right. In which rows is the last column the last token?",
            "argmax over the reversed mask finds the last counted column of each row.",
        ],
    ),
]
