"""The tape: order, accumulation, what is freed, what is refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from minipost.autograd import AutogradError, Tensor, exp, find_nan, fused, log
from minipost.autograd.tensor import record


def test_shared_subexpressions_are_summed_in_topological_order() -> None:
    a = Tensor(np.array(3.0))
    b = a + a
    c = b * b + b
    c.backward()
    assert a.grad == 8 * 3.0 + 2


def test_gradients_of_two_backward_calls_add_up() -> None:
    a = Tensor(np.ones(2))
    (a * 2.0).sum().backward()
    (a * 3.0).sum().backward()
    np.testing.assert_array_equal(a.grad, [5.0, 5.0])


def test_a_long_chain_needs_no_recursion() -> None:
    a = Tensor(np.array(1.0))
    b = a
    for _ in range(20_000):
        b = b + 1e-6
    b.backward()
    assert a.grad == 1.0


def test_second_backward_is_refused() -> None:
    a = Tensor(np.array(2.0))
    b = a * a
    loss = b * 3.0
    loss.backward()
    for root in (loss, b, b + 1.0):
        with pytest.raises(AutogradError, match="freed by an earlier backward"):
            root.backward()


def test_the_graph_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        a = Tensor(np.ones(3))
        middle = np.ones(3) * 2.0
        loss = (a * middle).sum()
        alive = weakref.ref(middle)
        del middle
        loss.backward()
        assert alive() is None
    finally:
        gc.enable()


def test_constants_are_arrays_and_get_no_gradient() -> None:
    a, c = Tensor(np.ones(2)), np.full(2, 3.0)
    loss = (c * a + c).sum()
    assert isinstance(loss, Tensor)
    loss.backward()
    np.testing.assert_array_equal(a.grad, c)
    assert isinstance(exp(c), np.ndarray)


@pytest.mark.parametrize("bad", [np.arange(3), np.array(["a"]), np.array([object()]), [1, 2], True])
def test_only_floating_arrays(bad: object) -> None:
    with pytest.raises(AutogradError, match="float32 or float64"):
        Tensor(bad)


def test_shape_mismatches_name_both_shapes() -> None:
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones((4, 5)))
    for operation in (lambda: a + b, lambda: a * b, lambda: a @ b, lambda: a - np.ones((2, 2))):
        with pytest.raises(AutogradError, match=r"\(2, 3\).*\("):
            operation()
    with pytest.raises(AutogradError, match="reshape"):
        a.reshape(5)
    with pytest.raises(AutogradError, match="object"):
        a + np.array([None, None, None])
    with pytest.raises(AutogradError, match="needs a scalar"):
        a.backward()
    with pytest.raises(AutogradError, match="gradient has shape"):
        a.backward(np.ones(2))


def test_nan_is_refused_on_request_only() -> None:
    a = Tensor(np.array([-1.0, 1.0]))
    with np.errstate(invalid="ignore"):
        assert np.isnan(log(a).data[0])
    with find_nan(), pytest.raises(AutogradError, match=r"log.*\(2,\)"):
        log(a)
    b = Tensor(np.array([0.0, 1.0]))
    with find_nan(), pytest.raises(AutogradError, match="gradient of shape"):
        ((b * b) ** 0.5).sum().backward()


def test_a_leaf_owns_its_gradient_whoever_made_it() -> None:
    x, y = Tensor(np.ones((3, 2))), Tensor(np.ones((3, 2)))
    g = np.full((3, 2), 2.0)
    (x + y).backward(g)  # one array for both
    assert not np.shares_memory(x.grad, y.grad) and not np.shares_memory(x.grad, g)
    w, v = Tensor(np.ones((4, 2))), Tensor(np.ones((4, 2)))
    fused.linear(np.ones((3, 2)), w + v).backward(np.ones((3, 4)))  # fresh for the sum, shared behind it
    assert not np.shares_memory(w.grad, v.grad)
    a = Tensor(np.ones((4, 2)))
    fused.linear(np.ones((3, 2)), a).backward(np.ones((3, 4)))
    first, before = a.grad, a.grad.copy()
    fused.linear(np.ones((3, 2)), a).backward(np.ones((3, 4)))  # adds, and leaves what was there alone
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(a.grad, 2 * before)


def test_a_fresh_gradient_reaches_its_leaf_without_a_copy() -> None:
    made: list[np.ndarray] = []

    def vjp(g: np.ndarray) -> tuple[np.ndarray]:
        made.append(2 * g)
        return (made[-1],)

    x, y = Tensor(np.ones(3)), Tensor(np.ones(3))
    record(2 * x.data, (x,), vjp, fresh=True).backward(np.ones(3))
    record(2 * y.data, (y,), vjp).backward(np.ones(3))
    assert x.grad is made[0]
    assert not np.shares_memory(y.grad, made[1])
