"""Pictures of powers, logarithms and surprise."""

from __future__ import annotations

import math

from docs._ext.drawing import Picture, lines, number_line


def powers() -> Picture:
    """The exponential function and its slope at two places."""
    curve = [(k / 10, math.exp(k / 10)) for k in range(-30, 21)]
    at = 1.0
    tangent = [(x, math.exp(at) * (1 + x - at)) for x in (0.0, 2.0)]
    return lines({"e to the x": curve, "its slope at 1": tangent}, x="x", y_from=0).picture(
        "A curve that is nearly flat on the left and rises ever more steeply on the right, with a straight line "
        "that touches it.",
        f"At $x = 1$ the curve is {math.exp(at):.3f} high, and the straight line that touches it there rises by "
        f"{math.exp(at):.3f} for each step. At $x = -3$ both are only "
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
