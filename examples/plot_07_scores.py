r"""
Keep the scores gentle
======================

Attention compares a query with each key, and softmax makes weights of the scores. In between stands a small division:
by the square root of the head size. It is easily overlooked. Why is it there?

This page measures what happens without it, and then what this model does besides. The ideas are in
:doc:`the chapter on scores </nano/model/attention/scores>`.
"""

# %%
# A walk with D steps
# -------------------
# The score of a query and a key is their dot product: D products, one for each channel of the head, added up. Before
# training the numbers are as good as random. So the sum is a random walk of D steps, and a longer walk strays
# further (:doc:`how far a sum spreads </nanomath/averages>`). We take numbers with a spread (standard deviation) of 1
# and watch the sums.

import torch

generator = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    """Draw random numbers with mean 0 and spread 1."""
    return torch.randn(*shape, generator=generator)


sizes = [2**power for power in range(1, 11)]
dots = {D: (draw(5000, D) * draw(5000, D)).sum(dim=1) for D in sizes}
spread = {D: dot.std().item() for D, dot in dots.items()}
for D in (4, 64, 1024):
    print(f"D = {D:4}   spread {spread[D]:5.1f}   square root of D {D**0.5:5.1f}")
if any(abs(spread[D] / D**0.5 - 1) > 0.1 for D in sizes):
    raise ValueError("the spread should be the square root of the head size")

# %%
# The picture shows it twice: how the sums spread, and how they do after the division. With it, all heads begin alike,
# whatever their size. A line is high where many of the scores lie.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
figure, panels = plt.subplots(2, 1, figsize=(4.8, 4.4))
for axes, divided in zip(panels, (False, True), strict=True):
    for style, D in zip(("-", "--", "-.", ":"), (4, 16, 64, 256), strict=True):
        shown = dots[D] / D**0.5 if divided else dots[D]
        shape = {"histtype": "step", "linewidth": 1.6, "linestyle": style}
        edge = 4 if divided else 40
        shape |= {"bins": 60, "range": (-edge, edge), "density": True}
        axes.hist(shown, label=f"D = {D}", **shape)
    axes.set(ylabel="density")
panels[0].set_title("Dot products as they are")
panels[1].set_title("Divided by the square root of D")
panels[1].set_xlabel("score")
panels[0].legend()
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Two panels with four bell curves each. Above, they become lower and wider with the head size. Below, after "
    "the division, all four lie on one another.",
    caption=f"Five thousand random pairs for each size. As they are, the dot products spread by {spread[4]:.1f}, "
    f"{spread[16]:.1f}, {spread[64]:.1f} and {spread[256]:.1f}. Divided, by {spread[4] / 2:.2f}, "
    f"{spread[16] / 4:.2f}, {spread[64] / 8:.2f} and {spread[256] / 16:.2f}. Mind that the lower axis is ten times "
    "finer.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Softmax without the division
# ----------------------------
# Softmax raises e to the power of each score. So what counts are differences, and large differences leave one winner.
# Here are 24 random queries, each comparing itself with the same 24 random keys.
# :func:`~nanochat.gpt.attention_weights` divides; if we multiply the queries by the square root of D first, that is
# undone.

from nanochat.gpt import attention_weights


def weights(q: torch.Tensor, k: torch.Tensor, divided: bool) -> torch.Tensor:
    """Return the weights of N queries (N, D) for keys (N, S, D): (N, S)."""
    if not divided:
        q = q * q.size(-1) ** 0.5
    return attention_weights(q[:, None, None], k[:, :, None])[:, 0, 0]


columns = (4, 64, 1024)
figure, panels = plt.subplots(2, 3, figsize=(4.8, 3.4), sharex=True, sharey=True)
for i, D in enumerate(columns):
    q, k = draw(24, D), draw(24, D).expand(24, 24, D)
    for j, divided in enumerate((False, True)):
        panels[j, i].imshow(weights(q, k, divided), vmin=0, vmax=0.5)
        panels[j, i].set(xticks=(), yticks=())
    panels[0, i].set_title(f"D = {D}")
    panels[1, i].set_xlabel("24 keys")
panels[0, 0].set_ylabel("not divided\n24 queries")
panels[1, 0].set_ylabel("divided\n24 queries")

S, readers = 32, 400
winner, voices, examples = {}, {}, {}
for D in sizes:
    q, k = draw(readers, D), draw(readers, S, D)
    for divided in (False, True):
        p = weights(q, k, divided)
        winner[D, divided] = p.amax(dim=1).mean().item()
        entropy = -(p * p.clamp_min(1e-30).log()).sum(dim=1)
        voices[D, divided] = entropy.exp().mean().item()
        examples[D, divided] = p
if not winner[1024, True] < 0.3 < 0.9 < winner[1024, False]:
    raise ValueError("without the division, one key should take nearly everything")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Six heat maps of random queries against random keys. Without the division, wide heads have one strong cell in "
    "each row and empty ones beside it. With it, all three sizes are evenly pale.",
    caption=f"Over {readers} random queries with {S} random keys each, the winner takes {winner[4, False]:.0%}, "
    f"{winner[64, False]:.0%} and {winner[1024, False]:.0%} on average without the division, and "
    f"{winner[4, True]:.0%}, {winner[64, True]:.0%} and {winner[1024, True]:.0%} with it.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# How many voices does a query hear? If all 32 keys had the same weight, it would be 32. If one had everything, it
# would be 1. The measure in between is the :doc:`perplexity </nanomath/logarithms>` of the weights: e to the power of
# their mean surprise, if a key were drawn by them. (That mean surprise is called their *entropy*.)

figure, axes = plt.subplots(figsize=(4.8, 2.9))
for divided, style in ((True, "o-"), (False, "s--")):
    label = "divided" if divided else "not divided"
    axes.semilogx(
        sizes, [voices[D, divided] for D in sizes], style, base=2, label=label
    )
axes.set_xticks(sizes[::3], [str(D) for D in sizes[::3]])
axes.set(xlabel="D, channels of a head", ylabel="voices heard", ylim=(0, S))
axes.axhline(1, color="C3", linewidth=1, linestyle=":")
axes.set_title("How many of 32 keys are heard?")
axes.legend(loc="upper right")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two lines against the head size. Divided, the number of voices stays level. Not divided, it "
    "falls towards one.",
    caption=f"With the division {voices[2, True]:.0f} voices are heard at D = 2 and {voices[1024, True]:.0f} at 1024. "
    f"Without it {voices[2, False]:.0f} at D = 2, {voices[64, False]:.1f} at 64 and {voices[1024, False]:.1f} at 1024. "
    "The dotted line is a single voice.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Who can still change his mind?
# ------------------------------
# A winner that takes all is no harm if it is the right one. But these winners were drawn by lot. So training must be
# able to change them, and it works with slopes: how would the result change if a score changed a little? We give each
# key a random value, let every query read, and ask for the gradient of what it read with respect to its scores.

values = draw(readers, S)


def slopes(p: torch.Tensor) -> torch.Tensor:
    """Return the length of the gradient that reaches the scores of each query."""
    scores = p.clamp_min(1e-30).log().requires_grad_()  # softmax gives p again
    (scores.softmax(dim=1) * values).sum().backward()
    return scores.grad.norm(dim=1)


felt = {key: slopes(p) for key, p in examples.items()}
deaf = {key: (length < 0.01).float().mean().item() for key, length in felt.items()}
bins = torch.linspace(-5, 0.3, 40)
figure, panels = plt.subplots(2, 1, figsize=(4.8, 4), sharex=True)
for axes, divided in zip(panels, (False, True), strict=True):
    for style, D in (("-", 16), ("--", 64), (":", 1024)):
        # Whoever feels less than the axis shows is counted at its left end.
        logs = felt[D, divided].clamp_min(10**-4.99).log10()
        shape = {"histtype": "step", "linewidth": 1.6, "linestyle": style}
        axes.hist(logs, bins.tolist(), label=f"D = {D}", **shape)
    axes.axvline(-2, color="C3", linewidth=1, linestyle=":")
    axes.set(ylabel="queries")
panels[0].set_title("Not divided")
panels[1].set_title("Divided")
panels[0].legend(loc="upper left", bbox_to_anchor=(0.06, 1))
ticks = (-5, -4, -3, -2, -1, 0)
panels[1].set_xticks(ticks, ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"])
panels[1].set_xlabel("gradient that reaches the scores of a query")
if not deaf[1024, True] < 0.05 < 0.5 < deaf[1024, False]:
    raise ValueError("without the division, most gradients should have died")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two panels of histograms over a logarithmic axis. With the division all sizes stand together near 0.2. "
    "Without it a long tail reaches down to nothing, the longer the larger the head.",
    caption=f"Left of the dotted line a query feels less than 0.01. Without the division this holds for "
    f"{deaf[16, False]:.0%} of the queries at D = 16, {deaf[64, False]:.0%} at 64 and {deaf[1024, False]:.0%} at 1024. "
    f"With it, for {deaf[1024, True]:.0%} at 1024. Whoever feels less than the axis shows is counted at its left end.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# To be fair: the gradient does not die everywhere. A query that happens to have two winners feels a lot. And on the
# way from the scores back to the query the gradient is multiplied by the keys. Here the division is missing once more,
# a factor of the square root of D. So all in all enough arrives. But half of it comes from a few queries, and most of
# the others have hardly a say in what is learned.


def half_of_all(length: torch.Tensor) -> float:
    """Return the smallest share of queries that has half of the squared gradient."""
    squares = length.square().sort(descending=True).values
    enough = squares.cumsum(0) >= squares.sum() / 2
    return (int(enough.long().argmax()) + 1) / len(length)


for D in (16, 64, 1024):
    with_it, without = half_of_all(felt[D, True]), half_of_all(felt[D, False])
    arrives = D**0.5 * felt[D, False].mean() / felt[D, True].mean()
    print(f"D = {D}: without the division {arrives:.1f} times the gradient arrives")
    print(
        f"    half of it from {without:.1%} of the queries; with it, {with_it:.1%}"
    )
if half_of_all(felt[1024, False]) > half_of_all(felt[1024, True]) / 2:
    raise ValueError("without the division, few queries should have all the say")

# %%
# What this model does besides
# ----------------------------
# So far, this was attention with nothing added. This model adds *QK norm*: queries and keys are rotated to their
# position, and then each is scaled to a root mean square of 1. After that the length of each is the square root of D,
# and a score is the square root of D times the cosine of the angle between them. The division is still there, in
# :func:`~nanochat.gpt.attend`. Let us check each of these on the tiny model and a story.

from nanochat import tiny
from nanochat.corpora import load_corpus
from nanochat.gpt import GPT, apply_rotary, rms_norm

run = tiny.load_or_train()
model, tokenizer = run.model, run.tokenizer
D, root = model.config.head_size, model.config.head_size**0.5
story = next(load_corpus("stories").documents("val"))
ids = torch.tensor([[tokenizer.bos, *tokenizer.encode(story)]])
ids = ids[:, : model.config.sequence_len]
T = ids.size(1)
cos, sin = model.cos[:T], model.sin[:T]

with torch.no_grad():
    x = rms_norm(rms_norm(model.embed(ids)))  # what the first attention reads
    attention = model.blocks[0].attention
    q, k, _ = attention.project(x, cos, sin)
    before = attention.query(x).view(q.shape)
by_hand = rms_norm(apply_rotary(before, cos, sin))
for name, holds in {
    "rotated first, normalised after": torch.allclose(by_hand, q, atol=1e-5),
    "each query as long as the root of D": torch.allclose(
        q.norm(dim=-1), torch.tensor(root), atol=1e-3
    ),
    "and each key": torch.allclose(k.norm(dim=-1), torch.tensor(root), atol=1e-3),
}.items():
    if not holds:
        raise ValueError(f"not so: {name}")
    print(name)
print(f"so with D = {D} no score is ever beyond {root:g} or {-root:g}")

# %%
# What is that good for? The matrix that makes the queries is learned, and nothing keeps it small. Suppose that it
# grows. Without the norm, the scores grow with it, and the softmax becomes as hard as in the pictures above. With the
# norm, nothing happens at all. We try both with the weights of the tiny model's first block.

factors = [2**power for power in range(-2, 8)]
largest = {"without QK norm": [], "with QK norm": []}
with torch.no_grad():
    keys = apply_rotary(attention.key(x).view(q.shape), cos, sin)
    for factor in factors:
        grown = apply_rotary(factor * before, cos, sin)
        largest["without QK norm"].append(attention_weights(grown, keys))
        largest["with QK norm"].append(
            attention_weights(rms_norm(grown), rms_norm(keys))
        )
largest = {
    name: [table[0, :, T // 2 :].amax(dim=-1).mean().item() for table in tables]
    for name, tables in largest.items()
}
held = largest["with QK norm"]
if max(held) - min(held) > 1e-3:
    raise ValueError("with QK norm the size of the query matrix should not matter")

figure, axes = plt.subplots(figsize=(4.8, 2.9))
for style, (name, line) in zip(("s--", "o-"), largest.items(), strict=True):
    colour = "C0" if name == "with QK norm" else "C1"
    axes.semilogx(factors, line, style, base=2, color=colour, label=name)
axes.set_xticks(factors[::3], [f"{factor:g}" for factor in factors[::3]])
axes.set(xlabel="query matrix, times", ylabel="largest weight", ylim=(0, 1.02))
axes.set_title("What if the query matrix grows?")
axes.legend(loc="center right")
# sphinx_gallery_start_ignore
one = factors.index(1)
describe(
    figure,
    alt="Two lines against the factor. Without the norm the largest weight climbs towards one, with it the line is "
    "level.",
    caption=f"The mean of the largest weight over the second half of a story, all heads. With QK norm it is "
    f"{held[one]:.2f} whatever the matrix is multiplied with. Without it, the same matrices give "
    f"{largest['without QK norm'][one]:.2f}, and {largest['without QK norm'][-1]:.2f} once the query matrix is "
    f"{factors[-1]} times as large.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# So the norm guards against long vectors. The division is needed as much as before: the dot product of two vectors as
# long as the root of D is D times a cosine. Together they set the *range* of the scores for good. Is it wide enough?
# Here are all scores of the story, in a fresh model and in the trained one. The queries and keys of a fresh model
# point in random directions, and random directions in many dimensions have small cosines. Training may turn a query
# towards a key or away from it.


@torch.no_grad()
def all_scores(model: GPT) -> list[torch.Tensor]:
    """Return the scores of each layer that the mask lets through."""
    x, found = rms_norm(model.embed(ids)), []
    seen = torch.ones(T, T, dtype=torch.bool).tril()
    for block in model.blocks:
        q, k, _ = block.attention.project(rms_norm(x), cos, sin)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / root
        found.append(scores[0, :, seen].flatten())
        x = block(x, cos, sin)
    return found


fresh = torch.cat(all_scores(GPT(model.config)))
layers = all_scores(model)
figure, axes = plt.subplots(figsize=(4.8, 3.1))
shape = {"bins": 80, "range": (-root, root), "density": True}
axes.hist(fresh, color="C1", alpha=0.35, label="fresh, all layers", **shape)
for number, scores in enumerate(layers):
    style = {
        "color": f"C{(0, 2, 4)[number % 3]}",
        "linestyle": ("-", "--", ":")[number % 3],
    }
    axes.hist(
        scores,
        histtype="step",
        linewidth=1.6,
        label=f"trained, layer {number + 1}",
        **style,
        **shape,
    )
for bound in (-root, root):
    axes.axvline(bound, color="C3", linewidth=1.5)
axes.set(xlabel="score", ylabel="density")
axes.set_title("All scores of a story")
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
whole = torch.cat(layers)
if whole.abs().max() > root + 1e-3:
    raise ValueError("a score is beyond the square root of the head size")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Histograms between two upright lines. The fresh model's scores stand close around zero, those of the trained "
    "layers reach further out, and none crosses the lines.",
    caption=f"Fresh scores spread by {fresh.std():.2f}: as gentle as the division alone would make them. Trained ones "
    f"spread by {min(s.std() for s in layers):.1f} to {max(s.std() for s in layers):.1f}, depending on the layer. The "
    f"largest of all is {whole.max():.1f}. The red lines are the bounds, at {-root:g} and {root:g}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Give the random numbers a spread of 2. By what would you have to divide now?
# - Divide by D instead of its square root. How many voices are heard at D = 1024? Is that better?
# - Draw the last picture for another head size: :class:`~nanochat.gpt.GPTConfig` with another ``n_head``, fresh.
#
# Next: :doc:`how a query knows where a key stands <plot_08_rotary>`.

# sphinx_gallery_thumbnail_number = 2
