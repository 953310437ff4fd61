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
# # Lesson 2: a transformer and its kernels
#
# **You will do:** take a trained decoder apart, hold every compiled kernel against a few lines of NumPy, read a head's
# attention weights out of the kernel itself, and turn its sense of position off.
#
# **You will learn:** what each part of a Llama-style decoder computes and what it costs, why a cache of keys and
# values changes nothing but the time, and which kernels wait for memory.
#
# **You need:** lesson 1. A minute on two cores, and one more if no base model has been trained yet: this lesson
# looks into the one that lesson 4 trains.

# %%
import random
import sys
import time

import numpy as np

from lessons.experiments import Lab, village
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import attention_map, curve, heat, sweep
from minipost.autograd import check_gradient, fused
from minipost.kernels import adamw, attention, cross_entropy, decode, rms_norm, rope, swiglu
from minipost.kernels.matmul import matmul_into
from minipost.model import Model, generate, hidden_states, output_weight, shapes
from minipost.model.transformer import composed_layer, rotary_table, trunk
from minipost.report.style import canvas, colour, note, styled
from minipost.text import indented, prompt_tokens
from minipost.world.pages import Pages

lab = Lab()
base = Model.load(village.base(lab))
config, weights, tokenizer = base.config, base.weights, base.tokenizer
C, H, K, D, V = config.dim, config.heads, config.kv_heads, config.head_dim, config.vocab_size
LAYERS, F = config.layers, config.hidden

# %% [markdown]
# ## 1. One stream, and layers that add to it
#
# *Takeaway: a decoder is a stream of vectors, one a token; attention moves information between tokens, the rest works
# on each token alone.*
#
# Here is the whole model. N tokens flow through it as rows [N, C]; every layer reads the stream through a norm, and
# adds what it has to say. In training a layer is one kernel that does the same as these lines, `fused.layer`.

# %%
source_of(trunk)
source_of(composed_layer)

# %% [markdown]
# **Predict:** where are most of the weights: in attention, in the feed-forward layers, or in the embedding?

# %%
sizes = {name: int(np.prod(shape)) for name, shape in shapes(config).items()}
groups = {
    "embedding (also the output layer)": ["embedding"],
    "attention: qkv and out": [n for n in sizes if n.endswith(("qkv", "attention_out"))],
    "feed-forward: gate, up and down": [n for n in sizes if n.endswith(("gate_up", "mlp_down"))],
    "norms": [n for n in sizes if n.endswith("norm")],
}
held = {name: sum(sizes[n] for n in members) for name, members in groups.items()}
table(
    ["weights", "shapes", "numbers"],
    [
        [name, ", ".join(dict.fromkeys(str(list(shapes(config)[n])) for n in members)), f"{held[name]:,}"]
        for name, members in groups.items()
    ],
)
most = max(held, key=held.__getitem__)
say(
    f"{sum(held.values()):,} numbers in {LAYERS} layers; most of them, {held[most] / sum(held.values()):.0%}, in the "
    f"part called *{most}*. A matrix [out, in] costs out times in multiplications a token."
)

# %% [markdown]
# ## 2. Every kernel beside its reference
#
# *Takeaway: a kernel is fast and a reference is obvious; a test that they agree lets one have both.*
#
# Each file in `minipost/kernels/` begins with its formula in NumPy. Take the feed-forward layer's gate, SwiGLU: one
# half of the channels decides how much of the other half passes.

# %%
source_of(swiglu.reference)
source_of(swiglu.forward)

# %% [markdown]
# The loops touch each number once and keep no temporary array. Here are the kernels of a forward pass, and the
# optimiser's, on random numbers in double and in single precision, against their references:

# %%
rng = np.random.default_rng(0)


def furthest(kernel, reference):
    """The largest absolute difference of two arrays."""
    return float(np.abs(np.asarray(kernel, float) - reference).max())


def differences(dtype):
    """Kernel against reference, by name. The reference always computes in float64."""
    x, gain = rng.standard_normal((50, 64)).astype(dtype), rng.standard_normal(64).astype(dtype)
    out, inverse = np.empty_like(x), np.empty(50, dtype)
    rms_norm.forward(x, gain, 1e-5, out, inverse)
    found = {"rms_norm": furthest(out, rms_norm.reference(x.astype(float), gain.astype(float), 1e-5))}
    half = np.empty((50, 32), dtype)
    swiglu.forward(x, half)
    found["swiglu"] = furthest(half, swiglu.reference(x.astype(float)))
    places = np.arange(50)
    rope.rotate(x, places, *rope.table(50, 16, 1e4, dtype), 4, 1.0, out)
    turned = rope.reference(x.astype(float).reshape(50, 4, 16), places, *rope.table(50, 16, 1e4, float))
    found["rope"] = furthest(out.reshape(50, 4, 16), turned)
    q, k, v = (rng.standard_normal((2, 50, 64)).astype(dtype) for _ in range(3))  # [B, T, H * D]
    start, mixed, lse = np.zeros((2, 50), np.int64), np.empty((2, 50, 64), dtype), np.empty((2, 4, 50), dtype)
    attention.forward(q, k, v, start, 4, mixed, lse)
    wide = [z.astype(float).reshape(2, 50, 4, 16) for z in (q, k, v)]
    found["attention"] = furthest(mixed.reshape(2, 50, 4, 16), attention.reference(*wide, start))
    table_of_words, targets = rng.standard_normal((300, 64)).astype(dtype), rng.integers(0, 300, 50)
    logps, entropy = np.empty(50, dtype), np.empty(50, dtype)
    cross_entropy.logps_forward(x, table_of_words, targets, 1.0, logps, entropy)
    expected = cross_entropy.reference(x.astype(float), table_of_words.astype(float), targets)
    found["cross_entropy"] = furthest(np.stack([logps, entropy]), np.stack(expected))
    w, g, m, s = (rng.standard_normal(99).astype(dtype) ** 2 for _ in range(4))
    expected = adamw.reference(*(z.astype(float) for z in (w, g, m, s)), 3, 1e-3, 0.9, 0.99, 1e-8, 0.1)[0]
    adamw.update(w, g, m, s, 3, 1e-3, 0.9, 0.99, 1e-8, 0.1, 1.0)
    found["adamw"] = furthest(w, expected)
    return found


double, single = differences(np.float64), differences(np.float32)
assert max(double.values()) < 1e-10 and max(single.values()) < 1e-3
table(["kernel", "float64", "float32"], [[name, f"{double[name]:.0e}", f"{single[name]:.0e}"] for name in double])

# %% [markdown]
# In float64 only the order of the sums differs. In float32 the differences are what seven digits allow; a wrong sign
# or a shifted index would be of the size of the numbers themselves.
#
# ## 3. Position is an angle
#
# *Takeaway: queries and keys are turned by their positions, so that their product knows only how far apart they are.*
#
# Without positions, attention sees a bag of tokens. RoPE cuts a head's channels into planes and turns the vector at
# position $i$ by the angle $i\,\theta_d$ in plane $d$, $\theta_d = b^{-2d/D}$. With the rotation $R_i$,
#
# $$(R_i q)^\top (R_j k) = q^\top R_i^\top R_j\, k = q^\top R_{j-i}\, k ,$$
#
# because turning back by $i$ and forth by $j$ is turning by $j - i$. In NumPy, and as a kernel:

# %%
source_of(rope.reference)
source_of(rope.rotate_row)

# %% [markdown]
# **Predict:** take one query and one key vector, and put them at all pairs of positions $(i, j)$. Which pattern does
# the table of products show?

# %%
cos, sin = rope.table(12, D, config.rope_base, float)
q, k = rng.standard_normal((2, D))
at = np.arange(12)
turned_q, turned_k = (rope.reference(np.tile(x, (12, 1))[:, None], at, cos, sin)[:, 0] for x in (q, k))  # [12, D]
products = turned_q @ turned_k.T  # [12, 12]
names = [str(i) for i in at]
show(
    heat(np.round(products, 1), names, names, "key at position j", "query at position i", "q · k after rotation"),
    "rope",
    alt="A table of 12 by 12 products of one query and one key at all pairs of positions. Each diagonal has one value: "
    "the product depends on the distance only.",
)
along = max(float(np.ptp(np.diagonal(products, offset))) for offset in range(-11, 12))
assert along < 1e-9
say(f"Every diagonal holds a single number (they differ by {along:.0e} at most): only $i - j$ counts.")

# %% [markdown]
# ## 4. Attention
#
# *Takeaway: each token asks a question of all earlier ones, and takes a weighted mean of what they offer.*
#
# For the query $q_i$, keys $k_j$ and values $v_j$ of one head,
#
# $$o_i = \sum_{j \le i} p_{ij} v_j, \qquad
# p_{ij} = \frac{e^{q_i \cdot k_j / \sqrt D}}{\sum_{l \le i} e^{q_i \cdot k_l / \sqrt D}} .$$
#
# Two conditions decide which $j$ a token may see: not the future, and not another document. Several documents share a
# row (lesson 3 packs them), so one integer a token says where its own begins: `start`.

# %%
start = np.array([[0, 0, 0, 0, 0, 5, 5, 5, 5, 9]])
T = start.shape[1]
visible = (np.arange(T) <= np.arange(T)[:, None]) & (np.arange(T) >= start[0][:, None])  # [T, T]
print("start  ", start[0], start.shape)
print("visible", visible.shape, "of", visible.size, "pairs", visible.sum())
columns = [*(f"A{i}" for i in range(5)), *(f"B{i}" for i in range(4)), "pad"]
alike = visible / visible.sum(axis=1, keepdims=True)  # what softmax makes of equal scores
show(
    heat(
        np.ma.masked_array(alike, ~visible),
        columns,
        columns,
        "is looked at",
        "looks",
        "weights, if all scores are equal",
        0,
        1,
    ),
    "mask",
    alt="The mask of a packed row with two documents, A of five tokens and B of four, and a pad: two triangles along "
    "the diagonal; no token of B sees one of A, and none sees a later one. Each row's weights sum to one.",
)

# %% [markdown]
# First in NumPy. It writes down all T by T scores of every head, masks them, and normalises:

# %%
source_of(attention.reference)

# %% [markdown]
# The kernel never holds that table: 32 queries at a time, over the visible keys only, their scores transposed. Of
# the probabilities it keeps one number a query, the logarithm of the sum, from which the backward pass makes them
# again.

# %%
source_of(attention.forward)
source_of(attention.exponentials)

# %% [markdown]
# Forward it equals the reference (the table above). Backward we ask for what lesson 1 asked for: that the gradient
# says what nudges say, here of a packed row, in double precision.

# %%
layout = fused.Layout(np.arange(T) - start, start, *rope.table(T, 4, 1e4, float))
check_gradient(lambda qkv: fused.attention(qkv, layout, 2, 1), rng.standard_normal((T, 4 * 4)), rng=rng)
print("the gradient of attention with 2 query heads on 1 key/value head, documents apart: as nudges say")

# %% [markdown]
# ### Ask the kernel for its weights
#
# If the weights are never stored, how can one look at them? The output is $P V$. Give the kernel an identity matrix as
# its values, and its output *is* $P$. A layer takes the attention function as an argument, so we may pass one that
# peeks:


# %%
def weights_in(q, k, start):
    """The attention weights [H, T, T] that the kernel computes for one row, q[1, T, H * D] and k[1, T, K * D]."""
    T = q.shape[1]
    p = np.zeros((H, T, T), q.dtype)
    for lo in range(0, T, D):  # D columns of the identity at a time: that is what fits into the values
        n = min(D, T - lo)
        identity = np.zeros((1, T, K, D), q.dtype)
        identity[0, lo + np.arange(n), :, np.arange(n)] = 1
        out, lse = np.empty((1, T, H * D), q.dtype), np.empty((1, H, T), q.dtype)
        attention.forward(q, k, identity.reshape(1, T, K * D), start, H, out, lse)
        p[:, :, lo : lo + n] = out.reshape(T, H, D)[:, :, :n].swapaxes(0, 1)
    return p


def peek(ids):
    """(weights [layers, H, T, T], hidden states [T, C]) of one row of tokens."""
    T, seen = len(ids), []
    start, (cos, sin) = np.zeros((1, T), np.int64), rotary_table(config, "<f4")

    def attend(qkv):  # [T, (H + 2K) * D] -> [T, H * D]
        rope.rotate(qkv, np.arange(T), cos, sin, H + K, 1.0, qkv)
        q, k, v = fused.split_heads(qkv[None], H, K)
        seen.append(weights_in(q, k, start))
        out, lse = np.empty((1, T, H * D), qkv.dtype), np.empty((1, H, T), qkv.dtype)
        attention.forward(q, k, v, start, H, out, lse)
        return out[0]

    def layer(i, x):
        return composed_layer(i, x, weights, config, attend)

    hidden = trunk(weights, config, np.asarray(ids), layer)
    return np.array(seen), hidden


def twice(line):
    """A line sung twice, as tokens."""
    return [tokenizer.document_id, *tokenizer.encode(indented(f"{line}\n{line}"))]


source, lines = random.Random(5), []
while len(lines) < lab.pick(40, 6):
    line = Pages(village.world().facts, 0.9).rhyme(source).split("\n")[0]
    ids = twice(line)  # [document] line [newline] line
    if (
        14 <= len(ids) <= 40 and len(ids) % 2 == 0 and len(np.unique(ids)) == len(ids) // 2 + 1
    ):  # no word twice in a line
        lines.append(line)
rhyme = min((line for line in lines), key=lambda line: abs(len(twice(line)) - 18))
print([tokenizer.decode([i]) for i in twice(rhyme)])

# %% [markdown]
# A nursery rhyme of the simulated web is a senseless line, sung again. Its second half can be predicted by copying:
# find where the present token stood before, and look at what came *after* it. Heads that do so are called induction
# heads.
#
# **Predict:** in the second half, at which distance does such a head look back?

# %%
copying, evenly = np.zeros((LAYERS, H)), 0.0
loss = np.zeros(2)
for line in lines:
    ids = np.array(twice(line))
    half = len(ids) // 2  # tokens from a token to its repetition
    p, hidden = peek(ids)
    rows = np.arange(half + 1, len(ids))
    copying += p[:, :, rows, rows - half + 1].mean(axis=-1) / len(lines)
    evenly += np.mean(1 / (rows + 1)) / len(lines)
    logps = fused.token_logps(hidden[:-1], output_weight(weights), ids[1:])[0]  # [T - 1]
    loss -= np.array([logps[: half - 1].mean(), logps[half:].mean()]) / len(lines)
layer, head = np.unravel_index(np.argmax(copying), copying.shape)
ids = np.array(twice(rhyme))
p, _ = peek(ids)
words = [tokenizer.decode([i]).replace("<|document|>", "start") for i in ids]
picture = attention_map(p[layer, head], words, title=f"layer {layer}, head {head}")


@styled
def marked(figure, shift, first):
    """Ring the places that an induction head looks at."""
    ax = figure.axes[0]
    rows = np.arange(first, len(ids))
    ax.plot(rows - shift, rows, "o", markersize=9, markerfacecolor="none", markeredgecolor=colour("ppo"))
    return figure


half = len(ids) // 2
show(
    marked(picture, half - 1, half + 1),
    "induction",
    alt="Attention weights of the head that copies most, over a rhyme sung twice. Rings mark, for every token of the "
    "second line, the token after its first occurrence.",
)
say(
    f"Layer {layer}, head {head} puts {copying[layer, head]:.0%} of its weight on the ringed places, averaged over "
    f"{len(lines)} rhymes; a head that looked evenly at all it sees would put {evenly:.0%} there. "
    + ("And the model does copy: its" if loss[1] < loss[0] - 0.2 else "But this model hardly copies: its")
    + f" loss is {loss[0]:.2f} nats a token the first time, {loss[1]:.2f} the second time."
)

# %% [markdown]
# ## 5. A cache changes nothing but the time
#
# *Takeaway: a new token needs all old keys and values, and nothing else of the past; keep them.*
#
# Old tokens cannot see new ones, so what they computed stays as it was. Generation feeds one token at a time and
# keeps, for every layer, keys (turned already) and values:

# %%
source_of(decode.attend)

# %% [markdown]
# The law: with the cache or without it, the same tokens have the same log-probabilities. We sample with the cache, and
# read the finished rows again from the start.

# %%
prompts = [prompt_tokens(tokenizer, text) for text in ("How to make pizza", "What is the capital of Italy?")]
sampled = generate(
    weights, config, prompts, np.random.default_rng(1), end_id=tokenizer.end_id, max_new_tokens=lab.pick(40, 8)
)
gap = 0.0
for prompt, answer in zip(prompts, sampled, strict=True):
    ids = np.array([*prompt, *answer.tokens])
    hidden = hidden_states(weights, config, ids[None, :-1])  # [T - 1, C], without a cache
    logps = fused.token_logps(hidden, output_weight(weights), ids[1:])[0][len(prompt) - 1 :]
    gap = max(gap, furthest(logps, answer.logps))
assert gap < 1e-3
say(
    f"With and without a cache, the log-probabilities of {sum(len(s.tokens) for s in sampled)} sampled tokens differ "
    f"by {gap:.0e} at most."
)

# %% [markdown]
# **Predict:** to write 200 tokens, how many times fewer multiplications does the cache need?
#
# A token costs one multiplication for each weight of each matrix, and attention two for each visible token and
# channel.

# %%
matrices = held["attention: qkv and out"] + held["feed-forward: gate, up and down"] + V * C
n = np.arange(1, config.context + 1)
looking = 2 * C * LAYERS * n  # at position n
with_cache = np.cumsum(matrices + looking)
without = np.cumsum(n * matrices + np.cumsum(looking))
show(
    curve(
        n,
        {"without a cache": without / 1e6, "with a cache": with_cache / 1e6},
        "tokens written",
        "millions of multiplications",
        log="y",
    ),
    "cache",
    alt="Multiplications to write n tokens, logarithmic. Without a cache they grow with the square of n, with one "
    "almost in proportion.",
)
say(
    f"For 200 tokens: {without[199] / with_cache[199]:.0f} times fewer. At the end of this model's context of "
    f"{config.context} attention is {looking[-1] / (looking[-1] + matrices):.0%} of a token's cost; it would cost as "
    f"much as all matrices at {matrices / (2 * C * LAYERS):,.0f} tokens."
)

# %% [markdown]
# ## 6. What a kernel waits for
#
# *Takeaway: compare operations with bytes; below a machine's ridge a kernel waits for memory, and fewer bytes are the
# only cure.*
#
# A processor computes at some rate and memory delivers at another. An operation's *intensity* is its arithmetic
# divided by the bytes that it must move; the machine's *ridge* is the ratio of the two rates. Left of the ridge one
# waits for memory, right of it for arithmetic (Williams et al. 2009). Four bytes a number, a batch of 512 tokens in
# rows of 128:

# %%
N, ROW = 512, 128
bytes_of = {  # name: (floating-point operations, bytes)
    "rms_norm": (4 * N * C, 4 * 2 * N * C),
    "swiglu": (6 * N * F, 4 * 3 * N * F),
    "adamw": (12, 4 * 7),
    "matrix, one token": (2 * C * 3 * C, 4 * (C + 3 * C * C + 3 * C)),
    "attention, scores stored": (2 * N * ROW * C, 4 * (4 * N * C + 2 * N * ROW * H)),  # written once, read once
    "attention, in tiles": (2 * N * ROW * C, 4 * 4 * N * C),
    "matrix, batch": (2 * N * C * 3 * C, 4 * (N * C + 3 * C * C + N * 3 * C)),
}
intensity = {name: operations / moved for name, (operations, moved) in bytes_of.items()}
RIDGE = 8.0


@styled
def roofline():
    """The share of the peak that each kernel can reach at best."""
    figure, ax = canvas(None, height=3.2, width=6.2)
    x = np.geomspace(0.2, 100, 100)
    ax.plot(x, np.minimum(1, x / RIDGE), color=colour("muted"), linewidth=2)
    close: list[list[str]] = []  # names whose marks would overlap share a note
    for name in sorted(intensity, key=intensity.__getitem__):
        near = close and intensity[name] < 1.25 * intensity[close[-1][0]]
        close[-1].append(name) if near else close.append([name])
    for i, names in enumerate(close):
        waits = intensity[names[0]] < RIDGE
        for name in names:
            at = (intensity[name], min(1, intensity[name] / RIDGE))
            ax.plot(*at, "s" if waits else "o", color=colour("sft" if waits else "ppo"), markersize=7)
        shift, place = ((10, -4), ("left", "top")) if waits else ((0, 14 if i % 2 else -14), ("center", "center"))
        note(ax, "\n".join(names), at, shift, size=7.5, ha=place[0], va=place[1])
    ax.set(
        xscale="log", yscale="log", xlabel="operations for each byte", ylabel="share of peak, at best", ylim=(0.01, 2.5)
    )
    return figure


show(
    roofline(),
    "roofline",
    alt="A roofline: the share of the peak rate that a kernel can reach, against its operations per byte. Norm, gate, "
    "optimiser and the matrix for a single token lie on the slope; tiled attention and batched matrices reach the "
    "roof.",
)
table(["kernel", "operations a byte"], [[name, f"{value:.1f}"] for name, value in intensity.items()])
say(
    f"The ridge of {RIDGE:g} is an assumption of this picture. Not storing the scores moves attention from "
    f"{intensity['attention, scores stored']:.1f} to {intensity['attention, in tiles']:.1f}. And the same matrix goes "
    f"from {intensity['matrix, one token']:.1f} to {intensity['matrix, batch']:.1f} when {N} tokens share one trip of "
    "its weights: that is why generation moves 64 sequences in step."
)

# %% [markdown]
# Times belong to a machine, not to a page. When you run this lesson yourself, the next cell tells you yours.

# %%
a, b = np.ones((512, 512), np.float32), np.ones((512, 512), np.float32)
product, big = np.empty((512, 512), np.float32), np.ones(1 << 24, np.float32)


def seconds(work, *args):
    """The best of five."""
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        work(*args)
        times.append(time.perf_counter() - begun)
    return min(times[1:])


rate = 2 * 512**3 / seconds(matmul_into, a, b, product, False, False, 1.0, 0.0)
stream = 2 * big.nbytes / seconds(np.copyto, big.copy(), big)
print(f"here: {rate / 1e9:.0f} GFLOP/s, {stream / 1e9:.0f} GB/s, ridge {rate / stream:.1f}", file=sys.stderr)

# %% [markdown]
# ## 7. One knob: positions
#
# *Takeaway: distances carry meaning, places do not.*
#
# The trained model reads pages that it has never seen. We change nothing but the positions that it is told: all
# shifted by 100, all doubled, all the same, or in reverse order. The control tells the truth.
#
# **Predict:** order the four by how much they hurt.

# %%
TELLING = {
    "true": lambda at: at,
    "shifted": lambda at: at + 100,
    "doubled": lambda at: 2 * at,
    "all zero": lambda at: 0 * at,
    "reversed": lambda at: at[:, ::-1],
}


def reading(seed):
    """Log-probabilities of the tokens of unseen pages, by what the model is told about positions."""
    found = village.world().web(np.random.default_rng([seed, 99]), 0.9)
    rows = []
    while len(rows) < lab.pick(60, 6):
        ids = [tokenizer.document_id, *tokenizer.encode(indented(next(found)))]
        rows += [ids[:65]] if len(ids) >= 65 else []
    tokens = np.array(rows)  # [B, 65]
    logps = {}
    for name, telling in TELLING.items():
        positions = telling(np.tile(np.arange(64), (len(tokens), 1)))
        hidden = hidden_states(weights, config, tokens[:, :-1], positions, np.zeros_like(positions))
        logps[name] = fused.token_logps(hidden, output_weight(weights), tokens[:, 1:].reshape(-1))[0]  # [B * 64]
    return logps


runs = [reading(seed) for seed in range(lab.pick(5, 2))]
arms = {name: [-float(run[name].mean()) for run in runs] for name in TELLING}
show(
    sweep(arms, "loss, nats a token", control="true", knob="positions that the model is told"),
    "positions",
    alt="Loss on unseen pages for five ways of telling positions, five sets of pages each. Shifting changes nothing; "
    "the others raise the loss.",
)
mean = {name: float(np.mean(values)) for name, values in arms.items()}
shifted = max(furthest(run["shifted"], run["true"]) for run in runs)
assert shifted < 1e-2
order = sorted((name for name in mean if name not in ("true", "shifted")), key=mean.__getitem__)
say(
    f"Shifted by 100, no token's log-probability moves by more than {shifted:.0e}: that is a law. True positions give "
    f"{mean['true']:.2f}; "
    + ", ".join(f"{name} {mean[name]:.2f}" for name in order)
    + f". A model that knew nothing would be at ln V = {np.log(V):.2f}."
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `loss` at step 0 | ln V: every token equally likely | the initialisation is too loud, or logits are scaled twice |
# | `eval_loss` | among the training loss's last values | far above them all: the rows held out are of another kind |
# | `grad_norm` | around 1, with rare spikes | grows steadily: the learning rate is too large |
# | tokens a second | constant over a run | falls: memory is being swapped, or rows grew longer |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 2` checks them, and `--hint` helps in steps.
#
# 1. **`visible`**: the mask of section 4 in one line.
# 2. **`rotate`**: turn one vector by its position.
# 3. **`merge`**: attention over two blocks of keys from the attention over each, as tiles and rings of machines do it.
# 4. **`cached_answer`** writes one more token with a cache. It speaks fluently, and it has a bug.
# 5. *Open:* replace RoPE by a penalty on the distance, `score - slope * (i - j)`, in the reference and in the kernel.
#    Which of the tests fail, which of the laws still hold? Train a base model with it and repeat section 7.
#
# ## This bug shipped
#
# - Two layouts of RoPE, halves and neighbouring pairs, are equal up to a permutation of the channels, and garbage if
#   one mixes them: [transformers#25199](https://github.com/huggingface/transformers/issues/25199),
#   [flash-attention#288](https://github.com/Dao-AILab/flash-attention/issues/288). This package uses halves, as the
#   checkpoints of lesson 15 do.
# - Cached and uncached generation disagree: [torchtune#959](https://github.com/meta-pytorch/torchtune/issues/959),
#   [x-transformers#219](https://github.com/lucidrains/x-transformers/issues/219); with left padding, because positions
#   were counted over the padding: [unsloth#3795](https://github.com/unslothai/unsloth/pull/3795).
# - Packed documents see each other: [trl#1230](https://github.com/huggingface/trl/issues/1230),
#   [trl#805](https://github.com/huggingface/trl/issues/805),
#   [trl#3067](https://github.com/huggingface/trl/issues/3067).
#
# ## References
#
# - Vaswani et al. 2017, *Attention is all you need*, eq. 1.
# - Zhang and Sennrich 2019, *Root mean square layer normalization*, eq. 4. Shazeer 2020, *GLU variants improve
#   transformer*, eq. 6. Su et al. 2021, *RoFormer*, eq. 34.
# - Touvron et al. 2023, *LLaMA*, section 2.2: the three of them in one decoder.
# - Dao et al. 2022, *FlashAttention*, section 3.1: tiles, and recomputing the weights.
# - Olsson et al. 2022, *In-context learning and induction heads*.
# - Williams, Waterman and Patterson 2009, *Roofline*.
