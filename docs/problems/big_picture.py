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


def no_note() -> Problem:
    """Runs that a notebook does not hold."""
    learned, new = "the cat sat on the mat".split(), "the cat sat on a mat".split()
    known = set(zip(learned, learned[1:], learned[2:], strict=False))
    missing = [run for run in zip(new, new[1:], new[2:], strict=False) if run not in known]
    return Problem(
        question=f"A counting model has noted every run of three words of *{' '.join(learned)}*. How many runs of "
        f"three words of *{' '.join(new)}* are new to it?",
        answer=len(missing),
        steps=[
            f"The new text has {len(new) - 2} runs of three words, one from each word but the last two.",
            "Not among the notes: " + ", ".join(f"*{' '.join(run)}*" for run in missing) + ".",
        ],
        unit="runs",
    )


def share_from_notes() -> Problem:
    """What is left for the words that are not named."""
    p = {"Mock": 0.03, "March": 0.02, "Queen": 0.02}
    rest = round(1 - sum(p.values()), 2)
    return Problem(
        question="A model gives *Mock* a probability of $0.03$ after *the*, *March* one of $0.02$ and *Queen* one of "
        "$0.02$. All probabilities together are $1$. How much do all other words share?",
        answer=rest,
        steps=["Add up: $0.03 + 0.02 + 0.02 = 0.07$.", f"What is left: $1 - 0.07 = {rest}$."],
        tolerance=0.001,
    )
