"""The pictures of the shorter chapters on the model, each drawn from what the package computes."""

from __future__ import annotations

import torch

from docs.pictures import (
    SMALL,
    Box,
    Drawing,
    Picture,
    arrow,
    bench,
    colour,
    flow,
    label,
    lines,
    path,
    rect,
    stack,
)
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
