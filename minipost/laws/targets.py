"""The targets: what can be judged, with its signature, its formula, and its implementation here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minipost.laws import oracles
from minipost.laws.law import DEFAULTS, Array, Case


@dataclass(frozen=True)
class Target:
    """One function of the contract.

    `signature` is the contract's own text. `implementation` names this package's function as `module:function`.
    `counted` names the mask outside of which outputs are not
    looked at. `smooth` says whether a case stays clear of the formula's kinks, where no gradient is judged.
    """

    name: str
    signature: str
    formula: str
    source: str
    implementation: str
    oracle: Callable[[Case], Any]
    derivative: Callable[[Case], Mapping[str, Array]] | None = None
    counted: str = ""
    smooth: Callable[[Case], bool] = lambda x: True
    slack: Callable[[Case], Any] = lambda x: 0.0  # relative, per element: what an epsilon of 1e-8 may change

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The contract's argument names, in order."""
        return tuple(re.findall(r"(?:^|, )(\w+)", re.sub(r"\[[^]]*\]", "", self.signature.partition(") -> ")[0][1:])))

    @cached_property
    def optional(self) -> tuple[str, ...]:
        return tuple(name for name in self.arguments if re.search(rf"\b{name}=", self.signature))

    @cached_property
    def _axes(self) -> tuple[dict[str, list[str]], list[list[str]]]:
        """The letters of the axes, of each argument that has some and of each output: `logp[B,T]` has B and T."""
        inputs, _, outputs = self.signature.partition(") -> ")
        named = {name: letters.split(",") for name, letters in re.findall(r"(\w+)\[([^]]*)\]", inputs)}
        return named, [letters.split(",") for letters in re.findall(r"\[([^]]*)\]", outputs)] or [[]]

    def returns(self, x: Case) -> tuple[tuple[int, ...], ...]:
        """The shapes of the outputs for a case."""
        inputs, outputs = self._axes
        sizes: dict[str, tuple[int, ...]] = {}
        for name, letters in inputs.items():
            shape = np.shape(getattr(x, name))
            sizes |= {"...": shape} if letters == ["..."] else {a: (n,) for a, n in zip(letters, shape, strict=True)}
        return tuple(sum((sizes[letter] for letter in letters), ()) for letters in outputs)

    def differentiable(self, x: Case) -> tuple[str, ...]:
        """The arguments whose gradients are judged."""
        return tuple(self.derivative(x)) if self.derivative else ()


def _clear(distance: Any) -> bool:
    """Whether nothing is closer than a thousandth to a kink."""
    return bool(np.all(np.abs(distance) > 1e-3))


def _policy_is_smooth(x: Case) -> bool:
    at = np.asarray(x.mask) != 0
    rho = np.exp(x.logp[at] - x.old_logp[at])
    return _clear(rho - 1 - x.clip) and _clear(rho - 1 + x.clip)


def _value_is_smooth(x: Case) -> bool:
    at = np.asarray(x.mask) != 0
    V, old, R = x.values[at], x.old_values[at], x.returns[at]
    near = np.clip(V, old - x.clip, old + x.clip)
    tie = np.abs((V - R) ** 2 - (near - R) ** 2) / (1 + (V - R) ** 2)
    return _clear(np.abs(V - old) - x.clip) and _clear(np.where(near == V, 1.0, tie))


def _odds_are_smooth(x: Case) -> bool:
    """Nearer to 0 the slope of log odds, 1 / (1 - p), multiplies what float32 rounds."""
    return bool(np.all(x.chosen_mean_logp <= -1e-3) and np.all(x.rejected_mean_logp <= -1e-3))


def _epsilon_in_std(x: Case) -> Any:
    """GRPO divides by std + 1e-4: an epsilon of 1e-8 beside it, or under the root of the std, is no error."""
    std = np.asarray(x.rewards).std(axis=1, keepdims=True)
    return (np.sqrt(std**2 + 1e-8) - std + 1e-8) / (std + 1e-4)


FOUR = "(policy_chosen[B], policy_rejected[B], ref_chosen[B], ref_rejected[B], beta"
KL = "Schulman 2020, 'Approximating KL divergence'"

ALL = [
    Target(
        "sft.cross_entropy",
        '(logits[B,T,V], labels[B,T], mask[B,T], reduction="token") -> scalar',
        "-sum m log p(label) / sum m",
        "Ouyang et al. 2022, section 3.5",
        "minipost.losses.sft:cross_entropy",
        oracles.cross_entropy,
        oracles.d_cross_entropy,
    ),
    Target(
        "sequence_logps",
        "(logits[B,T,V], tokens[B,T], response_mask[B,T]) -> [B]",
        "sum_t m_t log p(token_t | tokens before t), read from logits[:, t-1]",
        "Rafailov et al. 2023, section 4",
        "minipost.losses.sft:sequence_logps",
        oracles.sequence_logps,
        oracles.d_sequence_logps,
    ),
    Target(
        "reward.bradley_terry",
        "(chosen[B], rejected[B], margin=0.0, center=0.0) -> scalar",
        "mean softplus(-(r_c - r_r - margin)) + center mean (r_c + r_r)^2",
        "Ouyang et al. 2022, eq. 1",
        "minipost.losses.reward:bradley_terry",
        oracles.bradley_terry,
        oracles.d_bradley_terry,
    ),
    Target(
        "kl.k1",
        "(logp[...], ref_logp[...]) -> [...]",
        "-log r = logp - ref_logp",
        KL,
        "minipost.losses.kl:k1",
        oracles.k1,
        oracles.d_k1,
    ),
    Target(
        "kl.k2",
        "(logp[...], ref_logp[...]) -> [...]",
        "(log r)^2 / 2, log r = ref_logp - logp",
        KL,
        "minipost.losses.kl:k2",
        oracles.k2,
        oracles.d_k2,
    ),
    Target(
        "kl.k3",
        "(logp[...], ref_logp[...]) -> [...]",
        "expm1(log r) - log r, log r = ref_logp - logp",
        KL,
        "minipost.losses.kl:k3",
        oracles.k3,
        oracles.d_k3,
    ),
    Target(
        "ppo.token_rewards",
        "(scores[B], logp[B,T], ref_logp[B,T], mask[B,T], beta) -> [B,T]",
        "r_t = -beta (logp - ref_logp)_t + [t = last counted] score",
        "Ziegler et al. 2019, eq. 2",
        "minipost.losses:token_rewards",
        oracles.token_rewards,
        counted="mask",
    ),
    Target(
        "ppo.gae",
        "(rewards[B,T], values[B,T], mask[B,T], gamma, lam) -> (advantages[B,T], returns[B,T])",
        "A_t = sum_k (gamma lam)^k delta_(t+k), delta_t = r_t + gamma V_(t+1) - V_t; returns A + V",
        "Schulman et al. 2016, eq. 16",
        "minipost.losses:gae",
        oracles.gae,
        counted="mask",
    ),
    Target(
        "ppo.whiten",
        "(x[B,T], mask[B,T], shift_mean=True) -> [B,T]",
        "(x - mean) / std over counted elements [+ mean]",
        "Ziegler et al. 2019, the released code",
        "minipost.losses:whiten",
        oracles.whiten,
        counted="mask",
    ),
    Target(
        "ppo.policy_loss",
        "(logp[B,T], old_logp[B,T], advantages[B,T], mask[B,T], clip=0.2) -> scalar",
        "mean over counted tokens of max(-A rho, -A clip(rho, 1-eps, 1+eps)), rho = exp(logp - old_logp)",
        "Schulman et al. 2017, eq. 7",
        "minipost.losses.ppo:policy_loss",
        oracles.policy_loss,
        oracles.d_policy_loss,
        smooth=_policy_is_smooth,
    ),
    Target(
        "ppo.value_loss",
        "(values[B,T], old_values[B,T], returns[B,T], mask[B,T], clip=0.2) -> scalar",
        "mean over counted tokens of max((V-R)^2, (clip(V, V_old-eps, V_old+eps)-R)^2) / 2",
        "Schulman et al. 2017, the released code",
        "minipost.losses.ppo:value_loss",
        oracles.value_loss,
        oracles.d_value_loss,
        smooth=_value_is_smooth,
    ),
    Target(
        "dpo.sigmoid",
        f"{FOUR}, label_smoothing=0.0) -> scalar",
        "mean (1-e) softplus(-beta h) + e softplus(beta h)",
        "Rafailov et al. 2023, eq. 7",
        "minipost.losses.dpo:sigmoid",
        oracles.dpo_sigmoid,
        oracles.d_dpo_sigmoid,
    ),
    Target(
        "dpo.ipo",
        f"{FOUR}) -> scalar",
        "mean (h - 1/(2 beta))^2",
        "Azar et al. 2023, eq. 17",
        "minipost.losses.dpo:ipo",
        oracles.dpo_ipo,
        oracles.d_dpo_ipo,
    ),
    Target(
        "dpo.hinge",
        f"{FOUR}) -> scalar",
        "mean relu(1 - beta h)",
        "Zhao et al. 2023, eq. 2 (SLiC-HF)",
        "minipost.losses.dpo:hinge",
        oracles.dpo_hinge,
        oracles.d_dpo_hinge,
        smooth=lambda x: _clear(1 - x.beta * oracles.h(x)),
    ),
    Target(
        "dpo.robust",
        f"{FOUR}, label_smoothing) -> scalar",
        "mean [(1-e) softplus(-beta h) - e softplus(beta h)] / (1-2e)",
        "Chowdhury et al. 2024, eq. 12",
        "minipost.losses.dpo:robust",
        oracles.dpo_robust,
        oracles.d_dpo_robust,
    ),
    Target(
        "dpo.simpo",
        "(chosen_mean_logp[B], rejected_mean_logp[B], beta, gamma) -> scalar",
        "mean softplus(-(beta (lbar_w - lbar_l) - gamma))",
        "Meng et al. 2024, eq. 6",
        "minipost.losses.dpo:simpo",
        oracles.dpo_simpo,
        oracles.d_dpo_simpo,
    ),
    Target(
        "dpo.orpo",
        "(chosen_mean_logp[B], rejected_mean_logp[B], lam) -> scalar",
        "mean -lbar_w + lam softplus(-(lo_w - lo_l)), lo = lbar - log(1 - exp lbar)",
        "Hong et al. 2024, eq. 6-7",
        "minipost.losses.dpo:orpo",
        oracles.dpo_orpo,
        oracles.d_dpo_orpo,
        smooth=_odds_are_smooth,
    ),
    Target(
        "dpo.kto",
        "(policy[B], ref[B], desirable[B] bool, z, beta, weight_desirable=1.0, weight_undesirable=1.0) -> scalar",
        "mean of w_D (1 - sigmoid(beta (lr - z))) where desirable, else w_U (1 - sigmoid(beta (z - lr)))",
        "Ethayarajh et al. 2024, eq. 8",
        "minipost.losses.dpo:kto",
        oracles.dpo_kto,
        oracles.d_dpo_kto,
    ),
    Target(
        "best_of_n.estimate",
        "(proxy[N], gold[N]) -> [N]",
        "R(n) = sum_(i=n..N) C(i-1, n-1) gold_(i) / C(N, n)",
        "Nakano et al. 2021, appendix I",
        "minipost.losses:best_of_n_estimate",
        oracles.best_of_n,
    ),
    Target(
        "best_of_n.kl_bound",
        "(n) -> float",
        "log n - (n-1)/n",
        "Beirami et al. 2024, theorem 1",
        "minipost.losses:best_of_n_kl_bound",
        oracles.kl_bound,
    ),
    Target(
        "rl.rloo",
        "(rewards[G,K]) -> advantages[G,K]",
        "r_k - mean of the other K-1",
        "Ahmadian et al. 2024, eq. 8",
        "minipost.losses:rloo",
        oracles.rloo,
    ),
    Target(
        "rl.grpo",
        "(rewards[G,K]) -> advantages[G,K]",
        "(r - mean) / (std + 1e-4), std of the population",
        "Shao et al. 2024, section 4.1.2",
        "minipost.losses:grpo",
        oracles.grpo,
        slack=_epsilon_in_std,
    ),
]

TARGETS: dict[str, Target] = {target.name: target for target in ALL}


def loaded(x: Case, target: Target) -> Case:
    """The case in float64 and with every optional argument: what oracles take."""
    return Case({name: DEFAULTS[name] for name in target.optional} | x.in_float64().arguments)
