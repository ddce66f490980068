"""Pictures of powers, logarithms and surprise."""

from __future__ import annotations

import math

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Drawing,
    Picture,
    arrow,
    bars,
    label,
    lines,
    number_line,
    path,
)


def powers() -> Picture:
    """The exponential function and its slope at two places."""
    curve = [(k / 10, math.exp(k / 10)) for k in range(-30, 21)]
    at = 1.0
    tangent = [(x, math.exp(at) * (1 + x - at)) for x in (0.0, 2.0)]
    return lines({"e to the x": curve, "its slope at 1": tangent}, x="x", y_from=0).picture(
        "A curve that is nearly flat on the left and rises ever more steeply on the right, with a straight line "
        "that touches it.",
        f"At $x = 1$ the curve is {math.exp(at):.3f} high, and the straight line that touches it there rises by "
        f"{math.exp(at):.3f} for each step. At $x = -3$ the height and the slope are only "
        f"{math.exp(-3):.3f}.",
    )


def folds() -> Picture:
    """Logarithms of base two on the number line."""
    numbers = (0.25, 0.5, 1, 2, 4, 8, 16)
    points = {f"{number:g}": math.log2(number) for number in numbers}
    return number_line(points, -3, 5, "the logarithm of base two").picture(
        "A line of numbers from minus 3 to 5: above minus 2 stands one quarter, above minus 1 one half, above 0 "
        "stands 1, above 1 stands 2, and so on up to 16 above 4.",
        "Each number stands above its logarithm. Doubling is always one step to the right: from 8 to 16, from "
        f"{numbers[0]:g} to {numbers[1]:g}. The number 1 stands at "
        f"{math.log2(1):g}.",
    )


def surprise() -> Picture:
    """Surprise by probability."""
    curve = [(k / 100, -math.log(k / 100)) for k in range(1, 101)]
    return lines({"": curve}, x="probability that was given to what happened", y="surprise in nats", y_from=0).picture(
        "A curve that is very high on the left, falls steeply and reaches zero at the right end, where the "
        "probability is one.",
        f"What was certain costs nothing. A probability of one half costs {-math.log(0.5):.2f} nats, one of a "
        f"hundredth {-math.log(0.01):.2f}. Towards zero the curve "
        "climbs without end.",
    )


def honest() -> Picture:
    """The mean surprise by what one announces, for a coin of 70 percent."""
    truth = 0.7

    def mean(said: float) -> float:
        return -(truth * math.log(said) + (1 - truth) * math.log(1 - said))

    curve = [(k / 100, mean(k / 100)) for k in range(5, 99)]
    best = min(curve, key=lambda point: point[1])
    return lines({"": curve}, x="announced probability of heads", y="mean surprise in nats", y_from=0).picture(
        "A curve like a valley, whose lowest point is at 0.7.",
        f"A coin shows heads in {truth:.0%} of throws. The mean surprise is lowest, {best[1]:.3f} nats, for one who "
        f"announces {best[0]:.2f}. Saying one half costs {mean(0.5):.3f}, "
        f"and boasting with {0.98:g} costs {mean(0.98):.3f}.",
    )


def adding_and_multiplying() -> Picture:
    """Steps that add and steps that multiply."""
    steps = range(9)
    added = [(float(n), 1.0 + 10 * n) for n in steps]
    doubled = [(float(n), float(2**n)) for n in steps]
    overtakes = next(n for n in steps if doubled[n][1] > added[n][1] and n > 0)
    return lines({"ten more": added, "twice as much": doubled}, x="steps", y="size", marks=True).picture(
        alt="A straight line and a curve. The curve stays below the line at first, then crosses it and shoots up.",
        caption=f"Both begin at one. Adding ten leads for a while, but from step ${overtakes}$ on doubling is ahead, "
        f"and "
        f"after ${steps[-1]}$ steps it is at ${doubled[-1][1]:.0f}$ against ${added[-1][1]:.0f}$.",
    )


def slide_rule() -> Picture:
    """Multiplying by laying lengths end to end."""
    first, second = 4, 8
    unit = 60.0
    left = 30.0

    def at(number: float) -> float:
        return left + unit * math.log2(number)

    shapes = [path([(at(1) - 10, 70), (at(40), 70)], "muted", 1.5)]
    for power in range(6):
        number = 2**power
        shapes.append(path([(at(number), 66), (at(number), 74)], "muted", 1))
        shapes.append(label(at(number), 88, f"{number}", SMALL, mono=True))
    shapes.append(arrow(at(1), 54, at(first), 54, "accent"))
    shapes.append(label((at(1) + at(first)) / 2, 38, f"log {first}", TEXT, "accent", bold=True))
    shapes.append(arrow(at(first), 54, at(first * second), 54, "amber"))
    shapes.append(label((at(first) + at(first * second)) / 2, 38, f"log {second}", TEXT, "amber", bold=True))
    shapes.append(arrow(at(1), 14, at(first * second), 14, "violet"))
    shapes.append(label(at(first * second) + 8, 14, f"log {first * second}", TEXT, "violet", "start", bold=True))
    text = f"1 --log {first}--> {first} --log {second}--> {first * second}"
    return Drawing("".join(shapes), 100, text).picture(
        alt="A scale with the numbers 1, 2, 4, 8, 16 and 32 at equal distances. Two arrows, one behind the other, "
        "lead from "
        "1 to 32.",
        caption=f"Lay the length for ${first}$ and the length for ${second}$ end to end, and you arrive at "
        f"${first} \\cdot {second} = {first * second}$. In folds: ${math.log2(first):.0f} + {math.log2(second):.0f} = "
        f"{math.log2(first * second):.0f}$.",
    )


def two_units() -> Picture:
    """The same surprises in nats and in bits."""
    width, left = WIDTH - 90.0, 70.0
    bits = (1, 2, 3, 4)
    top = bits[-1]
    shapes = []
    for y, name, ink in ((30, "bits", "accent"), (82, "nats", "amber")):
        shapes.append(path([(left, y), (left + width, y)], "muted", 1.5))
        shapes.append(label(left - 14, y, name, TEXT, ink, "end", bold=True))
    for value in (0, *bits):
        x = left + width * value / top
        shapes.append(path([(x, 26), (x, 34)], "accent", 2))
        shapes.append(path([(x, 78), (x, 86)], "amber", 2))
        shapes.append(label(x, 14, f"{value}", SMALL, mono=True))
        if value:
            shapes.append(path([(x, 36), (x, 76)], "line", 1, "3 3"))
            shapes.append(label(x, 100, f"{value * math.log(2):.2f}", SMALL, mono=True))
        else:
            shapes.append(label(x, 100, "0", SMALL, mono=True))
    text = "\n".join(f"{value} {'bit' if value == 1 else 'bits'} = {value * math.log(2):.2f} nats" for value in bits)
    return Drawing("".join(shapes), 112, text).picture(
        alt="Two scales, one above the other. Each number of bits stands above the same surprise in nats.",
        caption=f"The same surprises on two scales: one bit is {math.log(2):.2f} nats, four bits are "
        f"{4 * math.log(2):.2f}. It is like inches and centimetres.",
    )


def choices() -> Picture:
    """Losses as numbers of choices."""
    losses = (0.0, 1.0, 2.0, 3.0, 4.0)
    values = {f"loss {loss:g}": math.exp(loss) for loss in losses}
    return bars(values, "{:.1f}".format).picture(
        alt="Five bars for losses of zero to four nats. Each is nearly three times as long as the one above.",
        caption=f"A loss of zero leaves one choice. Each further nat multiplies the choices by {math.e:.2f}: at "
        f"{losses[-1]:g} nats there are {math.exp(losses[-1]):.0f}.",
    )
