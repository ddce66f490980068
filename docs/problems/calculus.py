"""Practice problems about slopes; the answers are computed."""

from __future__ import annotations

import math

from docs.problems import Problem


def slope_by_nudging() -> Problem:
    """Rise over run with a small step."""
    x, step = 5.0, 0.01
    rise = (x + step) ** 2 - x**2
    return Problem(
        f"Take $f(x) = x^2$. Go from {x:g} to {x + step:g}. What is rise over run? (two decimals)",
        round(rise / step, 2),
        [
            f"$f({x + step:g}) = {(x + step) ** 2:.4f}$ and $f({x:g}) = {x * x:g}$.",
            f"The rise is {rise:.4f}, the run is {step:g}.",
            f"${rise:.4f} / {step:g} = {rise / step:.2f}$, close to the derivative $2x = {2 * x:g}$.",
        ],
        tolerance=0.005,
    )


def derivative_at() -> Problem:
    """A derivative from the table."""
    x = 4
    return Problem(
        "What is the derivative of $f(x) = 2x^2 + 3x + 8$ at $x = 4$?",
        4 * x + 3,
        [
            "The derivative of $2x^2$ is $2 \\cdot 2x = 4x$.",
            "The derivative of $3x$ is $3$, and that of the constant is $0$.",
            f"Together $4x + 3$; at {x} that is ${4 * x} + 3 = {4 * x + 3}$.",
        ],
    )


def partial() -> Problem:
    """A partial derivative."""
    x, y = 2, 5
    return Problem(
        f"Take $f(x, y) = x^2 \\cdot y$. What is the partial derivative by $x$ at $x = {x}$, $y = {y}$?",
        2 * x * y,
        [
            "Hold $y$ still: it is now a number like any other.",
            "The derivative of $x^2$ is $2x$, so that of $x^2 \\cdot y$ is $2x \\cdot y$.",
            f"$2 \\cdot {x} \\cdot {y} = {2 * x * y}$.",
        ],
    )


def steepness() -> Problem:
    """The length of a gradient."""
    gx, gy = 6, 8
    size = int(math.hypot(gx, gy))
    return Problem(
        f"At some place the partial derivatives are {gx} and {gy}. How steep is it there, straight uphill?",
        size,
        [
            "Straight uphill is along the gradient, and the slope there is the gradient's length.",
            f"${gx}^2 + {gy}^2 = {gx * gx + gy * gy}$, and its square root is {size}.",
        ],
    )


def chain_of_three() -> Problem:
    """The chain rule with three links."""
    slopes = (2, -3, 4)
    answer = math.prod(slopes)
    return Problem(
        f"A chain of three calculations has, at the place where we stand, links with the slopes ${slopes[0]}$, "
        f"${slopes[1]}$ and ${slopes[2]}$. By how much does the last "
        "output change for each unit of the first input?",
        answer,
        [
            "Slopes of a chain are multiplied.",
            f"${slopes[0]} \\cdot ({slopes[1]}) \\cdot {slopes[2]} = {answer}$.",
            "The result is negative: the output falls when the input grows.",
        ],
    )


def pull_on_scores() -> Problem:
    """The slope of the loss by the score of the right token."""
    p = 0.15
    return Problem(
        f"A model gave the right token a probability of {p:g}. What is the slope of the loss by that token's score?",
        round(p - 1, 2),
        [
            "For the right token the slope is its probability minus one.",
            f"${p:g} - 1 = {p - 1:g}$: raising the score would lower the loss.",
        ],
        tolerance=0.001,
    )


def rise_over_run() -> Problem:
    """The slope of a straight ramp."""
    (x1, y1), (x2, y2) = (2, 10), (6, 2)
    answer = (y2 - y1) // (x2 - x1)
    return Problem(
        f"A straight path leads from the place $({x1},\\ {y1})$ to the place $({x2},\\ {y2})$. What is its slope?",
        answer,
        [
            f"The rise is ${y2} - {y1} = {y2 - y1}$: it goes down.",
            f"The run is ${x2} - {x1} = {x2 - x1}$.",
            f"${y2 - y1} \\div {x2 - x1} = {answer}$.",
        ],
    )


def one_step_down() -> Problem:
    """One step against a slope."""
    place, rate = 5.0, 0.1
    slope = 2 * place
    answer = place - rate * slope
    return Problem(
        f"You stand at $x = {place:g}$ on the curve $f(x) = x^2$ and take one step downhill, with a learning rate of "
        f"${rate}$. "
        "Where are you then?",
        round(answer),
        [
            f"The slope is $2x = {slope:g}$: uphill is to the right.",
            f"The step is ${rate} \\cdot {slope:g} = {rate * slope:g}$ long, to the left.",
            f"${place:g} - {rate * slope:g} = {answer:g}$.",
        ],
    )
