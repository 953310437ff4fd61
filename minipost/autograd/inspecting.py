"""Looking at a tape without using it up: for pictures and for lessons."""

from __future__ import annotations

import numpy as np

from minipost.autograd.tensor import Array, Tensor, operation_name, topological_order, unbroadcast


def parents(tensor: Tensor) -> tuple[Tensor, ...]:
    """The tensors that it was computed from; none for a leaf, and none after `backward`, which frees the graph."""
    return tensor._parents


def operation(tensor: Tensor) -> str:
    """The name of the operation that made it, "" for a leaf."""
    return "" if tensor._vjp is None else operation_name(tensor._vjp)


def gradients(root: Tensor) -> list[tuple[Tensor, Array]]:
    """Every tensor behind the scalar `root` with d(root)/d(tensor), in the order in which `backward` visits them.

    The same walk, but it keeps what passes through each tensor, fills no `grad`, and leaves the graph as it is.
    """
    arrived: dict[int, Array] = {id(root): np.ones_like(root.data)}
    order = list(topological_order(root))
    for tensor in order:
        if tensor._vjp is None:
            continue
        for parent, g in zip(tensor._parents, tensor._vjp(arrived[id(tensor)]), strict=True):
            g = unbroadcast(np.zeros_like(parent.data) if g is None else g, parent.shape)
            arrived[id(parent)] = g if id(parent) not in arrived else arrived[id(parent)] + g
    return [(tensor, arrived[id(tensor)]) for tensor in order]
