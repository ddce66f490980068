"""The pictures of the shorter chapters on the model, each drawn from what the package computes."""

from __future__ import annotations

import math

import torch

from docs.pictures import (
    SMALL,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    bench,
    colour,
    flow,
    label,
    lines,
    path,
    rect,
    stack,
    title,
)
from nanochat import gpt
from nanochat.gpt import GPT, GPTConfig


def map_of_the_chapter() -> Picture:
    """The parts of the model and the pages that explain them."""
    config = GPTConfig.from_depth(4)
    drawing = flow(
        [
            Box("tokens", "", "muted"),
            Box("embedding: a vector for each", "page 1", "violet"),
            [Box("attention", "page 2", "amber"), Box("positions", "page 3", "amber"), Box("norms", "page 4", "blue")],
            Box("MLP", "page 5", "green"),
            Box("added to the stream", "page 6", "accent"),
            Box("head: a score for each token", "page 7", "rose"),
        ],
        ["", "", "", "", f"after {config.n_layer} rounds"],
    )
    return drawing.picture(
        alt="Boxes from tokens over embedding, attention with positions and norms, MLP, and the stream, to the "
        "head, each with the number of its page.",
        caption="The seven pages of this chapter, in the order in which a token meets their matter. What lies "
        f"between embedding and head is a block; a model of depth {config.n_layer} has {config.n_layer} of them.",
    )


def neighbours() -> Picture:
    """Whose vectors are nearest, before and after a short training."""
    parts, best = [], []
    for steps, ink in ((bench.STEPS, "accent"), (0, "muted")):
        tokens, table = bench.embeddings(steps)
        found = bench.neighbours(" Pip", tokens, table, 6)
        best.append(max(found.values()))
        when = f"after {steps} steps of training" if steps else "before training"
        parts += [title(f"nearest to Pip {when}"), bars(_named(found), top=1.0, ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Two groups of six bars. After training, the words nearest to Pip are mostly other names, with long bars. "
        "Before training they are any words, with short bars.",
        caption="The words whose vectors point most nearly where that of *Pip* points. The bars are cosines: 1 is the "
        f"same direction. The nearest one has {best[0]:.2f} after training. Before, when all vectors were random, it "
        f"had {best[1]:.2f}.",
    )


def _named(found: dict[str, float]) -> dict[str, float]:
    return {word.strip(): value for word, value in found.items()}


def clocks() -> Picture:
    """Four pairs of a head as the hands of clocks, at some positions."""
    cos, sin = gpt.rotary_tables(64, 64)
    places, pairs = (0, 1, 2, 4, 8, 32), (0, 6, 12, 31)
    shapes, rows = [], []
    for column, place in enumerate(places):
        shapes.append(label(102 + 54 * column, 10, f"{place}", SMALL, mono=True))
    shapes.append(label(2, 10, "position", SMALL, "muted", "start"))
    for line, pair in enumerate(pairs):
        y = 46 + 56 * line
        shapes.append(label(2, y, f"pair {pair + 1}", SMALL, "ink", "start"))
        angles = []
        for column, place in enumerate(places):
            x = 102 + 54 * column
            c, s = cos[place, pair].item(), sin[place, pair].item()
            shapes.append(
                f'<circle cx="{x}" cy="{y}" r="22" style="fill:{colour("accent")};fill-opacity:0.07;'
                f'stroke:{colour("line")}"/>'
            )
            # Twelve o'clock at position 0, and clockwise from there, as the code turns.
            shapes.append(arrow(x, y, x + 20 * s, y - 20 * c, "accent"))
            angles.append(f"{math.degrees(math.atan2(s, c)) % 360:5.0f}")
        rows.append(f"pair {pair + 1:>2}  " + " ".join(angles))
    head = "position " + " ".join(f"{place:5}" for place in places)
    text = "\n".join([head, *rows, "(angles in degrees, clockwise)"])
    slow = math.degrees(math.atan2(sin[32, 31].item(), cos[32, 31].item()))
    return Drawing("".join(shapes), 46 + 56 * 4 - 28, text).picture(
        alt="A table of clock hands: four pairs of channels at six positions. The hand of the first pair whirls round, "
        "those of later pairs turn ever more slowly, that of the last hardly moves.",
        caption="Four of the 32 pairs of a head with 64 channels, drawn as hands of clocks. The first pair is a second "
        f"hand. The last one has turned by {slow:.2f} degrees after 32 tokens: it can tell the beginning of a "
        "long text from its end.",
    )


def stream_sizes() -> Picture:
    """How large the stream is at each block, with the norms and without."""
    with_norms, without = bench.sizes(12), [size for size in bench.sizes(12, False) if math.isfinite(size)]
    series = {
        "with norms": [(n, math.log10(size)) for n, size in enumerate(with_norms, 1)],
        "without": [(n, math.log10(size)) for n, size in enumerate(without, 1)],
    }
    drawing = lines(series, x="block", y="how many zeros the size of the stream has", marks=True, y_from=0)
    return drawing.picture(
        alt="Two lines over twelve blocks. With norms the size of the stream stays near one. Without, it shoots up and "
        "ends at the sixth block.",
        caption=f"The same random model with its norms and without. With them, the stream grows to "
        f"{with_norms[-1]:.1f} times its first size. Without them it has "
        f"{len(str(round(without[-1])))} digits before block {len(without)}, and then no longer fits into "
        "the computer's numbers.",
    )


def mlp() -> Picture:
    """The way through an MLP, and its bend."""
    part = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8)).blocks[0].mlp
    wide, narrow = part.up.weight.shape
    with torch.no_grad():
        part.up.weight.zero_()[0, 0] = 1.0
        part.down.weight.zero_()[0, 0] = 1.0
        x = torch.zeros(41, narrow)
        x[:, 0] = torch.linspace(-2, 2, 41)
        y = part(x)[:, 0]
    points = list(zip(x[:, 0].tolist(), y.tolist(), strict=True))
    relu = [(a, max(a, 0.0)) for a, _ in points]
    way = flow(
        [
            Box("what the token knows", f"{narrow} numbers"),
            Box("detectors", f"{wide} numbers", "amber"),
            Box("what is added", f"{narrow} numbers"),
        ],
        ["up: 4 times as wide", "bend, then down"],
    )
    at = dict((round(a, 1), b) for a, b in points)
    return stack(way, lines({"squared ReLU": points, "ReLU": relu}, x="what a detector sees")).picture(
        alt="Three boxes: a vector, four times as many detectors, a vector again. Below, the curve of the squared "
        "ReLU: zero on the left, a steepening curve on the right, beside the straight ReLU.",
        caption="The way through an MLP, and the bend in its middle, as the code computes it. Whatever is negative "
        f"becomes {at[-1.0]:.0f}. A weak sign of 0.5 becomes {at[0.5]:.2f}, a strong one of 2 becomes {at[2.0]:.0f}.",
    )


def highway() -> Picture:
    """How much of the correction's direction is left at each block."""
    adding, replacing = bench.message(12), bench.message(12, replacing=True)
    series = {
        "adding": list(enumerate(adding, 1)),
        "replacing": list(enumerate(replacing, 1)),
    }
    return lines(series, x="block", y="cosine with the correction at block 12", marks=True).picture(
        alt="Two lines over twelve blocks, read from right to left. With adding, the line falls gently from one. With "
        "replacing, it drops to zero at once and stays there.",
        caption="Read from right to left, as blame travels. Where parts *add*, the correction still has a cosine of "
        f"{adding[6]:.2f} with the original at block 7. Where they *replace*, one block is enough to scramble it: "
        f"{abs(replacing[10]):.2f} at block 11.",
    )


def whole_model() -> Picture:
    """The forward pass from top to bottom, with shapes."""
    config = GPTConfig.from_depth(4)
    model = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8))
    shapes = {}
    for name, part in (("embed", model.embed), ("block", model.blocks[0]), ("head", model.head)):
        part.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)}))
    with torch.no_grad():
        model(torch.zeros(2, 5, dtype=torch.long))
    upper = flow(
        [
            Box("tokens", "(B, T)", "muted"),
            Box("embedding, norm", "(B, T, C)", "violet"),
        ]
    )
    block = _block()
    lower = flow(
        [
            Box("norm, head", "(B, T, V)", "rose"),
            Box("soft-cap: the scores", "(B, T, V)", "rose"),
        ]
    )
    gap = Drawing(arrow(200, 0, 200, 22), 22, "   |\n   v")
    drawing = stack(upper, gap, block, gap, lower, gap=2)
    return drawing.picture(
        alt="From top to bottom: tokens, embedding and norm, then a block in a frame with two detours that are added "
        "back to a straight line, norm and attention, norm and MLP; then norm and head, and soft-cap.",
        caption=f"The whole model. The frame stands L times, {config.n_layer} times at depth {config.n_layer}. A batch "
        f"of 2 rows and 5 tokens has the shape {shapes['embed']} from the embedding on, keeps it through every block, "
        f"and leaves the head as {shapes['head']}.",
    )


def _block() -> Drawing:
    """A block: a straight line with two detours."""
    shapes = [rect(20, 1, 360, 232, "line", 0.15), label(368, 218, "block, L times", SMALL, "muted", "end")]
    shapes.append(path([(110, 1), (110, 233)], "accent", 4))
    shapes.append(path([(200, 1), (200, 8), (110, 8)], "accent", 4))
    shapes.append(path([(110, 226), (200, 226), (200, 233)], "accent", 4))
    for y, name, ink in ((34, "norm, attention", "amber"), (134, "norm, MLP", "green")):
        shapes.append(arrow(110, y + 8, 176, y + 8, ink))
        shapes.append(rect(178, y - 8, 176, 34, ink))
        shapes.append(label(266, y + 9, name, bold=True))
        shapes.append(path([(266, y + 26), (266, y + 58)], ink))
        shapes.append(arrow(266, y + 58, 124, y + 58, ink))
        shapes.append(
            f'<circle cx="110" cy="{y + 58}" r="12" style="fill:{colour("paper")};stroke:{colour("accent")}"/>'
        )
        shapes.append(label(110, y + 58, "+", 18, "accent", bold=True))
    text = "\n".join(
        [
            "+------------------------------+",
            "| block, L times               |",
            "|  |                           |",
            "|  +--> norm --> attention --+ |",
            "|  + <-----------------------+ |",
            "|  |                           |",
            "|  +--> norm --> MLP --------+ |",
            "|  + <-----------------------+ |",
            "|  |                           |",
            "+------------------------------+",
        ]
    )
    return Drawing("".join(shapes), 234, text)
