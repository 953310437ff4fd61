"""The simulated universe in which everything is trained and where the *true* reward is known.

`World(seed, share)` knows what is true; its web tells it noisily, its demonstrators show how to answer, its `Utility`
judges any answer, and its labelers rate answers by that utility with known noise. Read in this order: `tables` (what
there is), `toy_language`, `facts` (what is true), `phrasing` and `tone` (how it is said), `tasks`, `demonstrators`,
`pages` and `web`, `matching`, `correctness`, `fluency`, `world` and `utility`, `labelers`, `collect`. `micro` is a far
smaller world in which every answer can be enumerated; `counting_rng` measures the entropy of the web.

Whatever writes text (web, tasks, demonstrators) draws from a `random.Random r`, which picks one of a list many times
as fast as NumPy's generator, and which is seeded from the caller's `rng: np.random.Generator`.
"""

from __future__ import annotations

from minipost.world.demonstrators import Demonstrator
from minipost.world.facts import KINDS
from minipost.world.labelers import Labeler, bayes_accuracy
from minipost.world.pages import HOW_TO_FREQUENCIES as PIZZA_MODES
from minipost.world.tasks import MIX, Task
from minipost.world.utility import Judgement, Utility
from minipost.world.world import World

__all__ = [
    "KINDS",
    "MIX",
    "PIZZA_MODES",
    "Demonstrator",
    "Judgement",
    "Labeler",
    "Task",
    "Utility",
    "World",
    "bayes_accuracy",
]
