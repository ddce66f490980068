"""The pictures of the pages that open and close the chapter on the model, drawn from what the package computes."""

from __future__ import annotations

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
    inside,
    label,
    lines,
    path,
    rect,
    shipped,
    stack,
    title,
    token_strip,
)
from nanochat.accounting import count_parameters
from nanochat.figures import show_piece
from nanochat.gpt import GPT, GPTConfig

OPENING = "Once Pip went to the"
"""Words after which a place is due."""


def map_of_the_chapter() -> Picture:
    """The parts of the model, in the order in which a token meets them, and the pages that explain them."""
    config = GPTConfig.from_depth(4)
    drawing = flow(
        [
            Box("tokens", "numbers from the last chapter", "muted"),
            Box("embedding: a vector for each", "page 1", "violet"),
            [
                Box("attention\nlook back", "page 2", "amber"),
                Box("positions\nwhat order", "page 3", "amber"),
                Box("norms\none volume", "page 4", "blue"),
            ],
            Box("MLP: think alone", "page 5", "green"),
            Box("both are added to the stream", "page 6", "accent"),
            Box("head: a score for each token", "page 7", "rose"),
        ],
        ["", "", "", "", f"after {config.n_layer} rounds"],
        graph=True,
    )
    return drawing.picture(
        alt="Boxes from tokens over embedding, attention with positions and norms, MLP, and the stream, to the "
        "head, each with the number of its page.",
        caption="The seven pages of this chapter, along the way of a token. What lies "
        f"between embedding and head is a block; a model of depth {config.n_layer} has {config.n_layer} of them.",
    )


def in_and_out() -> Picture:
    """What goes into a trained model, and what comes out of it."""
    model, tokenizer = shipped.whole()
    start = [tokenizer.bos, *tokenizer.encode(OPENING)]
    with torch.no_grad():
        chances = model(torch.tensor([start]))[0, -1].softmax(dim=-1)
    best = chances.topk(6)
    out = {
        show_piece(inside.word(token)): chance
        for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    }
    drawn = stack(
        title(f"in: {len(start)} tokens and their numbers"),
        token_strip([inside.word(token) for token in start], ids=start),
        title(f"out: the likeliest of {model.config.vocab_size:,} next tokens"),
        bars(out, top=1.0, ink="rose"),
        gap=8,
    )
    return drawn.picture(
        alt=f"{len(start)} tokens with their numbers. Below, the six likeliest next tokens as bars.",
        caption=f"What goes into a model, and what comes out. It finds “{next(iter(out)).strip('·')}” likeliest to "
        f"come "
        f"next, with a probability of {best.values[0].item():.2f}.",
    )


def starting_values() -> Picture:
    """The spread of the numbers of each kind of matrix before the first step."""
    config = GPTConfig.from_depth(4, vocab_size=256, sequence_len=8)
    spreads = bench.spreads(GPT(config))
    inks = {"embedding": "violet", "head": "rose", "output": "muted", "down": "muted"}
    return bars(spreads, show="{:.3g}".format, ink={name: inks.get(name, "amber") for name in spreads}).picture(
        alt="Bars of the spread of the starting numbers by kind of matrix: a long one for the embedding, short ones "
        "for query, key, value and up, nothing for output, down and head.",
        caption=f"The spread of the numbers that a model of depth {config.n_layer} starts with. What reads the stream "
        f"(query, key, value and up) starts with {spreads['up']:.3g}, about one over the root of {config.n_embd}. What "
        "writes to it (output and down), and the head, start at 0.",
    )


def shares() -> Picture:
    """How the parameters divide between tables and blocks, by depth."""
    depths = range(2, 33, 2)
    points = []
    for depth in depths:
        count = count_parameters(GPTConfig.from_depth(depth, vocab_size=65536))
        points.append((depth, 100 * count.matrices / count.total))
    halfway = next(depth for depth, share in points if share > 50)
    return lines(
        {"": points}, x="depth", y="percent of all numbers that are in the blocks", y_from=0, y_to=100
    ).picture(
        alt="A rising curve of the share of the blocks by depth, from nearly nothing to more than eight tenths.",
        caption=f"The share of the blocks in all parameters, with 65,536 tokens. At depth 4 it is {points[1][1]:.0f} "
        f"percent, from depth {halfway} on more than half, at depth 32 {points[-1][1]:.0f} percent.",
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
