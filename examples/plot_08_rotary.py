r"""
Tell near from far
==================

A query meets a key. Does the key stand one word back, or fifty? The numbers of a token say what it is and not where
it is. So before they meet, both are *turned*, like the hands of clocks, the further the later they stand.

This page turns the hands one by one, looks at what a query can tell from them, and stops the clocks of a trained
model. The ideas are in :doc:`the chapter on positions </nano/model/positions>`.
"""

# %%
# Three clocks
# ------------
# The channels of a head are taken in pairs, and each pair is the tip of a hand. :func:`~nanochat.gpt.rotary_tables`
# says how far each hand is turned at each position, :func:`~nanochat.gpt.apply_rotary` turns it. We let every hand
# begin at three o'clock and watch it over the first eight positions.

import math

import torch

from nanochat.gpt import apply_rotary, rotary_tables

D, T = 64, 256
cos, sin = rotary_tables(T, D)
start = torch.zeros(1, T, 1, D)
start[..., : D // 2] = 1  # the first of each pair is 1, its partner 0
hands = apply_rotary(start, cos, sin)[0, :, 0].view(T, 2, D // 2)  # partners

# %%
# A point on a clock face is (right, up). So a hand that goes down first runs *clockwise*, and this one does. The first
# pair turns by one radian at each position, which is a bit less than a sixth of the way round. Each further pair is
# slower than the one before.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
pairs = (0, 6, 12)
figure, panels = plt.subplots(1, 3, figsize=(4.8, 2.0))
circle = torch.linspace(0, 2 * math.pi, 100)
for axes, pair in zip(panels, pairs, strict=True):
    axes.plot(circle.cos(), circle.sin(), color="C0", alpha=0.3, linewidth=1)
    for position in range(8):
        right, up = hands[position, :, pair].tolist()
        axes.plot((0, right), (0, up), color="C0", alpha=1 - 0.1 * position)
        if pair == 0 or position in (0, 7):  # elsewhere they stand too close
            axes.text(1.22 * right, 1.22 * up, position, ha="center", va="center")
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    axes.set_title(f"pair {pair + 1}")
    axes.set_axis_off()
angle = torch.atan2(hands[:, 1], hands[:, 0]).rad2deg()  # up is positive
if not (angle[1, 0] < 0 and abs(angle[1, 0] + 57.3) < 0.1):
    raise ValueError("the first hand should turn one radian, clockwise")
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Three clock faces, each with eight numbered hands. In the first they go all the way round, in the second they "
    "cover a part, in the third they lie close together.",
    caption=f"Eight positions, numbered from 0. From one position to the next the hand of pair {pairs[0] + 1} turns by "
    f"{-angle[1, pairs[0]]:.1f} degrees, that of pair {pairs[1] + 1} by {-angle[1, pairs[1]]:.1f}, and that of pair "
    f"{pairs[2] + 1} by {-angle[1, pairs[2]]:.1f}, all clockwise.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# All clocks at once
# ------------------
# Now all pairs over many positions. The colour says how far right the hand points: strong at three o'clock, pale at
# nine. The fast hands at the top flicker, the slow ones at the bottom hardly move over so short a text.

figure, axes = plt.subplots(figsize=(4.8, 3.2))
axes.imshow(hands[:, 0].T, aspect="auto", vmin=-1, vmax=1)
axes.set_yticks((0, 7, 15, 23, 31), (1, 8, 16, 24, 32))
axes.set(xlabel="position, in tokens", ylabel="pair of channels")
axes.set_title("Where the hands point")
period = [2 * math.pi * 10_000 ** (2 * pair / D) for pair in range(D // 2)]
turns = math.radians(-angle[1, -1].item()) * (T - 1) / (2 * math.pi)
if abs(turns - (T - 1) / period[-1]) > 1e-5:
    raise ValueError("the slowest hand does not turn as the formula says")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="A heat map of positions against pairs of channels: narrow upright stripes at the top that become wider and "
    "wider downwards and end in a plain area.",
    caption=f"The hand of the first pair is back after {period[0]:.1f} tokens, that of pair 8 after {period[7]:.0f}, "
    f"that of pair 16 after {period[15]:.0f}, and the last one after {period[-1]:,.0f}. Over these {T} positions the "
    f"last one turns {turns:.3f} of the way round.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Only the distance counts
# ------------------------
# Take one random query and one random key. Place the query at each position and the key at each position, turn them,
# and compute the score. If the score knew where the two stand, this picture could look like anything. But it is made
# of stripes: along a diagonal the distance is the same, and so is the score.

generator = torch.Generator().manual_seed(4)
query, key = torch.randn(2, D, generator=generator)


def turned(
    vector: torch.Tensor, first: int = 0, positions: int = 48
) -> torch.Tensor:
    """Place a vector at some positions and turn it accordingly: (positions, D)."""
    table = [part[first:] for part in rotary_tables(first + positions, D)]
    return apply_rotary(vector.expand(1, positions, 1, D), *table)[0, :, 0]


scores = (
    turned(query) @ turned(key).T / D**0.5
)  # (where the query is, where the key)
stripes = [scores.diagonal(offset) for offset in range(-47, 48)]
uneven = max((stripe.max() - stripe.min()).item() for stripe in stripes)
later = turned(query, 1000) @ turned(key, 1000).T / D**0.5
if uneven > 1e-4 or not torch.allclose(scores, later, atol=1e-3):
    raise ValueError("the score should depend on the distance alone")
print(f"the scores lie between {scores.min():.2f} and {scores.max():.2f}")
print("along a diagonal they are the same to 4 decimals")
print("a thousand positions later they are the same to 3 decimals")

figure, axes = plt.subplots(figsize=(4.8, 3.7))
image = axes.imshow(scores)
figure.colorbar(image, ax=axes, label="score")
axes.set(xlabel="position of the key", ylabel="position of the query")
axes.set_title("One query, one key, everywhere")
back, ahead = scores[20, 15].item(), scores[15, 20].item()
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="A square heat map that consists of stripes parallel to its diagonal.",
    caption=f"All {scores.numel():,} scores, of which no two on the same diagonal differ by as much as 0.0001. The "
    "picture is not its own mirror image: with the key five positions before the query the score is "
    f"{back:.2f}, five positions after it {ahead:.2f}. So the turning also tells the one direction from the other.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Why so many clocks?
# -------------------
# Suppose that a query looks for its own like: the key is a copy of it. How well do the two fit, at each distance? With
# a single clock the answer swings. The hand comes round, and a far key looks as if it stood here. Many clocks seldom
# agree on a wrong answer.

copies = torch.randn(200, D, generator=generator)
first_half = torch.arange(D) % (D // 2)
alike = {}
for name, chosen in (
    ("the first pair alone", first_half == 0),
    ("pairs 1 to 16", first_half < 16),
    ("all 32 pairs", first_half < 32),
):
    some = copies * chosen
    placed = apply_rotary(some[:, None, None].expand(-1, T, 1, -1), cos, sin)[
        :, :, 0
    ]
    product = (placed * some[:, None]).sum(-1)  # at position 0 nothing is turned
    alike[name] = (product.sum(0) / some.square().sum()).tolist()

figure, axes = plt.subplots(figsize=(4.8, 3.2))
for name, style in zip(reversed(alike), ("-", "--", ":"), strict=True):
    width = 0.9 if style == ":" else 1.8
    axes.plot(range(120), alike[name][:120], style, linewidth=width, label=name)
axes.axhline(0, color="C3", linewidth=1)
axes.set(xlabel="distance, in tokens", ylabel="fit of a copy", ylim=(-1.1, 1.1))
axes.set_title("How well does a copy fit?")
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=8.5)
one, many = alike["the first pair alone"], alike["all 32 pairs"]
fooled = max(range(1, T), key=lambda distance: one[distance])
if not (many[0] > 0.999 and many[1] > many[10] > many[100]):
    raise ValueError("the further away, the less a copy should fit")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three lines against the distance. A single pair swings between plus and minus one for ever. All pairs "
    "together fall quickly at first and slowly and unevenly later.",
    caption=f"A mean over {len(copies)} random vectors; 1 is a perfect fit. The first pair alone takes distance "
    f"{fooled} for none at all: the fit is {one[fooled]:.4f}. All pairs together give {many[1]:.2f} at distance 1, "
    f"{many[10]:.2f} at 10 and {many[100]:.2f} at 100.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# A trained model without its clocks
# ----------------------------------
# The tiny model was trained with these clocks. What are they worth to it? We stop them: no query and no key is turned
# any more. And we let them run backwards. Then the distances are still there to be read, only with the wrong sign.

from copy import deepcopy

from nanochat import tiny
from nanochat.corpora import load_corpus
from nanochat.evaluate import score_text
from nanochat.gpt import GPT

run = tiny.load_or_train()
model, tokenizer = run.model, run.tokenizer
documents = load_corpus("stories").documents("val")
texts = [text for text, _ in zip(documents, range(12), strict=False)]


def bits(model: GPT) -> float:
    """Return the bits per byte that a model needs for the stories."""
    return score_text(model, tokenizer, texts).bits_per_byte


def stopped(pairs: slice = slice(None)) -> GPT:
    """Copy the model and stop some of its clocks."""
    other = deepcopy(model)
    other.cos[:, pairs], other.sin[:, pairs] = 1, 0
    return other


backwards = deepcopy(model)
backwards.sin = -backwards.sin

# %%
# The sign of the turning is a convention. One could as well turn the other way, if one also exchanged the two partners
# of each pair: their channels in the matrices of the queries and of the keys. So a fourth model gets both changes. It
# should be the first one again.

both = deepcopy(backwards)
with torch.no_grad():
    for block in both.blocks:
        for matrix in (block.attention.query.weight, block.attention.key.weight):
            halves = matrix.view(-1, 2, both.config.head_size // 2, matrix.size(1))
            matrix.copy_(halves.flip(1).reshape(matrix.shape))

tried = {
    "as it was trained": bits(model),
    "clocks stopped": bits(stopped()),
    "clocks backwards": bits(backwards),
    "backwards, partners\nexchanged": bits(both),
}
plain, still, wrong, mended = tried.values()
if abs(mended - plain) > 1e-3:
    raise ValueError("turning the other way with exchanged partners is the same")
if not (plain < still and plain < wrong):
    raise ValueError("the clocks should be worth something to the model")

figure, axes = plt.subplots(figsize=(4.8, 2.4))
axes.barh(list(tried), list(tried.values()), color=["C0", "C3", "C1", "C0"])
for name, value in tried.items():
    axes.text(value + 0.02, name, f"{value:.2f}", va="center")
axes.invert_yaxis()
axes.set(xlabel="bits per byte", xlim=(0, 1.15 * max(tried.values())))
axes.set_title("What are the clocks worth?")
axes.grid(axis="y", visible=False)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Four bars. Short as it was trained, long with stopped clocks and with clocks that run backwards, short again "
    "with exchanged partners.",
    caption=f"On {len(texts)} stories that it never read the model needs {plain:.2f} bits for a byte, {still:.2f} with "
    f"stopped clocks and {wrong:.2f} with clocks that run backwards. If the partners are exchanged as well, it is "
    f"{mended:.2f} again.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# That is why the direction must be written down with every model: its weights are of no use to a program that turns
# the other way.
#
# Which clocks does it read?
# --------------------------
# At last we stop the clocks four at a time. Our stories are short, and the slow hands have hardly moved at their end.

size = model.config.head_size // 2
step = size // 8
groups = range(0, size, step)
costs = [bits(stopped(slice(first, first + step))) - plain for first in groups]
base, width = model.config.rope_theta, model.config.head_size
round_trip = [2 * math.pi * base ** (2 * first / width) for first in groups]
figure, axes = plt.subplots(figsize=(4.8, 2.9))
axes.bar(range(8), costs, color="C0")
axes.set_xticks(range(8), [f"{trip:,.0f}" for trip in round_trip], fontsize=8.5)
axes.set(
    xlabel="tokens for one turn of the group's first hand",
    ylabel="bits per byte more",
)
axes.set_title(f"The cost of stopping {step} of {size} clocks")
axes.grid(axis="x", visible=False)
longest = max(len(tokenizer.encode(text)) + 1 for text in texts)
most = max(range(8), key=lambda group: costs[group])
# sphinx_gallery_start_ignore
slow = sum(
    cost for cost, trip in zip(costs, round_trip, strict=True) if trip > 4 * longest
)
describe(
    figure,
    alt="Eight bars, one for each group of four pairs from the fastest to the slowest. The fast groups cost something, "
    "the slow ones next to nothing.",
    caption=f"Stopping the {step} pairs that begin with {round_trip[most]:,.0f} tokens a turn costs {costs[most]:.3f} "
    f"bits per byte. The groups that need more than four times the longest of these stories ({longest} tokens) cost "
    f"{abs(slow):.3f} all together.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Draw the fit of a copy with a base of 100 instead of 10,000: ``rotary_tables(T, D, theta=100)``. What is gained near
#   by, and what is lost far away?
# - Stop all clocks but the slow ones. Does the model still tell a story?
# - Let the model read a story whose first words were cut off. The distances stay. Do the guesses?
#
# Next: :doc:`why a block adds and does not replace <plot_09_residual>`.

# sphinx_gallery_thumbnail_number = 2
