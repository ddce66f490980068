"""Pictures of slopes, gradients and the chain rule."""

from __future__ import annotations

import math

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Drawing,
    Picture,
    arrow,
    colour,
    label,
    lines,
    path,
    rect,
    stack,
    title,
)


def magnifier() -> Picture:
    """A curve three times, each closer: it becomes straight."""
    x0, parts, bends, slopes = 3.0, [], [], []
    for run in (2.0, 0.5, 0.05):
        points = [(x0 + run * k / 40, (x0 + run * k / 40) ** 2) for k in range(41)]
        (xa, ya), (xb, yb) = points[0], points[-1]
        chord = [(xa, ya), (xb, yb)]
        bends.append(max(abs(y - (ya + (yb - ya) * (x - xa) / (xb - xa))) for x, y in points) / (yb - ya))
        slopes.append((yb - ya) / (xb - xa))
        plot = lines({"x times x": points, "straight line": chord})
        parts += [title(f"from {xa:g} to {xb:g}: rise over run {slopes[-1]:.4g}"), plot]
    return stack(*parts, gap=8).picture(
        "Three plots of the same curve from the place 3 on, each showing a smaller piece; the last is as straight "
        "as a ruler.",
        "The curve $x^2$ from 3 on, closer and closer, with a straight line between its ends. In the first plot the "
        f"curve sags by {bends[0]:.1%} of the rise, in the last by {bends[2]:.1%}. Rise over run comes down from "
        f"{slopes[0]:.4g} to {slopes[2]:.4g}.",
    )


def square() -> Picture:
    """A square that grows: two strips and a speck."""
    side, grow, left, top = 150.0, 24.0, 70.0, 20.0
    shapes = [
        rect(left, top + grow, side, side, "blue", 0.14, 0),
        rect(left, top, side, grow, "amber", 0.3, 0),
        rect(left + side, top + grow, grow, side, "amber", 0.3, 0),
        rect(left + side, top, grow, grow, "rose", 0.6, 0),
        label(left + side / 2, top + grow + side / 2, "x · x", TEXT + 2, bold=True),
        label(left + side / 2, top + grow / 2, "x · step", SMALL, "amber", bold=True),
        label(left + side + grow + 8, top + grow + side / 2, "x · step", SMALL, "amber", "start", bold=True),
        label(left + side + grow + 8, top + grow / 2, "step · step: a speck", SMALL, "rose", "start"),
        label(left - 8, top + grow + side / 2, "x", TEXT, "muted", "end"),
        label(left + side / 2, top + grow + side + 14, "x", TEXT, "muted"),
    ]
    x, step = 3.0, 0.01
    gain = (x + step) ** 2 - x**2
    text = "\n".join(
        [
            "+-----------+--+",
            "| x * step  |. |   . step * step, a speck",
            "+-----------+--+",
            "|           |x |",
            "|   x * x   |* |",
            "|           |st|",
            "+-----------+--+",
        ]
    )
    return Drawing("".join(shapes), top + grow + side + 26, text).picture(
        "A square with two thin strips along two sides and a tiny square in the corner between them.",
        f"A side of {x:g} grows by {step:g}. The two strips add {2 * x * step:g} to the area, the speck only "
        f"{step * step:g}; together {gain:.4f}.",
    )


def arrows() -> Picture:
    """The gradient of a hill, seen from above."""

    def height(x: float, y: float) -> float:
        return math.exp(-((x - 0.3) ** 2) / 2.2 - (y + 0.1) ** 2 / 0.9)

    def slopes(x: float, y: float) -> tuple[float, float]:
        h = height(x, y)
        return -2 * (x - 0.3) / 2.2 * h, -2 * (y + 0.1) / 0.9 * h

    def place(x: float, y: float) -> tuple[float, float]:
        return 190 + 80 * x, 112 - 78 * y

    shapes = []
    for level in (0.15, 0.35, 0.55, 0.75, 0.92):
        a, b = math.sqrt(-2.2 * math.log(level)), math.sqrt(-0.9 * math.log(level))
        ring = [place(0.3 + a * math.cos(k * math.pi / 40), -0.1 + b * math.sin(k * math.pi / 40)) for k in range(81)]
        shapes.append(path(ring, "line", 1.8))
    steepest, rows = (0.0, (0.0, 0.0)), []
    for x in (-1.8, -1.1, -0.4, 1.0, 1.7):
        for y in (-0.85, -0.1, 0.65):
            gx, gy = slopes(x, y)
            gy = 0.0 if abs(gy) < 1e-9 else gy
            size = math.hypot(gx, gy)
            steepest = max(steepest, (size, (x, y)))
            px, py = place(x, y)
            if size > 0.03:
                shapes.append(arrow(px, py, px + 40 * gx + 6 * gx / size, py - 40 * gy - 6 * gy / size, "accent"))
            if abs(y + 0.1) < 1e-9:
                rows.append(f"at ({x:+.1f}, {y:+.1f}) the gradient is ({gx:+.2f}, {gy:+.2f})")
    top = place(0.3, -0.1)
    shapes.append(f'<circle cx="{top[0]:.1f}" cy="{top[1]:.1f}" r="4" style="fill:{colour("rose")}"/>')
    shapes.append(label(top[0], top[1] - 12, "the top", SMALL, "rose"))
    return Drawing("".join(shapes), 232, "\n".join(rows)).picture(
        "A hill seen from above, with rings of equal height and arrows that all point uphill, longer where it is "
        "steeper.",
        "A hill from above; each ring is one height. Every arrow is a gradient: it points straight uphill, across "
        f"the rings. The longest has a slope of {steepest[0]:.2f}; "
        "near the top they shrink to nothing.",
    )


def gears() -> Picture:
    """Three wheels: ratios multiply."""
    first, second = 3, 2
    radii = (66.0, 22.0, 11.0)
    middle = [82.0]
    middle.append(middle[0] + radii[0] + radii[1])
    middle.append(middle[1] + radii[1] + radii[2])
    names, turns = ("x", "h", "y"), (1, first, first * second)
    shapes = []
    for radius, across, ink in zip(radii, middle, ("blue", "accent", "amber"), strict=True):
        shapes.append(
            f'<circle cx="{across:g}" cy="80" r="{radius - 1:g}" style="fill:{colour(ink)};fill-opacity:0.14;'
            f'stroke:{colour(ink)};stroke-width:2"/>'
        )
        for k in range(max(6, int(radius / 3))):
            angle = 2 * math.pi * k / max(6, int(radius / 3))
            shapes.append(
                path(
                    [
                        (across + (radius - 5) * math.cos(angle), 80 + (radius - 5) * math.sin(angle)),
                        (across + (radius - 1) * math.cos(angle), 80 + (radius - 1) * math.sin(angle)),
                    ],
                    ink,
                    2,
                )
            )
    for k, (name, turn, across) in enumerate(zip(names, turns, middle, strict=True)):
        shapes.append(label(across, 80 if not k else 80, name, TEXT if k < 2 else SMALL, bold=True))
        shapes.append(
            label(
                270,
                50 + 26 * k,
                f"{name}: {turn} turn{'s' if turn > 1 else ''}",
                TEXT,
                ("blue", "accent", "amber")[k],
                "start",
            )
        )
    shapes.append(
        label(
            WIDTH / 2,
            166,
            f"{first} turns for one, times {second} turns for one, is {first * second} turns for one",
            SMALL,
            "muted",
        )
    )
    text = f"x: 1 turn  --x{first}-->  h: {first} turns  --x{second}-->  y: {first * second} turns"
    return Drawing("".join(shapes), 178, text).picture(
        "A large wheel turns a smaller one, which turns a still smaller one.",
        f"Each turn of x gives {first} turns of h, and each turn of h gives {second} of y. So each turn of x gives "
        f"${first} \\cdot {second} = {first * second}$ turns of y.",
    )
