"""The practice problems of the page on examinations; each answer is computed."""

from __future__ import annotations

from docs.problems import Problem
from nanochat.core import CoreTaskScore
from nanochat.evaluate import TaskScore


def centered_mark() -> Problem:
    """A centered accuracy."""
    score = CoreTaskScore("quiz", accuracy=0.7, chance=0.2, questions=100, cropped=0)
    return Problem(
        f"A task has five boxes for each question. A model ticks {score.accuracy:.0%} of them right. What is its "
        "centered mark? (three decimals)",
        round(score.centered, 3),
        [
            f"Guessing is right one time in five: ${score.chance}$.",
            f"Above guessing lie ${score.accuracy} - {score.chance} = {score.accuracy - score.chance:.1f}$.",
            f"From guessing to no mistake it is ${1 - score.chance}$.",
            f"${score.accuracy - score.chance:.1f} / {1 - score.chance} = {score.centered:.3f}$.",
        ],
        tolerance=0.001,
    )


def enough_questions() -> Problem:
    """How many questions a small margin takes."""
    score = TaskScore("quiz", total=400, reward=200, correct=200, well_formed=400, too_long=0, chance=0)
    wanted = score.margin / 2
    return Problem(
        f"On {score.total} questions half of the answers are right, and the margin is {100 * score.margin:.1f} "
        f"points. How many questions would make it {100 * wanted:.2f} points?",
        round(0.25 / wanted**2),
        [
            "The margin is a root of something divided by the number of questions.",
            "Half the margin takes four times as many questions.",
            f"$4 \\cdot {score.total} = {4 * score.total}$.",
        ],
        unit="questions",
    )


def longer_answer() -> Problem:
    """Which of two answers is chosen."""
    short, long = 3.0, 2.5
    return Problem(
        f"A model's surprise at an answer of two tokens is {short:g} nats for each of them; at another answer, of "
        f"eight tokens, it is {long:g} nats for each. How much larger would the surprise at the longer answer be, if "
        "the tokens were added up and no mean was taken? (in nats)",
        round(8 * long - 2 * short),
        [
            f"The short answer: $2 \\cdot {short:g} = {2 * short:g}$.",
            f"The long one: $8 \\cdot {long:g} = {8 * long:g}$.",
            f"${8 * long:g} - {2 * short:g} = {8 * long - 2 * short:g}$. Added up, the long answer would lose; by the "
            "mean it wins.",
        ],
        unit="nats",
    )
