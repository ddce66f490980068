r"""
Teach a model to tell stories
=============================

A model starts out knowing nothing at all: every next word is equally likely to it. A few minutes later it tells
stories. What happens in between?

This page trains one, on the machine that built this site. First a few dozen steps openly, then the rest. Then it
asks the questions that an honest reader would ask. Does it keep the story straight? Has it just memorised? What does
it look at? And why are the numbers so good? The ideas behind it are in
:doc:`the chapter on training </nano/training/index>`.
"""

# %%
# The stories
# -----------
# A grammar of our own writes them (:mod:`nanochat.corpora.stories`). It picks a plot, an animal, a friend, a toy, and
# tells what happens in one of many ways. Because it knows what it told, it can also *check* a story: is the toy that
# was found the one that was lost? That will be useful.

from nanochat.corpora import load_corpus

corpus = load_corpus("stories")
train, held_out = list(corpus.documents("train")), list(corpus.documents("val"))
print(f"{len(train):,} stories to learn from, {len(held_out):,} kept aside\n")
print(held_out[0])

# %%
# Everything before the first step
# --------------------------------
# :func:`~nanochat.tiny.start_tiny` makes a tokenizer from the stories, a plan, and a model with fresh weights. The
# plan says what will happen before it happens.

from nanochat import tiny
from nanochat.common import detect_runtime

state, tokenizer = tiny.start_tiny(detect_runtime("cpu", "float32"))
model, plan = state.model, state.plan
print(plan.describe())

# %%
# A fresh model gives each of the V tokens the same chance, one in V. Its loss, the surprise at the right answer, is
# therefore :math:`\ln V` whatever the text. If it is not, something is wrong before it began.

import math

import torch

ids = torch.tensor([[tokenizer.bos, *tokenizer.encode(held_out[0])]])
with torch.no_grad():
    first_loss = model(ids[:, :-1], ids[:, 1:]).item()
expected = math.log(plan.model.vocab_size)
print(f"loss before the first step: {first_loss:.4f}")
print(f"ln({plan.model.vocab_size}) = {expected:.4f}")
if abs(first_loss - expected) > 1e-3:
    raise ValueError("a fresh model should find every token equally likely")

# %%
# A few dozen steps
# -----------------
# One step is: read a batch, measure the surprise, ask how each weight would have had to be different, and move all of
# them a little. :func:`~nanochat.train.fit` repeats it. What it measures at each step is kept in ``state.history``.

from nanochat.train import fit

few = tiny.MOMENTS[1]
fit(state, until=few, progress=False)
for metrics in [*state.history[::5], state.history[-1]]:
    print(f"step {metrics.step:3}   loss {metrics.loss:.3f}")
if state.history[-1].loss > 0.6 * expected:
    raise ValueError(
        f"after {few} steps the loss should have fallen well below ln V"
    )

# %%
# So few steps are enough to know which words there are, and not enough to know what to say with them. Let us ask it
# for a story. (:class:`~nanochat.engine.Engine` turns a model into text; :doc:`the next page <plot_03_generate>` is
# about it.)

from nanochat.engine import Engine

young = Engine(state.model, tokenizer).complete("", 60, seed=1, **tiny.SAMPLING)
print(young[0])

# %%
# All the steps
# -------------
# :func:`~nanochat.tiny.load_or_train` does the same for the whole plan, and saves the model. When this page is built
# again it loads what it saved. The model, its tokenizer and the record of its training are together in ``run``.

run = tiny.load_or_train()
record = run.record
print(f"{len(record.history)} steps in {record.dtype}")

# %%
# Our few steps above began from the same seed and read the same stories in the same order. So they must be the
# beginning of that training: if the saved model came from other stories or other code, this is where the page would
# stop.

ours = [metrics.loss for metrics in state.history]
theirs = [metrics["loss"] for metrics in record.history]
apart = sum(abs(a - b) for a, b in zip(ours, theirs, strict=False)) / few
print(f"on average, the losses are {apart:.4f} apart (precisions differ)")
if run.tokenizer.fingerprint != tokenizer.fingerprint or apart > 0.05:
    raise ValueError(f"{tiny.tiny_dir()} holds a model of other code: remove it")

# %%
# Here is the whole way. Above, the loss at each step, on the stories that it learns from. Below, the bits per byte of
# stories that it never reads.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
figure, (above, below) = plt.subplots(2, 1, figsize=(4.8, 4.6), sharex=True)
above.plot(range(1, len(theirs) + 1), theirs, label="the whole training")
above.plot(range(1, few + 1), ours, "--", label="our few steps")
above.axhline(expected, color="C3", linewidth=1, linestyle=":")
above.text(len(theirs), expected, "ln V", color="C3", va="bottom", ha="right")
above.set(ylabel="loss, nats per token", ylim=(0, 1.15 * expected))
above.set_title("What the model learns from")
above.legend()
moments = [score["step"] for score in record.scores]
bits = [score["bits_per_byte"] for score in record.scores]
below.plot(moments, bits, "o-", color="C2")
for step, value in zip(moments, bits, strict=True):
    below.annotate(
        f"{value:.2f}", (step, value), (5, 5), textcoords="offset points"
    )
below.set(xlabel="step", ylabel="bits per byte", ylim=(0, 1.15 * bits[0]))
below.set_title("How well it does on stories that it never saw")
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Two curves that fall steeply at first and slowly later: the training loss, and bits per byte on new stories.",
    caption=f"The loss starts at ln V = {expected:.2f} and ends at {theirs[-1]:.2f}. Held-out stories cost "
    f"{bits[0]:.2f} bits per byte before training, {bits[1]:.2f} after {moments[1]} steps and {bits[-1]:.3f} after "
    f"{moments[-1]}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Four moments
# ------------
# The same model, asked for a story at four moments of its training. Each name, toy and food has a colour of its own
# within a story. In a story that is kept straight, few colours come back again and again. Where the model loses the
# thread, the colours change.

import html
import re

from nanochat.corpora.stories import FOODS, FRIENDS, HEROES, THINGS, check_story
from nanochat.figures import SERIES

cast = re.compile(r"\b(" + "|".join([*HEROES, *FRIENDS, *THINGS, *FOODS]) + r")\b")


class Html(str):
    """Text that a page shows as HTML."""

    def _repr_html_(self):
        return self


def coloured(text: str) -> str:
    """Give each name a colour at its first mention, and the same one later."""
    order = list(dict.fromkeys(cast.findall(text)))
    span = '<span class="nc-token nc-{}" style="padding:0 0.25rem">{}</span>'
    return cast.sub(
        lambda name: span.format(
            SERIES[order.index(name[0]) % len(SERIES)], name[0]
        ),
        html.escape(text, quote=False),
    )


paragraph = "<p><strong>step {}</strong><br>{}</p>"
Html(
    "".join(
        paragraph.format(moment["step"], coloured(moment["texts"][0]))
        for moment in record.samples
    )
)

# %%
# Does it keep the story straight?
# --------------------------------
# One good story proves little. So we sample sixty and let the grammar read every one. Its judgement is strict: one
# wrong word, one name that changes, and the story counts as broken. To know that the judge can be trusted, we first
# show it sixty real stories, and then the same ones with the names mixed up.

sampled = run.engine.complete("", 60, seed=7, **tiny.SAMPLING)
animals = {**HEROES, **FRIENDS}


def mix_up(text: str) -> str:
    """Replace the last name of a story by that of somebody else."""
    last = [found for found in cast.finditer(text) if found[0] in animals][-1]
    other = next(name for name in animals if name not in text)
    return text[: last.start()] + other + text[last.end() :]


def straight(texts: list[str]) -> list[bool]:
    """Say of each story whether names, toys and foods stay what they were."""
    return [check_story(text).consistent for text in texts]


if not all(straight(held_out[:60])):
    raise ValueError("the judge should accept every real story")
if any(straight([mix_up(text) for text in held_out[:60]])):
    raise ValueError("the judge should accept no story with a wrong name")

verdicts = {
    f"step {few}": straight(young),
    f"step {moments[-1]}": straight(sampled),
}
figure, both = plt.subplots(1, 2, figsize=(4.8, 2.1))
for axes, (title, good) in zip(both, verdicts.items(), strict=True):
    for number, fine in enumerate(sorted(good, reverse=True)):
        square = {"markersize": 9, "markeredgecolor": "C0"}
        square["color"] = "C0" if fine else "none"
        axes.plot(number % 10, -(number // 10), "s", **square)
    axes.set(xlim=(-0.7, 9.7), ylim=(-5.7, 0.7))
    axes.set_title(f"{title}: {sum(good)} of {len(good)}")
    axes.set_axis_off()
# sphinx_gallery_start_ignore
early, late = (sum(good) for good in verdicts.values())
describe(
    figure,
    alt=f"Two fields of sixty squares. {early} are filled in the first field and {late} in the second.",
    caption=f"Each square is a sampled story. It is filled if the story is straight from its first word to its last: "
    f"{early} of 60 early on, {late} of 60 at the end.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# A broken story is mostly right. Counted by sentences, the picture is milder. And here is what the judge finds fault
# with, in the first story that it did not accept.

checks = [check_story(text) for text in sampled]
sentences = sum(check.sentences for check in checks)
parsed = sum(check.parsed for check in checks)
share = parsed / sentences
print(f"{parsed} of {sentences} sentences are of the grammar: {share:.1%}\n")
for text, check in zip(sampled, checks, strict=True):
    if not check.consistent:
        print(text, "", *check.problems, sep="\n")
        break

# %%
# Has it memorised?
# -----------------
# Perhaps it only recites. So we look for the training story that is most like each sample (most like: sharing the
# largest part of its runs of three words). In the pairs below, what is *not* in the neighbour stands out.

import difflib

from nanochat.corpora.stories import StoryIndex

index = StoryIndex(train)
shade = "color-mix(in srgb, var(--nc-amber, #8c5500) 25%, transparent)"


def marked(text: str, other: str) -> str:
    """Mark the words that the other story does not have in the same place."""
    words, out = text.split(), []
    match = difflib.SequenceMatcher(None, words, other.split(), autojunk=False)
    for what, start, end, _, _ in match.get_opcodes():
        piece = html.escape(" ".join(words[start:end]), quote=False)
        own = f'<span style="background:{shade}">{piece}</span>'
        out.append(piece if what == "equal" or not piece else own)
    return " ".join(out)


columns = "repeat(auto-fit, minmax(15rem, 1fr))"
grid = f"display:grid;grid-template-columns:{columns};gap:0.5rem 2rem"
pairs = []
for text in sampled[:3]:
    near = index.nearest(text)
    pairs.append(
        f'<div style="{grid}">'
        f"<div><small>sampled</small><br>{marked(text, near.text)}</div>"
        f"<div><small>its neighbour, {near.share:.0%} shared</small><br>"
        f"{html.escape(near.text, quote=False)}</div></div>"
    )
Html("<hr>".join(pairs))

# %%
# Are the sixty new? And is a neighbour that shares half of the runs suspicious? To judge that, we ask the same of
# stories that *cannot* be memorised: the held-out ones. They have close neighbours too, since all stories come from
# one grammar. Only what lies beyond theirs would be recited.

known = set(train)
new = [text for text in sampled if text not in known]
shares = {
    "sampled from the model": [index.nearest(text).share for text in sampled],
    "held-out, never seen": [index.nearest(text).share for text in held_out[:60]],
}
middle = {name: sorted(values)[len(values) // 2] for name, values in shares.items()}

figure, axes = plt.subplots(figsize=(4.8, 2.8))
bins = [step / 20 for step in range(21)]
first, second = shares
axes.hist(shares[first], bins, color="C0", alpha=0.5, label=first)
axes.hist(
    shares[second], bins, color="C1", histtype="step", linewidth=1.8, label=second
)
axes.axvline(1, color="C3", linestyle=":", linewidth=1)
axes.text(0.99, axes.get_ylim()[1], "recited ", color="C3", ha="right", va="top")
axes.set(xlabel="share of the nearest training story", ylabel="stories")
axes.set(title="How near is the nearest?", xlim=(0, 1.02))
axes.legend(loc="upper left")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two overlapping histograms of how much a story shares with its nearest training story.",
    caption=f"{len(new)} of {len(sampled)} samples are new. The middle one shares {middle[first]:.0%} with its "
    f"neighbour; the middle held-out story shares {middle[second]:.0%}. A recited story would stand at 100%.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What does it look at?
# ---------------------
# To write a name again, the model must look back at where the name stood. Attention is the part that looks back. So
# in every held-out story we stand just before a name is said again, and ask each head how much of its attention rests
# on the earlier mentions of that very name. :meth:`~nanochat.gpt.GPT.attention_maps` tells.

model, encode = run.model, run.tokenizer.encode
layers, heads = run.plan.model.n_layer, run.plan.model.n_head
names = {}
for token in range(run.tokenizer.vocab_size):
    piece = run.tokenizer.token_bytes(token).decode("utf-8", "replace").strip()
    if piece in animals:
        names[token] = piece


def read(text: str) -> list[int]:
    """Turn a story into tokens, as the model reads it."""
    return [run.tokenizer.bos, *encode(text)][: run.plan.model.sequence_len]


def repeats(ids: list[int]) -> list[tuple[int, list[int]]]:
    """Find where a name is about to be said again, and where it stood before."""
    found = []
    for place in range(1, len(ids)):
        name = names.get(ids[place])
        before = [i for i in range(place) if name and names.get(ids[i]) == name]
        if before:
            found.append((place - 1, before))
    return found


looks, by_chance, places = torch.zeros(layers, heads), 0.0, 0
for text in held_out[:100]:
    ids = read(text)
    maps = torch.stack(list(model.attention_maps(torch.tensor([ids]))))[:, 0]
    for place, before in repeats(ids):
        looks += maps[:, :, place, before].sum(-1)  # maps are (L, H, T, T)
        by_chance += len(before) / (place + 1)
        places += 1
looks, by_chance = looks / places, by_chance / places
layer, head = divmod(int(looks.argmax()), heads)
if looks[layer, head] > 2 * by_chance:
    print("at least one head has learned to look back at the name itself")
else:
    print("in this training no head rests on the name itself: it goes another way")

figure, axes = plt.subplots(figsize=(4.8, 2.6))
axes.imshow(looks, vmin=0, vmax=1, aspect="auto")
for i in range(layers):
    for j in range(heads):
        weight = "bold" if (i, j) == (layer, head) else "normal"
        axes.text(
            j, i, f"{looks[i, j]:.0%}", ha="center", va="center", weight=weight
        )
axes.set_xticks(range(heads), [f"head {j + 1}" for j in range(heads)])
axes.set_yticks(range(layers), [f"layer {i + 1}" for i in range(layers)])
axes.set_title("Attention on the name that is about to be said")
axes.grid(False)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt=f"A table of {layers} layers by {heads} heads. The strongest cell is layer {layer + 1}, head {head + 1}.",
    caption=f"Just before a name is repeated, head {head + 1} of layer {layer + 1} spends {looks[layer, head]:.0%} of "
    f"its attention on that name's earlier mentions. Spread evenly, it would be {by_chance:.0%}. Mean over {places:,} "
    "repeated names.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Here is that head at work in one story. It stands before the last repeated name, the one in brackets, which the
# model has not seen yet. The stronger a word is coloured, the more the head looks at it.

text = max(held_out[:100], key=lambda text: len(repeats(read(text))))
ids = read(text)
weights = list(model.attention_maps(torch.tensor([ids])))[layer][0, head]
place, before = repeats(ids)[-1]
next_name = names[ids[place + 1]]

shaded = []
for token, weight in zip(
    ids[1 : place + 1], weights[place, 1:].tolist(), strict=False
):
    piece = run.tokenizer.token_bytes(token).decode("utf-8", "replace")
    share = round(40 * weight / weights[place].max().item())
    colour = f"color-mix(in srgb, var(--nc-accent, #0b6b73) {share}%, transparent)"
    style = f"background:{colour};border-radius:3px"
    shaded.append(f'<span style="{style}">{html.escape(piece, quote=False)}</span>')
Html(f"<p>{''.join(shaded)} <strong>[{next_name}]</strong></p>")

# %%
# And from every place at once: a row for each token that is being read, a column for each token that it may look at.
# The future is empty, as it must be. The upright stripes are names that are looked at again and again.

if weights.triu(1).any() or not torch.allclose(
    weights.sum(-1), torch.ones(len(ids))
):
    raise ValueError(
        "a position looked into the future, or its weights do not sum to 1"
    )

figure, axes = plt.subplots(figsize=(4.8, 4.8))
axes.imshow(weights, vmin=0, vmax=0.4)
mentions = [i for i, token in enumerate(ids) if token in names]
labelled = [i for i, j in zip(mentions, [-9, *mentions], strict=False) if i - j > 3]
axes.set_xticks(
    labelled, [names[ids[i]] for i in labelled], rotation=90, fontsize=7
)
axes.set_yticks(range(0, len(ids), 20))
circle = {"markersize": 9, "markerfacecolor": "none", "color": "C1"}
axes.plot(before, [place] * len(before), "o", **circle)
axes.set(xlabel="token that is looked at", ylabel="token that is being read")
axes.set_title(f"Layer {layer + 1}, head {head + 1}")
axes.grid(False)
# sphinx_gallery_start_ignore
there = weights[place, before].sum()
describe(
    figure,
    alt="A square heat map, empty above its diagonal, with upright stripes under places where names stand.",
    caption=f"The circles mark the row before the last “{next_name}”: {there:.0%} of the attention lies on its "
    f"{len(before)} earlier mentions among {place + 1} tokens.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Why are the numbers so good?
# ----------------------------
# Because the stories are easy. The training stories and the held-out ones share one grammar. A reader who knew that
# grammar by heart would only have to be told which choices were made: which plot, which of the ways to tell each
# part, who and what. We can count those choices. That is a floor: the stories hardly contain more.
#
# Beside it we put a compressor, ``xz -9``, once by itself and once after it has read what the model read.

import lzma

from nanochat.corpora import STORIES, STORIES_SEED, split_of
from nanochat.corpora.stories import PLOTS, Story, stories
from nanochat.evaluate import score_text, xz_bits_per_byte


def choices(story: Story) -> float:
    """Count the bits that tell a story to somebody who knows the grammar."""
    plot = next(plot for plot in PLOTS if plot.name == story.plot)
    values = [len(plot.roles[role]) for role in story.facts]
    return sum(map(math.log2, [len(PLOTS), *map(len, plot.beats), *values]))


def xz_having_read(known: list[str], texts: list[str]) -> float:
    """Say how many bits ``xz -9`` adds for each byte of texts after known ones."""
    before, text = "\n".join(known).encode(), "\n".join(texts).encode()
    sizes = [
        len(lzma.compress(whole, preset=9)) for whole in (before, before + text)
    ]
    return 8 * (sizes[1] - sizes[0]) / len(text)


told = [
    story
    for story in stories(STORIES, STORIES_SEED)
    if split_of(story.text) == "val"
][: tiny.HELD_OUT_STORIES]
texts = [story.text for story in told]
floor = sum(map(choices, told)) / sum(len(text.encode()) for text in texts)
mine = score_text(run.model, run.tokenizer, texts).bits_per_byte
packed = xz_bits_per_byte(texts), xz_having_read(train, texts)
print(f"{floor:.3f} bits per byte would do for a reader who knows the grammar")
print(f"{mine:.3f} are needed by the model, which was never told the grammar")
print(f"{packed[0]:.3f} are needed by xz -9, which only ever sees these stories")
print(f"{packed[1]:.3f} are needed by xz -9 after the stories that the model read")
if abs(mine - record.scores[-1]["bits_per_byte"]) > 0.01:
    raise ValueError(
        "the loaded model does not score as it did when it was trained"
    )
if mine < floor:
    raise ValueError(
        "better than the choices in the stories: something is miscounted"
    )

# %%
# The same budget on real prose
# -----------------------------
# Real text has no such floor within reach. The function below gives the very same plan, steps and all, to the first
# paragraphs of Wikipedia. It takes as long as the tiny model does, so it does not run with every build. The script
# keeps what came out in a record, with all that is needed to doubt it: ``python examples/plot_02_train.py --full``
# makes a new one.

import hashlib
import json
import sys
from dataclasses import replace

from nanochat import bpe, corpora, dataloader, evaluate, gpt, optim
from nanochat import tokenizer as tokenizing
from nanochat import train as training
from nanochat.corpora import prose_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.records import circumstances, code_hash, record_path
from nanochat.tokenizer import Tokenizer
from nanochat.train import TrainState

path = record_path("wiki-same-budget.json")
CODE = (
    bpe, corpora, dataloader, evaluate, gpt, optim, tiny, tokenizing, training,
)  # fmt: skip


def train_on_prose(documents: int = 200) -> dict:
    """Spend the budget of the tiny model on real prose and return the record."""
    prose = prose_corpus()
    kept_aside = list(prose.documents("val"))[:documents]
    cutter = Tokenizer.train(prose.documents("train"), tiny.VOCAB_SIZE)
    same = tiny.tiny_plan(cutter.vocab_size)
    rows, length = same.device_batch_size, same.model.sequence_len
    tokens = load_tokens(prose, cutter, "train")
    loader = TokenLoader(tokens, rows, length, cutter.bos, same.seed)
    runtime = detect_runtime("cpu")
    dtype, _ = training.faster_dtype(same, runtime)
    learner = TrainState.start(same, loader, replace(runtime, dtype=dtype))
    fit(learner)
    score = score_text(learner.model, cutter, kept_aside)
    return {
        **circumstances("python examples/plot_02_train.py --full", CODE),
        "dtype": str(dtype).removeprefix("torch."),
        "corpus": prose.title,
        "credit": prose.credit,
        "held_out": hashlib.sha256("\n".join(kept_aside).encode()).hexdigest(),
        "documents": documents,
        "plan": same.as_dict(),
        "seconds": round(sum(step.seconds for step in learner.history)),
        "bits_per_byte": score.bits_per_byte,
        "xz_bits_per_byte": xz_bits_per_byte(kept_aside),
        "samples": Engine(learner.model, cutter).complete(
            "", 3, seed=1, **tiny.SAMPLING
        ),
        "losses": [round(step.loss, 4) for step in learner.history],
    }


if "--full" in sys.argv:
    text = json.dumps(train_on_prose(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")

# %%
# A record is only worth as much as it can be checked. The long part cannot be repeated here, so we repeat what can:
# the yardstick is computed anew on the same text, and the page says so when the code has changed since.

kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
prose = prose_corpus()
read_before, yardstick = (
    list(prose.documents(split)) for split in ("train", "val")
)
if kept is None:
    print(
        "there is no record yet: python examples/plot_02_train.py --full makes one"
    )
else:
    print(f"recorded on {kept['date']}")
    print(f"{kept['hardware']}; {kept['software']}, {kept['dtype']}")
    print(f"text: {kept['corpus']} ({kept['credit']})")
    if kept["code"] != code_hash(CODE):
        print("NOTE: the record is older than the code: it may be out of date")
    if kept["plan"] != json.loads(json.dumps(plan.as_dict())):
        print("NOTE: the record was made with another plan than today's")
    yardstick = yardstick[: kept["documents"]]
    if (
        hashlib.sha256("\n".join(yardstick).encode()).hexdigest()
        != kept["held_out"]
    ):
        print(f"NOTE: the prose of this machine is another one: {prose.title}")
    elif abs(xz_bits_per_byte(yardstick) - kept["xz_bits_per_byte"]) > 0.01:
        raise ValueError("xz does not give what the record says of the same text")
    print(f"\n{kept['samples'][0].strip()}")

# %%
# The sample above has the shape of an encyclopedia and means nothing: that is what the same budget buys on real text.
# It is enough to learn a small world, and not the large one.

bars = {
    "stories, knowing the grammar": floor,
    "stories, our model": mine,
    "stories, xz -9 after reading": packed[1],
    "stories, xz -9": packed[0],
    **({"prose, the same budget": kept["bits_per_byte"]} if kept else {}),
    "prose, xz -9 after reading": xz_having_read(read_before, yardstick),
    "prose, xz -9": xz_bits_per_byte(yardstick),
}
colours = ["C2" if name.startswith("prose") else "C0" for name in bars]
figure, axes = plt.subplots(figsize=(4.8, 3))
axes.barh(list(bars), list(bars.values()), color=colours)
for name, value in bars.items():
    axes.text(value + 0.03, name, f"{value:.2f}", va="center")
axes.invert_yaxis()
axes.set(
    xlabel="bits per byte of held-out text", xlim=(0, 1.15 * max(bars.values()))
)
axes.set_title("Easy text, hard text")
axes.grid(axis="y", visible=False)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Horizontal bars of bits per byte. Those for stories are short, those for real prose long.",
    caption=f"Without any compression a byte has 8 bits. Our model needs {mine:.3f} for a byte of a story, where "
    f"{floor:.3f} is the floor. "
    + (
        f"The same budget leaves it at {kept['bits_per_byte']:.2f} on {kept['corpus']} ({kept['credit']})."
        if kept
        else "The record for real prose has not been made yet."
    ),
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Now you
# -------
# - Change :data:`~nanochat.tiny.VOCAB_SIZE`, or the plan in :func:`~nanochat.tiny.tiny_plan`, and see which of the
#   sixty squares empty first.
# - Train on your own text: ``python -m scripts.base_train --help``.
# - Find the layer at which the name head sits when you add a layer.
#
# Next: :doc:`how this model is made to speak, one token at a time <plot_03_generate>`.

# sphinx_gallery_thumbnail_number = 2
