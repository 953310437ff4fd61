"""The laws of the loss maths, and a judge that holds anyone's implementation to them.

A *target* is a function with a fixed signature, such as `dpo.sigmoid`; a *law* is what every correct implementation of
it obeys; a *candidate* is an implementation, in NumPy, on this project's Tensor, in PyTorch or in JAX.

    from minipost.laws import judge
    verdict = judge("dpo.sigmoid", my_dpo_loss)
    assert verdict.holds, verdict

In pytest each law becomes a test:

    @pytest.mark.parametrize("law", laws_for("dpo.sigmoid"))
    def test_my_dpo(law):
        law.check(my_dpo_loss)

Only judging needs Hypothesis, which draws the examples; to list targets and laws nothing but NumPy.
"""

from minipost.laws import best_of_n, dpo, kl, ppo, reward, rl, sft
from minipost.laws.judge import judge, laws_for
from minipost.laws.targets import TARGETS

__all__ = ["TARGETS", "best_of_n", "dpo", "judge", "kl", "laws_for", "ppo", "reward", "rl", "sft"]
