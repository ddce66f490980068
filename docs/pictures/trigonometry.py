"""The pictures of the page on circles."""

from __future__ import annotations

import math

import torch

from docs.pictures import Picture, lines
from docs.pictures.plane import Arrow, plane
from nanochat.gpt import apply_rotary, rotary_tables


def ant_on_circle() -> Picture:
    """A point on the circle, its cosine and its sine."""
    angle = 1.0
    across, up = math.cos(angle), math.sin(angle)
    drawing = plane(
        {
            "the ant": Arrow((across, up), "violet"),
            "cosine": Arrow((across, 0), "accent", beside=True),
            "sine": Arrow((across, up * 0.97), "amber", (across, 0), beside=True),
        },
        (-1.3, 1.9),
        (-1.2, 1.2),
        circle=True,
    )
    return drawing.picture(
        alt="A circle of radius one with a point on it. One arrow runs from the centre to the right, up to below the "
        "point, and another from there up to it.",
        caption=f"The ant has walked a way of length one. It stands {across:.2f} to the right of the centre, "
        f"its cosine, and {up:.2f} above it, its sine.",
    )


def waves() -> Picture:
    """Cosine and sine over two turns."""
    angles = [2 * math.pi * step / 40 for step in range(81)]
    drawing = lines(
        {"cosine": [(a, round(math.cos(a), 6)) for a in angles], "sine": [(a, round(math.sin(a), 6)) for a in angles]},
        x="the way that the ant has walked, radians",
    )
    return drawing.picture(
        alt="Two waves between minus one and one. The cosine begins at one, the sine at zero.",
        caption=f"Two rounds of the ant. Both waves repeat after {2 * math.pi:.2f}, one full turn.",
    )


def turning() -> Picture:
    """An arrow at four positions, turned by the code."""
    cos, sin = rotary_tables(4, 2)
    turned = apply_rotary(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 4, 1, 2), cos, sin)[0, :, 0]
    inks = ("accent", "amber", "violet", "rose")
    drawing = plane(
        {f"position {m}": Arrow(tuple(turned[m].tolist()), inks[m]) for m in range(4)},
        (-1.9, 2.1),
        (-1.3, 0.7),
        circle=False,
    )
    return drawing.picture(
        alt="Four arrows of the same length. Each is turned further with the hands of a clock than the one before.",
        caption="The arrow $(1, 0)$ at four positions, as `apply_rotary` turns it: one radian further each time, "
        f"{math.degrees(1):.0f} degrees. All lengths are {turned.norm(dim=-1).max():.2f}.",
    )
