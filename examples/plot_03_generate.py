r"""
Write, one token at a time
==========================

A language model never writes a sentence. It answers one question, again and again: *how likely is each token to come
next?* Somebody has to pick one, add it to the text, and ask again. This page looks at both halves of that: how to
pick, and how not to compute everything anew for each token.

The ideas are explained in :doc:`the chapter on inference </nano/inference/index>`. The model is the little
storyteller of :doc:`the page before <plot_02_train>`; if this machine does not have it yet, it is trained now.
"""

# %%
# A model and a story
# -------------------
# We take a story that the model has never seen and read it with the model, token by token.

import torch

from nanochat import tiny
from nanochat.corpora import load_corpus

run = tiny.load_or_train()
model, tokenizer, engine = run.model, run.tokenizer, run.engine

story = next(load_corpus("stories").documents("val"))
ids = [tokenizer.bos, *tokenizer.encode(story)][: model.config.sequence_len]
with torch.no_grad():
    logits = model(torch.tensor([ids]))[0]
print(story)
print(f"\n{len(ids)} tokens; at each, scores for {logits.size(-1):,} next ones")

# %%
# Where does it have a choice?
# ----------------------------
# Scores become probabilities (:func:`~nanochat.engine.next_token_probabilities`). If one token has nearly all of it,
# the model is sure. If many share it, the model sees many ways to go on. That is measured in bits: 0 is certain, 1 is
# a coin toss.
#
# In the story below, the stronger the colour, the freer the choice *before* that token. The free places are where the
# plot is decided: who, what, where. In between, the words follow of themselves.

import html

from nanochat.engine import next_token_probabilities


def choice(p: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each distribution in bits: how open the choice is."""
    return -(p * p.clamp_min(1e-12).log2()).sum(-1)


p = next_token_probabilities(logits)
if not torch.allclose(p.sum(-1), torch.ones(len(ids))):
    raise ValueError("probabilities must sum to 1")
bits = choice(p)


class Html(str):
    """Text that a page shows as HTML."""

    def _repr_html_(self):
        return self


shaded = []
for token, free in zip(ids[1:], bits.tolist(), strict=False):
    piece = tokenizer.token_bytes(token).decode("utf-8", "replace")
    share = round(40 * free / bits.max().item())
    colour = f"color-mix(in srgb, var(--nc-amber, #8c5500) {share}%, transparent)"
    style = f"background:{colour};border-radius:3px"
    shaded.append(f'<span style="{style}">{html.escape(piece, quote=False)}</span>')
Html(f"<p>{''.join(shaded)}</p>")

# %%
# Temperature
# -----------
# We go to the most open place of the story and look at the ten most likely tokens there. Then we divide all scores by
# a *temperature* before they become probabilities. Below 1 the favourites gain. Above 1 the rest catches up. At 0
# only the best is left.

import matplotlib.pyplot as plt

from nanochat.figures import show_piece, use_style

use_style()
spot = int(bits[:-1].argmax())
before = tokenizer.decode(ids[1 : spot + 1])
temperatures = (0.4, 1.0, 2.0)
likely = logits[spot].topk(10).indices
labels = [show_piece(tokenizer.token_bytes(token)) for token in likely.tolist()]

here = logits[spot : spot + 1]
cooled = {t: next_token_probabilities(here, temperature=t)[0] for t in temperatures}
open_at = [choice(cooled[t]).item() for t in temperatures]
if sorted(open_at) != open_at:
    raise ValueError("a higher temperature must leave a more open choice")

figure, panels = plt.subplots(1, 3, figsize=(4.8, 3.2), sharey=True, sharex=True)
for number, (axes, t) in enumerate(zip(panels, temperatures, strict=True)):
    axes.barh(labels, cooled[t][likely], color=f"C{number}")
    axes.set_title(f"temperature {t:g}")
    axes.grid(axis="y", visible=False)
panels[0].invert_yaxis()
panels[1].set_xlabel("probability")
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Three bar charts of the same ten tokens. With a higher temperature the bars become more equal.",
    caption=f"After “…{before[-40:]}”. The best token has {cooled[0.4].max():.0%} at temperature 0.4, "
    f"{cooled[1.0].max():.0%} at 1 and {cooled[2.0].max():.0%} at 2. The choice opens from {open_at[0]:.1f} to "
    f"{open_at[-1]:.1f} bits.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Top-k
# -----
# Small chances add up. The many unlikely tokens share what is left, and a story has many tokens: one bad draw is
# enough to spoil it. *Top-k* cuts them off. Only the k best stay in the game, and their probabilities are scaled up
# to sum to 1. The scales of the picture go up by factors of ten, so that even the smallest chances can be seen.

ranked = p[spot].sort(descending=True).values
figure, axes = plt.subplots(figsize=(4.8, 2.9))
places = range(1, len(ranked) + 1)
axes.loglog(places, ranked, color="C0", label="all tokens")
for number, k in enumerate((5, 40), start=1):
    cut = next_token_probabilities(here, top_k=k)[0].sort(descending=True).values
    if int((cut > 0).sum()) != k or abs(cut.sum().item() - 1) > 1e-5:
        raise ValueError(
            f"top-k must leave {k} tokens whose probabilities sum to 1"
        )
    axes.loglog(
        range(1, k + 1), cut[:k], "--", color=f"C{number}", label=f"top-k = {k}"
    )
    axes.plot([k], [cut[k - 1]], "o", color=f"C{number}")
axes.set(xlabel="rank of the token", ylabel="probability", ylim=(1e-9, 1.5))
axes.set_title("The long tail, and where top-k cuts it")
axes.legend()
tail = ranked[40:].sum().item()
spoiled = 1 - (1 - tail) ** len(ids)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="A falling line of all probabilities by rank, with two dashed lines that follow its beginning and stop.",
    caption=f"{len(ranked) - 40:,} of {len(ranked):,} tokens lie beyond rank 40. Here they have a chance of {tail:.2%} "
    f"together. If every place were like this one, {spoiled:.0%} of stories as long as ours would hold one of them.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# The curve has a flat end. Those are tokens that no training story holds. Nothing ever told them apart: each began
# with the same score and was pushed down by the same amounts. So they still share one score, to the last digit or
# nearly.

documents = load_corpus("stories").documents("train")
met = {tokenizer.bos}.union(*map(set, tokenizer.encode_batch(documents)))
never = [token for token in range(tokenizer.vocab_size) if token not in met]
scores = logits[spot, never].tolist()
print(f"{len(never)} tokens never occur in training")
print(f"their scores here lie between {min(scores):.4f} and {max(scores):.4f}")
if max(scores) - min(scores) > 1e-3:
    raise ValueError("tokens that were never seen should have one score")

# %%
# Always the best, or a throw of the dice?
# ----------------------------------------
# At temperature 0 the model tells the same story every time, however often it is asked. With a throw of the dice it
# has many to tell. At temperature 2 it falls apart. Compare the three.

best = engine.complete("", 1, temperature=0, seed=1)[0]
if engine.complete("", 1, temperature=0, seed=2)[0] != best:
    raise ValueError("at temperature 0 the seed must not matter")
for settings in ({"temperature": 0}, tiny.SAMPLING, {"temperature": 2.0}):
    text = engine.complete("", 1, seed=3, **settings)[0]
    print(", ".join(f"{name} {value}" for name, value in settings.items()))
    print(f"{text[:360]} ...\n")

# %%
# Is there a right temperature? We can measure both sides, because the grammar can read stories
# (:func:`~nanochat.corpora.stories.check_story`). For each temperature: how many sentences are sound, and how many
# different beginnings there are among 24 stories.

from nanochat.corpora.stories import check_story, split_sentences

steps = (0.0, 0.4, 0.8, 1.2, 1.6, 2.0)
sound, variety = [], []
for t in steps:
    texts = engine.complete("", 24, temperature=t, seed=5)
    checks = [check_story(text) for text in texts]
    sentences = sum(check.sentences for check in checks)
    sound.append(sum(check.parsed for check in checks) / sentences)
    variety.append(len({split_sentences(text)[0] for text in texts}) / len(texts))
if variety[0] * len(texts) != 1 or sound[-1] >= sound[0]:
    raise ValueError("cold stories should be one and the same, hot ones less sound")

figure, axes = plt.subplots(figsize=(4.8, 3))
axes.plot(steps, sound, "o-", label="sentences that are sound")
axes.plot(steps, variety, "s--", label="different first sentences")
axes.set(
    xlabel="temperature",
    ylabel="share",
    ylim=(0, 1.05),
    title="Sound or surprising",
)
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two lines against the temperature: the share of sound sentences falls, the variety rises.",
    caption=f"At temperature 0, {sound[0]:.0%} of the sentences are sound, but all {len(texts)} stories are the same. "
    f"At {steps[2]:g}, {sound[2]:.0%} are sound and {variety[2]:.0%} of the first sentences are different ones. At "
    f"{steps[-1]:g}, {sound[-1]:.0%} are sound.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Remember instead of recomputing
# -------------------------------
# To choose token 100, the model must look at the 99 before it. It did so for token 99 already, and nothing about them
# has changed. What it needs of them are their *keys* and *values*, so the engine keeps those: the
# :class:`~nanochat.engine.KVCache`. Then each new token costs one position of work, and not the whole text.
#
# First of all, the shortcut must not change a word. With the cache and without it, at temperature 0, the same tokens:

prompt = [tokenizer.bos]
settings = {
    "temperature": 0,
    "stop": (),
}  # no stop: write until the context is full
with_cache = engine.generate(prompt, **settings)[0]
without = engine.generate(prompt, use_cache=False, **settings)[0]
if with_cache != without:
    raise ValueError("the cache changed the text")
print(f"{len(with_cache)} tokens, the same with the cache and without it")

# %%
# How much work is it? A *hook* is a function that PyTorch calls whenever a part of the model is used. Ours sits on the
# embedding and counts the positions that go through the model. With a cache, each position goes through once. Without,
# the first token is computed again for each token after it: 1 + 2 + 3 + ...

counted = 0


def count(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
    """Add the positions of one call."""
    global counted
    counted += inputs[0].numel()


hook = model.embed.register_forward_pre_hook(count)
work = {}
for name, use_cache in (("with the cache", True), ("without it", False)):
    counted = 0
    n = len(engine.generate(prompt, use_cache=use_cache, **settings)[0])
    work[name] = counted
    print(f"{name:15} {counted:8,} positions for {n} tokens")
hook.remove()
if work != {"with the cache": n, "without it": n * (n + 1) // 2}:
    raise ValueError(f"{work} is not {n} and 1 + 2 + ... + {n}")

# %%
# And how long does it take? Every token of both runs is timed, three times over, and the fastest of the three is
# kept. **These times are from this build, on this machine**: another machine draws another picture, and this one does
# so on another day. The shape is what to look at. Without the cache, a token costs more the longer the text is. With
# it, hardly.

import time


def times(use_cache: bool) -> list[float]:
    """Measure each token of one run, in milliseconds."""
    out, begin = [], time.perf_counter()
    for _ in engine.stream(prompt, use_cache=use_cache, **settings):
        now = time.perf_counter()
        out.append(1000 * (now - begin))
        begin = now
    return out


fastest = {}
for name, use_cache in (("without the cache", False), ("with the cache", True)):
    runs = [times(use_cache) for _ in range(3)]
    fastest[name] = [min(column) for column in zip(*runs, strict=True)][1:]

figure, axes = plt.subplots()
for number, (name, measured) in enumerate(fastest.items()):
    written = range(2, len(measured) + 2)
    near = [sorted(measured[max(0, i - 8) : i + 9]) for i in range(len(measured))]
    middle = [values[len(values) // 2] for values in near]
    axes.plot(written, measured, linewidth=0.7, alpha=0.5, color=f"C{number}")
    axes.plot(written, middle, color=f"C{number}", label=name)
late = {name: sorted(measured[-20:])[10] for name, measured in fastest.items()}
axes.set(xlabel="tokens written so far", ylabel="milliseconds for the next one")
axes.set(title="The time of one token", ylim=(0, 1.6 * max(late.values())))
axes.legend(loc="upper left")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two lines against the length of the text: one climbs, the other stays low.",
    caption=f"For the last twenty tokens, the middle time was {late['without the cache']:.1f} ms without the cache and "
    f"{late['with the cache']:.1f} ms with it, on this machine when this page was built.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What the memory costs
# ---------------------
# The cache buys time with memory: two vectors for each layer, row and position.
# :func:`~nanochat.accounting.cache_bytes` computes how many bytes from the sizes alone. We make the real thing and
# weigh it.

from dataclasses import replace

from nanochat.accounting import cache_bytes, count_parameters
from nanochat.engine import KVCache
from nanochat.gpt import GPTConfig

context = model.config.sequence_len
for rows, length in ((1, 1), (1, context), (8, context)):
    for dtype in (torch.float32, torch.bfloat16):
        cache = KVCache(model.config, rows, length, dtype)
        real = cache.keys.nbytes + cache.values.nbytes
        if real != cache_bytes(model.config, rows, length, dtype):
            raise ValueError(f"{real} bytes are not what the accounting says")
        print(f"{rows} x {length:3} positions in {dtype!s:14} {real:10,} bytes")

# %%
# For a large model with a long text, this is what fills the memory of a GPU. The picture takes a model of twenty
# layers and lets the text grow. If several query heads share one pair of key and value (*grouped* heads), the cache
# shrinks by that factor. (A gibibyte is 1024 times 1024 times 1024 bytes, a bit more than a billion.)

big = GPTConfig.from_depth(20, sequence_len=2**17)
weights = 2 * count_parameters(big).total  # two bytes each in bfloat16
lengths = [2**power for power in range(10, 18)]
groups = {
    "every head its own": 1,
    "two heads share": 2,
    "all heads share": big.n_head,
}
figure, axes = plt.subplots()
crossing = {}
for style, (name, share) in zip(("o-", "s--", "^:"), groups.items(), strict=True):
    config = replace(big, n_kv_head=big.n_head // share)
    sizes = [cache_bytes(config, 1, length, torch.bfloat16) for length in lengths]
    crossing[name] = weights // cache_bytes(config, 1, 1, torch.bfloat16)
    axes.loglog(lengths, [n / 2**30 for n in sizes], style, base=2, label=name)
level = weights / 2**30
axes.axhline(level, color="C3", linewidth=1)
axes.text(lengths[0], 1.08 * level, "the weights", color="C3", va="bottom")
axes.set_xticks(lengths[::2], [f"{length // 1024}k" for length in lengths[::2]])
ticks = [1 / 32, 1 / 8, 1 / 2, 2, 8, 32]
axes.set_yticks(ticks, ["1/32", "1/8", "1/2", "2", "8", "32"])
axes.set(xlabel="tokens in the text", ylabel="gibibytes")
axes.set_title(f"The cache of one text, {big.n_layer} layers")
axes.legend()
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three parallel rising lines for three ways to share keys and values, and a level line for the weights.",
    caption=f"With a key and a value for each of {big.n_head} heads, the cache of one text outgrows the weights at "
    f"{crossing['every head its own']:,} tokens; if two heads share, at {crossing['two heads share']:,}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Several answers from one reading
# --------------------------------
# Often one wants several continuations of the same beginning. The engine reads the beginning once, copies its keys
# and values to each row, and only then do the rows part ways. The hook counts again.

beginning = ids[: len(ids) // 3]
rows, new = 4, 30
counted = 0
hook = model.embed.register_forward_pre_hook(count)
settings = {"max_tokens": new, "stop": (), **tiny.SAMPLING}
together = engine.generate(beginning, rows, seed=2, **settings)
hook.remove()

apart = rows * (len(beginning) + new - 1)
print(f"{counted} positions for {rows} continuations, {apart} if made one by one\n")
if counted != len(beginning) + rows * (new - 1):
    raise ValueError(
        "the beginning should be read once, and each new token but the last"
    )
print(f"{tokenizer.decode(beginning[1:])} ...\n")
for row in together:
    print(f"...{tokenizer.decode(row)}\n")

# %%
# A row in company must write what it would have written alone. At temperature 0 we can check that to the letter.

alone = engine.generate(beginning, 1, max_tokens=new, temperature=0)
in_company = engine.generate(beginning, rows, max_tokens=new, temperature=0)
if in_company != rows * alone:
    raise ValueError("rows must not influence each other")
print("all rows are what one row alone is")

# %%
# Now you
# -------
# - Give ``engine.complete`` a beginning of your own: ``engine.complete("Once there was a little owl", 3)``.
# - Find the highest top-k at which temperature 2 still tells a story.
# - Print ``bits`` for a story with one name changed, and find the place where the model is taken aback.

# sphinx_gallery_thumbnail_number = 1
