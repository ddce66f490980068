"""Problems of the page Sum, mean and spread."""

from __future__ import annotations

import math
import statistics

from docs.problems import Problem


def place() -> Problem:
    """Subscripts on paper and places in Python."""
    x = [7, 3, 8, 1]
    return Problem(
        question=f"The list $x$ is ${', '.join(map(str, x))}$. What is $x_2$ plus `x[2]`?",
        answer=x[1] + x[2],
        steps=[
            f"On paper places are counted from one: $x_2 = {x[1]}$.",
            f"Python counts from zero, so `x[2]` is the third number, ${x[2]}$.",
            f"${x[1]} + {x[2]} = {x[1] + x[2]}$.",
        ],
    )


def sum_of_squares() -> Problem:
    """Reading a sum sign."""
    x = [1, 2, 3]
    answer = sum(value**2 for value in x)
    return Problem(
        question="The list $x$ is $1, 2, 3$. What is $\\sum_{i=1}^{3} x_i^2$?",
        answer=answer,
        steps=["Take each number, square it, and add the results.", f"$1 + 4 + 9 = {answer}$."],
    )


def mean_loss() -> Problem:
    """A mean of four surprises."""
    row = [2.0, 0.5, 4.5, 1.0]
    answer = statistics.mean(row)
    return Problem(
        question=f"A model was surprised by four tokens, by {', '.join(f'${value:g}$' for value in row)}. What is its "
        "mean surprise?",
        answer=answer,
        steps=[f"The sum is ${sum(row):g}$.", f"Shared among four: ${sum(row):g} \\div 4 = {answer:g}$."],
        tolerance=0.005,
        show=f"{answer:g}",
    )


def weighted() -> Problem:
    """A weighted mean."""
    weights, values = (0.5, 0.25, 0.25), (4, 8, 0)
    answer = sum(w * v for w, v in zip(weights, values, strict=True))
    return Problem(
        question="A token reads three values with the weights $0.5$, $0.25$ and $0.25$. The values are "
        "$4$, $8$ and $0$. What does it get?",
        answer=round(answer),
        steps=[
            "Multiply each value by its weight: $2$, $2$ and $0$.",
            f"Add them: ${answer:g}$. The weights add up to one, so there is nothing to divide.",
        ],
    )


def running() -> Problem:
    """One move of a running mean."""
    beta, mean, new = 0.8, 10.0, 20.0
    answer = beta * mean + (1 - beta) * new
    return Problem(
        question=f"A running mean stands at ${mean:g}$, and $\\beta = {beta}$. The next number is ${new:g}$. Where "
        f"does "
        "the running mean stand then?",
        answer=round(answer),
        steps=[
            f"What is kept: ${beta} \\cdot {mean:g} = {beta * mean:g}$.",
            f"What comes in: $(1 - {beta}) \\cdot {new:g} = {(1 - beta) * new:.0f}$.",
            f"Together ${answer:.0f}$: a fifth of the way from ${mean:g}$ to ${new:g}$.",
        ],
    )


def variance() -> Problem:
    """A variance step by step."""
    row = [1, 3, 8]
    mean = sum(row) // len(row)
    squares = [(value - mean) ** 2 for value in row]
    answer = statistics.pvariance(row)
    return Problem(
        question=f"What is the variance of ${', '.join(map(str, row))}$? (two decimals)",
        answer=round(answer, 2),
        steps=[
            f"The mean is ${sum(row)} \\div {len(row)} = {mean}$.",
            f"The squared distances are ${squares[0]}$, ${squares[1]}$ and ${squares[2]}$.",
            f"Their mean is ${sum(squares)} \\div {len(row)} \\approx {answer:.2f}$.",
        ],
        tolerance=0.006,
    )


def deviation() -> Problem:
    """A standard deviation that comes out even."""
    row = [1, 1, 5, 5]
    answer = round(statistics.pstdev(row))
    return Problem(
        question=f"What is the standard deviation of ${', '.join(map(str, row))}$?",
        answer=answer,
        steps=[
            f"The mean is ${sum(row)} \\div {len(row)} = {sum(row) // len(row)}$.",
            "Each number is $2$ away from it. Squared: $4$, four times; the mean of these is $4$.",
            f"The root undoes the squaring: $\\sqrt{{4}} = {answer}$.",
        ],
    )


def spread_of_sum() -> Problem:
    """The spread of a sum of 25 numbers."""
    D = 25
    return Problem(
        f"You add up ${D}$ independent random numbers, each with a variance of one. What is the spread of the sum?",
        round(math.sqrt(D)),
        (
            f"Variances of independent numbers add up, so the sum has the variance ${D}$.",
            rf"The spread is the root: $\sqrt{{{D}}} = {math.sqrt(D):.0f}$.",
        ),
    )
