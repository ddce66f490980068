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


def of_minus_four() -> Problem:
    """A function of a negative number."""

    def f(x: int) -> int:
        return 3 * x + 2

    return Problem(
        "Take $f(x) = 3x + 2$. What is $f(-4)$?",
        f(-4),
        (r"Put $-4$ in the place of $x$: $3 \cdot (-4) + 2$.", f"$-12 + 2 = {f(-4)}$."),
    )


def off_the_curve() -> Problem:
    """Two inputs with one output."""
    x = 3
    return Problem(
        f"At $x = {x}$ the curve of $f(x) = x^2$ is ${x * x}$ high. At which other place is it equally high?",
        -x,
        (
            f"Look for another number whose square is ${x * x}$.",
            f"$(-{x}) \\cdot (-{x}) = {x * x}$: the curve is the same on both sides of zero.",
        ),
    )


def chained() -> Problem:
    """Two functions, from the inside."""

    def f(x: int) -> int:
        return x - 5

    def g(x: int) -> int:
        return x * x

    return Problem(
        "Let $f(x) = x - 5$ and $F(x) = x^2$. What is $F(f(2))$?",
        g(f(2)),
        (f"From the inside: $f(2) = 2 - 5 = {f(2)}$.", f"Then $F({f(2)}) = ({f(2)})^2 = {g(f(2))}$."),
    )


def through_the_valve() -> Problem:
    """A sum after ReLU."""
    x = torch.tensor([-3.0, 2.0, -1.0, 4.0])
    total = x.relu().sum().item()
    return Problem(
        r"The vector $[\,-3,\ 2,\ -1,\ 4\,]$ goes through ReLU. What is the sum of what comes out?",
        round(total),
        ("The negative numbers become zero.", f"$0 + 2 + 0 + 4 = {total:.0f}$."),
    )


def usual_size() -> Problem:
    """A root mean square that comes out even."""
    x = torch.tensor([2.0, -2.0, 4.0, 0.0, -4.0, 2.0, -2.0, 4.0])
    usual = x.square().mean().sqrt().item()
    squares = x.square().int().tolist()
    return Problem(
        r"What is the root mean square of $[\,2,\ -2,\ 4,\ 0,\ -4,\ 2,\ -2,\ 4\,]$? (two decimals)",
        round(usual, 2),
        (
            f"The squares are ${', '.join(map(str, squares))}$; together ${sum(squares)}$.",
            rf"Their mean is ${sum(squares)} \div {len(squares)} = {sum(squares) // len(squares)}$.",
            rf"The root is $\sqrt{{{sum(squares) // len(squares)}}} \approx {usual:.2f}$.",
        ),
        tolerance=0.006,
    )
