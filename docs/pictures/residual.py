"""The pictures of the chapter on the stream, each drawn from what the package computes."""

from __future__ import annotations

import torch

from docs.pictures import (
    SMALL,
    Drawing,
    Picture,
    arrow,
    bars,
    bench,
    colour,
    grid,
    inside,
    label,
    lines,
    path,
    rect,
    shipped,
    stack,
    title,
)
from nanochat.figures import show_piece


def notebook() -> Picture:
    """The stream as a line that parts read from and write to, with the sizes of what they write."""
    young, grown = inside.written(True), inside.written(False)
    first, *parts = grown
    inks = {"a": "amber", "M": "green"}
    heads = [label(320, 10, "pupil", SMALL, "ink"), label(372, 10, "trained", SMALL, "ink")]
    shapes = [*heads, path([(70, 44), (70, 66 + 50 * len(parts))], "accent", 5)]
    shapes.append(rect(8, 14, 124, 30, "violet"))
    shapes.append(label(70, 29, first, bold=True))
    rows = [f"{'':<22}{'pupil':>8}{'trained':>9}"]
    for place, name in enumerate(grown):
        y = 26 + 50 * place
        row = f" + <-- {name:<15}" if place else f"{name:<22}"
        for x, sizes in ((320, young), (372, grown)):
            size = (
                f"{sizes[name]:.2f}"
                if name in sizes and sizes[name] < 2
                else f"{sizes[name]:.0f}"
                if name in sizes
                else "-"
            )
            shapes.append(label(x, y + 3, size, SMALL + 1, "ink", mono=True))
            row += f"{size:>8}"
        rows.append(row)
        if not place:
            continue
        ink = inks[name[0]]
        shapes.append(arrow(72, y - 12, 150, y - 12, ink))
        shapes.append(rect(152, y - 17, 120, 34, ink))
        shapes.append(label(212, y + 1, name, bold=True))
        shapes.append(path([(152, y + 11), (100, y + 11)], ink))
        shapes.append(arrow(104, y + 11, 84, y + 11, ink))
        shapes.append(f'<circle cx="70" cy="{y + 11}" r="10" style="fill:{colour("paper")};stroke:{colour(ink)}"/>')
        shapes.append(label(70, y + 11, "+", 16, ink, bold=True))
    bottom = 66 + 50 * len(parts)
    shapes.append(arrow(70, bottom - 2, 70, bottom + 18, "accent"))
    shapes.append(label(84, bottom + 10, "to the head", SMALL, "muted", "start"))
    rows.append("to the head")
    loudest = max(parts, key=grown.__getitem__)
    most = max(young[name] for name in parts if name in young)
    return Drawing("".join(shapes), bottom + 22, "\n".join(rows)).picture(
        alt="A straight line from the embedding down to the head. Beside it eight parts, each with an arrow from the "
        "line "
        "and an arrow back to a plus sign on the line. Two columns give the sizes of what they write.",
        caption="The stream, and the usual size of the numbers that each part writes to it: in the pupil, which has "
        "two blocks and a short training behind it, and in the trained model, which has four. At half of the tokens a "
        f"note is larger than shown, at half smaller. Both start with an embedding of size {grown[first]:.0f}. The "
        f"pupil's loudest note has {most:.2f}, the trained model's {grown[loudest]:.0f}.",
    )


def guesses() -> Picture:
    """How likely the trained model finds the real next token, if the guess is read off after each stage."""
    model = shipped.whole()[0]
    inputs, targets = (each[:1] for each in inside.read())
    start, few = 8, 8
    with torch.no_grad():
        stages = [inside.read_off(model, x)[0].softmax(dim=-1) for x in inside.streams(model, inputs)]
    chances = [[p[place, targets[0, place]].item() for place in range(start, start + few)] for p in stages]
    names = ["embedding", *(f"block {number}" for number in range(1, len(stages)))]
    columns = [show_piece(inside.word(token)) for token in targets[0, start : start + few].tolist()]
    text = "".join(inside.word(token) for token in inputs[0, 1 : start + 1].tolist()).strip()
    drawn = grid(chances, names, columns, note="how likely the token above was found")
    means = inside.losses(False)
    return drawn.picture(
        alt="A table with a row for each stage and a column for each token of a story: the probability of that token. "
        "Nearly all cells are pale but those of the last row.",
        caption=f"A new story begins “{text}”, and each column is a token that follows. The numbers say how likely "
        "the trained model found it, read off after each stage. Up to the third block the head can hardly read a "
        "thing; "
        f"the last block makes the guess. Over all stories, the loss is {means[0]:.1f} after the embedding, "
        f"{means[-2]:.1f} after block {len(means) - 2} and {means[-1]:.1f} after block {len(means) - 1}.",
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
        f"{replacing[10]:.2f} at block 11.".replace("-", "−"),
    )


def lesson() -> Picture:
    """The lesson, learned by models of several depths that add or replace."""
    depths = (1, 2, 3, 4)
    right = {
        "adding": {depth: inside.lesson(depth) for depth in depths},
        "replacing": {depth: inside.lesson(depth, replacing=True) for depth in depths},
    }
    parts = []
    for name, ink in (("adding", "accent"), ("replacing", "rose")):
        shares = {f"{depth} block{'s'[: depth > 1]}": right[name][depth] for depth in depths}
        parts += [title(name), bars(shares, show="{:.0%}".format, top=1.0, ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Two groups of four bars, for one to four blocks. Those of the models that add are all full. Of those that "
        "replace, the first two are full, the others short.",
        caption=f"Right answers after {inside.LESSON_STEPS} steps of the same lesson. Models that add learn it at "
        f"every depth. Of those that replace, the one with 2 blocks still answers {right['replacing'][2]:.0%} "
        f"rightly, the "
        f"one with 3 blocks {right['replacing'][3]:.0%}; blind guessing gets one answer in eight.",
    )
