"""Reverse-mode automatic differentiation: the tape, its primitives, the fused operations, and the gradient check."""

from minipost.autograd.gradcheck import check_gradient
from minipost.autograd.primitives import (
    clip,
    concatenate,
    exp,
    log,
    log_softmax,
    maximum,
    minimum,
    relu,
    sigmoid,
    softplus,
    sqrt,
    stack,
    tanh,
    where,
)
from minipost.autograd.tensor import Array, AutogradError, Tensor, find_nan, record, value

__all__ = [
    "Array",
    "AutogradError",
    "Tensor",
    "check_gradient",
    "clip",
    "concatenate",
    "exp",
    "find_nan",
    "log",
    "log_softmax",
    "maximum",
    "minimum",
    "record",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "stack",
    "tanh",
    "value",
    "where",
]
