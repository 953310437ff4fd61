# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Lesson 1: autograd from scratch
#
# **You will do:** walk a gradient back through a graph by hand, check derivatives by nudging, and train a small
# network with nothing but NumPy and this project's tape.
#
# **You will learn:** what an operation has to remember, why the order of the walk matters, and how to find out that a
# derivative is wrong.
#
# **You need:** Python, NumPy, the chain rule. Less than a minute on two cores.

# %%
import numpy as np

from lessons.experiments import Lab
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, heat, sweep, tape_graph
from minipost.autograd import AutogradError, Tensor, check_gradient, primitives, softplus, tanh
from minipost.autograd.fused import rms_norm
from minipost.autograd.inspecting import gradients, parents
from minipost.autograd.tensor import record
from minipost.kernels import rms_norm as rms_norm_kernel

lab = Lab()

# %% [markdown]
# ## 1. A derivative is a nudge
#
# *Takeaway: differences find any derivative, slowly and up to rounding; that makes them a check, not a method.*
#
# Take $b = a + a$ and $c = b^2 + b$, so $c = 4a^2 + 2a$ and $dc/da = 8a + 2$, which is 26 at $a = 3$. Without calculus one
# nudges $a$ by $h$ and looks how $c$ moves. There are two ways: $(c(a + h) - c(a)) / h$, and the central
# $(c(a + h) - c(a - h)) / 2h$. To have some curvature of third order, let us do it for $e^c$ at $a = 0.3$.
#
# **Predict:** a smaller $h$ is a better limit. Which $h$ gives the best derivative, $10^{-2}$, $10^{-6}$ or $10^{-12}$?


# %%
def c_of(a):
    b = a + a
    return b * b + b


def f(a):
    return np.exp(c_of(a))


a, steps = 0.3, 10.0 ** np.arange(-13, 0)
true = f(a) * (8 * a + 2)
errors = {
    "one-sided": np.abs((f(a + steps) - f(a)) / steps - true) / true,
    "central": np.abs((f(a + steps) - f(a - steps)) / (2 * steps) - true) / true,
}
best = {name: steps[np.argmin(e)] for name, e in errors.items()}
show(
    curve(steps, errors, "step h", "relative error of the derivative", log="xy"),
    "nudges",
    alt="Relative error of a numerical derivative against the step, both axes logarithmic. Both curves are V-shaped: "
    "rounding errors grow to the left, the error of the limit to the right. The central one reaches lower.",
)
say(
    f"Best is h = {best['one-sided']:.0e} one-sided and {best['central']:.0e} central, with errors of "
    f"{errors['one-sided'].min():.0e} and {errors['central'].min():.0e}. Smaller steps drown in rounding. And each nudge "
    "costs a whole evaluation: a model with a million parameters would need a million."
)

# %% [markdown]
# ## 2. The tape remembers how a number was made
#
# *Takeaway: an operation stores its inputs and one function, from the gradient of its output to those of its inputs.*
#
# The same function on a `Tensor` computes the same number, and leaves a graph behind: the *tape*.

# %%
a = Tensor(np.array(3.0))
c = c_of(a)
print(c)
show(
    tape_graph(c, {"a": a, "c": c}),
    "tape",
    alt="The tape of c: the leaf a = 3 feeds an addition twice, giving 6; its result feeds a multiplication twice, "
    "giving 36, and also the last addition, which gives c = 42.",
)

# %% [markdown]
# That is all that multiplication does, and all that recording is:

# %%
source_of(primitives.multiply)
source_of(record, docstring=False)

# %% [markdown]
# `vjp` is a *vector-Jacobian product*: it never builds the matrix of all partial derivatives, it multiplies by it. An
# `ndarray` among the inputs is a constant, so there is neither `detach` nor `no_grad`.
#
# ## 3. Walking back
#
# *Takeaway: a tensor passes its gradient on only when it is complete, so the order of the walk matters.*
#
# The gradient of $c$ with respect to itself is 1. From there every `vjp` is called once.
#
# **Predict:** in the picture above $b = 6$ is used three times. What gradient arrives there?

# %%
show(
    tape_graph(c, {"a": a, "c": c}, with_gradients=True),
    "gradients",
    alt="The same tape with gradients: 1 at c and at the multiplication, 13 at the addition that made b, 26 at the leaf.",
)
b_gradient = next(g for t, g in gradients(c) if t.data == 6)
say(
    f"At b arrive 6 + 6 from the square and 1 from the sum: {float(b_gradient):g}. It is passed on twice, hence 26 at a."
)

# %% [markdown]
# A walk that hands a gradient on as soon as it arrives is shorter to write. Here is one, on the same tape:


# %%
def impatient(tensor, g, totals):
    """Wrong: passes on a running total each time that it is visited."""
    totals[id(tensor)] = totals.get(id(tensor), 0.0) + g
    if parents(tensor):
        for parent, parent_g in zip(parents(tensor), tensor._vjp(totals[id(tensor)]), strict=True):
            impatient(parent, parent_g, totals)
    return totals


wrong, right = impatient(c, 1.0, {})[id(a)], 8 * 3 + 2
c.backward()
table(
    ["walk", "dc/da"], [["impatient", f"{wrong:g}"], ["in topological order", f"{a.grad:g}"], ["by hand", f"{right}"]]
)

# %% [markdown]
# The walk of this package counts how often each tensor is used, and releases it when its last user has been visited:

# %%
source_of(Tensor.backward)

# %% [markdown]
# The graph is freed on the way. A second walk would need it, so it is refused with a sentence, instead of adding to what
# the first has left behind:

# %%
try:
    c.backward()
except AutogradError as error:
    print("AutogradError:", error)

# %% [markdown]
# ## 4. Arrays: what NumPy repeats, the gradient sums
#
# *Takeaway: the transpose of broadcasting is a sum.*
#
# Add a bias [3] to rows [4, 3]: each of its three numbers is used four times, so it receives the sum of four gradients.

# %%
rows, bias = Tensor(np.arange(12.0).reshape(4, 3)), Tensor(np.zeros(3))
out = rows + bias  # [4, 3] + [3] -> [4, 3]
weights = np.arange(12.0).reshape(4, 3) / 10
out.backward(weights)  # as if the loss were sum(weights * out)
table(
    ["tensor", "shape", "shape of its gradient"],
    [["rows", rows.shape, rows.grad.shape], ["bias", bias.shape, bias.grad.shape]],
)
show(
    heat(
        np.vstack([weights, bias.grad]), [*(f"row {i}" for i in range(4)), "bias"], ["0", "1", "2"], title="gradients"
    ),
    "broadcast",
    alt="A table of gradients: four rows of three numbers, and below them the bias, whose gradient is the sum of each "
    "column.",
)

# %% [markdown]
# ## 5. Derive, write, fuse, check
#
# *Takeaway: three ways to one derivative, and a law that says that they agree.*
#
# RMSNorm divides a vector by its root mean square and scales it: $y_i = w_i\, x_i / r$ with
# $r = \sqrt{\frac{1}{C}\sum_j x_j^2 + \epsilon}$. As $\partial r / \partial x_j = x_j / (C r)$, the product rule gives
#
# $$\frac{\partial L}{\partial x_j} = \frac{w_j g_j}{r} - \frac{x_j}{C r^3} \sum_i g_i w_i x_i .$$
#
# **First** in plain NumPy, composed of primitives, so that the tape differentiates it:


# %%
def composed(x, gain, eps=1e-5):
    r = primitives.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)  # [N, 1]
    return x / r * gain  # [N, C]


# %% [markdown]
# **Then** as a compiled kernel, forward beside backward:

# %%
source_of(rms_norm_kernel.forward)
source_of(rms_norm_kernel.backward)

# %% [markdown]
# **Finally** the law: the same numbers, the same gradients, and both what nudges say (with $\langle u, f(x) \rangle$ as the
# loss, for a random $u$).

# %%
rng = np.random.default_rng(0)
x, gain, u = rng.standard_normal((6, 8)), rng.standard_normal(8), rng.standard_normal((6, 8))
found = {}
for name, function in (("composed", composed), ("fused", rms_norm)):
    tensors = Tensor(x), Tensor(gain)
    y = function(*tensors)
    nodes = len(gradients((y * u).sum())) - 2  # without the loss itself
    y.backward(u)
    check_gradient(function, x, gain, rng=rng)
    found[name] = (nodes, y.data, *(t.grad for t in tensors))
furthest = max(np.abs(p - q).max() for p, q in zip(found["composed"][1:], found["fused"][1:], strict=True))
assert furthest < 1e-12
table(["RMSNorm", "tensors on the tape"], [[name, values[0]] for name, values in found.items()])
say(f"Values and gradients of both differ by {furthest:.0e} at most, and both pass the check by nudges.")

# %% [markdown]
# Fused, there is one node where there were many, and only one number a row is kept for the way back. A transformer's
# layer is made of such operations; lesson 2 builds it.
#
# ## 6. Train something
#
# *Takeaway: with a tape, learning is three lines: loss, backward, step.*
#
# Two interleaved arcs of points, and a network of one hidden layer. The loss is that of lesson 7's reward model, too:
# softplus of minus the margin.


# %%
def arcs(rng, count=200, noise=0.25):
    """Points [N, 2] on two half circles, and their signs [N]."""
    angle, sign = rng.uniform(0, np.pi, count), np.where(np.arange(count) % 2, 1.0, -1.0)
    points = np.stack([(sign > 0) - np.cos(angle) * sign, 0.5 * (sign > 0) - np.sin(angle) * sign], axis=1)
    return points + noise * rng.standard_normal((count, 2)), sign


def train(seed, learning_rate, updates):
    """The loss after each update of plain gradient descent, and the network."""
    rng = np.random.default_rng(seed)
    points, sign = arcs(rng)  # [N, 2], [N]
    W1, b1, W2 = (Tensor(w) for w in (rng.standard_normal((2, 16)), np.zeros(16), np.zeros(16)))
    losses = []
    for _ in range(updates):
        hidden = tanh(points @ W1 + b1)  # [N, 16]
        loss = softplus(-(hidden @ W2) * sign).mean()  # [N] -> scalar
        loss.backward()
        for w in (W1, b1, W2):
            w.data, w.grad = w.data - learning_rate * w.grad, None
        losses.append(loss.item())
    return losses


UPDATES, SEEDS = lab.pick(300, 20), lab.pick(5, 2)
one = {str(rate): train(0, rate, UPDATES) for rate in (0.01, 0.3, 3.0)}
show(
    curve(np.arange(UPDATES), {f"rate {rate}": losses for rate, losses in one.items()}, "update", "loss", log="y"),
    "training",
    alt="Loss against updates for three learning rates, one seed. Each curve starts near the same value; the smallest "
    "rate falls slowly.",
)
assert np.isclose(one["0.3"][0], np.log(2))
say(
    f"The first loss is {one['0.3'][0]:.4f} = ln 2: the last weights start at 0, so the network gives both classes the "
    "same chance. Always look at that number first: it is known, and few bugs leave it as it is."
)

# %% [markdown]
# ### One knob: the learning rate
#
# **Predict:** with ten times the rate, do you get there ten times as fast? And with a hundred times?
#
# The control is a rate of 0: the untrained network.

# %%
rates = (0.0, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0)
final = {f"{rate:g}": [train(seed, rate, UPDATES)[-1] for seed in range(SEEDS)] for rate in rates}
show(
    sweep(final, "loss at the end", control="0", knob="learning rate"),
    "rates",
    alt="Loss after training against the learning rate, one dot a seed with mean and interval; the control is rate 0.",
)
means = {name: float(np.mean(values)) for name, values in final.items()}
winner = min(means, key=means.__getitem__)
worse = [name for name in means if float(name) > float(winner) and means[name] > 1.5 * means[winner]]
say(
    f"Over {SEEDS} seeds the lowest mean loss, {means[winner]:.3f}, is that of rate {winner}; untrained it is "
    f"{means['0']:.3f}. "
    + (f"Rate {worse[-1]} ends at {means[worse[-1]]:.3f}: its steps are too long to follow a slope." if worse else "")
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` at step 0 | what one computes by hand: ln 2 for two classes, ln V for V tokens | the data, the mask or the initialisation is wrong |
# | `loss` | falls fast, then slowly; noisy from batch to batch | flat: the gradient does not arrive; jumps: the rate is too large |
# | `grad_norm` | large at first, then settles | 0: a constant where a `Tensor` should be; NaN: find the operation with `find_nan()` |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 1` checks them, and `--hint` helps in steps.
#
# 1. **`softplus_vjp`**: one derivative, safe at 1000.
# 2. **`unbroadcast`**: undo what NumPy repeats.
# 3. **`accumulate`**: reverse mode on a graph of numbers, in five lines.
# 4. **`log_softmax_vjp`** has a hidden bug. Find the law that it breaks before you find the line.
# 5. *Open:* add `sin` to the primitives, and show that it is right with `check_gradient`. Then differentiate a derivative:
#    what would `backward` have to record so that its gradients were Tensors themselves?
#
# ## This bug shipped
#
# People meet section 3 again and again. Walking back without an order, because a tree needs none:
# [micrograd#21](https://github.com/karpathy/micrograd/issues/21),
# [#68](https://github.com/karpathy/micrograd/issues/68), [#91](https://github.com/karpathy/micrograd/issues/91),
# [#96](https://github.com/karpathy/micrograd/issues/96). A pull request removed the sort; the smallest
# counterexample, `b = a + a; c = b + b`, was found in its discussion:
# [#64](https://github.com/karpathy/micrograd/pull/64). And walking twice over the same graph, where every inner node still
# holds what the first walk left: [#53](https://github.com/karpathy/micrograd/issues/53),
# [#102](https://github.com/karpathy/micrograd/pull/102). Here inner nodes keep nothing, and a second walk is refused.
#
# ## References
#
# - Linnainmaa 1976, *Taylor expansion of the accumulated rounding error*: reverse mode.
# - Kahn 1962, *Topological sorting of large networks*: the order of the walk.
# - Baydin et al. 2018, *Automatic differentiation in machine learning: a survey*, section 3.2 (reverse mode).
# - Zhang and Sennrich 2019, *Root mean square layer normalization*, eq. 4.
