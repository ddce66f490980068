"""The pictures of the page on notation."""

from __future__ import annotations

import math

from docs.pictures import Box, Picture, flow


def taken_apart() -> Picture:
    """The formula of the loss, step by step, with numbers."""
    p = (0.5, 0.25, 0.5)
    logs = [math.log(one) for one in p]
    total = sum(logs)
    loss = -total / len(p)

    def said(numbers: list[float]) -> str:
        return ", ".join(f"{number:.2f}" for number in numbers).replace("-", "−")

    drawing = flow(
        [
            Box(said(list(p)), "three probabilities", "amber"),
            Box(said(logs), "their logarithms"),
            Box(said([total]), "added up"),
            Box(said([total / len(p)]), "divided by 3"),
            Box(said([loss]), "the loss", "violet"),
        ],
        ["log", "sum", "one over n", "minus"],
    )
    return drawing.picture(
        alt="Five boxes from top to bottom: three probabilities, their logarithms, the sum, the sum divided by "
        "three, and "
        "the same without its minus.",
        caption=f"The formula from the inside out, for three tokens. Each sign is one step, and the last one gives "
        f"{loss:.2f}.",
    )


def one_step() -> Picture:
    """A weight takes one step of training, letter by letter."""
    weight, rate, slope = 2.0, 0.1, 3.0
    step = rate * slope
    drawing = flow(
        [
            Box(f"g = {slope:g}", "slope", "amber"),
            Box(f"η g = {step:.1f}", "eta times g"),
            Box(f"w − η g = {weight - step:.1f}", "the new weight", "violet"),
        ],
        [f"times η = {rate:g}", f"taken from w = {weight:g}"],
    )
    return drawing.picture(
        alt="Three boxes from top to bottom: the slope g, eta times g, and the weight w minus that.",
        caption=f"One step, letter by letter: {rate:g} times {slope:g} is {step:.1f}, and {weight:g} minus that is "
        f"{weight - step:.1f}. The weight moves by a tenth of its slope.",
    )
