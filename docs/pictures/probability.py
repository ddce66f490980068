"""More pictures of the page on probability; those of bags, coins and strips are in docs/pictures/numbers.py."""

from __future__ import annotations

import random
import re

import torch

from docs.pictures import SMALL, TEXT, Drawing, Picture, bars, label, rect, stack, title, token_strip
from docs.texts import alice
from nanochat.engine import next_token_probabilities

INKS = ("accent", "amber", "violet", "rose")


def whole() -> Picture:
    """Two distributions as strips of equal length."""
    shapes, text, firsts = [], [], []
    for row, scores in enumerate(([2.0, 1.0, 0.0, -1.0], [4.0, 1.0, 0.0, -1.0])):
        p = next_token_probabilities(torch.tensor([scores]))[0].tolist()
        firsts.append(p[0])
        y, x = 22 + 70 * row, 4.0
        names = ", ".join(f"{score:g}" for score in scores).replace("-", "−")
        shapes.append(label(4, y - 12, f"scores {names}", SMALL, "muted", "start"))
        for place, share in enumerate(p):
            wide = 392 * share
            shapes.append(rect(x, y, max(wide - 2, 1), 32, INKS[place], 0.3, 2))
            if wide > 40:
                shapes.append(label(x + wide / 2, y + 16, f"{share:.2f}", SMALL, mono=True))
            x += wide
        text.append(f"scores {names}: " + ", ".join(f"{share:.2f}" for share in p) + f"; together {sum(p):.2f}")
    return Drawing("".join(shapes), 128, "\n".join(text)).picture(
        alt="Two strips of equal length, each cut into four parts. In the lower one the first part takes most of it.",
        caption=f"Two distributions over four tokens. When the first score rises, its share goes from "
        f"{firsts[0]:.2f} to "
        f"{firsts[1]:.2f}, and the others lose just that much: the whole strip is always one.",
    )


def even_numbers() -> Picture:
    """The six sides of a die, the even ones marked."""
    shapes = []
    for side in range(1, 7):
        x = 12 + 64 * (side - 1)
        even = side % 2 == 0
        shapes.append(rect(x, 6, 48, 48, "accent" if even else "muted", 0.35 if even else 0.08, 9))
        shapes.append(label(x + 24, 30, f"{side}", TEXT + 5, bold=even))
        shapes.append(label(x + 24, 70, "1/6", SMALL, "accent" if even else "muted", mono=True))
    share = sum(side % 2 == 0 for side in range(1, 7)) / 6
    text = "1   [2]   3   [4]   5   [6]\neven: 1/6 + 1/6 + 1/6 = 1/2"
    return Drawing("".join(shapes), 82, text).picture(
        alt="The six sides of a die in a row; two, four and six are marked.",
        caption=f"Six sides, each with a sixth. The three marked ones have {share:g} together.",
    )


def given_mock() -> Picture:
    """How likely is Turtle, before and after Mock?"""
    row = re.findall("[A-Za-z]+", alice())
    after = [second for first, second in zip(row, row[1:], strict=False) if first == "Mock"]
    values = {
        "after any word": row.count("Turtle") / len(row),
        "after Mock": after.count("Turtle") / len(after),
    }
    return bars(values, "{:.3f}".format, top=1.0).picture(
        alt="Two bars. The first is too short to see, the second fills the whole width.",
        caption=f"How likely *Turtle* is. Somewhere in the book: {values['after any word']:.3f}. Right after *Mock*: "
        f"{values['after Mock']:.0f}, since all {len(after)} times *Turtle* follows.",
    )


def dice_by_seed() -> Picture:
    """The draws of three seeds."""
    parts = []
    rows = []
    for seed, note in ((7, "seed 7"), (7, "seed 7 again"), (8, "seed 8")):
        chance = random.Random(seed)
        rows.append([str(chance.randint(1, 6)) for _ in range(8)])
        parts += [title(note), token_strip(rows[-1])]
    same = sum(a == b for a, b in zip(rows[0], rows[2], strict=True))
    return stack(*parts, gap=6).picture(
        alt="Three rows of eight dice. The first two rows are equal, the third differs.",
        caption=f"Eight throws of a die by a computer. Two rows from the same seed agree in all {len(rows[0])} places; "
        f"another seed agrees in {same}, by chance.",
    )
