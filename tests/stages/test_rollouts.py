"""What PPO and GRPO share: where prompts come from, what is known of answers to them, and when a rollout is used up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minipost.stages.base import StageError, Update, by_thread
from minipost.stages.ppo import PPOConfig
from minipost.stages.rollouts import FilePrompts, RolloutConfig, UpdateEpochs, WorldPrompts
from minipost.text import Tokenizer, prompt_tokens
from minipost.world import Utility, World

MOVED = {"policy/ratio": 1.0, "policy/approxkl_avg": 0.0, "policy/clipfrac_avg": 0.0}


def test_the_gold_of_prompts_is_the_mean_utility_of_answers_to_each() -> None:
    world, tokenizer = World(0), Tokenizer([])
    prompts = WorldPrompts(world, tokenizer).draw(np.random.default_rng(0), 3)
    tasks = world.tasks("train", 3, np.random.default_rng(0))
    assert prompts.ids == [prompt_tokens(tokenizer, task.prompt) for task in tasks]
    texts = ["Yes.", "I cannot help with that.", "Rome.", "No.", "Paris is the capital of France.", ""]
    utility = Utility(world)
    assert prompts.gold is not None
    assert prompts.gold(texts) == np.mean([utility(tasks[i // 2], text) for i, text in enumerate(texts)])


def test_a_users_prompts_have_no_gold_and_come_once_in_a_rollout_while_there_are_enough() -> None:
    source, rng = FilePrompts([[i] for i in range(6)]), np.random.default_rng(0)
    drawn = source.draw(rng, 6)
    assert sorted(drawn.ids) == source.ids and drawn.gold is None
    assert len(source.draw(rng, 20).ids) == 20


def epochs(config: RolloutConfig, step: int = 0) -> UpdateEpochs:
    answers: Any = SimpleNamespace(examples=[None] * 8)
    return UpdateEpochs(Update(step, np.random.default_rng(0)), answers, config)


def test_every_epoch_visits_every_answer_once_unless_the_policy_has_moved_too_far() -> None:
    config = PPOConfig(rollout=8, epochs=3, minibatches=2, target_kl=0.5)
    for step, (kl, passes) in enumerate([(0.4, 3), (0.6, 1)]):
        updates, batches = epochs(config, step), []
        for batch in updates:
            batches.append(batch)
            updates.log(MOVED | {"policy/approxkl_avg": kl if len(batches) > 1 else 0.0})
        assert [len(batch) for batch in batches] == [4] * 2 * passes
        for i in range(passes):
            assert sorted(np.concatenate(batches[2 * i : 2 * i + 2])) == list(range(8))
        assert updates.means()["updates"] == 2 * passes


@pytest.mark.parametrize("name", MOVED)
def test_a_policy_that_has_moved_before_the_first_update_is_refused(name: str) -> None:
    with pytest.raises(StageError, match="at step 0"):
        epochs(PPOConfig(rollout=8)).log(MOVED | {name: 0.5})
    epochs(PPOConfig(rollout=8), step=1).log(MOVED | {name: 0.5})


def test_shards_are_neighbours_in_order() -> None:
    indices = np.array([5, 3, 9, 0, 7])
    shards = by_thread(indices, [1, 1, 4, 1, 1])
    assert np.concatenate(shards).tolist() == indices.tolist()


def test_configurations_are_given_by_name() -> None:
    """Their fields are shared by inheritance, so that their order means nothing."""
    with pytest.raises(TypeError):
        PPOConfig("runs/sft")  # type: ignore[misc]
