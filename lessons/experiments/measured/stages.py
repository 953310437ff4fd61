"""The stages side by side (claims 1, 6, 7, 21, 29, 31): what each adds, what it costs, and which can be left out.

All models are evaluated on the same set: held-out prompts of the village, and harmful requests. Answers are sampled at
the serving temperature and graded by the true utility. Best-of-N is evaluated by the answers that it picks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.teaching import unpretrained
from minipost.losses import wins
from minipost.model import SERVED_TEMPERATURE, Model
from minipost.runs import Run
from minipost.stages import ppo
from minipost.stages.best_of_n import candidates
from minipost.stages.dpo import DPOConfig
from minipost.stages.rollouts import WorldPrompts, reward_scores
from minipost.text import prompt_tokens
from minipost.text.batching import Example
from minipost.world import Task, Utility
from minipost.world.utility import Judgement, Weights

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

N = 16  # answers from which best-of-N picks
MATTERS = 0.3  # the smallest difference in utility that we would care about; a right and complete answer is worth 3.7
CAP, LENGTH_PENALTY = 12, 0.5  # an answer of more than CAP tokens costs LENGTH_PENALTY per token
WORTH = Weights()
TERMS: dict[str, Callable[[Judgement], float]] = {  # of the utility; `minipost.world.utility` defines them
    "correctness": lambda j: WORTH.correct * j.correct + WORTH.complete * j.correct * j.complete,
    "harm": lambda j: WORTH.harmless * j.harmless,
    "tone": lambda j: WORTH.tone * j.tone,
    "words": lambda j: WORTH.length * j.length,
    "form": lambda j: WORTH.form * j.form,
}


# -------------------------------------------------------------------------------------------------- the evaluation set
def evaluation_set(lab: Lab, seed: int) -> tuple[list[Task], int]:
    """(tasks, how many of them are everyday ones); the rest are harmful requests."""
    rng, everyday = np.random.default_rng([seed, 21]), lab.pick(160, 16)
    harmful = village.world().tasks("test", lab.pick(60, 8), rng, kinds=["harmful"])
    return village.world().tasks("test", everyday, rng) + harmful, everyday


def evaluated(lab: Lab, model: Path, seed: int, draw: int = 0) -> Arrays:
    """A model's answers to the everyday tasks: `text`, `gold` and its terms (`TERMS`; needless refusals apart),
    `length` (tokens) and `log_ratio` to the seed's SFT model, each [T]; and `complied` [H] of the harmful requests.
    Another `draw` samples again."""
    reference = village.sft(lab, seed)

    def make() -> Arrays:
        tasks, everyday = evaluation_set(lab, seed)
        policy, utility = Model.load(model), Utility(village.world())
        rng = np.random.default_rng([seed, 22, draw])
        prompts = [t.prompt for t in tasks]
        texts, drawn = zip(*policy.answer(prompts, rng, SERVED_TEMPERATURE), strict=True)
        judged = [utility.judge(t, text) for t, text in zip(tasks, texts, strict=True)]
        ids = [prompt_tokens(policy.tokenizer, p) for p in prompts[:everyday]]
        examples = [Example(p, s.tokens) for p, s in zip(ids, drawn, strict=False)]
        reference_logps = Model.load(reference).logps(examples, temperature=SERVED_TEMPERATURE)
        logps = np.array([s.logps.sum() for s in drawn[:everyday]])
        return {
            "text": np.array(texts[:everyday]),
            "gold": np.array([j.total for j in judged[:everyday]]),
            **{name: np.array([term(j) for j in judged[:everyday]]) for name, term in TERMS.items()},
            "length": np.array([len(s.tokens) for s in drawn[:everyday]]),
            "log_ratio": logps - reference_logps,  # its mean is the k1 estimate of KL(model || SFT), in nats a response
            "complied": np.array([bool(j.complied) for j in judged[everyday:]]),
        }

    return lab.numbers("exam", {"model": model, "seed": seed, "draw": draw, "terms": list(TERMS)}, make)


def sft_candidates(lab: Lab, seed: int) -> Arrays:
    """N candidates of the seed's SFT model to every task: `proxy` [T, N] and `gold` [T, N] of the everyday tasks,
    `harmful_proxy` [H, N] and `complied` [H, N] of the others."""
    policy, reward_model = village.sft(lab, seed), village.reward(lab, seed)

    def make() -> Arrays:
        tasks, everyday = evaluation_set(lab, seed)
        rng, utility = np.random.default_rng([seed, 23]), Utility(village.world())
        prompts = [task.prompt for task in tasks]
        answers = candidates(Model.load(policy), Model.load(reward_model, "score"), prompts, rng, N)
        proxy = np.array([c.proxy for c in answers])
        judged = [[utility.judge(task, text) for text in c.texts] for task, c in zip(tasks, answers, strict=True)]
        return {
            "proxy": proxy[:everyday],
            "gold": np.array([[j.total for j in row] for row in judged[:everyday]]),
            "harmful_proxy": proxy[everyday:],
            "complied": np.array([[bool(j.complied) for j in row] for row in judged[everyday:]]),
        }

    return lab.numbers(
        "pool", {"policy": policy, "judge": reward_model, "seed": seed, "n": N}, make, lab.pick("15 s", "1 s")
    )


def picked(answers: Arrays) -> Arrays:
    """Best-of-N's answers: `gold` [T] and `complied` [H] of the candidates with the highest scores."""
    best, worst_case = answers["proxy"].argmax(axis=1), answers["harmful_proxy"].argmax(axis=1)
    return {
        "gold": answers["gold"][np.arange(len(best)), best],
        "complied": answers["complied"][np.arange(len(worst_case)), worst_case],
    }


def assistants(lab: Lab, seed: int) -> dict[str, Arrays]:
    """The evaluations of SFT and of the three methods that start from it."""
    return {
        "SFT": evaluated(lab, village.sft(lab, seed), seed),
        f"best of {N}": picked(sft_candidates(lab, seed)),
        "PPO": evaluated(lab, village.ppo(lab, seed), seed),
        "DPO": evaluated(lab, village.dpo(lab, seed), seed),
    }


def mean_gold(answers: Arrays) -> float:
    return float(answers["gold"].mean())


# ------------------------------------------------------------------------------------------------- what each stage adds
@claim(
    1,
    "every-stage-adds",
    "Does every one of the three stages raise the true utility?",
    knob="how many stages",
    metric="gold utility",
    arm="smaller of the two gains",
    control="no gain",
    expects="up",
    lesson=11,
    seeds=3,
)
def every_stage_adds(seed: int, lab: Lab) -> dict[str, float]:
    """Base, then SFT, then PPO. If the smaller of the two gains is positive, both are."""
    base = mean_gold(evaluated(lab, village.base(lab, seed), seed))
    golds = {name: mean_gold(answers) for name, answers in assistants(lab, seed).items()}
    gains = golds["SFT"] - base, golds["PPO"] - golds["SFT"]
    measured = {"base": base, "SFT": golds["SFT"], "PPO": golds["PPO"]}
    return {**measured, "smaller of the two gains": min(gains), "no gain": 0.0}


@claim(
    6,
    "preference-helps",
    "Does the preference stage make answers more helpful?",
    knob="the preference stage",
    metric="gold utility",
    arm="PPO",
    control="SFT",
    expects="up",
    lesson=11,
    seeds=3,
)
def preference_helps(seed: int, lab: Lab) -> dict[str, float]:
    """The three preference methods against the SFT model that all start from."""
    return {name: mean_gold(answers) for name, answers in assistants(lab, seed).items()}


@claim(
    6,
    "preference-protects",
    "Does the preference stage make answers safer?",
    knob="the preference stage",
    metric="share of harmful requests fulfilled",
    arm="PPO",
    control="SFT",
    expects="down",
    lesson=11,
    seeds=3,
)
def preference_protects(seed: int, lab: Lab) -> dict[str, float]:
    """Harm by the same four models."""
    return {name: float(answers["complied"].mean()) for name, answers in assistants(lab, seed).items()}


@claim(
    21,
    "preference-wins",
    "Do people prefer the preference-tuned answer to SFT's?",
    knob="the preference stage",
    metric="win rate against SFT",
    arm="PPO",
    control="a coin",
    expects="up",
    lesson=11,
    seeds=3,
)
def preference_wins(seed: int, lab: Lab) -> dict[str, float]:
    """Each model's answer against a fresh one of SFT's, ties half. SFT against itself is the check."""
    rival = evaluated(lab, village.sft(lab, seed), seed, draw=1)["gold"]
    rates = {name: float(wins(answers["gold"], rival).mean()) for name, answers in assistants(lab, seed).items()}
    return {"a coin": 0.5, **rates}


# ------------------------------------------------------------------------------------------------ what can be left out
@claim(
    7,
    "skip-rl",
    "Can one skip training on preferences, and pick at answering time instead?",
    knob="PPO, or only picking",
    metric="gold utility",
    arm=f"best of {N}",
    control="PPO",
    expects="same",
    margin=MATTERS,
    lesson=11,
    seeds=3,
)
def skip_rl(seed: int, lab: Lab) -> dict[str, float]:
    """Best-of-N changes no weight."""
    golds = preference_helps(seed, lab)
    return {"PPO": golds["PPO"], f"best of {N}": golds[f"best of {N}"]}


@claim(
    7,
    "skip-sft",
    "Can one skip SFT, and tune the base model on preferences?",
    knob="with SFT or without",
    metric="gold utility",
    arm="pretraining, DPO",
    control="all three",
    expects="same",
    margin=MATTERS,
    lesson=11,
    seeds=3,
)
def skip_sft(seed: int, lab: Lab) -> dict[str, float]:
    """DPO from the base model on the comparisons that DPO from SFT learns from."""
    base = village.base(lab, seed)
    skipping = village.dpo(lab, seed, policy=base)
    return {
        "pretraining": mean_gold(evaluated(lab, base, seed)),
        "pretraining, DPO": mean_gold(evaluated(lab, skipping, seed)),
        "all three": mean_gold(evaluated(lab, village.dpo(lab, seed), seed)),
    }


@claim(
    7,
    "skip-pretraining",
    "Can one skip pretraining, and start with demonstrations?",
    knob="with pretraining or without",
    metric="gold utility",
    arm="SFT alone",
    control="pretraining, SFT",
    expects="same",
    margin=MATTERS,
    lesson=11,
    seeds=3,
)
def skip_pretraining(seed: int, lab: Lab) -> dict[str, float]:
    """SFT of random weights on the demonstrations that the base model gets."""
    return {
        "SFT alone": mean_gold(evaluated(lab, unpretrained(lab, seed), seed)),
        "pretraining, SFT": mean_gold(evaluated(lab, village.sft(lab, seed), seed)),
    }


# --------------------------------------------------------------------------------------- flexibility, and what it costs
@claim(
    29,
    "ppo-takes-any-reward",
    "Can PPO optimise a wish that no comparison expresses?",
    knob="a price on length in PPO's reward",
    metric=f"share of answers over {CAP} tokens",
    arm="PPO, capped",
    control="PPO",
    expects="down",
    lesson=11,
    seeds=3,
)
def ppo_takes_any_reward(seed: int, lab: Lab) -> dict[str, float]:
    """The reward is the reward model's score minus a penalty for each token beyond the cap. DPO has no such term."""
    models = {"PPO": village.ppo(lab, seed), "PPO, capped": capped(lab, seed), "DPO": village.dpo(lab, seed)}
    return {name: float(np.mean(evaluated(lab, model, seed)["length"] > CAP)) for name, model in models.items()}


def capped(lab: Lab, seed: int) -> Path:
    """The run folder of PPO against the reward model and a length penalty."""
    policy, reward_model = village.sft(lab, seed), village.reward(lab, seed)
    settings: dict[str, Any] = lab.pick({"iterations": 14}, {"iterations": 2, "rollout": 16})
    config = ppo.PPOConfig(policy=policy, reward=reward_model, seed=seed, **village.WORLD, **settings)

    def make(folder: Path) -> None:
        start, scorer = Model.load(policy), Model.load(reward_model, "score")
        prompts = WorldPrompts(village.world(), start.tokenizer)

        def score(examples: Any) -> Any:
            beyond = np.array([max(0, len(e.response) - CAP) for e in examples])
            return reward_scores(scorer, examples, config.row_length) - LENGTH_PENALTY * beyond

        run = Run.create(folder / "run", "ppo", config, seed, {"policy": policy, "reward": reward_model})
        weights = ppo.train(run, start, scorer, prompts.draw, score, config)
        run.finish(Model(weights, start.config, start.tokenizer), description="An assistant that keeps it short.")

    settings |= {"cap": CAP, "price": LENGTH_PENALTY, "policy": policy, "judge": reward_model, "seed": seed}
    return lab.artefact("ppo-capped", settings, make, lab.pick("12 s", "1 s")) / "run"


def settings_drawn(seed: int) -> tuple[float, float]:
    """Two factors, from a quarter to four, for the learning rate and for beta: the ignorance of a first attempt."""
    rate, beta = 2 ** np.random.default_rng([seed, 31]).uniform(-2, 2, size=2)
    return float(rate), float(beta)


def tried(lab: Lab, seed: int) -> dict[str, tuple[Arrays, Arrays]]:
    """Method -> the evaluations of (the village's setting, the drawn one)."""
    rate, beta = settings_drawn(seed)

    def changes(config: Any) -> dict[str, Any]:
        return {"learning_rate": rate * config.learning_rate, "beta": beta * config.beta}

    drawn = {
        "PPO": village.ppo(lab, seed, **changes(ppo.PPOConfig)),
        "DPO": village.dpo(lab, seed, **changes(DPOConfig)),
    }
    usual = assistants(lab, seed)
    return {name: (usual[name], evaluated(lab, model, seed)) for name, model in drawn.items()}


@claim(
    31,
    "dpo-is-easier-to-set",
    "Is DPO less sensitive to its settings than PPO?",
    knob="the method, at equally wrong settings",
    metric="distance of the utility from the default setting's",
    arm="DPO",
    control="PPO",
    expects="down",
    lesson=11,
    seeds=3,
)
def dpo_is_easier_to_set(seed: int, lab: Lab) -> dict[str, float]:
    """Each seed draws two factors, which multiply each method's own defaults."""
    return {name: abs(mean_gold(drawn) - mean_gold(usual)) for name, (usual, drawn) in tried(lab, seed).items()}
