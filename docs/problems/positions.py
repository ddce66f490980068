"""Practice problems of the chapter on positions; the answers are computed."""

from __future__ import annotations

import math

import torch

from docs.pictures import bench
from docs.problems import Problem
from nanochat.gpt import GPTConfig, apply_rotary, rotary_tables


def same_distance() -> Problem:
    """Which key gives the same score."""
    near, query = (20, 14), 50
    score = bench.rotated_dot(*near)
    key = min(range(100), key=lambda place: abs(bench.rotated_dot(query, place) - score))
    return Problem(
        f"A query at position {near[0]} and a key at position {near[1]} give some score. The same query is moved to "
        f"position {query}. Where must the same key stand to give the same score?",
        key,
        (
            "Only the distance counts.",
            f"It was $20 - 14 = {near[0] - near[1]}$, so the key stands at $50 - {near[0] - near[1]} = {key}$.",
        ),
    )


def full_circle() -> Problem:
    """After how many tokens a clock shows the same again."""
    speed = 0.1
    tokens = 2 * math.pi / speed
    return Problem(
        f"The hand of a pair turns by ${speed}$ radians a token. After how many tokens has it come full circle? "
        "(to a whole token)",
        round(tokens),
        (
            "A full circle is $2\\pi$ radians, about $6.28$.",
            f"$6.28 \\div {speed} \\approx {tokens:.1f}$.",
        ),
        unit="tokens",
    )


def turned_pair() -> Problem:
    """One pair at one position, by hand."""
    cos, sin = rotary_tables(3, 2)
    x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    first, second = apply_rotary(x, cos, sin)[0, 2, 0].tolist()
    return Problem(
        "A head has a single pair, which turns by $1$ radian a token. At position 2 a query has the numbers "
        "$(0, 1)$. What is the first of the two after turning? ($\\cos 2 \\approx -0.42$ and $\\sin 2 \\approx 0.91$; "
        "two decimals)",
        round(first, 2),
        (
            "The first number becomes $x_1 \\cos\\varphi + x_2 \\sin\\varphi$ with $\\varphi = 2 \\cdot 1$.",
            f"$0 \\cdot (-0.42) + 1 \\cdot 0.91 = {first:.2f}$. (The second becomes ${second:.2f}$.)",
        ),
        tolerance=0.006,
    )


def score_of_a_pair() -> Problem:
    """A score by the angle between two hands."""
    cos, sin = rotary_tables(13, 2)
    x = torch.tensor([2.0, 0.0]).view(1, 1, 1, 2).expand(1, 13, 1, 2)
    turned = apply_rotary(x, cos, sin)[0, :, 0]
    dot = (turned[12] @ turned[9]).item()
    return Problem(
        "A query and a key are both $(2, 0)$ before they are turned, in a pair that turns by $1$ radian a token. The "
        "query stands at position 12, the key at position 9. What is their dot product, "
        "to a whole number? Take $\\cos 3 \\approx -0.99$.",
        round(dot),
        (
            "The angle between the hands is $(12 - 9) \\cdot 1 = 3$ radians. Both hands keep their length, $2$.",
            f"The dot product is length times length times cosine: $2 \\cdot 2 \\cdot (-0.99) \\approx {dot:.2f}$.",
        ),
    )


def speed_of_pair() -> Problem:
    """The speed of one pair from the formula."""
    base, size = GPTConfig().rope_theta, 64
    cos, sin = rotary_tables(2, size)
    pair = 16
    speed = torch.atan2(sin[1, pair], cos[1, pair]).item()
    return Problem(
        f"A head has {size} channels and the base {base:,.0f}. Counted from zero, how fast does pair $i = {pair}$ "
        "turn, in radians a token? (two decimals)",
        round(speed, 2),
        (
            f"The exponent is $-2i/D = -{2 * pair}/{size} = -{2 * pair / size}$.",
            f"${base:.0f}^{{-0.5}} = 1/\\sqrt{{{base:.0f}}} = 1/{math.sqrt(base):.0f} = {speed:.2f}$.",
        ),
        tolerance=0.0005,
    )
