"""PyTorch for the kernels' peers: imported when a peer is called, so that `benchmarks kernels` also runs without it."""

from __future__ import annotations

from typing import Any

Array = Any


def torch_module() -> Any:
    import torch

    return torch


def functional() -> Any:
    return torch_module().nn.functional


def gradients(function: Any, inputs: tuple[Array, ...], g: Array | None) -> tuple[Array, ...]:
    """Forward, then autograd's gradients of the inputs; `g` is the gradient of the result (1 for a scalar)."""
    torch = torch_module()
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        return torch.autograd.grad(function(*leaves), leaves, g)
