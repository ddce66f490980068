"""Pictures of the chapter on positions, each drawn from what the package computes."""

from __future__ import annotations

import math

from docs.pictures import SMALL, Drawing, Picture, arrow, colour, label
from nanochat import gpt


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
