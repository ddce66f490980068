"""Problems of the pages Numbers and Probability."""

from __future__ import annotations

import math

import torch

from docs.problems import Problem


def left_and_right() -> Problem:
    """Adding with negative numbers."""
    answer = -4 + 7 - (-2)
    return Problem(
        question="Start at $-4$, add $7$ and take away $-2$. Where are you?",
        answer=answer,
        steps=[
            "$-4 + 7$ walks seven steps right and arrives at $3$.",
            f"Taking away $-2$ walks two more steps right: $3 - (-2) = {answer}$.",
        ],
    )


def two_debts() -> Problem:
    """Signs in a product."""
    answer = -3 * 2 * -5
    return Problem(
        question="What is $(-3) \\times 2 \\times (-5)$?",
        answer=answer,
        steps=[
            "$(-3) \\times 2 = -6$: different signs give minus.",
            f"$(-6) \\times (-5) = {answer}$: same signs give plus.",
        ],
    )


def order_of_steps() -> Problem:
    """Brackets and the order of operations."""
    answer = 20 - 2 * (3 + 4)
    return Problem(
        question="What is $20 - 2 \\times (3 + 4)$?",
        answer=answer,
        steps=[
            "Brackets first: $3 + 4 = 7$.",
            "Then the multiplication: $2 \\times 7 = 14$.",
            f"Then the subtraction: $20 - 14 = {answer}$.",
        ],
    )


def power_of_two() -> Problem:
    """Adding exponents."""
    answer = int(math.log2(2**6 * 2**4))
    return Problem(
        question="$2^6 \\times 2^4$ is two to which power?",
        answer=answer,
        steps=[
            "Six factors of two and four more stand in one row.",
            f"$6 + 4 = {answer}$, so it is $2^{{{answer}}} = {2**answer}$.",
        ],
    )


def root() -> Problem:
    """A root that comes out even."""
    answer = math.isqrt(64)
    return Problem(
        question="A head of attention has $64$ channels, and its scores are divided by the square root of "
        "that. By which number?",
        answer=answer,
        steps=[
            "Look for the number that gives $64$ when multiplied with itself.",
            f"${answer} \\times {answer} = 64$.",
        ],
    )


def percent_of() -> Problem:
    """Share of one number in another."""
    part, whole = 384, 4135
    answer = round(100 * part / whole, 1)
    return Problem(
        question=f"Of {whole:,} words, {part} are not on a list. How many per cent is that? (One decimal.)",
        answer=answer,
        steps=[
            f"Divide the part by the whole: {part} ÷ {whole:,} = {part / whole:.4f}…",
            f"Times a hundred: {answer}.",
        ],
        tolerance=0.06,
        unit="%",
    )


def not_blue() -> Problem:
    """One minus a probability."""
    answer = round(1 - (0.15 + 0.25), 2)
    return Problem(
        question="A model gives *cat* a probability of $0.15$ and *dog* one of $0.25$. How much is "
        "left for all other tokens?",
        answer=answer,
        steps=["*cat* or *dog*: add, $0.15 + 0.25 = 0.4$.", f"Everything else: $1 - 0.4 = {answer}$."],
        tolerance=0.001,
    )


def two_in_a_row() -> Problem:
    """The probability of a row of tokens."""
    answer = round(0.5 * 0.2 * 0.9, 3)
    return Problem(
        question="A model gives the three tokens of an answer the probabilities $0.5$, $0.2$ and $0.9$, one "
        "after the other. How likely is the whole answer?",
        answer=answer,
        steps=["One after the other: multiply.", "$0.5 \\times 0.2 = 0.1$.", f"$0.1 \\times 0.9 = {answer}$."],
        tolerance=0.0005,
    )


def given_the() -> Problem:
    """A conditional probability by counting."""
    rows = ["the cat", "the dog", "a cat", "the cat", "a cat", "the cat"]
    with_the = [row for row in rows if row.startswith("the")]
    answer = with_the.count("the cat") / len(with_the)
    return Problem(
        question=f"We counted these pairs of words: {', '.join(rows)}. What is $p(\\text{{cat}} \\mid \\text{{the}})$?",
        answer=answer,
        steps=[
            f"Look only at the pairs that begin with *the*: there are {len(with_the)}.",
            f"Of these, {with_the.count('the cat')} go on with *cat*: {with_the.count('the cat')} ÷ "
            f"{len(with_the)} = {answer}.",
        ],
        tolerance=0.005,
    )


def which_strip() -> Problem:
    """Sampling by hand."""
    p, draw = {"red": 0.4, "green": 0.35, "blue": 0.25}, 0.71
    edges, total = {}, 0.0
    for name, share in p.items():
        edges[name] = (round(total, 2), round(total + share, 2))
        total += share
    answer = next(name for name, (low, high) in edges.items() if low <= draw < high)
    return Problem(
        question="Red has $0.4$, green $0.35$ and blue $0.25$, laid on the line in this order. The random "
        f"number is ${draw}$. Which colour is drawn?",
        answer=answer,
        steps=[
            ", ".join(f"{name} lies from {low} to {high}" for name, (low, high) in edges.items()).capitalize() + ".",
            f"${draw}$ falls onto {answer}.",
        ],
    )


def how_many_draws() -> Problem:
    """The wobble shrinks with the root."""
    times = 5
    return Problem(
        question=f"A score is measured with {100} questions. How many times as many would you need for a "
        f"wobble {times} times smaller?",
        answer=times**2,
        steps=[
            "The wobble shrinks with the square root of the number of draws.",
            f"A root {times} times as large needs a number ${times} \\times {times} = {times**2}$ times as large.",
        ],
        unit="times",
    )


def share_out() -> Problem:
    """A division below and above the line."""
    answer = (10 + 14) / (2 * 4)
    return Problem(
        question="What is $\\frac{10 + 14}{2 \\times 4}$?",
        answer=round(answer),
        steps=[
            "Above the line: $10 + 14 = 24$.",
            "Below it: $2 \\times 4 = 8$.",
            f"Then divide: $24 \\div 8 = {answer:.0f}$.",
        ],
    )


def up_and_down() -> Problem:
    """Two percentages, one after the other."""
    after = round(200 * 1.25 * 0.8)
    return Problem(
        question="A row of $200$ tokens becomes $25\\,\\%$ longer, and then $20\\,\\%$ shorter than that. How long is "
        "it?",
        answer=after,
        steps=[
            "$25\\,\\%$ of $200$ is $0.25 \\times 200 = 50$, so it grows to $250$.",
            f"$20\\,\\%$ of $250$ is $0.2 \\times 250 = 50$, so it shrinks to ${after}$. Here the two cancel: a "
            "quarter of the small one is a fifth of the large one.",
        ],
        unit="tokens",
    )


def greatest() -> Problem:
    """The order of numbers on both sides of zero."""
    scores = {"the": -0.5, "cat": -3.0, "sat": -2.9}
    best = max(scores, key=scores.__getitem__)
    listed = ", ".join(f"*{word}* ${score:g}$" for word, score in scores.items())
    return Problem(
        question=f"Three tokens have these scores: {listed}. Which token is the favourite?",
        answer=best,
        steps=[
            "The favourite is the one furthest to the right on the line.",
            f"All are negative, so look for the one nearest to zero: ${scores[best]:g}$, which is *{best}*.",
        ],
    )


def size_of() -> Problem:
    """The size of a negative number."""
    answer = abs(-7) + abs(2)
    return Problem(
        question="What is $|{-7}| + |2|$?",
        answer=answer,
        steps=["$-7$ is seven steps from zero, so $|{-7}| = 7$.", f"$|2| = 2$, and $7 + 2 = {answer}$."],
    )


def lost_in_rounding() -> Problem:
    """What short numbers do to a sum."""
    total = torch.tensor(256.0, dtype=torch.bfloat16)
    for _ in range(10):
        total = total + 1
    answer = round(total.item())
    return Problem(
        question="Start at $256$ in short numbers, and add one, ten times in a row. Where do you arrive? (The last "
        "lines of code above tell.)",
        answer=answer,
        steps=[
            "The next short number after $256$ is further away than one. So $256 + 1$ is rounded back to $256$.",
            f"The same happens ten times: you are still at ${answer}$.",
        ],
    )
