r"""
Keep the road open
==================

A block does not replace the vector of a token. It adds to it: two plus signs in a whole block. Take them away, and
the model has the same matrices, the same number of weights, the same work to do. What is lost?

This page builds a tower of twelve blocks twice, once with the plus signs and once without. It follows the vectors on
their way up and the blame on its way down, and then it trains both. The idea is explained in
:doc:`the chapter on the stream </nano/model/residual>`.
"""

# %%
# Two towers
# ----------
# A block that replaces is quickly written: it is :class:`~nanochat.gpt.Block` without ``x +``. All else stays, the norm
# before each part too.

import torch
from torch import Tensor

from nanochat.gpt import GPT, Block, GPTConfig, rms_norm
from nanochat.tokenizer import Tokenizer

letters = Tokenizer([])  # no merges: each byte is a token


class Replacing(Block):
    """A block of which nothing remains of what came in."""

    def forward(self, x, cos, sin, cache=None):
        x = self.attention(rms_norm(x), cos, sin, cache, self.layer)
        return self.mlp(rms_norm(x))


config = GPTConfig(
    vocab_size=letters.vocab_size,
    sequence_len=48,
    n_layer=12,
    n_head=4,
    n_kv_head=4,
    n_embd=48,
)


def tower(replacing: bool = False) -> GPT:
    """Build the model, with blocks that add or with blocks that replace."""
    model = GPT(config)
    if replacing:
        blocks = [Replacing(config, layer) for layer in range(config.n_layer)]
        model.blocks = torch.nn.ModuleList(blocks)
    model.init_weights(seed=0)
    return model


# %%
# In this package the matrices that write to the stream start at zero. So a fresh tower that adds is a glass pipe. A
# fresh tower that replaces is a blocked one: nothing comes through, and no gradient comes back. It would never learn.

from itertools import islice

from nanochat.corpora import load_corpus

documents = list(islice(load_corpus("stories").documents("train"), 400))
stories = letters.encode_batch(documents)
rows = torch.tensor([[letters.bos, *story[:48]] for story in stories[:8]])


def largest_gradient(model: GPT) -> float:
    """Return the largest number in the gradient of all weights."""
    model(rows[:, :-1], rows[:, 1:]).backward()
    return max(weight.grad.abs().max().item() for weight in model.parameters())


for name, replacing in (("adding", False), ("replacing", True)):
    largest = largest_gradient(tower(replacing))
    print(f"{name:10} largest number in the gradient: {largest:.4f}")
    if (largest == 0) != replacing:
        raise ValueError("a fresh tower should learn if it adds, and only then")

# %%
# To compare the two at all, we wake both: every matrix gets random numbers, and both towers get the same ones.


def awake(replacing: bool = False, head: bool = False) -> GPT:
    """Build a tower whose writing matrices, and perhaps the head, are random."""
    model = tower(replacing)
    generator = torch.Generator().manual_seed(1)
    writers = [model.head] if head else []
    for block in model.blocks:
        writers += [block.attention.output, block.mlp.down]
    with torch.no_grad():
        for matrix in writers:
            drawn = torch.randn(matrix.weight.shape, generator=generator)
            matrix.weight.copy_(drawn * matrix.in_features**-0.5)
    return model


# %%
# The way up
# ----------
# After each block we ask how alike the vectors of different tokens are: their mean cosine. And on the same trip we
# note the *gradient* at each block, the correction that comes down from the loss: its length, and how much of its
# direction is still that of the correction at the top.

from torch.nn.functional import cosine_similarity, normalize


def journey(model: GPT) -> dict[str, list[float]]:
    """Send the rows up and the blame down, and measure both after each block."""
    passed: list[Tensor] = []

    def keep(block, given, made):
        made.retain_grad()
        passed.append(made)

    for block in model.blocks:
        block.register_forward_hook(keep)
    model(rows[:, :-1], rows[:, 1:]).backward()
    others = ~torch.eye(config.sequence_len, dtype=torch.bool)
    told: dict[str, list[float]] = {"alike": [], "length": [], "direction": []}
    top = passed[-1].grad
    for x in passed:
        unit = normalize(x.detach(), dim=-1)
        cosines = (unit @ unit.transpose(1, 2))[:, others]
        told["alike"].append(cosines.mean().item())
        told["length"].append((x.grad.norm() / top.norm()).item())
        told["direction"].append(
            cosine_similarity(x.grad, top, dim=-1).mean().item()
        )
    return told


adding = journey(awake(head=True))
replacing = journey(awake(replacing=True, head=True))
if not adding["alike"][-1] < 0.7 < 0.95 < replacing["alike"][-1]:
    raise ValueError("without the plus signs, all tokens should become alike")

import matplotlib.pyplot as plt

from nanochat.figures import use_style

use_style()
blocks = range(1, config.n_layer + 1)
figure, axes = plt.subplots(figsize=(4.8, 2.8))
axes.plot(blocks, adding["alike"], "o-", label="adding")
axes.plot(blocks, replacing["alike"], "s--", label="replacing")
axes.set(xlabel="after block", ylabel="cosine of two tokens", ylim=(0, 1.05))
axes.set_xticks(blocks)
axes.set_title("How alike do the tokens become?")
axes.legend(loc="lower right", bbox_to_anchor=(1, 0.12))
# sphinx_gallery_start_ignore
from nanochat.figures import describe

same = next(
    number for number, cosine in enumerate(replacing["alike"], 1) if cosine > 0.95
)
describe(
    figure,
    alt="Two lines over twelve blocks. With adding, the tokens stay different. With replacing, the line climbs to one.",
    caption=f"Mean cosine of two different tokens of a row, in towers with random weights. With replacing blocks it is "
    f"above 0.95 from block {same} on: all tokens are nearly the same vector. With adding blocks it is "
    f"{adding['alike'][-1]:.2f} at the top.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Attention takes averages, and averages of averages are all alike. A block that adds hands on the token itself,
# whatever else it finds.
#
# The way down
# ------------
# Now the gradient. Read the picture from right to left, as blame travels. The upper panel is its length, the lower one
# its direction.

figure, panels = plt.subplots(2, 1, figsize=(4.8, 4.4), sharex=True)
for axes, what in zip(panels, ("length", "direction"), strict=True):
    axes.plot(blocks, adding[what], "o-", label="adding")
    axes.plot(blocks, replacing[what], "s--", label="replacing")
    axes.axhline(1 if what == "length" else 0, color="C3", linewidth=1)
panels[0].set_title("How long is the gradient?")
panels[0].set_yscale("log", base=2)
panels[0].set_yticks((1, 4, 16, 64), ("1", "4", "16", "64"))
panels[0].set_ylabel("times that at the top")
panels[0].legend()
panels[1].set_title("Where does it point?")
panels[1].set(
    xlabel="after block", ylabel="cosine with the top", ylim=(-0.15, 1.05)
)
panels[1].set_xticks(blocks)
half = config.n_layer // 2 - 1
if not adding["direction"][half] > 0.4 > 0.2 > abs(replacing["direction"][half]):
    raise ValueError("the plus signs should keep the direction of the gradient")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two panels over twelve blocks. The lengths change moderately in both towers. The direction is kept for many "
    "blocks by the tower that adds, and lost within one block by the one that replaces.",
    caption=f"The gradient vanishes in neither tower. After the first block it is {adding['length'][0]:.1f} times as "
    f"long as at the top if blocks add, and {replacing['length'][0]:.1f} times if they replace. But half-way down, "
    f"after block {half + 1}, its cosine with the top is {adding['direction'][half]:.2f} and "
    f"{replacing['direction'][half]:.2f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# One often reads that without the plus signs the gradient *vanishes*. Not here, where each part is fed normalised
# vectors: it even becomes longer on its way. What is lost is its meaning. Each block hands down a blame that its own
# random matrices have turned into something else.
#
# Both go to school
# -----------------
# Does it matter in the end? Both towers read the openings of the same stories, letter by letter, for a few dozen
# steps, with the same plan and the same optimizers. The yardstick is the red line: the loss of somebody who knows how
# frequent each letter is, and nothing else.

from nanochat.common import detect_runtime
from nanochat.dataloader import TokenLoader
from nanochat.train import Plan, TrainState, fit

plan = Plan(
    model=config,
    device_batch_size=8,
    total_batch_size=8 * config.sequence_len,
    num_iterations=32,
    seed=0,
)


def school() -> TokenLoader:
    """Return the stories, always in the same order."""
    sizes = plan.device_batch_size, config.sequence_len
    return TokenLoader(stories, *sizes, letters.bos, plan.seed)


runtime = detect_runtime("cpu", "float32")
pupils = {"adding": awake(), "replacing": awake(replacing=True)}
losses = {}
for name, model in pupils.items():
    state = fit(TrainState.start(plan, school(), runtime, model), progress=False)
    losses[name] = [metrics.loss for metrics in state.history]

lessons = school()
targets = torch.cat(
    [lessons.next_batch()[1].flatten() for _ in range(plan.num_iterations)]
)
frequent = targets[targets >= 0].bincount().float()
frequent = frequent[frequent > 0] / frequent.sum()
frequencies = -(frequent * frequent.log()).sum().item()

figure, axes = plt.subplots(figsize=(4.8, 3.1))
for style, (name, line) in zip(("-", "--"), losses.items(), strict=True):
    axes.plot(range(1, len(line) + 1), line, style, label=name)
axes.axhline(frequencies, color="C3", linewidth=1, linestyle=":")
axes.text(
    len(line),
    frequencies + 0.15,
    "letter frequencies",
    color="C3",
    ha="right",
    va="bottom",
)
axes.set(xlabel="step", ylabel="loss, nats per letter", ylim=(0, None))
axes.set_title("Learning with and without the plus signs")
axes.legend(loc="lower left")
ends = {name: sum(line[-5:]) / 5 for name, line in losses.items()}
if ends["adding"] > 0.6 * ends["replacing"]:
    raise ValueError("the tower that adds should learn far more")
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Two falling lines. The loss of the tower that adds goes on falling, that of the one that replaces stops at a "
    "dotted line.",
    caption=f"Both begin at {losses['adding'][0]:.2f}. Over the last five of {plan.num_iterations} steps the tower "
    f"that adds has a loss of {ends['adding']:.2f}, the one that replaces {ends['replacing']:.2f}. Letter frequencies "
    f"alone give {frequencies:.2f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Let both write, with the same dice.

from nanochat.engine import Engine

for name, model in pupils.items():
    for text in Engine(model, letters).complete(
        "", 3, max_tokens=46, temperature=0.6, seed=1
    ):
        print(f"{name:10} {text!r}")

# %%
# A sum can be read early
# -----------------------
# The plus signs have one more consequence. The prediction is made from a *sum*, to which every block has contributed.
# So one may leave the tower at any floor and ask the head what it thinks so far. And one may leave a block out. We try
# both with the little storyteller of :doc:`an earlier page <plot_02_train>`.

from copy import deepcopy

from nanochat import tiny
from nanochat.evaluate import score_text

run = tiny.load_or_train()
held_out = list(islice(load_corpus("stories").documents("val"), 12))
depth = run.model.config.n_layer


def with_blocks(*kept: int) -> GPT:
    """Copy the storyteller with only some of its blocks."""
    model = deepcopy(run.model)
    model.blocks = torch.nn.ModuleList(model.blocks[i] for i in kept)
    return model


tried = {
    f"{n} blocks" if n != 1 else "1 block": with_blocks(*range(n))
    for n in range(depth)
}
tried[f"all {depth} blocks"] = run.model
for i in range(depth):
    others = [j for j in range(depth) if j != i]
    tried[f"without block {i + 1}"] = with_blocks(*others)
bits = {
    name: score_text(model, run.tokenizer, held_out).bits_per_byte
    for name, model in tried.items()
}
if bits[f"all {depth} blocks"] > min(bits.values()):
    raise ValueError("all blocks together should guess best")

figure, axes = plt.subplots(figsize=(4.8, 3.2))
colours = ["C2"] * depth + ["C0"] + ["C1"] * depth
axes.barh(list(bits), list(bits.values()), color=colours)
for name, value in bits.items():
    axes.text(value + 0.05, name, f"{value:.2f}", va="center")
axes.invert_yaxis()
axes.set(xlabel="bits per byte of held-out stories")
axes.set_xlim(0, 1.15 * max(bits.values()))
axes.set_title("Leaving early, leaving one out")
axes.grid(axis="y", visible=False)
# sphinx_gallery_start_ignore
describe(
    figure,
    alt="Bars of bits per byte. They are short for all blocks, and longer where the head reads early or a block "
    "is left out.",
    caption=f"The head was trained on all {depth} blocks and never on fewer. With none it needs {bits['0 blocks']:.2f} "
    f"bits for a byte, with all {bits[f'all {depth} blocks']:.2f}. With a single block left out it needs from "
    f"{min(list(bits.values())[depth + 1 :]):.2f} to {max(list(bits.values())[depth + 1 :]):.2f}.",
)
# sphinx_gallery_end_ignore
plt.show()

# %%
# Here is the same in words. Each line stops where a name is due that was said before. Then come the best guesses with
# no block, with one, and so on. The last one is the whole model's.

from nanochat.corpora.stories import FRIENDS, HEROES

animals = {**HEROES, **FRIENDS}
floors = [with_blocks(*range(n)) for n in range(depth + 1)]
words = held_out[1].split()
plain = [word.strip('.,"') for word in words]
due = [
    n for n in range(1, len(words)) if plain[n] in animals and plain[n] in plain[:n]
]
for n in due[1:6]:
    ids = run.tokenizer.encode(" ".join(words[:n]))
    tokens = torch.tensor([[run.tokenizer.bos, *ids]])
    with torch.no_grad():
        best = [int(model(tokens)[0, -1].argmax()) for model in floors]
    guesses = [run.tokenizer.decode([token]).strip() for token in best]
    print(
        f"... {' '.join(words[max(0, n - 4) : n])}".ljust(30), *guesses, sep=" | "
    )

# %%
# Now you
# -------
# - Keep the plus sign of the attention and take away that of the MLP. Which of the two matters more?
# - Leave out the norms of the tower that replaces as well, and print the length of the vectors after each block.
# - Give the tower that replaces a tenth of the learning rate (``matrix_lr=0.002``), or only two blocks. When does it
#   begin to learn?

# sphinx_gallery_thumbnail_number = 3
