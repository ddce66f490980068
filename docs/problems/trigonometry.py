"""Practice problems of the page on circles."""

from __future__ import annotations

import math

import torch

from docs.problems import Problem
from nanochat.gpt import apply_rotary, rotary_tables


def half_turn() -> Problem:
    """The cosine of half a turn."""
    return Problem(
        r"The ant has walked $\pi$, half of the way round. What is its cosine?",
        round(math.cos(math.pi)),
        ("Half a turn leads to the leftmost point of the circle.", "That is one to the left of the centre: $-1$."),
    )


def to_radians() -> Problem:
    """Degrees as a way walked."""
    angle = math.radians(180 / 2)
    return Problem(
        r"How many radians are $90$ degrees? Take $2\pi \approx 6.28$. Two decimals.",
        round(angle, 2),
        (r"$90$ degrees are a quarter of a turn.", rf"$6.28 \div 4 = {angle:.2f}$."),
        tolerance=0.005,
    )


def quarter_of_an_arrow() -> Problem:
    """A quarter turn, by the formula."""
    x, y, angle = 2.0, 5.0, math.pi / 2
    across = x * math.cos(angle) + y * math.sin(angle)
    down = y * math.cos(angle) - x * math.sin(angle)
    return Problem(
        "The arrow $(2,\\ 5)$ is turned with the hands of a clock by a quarter turn. Where is its second number then?",
        round(down),
        (
            "For a quarter turn the cosine is $0$ and the sine is $1$.",
            rf"First number: $2 \cdot 0 + 5 \cdot 1 = {across:.0f}$.",
            rf"Second number: $5 \cdot 0 - 2 \cdot 1 = {down:.0f}$.",
        ),
    )


def turned() -> Problem:
    """How far apart two positions are turned."""
    cos, sin = rotary_tables(12, 2)
    x = apply_rotary(torch.ones(1, 12, 1, 2), cos, sin)[0, :, 0]
    gaps = [n for n in range(12) if n < 11 and torch.allclose(x[11] @ x[n], x[7] @ x[3], atol=1e-4)]
    return Problem(
        "A query at position $7$ meets a key at position $3$. The same query and key meet again, and now the query "
        "stands at position $11$. At which position, below $11$, must the key stand for the same dot product?",
        gaps[-1],
        (
            "Only the difference of the positions counts: $7 - 3 = 4$.",
            f"$11 - 4 = {gaps[-1]}$.",
        ),
    )


def once_more_round() -> Problem:
    """A sine after many full turns."""
    value = round(math.sin(0.5), 2)
    later = round(math.sin(0.5 + 3 * 2 * math.pi), 2)
    return Problem(
        rf"The sine of $0.5$ is about ${value}$. What is the sine of $0.5 + 6\pi$? (two decimals)",
        later,
        (r"$6\pi$ are three full turns of $2\pi$.", f"The ant is where it was: ${later}$."),
        tolerance=0.005,
    )


def how_alike() -> Problem:
    """The cosine between two arrows."""
    a, b = torch.tensor([6.0, 8.0]), torch.tensor([5.0, 0.0])
    cosine = (a @ b / (a.norm() * b.norm())).item()
    return Problem(
        r"What is the cosine of the angle between $[\,6,\ 8\,]$ and $[\,5,\ 0\,]$? (one decimal)",
        round(cosine, 1),
        (
            r"The dot product is $6 \cdot 5 + 8 \cdot 0 = 30$.",
            rf"The lengths are $\sqrt{{36 + 64}} = {a.norm():.0f}$ and ${b.norm():.0f}$.",
            rf"$30 \div 50 = {cosine:.1f}$.",
        ),
        tolerance=0.005,
    )


def slow_hand() -> Problem:
    """The angle of a slow pair."""
    position, pair, D, b = 300, 2, 8, 10000
    frequency = b ** (-2 * pair / D)
    return Problem(
        f"A head has $D = {D}$ numbers, and the base is $b = {b}$. By how many radians is the pair with $i = {pair}$ "
        f"turned at "
        f"position ${position}$?",
        round(position * frequency),
        (
            rf"Its frequency is $b^{{-2 \cdot {pair}/{D}}} = b^{{-1/2}}$, one divided by the root of ${b}$: "
            f"${frequency:.2f}$.",
            rf"${position} \cdot {frequency:.2f} = {position * frequency:.0f}$.",
        ),
        unit="radians",
    )
