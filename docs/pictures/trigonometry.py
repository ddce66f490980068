"""The pictures of the page on circles."""

from __future__ import annotations

import math

import torch

from docs.pictures import SMALL, TEXT, Drawing, Picture, arrow, colour, label, lines, path
from docs.pictures.plane import Arrow, plane
from nanochat.gpt import GPTConfig, apply_rotary, rotary_tables


def ant_on_circle() -> Picture:
    """A point on the circle, its cosine and its sine."""
    angle = 1.0
    across, up = math.cos(angle), math.sin(angle)
    drawing = plane(
        {
            "the ant": Arrow((across, up), "violet"),
            "cosine": Arrow((across, 0), "accent", beside=True),
            "sine": Arrow((across, up), "amber", (across, 0), short=0.03, beside=True),
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


def way_walked() -> Picture:
    """The circle, with the way walked marked along it."""
    centre, radius = (140.0, 128.0), 100.0

    def at(angle: float, far: float = 1.0) -> tuple[float, float]:
        return centre[0] + far * radius * math.cos(angle), centre[1] - far * radius * math.sin(angle)

    shapes = [
        f'<circle cx="{centre[0]:g}" cy="{centre[1]:g}" r="{radius:g}" '
        f'style="fill:none;stroke:{colour("line")};stroke-width:2"/>',
        path([at(k / 20) for k in range(21)], "accent", 4),
        path([centre, at(0)], "muted", 1.2),
        path([centre, at(1)], "muted", 1.2),
        label(*at(0.35, 0.55), "1 radian", SMALL, "accent"),
    ]
    text = []
    for words, angle in (
        ("0", 0.0),
        ("π/2 ≈ 1.57", math.pi / 2),
        ("π ≈ 3.14", math.pi),
        ("3π/2 ≈ 4.71", 1.5 * math.pi),
    ):
        x, y = at(angle)
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:{colour("violet")}"/>')
        side = "start" if math.cos(angle) > 0.5 else "middle"
        if math.cos(angle) < -0.5:
            shapes.append(label(x + 8, y, words, SMALL, anchor="start", mono=True))
        else:
            shapes.append(
                label(x + (8 if side == "start" else 0), y - 13 * math.sin(angle), words, SMALL, anchor=side, mono=True)
            )
        text.append(f"{words} radians = {math.degrees(angle):.0f} degrees")
    x, y = at(1)
    shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" style="fill:{colour("accent")}"/>')
    shapes.append(label(x + 10, y - 4, f"1 = {math.degrees(1):.1f}°", SMALL, "accent", "start", bold=True))
    return Drawing("".join(shapes), 256, "\n".join(text)).picture(
        alt="A circle with four places marked by how far an ant has walked, and a thick arc of length one.",
        caption=f"The thick arc is as long as the radius: one radian, {math.degrees(1):.1f} degrees. The whole "
        f"circle is "
        f"{2 * math.pi:.2f} such lengths.",
    )


def three_angles() -> Picture:
    """Three pairs of arrows and the cosine between them."""
    pairs = (((3.0, 4.0), (4.0, 3.0)), ((3.0, 4.0), (4.0, -3.0)), ((3.0, 4.0), (-4.0, -3.0)))
    shapes, text, values = [], [], []
    for place, (a, b) in enumerate(pairs):
        middle, unit = 66.0 + 134 * place, 11.0
        cosine = (torch.tensor(a) @ torch.tensor(b) / 25).item()
        values.append(cosine)
        for (x, y), ink in ((a, "accent"), (b, "amber")):
            shapes.append(arrow(middle, 62, middle + unit * x, 62 - unit * y, ink))
        words = f"cosine {cosine:.2f}".replace("-", "−")
        shapes.append(label(middle, 124, words, TEXT, bold=True))
        text.append(f"({a[0]:g}, {a[1]:g}) and ({b[0]:g}, {b[1]:g}): {words}")
    return Drawing("".join(shapes), 136, "\n".join(text)).picture(
        alt="Three pairs of arrows: close together, at a right angle, and pointing nearly opposite ways.",
        caption=f"All six arrows are $5$ long. What changes is the angle: the cosine goes from {values[0]:.2f} over "
        f"{values[1]:.0f} to ${values[2]:.2f}$.",
    )


def same_difference() -> Picture:
    """A query and a key at two pairs of positions, turned by the code."""
    cos, sin = rotary_tables(6, 2)
    angles, shapes, text = [], [], []
    for place, (m, n) in enumerate(((2, 1), (5, 4))):
        both = apply_rotary(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 6, 1, 2), cos, sin)[0, :, 0]
        middle, unit = 100.0 + 200 * place, 62.0
        shapes.append(
            f'<circle cx="{middle:g}" cy="72" r="{unit:g}" style="fill:none;stroke:{colour("line")};stroke-width:1.5"/>'
        )
        for position, ink in ((m, "accent"), (n, "amber")):
            x, y = both[position].tolist()
            shapes.append(arrow(middle, 72, middle + unit * x, 72 - unit * y, ink))
        angles.append(math.degrees(math.acos((both[m] @ both[n]).clamp(-1, 1).item())))
        shapes.append(label(middle - 6, 152, f"query at {m}", SMALL, "accent", "end", bold=True))
        shapes.append(label(middle + 6, 152, f"key at {n}", SMALL, "amber", "start", bold=True))
        shapes.append(label(middle, 170, f"angle between: {angles[-1]:.0f}°", SMALL, "muted"))
        text.append(f"query at {m}, key at {n}: angle between {angles[-1]:.0f} degrees")
    return Drawing("".join(shapes), 180, "\n".join(text)).picture(
        alt="Two circles with two arrows each. In the second both arrows are turned further, and the angle between "
        "them is "
        "the same.",
        caption="Query and key were both $(1, 0)$. At the positions 2 and 1, and at 5 and 4, `apply_rotary` has "
        "turned them. "
        f"Between them lie {angles[0]:.0f} and {angles[1]:.0f} degrees.",
    )


def hands() -> Picture:
    """Four pairs of a head at three positions."""
    cos, sin = rotary_tables(101, 8, GPTConfig().rope_theta)
    positions = (1, 10, 100)
    shapes, text = [], []
    for row, position in enumerate(positions):
        y = 44.0 + 88 * row
        shapes.append(label(4, y, f"position {position}", SMALL, "ink", "start"))
        for pair in range(4):
            x, unit = 140.0 + 72 * pair, 28.0
            shapes.append(
                f'<circle cx="{x:g}" cy="{y:g}" r="{unit:g}" '
                f'style="fill:none;stroke:{colour("line")};stroke-width:1.5"/>'
            )
            across, down = cos[position, pair].item(), -sin[position, pair].item()
            shapes.append(arrow(x, y, x + unit * across, y - unit * down, "accent" if pair == 0 else "amber"))
            if row == 0:
                shapes.append(label(x, 6, f"i = {pair}", SMALL, "muted"))
        turns = ", ".join(f"{position * 10**-pair:g}" for pair in range(4))
        text.append(f"position {position}: turned by {turns} radians")
    rounds = positions[-1] / (2 * math.pi)
    return Drawing("".join(shapes), 262, "\n".join(text)).picture(
        alt="Three rows of four clock hands. The first hand has gone round many times at position 100, the last has "
        "hardly "
        "moved.",
        caption=f"The four pairs of a head of eight numbers, at three positions. At position {positions[-1]} the "
        f"first hand "
        f"has gone round {rounds:.0f} times, the last has turned by {positions[-1] * 0.001:.1f} radians.",
    )
