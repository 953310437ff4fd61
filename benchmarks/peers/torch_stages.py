"""DPO, the reward model and PPO in plain PyTorch: the same algorithms as the package's stages, on padded batches.

Sequences are padded on the right to the longest of their batch, which causal attention needs no mask for; the output
layer sees only the positions that a loss looks at; the reference's log-probabilities are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.torch_generate import generate
from benchmarks.peers.torch_llama import Llama, adamw
from minipost.model import Array, ModelConfig
from minipost.text.batching import Example

LR = 1e-4  # what a step costs does not depend on it


@dataclass(frozen=True)
class Padded:
    """S sequences as tokens[S, T], targets[S, T] one to the left, and which targets are response tokens."""

    tokens: Tensor
    targets: Tensor
    mask: Tensor
    last: Tensor  # [S] place of each sequence's last token


def pad(examples: Sequence[Example]) -> Padded:
    T = max(len(e) for e in examples)
    tokens, mask = torch.zeros((len(examples), T), dtype=torch.long), torch.zeros((len(examples), T), dtype=torch.bool)
    for i, e in enumerate(examples):
        tokens[i, : len(e)] = torch.tensor([*e.prompt, *e.response])
        mask[i, len(e.prompt) - 1 : len(e) - 1] = True
    return Padded(tokens, tokens.roll(-1, dims=1), mask, torch.tensor([len(e) - 1 for e in examples]))


def response_logps(model: Llama, batch: Padded) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of each response token, [S, T], 0 elsewhere."""
    logp = torch.log_softmax(model.logits(model(batch.tokens)[batch.mask]), dim=-1)  # [n, V]
    picked = logp.gather(1, batch.targets[batch.mask][:, None])[:, 0]
    with torch.no_grad():
        entropy = -(logp.exp() * logp).sum(dim=-1)
    zeros = torch.zeros(batch.mask.shape)
    return zeros.masked_scatter(batch.mask, picked), zeros.masked_scatter(batch.mask, entropy)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """Backward, clip, step; returns the gradient norm before clipping."""
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm.item()


class Scorer(nn.Module):
    """A decoder with a scalar head: a reward model or a value function."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        super().__init__()
        self.trunk, self.head = Llama(config, weights), nn.Linear(config.dim, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens[S, T] -> [S, T]."""
        return self.head(self.trunk(tokens))[..., 0]

    def scores(self, batch: Padded) -> Tensor:
        """One for each sequence, at its last token: [S]."""
        hidden = self.trunk(batch.tokens)[torch.arange(len(batch.last)), batch.last]
        return self.head(hidden)[:, 0]


Step = Callable[[Sequence[int]], dict[str, float]]  # the items of a batch -> what to check


def dpo_step(
    config: ModelConfig, weights: Mapping[str, Array], pairs: Sequence[tuple[Example, Example]], beta: float
) -> Step:
    """One update on the given pairs: -log sigmoid(beta (margin of pi - margin of ref))."""
    model = Llama(config, weights)
    optimizer = adamw(model.parameters(), LR, 0.0)
    with torch.no_grad():
        reference = torch.stack([response_logps(model, pad(pair))[0].sum(dim=1) for pair in pairs])  # [pairs, 2]

    def step(chosen: Sequence[int]) -> dict[str, float]:
        batch = pad([side for i in chosen for side in pairs[i]])
        logps = response_logps(model, batch)[0].sum(dim=1).view(-1, 2)
        h = logps - reference[chosen]
        loss = -F.logsigmoid(beta * (h[:, 0] - h[:, 1])).mean()
        return {"loss": loss.item(), "grad_norm": update(model, optimizer, loss)}

    return step


def reward_step(
    config: ModelConfig, weights: Mapping[str, Array], pairs: Sequence[tuple[Example, Example]], center: float
) -> Step:
    """One update of a reward model on the given pairs."""
    model = Scorer(config, weights)
    optimizer = adamw(model.parameters(), LR, 0.01)

    def step(chosen: Sequence[int]) -> dict[str, float]:
        scores = model.scores(pad([side for i in chosen for side in pairs[i]])).view(-1, 2)
        loss = -F.logsigmoid(scores[:, 0] - scores[:, 1]).mean() + center * (scores.sum(dim=1) ** 2).mean()
        return {"loss": loss.item(), "grad_norm": update(model, optimizer, loss)}

    return step


@dataclass(frozen=True)
class PPOSettings:
    """The knobs of the package's PPO that its algorithm depends on."""

    new: int
    end_id: int
    epochs: int
    minibatches: int
    beta: float
    lam: float
    clip: float
    value_clip: float
    value_coefficient: float
    missing_end_penalty: float


def ppo_iteration(
    config: ModelConfig, weights: Mapping[str, Array], prompts: Sequence[Sequence[int]], s: PPOSettings
) -> Callable[[], dict[str, float]]:
    """Sample a response to each prompt, score, whiten advantages, and update policy and value function."""
    policy, reference = Llama(config, weights), Llama(config, weights).eval()
    critic, reward_model = Scorer(config, weights), Scorer(config, weights).eval()
    both = nn.ModuleList([policy, critic])
    optimizer, rng = adamw(both.parameters(), LR, 0.0), torch.Generator().manual_seed(0)
    prompt_ids = torch.tensor(prompts)

    def iteration() -> dict[str, float]:
        tokens, old = generate(policy, prompt_ids, s.new, 1.0, rng)
        examples, ended = cut_at_end(prompts, tokens, s.end_id)
        batch = pad(examples)
        with torch.no_grad():
            ref, values = response_logps(reference, batch)[0], critic(batch.tokens) * batch.mask
            scores = reward_model.scores(batch) - s.missing_end_penalty * ~ended
        first = prompt_ids.shape[1] - 1
        old = F.pad(old, (first, 1))[:, : batch.mask.shape[1]] * batch.mask
        rewards = -s.beta * (old - ref)
        rewards[torch.arange(len(examples)), batch.last - 1] += scores
        advantages = gae(rewards, values, batch.mask, s.lam)
        returns = advantages + values
        spread, mean = torch.std_mean(advantages[batch.mask], correction=0)
        advantages = (advantages - mean) / (spread + 1e-8)
        history: list[dict[str, float]] = []
        for _ in range(s.epochs):
            for rows in torch.randperm(len(examples), generator=rng).chunk(s.minibatches):
                part = Padded(batch.tokens[rows], batch.targets[rows], batch.mask[rows], batch.last[rows])
                loss, ratio = ppo_loss(
                    policy, critic, part, old[rows], values[rows], advantages[rows], returns[rows], s
                )
                update(both, optimizer, loss)
                history.append({"ratio": ratio})
        lengths = batch.mask.sum(dim=1).float()
        return {"ratio": history[0]["ratio"], "updates": len(history), "length": lengths.mean().item()}

    return iteration


def cut_at_end(prompts: Sequence[Sequence[int]], tokens: Tensor, end_id: int) -> tuple[list[Example], Tensor]:
    """Responses up to their first end token, and which have one."""
    is_end = tokens == end_id
    ended = is_end.any(dim=1)
    lengths = torch.where(ended, is_end.int().argmax(dim=1) + 1, tokens.shape[1])
    rows = zip(prompts, tokens.tolist(), lengths.tolist(), strict=True)
    return [Example(prompt, row[:n]) for prompt, row, n in rows], ended


def gae(rewards: Tensor, values: Tensor, mask: Tensor, lam: float) -> Tensor:
    """Advantages[S, T] without discount; each row's mask is one run."""
    advantages, after = torch.zeros_like(rewards), torch.zeros(len(rewards))
    next_value = torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        counted = mask[:, t]
        after = torch.where(counted, rewards[:, t] + next_value - values[:, t] + lam * after, 0.0)
        advantages[:, t], next_value = after, values[:, t]
    return advantages


def ppo_loss(
    policy: Llama,
    critic: Scorer,
    batch: Padded,
    old: Tensor,
    old_values: Tensor,
    advantages: Tensor,
    returns: Tensor,
    s: PPOSettings,
) -> tuple[Tensor, float]:
    """(clipped policy loss + clipped value loss, mean ratio)."""
    logps, _ = response_logps(policy, batch)
    values, m = critic(batch.tokens), batch.mask
    ratio = (logps - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - s.clip, 1 + s.clip) * advantages)
    near = torch.clamp(values, old_values - s.value_clip, old_values + s.value_clip)
    error = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return -gain[m].mean() + s.value_coefficient * 0.5 * error[m].mean(), ratio[m].mean().item()
