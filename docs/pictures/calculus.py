"""Pictures of slopes, gradients and the chain rule."""

from __future__ import annotations

import math

import torch

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
    for level in (0.15, 0.35, 0.55, 0.75):
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
    radii = (84.0, 28.0, 14.0)
    middle, level = [88.0], 88.0
    middle.append(middle[0] + radii[0] + radii[1])
    middle.append(middle[1] + radii[1] + radii[2])
    names, turns = ("x", "a", "y"), (1, first, first * second)
    shapes = []
    for radius, across, ink in zip(radii, middle, ("blue", "accent", "amber"), strict=True):
        shapes.append(
            f'<circle cx="{across:g}" cy="{level:g}" r="{radius - 1:g}" style="fill:{colour(ink)};fill-opacity:0.14;'
            f'stroke:{colour(ink)};stroke-width:2"/>'
        )
        for k in range(max(6, int(radius / 3))):
            angle = 2 * math.pi * k / max(6, int(radius / 3))
            shapes.append(
                path(
                    [
                        (across + (radius - 5) * math.cos(angle), level + (radius - 5) * math.sin(angle)),
                        (across + (radius - 1) * math.cos(angle), level + (radius - 1) * math.sin(angle)),
                    ],
                    ink,
                    2,
                )
            )
    for k, (name, turn, across) in enumerate(zip(names, turns, middle, strict=True)):
        above = radii[k] + 12 if k == 2 else 0  # the smallest wheel has no room for its name
        shapes.append(label(across, level - above, name, TEXT, bold=True))
        shapes.append(
            label(
                290,
                level - 26 + 26 * k,
                f"{name}: {turn} turn{'s' if turn > 1 else ''}",
                TEXT,
                ("blue", "accent", "amber")[k],
                "start",
            )
        )
    shapes.append(
        label(
            WIDTH / 2,
            190,
            f"{first} turns for one, times {second} turns for one, is {first * second} turns for one",
            SMALL,
            "muted",
        )
    )
    text = f"x: 1 turn  --x{first}-->  a: {first} turns  --x{second}-->  y: {first * second} turns"
    return Drawing("".join(shapes), 202, text).picture(
        "A large wheel turns a smaller one, which turns a still smaller one.",
        f"Each turn of $x$ gives {first} turns of $a$, and each turn of $a$ gives {second} of $y$. So each turn of $x$ "
        f"gives ${first} \\cdot {second} = {first * second}$ turns of $y$.",
    )


def ramps() -> Picture:
    """Three ramps and their slopes."""
    slopes = (2, 0, -1)
    shapes, text = [], []
    for place, (slope, ink) in enumerate(zip(slopes, ("accent", "muted", "rose"), strict=True)):
        left, unit = 32.0 + 132 * place, 36.0  # as long for a step up as for a step forward
        floor = 152.0 + 2 * unit * min(slope, 0)
        ends = [(left, floor), (left + 2 * unit, floor - 2 * unit * slope)]
        shapes.append(path([ends[0], (ends[1][0], ends[0][1])], "line", 1.2, "4 3"))
        shapes.append(path([(ends[1][0], ends[0][1]), ends[1]], "line", 1.2, "4 3"))
        shapes.append(path(ends, ink, 3))
        words = f"slope {slope}".replace("-", "−")
        shapes.append(label(left + unit, 174, words, TEXT, ink, bold=True))
        text.append(f"{words}: {2 * slope:+d} for two steps forward")
    return Drawing("".join(shapes), 186, "\n".join(text).replace("-", "−")).picture(
        "Three ramps: one goes up steeply, one is level, one goes down.",
        f"Three ramps, two steps long. With a slope of ${slopes[0]}$ you rise by ${2 * slopes[0]}$, with "
        f"${slopes[1]}$ you "
        f"stay, with ${slopes[2]}$ you sink by ${-2 * slopes[2]}$.",
    )


def foretold() -> Picture:
    """A curve and what its slope at one place foretells."""
    at = 3.0
    curve = [(k / 10, (k / 10) ** 2) for k in range(20, 46)]
    told = [(x, at * at + 2 * at * (x - at)) for x, _ in curve]
    near, far = 3.1, 4.5
    off = [x * x - (at * at + 2 * at * (x - at)) for x in (near, far)]
    return lines({"x squared": curve, "foretold from 3": told}, x="x").picture(
        "A curve and a straight line that touches it at three. Near three they can hardly be told apart, further "
        "away the "
        "curve leaves the line upwards.",
        f"What the slope at $3$ foretells, and what is true. At ${near}$ the forecast is off by only {off[0]:.2f}, "
        f"at ${far}$ "
        f"by {off[1]:.2f}: slopes are for small steps.",
    )


def two_cuts() -> Picture:
    """The same function, cut along each of its inputs."""
    places = [k / 10 for k in range(0, 31)]
    along_x = [(x, x * x + 3 * 1) for x in places]
    along_y = [(y, 2 * 2 + 3 * y) for y in places]
    drawing = lines({"only x moves, y = 1": along_x, "only y moves, x = 2": along_y}, x="the input that moves")
    step = 1e-6
    by_x = ((2 + step) ** 2 + 3 - (2**2 + 3)) / step
    return drawing.picture(
        "A curve that bends upwards and a straight line.",
        "The function $x^2 + 3y$, cut in two ways. If only $x$ moves, the slope depends on where you are; at $x = 2$ "
        "it is "
        f"{by_x:.0f}. If only $y$ moves, it is {(along_y[-1][1] - along_y[0][1]) / 3:.0f} everywhere.",
    )


def pull() -> Picture:
    """How the loss pulls on three scores."""
    z = torch.tensor([2.0, 1.0, 0.0], requires_grad=True)
    (-torch.log_softmax(z, dim=0)[1]).backward()
    slopes = z.grad.tolist()
    given = z.detach().softmax(dim=0).tolist()
    shapes, text, unit = [], [], 100.0
    names = ("first token", "right token", "third token")
    for place, (name, p, slope) in enumerate(zip(names, given, slopes, strict=True)):
        x = 70 + 130 * place
        shapes.append(path([(x - 50, 100), (x + 50, 100)], "muted", 1.5))
        up = slope < 0
        ink = "green" if up else "rose"
        shapes.append(arrow(x, 100, x, 100 + unit * slope, ink))
        beside = 100 + (-1 if up else 1) * max(unit * abs(slope) / 2, 22)
        shapes.append(label(x + 8, beside, f"{-slope:+.2f}".replace("-", "−"), TEXT, ink, "start", bold=True))
        shapes.append(label(x, 186, name, SMALL))
        shapes.append(label(x, 204, f"p = {p:.2f}", SMALL, "muted", mono=True))
        text.append(f"{name}: p = {p:.2f}, pushed by {-slope:+.2f}")
    return Drawing("".join(shapes), 214, "\n".join(text)).picture(
        "Three arrows: a long one up for the right token, a long one down for the first and a short one down for the "
        "third.",
        f"The loss pushes each score against its slope. The right token had ${given[1]:.2f}$ and is pushed up by "
        f"${-slopes[1]:.2f}$. The first was believed most, with ${given[0]:.2f}$, and is pushed down most among the "
        f"wrong ones.",
    )
