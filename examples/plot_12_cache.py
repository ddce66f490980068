r"""
What remembering costs
======================

A model that writes keeps notes: the keys and values of every token so far. That is the KV cache, and
:doc:`the page on writing <plot_03_generate>` shows that it changes no word and saves most of the work.

Nothing is free. This page puts the notes on the scales. How heavy are they, beside the model that made them? What
makes them grow: long texts, many layers, many heads, many readers? And what would the same text cost without them,
counted in operations and not in seconds? The ideas are in :doc:`the chapter on the cache </nano/inference/kv-cache>`.
"""

# %%
# One model on the scales
# -----------------------
# The little storyteller of the other pages, and notes of its own: a :class:`~nanochat.engine.KVCache` for one text,
# and one for eight texts at once. We make real ones and ask them how much memory they hold.
# :func:`~nanochat.accounting.cache_bytes` must say the same from the sizes alone. If it does not, this page is not
# built.

import torch

from nanochat import tiny
from nanochat.accounting import cache_bytes
from nanochat.engine import KVCache
from nanochat.gpt import GPTConfig

run = tiny.load_or_train()
model, config = run.model, run.plan.model


def weigh(config: GPTConfig, rows: int, length: int, dtype: torch.dtype) -> int:
    """Make a real cache, and compare its bytes with those that are computed."""
    cache = KVCache(config, rows, length, dtype)
    real = cache.keys.nbytes + cache.values.nbytes
    if real != cache_bytes(config, rows, length, dtype):
        raise ValueError(f"{real} bytes are not what the accounting says")
    return real


weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(f"{config.n_layer} layers, width {config.n_embd}, {config.n_kv_head} heads")
print(f"the weights          {weights:12,} bytes")
for rows, length in ((1, 1), (1, 192), (8, 192)):
    real = weigh(config, rows, length, torch.float32)
    print(f"{rows} x {length:3} tokens       {real:12,} bytes of cache")

# %%
# Where does the number for one token come from? In each layer a token leaves a key and a value. Each is as long as all
# key/value heads together. And each number of them takes four bytes here.

of_a_token = weigh(config, 1, 1, torch.float32)
by_hand = 2 * config.n_layer * config.n_kv_head * config.head_size * 4
print(
    f"2 x {config.n_layer} layers x {config.n_kv_head} heads "
    f"x {config.head_size} channels x 4 bytes = {by_hand:,} bytes"
)
if of_a_token != by_hand:
    raise ValueError("a token leaves a key and a value in each layer, no more")

# %%
# Longer texts, more texts
# ------------------------
# The notes grow evenly with the text: each token adds the same. A dot below is a real cache on the scales, a line is
# what the accounting says. The level line is the model itself. (A MiB is 1024 times 1024 bytes, about a million; 1024
# of them are a GiB.)

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
lengths = list(range(1, config.sequence_len + 1))
weighed = range(24, config.sequence_len + 1, 24)
figure, axes = plt.subplots(figsize=(4.8, 3.1))
kinds = {
    "8 texts": (8, torch.float32),
    "8, in bfloat16": (8, torch.bfloat16),
    "1 text": (1, torch.float32),
}
for number, (name, (rows, dtype)) in enumerate(kinds.items()):
    line = [cache_bytes(config, rows, n, dtype) / 2**20 for n in lengths]
    dots = [weigh(config, rows, n, dtype) / 2**20 for n in weighed]
    axes.plot(lengths, line, color=f"C{number}", linewidth=1)
    axes.plot(weighed, dots, "os^"[number], color=f"C{number}", label=name)
axes.axhline(weights / 2**20, color="C3", linewidth=1)
axes.text(1, weights / 2**20, "the weights", color="C3", va="bottom")
axes.set(
    xlabel="tokens in each text", ylabel="MiB", ylim=(0, 1.2 * weights / 2**20)
)
axes.set_title("Notes beside the model that makes them")
axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3)
# sphinx_gallery_start_ignore
from nanochat.figures import describe

full = weigh(config, 8, config.sequence_len, torch.float32)
describe(
    figure,
    alt="Three straight lines that rise from zero with the length of the text, with dots on them, below a level line.",
    caption=f"Eight texts that fill the context of {config.sequence_len} tokens hold {full / 2**20:.1f} MiB of notes, "
    f"{full / weights:.0%} of the {weights / 2**20:.1f} MiB of the weights. In bfloat16, at two bytes a number, it is "
    "half of that.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# The weights are there once, however many people write at the same time. The notes are there once for each of them.
# That is why a server that talks to many is mostly full of notes.

# %%
# Deeper models
# -------------
# The dial of this project is the depth, and the width grows with it. So a deeper model pays twice for a token: it has
# more layers, and longer keys and values in each. Doubling the depth makes the notes four times as heavy. The matrices
# grow faster still: twice as many layers, each of them twice as wide and twice as high.

from nanochat.accounting import count_parameters

depths = (1, 2, 4, 8, 16, 32)
sizes = [GPTConfig.from_depth(depth) for depth in depths]
notes = [weigh(one, 1, 1, torch.bfloat16) for one in sizes]
matrices = [2 * count_parameters(one).matrices for one in sizes]
for small, large in zip(range(5), range(1, 6), strict=True):
    grown = notes[large] / notes[small], matrices[large] / matrices[small]
    if grown != (4, 8):
        raise ValueError(
            f"{grown} is not four times the notes, eight times the model"
        )

figure, axes = plt.subplots(figsize=(4.8, 3.1))
axes.loglog(depths, matrices, "s--", base=2, label="matrices of the blocks")
axes.loglog(depths, notes, "o-", base=2, label="notes of one token")
axes.set_xticks(depths, map(str, depths))
axes.minorticks_off()
axes.set_yticks(
    [2**10, 2**15, 2**20, 2**25, 2**30],
    ["1 KiB", "32 KiB", "1 MiB", "32 MiB", "1 GiB"],
)
axes.set(xlabel="depth, layers", ylabel="memory, two bytes a number")
axes.set_title("Twice the depth")
axes.legend()
# sphinx_gallery_start_ignore
full_at = [m / n for m, n in zip(matrices, notes, strict=True)]
describe(
    figure,
    alt="Two straight lines on doubling scales: the matrices rise with slope three, the notes of a token with two.",
    caption=f"From depth {depths[0]} to {depths[-1]} the notes of one token grow from {notes[0]:,} to {notes[-1]:,} "
    f"bytes, and the matrices {matrices[-1] // matrices[0]:,} times. So the text whose notes weigh as much as the "
    f"matrices gets longer: {full_at[0]:,.0f} tokens at depth {depths[0]}, {full_at[-1]:,.0f} at depth {depths[-1]}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Heads that share
# ----------------
# A layer has several heads, and each asks with a query of its own. But the keys and values need not be as many. Two
# heads, or four, can ask the same notes. Fewer key/value heads mean lighter notes by exactly that factor, and a model
# that is only a little smaller. Here are real models of depth 4, with their real caches.

from dataclasses import replace

from nanochat.gpt import GPT

plain = GPTConfig.from_depth(4, vocab_size=1024)
shared = {}
for n_kv_head in (4, 2, 1):
    one = GPT(replace(plain, n_kv_head=n_kv_head))
    held = sum(p.numel() * p.element_size() for p in one.parameters())
    shared[n_kv_head] = held, weigh(one.config, 1, 512, torch.float32)
    print(
        f"{plain.n_head} query heads, {n_kv_head} key/value heads: weights "
        f"{held:11,} bytes, notes of 512 tokens {shared[n_kv_head][1]:9,} bytes"
    )
if [shared[4][1] // shared[k][1] for k in shared] != [1, 2, 4]:
    raise ValueError("half the key/value heads should halve the notes")

figure, axes = plt.subplots(figsize=(4.8, 2.6))
for offset, (place, name) in enumerate(((0, "weights"), (1, "notes"))):
    parts = [100 * shared[k][place] / shared[4][place] for k in shared]
    where = [row + 0.38 * (offset - 0.5) for row in range(3)]
    axes.barh(where, parts, height=0.36, color=f"C{offset}", label=name)
    for y, value in zip(where, parts, strict=True):
        axes.text(value + 1, y, f"{value:.0f} %", va="center")
axes.set_yticks(range(3), shared)
axes.set(xlabel="per cent of what it is where none share", xlim=(0, 116))
axes.set(ylabel="key/value heads")
axes.invert_yaxis()
axes.grid(axis="y", visible=False)
axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three pairs of bars for four, two and one key/value heads: the notes shrink to a quarter, the weights little.",
    caption=f"With one key/value head for all {plain.n_head} query heads, the notes shrink to "
    f"{shared[1][1] / shared[4][1]:.0%} and the weights to {shared[1][0] / shared[4][0]:.0%}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Whether a model with shared notes writes as well is another question. It has to be trained that way to find out, and
# no weighing tells.

# %%
# How many at once?
# -----------------
# Suppose that a graphics card has 80 GiB, and that a model of depth 20 is to serve as many people as fit. The weights
# take their part, and the notes share what is left.

card = 80 * 2**30
big = GPTConfig.from_depth(20, vocab_size=65536, sequence_len=2**17)
room = card - 2 * count_parameters(big).total
lengths = [2**power for power in range(10, 18)]
figure, axes = plt.subplots(figsize=(4.8, 3.2))
fit_in = {}
for number, n_kv_head in enumerate((big.n_head, 5, 1)):
    one = replace(big, n_kv_head=n_kv_head)
    fit_in[n_kv_head] = [
        room // cache_bytes(one, 1, length, torch.bfloat16) for length in lengths
    ]
    name = f"{n_kv_head} key/value heads" if n_kv_head > 1 else "one for all"
    axes.loglog(lengths, fit_in[n_kv_head], "os^"[number] + "-", base=2, label=name)
axes.set_xticks(lengths[::2], [f"{length // 1024}k" for length in lengths[::2]])
axes.set_yticks([4**k for k in range(1, 8)], [f"{4**k:,}" for k in range(1, 8)])
axes.minorticks_off()
axes.set(xlabel="tokens in each text", ylabel="texts at once")
axes.set_title(f"Depth {big.n_layer} on a card of 80 GiB")
axes.legend()
# sphinx_gallery_start_ignore
k32 = lengths.index(2**15)
describe(
    figure,
    alt="Three falling lines: the longer the texts, the fewer fit. The more heads share, the higher the line.",
    caption=f"The weights take {(card - room) / 2**30:.1f} of the 80 GiB. Of texts with {lengths[k32]:,} tokens, "
    f"{fit_in[10][k32]} fit beside them; {fit_in[5][k32]} if two heads share, and {fit_in[1][k32]} if all do.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What the notes are good for
# ---------------------------
# That is the price. What does it buy? We let the storyteller write, once with notes and once without, and count every
# multiplication and addition in its matrices. The counter is PyTorch's own: it watches each matrix product while it
# happens.

from torch.utils.flop_counter import FlopCounterMode

prompt = [run.tokenizer.bos]
settings = {"temperature": 0, "stop": (), "max_tokens": 64}


def operations(use_cache: bool) -> list[int]:
    """Count the operations of each new token."""
    counts, before = [], 0
    with FlopCounterMode(display=False) as counter:
        for _ in run.engine.stream(prompt, use_cache=use_cache, **settings):
            counts.append(counter.get_total_flops() - before)
            before += counts[-1]
    return counts


with_notes, without = operations(True), operations(False)
one_position = 2 * (
    count_parameters(config).matrices + count_parameters(config).head
)
n = len(with_notes)
print(f"{n} tokens with notes:  {sum(with_notes):16,} operations")
print(f"{n} tokens without:     {sum(without):16,} operations")
print(f"one position, computed: {one_position:16,} operations")
if with_notes != [one_position] * n:
    raise ValueError("with notes, each token should cost one position")
if without != [one_position * (place + 1) for place in range(n)]:
    raise ValueError("without notes, each token should cost the whole text")

# %%
# The agreement is exact. With notes, each new token costs one position, two operations for each weight. Without, it
# costs all positions so far.
#
# One part of the work is not in these counts: the newest token still compares itself with all earlier ones, and adds
# up what it read. That takes four operations for each layer, channel and earlier token, and no notes save it.

import math

compare = [4 * config.n_layer * config.n_embd * (place + 1) for place in range(n)]
figure, axes = plt.subplots(figsize=(4.8, 3.1))
tokens = range(1, n + 1)
axes.plot(tokens, [c / 1e6 for c in without], color="C1", label="without notes")
axes.plot(tokens, [c / 1e6 for c in with_notes], color="C0", label="with notes")
axes.plot(tokens, [c / 1e6 for c in compare], ":", color="C2", label="comparing")
axes.set(xlabel="number of the token", ylabel="million operations", yscale="log")
axes.set_title("The work for one more token")
axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3)
# sphinx_gallery_start_ignore
equal = math.ceil(one_position / (4 * config.n_layer * config.n_embd))
describe(
    figure,
    alt="Against the number of the token: one line climbs, one is level, and a dotted one climbs far below both.",
    caption=f"Token {n} takes {without[-1] / with_notes[-1]:.0f} times the operations without notes; the whole text "
    f"takes {sum(without) / sum(with_notes):.1f} times as many. Comparing costs {compare[-1] / with_notes[-1]:.1%} of "
    f"the work with notes here; it would reach all of it at {equal:,} tokens.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# So one byte of notes saves a lot. At the end of the text:

held = weigh(config, 1, n, torch.float32)
saved = without[-1] - with_notes[-1]
print(f"{held:,} bytes of notes save {saved:,} operations on the last token:")
print(f"{saved / held:,.0f} operations for each byte, and that at every token")
if saved < held:
    raise ValueError("notes should save more than they weigh")

# %%
# Now you
# -------
# - Which weighs more for your use: the model, or the notes of all who talk to it at once? Put in your own numbers for
#   ``card``, depth and length.
# - Keep the notes in one byte a number: what becomes of the number of texts? What would you have to check before you
#   trust the words?
# - The engine claims the memory for the whole text at once. What would be saved, and what would be lost, if it grew
#   with the text?
#
# Next: :doc:`how large a model should be for the work that you can pay <plot_13_budget>`.

# sphinx_gallery_thumbnail_number = 1
