r"""
A budget of operations
======================

You may spend a certain number of operations on a training, and no more. A large model pays much for each token, so it
reads little. A small one reads a lot, and soon its few weights are full. Which size gets furthest?

Large studies have answered this with hundreds of models (:doc:`the chapter on the budget </nano/training/budget>`
tells of one). This page asks the same question in miniature: a handful of tiny models, four small budgets. It shows
how such an answer is found, and what so small a study can and cannot say.
"""

# %%
# A dial and its prices
# ---------------------
# Our dial is the depth, as everywhere in this project. Only the width is a quarter of the usual, 16 channels for each
# layer, so that several sizes fit into a small study. What one token costs to learn from,
# :func:`~nanochat.accounting.flops_per_token` says. A budget divided by that price is how much a model may read.

from nanochat.accounting import (
    CHINCHILLA_RATIO,
    compute_optimal_tokens,
    count_parameters,
    flops_per_token,
)
from nanochat.corpora import load_corpus
from nanochat.gpt import GPTConfig
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan

DEPTHS = (1, 2, 3, 4, 6)
BUDGETS = (1e10, 3e10, 1e11, 3e11)
ROWS, LENGTH = 4, 128

corpus = load_corpus("stories")
cutter = Tokenizer.train(list(corpus.documents("train"))[:1500], 512)


def plan_for(depth: int, budget: float, seed: int = 1) -> Plan:
    """Decide on a training that spends the budget on a model of this depth."""
    config = GPTConfig.from_depth(
        depth, cutter.vocab_size, LENGTH, width=16 * depth
    )
    batch = ROWS * LENGTH
    return Plan(
        model=config,
        device_batch_size=ROWS,
        total_batch_size=batch,
        num_iterations=round(budget / (batch * flops_per_token(config))),
        seed=seed,
    )


print(
    "depth  width  parameters  operations     tokens, for a budget in billions of"
)
print(
    "                         for a token     "
    + "".join(f"{b / 1e9:10.0f}" for b in BUDGETS)
)
for depth in DEPTHS:
    config = plan_for(depth, BUDGETS[0]).model
    tokens = [plan_for(depth, budget).tokens for budget in BUDGETS]
    print(
        f"{depth:5} {config.n_embd:6} {count_parameters(config).total:11,} "
        f"{flops_per_token(config):11,}    " + "".join(f"{n:10,}" for n in tokens)
    )

# %%
# The largest model pays more than fifty times as much for a token as the smallest. So of the same budget it may read
# less than a fiftieth.
#
# One point, here and now
# -----------------------
# Each point of the study is a whole training, from fresh weights to the end of its own schedule. (A point that was
# read off half-way of a longer training would be too high: the learning rate would not have come down yet.) Nobody
# reads a story twice. The grammar writes as many as are needed, and none of those that are kept aside.

from nanochat.common import detect_runtime
from nanochat.corpora import split_of
from nanochat.corpora.stories import stories
from nanochat.dataloader import TokenLoader
from nanochat.evaluate import score_text
from nanochat.train import TrainState, fit

held_out = [text[:300] for text in list(corpus.documents("val"))[:100]]
runtime = detect_runtime("cpu", "float32")


def train_point(depth: int, budget: float, seed: int = 1) -> dict:
    """Spend a budget on a model, and measure it on stories that it did not read."""
    plan = plan_for(depth, budget, seed)
    rows = plan.num_iterations * ROWS
    fresh = (story.text for story in stories(rows + rows // 6 + 20, 1000 + seed))
    kept = [text for text in fresh if split_of(text) == "train"]
    loader = TokenLoader(cutter.encode_batch(kept), ROWS, LENGTH, cutter.bos, seed)
    state = fit(TrainState.start(plan, loader, runtime), progress=False)
    if loader.epoch:
        raise ValueError("a story was read twice")
    score = score_text(state.model, cutter, held_out)
    return {
        "depth": depth,
        "budget": budget,
        "seed": seed,
        "steps": state.step,
        "bits_per_byte": round(score.bits_per_byte, 4),
        "first_losses": [round(one.loss, 4) for one in state.history[:10]],
        "last_loss": round(sum(one.loss for one in state.history[-10:]) / 10, 4),
    }


HERE = (2, BUDGETS[0])
ours = train_point(*HERE)
print(
    f"depth {HERE[0]}, {HERE[1] / 1e9:.0f} billion operations, "
    f"{ours['steps']} steps: "
    f"{ours['bits_per_byte']:.3f} bits per byte"
)

# %%
# The whole study
# ---------------
# ``python examples/plot_13_budget.py --full`` trains all points and keeps a record. Two points are trained with three
# seeds, to learn how much of a difference is luck. Points of fewer than twenty steps are left out: they would say
# something about beginnings, and nothing about sizes. So is the smallest model at the largest budget, because it would
# take longest of all, and because it falls behind at a smaller budget already.

import json
import sys

from nanochat import accounting, corpora, dataloader, evaluate, gpt, optim
from nanochat import tokenizer as tokenizing
from nanochat import train as training
from nanochat.records import circumstances, code_hash, record_path

MODULES = (
    accounting, corpora, dataloader, evaluate, gpt, optim, tokenizing, training,
)  # fmt: skip
path = record_path("budget-sweep.json")
FEWEST, LUCK = 20, ((2, BUDGETS[1]), (3, BUDGETS[1]))
study = [(depth, budget, 1) for budget in BUDGETS for depth in DEPTHS]
study = [one for one in study if plan_for(*one).num_iterations >= FEWEST]
study.remove((DEPTHS[0], BUDGETS[-1], 1))
study += [(*point, seed) for point in LUCK for seed in (2, 3)]

if "--full" in sys.argv:
    made = circumstances("python examples/plot_13_budget.py --full", MODULES)
    made["points"] = []
    for point in study:
        made["points"].append(train_point(*point))
        print(made["points"][-1], file=sys.stderr, flush=True)
    text = json.dumps(made).replace('{"depth"', '\n{"depth"')
    path.write_text(text + "\n", encoding="utf-8")

if not path.is_file():
    raise FileNotFoundError(f"there is no {path}: add --full to make it")
kept = json.loads(path.read_text(encoding="utf-8"))
points = kept["points"]
print(f"recorded on {kept['date']}: {kept['hardware']}; {kept['software']}")
print(f"{len(points)} trainings")
if kept["code"] != code_hash(MODULES):
    print("NOTE: the record is older than the code: it may be out of date")

# %%
# The point that this page has just trained stands in the record, too. It must be the same.

same = next(one for one in points if (one["depth"], one["budget"]) == HERE)
pairs = zip(ours["first_losses"], same["first_losses"], strict=True)
apart = max(abs(a - b) for a, b in pairs)
off = abs(ours["bits_per_byte"] - same["bits_per_byte"])
print(f"first losses at most {apart:.4f} apart, bits per byte {off:.4f}")
if ours["steps"] != same["steps"] or apart > 0.01 or off > 0.05:
    raise ValueError("the record does not hold what this page has just measured")

# %%
# Valleys
# -------
# Every line below is one budget, spent on models of different sizes. On the left, small models that have read much; on
# the right, large ones that have read little. In between the line has its lowest point: that is the size to take.

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
sizes = {d: count_parameters(plan_for(d, BUDGETS[0]).model).total for d in DEPTHS}
first = [one for one in points if one["seed"] == 1]
figure, axes = plt.subplots(figsize=(4.8, 3.6))
lowest = []
for number, budget in enumerate(BUDGETS):
    valley = [one for one in first if one["budget"] == budget]
    low = min(valley, key=lambda one: one["bits_per_byte"])
    lowest.append(low)
    axes.plot(
        [sizes[one["depth"]] for one in valley],
        [one["bits_per_byte"] for one in valley],
        ("-", "--", "-.", ":")[number],
        marker=".",
        color=f"C{number}",
        label=f"{budget / 1e9:.0f} billion",
    )
    place = sizes[low["depth"]], low["bits_per_byte"]
    axes.plot(*place, "o", color=f"C{number}", markersize=9)
axes.plot(sizes[HERE[0]], ours["bits_per_byte"], "x", color="C3", markersize=10)
axes.set_xscale("log")
axes.set_xticks(list(sizes.values()), [f"{n / 1000:.0f}k" for n in sizes.values()])
axes.minorticks_off()
axes.set(xlabel="parameters", ylabel="bits per byte, new stories")
axes.set_title("Which size for which budget")
axes.legend(
    loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2, title="operations"
)
best = [low["depth"] for low in lowest]
if best != sorted(best) or best[0] == best[-1]:
    raise ValueError(f"a larger budget should want a larger model, not {best}")
for low in lowest[2:]:
    if low["depth"] in (DEPTHS[0], DEPTHS[-1]):
        raise ValueError("the lowest point should lie inside of what was tried")
luck = []
for point in LUCK:
    some = [one for one in points if (one["depth"], one["budget"]) == point]
    three = [one["bits_per_byte"] for one in some]
    luck.append(max(three) - min(three))
# sphinx_gallery_start_ignore
from nanochat.figures import describe

describe(
    figure,
    alt="Four lines of bits per byte over the size of the model, one for each budget, with a dot at the lowest point. "
    "With a larger budget the line lies lower and its lowest point further to the right.",
    caption="The large dots: "
    + "; ".join(
        f"{low['budget'] / 1e9:.0f} billion operations, depth {low['depth']}, {low['bits_per_byte']:.2f} bits per byte"
        for low in lowest
    )
    + f". Three seeds of one point differ by {max(luck):.2f} at most. The cross is the point trained on this page.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# At the smallest budget only the right side of the valley is to be seen: a still smaller model might do better there.
# And where two points are as near to each other as two seeds of one point, the study cannot say which is lower.
#
# Here are the same points from another side: how far does each size get as the budget grows? The smallest leads at
# first. Then the second overtakes it, and at last the third the second.

figure, axes = plt.subplots(figsize=(4.8, 3.3))
for number, depth in enumerate(DEPTHS):
    line = [one for one in first if one["depth"] == depth]
    axes.plot(
        [one["budget"] for one in line],
        [one["bits_per_byte"] for one in line],
        ("-", "--", "-.", ":", "-")[number],
        marker="os^vD"[number],
        markersize=4,
        color=f"C{number}",
        label=f"depth {depth}",
    )
axes.set_xscale("log")
axes.set(xlabel="operations of the training", ylabel="bits per byte, new stories")
axes.set_title("Each size is overtaken")
axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3)
# sphinx_gallery_start_ignore
small = {
    one["budget"]: one["bits_per_byte"]
    for one in first
    if one["depth"] == DEPTHS[0]
}
next_up = {
    one["budget"]: one["bits_per_byte"]
    for one in first
    if one["depth"] == DEPTHS[1]
}
start, end = BUDGETS[0], BUDGETS[2]
describe(
    figure,
    alt="Falling lines, one for each depth, which cross: the smallest model leads at first and is overtaken.",
    caption=f"At {start / 1e9:.0f} billion operations depth {DEPTHS[0]} leads with {small[start]:.2f} bits per byte; "
    f"depth {DEPTHS[1]} has {next_up[start]:.2f}. At {end / 1e9:.0f} billion it is the other way round: "
    f"{small[end]:.2f} and {next_up[end]:.2f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Tokens for each parameter
# -------------------------
# A rule of thumb says: twenty tokens for each parameter (:data:`~nanochat.accounting.CHINCHILLA_RATIO`). What does our
# study say? We draw the valleys once more, over the tokens that each model has read for each of its parameters.

ratio = {}
figure, axes = plt.subplots(figsize=(4.8, 3.4))
for number, budget in enumerate(BUDGETS):
    valley = [one for one in first if one["budget"] == budget]
    for one in valley:
        read = plan_for(one["depth"], budget).tokens
        ratio[one["depth"], budget] = read / sizes[one["depth"]]
    axes.plot(
        [ratio[one["depth"], budget] for one in valley],
        [one["bits_per_byte"] for one in valley],
        ("-", "--", "-.", ":")[number],
        marker=".",
        color=f"C{number}",
        label=f"{budget / 1e9:.0f} billion",
    )
    low = lowest[number]
    place = ratio[low["depth"], budget], low["bits_per_byte"]
    axes.plot(*place, "o", color=f"C{number}", markersize=9)
axes.axvline(CHINCHILLA_RATIO, color="C3", linestyle=":", linewidth=1)
axes.text(CHINCHILLA_RATIO, axes.get_ylim()[1], " the rule", color="C3", va="top")
axes.set_xscale("log")
ticks = [0.1, 1, 5, 20, 60]
axes.set_xticks(ticks, map(str, ticks))
axes.minorticks_off()
axes.set(xlabel="tokens for each parameter", ylabel="bits per byte, new stories")
axes.set_title("Where the valleys lie")
axes.legend(
    loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2, title="operations"
)
at_best = [ratio[low["depth"], low["budget"]] for low in lowest]
for low, tokens in zip(lowest, at_best, strict=True):
    print(
        f"{low['budget'] / 1e9:3.0f} billion operations: depth {low['depth']}, "
        f"{tokens:.1f} tokens for each parameter"
    )
print("twenty would be, by depth:")
for depth in DEPTHS:
    config = plan_for(depth, BUDGETS[0]).model
    deserved = compute_optimal_tokens(config) * flops_per_token(config)
    print(f"  {depth}: {deserved / 1e9:6,.0f} billion operations")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="The four valleys over tokens for each parameter on a scale of powers of ten, with an upright line.",
    caption=f"The lowest points lie at {min(at_best):.1f} to {max(at_best):.1f} tokens for each parameter. The rule "
    f"says {CHINCHILLA_RATIO}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# What this can show, and what it cannot
# --------------------------------------
# The study shows the *way*: fix a budget, vary the size, find the valley, take a larger budget, see the valley move.
# It shows that each budget has a best size, and that the best size grows with the budget. These are the findings of the
# large studies too (:arxiv:`2203.15556`).
#
# It does not show the twenty, and here is why one should not expect it to.
#
# - **The dial is coarse.** From one size to the next there are two to three times as many parameters, and at the same
#   budget the ratio of tokens to parameters jumps at least fourfold. A valley between two sizes is not seen.
# - **The models are small for their vocabulary.** In the smallest, most parameters sit in the two tables. A rule about
#   parameters means another thing there.
# - **A step is a step.** All read the same number of tokens in a step. So a large model on a small budget takes a few
#   dozen steps, and that holds it back whatever its size. Smaller batches might move the valleys to the right.
# - **Nothing was tuned by size.** One set of learning rates serves all, and a size that it suits badly looks worse than
#   it is.
# - **The text is easy.** A grammar of stories is soon learned to the end, and then more tokens teach nothing. Real text
#   does not run out like that.
# - **One seed**, but for two points.
#
# So take from here how to ask, and not what to answer. Who wants to spend much should first run a study like this one
# on the text and the sizes that matter, with budgets that come near to the real one.
#
# Now you
# -------
# - Fill the gaps: widths between the depths, ``width=16 * depth + 8``. Do the valleys get rounder?
# - Halve the batch (``ROWS = 2``) at the smallest budget. Which size is the best now?
# - Give each size three learning rates and take its best. Does the valley move?

# sphinx_gallery_thumbnail_number = 1
