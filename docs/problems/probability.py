"""More problems of the page on probability; others are in docs/problems/numbers.py."""

from __future__ import annotations

import random

from docs.problems import Problem


def green_ball() -> Problem:
    """A share as a probability."""
    green, others = 5, 15
    answer = green / (green + others)
    return Problem(
        f"A bag holds {green} green balls and {others} others. How likely is it to draw a green one? (as a number "
        f"from zero "
        "to one)",
        answer,
        [
            f"There are ${green} + {others} = {green + others}$ balls, all equally likely.",
            f"${green} \\div {green + others} = {answer:g}$.",
        ],
        tolerance=0.001,
        show=f"{answer:g}",
    )


def either_way() -> Problem:
    """The sum of two tokens."""
    small, large = 0.35, 0.08
    return Problem(
        f"A model gives *the* a probability of ${small}$ and *The* one of ${large}$. How likely is it that the next "
        f"token is "
        "this word, written either way?",
        round(small + large, 2),
        ["It cannot be both, so add.", f"${small} + {large} = {small + large:.2f}$."],
        tolerance=0.001,
    )


def same_seed() -> Problem:
    """What a seed promises."""
    one, two = random.Random(7), random.Random(7)
    throws = [one.randint(1, 6) for _ in range(8)]
    two_throws = [two.randint(1, 6) for _ in range(8)]
    return Problem(
        "Your friend runs the code above on another computer, also with the seed $7$, and throws the die four times. "
        "What "
        "does the fourth throw show?",
        two_throws[3],
        [
            "The same seed gives the same row, wherever the same program runs.",
            f"The row for the seed $7$ begins with {', '.join(map(str, throws[:4]))}.",
        ],
    )


def worth_of_a_game() -> Problem:
    """An expectation of two outcomes."""
    win, p, lose = 5, 0.3, -1
    answer = win * p + lose * (1 - p)
    return Problem(
        f"A game brings ${win}$ with a probability of ${p}$ and costs ${-lose}$ otherwise. What is its expectation?",
        round(answer, 2),
        [
            f"Otherwise means with a probability of $1 - {p} = {1 - p:.1f}$.",
            f"${p} \\times {win} = {win * p:g}$ and ${1 - p:.1f} \\times ({lose}) = {lose * (1 - p):.1f}$.",
            f"Together ${answer:.1f}$.",
        ],
        tolerance=0.005,
    )
