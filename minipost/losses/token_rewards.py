"""From one score per response to one reward per token.

The score judges the whole response, so it lands on the last response token. Every token also pays for leaving the
reference: `-beta` times its log-ratio, the k1 estimate of the KL divergence. It belongs *here*, in the reward, where
the score-function gradient turns it into the true KL gradient; inside a loss k1 has a zero expected gradient.

```
            prompt        response          padding
 tokens     x  x  x  |  y0   y1   end  |   .   .
 mask       0  0  0  |  1    1    1    |   0   0
 reward     0  0  0  | -bk  -bk  -bk+s |   0   0      bk = beta (log pi_old - log ref), s = score
```
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def token_rewards(scores: Array, logp: Array, ref_logp: Array, mask: Array, beta: float) -> Array:
    """`r_t = -beta (log pi_old - log ref)_t + [t = last counted token] score` (Ziegler 2019, eq. 2) -> [B, T].

    `scores[B]`; `logp`, `ref_logp` and `mask` are [B, T], aligned with the target tokens; each row's mask is one run.
    Uncounted positions may hold anything and get 0; an empty row gets zeros. Laws P33, P42, P44, P47.

    >>> one, two = np.log([[0.5, 0.5, 0.9]]), np.log([[0.5, 0.25, 0.1]])
    >>> token_rewards(np.array([3.0]), one, two, np.array([[1, 1, 0]]), beta=1.0).round(3)
    array([[0.   , 2.307, 0.   ]])
    """
    counted = np.asarray(mask) != 0
    # Select before subtracting: the difference of two garbage entries may be NaN.
    rewards = beta * (np.where(counted, ref_logp, 0) - np.where(counted, logp, 0))
    last = counted.shape[1] - 1 - np.argmax(counted[:, ::-1], axis=1)
    rows = np.flatnonzero(counted.any(axis=1))
    rewards = rewards.astype(np.result_type(np.float32, rewards, scores), copy=False)
    rewards[rows, last[rows]] += np.asarray(scores)[rows]
    return rewards


def has_end(tokens: Array, response_mask: Array, end_id: int) -> npt.NDArray[np.bool_]:
    """Which responses ended by themselves -> [B]; the others were cut at the length limit.

    Looks at the response only: the prompt of a chat template is full of end tokens. `tokens` and `response_mask` are
    [B, T]. Law P48.
    """
    ends = (np.asarray(tokens) == end_id) & (np.asarray(response_mask) != 0)
    return np.asarray(ends.any(axis=1), np.bool_)


def penalize_missing_end(
    scores: Array, ended: Array, penalty: float, mode: Literal["subtract", "replace"] = "subtract"
) -> Array:
    """Scores in which a cut response pays -> [B]. `scores[B]`, `ended[B]` as from `has_end`, `penalty >= 0`.

    "subtract" (TRL's `missing_eos_penalty`) takes the penalty off the score: good beginnings still rank above bad ones.
    "replace" (Stiennon 2020) sets the score to `-penalty`, whatever the text. Law P48.
    """
    if mode not in ("subtract", "replace"):
        raise ValueError(f'penalize_missing_end: mode is "subtract" or "replace", not {mode!r}.')
    punished = scores - penalty if mode == "subtract" else np.full_like(scores, -penalty)
    return np.where(ended, scores, punished)
