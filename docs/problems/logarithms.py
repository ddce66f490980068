"""Practice problems about logarithms and surprise; the answers are computed."""

from __future__ import annotations

import math

from docs.problems import Problem


def folds() -> Problem:
    """A logarithm of base two."""
    answer = int(math.log2(64))
    return Problem(
        "What is $\\log_2 64$?",
        answer,
        ["How often must 1 be doubled to reach 64?", "2, 4, 8, 16, 32, 64.", f"{answer} times."],
    )


def product() -> Problem:
    """Logarithms turn products into sums."""
    two, five = round(math.log(2), 3), round(math.log(5), 3)
    answer = math.log(20)
    return Problem(
        f"You know that $\\log 2$ is {two} and $\\log 5$ is {five}. What is $\\log 20$? (two decimals)",
        round(answer, 2),
        ["$20 = 2 \\cdot 2 \\cdot 5$.", f"So $\\log 20 = {two} + {two} + {five} = {2 * two + five:.3f}$."],
        tolerance=0.006,
    )


def two_coins() -> Problem:
    """The surprises of several coins."""
    one, answer = round(math.log(2), 3), round(-math.log(1 / 32), 2)
    return Problem(
        "Five fair coins all show heads. How surprising is that? (two decimals, with the natural logarithm)",
        answer,
        [
            f"Each coin has the probability one half, which is a surprise of ${one}$.",
            "The surprises of things that have nothing to do with each other add up.",
            f"$5 \\cdot {one} = {5 * one:.3f}$.",
        ],
        tolerance=0.006,
        unit="nats",
    )


def mean_surprise() -> Problem:
    """Cross-entropy of three guesses."""
    guesses = (0.5, 0.5, 0.125)
    each = [-math.log2(p) for p in guesses]
    return Problem(
        "A model gave the three real tokens of a text the probabilities 1/2, 1/2 and 1/8. What is its mean "
        "surprise in bits? (two decimals)",
        round(sum(each) / 3, 2),
        [
            f"The surprises are {each[0]:g}, {each[1]:g} and {each[2]:g} bits.",
            f"Their mean is $({each[0]:g} + {each[1]:g} + {each[2]:g}) / 3 \\approx {sum(each) / 3:.3f}$.",
        ],
        tolerance=0.005,
        unit="bits",
    )


def perplexity() -> Problem:
    """From a loss to a perplexity."""
    choices = 512
    return Problem(
        f"A new model has a vocabulary of {choices} tokens and a loss of {math.log(choices):.3f} nats. What is its "
        "perplexity?",
        choices,
        [
            "Perplexity is $e$ raised to the loss.",
            f"The loss is $\\log {choices}$, and $e$ raised to the logarithm of a number is that number: {choices}.",
        ],
    )


def nats_to_bits() -> Problem:
    """A change of unit."""
    nats = 2.0
    answer = nats / math.log(2)
    return Problem(
        f"A loss is {nats:g} nats. How many bits are that? (two decimals)",
        round(answer, 2),
        ["One bit is $\\ln 2$ nats, so divide by $\\ln 2$.", f"${nats:g} / {math.log(2):.4f} \\approx {answer:.2f}$."],
        tolerance=0.005,
        unit="bits",
    )


def doublings() -> Problem:
    """Growing by a factor, several times."""
    start, steps = 3, 5
    return Problem(
        f"A pond holds {start} water lilies, and each week there are twice as many. How many are there after {steps} "
        f"weeks?",
        start * 2**steps,
        [
            f"{steps} doublings are a factor of $2^{steps} = {2**steps}$.",
            f"${start} \\cdot {2**steps} = {start * 2**steps}$.",
        ],
    )


def steep_as_high() -> Problem:
    """The slope of the exponential function."""
    height = 7.39
    return Problem(
        f"At $x = 2$ the curve of $e^x$ is about {height} high. A step of $0.1$ to the right raises it by about how "
        f"much? "
        "(two decimals)",
        round(height * 0.1, 2),
        [
            f"The slope equals the height, so it is {height} as well.",
            f"Slope times step: ${height} \\cdot 0.1 \\approx {height * 0.1:.2f}$. (The truth is "
            f"{math.exp(2.1) - math.exp(2):.2f}, since the curve gets steeper on the way.)",
        ],
        tolerance=0.045,
    )
