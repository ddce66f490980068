"""Problems of the big picture."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from docs.problems import Problem


def rabbit_share() -> Problem:
    """A probability by counting."""
    text = "the hat the cat the hat the mat the hat".split()
    after = Counter(second for first, second in pairwise(text) if first == "the")
    return Problem(
        question="A tiny book says: *the hat the cat the hat the mat the hat*. Which probability does the "
        "counting model give "
        "to *hat* after *the*?",
        answer=after["hat"] / after.total(),
        steps=[
            f"Find each *the* that has a word after it: there are {after.total()}.",
            f"The words after them are {', '.join(after.elements())}; {after['hat']} of them are *hat*.",
            f"The share is {after['hat']} out of {after.total()}, which is {after['hat'] / after.total():.1f}.",
        ],
        tolerance=0.005,
        show=f"{after['hat'] / after.total():.1f}",
    )


def loop_calls() -> Problem:
    """One question to the model for each token."""
    question, answer = 12, 40
    return Problem(
        question=f"A question of {question} tokens is answered with {answer} tokens. How many times was a "
        "next token drawn?",
        answer=answer,
        steps=[
            f"The {question} tokens of the question are given; nothing is drawn for them.",
            "Each token of the answer is drawn once, and then becomes part of the text for the next draw.",
            f"So {answer} draws.",
        ],
        unit="draws",
    )
