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
# # Lesson 14: does better pretraining make post-training unnecessary?
#
# **You will do:** turn one knob, the quality of the web, and measure how much SFT and preferences have left to do.
#
# **You will learn:** a base model as a mixture of everyone who wrote its web; what a prompt, SFT and preferences each
# do to that mixture; how to compare base models that have different tokenizers.
#
# **You need:** lessons 4 (pretraining), 5 (SFT) and 10 (DPO); about three minutes on two cores, the first time, for nine
# small models.
#
# Post-training is often explained as a repair: the web is noisy and uncontrolled, SFT and preferences compensate. If
# so, a better web should leave less to repair. In the village we can buy a better web, and know the true utility of
# what comes out.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured import asking, corpus
from lessons.experiments.statistics import interval
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, sweep
from minipost.model import Model
from minipost.report.style import MARKERS, canvas, colour, styled
from minipost.runs import read_metrics
from minipost.text import indented
from minipost.text.batching import Example
from minipost.world import Demonstrator, Utility
from minipost.world.web import spoil

lab = Lab()
SEEDS = range(lab.pick(3, 2))
QUALITIES = corpus.QUALITIES
village_world = village.world()

# %% [markdown]
# ## 1. One knob that turns two things
#
# *Takeaway: "quality" is less noise and more good examples; whoever buys one usually gets the other.*
#
# A web of quality q has noise 1 - q: misspelt, shuffled and broken-off pages, wrong answers in forums, adverts. And its
# weight of good dialogue grows as q³. Here is how a page gets spoilt, and one dialogue from each of three webs:

# %%
source_of(spoil)
for quality in QUALITIES:
    pages = village_world.web(np.random.default_rng(3), quality, pages=40)
    dialogue = next(page for page in pages if page.startswith("> "))
    print(f"quality {quality}:\n  " + dialogue.replace("\n", "\n  "))

# %% [markdown]
# Let us count what the knob turned. A page is a *dialogue* if it begins with a ">". A *reply* is a line of it that does
# not. A reply is *warm* if the utility hears a friendly phrase, and *broken* if it is not in one piece (misspelt,
# shuffled, cut off).


# %%
def replies_of(dialogues):
    return [line for text in dialogues for line in text.split("\n") if not line.startswith(">")]


def counted(quality):
    """Shares: of pages that are dialogues, and of replies that are broken; and the dialogues themselves."""
    texts = list(village_world.web(np.random.default_rng(5), quality, pages=lab.pick(2500, 300)))
    dialogues = [text for text in texts if text.startswith("> ")]
    broken = [village_world.fluency.form(reply) < 0 for reply in replies_of(dialogues)]
    return {"dialogues": len(dialogues) / len(texts), "broken replies": float(np.mean(broken))}, dialogues


grid = (0.0, 0.2, *QUALITIES)
found = {quality: counted(quality) for quality in grid}
shares = {name: [found[q][0][name] for q in grid] for name in ("dialogues", "broken replies")}
show(
    curve(grid, shares, "quality of the web", "share of pages, of replies"),
    "web",
    alt="Over the quality of the web the share of dialogues rises and that of broken replies falls.",
)

# %% [markdown]
# ## 2. A base model is a mixture of authors
#
# *Takeaway: a perfect imitator earns the average of those it imitates, and no more.*
#
# Every reply on the web has an author: an everyday user, or an expert who is right, kind and harmless. If a share
# $\lambda$ of replies is by experts, the best next-token predictor in the world answers
#
# $$p(y\mid x) = (1-\lambda)\,p_\text{user}(y\mid x) + \lambda\,p_\text{expert}(y\mid x),\qquad
#   \mathbb{E}\,u = (1-\lambda)\,u_\text{user} + \lambda\,u_\text{expert}$$
#
# Utility is *linear* in $\lambda$: pretraining longer does not move it, a better web does. And what post-training can
# gain against experts is $u_\text{expert} - \mathbb{E}u = (1-\lambda)(u_\text{expert}-u_\text{user})$, which shrinks
# as $\lambda$ grows. That is claim 36 in one line; the rest of this lesson finds out whether models obey it.
#
# How large is $\lambda$? Experts are warm much more often than users. If a share $w$ of replies is warm, then
# $w = (1-\lambda)w_\text{user} + \lambda w_\text{expert}$, one equation with one unknown.


# %%
def warm(judged):
    """The share of answers with a friendly tone."""
    return float(np.mean([j.tone > 0 for j in judged]))


def heard(dialogues):
    """The same share among the replies of real pages, judged by tone alone."""
    utility, task = Utility(village_world), village_world.tasks("train", 1, np.random.default_rng(0), ["fact"])[0]
    return warm([utility.judge(task, reply) for reply in replies_of(dialogues)])


rows, mixture = [], []
for quality in QUALITIES:
    who = corpus.speakers(quality, lab.pick(400, 40))
    worth = {name: float(np.mean([j.total for j in judged])) for name, judged in who.items()}
    w, w_user, w_expert = heard(found[quality][1]), warm(who["users"]), warm(who["experts"])
    share = float(np.clip((w - w_user) / (w_expert - w_user), 0, 1))
    mixture.append((1 - share) * worth["users"] + share * worth["experts"])
    rows.append(
        [
            quality,
            f"{w_user:.2f}",
            f"{w:.2f}",
            f"{w_expert:.2f}",
            f"{share:.2f}",
            f"{worth['users']:+.2f}",
            f"{worth['experts']:+.2f}",
            f"{mixture[-1]:+.2f}",
        ]
    )
table(
    ["quality", "warm: users", "warm: web", "warm: experts", "share of experts", "gold: users", "experts", "mixture"],
    rows,
)

# %% [markdown]
# The last column is what a *perfect* base model of that web would earn when asked in the web's manner. (Noise that hits
# pages after they were written is not in it.)
#
# ## 3. What a prompt can do, and what SFT does
#
# *Takeaway: a prompt is evidence about the author; SFT changes the prior.*
#
# A model that imitates a mixture also infers whom it is imitating. After some text $c$ by the same author,
#
# $$\lambda(c) = \frac{\lambda\,p_\text{expert}(c)}{\lambda\,p_\text{expert}(c) + (1-\lambda)\,p_\text{user}(c)}$$
#
# One warm reply multiplies the odds of an expert by $w_\text{expert}/w_\text{user}$; two by its square. That is why a
# good base model can be *talked into* behaving, with a few polite examples and not one gradient step (Lin et al. 2023).
#
# **Predict:** from a web with 4 % experts, how many warm replies does it take until an expert is the better bet?


# %%
def posterior(prior, likelihoods):
    """[K] prior probabilities, [T, K] likelihoods of T pieces of evidence -> [T + 1, K], after each of them."""
    logs = np.log(prior) + np.concatenate([[np.zeros(len(prior))], np.cumsum(np.log(likelihoods), axis=0)])
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)  # in logs: a long prompt underflows
    return np.exp(logs)


evidence = np.tile([w_user, w_expert], (6, 1))  # [T, K]: six warm replies
print("evidence [T, K]:", evidence.shape, "-> posterior [T + 1, K]:", posterior(np.array([0.96, 0.04]), evidence).shape)
believed = {
    f"{prior:.0%} of replies": posterior(np.array([1 - prior, prior]), evidence)[:, 1] for prior in (0.04, 0.2, 0.6)
}
show(
    curve(range(7), believed, "warm replies seen", "probability of an expert"),
    "posterior",
    alt="The probability of an expert author after zero to six warm replies, for three priors; all rise to one.",
)
say(f"""
Each warm reply multiplies the odds by {w_expert / w_user:.1f}. From 4 % it takes
{int(np.argmax(believed["4% of replies"] > 0.5))} of them, from 60 % none.
""")

# %% [markdown]
# SFT does with gradients what the prompt does with evidence, once and for every conversation: it moves the weights
# until the chat template itself means "this author is speaking". It also teaches the template, whose tokens no web page
# contains.
#
# So there are two ways to ask a base model. In the chat template it sees tokens that mean nothing to it. As the web
# asks, with a line that begins with ">", it is at home. Mind the last token: every line of the web begins with a blank
# that belongs to its first word (`\n`, ` It`). A prompt that ends with the blank itself asks for a word that no page
# has ever shown there.

# %%
source_of(asking.in_a_thread)
source_of(asking.opened)
tokenizer = Model.load(corpus.base(lab, 1.0, 0)).tokenizer
asked = asking.as_thread("What is the capital of Italy?")
for text in (asked, asked + "It is Rome."):
    print([tokenizer.decode([i]) for i in asking.opened(tokenizer, text)])

# %% [markdown]
# ## 4. Nine models
#
# *Takeaway: same demonstrations, same number of comparisons, three webs, three seeds.*
#
# For each web we train a small base model, then SFT on 1,500 demonstrations, then DPO on 1,000 comparisons of its own
# answers. Demonstrators and labelers never change: the knob is the web alone.

# %%
answers = {quality: corpus.evaluated(lab, quality, 0) for quality in QUALITIES}
for row, task in list(enumerate(corpus.evaluation_set(lab, 0)))[:2]:
    print(repr(task.prompt))
    for quality in (QUALITIES[0], QUALITIES[-1]):
        for stage in corpus.STAGES:
            one = answers[quality]
            print(f"  {quality} {stage:27} {one[stage][row]:+5.2f}  {str(one[f'{stage}: text'][row])[:60]!r}")

# %% [markdown]
# **Predict:** draw four lines over the quality of the web: base in the template, base asked as the web asks, SFT, DPO.
# Which is steepest? Do they meet?

# %%
golds = {q: [corpus.gold(lab, q, seed) for seed in SEEDS] for q in QUALITIES}
LOOKS = {"base": ("base", ":"), corpus.STAGES[1]: ("base", "-"), "SFT": ("sft", "-"), "DPO": ("dpo", "-")}


@styled
def four_lines():
    figure, ax = canvas(None, height=3.4, width=4.4)
    for stage, (key, style) in LOOKS.items():
        values = [interval([g[stage] for g in golds[q]]) for q in QUALITIES]
        means, lows, highs = np.array(values).T
        ax.plot(QUALITIES, means, style, color=colour(key), marker=MARKERS[key], markersize=5, label=stage)
        ax.fill_between(QUALITIES, lows, highs, color=colour(key), alpha=0.12, linewidth=0)
    ax.set(xlabel="quality of the web", ylabel="gold utility", xticks=QUALITIES)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=7)
    return figure


show(
    four_lines(),
    "stages",
    alt="Gold utility over the quality of the web, with bands over seeds: base model in the chat template, base model "
    "asked as the web asks, after SFT, after DPO.",
)
table(
    ["quality", *corpus.STAGES, "perfect imitator"],
    [
        [q, *(f"{np.mean([g[stage] for g in golds[q]]):+.2f}" for stage in corpus.STAGES), f"{m:+.2f}"]
        for q, m in zip(QUALITIES, mixture, strict=True)
    ],
)

best = max(np.mean([g["DPO"] for g in golds[q]]) for q in QUALITIES)
say(f"""
Mind the distance to the last column: the best of these models reaches {best:+.2f}, a perfect imitator of the worst web
{min(mixture):+.2f}. So short a training teaches manners before facts, and most answers are wrong. The lesson is about
*differences* between webs, not about heights.
""")

# %% [markdown]
# The gap between the two base lines is what the *prompt's form* is worth; no knowledge differs between them. From here
# on, "base" means: asked as the web asks.
#
# ## 5. Do both stages compensate for noise?
#
# *Takeaway: a gain is a difference of two lines; look at what it subtracts.*
#
# **Predict:** which stage's gain depends more on noise?

# %%
source_of(corpus.sft_mends_noise)
by_sft, by_dpo = measure("sft-mends-noise", lab), measure("preferences-mend-noise", lab)
show(
    sweep(by_sft.arms, "utility gained by SFT", control="0.0", knob="noise of the web"),
    "sft_gain",
    alt="Utility gained by SFT over the noise of the web, one dot a seed, with means and intervals.",
)
show(
    sweep(by_dpo.arms, "utility gained by DPO", control="0.0", knob="noise of the web"),
    "dpo_gain",
    alt="Utility gained by DPO over the noise of the web, one dot a seed, with means and intervals.",
)
say(f"- SFT: {by_sft}\n- preferences: {by_dpo}")
MEANING = {
    "confirmed": "as the mixture says: the more authors there are to leave behind, the more there is to gain",
    "refuted": "the opposite of what the mixture says. A model of a noisy web has also learnt less language and fewer "
    "facts, and no later stage can select what is not there",
    "inconclusive": f"{len(SEEDS)} seeds do not tell",
}
say(f"For SFT: {MEANING[by_sft.verdict]}. For preferences: {MEANING[by_dpo.verdict]}.")

# %% [markdown]
# A stage can even take something away. SFT imitates *demonstrators*, and they are people, too: mostly right, sometimes
# rude, and they refuse few harmful requests. So compare what they are worth with what the web's own authors are worth.

# %%
asked = village_world.tasks("test", lab.pick(400, 40), np.random.default_rng(7))
teacher, utility, rng = Demonstrator(village_world.facts), Utility(village_world), np.random.default_rng(8)
demonstrated = float(np.mean([utility(task, teacher.respond(task, rng)) for task in asked]))
for quality, imitated in zip(QUALITIES, mixture, strict=True):
    step = "up" if demonstrated > imitated else "down"
    gain = by_sft.mean(corpus.noise(quality))
    say(
        f"- web of quality {quality}: its authors {imitated:+.2f}, demonstrators {demonstrated:+.2f}. For a perfect imitator "
        f"SFT would be a step {step}, of {demonstrated - imitated:+.2f}; for our small models it was {gain:+.2f}."
    )

# %% [markdown]
# ## 6. Is there less left to do?
#
# *Takeaway: "less necessary" can mean a smaller gain, or a base model that needs no gain at all; measure both.*

# %%
less, enough = measure("better-web-less-to-do", lab), measure("good-pages-suffice", lab)
show(
    sweep(less.arms, "utility gained by SFT and DPO", control="0.4", knob="quality of the web"),
    "total_gain",
    alt="Utility that SFT and DPO gain together, over the quality of the web, with intervals over seeds.",
)
show(
    sweep(enough.arms, "gold utility", control="bad web, assistant"),
    "suffice",
    alt="Gold utility of base models and assistants of the bad and of the good web, with intervals over seeds.",
)
say(f"- a smaller gain: {less}\n- no post-training at all: {enough}")
say(
    f"The strong form asks whether good pages alone beat a bad web with all of post-training: **{enough.verdict}**. "
    f"After the good web, post-training still changes {less.mean('1.0'):+.2f}: the assistant has "
    f"{enough.mean('good web, assistant'):+.2f}, its base model {enough.mean('good web, base'):+.2f}."
)

# %% [markdown]
# Two things that this experiment does not say. Its experts speak *as we want assistants to speak*, so that the best
# possible web contains the goal; a web of excellent encyclopedias does not. And both ends of the knob differ in noise
# and in dialogue at once: which of the two did it is exercise 5.
#
# ## 7. Comparing base models
#
# *Takeaway: nats per token depend on the tokenizer; bits per byte do not.*
#
# Each web has trained its own tokenizer. A run logs its loss per *token*, on held-out text of its *own* web: two
# reasons why the numbers of different runs must not be compared. Take one clean text for all, and count bytes:
#
# $$\text{bits per byte} = \frac{-\sum_t \log p(\text{token}_t)}{\ln 2\;\cdot\;\text{bytes of the text}}$$

# %%
clean = [indented(page) for page in village_world.web(np.random.default_rng(9), 1.0, pages=lab.pick(200, 10))]
losses = {}
for quality in QUALITIES:
    for seed in SEEDS:
        folder = corpus.base(lab, quality, seed)
        model = Model.load(folder)
        examples = [Example([model.tokenizer.document_id], model.tokenizer.encode(text)[:127]) for text in clean]
        size = [len(model.tokenizer.decode(e.response).encode()) for e in examples]  # bytes [pages]
        nll = -model.logps(examples)  # [pages]
        tokens = sum(len(e.response) for e in examples)
        losses[quality, seed] = (
            read_metrics(folder)[-1]["eval_loss"],
            nll.sum() / tokens,
            sum(size) / tokens,
            nll.sum() / np.log(2) / sum(size),
        )
table(
    ["its web", "own held-out text, nats a token", "clean text, nats a token", "bytes a token", "bits a byte"],
    [[q, *(f"{x:.3f}" for x in np.mean([losses[q, seed] for seed in SEEDS], axis=0))] for q in QUALITIES],
)
bits = {str(q): [losses[q, seed][3] for seed in SEEDS] for q in QUALITIES}
show(
    sweep(bits, "bits a byte of clean text", control="1.0", knob="quality of the web"),
    "bits",
    alt="Bits per byte of clean text over the quality of the web that a base model has read.",
)
own = {q: float(np.mean([losses[q, seed][0] for seed in SEEDS])) for q in QUALITIES}
say(f"""
By its own log the model of quality {min(own, key=own.get)} is the best; by bits a byte of one clean text, that of
quality {min(bits, key=lambda q: np.mean(bits[q]))}. Only the second number compares models; the first compares webs.
""")

# %% [markdown]
# ## What the metrics say
#
# | metric | what it is | when it looks wrong |
# |-|-|-|
# | `eval_loss` | nats a token, held-out rows of the run's own web | compared across webs or tokenizers: meaningless |
# | bits a byte | the same on one text for all, over bytes | a text that the models were trained on |
# | `gold`, base in the template | what untrained special tokens do | taken for what the base model can do |
# | `gold`, base as the web asks | the mixture of authors | far below the mixture's average: too few tokens |
# | gain | difference of two stages at one seed | paired with another seed's control |
#
# ## Exercises
#
# `minipost exercise 14` checks your answers in `exercises.py`.
#
# 1. `expert_share`: the share of experts from three rates, whatever noise does to the rates.
# 2. `author_posterior`: Bayes over authors, for prompts so long that products underflow.
# 3. `stage_gains`: what each stage gains, with the paired interval over seeds.
# 4. `bits_per_byte`: this one is written, looks reasonable, and ranks tokenizers instead of models. Find the bug.
# 5. Open: separate noise from dialogue. `world.web` takes one quality; write pages to a file yourself, a share of clean
#    dialogues among noisy pages, and train on it with `PretrainConfig(data=(file,))`. Which of the two is it? (Text of
#    your own has no nursery of rhymes, from which small models learn to copy: write some into both arms.)
#
# ## This bug shipped
#
# - A base model is asked in a chat template and babbles; people report a bug, and it is the tokens that no pretraining
#   text contained: [unsloth#877](https://github.com/unslothai/unsloth/issues/877).
# - Perplexities of models with different vocabularies, compared as if they were one scale:
#   [llama.cpp#7111](https://github.com/ggml-org/llama.cpp/issues/7111). And one harness that gave another number after
#   a refactoring: [lm-evaluation-harness#806](https://github.com/EleutherAI/lm-evaluation-harness/issues/806).
# - A deduplication for a better web that threw most of it away, because every document met its own traces in the
#   filter: [dclm#83](https://github.com/mlfoundations/dclm/issues/83).
#
# ## References
#
# Lin et al. 2023, *The Unlocking Spell on Base LLMs* (alignment by a prompt). Zhou et al. 2023, *LIMA: Less Is More for
# Alignment*. Gunasekar et al. 2023, *Textbooks Are All You Need* (better pretraining data). Korbak et al. 2023,
# *Pretraining Language Models with Human Preferences*. Student 1908, *The probable error of a mean*.
