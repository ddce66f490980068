"""Practice problems of the page on functions."""

from __future__ import annotations

import math

import torch

from docs.problems import Problem
from nanochat.gpt import rms_norm, soft_cap


def softmax_share() -> Problem:
    """Equal scores."""
    share = torch.full((4,), 7.0).softmax(dim=0)[0].item()
    return Problem(
        "Four scores are all $7$. What is the softmax share of each?",
        round(share, 2),
        (
            "Only differences count, and there are none: all four shares are equal.",
            rf"They add up to one, so each is $1 \div 4 = {share:.2f}$.",
        ),
        tolerance=0.005,
    )


def masked() -> Problem:
    """A mask leaves two equal scores."""
    share = torch.tensor([3.0, -torch.inf, 3.0, -torch.inf]).softmax(dim=0)[0].item()
    return Problem(
        r"The scores are $3$, $-\infty$, $3$ and $-\infty$. What share does the first get?",
        round(share, 2),
        (
            r"The places with $-\infty$ get exactly zero.",
            f"Two equal scores remain and divide everything between them: ${share:.1f}$ each.",
        ),
        tolerance=0.005,
    )


def relu_squared() -> Problem:
    """A sum of bends."""
    x = torch.tensor([-3.0, 0.5, 2.0])
    total = x.relu().square().sum().item()
    return Problem(
        r"Compute $\operatorname{ReLU}(x)^2$ for $x = -3$, $x = 0.5$ and $x = 2$, and add the three results.",
        round(total, 2),
        (
            "The first is negative, so ReLU makes it zero.",
            "The others are squared: $0.25$ and $4$.",
            f"Together: ${total:.2f}$.",
        ),
        tolerance=0.005,
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


def rms() -> Problem:
    """A length after normalisation."""
    x = torch.arange(1.0, 17.0)
    length = rms_norm(x).norm().item()
    return Problem(
        "A vector of $16$ numbers goes through RMSNorm. How long is the arrow afterwards?",
        round(length),
        (
            "Afterwards the mean of the squares is one, so the sum of the $16$ squares is $16$.",
            rf"The length is the root of that sum: $\sqrt{{16}} = {length:.0f}$.",
        ),
    )


def two_steps() -> Problem:
    """Steps of the exponential function."""
    ratio = round(math.exp(5) / math.exp(3), 2)
    return Problem(
        r"How many times as large as $e^3$ is $e^5$? Take $e \approx 2.718$. One decimal will do.",
        round(ratio, 1),
        (
            "From $3$ to $5$ are two steps to the right, and each multiplies by $e$.",
            rf"$2.718 \cdot 2.718 \approx {ratio}$.",
        ),
        tolerance=0.06,
    )


def where_largest() -> Problem:
    """The argmax, counted as Python counts."""
    scores = torch.tensor([0.5, -3.0, 2.5, 1.0])
    place = int(scores.argmax())
    return Problem(
        r"What is the argmax of $[\,0.5,\ -3,\ 2.5,\ 1\,]$? Count the places as Python does.",
        place,
        (f"The largest number is ${scores[place]:.1f}$.", f"It stands third, which is place {place} for Python."),
    )


def never_past() -> Problem:
    """What a soft cap lets out."""
    z = torch.tensor([3.0, 50.0, 2000.0])
    bent = soft_cap(z, 15.0)
    whole = int((bent.round(decimals=1) == 15.0).sum())
    return Problem(
        "The numbers $3$, $50$ and $2000$ go through a soft cap of $15$. Rounded to one decimal, two of the results "
        "are the same. What are they?",
        round(bent[-1].item()),
        (
            "$3$ is small beside the cap, so it stays nearly as it is.",
            rf"For the other {whole}, $z / c$ is above $3$, where $\tanh$ is above $0.99$. Both bend to about $15$ and "
            "never pass it.",
        ),
    )
