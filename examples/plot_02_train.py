r"""
Teach a model to tell stories
=============================

A model starts out knowing nothing at all: every next word is equally likely to it. Two minutes later it tells stories. What
happens in between?

This page trains one, on the machine that built this site. First a few dozen steps openly, then the rest. Then it asks the
questions that an honest reader would ask. Does it keep the story straight? Has it just memorised? What does it look at? And
why are the numbers so good? The ideas behind it are in :doc:`the chapter on training </nano/training/index>`.
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
# :func:`~nanochat.tiny.start_tiny` makes a tokenizer from the stories, a plan, and a model with fresh weights. The plan says
# what will happen before it happens.

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
print(f"loss before the first step  {first_loss:.4f}\nln({plan.model.vocab_size})                    {expected:.4f}")
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
    raise ValueError(f"after {few} steps the loss should have fallen well below ln V")

# %%
# So few steps are enough to know which words there are, and not enough to know what to say with them. Let us ask it for a
# story. (:class:`~nanochat.engine.Engine` turns a model into text; :doc:`the next page <plot_03_generate>` is about it.)

import textwrap

from nanochat.engine import Engine

young = Engine(state.model, tokenizer).complete("", 60, seed=1, **tiny.SAMPLING)
print(textwrap.fill(young[0], 100))

# %%
# All the steps
# -------------
# :func:`~nanochat.tiny.load_or_train` does the same for the whole plan, and saves the model. When this page is built
# again it loads what it saved. The model, its tokenizer and the record of its training are together in ``run``.

run = tiny.load_or_train()
record = run.record
print(f"{len(record.history)} steps in {record.seconds:.0f} s, computed in {record.dtype}")

# %%
# Our few steps above began from the same seed and read the same stories in the same order. So they must be the
# beginning of that training: if the saved model came from other stories or other code, this is where the page would stop.

apart = [abs(ours.loss - theirs["loss"]) for ours, theirs in zip(state.history, record.history, strict=False)]
print(f"the two losses are {sum(apart) / len(apart):.4f} apart on average (precisions round differently)")
if run.tokenizer.fingerprint != tokenizer.fingerprint or sum(apart) / len(apart) > 0.05:
    raise ValueError(f"the saved model was trained by other code: remove {tiny.tiny_dir()} and run this again")

import matplotlib.pyplot as plt

from nanochat.figures import describe, use_style

use_style()
figure, (above, below) = plt.subplots(2, 1, figsize=(4.8, 4.6), sharex=True)
losses = [step["loss"] for step in record.history]
above.plot(range(1, len(losses) + 1), losses, label="the whole training")
above.plot(range(1, len(state.history) + 1), [metrics.loss for metrics in state.history], "--", label="our few steps")
above.axhline(expected, color="C3", linewidth=1, linestyle=":")
above.text(len(losses), expected, "ln V", color="C3", va="bottom", ha="right")
above.set(ylabel="loss, nats per token", ylim=(0, expected * 1.15), title="What the model learns from")
above.legend()
moments = [score["step"] for score in record.scores]
bits = [score["bits_per_byte"] for score in record.scores]
below.plot(moments, bits, "o-", color="C2")
for step, value in zip(moments, bits, strict=True):
    below.annotate(f"{value:.2f}", (step, value), (5, 5), textcoords="offset points")
below.set(xlabel="step", ylabel="bits per byte", ylim=(0, bits[0] * 1.15), title="How well it does on stories it never saw")
describe(
    figure,
    alt="Two curves that fall steeply at first and slowly later: the training loss, and bits per byte on held-out stories.",
    caption=f"The loss starts at ln V = {expected:.2f} and ends at {losses[-1]:.2f}. Held-out stories cost "
    f"{bits[0]:.2f} bits per byte before training and {bits[-1]:.3f} after {moments[-1]} steps. Most of the way is done in "
    f"the first {moments[1]}; keeping names straight comes later.",
)
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


class Told:
    """Stories side by side, their names, toys and foods in colour."""

    def __init__(self, stories):
        self.stories = stories

    def _repr_html_(self):
        return "".join(f"<p><strong>{title}</strong><br>{self.coloured(text)}</p>" for title, text in self.stories)

    @staticmethod
    def coloured(text):
        """Give each name the next colour at its first mention, and the same one later."""
        order = list(dict.fromkeys(cast.findall(text)))
        return cast.sub(
            lambda found: f'<span class="nc-token nc-{SERIES[order.index(found[0]) % len(SERIES)]}">{found[0]}</span>',
            html.escape(text, quote=False),
        )


Told([(f"step {moment['step']}", moment["texts"][0]) for moment in record.samples])

# %%
# Does it keep the story straight?
# --------------------------------
# One good story proves little. So we sample sixty and let the grammar read every one. Its judgement is strict: one
# wrong word, one name that changes, and the story counts as broken. To know that the judge can be trusted, we first show
# it sixty real stories, and then the same ones with the names mixed up.

from nanochat.corpora.stories import StoryIndex

sampled = run.engine.complete("", 60, seed=7, **tiny.SAMPLING)


def mix_up(text: str) -> str:
    """Replace the last name of a story by that of somebody else."""
    last = [found for found in cast.finditer(text) if found[0] in {**HEROES, **FRIENDS}][-1]
    other = next(name for name in (*HEROES, *FRIENDS) if name not in text)
    return text[: last.start()] + other + text[last.end() :]


def straight(texts: list[str]) -> list[bool]:
    """Say of each story whether names, toys and foods stay what they were."""
    return [check_story(text).consistent for text in texts]


if not all(straight(held_out[:60])) or any(straight([mix_up(text) for text in held_out[:60]])):
    raise ValueError("the judge is wrong: it should accept every real story and none with a wrong name")

verdicts = {f"after {few} steps": straight(young), f"after {len(losses)} steps": straight(sampled)}
figure, both = plt.subplots(1, 2, figsize=(4.8, 2.2))
for axes, (title, good) in zip(both, verdicts.items(), strict=True):
    for number, fine in enumerate(sorted(good, reverse=True)):
        x, y = number % 10, -(number // 10)
        axes.plot(x, y, "s", markersize=9, color="C0" if fine else "none", markeredgecolor="C0" if fine else "#5b626b")
    axes.set(title=f"{title}: {sum(good)}", xlim=(-0.7, 9.7), ylim=(-5.7, 0.7))
    axes.set_axis_off()
describe(
    figure,
    alt=f"Two fields of sixty squares. {sum(verdicts['after 40 steps'])} are filled in the first, {sum(straight(sampled))} in "
    "the second.",
    caption=f"Each square is a sampled story, filled if it is straight from its first word to its last: "
    f"{sum(straight(young))} of 60 early on, {sum(straight(sampled))} of 60 at the end.",
)
plt.show()

# %%
# A broken story is mostly right. Counted by sentences, the picture is milder. And here is what the judge finds fault
# with, in the first story that it did not accept.

checks = [check_story(text) for text in sampled]
sentences, parsed = sum(check.sentences for check in checks), sum(check.parsed for check in checks)
print(f"{parsed} of {sentences} sentences are sentences of the grammar: {parsed / sentences:.0%}\n")
for text, check in zip(sampled, checks, strict=True):
    if not check.consistent:
        print(textwrap.fill(text, 100), "", *check.problems, sep="\n")
        break

# %%
# Has it memorised?
# -----------------
# Perhaps it only recites. So we look for the training story that is most like each sample (most like: sharing the largest
# part of its runs of three words). In the pairs below, what is *not* in the neighbour stands out.

import difflib

index = StoryIndex(train)


class Beside:
    """A sampled story and its nearest training story."""

    def __init__(self, texts):
        self.pairs = [(text, index.nearest(text)) for text in texts]

    def _repr_html_(self):
        out = []
        for text, near in self.pairs:
            ours, theirs = self.marked(text, near.text), html.escape(near.text, quote=False)
            out.append(
                '<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:0 1.5rem">'
                f"<p><strong>sampled</strong><br>{ours}</p>"
                f"<p><strong>nearest training story, {near.share:.0%} shared</strong><br>{theirs}</p></div>"
            )
        return "<hr>".join(out)

    @staticmethod
    def marked(text, other):
        """Underline the words that the other story does not have in the same place."""
        words = text.split()
        out = []
        for what, i, j, _, _ in difflib.SequenceMatcher(None, words, other.split(), autojunk=False).get_opcodes():
            piece = html.escape(" ".join(words[i:j]), quote=False)
            out.append(piece if what == "equal" or not piece else f'<span class="nc-token nc-amber" style="white-space:normal">{piece}</span>')
        return " ".join(out)


Beside(sampled[:3])

# %%
# The stories are new. But a nearest neighbour that shares half of the runs looks suspicious, until we ask the same of
# stories that *cannot* be memorised: the held-out ones. They share as much, because all of them come from one
# grammar. That is the comparison that counts.

new = [text for text in sampled if text not in set(train)]
shares = {
    "sampled from the model": [index.nearest(text).share for text in sampled],
    "held-out, never seen": [index.nearest(text).share for text in held_out[:60]],
}
middle = {name: sorted(values)[len(values) // 2] for name, values in shares.items()}

figure, axes = plt.subplots(figsize=(4.8, 2.8))
bins = [step / 20 for step in range(21)]
for number, (name, values) in enumerate(shares.items()):
    axes.hist(values, bins, histtype="stepfilled" if number == 0 else "step", alpha=0.55 if number == 0 else 1, linewidth=1.8,
              color=f"C{number}", label=name)
axes.axvline(1, color="C3", linestyle=":", linewidth=1)
axes.text(0.99, axes.get_ylim()[1], "recited ", color="C3", ha="right", va="top")
axes.set(xlabel="share of the nearest training story", ylabel="stories", title="As new as stories can be here", xlim=(0, 1.02))
axes.legend(loc="upper left")
describe(
    figure,
    alt="Two overlapping histograms of how much a story shares with its nearest training story.",
    caption=f"{len(new)} of {len(sampled)} samples are new. In the middle they share {middle['sampled from the model']:.0%} with "
    f"their neighbour; held-out stories share {middle['held-out, never seen']:.0%}. A recited story would stand at 100%.",
)
plt.show()

# %%
# What does it look at?
# ---------------------
# To write a name again, the model must look back at where the name stood. Attention is the part that looks back. So in
# every held-out story we stand just before a name is said again, and ask each head how much of its attention rests on
# the earlier mentions of that very name. :meth:`~nanochat.gpt.GPT.attention_maps` tells.

model = run.model
pieces = [run.tokenizer.token_bytes(token).decode("utf-8", "replace").strip() for token in range(run.tokenizer.vocab_size)]
names = {token: piece for token, piece in enumerate(pieces) if piece in {**HEROES, **FRIENDS}}


def repeats(ids: list[int]) -> list[tuple[int, list[int]]]:
    """Find each place from which a name will be said again, with the places of that name before it."""
    places = []
    for position in range(1, len(ids)):
        name = names.get(ids[position])
        before = [earlier for earlier in range(position) if name and names.get(ids[earlier]) == name]
        if before:
            places.append((position - 1, before))
    return places


looks, by_chance, places = torch.zeros(plan.model.n_layer, plan.model.n_head), 0.0, 0
for text in held_out[:100]:
    ids = [run.tokenizer.bos, *run.tokenizer.encode(text)][: plan.model.sequence_len]
    maps = torch.stack(list(model.attention_maps(torch.tensor([ids]))))[:, 0]  # (L, H, T, T)
    for position, before in repeats(ids):
        looks += maps[:, :, position, before].sum(-1)
        by_chance += len(before) / (position + 1)
        places += 1
looks, by_chance = looks / places, by_chance / places
layer, head = divmod(int(looks.argmax()), plan.model.n_head)
if looks[layer, head] < 2 * by_chance:
    raise ValueError("no head looks back at the name: this model has not learned to keep names")

figure, axes = plt.subplots(figsize=(4.8, 2.6))
axes.imshow(looks, vmin=0, vmax=1, aspect="auto")
for i in range(plan.model.n_layer):
    for j in range(plan.model.n_head):
        axes.text(j, i, f"{looks[i, j]:.0%}", ha="center", va="center", weight="bold" if (i, j) == (layer, head) else "normal")
axes.set_xticks(range(plan.model.n_head), [f"head {j + 1}" for j in range(plan.model.n_head)])
axes.set_yticks(range(plan.model.n_layer), [f"layer {i + 1}" for i in range(plan.model.n_layer)])
axes.set_title("Attention on the name that is about to be said")
axes.grid(False)
describe(
    figure,
    alt=f"A table of {plan.model.n_layer} layers by {plan.model.n_head} heads. The darkest cell is layer {layer + 1}, head {head + 1}.",
    caption=f"Just before a name is repeated, head {head + 1} of layer {layer + 1} spends {looks[layer, head]:.0%} of its attention "
    f"on that name's earlier mentions. Spread evenly, it would be {by_chance:.0%}. Mean over {places:,} repeated names.",
)
plt.show()

# %%
# Here is that head at work in one story. It stands before the last repeated name, and does not know it yet. The
# stronger a word is coloured, the more the head looks at it.

text = max(held_out[:100], key=lambda text: len(repeats([run.tokenizer.bos, *run.tokenizer.encode(text)][: plan.model.sequence_len])))
ids = [run.tokenizer.bos, *run.tokenizer.encode(text)][: plan.model.sequence_len]
weights = list(model.attention_maps(torch.tensor([ids])))[layer][0, head]
position, before = repeats(ids)[-1]
expected_next = names[ids[position + 1]]


class Looking:
    """The story up to a place, shaded by how much the head looks at each token from there."""

    def _repr_html_(self):
        out = []
        for token, weight in zip(ids[1 : position + 1], weights[position, 1 : position + 1].tolist(), strict=True):
            piece = html.escape(run.tokenizer.token_bytes(token).decode("utf-8", "replace"), quote=False)
            shade = f"color-mix(in srgb, var(--nc-accent, #0b6b73) {min(100, round(160 * weight))}%, transparent)"
            out.append(f'<span style="background:{shade};border-radius:3px">{piece}</span>')
        return f"<p>{''.join(out)} <strong>[{expected_next}]</strong></p>"


Looking()

# %%
# And from every place at once: a row for each token that is being read, a column for each token that it may look at. The
# future is empty, as it must be. The upright stripes are names that are looked at again and again.

if weights.triu(1).any() or not torch.allclose(weights.sum(-1), torch.ones(len(ids))):
    raise ValueError("a position looked into the future, or its attention does not sum to 1")

figure, axes = plt.subplots(figsize=(4.8, 4.6))
axes.imshow(weights, vmin=0, vmax=1)
places_of = {}
for place_, token in enumerate(ids):
    if token in names:
        places_of.setdefault(names[token], []).append(place_)
shown = [place_ for mentions in places_of.values() for place_ in mentions]
axes.set_xticks(shown, [names[ids[place_]] for place_ in shown], rotation=90, fontsize=6.5)
axes.set_yticks([p for p in range(0, len(ids), 20)])
axes.plot(before, [position] * len(before), "o", markersize=9, markerfacecolor="none", color="C1")
axes.set(xlabel="token that is looked at", ylabel="token that is being read", title=f"Layer {layer + 1}, head {head + 1}")
axes.grid(False)
there = weights[position, before].sum()
describe(
    figure,
    alt="A square heat map, empty above its diagonal, with upright stripes under the places where names stand.",
    caption=f"The circles mark the row before the last “{expected_next}”: {there:.0%} of the attention lies on its "
    f"{len(before)} earlier mentions among {position + 1} tokens.",
)
plt.show()

# %%
# Why are the numbers so good?
# ----------------------------
# Because the stories are easy. The training stories and the held-out ones share one grammar. A reader who knew
# that grammar by heart would only have to be told which choices were made: which plot, which of the ways to tell each part,
# who and what. We can count those choices. That is a floor: the stories hardly contain more.

from nanochat.corpora import STORIES, STORIES_SEED, split_of
from nanochat.corpora.stories import PLOTS, Story, stories
from nanochat.evaluate import score_text, xz_bits_per_byte


def choices(story: Story) -> float:
    """Count the bits that tell a story to somebody who knows the grammar: the logarithms of all choices."""
    plot = next(plot for plot in PLOTS if plot.name == story.plot)
    ways = [len(PLOTS), *map(len, plot.beats), *(len(plot.roles[role]) for role in story.facts)]
    return sum(map(math.log2, ways))


told = [story for story in stories(STORIES, STORIES_SEED) if split_of(story.text) == "val"][: tiny.HELD_OUT_STORIES]
floor = sum(map(choices, told)) / sum(len(story.text.encode()) for story in told)
mine = score_text(run.model, run.tokenizer, [story.text for story in told]).bits_per_byte
packed = xz_bits_per_byte(story.text for story in told)
print(f"{floor:.3f} bits per byte would do for a reader who knows the grammar")
print(f"{mine:.3f} does the model need, which was never told the grammar")
print(f"{packed:.3f} does xz -9 need, which starts from nothing with these {len(told)} stories")
if abs(mine - record.scores[-1]["bits_per_byte"]) > 0.01:
    raise ValueError("the loaded model does not score as it did when it was trained")
if mine < floor:
    raise ValueError("no model can do better than the choices in the stories: something is counted wrongly")

# %%
# The same budget on real prose
# -----------------------------
# Real text has no such floor within reach. The function below gives the very same plan, steps and all, to the first
# paragraphs of Wikipedia. It takes as long as the tiny model does, so it does not run with every build. The script keeps what came
# out in a record, with all that is needed to doubt it: ``python examples/plot_02_train.py --full`` makes a new one.

import ast
import datetime
import hashlib
import inspect
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

from nanochat import bpe, corpora, dataloader, evaluate, gpt, optim, train as training
from nanochat import tokenizer as tokenizing
from nanochat.corpora import prose_corpus
from nanochat.dataloader import TokenLoader, load_tokens
from nanochat.tokenizer import Tokenizer
from nanochat.train import TrainState

records = Path(__file__).resolve().parents[1] / "docs" / "records"
path = (records if records.is_dir() else Path.cwd()) / "wiki-same-budget.json"


def code_hash() -> str:
    """Hash the code that the result depends on, without its comments and docstrings."""
    digest = hashlib.sha256()
    for module in (bpe, corpora, dataloader, evaluate, gpt, optim, tiny, tokenizing, training):
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ""
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def processor() -> str:
    """Name the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else platform.machine()}, {os.cpu_count()} threads"


def train_on_prose(documents: int = 200) -> dict:
    """Spend the budget of the tiny model on real prose and return the record."""
    prose = prose_corpus()
    kept_aside = list(prose.documents("val"))[:documents]
    cutter = Tokenizer.train(prose.documents("train"), tiny.VOCAB_SIZE)
    same = tiny.tiny_plan(cutter.vocab_size)
    tokens = load_tokens(prose, cutter, "train")
    loader = TokenLoader(tokens, same.device_batch_size, same.model.sequence_len, cutter.bos, same.seed)
    dtype, _ = training.faster_dtype(same, detect_runtime("cpu"))
    learner = TrainState.start(same, loader, replace(detect_runtime("cpu"), dtype=dtype))
    fit(learner)
    score = score_text(learner.model, cutter, kept_aside)
    return {
        "command": "python examples/plot_02_train.py --full",
        "date": datetime.date.today().isoformat(),
        "code": code_hash(),
        "hardware": processor(),
        "software": f"Python {platform.python_version()}, torch {torch.__version__}, {str(dtype).removeprefix('torch.')}",
        "corpus": prose.title,
        "credit": prose.credit,
        "held_out": hashlib.sha256("\n".join(kept_aside).encode()).hexdigest(),
        "documents": documents,
        "plan": same.as_dict(),
        "seconds": round(sum(step.seconds for step in learner.history)),
        "bits_per_byte": score.bits_per_byte,
        "xz_bits_per_byte": xz_bits_per_byte(kept_aside),
        "samples": Engine(learner.model, cutter).complete("", 3, seed=1, **tiny.SAMPLING),
        "log": [{"step": step.step, "loss": round(step.loss, 4)} for step in learner.history],
    }


if "--full" in sys.argv:
    path.write_text(json.dumps(train_on_prose(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

# %%
# A record is only worth as much as it can be checked. The long part cannot be repeated here, so we repeat what can: the
# yardstick is computed anew on the same text, and the page says so when the code has changed since.

kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
prose = prose_corpus()
yardstick = list(prose.documents("val"))
if kept is None:
    print("there is no record yet: make one with python examples/plot_02_train.py --full")
else:
    print(f"recorded on {kept['date']} in {kept['seconds']} s on {kept['hardware']} ({kept['software']})")
    print(f"text: {kept['corpus']} ({kept['credit']})")
    if kept["code"] != code_hash():
        print("NOTE: this record is older than the code. Its numbers are those of an earlier version.")
    if kept["plan"]["num_iterations"] * kept["plan"]["total_batch_size"] != plan.tokens:
        print("NOTE: this record was made with another budget than the tiny model has today.")
    yardstick = yardstick[: kept["documents"]]
    if hashlib.sha256("\n".join(yardstick).encode()).hexdigest() != kept["held_out"]:
        print(f"NOTE: this machine has other prose, {prose.title}: xz is measured on that, the record is not.")
    elif abs(xz_bits_per_byte(yardstick) - kept["xz_bits_per_byte"]) > 0.01:
        raise ValueError("xz does not give what the record says on the same text: the record is wrong")
    print(f"\n{textwrap.fill(kept['samples'][0], 100)}")

# %%
# There it is. The recorded model has learned the shape of an encyclopedia: its sentences begin like entries and mean
# nothing. Two minutes are a lesson about stories, and a first breath about the world.

bars = {
    "stories, knowing the grammar": floor,
    "stories, our model": mine,
    "stories, xz -9": packed,
    "prose, same budget": kept["bits_per_byte"] if kept else None,
    "prose, xz -9": xz_bits_per_byte(yardstick),
}
bars = {name: value for name, value in bars.items() if value is not None}
figure, axes = plt.subplots(figsize=(4.8, 2.6))
axes.barh(list(bars), list(bars.values()), color=["C2" if name.startswith("prose") else "C0" for name in bars])
for name, value in bars.items():
    axes.text(value + 0.03, name, f"{value:.2f}", va="center")
axes.invert_yaxis()
axes.set(xlabel="bits per byte on held-out text (8 is no compression)", title="Easy text, hard text")
axes.set_xlim(0, max(bars.values()) * 1.15)
axes.grid(axis="y", visible=False)
describe(
    figure,
    alt="Horizontal bars of bits per byte. Those for stories are short, those for real prose long.",
    caption=f"Our model needs {mine:.3f} bits for a byte of a story, where {floor:.3f} is the floor. "
    + (f"The same budget leaves it at {kept['bits_per_byte']:.2f} on {kept['corpus']} ({kept['credit']})."
       if kept else "A record for real prose has not been made yet."),
)
plt.show()

# %%
# Now you
# -------
# - Change :data:`~nanochat.tiny.VOCAB_SIZE`, or the plan in :func:`~nanochat.tiny.tiny_plan`, and see which of the sixty
#   squares empty first.
# - Train on your own text: ``python -m scripts.base_train --help``.
# - Find the layer at which the name head sits when you add a layer.
#
# Next: :doc:`how this model is made to speak, one token at a time <plot_03_generate>`.

# sphinx_gallery_thumbnail_number = 2
