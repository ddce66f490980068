r"""
Listen to what came before
==========================

To guess the next word of a story, a model has to know what was said before. How does it carry that forward? It takes
an average. That is nearly all of attention, and this page takes the rest in three steps: a loop, a table, a choice.
Then it watches a trained model choose.

The ideas are in :doc:`the chapter on attention </nano/model/attention>`. The model is the little storyteller of
:doc:`an earlier page <plot_02_train>`; if this machine does not have it yet, it is trained now.
"""

# %%
# A note from each token
# ----------------------
# We read a story that the model never saw. In the first block, each token writes a note for the others, its *value*.
# At this point nobody has listened to anybody: each note knows its own word and nothing else.
# (:meth:`~nanochat.gpt.CausalSelfAttention.project` makes the notes. It also makes a query and a key of each token:
# scores come from these.)

import torch

from nanochat import tiny
from nanochat.corpora import load_corpus
from nanochat.gpt import rms_norm

run = tiny.load_or_train()
model, tokenizer = run.model, run.tokenizer
held_out = list(load_corpus("stories").documents("val"))


def read(text: str) -> list[int]:
    """Turn a story into tokens, as the model reads it."""
    ids = [tokenizer.bos, *tokenizer.encode(text)]
    return ids[: model.config.sequence_len]


ids = read(held_out[1])
T = len(ids)
with torch.no_grad():
    x = rms_norm(model.embed(torch.tensor([ids])))
    first = model.blocks[0].attention
    _, _, values = first.project(rms_norm(x), model.cos[:T], model.sin[:T])
notes = values[0, :, 0]  # of the first head
print(held_out[1])
print(f"\n{T} tokens, each with a note of {notes.size(1)} numbers")

# %%
# Version one: a loop
# -------------------
# Walk through the story from left to right. Keep a running sum of all notes, and divide it by how many there are. So
# each token gets the plain average of its own note and all before it. Nobody reads the future, because the loop has
# not been there yet.

total, by_loop = torch.zeros(notes.size(1)), []
for so_far, note in enumerate(notes, start=1):
    total = total + note
    by_loop.append(total / so_far)
by_loop = torch.stack(by_loop)

# %%
# Version two: a table of weights
# -------------------------------
# The loop makes everybody wait for the one before. But an average is a sum with weights. So write all weights into a
# triangle: the first row 1, the second row twice 1/2, the third three times 1/3. Then one multiplication of matrices
# does all tokens at once.

from nanochat.gpt import causal_mask

may_read = causal_mask(T, T)
plain = may_read / may_read.sum(dim=1, keepdim=True)
by_table = plain @ notes
for row in plain[:4, :4].tolist():
    print("  ".join(f"{weight:.2f}" if weight else "   ." for weight in row))

# %%
# Version three: softmax of scores
# --------------------------------
# Now let the triangle come out of *scores*. A score may be any number; softmax makes weights of them that add up to
# one. A place that may not be read gets the score minus infinity, and with it the weight 0. If all other scores are
# 0, nobody is preferred. This is the plain average once more.

scores = torch.zeros(T, T).masked_fill(~may_read, -torch.inf)
by_scores = scores.softmax(dim=1) @ notes

# %%
# Three ways, one result? And does the function of the package, :func:`~nanochat.gpt.attend`, agree when all its
# queries and keys are zero?

from nanochat.gpt import attend

nothing = torch.zeros(1, T, 1, notes.size(1))
by_package = attend(nothing, nothing, notes.view(1, T, 1, -1))[0, :, 0]
ways = {"table": by_table, "scores": by_scores, "package": by_package}
for name, way in ways.items():
    if not torch.allclose(way, by_loop, atol=1e-5):
        raise ValueError(f"the {name} does not give what the loop gave")
    print(f"{name:8} the same as the loop, all {way.numel():,} numbers")

# %%
# Which head shall we watch?
# --------------------------
# A plain average treats all words alike. The third version has a handle to change that: raise a score, and its weight
# grows. In the trained model each head makes its own scores, out of queries and keys. To find a head that is easy to
# understand, stand at each place of sixty stories where a name is about to be said *again*. How much weight does each
# head put on the places where this name stood before?

from nanochat.corpora.stories import FRIENDS, HEROES

animals = {**HEROES, **FRIENDS}
pieces = [
    tokenizer.token_bytes(token).decode("utf-8", "replace")
    for token in range(tokenizer.vocab_size)
]
names = {i: p.strip() for i, p in enumerate(pieces) if p.strip() in animals}


def repeats(ids: list[int]) -> list[tuple[int, list[int]]]:
    """Find where a name is about to be said again, and where it stood before."""
    found = []
    for place, token in enumerate(ids[1:]):
        before = ids[: place + 1]
        if token in names and token in before:
            found.append(
                (place, [i for i, old in enumerate(before) if old == token])
            )
    return found


layers, heads = model.config.n_layer, model.config.n_head
looks = []  # the place; the share of the name in a plain average; each head's weight
for text in held_out[:60]:
    some = read(text)
    maps = torch.stack(list(model.attention_maps(torch.tensor([some]))))[:, 0]
    for place, known in repeats(some):
        weight = maps[:, :, place, known].sum(-1)  # maps are (L, H, T, T)
        looks.append((place, len(known) / (place + 1), weight))
mean = torch.stack([weight for _, _, weight in looks]).mean(0)
by_chance = sum(share for _, share, _ in looks) / len(looks)
layer, head = divmod(int(mean.argmax()), heads)
print(f"{len(looks):,} places where a name is about to be said again")
print(f"a plain average has {by_chance:.0%} of that name in it")
print(f"head {head + 1} of layer {layer + 1} gives it {mean[layer, head]:.0%}")
if mean[layer, head] < 2 * by_chance:
    print("that is not much: in this training the names go another way")

# %%
# From the plain average to a choice
# ----------------------------------
# We take the scores that this head makes in our story and turn the handle slowly. (The logarithm of a weight is its
# score, up to a number that is the same for a whole row.) Times 0, all scores are equal: the plain average. Times 1,
# they are what the head was trained to make. Times 4, hardly anything but the favourites is left. In each square a
# row is a token that reads, and a column is a token that is read.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
weights = list(model.attention_maps(torch.tensor([ids])))[layer][0, head]
made = weights.clamp_min(1e-30).log()
turned = {}
for factor in (0, 0.25, 1, 4):
    scores = (factor * made).masked_fill(~may_read, -torch.inf)
    turned[factor] = scores.softmax(dim=1)
if not torch.allclose(turned[0], plain, atol=1e-5):
    raise ValueError("without scores, the head should take the plain average")
if not torch.allclose(turned[1], weights, atol=1e-5):
    raise ValueError("with its own scores, the head should be itself")

shown = 60
figure, panels = plt.subplots(2, 2, figsize=(4.8, 5), sharex=True, sharey=True)
for axes, (factor, table) in zip(panels.flat, turned.items(), strict=True):
    axes.imshow(table[:shown, :shown], vmin=0, vmax=0.15)
    axes.set_title(f"scores times {factor:g}")
    axes.set(xticks=range(0, shown, 20), yticks=range(0, shown, 20))
figure.supxlabel("position of the token that is read", fontsize=9.5)
figure.supylabel("position of the token that reads", fontsize=9.5)
# sphinx_gallery_start_ignore
from nanochat.figures import describe

best = {
    factor: table[20:shown].amax(dim=1).mean() for factor, table in turned.items()
}
describe(
    figure,
    alt=f"Four triangular heat maps of the first {shown} tokens of a story. The first is smooth and fades downwards. "
    "In each further one, single strong places stand out more.",
    caption=f"How much does a token take from the place that it prefers? From position 20 to {shown - 1}, "
    f"{best[0]:.1%} on average in the plain average, {best[1]:.0%} with the head's own scores, and {best[4]:.0%} with "
    "four times the scores. Nothing ever stands right of the diagonal: that is the future.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What the head looks at
# ----------------------
# Now word for word. Here is the story, and each time a name is about to be said again, a line leads from the word
# before it to the words that the head looks at. The thicker the line, the larger the weight. Remember that the model
# has not read the name yet: it is trying to guess it.

from matplotlib.textpath import TextPath

spots, x, y = {}, 0.0, 0.0  # where the middle of each token stands on the page
for i, token in enumerate(ids[1:], start=1):
    width = TextPath((0, 0), pieces[token].strip(), size=10.5).get_extents().width
    gap = 5 if pieces[token].startswith(" ") else 2
    if gap == 5 and x + gap + width > 340:
        x, y, gap = 0.0, y - 28, 0
    spots[i] = (x + gap + width / 2, y)
    x += gap + width

figure, axes = plt.subplots(figsize=(4.8, 4.8))
found = []
for place, known in repeats(ids):
    found.append(float(weights[place, known].sum()))
    for seen in range(1, place):
        weight = float(weights[place, seen])
        if weight > 0.1:
            curve = {"arrowstyle": "-", "connectionstyle": "arc3,rad=0.15"}
            curve |= {"linewidth": 1 + 4 * weight, "alpha": 0.6}
            curve["color"], curve["ls"] = (
                ("C0", "-") if seen in known else ("C3", ":")
            )
            axes.annotate("", spots[seen], spots[place], arrowprops=curve)
for i, (x, y) in spots.items():
    bold = "bold" if ids[i] in names else "normal"
    axes.text(x, y, pieces[ids[i]].strip(), ha="center", va="center", weight=bold)
axes.set(xlim=(-8, 348), ylim=(y - 12, 12))
axes.set_title(f"Layer {layer + 1}, head {head + 1}, before each repeated name")
axes.set_axis_off()
# sphinx_gallery_start_ignore
sure = sum(share > 0.5 for share in found)
describe(
    figure,
    alt="The text of a story. Curved lines lead from words before a name back to earlier mentions of names.",
    caption=f"{len(found)} times a name is about to be said again. At {sure} of these places the head puts more than "
    "half of its weight on that very name. Full lines lead to the name that comes next, dotted ones to other words; "
    "weights below a tenth are left out.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Why not the plain average?
# --------------------------
# Because it forgets by thinning. Each new word makes the share of all others smaller, so a single mention of a name
# fades. Only because our stories say their names again and again do all mentions together hold their small share. A
# head that chooses need not care how much was said in between.

bins = [(20 * i, 20 * i + 20) for i in range(1, 7)]
middles = [(low + high) / 2 for low, high in bins]
inside = [[one for one in looks if low <= one[0] < high] for low, high in bins]
chosen = [
    torch.stack([weight[layer, head] for _, _, weight in some]).mean().item()
    for some in inside
]
average = [sum(share for _, share, _ in some) / len(some) for some in inside]
once = [sum(1 / (place + 1) for place, _, _ in some) / len(some) for some in inside]

figure, axes = plt.subplots(figsize=(4.8, 3))
axes.plot(middles, chosen, "o-", label=f"layer {layer + 1}, head {head + 1}")
axes.plot(middles, average, "s--", label="plain average, all mentions")
axes.plot(middles, once, "^:", label="plain average, one mention")
axes.set(xlabel="tokens read so far", ylabel="weight on the name", ylim=(0, None))
axes.set_title("How much of the name is left?")
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three lines against the length of the text: the head's weight on the name far above the two plain averages.",
    caption=f"Between {bins[0][0]} and {bins[0][1]} tokens a single mention has {once[0]:.1%} of a plain average, "
    f"between {bins[-1][0]} and {bins[-1][1]} it has {once[-1]:.1%}. The head gives the mentions {chosen[0]:.0%} at "
    f"first and {chosen[-1]:.0%} at last.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What the choice is worth
# ------------------------
# We can take the choice away. If all numbers of the query matrices are 0, all scores are 0, and every head takes the
# plain average. If the output matrices are 0 as well, nobody hears anything. How well does the model guess then, on
# stories that it never read?
#
# One word of caution. The model was trained to choose. A model that had to live with plain averages from the start
# would have made more of them. What we measure is how much *this* model leans on its choices.

from copy import deepcopy

from nanochat.evaluate import score_text

averaging, deaf = deepcopy(model), deepcopy(model)
with torch.no_grad():
    for block in averaging.blocks:
        block.attention.query.weight.zero_()
    for block in deaf.blocks:
        block.attention.output.weight.zero_()
bits = {
    "as it was trained": score_text(model, tokenizer, held_out[:30]),
    "plain averages": score_text(averaging, tokenizer, held_out[:30]),
    "nobody listens": score_text(deaf, tokenizer, held_out[:30]),
}
bits = {name: score.bits_per_byte for name, score in bits.items()}
table = next(averaging.attention_maps(torch.tensor([ids])))[0, 0]
if not torch.allclose(table, plain, atol=1e-5):
    raise ValueError("without queries every head should take the plain average")
if not bits["as it was trained"] < bits["plain averages"]:
    raise ValueError("the choice should be worth something")

figure, axes = plt.subplots(figsize=(4.8, 1.9))
axes.barh(list(bits), list(bits.values()), color=["C0", "C1", "C3"])
for name, value in bits.items():
    axes.text(value + 0.05, name, f"{value:.2f}", va="center")
axes.invert_yaxis()
axes.set(xlabel="bits per byte of held-out stories")
axes.set_xlim(0, 1.15 * max(bits.values()))
axes.set_title("Take the choice away")
axes.grid(axis="y", visible=False)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Three bars: short for the model as it was trained, longer with plain averages, longest without attention.",
    caption=f"The same weights three times. With its own choices the model needs {bits['as it was trained']:.2f} bits "
    f"for a byte, with plain averages {bits['plain averages']:.2f}, and {bits['nobody listens']:.2f} if attention "
    "adds nothing.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Watch another head: set ``layer, head`` by hand and run from there. Few are as easy to read as this one.
# - Print ``looks`` for a story with a name changed half-way. Does the head follow the new name?
# - Turn the handle in the model: multiply the weights of a query matrix by 4. Nothing happens. Why? The
#   :doc:`next page <plot_07_scores>` tells.

# sphinx_gallery_thumbnail_number = 2
