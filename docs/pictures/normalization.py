"""Pictures of the chapter on normalization, each drawn from what the package computes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from docs.pictures import (
    SMALL,
    Drawing,
    Picture,
    arrow,
    bars,
    bench,
    colour,
    label,
    lines,
    path,
    rect,
    shipped,
    stack,
    title,
)
from nanochat.gpt import GPTConfig, rms_norm


def stream_sizes() -> Picture:
    """How large the stream is at each block, with the norms and without."""
    with_norms, without = bench.sizes(10), [size for size in bench.sizes(10, False) if math.isfinite(size)]
    series = {
        "with norms": [(n, math.log10(size)) for n, size in enumerate(with_norms, 1)],
        "without": [(n, math.log10(size)) for n, size in enumerate(without, 1)],
    }
    drawing = lines(series, x="block", y="how many zeros the size of the stream has", marks=True, y_from=0)
    return drawing.picture(
        alt="Two lines over ten blocks. With norms the size of the stream stays small. Without, it shoots up and "
        "ends at the sixth block.",
        caption=f"The same random model with its norms and without. With them, the stream grows to "
        f"{with_norms[-1]:.1f} times its first size. Without them it has "
        f"{len(str(round(without[-1])))} digits before block {len(without)}, and then no longer fits into "
        "the computer's numbers.",
    )


def batch_norm(x: Tensor) -> Tensor:
    """Bring each channel of all vectors together to mean 0 and spread 1."""
    x = x.flatten(0, 1)
    return (x - x.mean(dim=0)) / x.std(dim=0, correction=0)


def layer_norm(x: Tensor) -> Tensor:
    """Bring each vector by itself to mean 0 and spread 1."""
    x = x.flatten(0, 1)
    return (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, correction=0, keepdim=True)


def averages_over() -> Picture:
    """Which numbers have a say in one number of the result: found by asking for the slope of it."""
    texts, tokens, channels, place, channel = 2, 3, 4, 1, 2
    ways = {"batch norm": batch_norm, "layer norm": layer_norm, "RMSNorm": lambda x: rms_norm(x).flatten(0, 1)}
    cell, shapes, rows, counts = 26.0, [], [[] for _ in range(texts * tokens)], []
    for panel, (name, norm) in enumerate(ways.items()):
        x = bench.vectors(texts, tokens, channels).requires_grad_()
        norm(x)[place, channel].backward()
        says = (x.grad != 0).flatten(0, 1)
        counts.append(int(says.sum()))
        left = 10 + panel * 134.0
        shapes.append(label(left + 2 * cell, 10, name, SMALL, "ink", bold=True))
        for line in range(texts * tokens):
            top = 24 + line * cell + (10 if line >= tokens else 0)
            for column in range(channels):
                asked = (line, column) == (place, channel)
                ink = "rose" if asked else "accent" if says[line, column] else "line"
                fill = 0.8 if asked else 0.45 if says[line, column] else 0.12
                shapes.append(rect(left + column * cell + 1, top, cell - 2, cell - 3, ink, fill, 3))
            rows[line].append(
                "".join(
                    "X" if (line, column) == (place, channel) else "x" if says[line, column] else "."
                    for column in range(channels)
                )
            )
    foot = 24 + texts * tokens * cell + 22
    shapes.append(label(200, foot, "a line is a token, a column a channel; two texts", SMALL, "muted"))
    text = "\n".join(
        [
            f"{'':8}batch layer RMS",
            *(f"text {1 + k // tokens}, {k % tokens}: " + "  ".join(row) for k, row in enumerate(rows)),
            "X the number asked for, x numbers that have a say in it, . numbers that have none",
        ]
    )
    return Drawing("".join(shapes), foot + 12, text).picture(
        alt="Three tables of two texts with three tokens each and four channels. For batch norm, one column is marked "
        "through both texts. For layer norm and RMSNorm, one line is marked.",
        caption="Which numbers have a say in the red one after the norm, found by moving each a little. In batch norm "
        f"it is the same channel in all {counts[0]} tokens of both texts. In the other two, it is the {counts[1]} "
        "numbers of the token itself.",
    )


def onto_a_circle() -> Picture:
    """Vectors of two numbers before and after the norm."""
    x = torch.tensor([[3.0, 4.0], [0.5, 0.2], [-4.0, 1.5], [-0.3, -0.6], [2.0, -3.0]])
    after = rms_norm(x)
    scale, middle, height = 34.0, 200.0, 320.0
    centre = (middle, height / 2)

    def place(point: list[float]) -> tuple[float, float]:
        return centre[0] + scale * point[0], centre[1] - scale * point[1]

    radius = after[0].norm().item()
    shapes = [
        path([(30, centre[1]), (370, centre[1])], "line", 1),
        path([(centre[0], 6), (centre[0], height - 6)], "line", 1),
        f'<circle cx="{centre[0]}" cy="{centre[1]}" r="{scale * radius:.1f}" '
        f'style="fill:none;stroke:{colour("rose")};stroke-dasharray:5 4"/>',
    ]
    for before, now in zip(x.tolist(), after.tolist(), strict=True):
        shapes.append(arrow(*centre, *place(before), "muted"))
        shapes.append(arrow(*centre, *place(now), "rose"))
    lines_of_text = ["before           after"] + [
        f"({a:5.1f}, {b:5.1f})   ({c:5.2f}, {d:5.2f})"
        for (a, b), (c, d) in zip(x.tolist(), after.tolist(), strict=True)
    ]
    return Drawing("".join(shapes), height, "\n".join(lines_of_text)).picture(
        alt="Five grey arrows of very different lengths, and five red ones in the same directions that all end on one "
        "circle.",
        caption="Five vectors of two numbers (grey) and what RMSNorm makes of them (red). The longest was "
        f"{x[0].norm():.0f} long and the shortest {x[1].norm():.2f}; afterwards each has the length {radius:.2f}, "
        "the root of two.",
    )


def trained_sizes() -> Picture:
    """The stream of the trained model before each block, and what is read of it."""
    sizes = shipped.sizes()
    read = [bench.rms(rms_norm(x)).mean().item() for x in shipped.streams()]
    parts = []
    for name, values, ink in (("the stream itself", sizes, "accent"), ("what attention reads of it", read, "green")):
        named = {f"block {number}": value for number, value in enumerate(values, 1)}
        parts += [title(name), bars(named, show="{:.1f}".format, top=max(sizes), ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Two groups of four bars. The stream grows from block to block; what attention reads of it does not.",
        caption="The size of the vectors of the trained model while it reads stories, before each of its blocks. At "
        f"half of the tokens it is larger than shown, at half smaller. The stream grows from {sizes[0]:.1f} to "
        f"{sizes[-1]:.1f}. What is read of it stays at {read[-1]:.1f}.",
    )


def raw_scores() -> Picture:
    """The largest scores of the trained model with its norm on queries and keys, and without."""
    raw, real = shipped.raw_scores(), shipped.scores()
    parts = []
    for name, values, ink in (("without the norm", raw, "rose"), ("with it", real, "green")):
        named = {f"block {number}": value for number, value in enumerate(values, 1)}
        parts += [title(name), bars(named, show="{:.1f}".format, top=max(raw), ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Two groups of four bars: very large scores without the norm, small ones with it.",
        caption="The largest score in each block while the trained model reads stories: with queries and keys as "
        f"their matrices make them, and as they are in fact. Nothing held the first ones back: {max(raw):.0f} is the "
        f"largest. With the norm it is {max(real):.1f}, and there can be none above "
        f"{GPTConfig.from_depth(4).head_size ** 0.5:.0f}.",
    )
