"""Pictures of the page Sum, mean and spread."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import torch

from docs.pictures import (
    SMALL,
    TEXT,
    Drawing,
    Picture,
    bars,
    label,
    lines,
    number_line,
    path,
    rect,
    stack,
    title,
)

COINS = (2, 4, 4, 6, 9)
"""What the five friends have."""


def places() -> Picture:
    """A list, its subscripts, and how Python counts."""
    cell, left, shapes = 58.0, 96.0, []
    for row, words in enumerate(("on paper", "the list", "in Python")):
        shapes.append(label(left - 12, 22 + 40 * row, words, SMALL, "muted", "end"))
    for place, number in enumerate(COINS):
        x = left + place * cell
        shapes.append(label(x + 26, 22, f"x{chr(0x2081 + place)}", TEXT, "violet", bold=True))
        shapes.append(rect(x, 44, 52, 36, "accent", 0.16))
        shapes.append(label(x + 26, 62, f"{number}", TEXT, mono=True))
        shapes.append(label(x + 26, 102, f"x[{place}]", SMALL, "amber", mono=True))
    text = "\n".join(f"x_{place + 1} = {number}   x[{place}] in Python" for place, number in enumerate(COINS))
    return Drawing("".join(shapes), 116, text).picture(
        alt="Five boxes with the numbers 2, 4, 4, 6 and 9. Above them stand x one to x five, below them the places as "
        "Python counts them, zero to four.",
        caption=f"A list of {len(COINS)} numbers. On paper the last place is $x_{len(COINS)}$, in Python it is "
        f"`x[{len(COINS) - 1}]`; both hold ${COINS[-1]}$.",
    )


def running_total() -> Picture:
    """The total after each place."""
    totals = list(itertools.accumulate(COINS))
    steps = enumerate(zip(COINS, totals, strict=True), 1)
    values = {f"i = {place}, add {number}": float(total) for place, (number, total) in steps}
    return bars(values, "{:.0f}".format).picture(
        alt="Five bars that grow from 2 to 25: the total after each number that was added.",
        caption=f"The loop behind the sign: the total grows place by place, and after the last one it is "
        f"${totals[-1]}$.",
    )


def levelled() -> Picture:
    """Heaps of coins, and the height that all have when they are levelled."""
    mean = statistics.mean(COINS)
    unit, wide, left, floor = 15.0, 46.0, 70.0, 152.0
    shapes = []
    for place, number in enumerate(COINS):
        x = left + place * (wide + 10)
        for coin in range(number):
            ink = "amber" if coin >= mean else "accent"
            shapes.append(rect(x, floor - unit * (coin + 1) + 2, wide, unit - 3, ink, 0.5, 6, edge=False))
        shapes.append(label(x + wide / 2, floor + 13, f"{number}", SMALL, mono=True))
    height = floor - unit * mean
    shapes.append(path([(left - 14, height), (left + 5 * (wide + 10), height)], "rose", 2, "6 3"))
    shapes.append(label(left - 18, height, f"{mean}", TEXT, "rose", "end", bold=True))
    text = "\n".join(f"{number} " + "o" * number for number in COINS) + f"\nmean {mean} " + "-" * mean
    above = sum(number - mean for number in COINS if number > mean)
    below = sum(mean - number for number in COINS if number < mean)
    return Drawing("".join(shapes), floor + 24, text).picture(
        alt="Five heaps of coins and a dashed line at the height of five coins.",
        caption=f"The dashed line is the mean, {mean}. The {above} coins above it would just fill the {below} gaps "
        f"below.",
    )


def shares() -> Picture:
    """A weighted mean as areas."""
    weights, points = (0.6, 0.2, 0.2), (80, 50, 100)
    result = sum(w * p for w, p in zip(weights, points, strict=True))
    plain = statistics.mean(points)
    left, room, floor, unit = 40.0, 350.0, 140.0, 1.2
    shapes, x, text = [], left, []
    for weight, point, ink in zip(weights, points, ("accent", "amber", "violet"), strict=True):
        wide = room * weight
        shapes.append(rect(x, floor - unit * point, wide - 3, unit * point, ink, 0.3, 3))
        shapes.append(label(x + wide / 2, floor - unit * point / 2, f"{point}", TEXT, mono=True))
        shapes.append(label(x + wide / 2, floor + 13, f"{weight}", SMALL, mono=True))
        text.append(f"share {weight}: {point}")
        x += wide
    height = floor - unit * result
    shapes.append(path([(left - 6, height), (left + room, height)], "rose", 2, "6 3"))
    shapes.append(label(left - 10, height, f"{result:.0f}", SMALL, "rose", "end", bold=True))
    text.append(f"weighted mean: {result:.0f}")
    return Drawing("".join(shapes), floor + 24, "\n".join(text)).picture(
        alt="Three columns, as wide as their shares and as high as their points, and a dashed line at 78.",
        caption=f"Each column is as wide as its share. Levelled out, they are {result:.0f} high. With equal shares it "
        f"would be {plain:.1f}: the wide column pulls the mean towards itself.",
    )


def running() -> Picture:
    """Jumpy numbers and their running mean."""
    beta, chance = 0.9, random.Random(1)
    shown, means, mean = [], [], 70.0
    for day in range(60):
        number = 70 - 2 * (day >= 20) + chance.gauss(0, 0.7)
        mean = beta * mean + (1 - beta) * number
        shown.append((float(day), number))
        means.append((float(day), mean))

    def jump(points: list[tuple[float, float]]) -> float:
        return statistics.mean(abs(b[1] - a[1]) for a, b in itertools.pairwise(points))

    return lines({"running mean": means, "the scales": shown}, x="day", y="kilograms").picture(
        alt="A jagged line that falls by two around day twenty, and a smooth line that follows it with a delay.",
        caption=f"The scales jump by {jump(shown):.2f} from day to day, the running mean only by {jump(means):.2f}. "
        f"The "
        f"price is a delay: days after the fall on day {20} the running mean is still on its way.",
    )


def squares() -> Picture:
    """The squared distances of the coins from their mean, as squares."""
    mean = statistics.mean(COINS)
    shapes, x, unit, floor = [], 6.0, 28.0, 124.0
    for number in COINS:
        side = unit * abs(number - mean)
        ink = "accent" if number < mean else "amber"
        shapes.append(rect(x, floor - side, side, side, ink, 0.25, 2))
        if abs(number - mean) > 1:
            shapes.append(label(x + side / 2, floor - side / 2, f"{(number - mean) ** 2}", TEXT, mono=True))
        else:
            shapes.append(label(x + side / 2, floor - side / 2, f"{(number - mean) ** 2}", SMALL, mono=True))
        shapes.append(label(x + side / 2, floor + 14, f"{number}", SMALL, "muted", mono=True))
        x += side + 22
    variance = statistics.pvariance(COINS)
    text = "\n".join(f"{number}: distance {abs(number - mean)}, square {(number - mean) ** 2}" for number in COINS)
    return Drawing("".join(shapes), floor + 26, f"{text}\nmean of the squares: {variance:g}").picture(
        alt="Five squares with the areas 9, 1, 1, 1 and 16, one for each number of coins.",
        caption="Each number is drawn as the square of its distance from the mean. The squares have a mean area of "
        f"{variance:g}; the {max((n - mean) ** 2 for n in COINS)} of the richest friend counts for more than all "
        "others together.",
    )


def spread_of_coins() -> Picture:
    """Five numbers, their mean and their spread."""
    coins = torch.tensor(COINS, dtype=torch.float32)
    mean, spread = coins.mean().item(), coins.std(correction=0).item()
    points = {
        "2": 2.0,
        "4, 4": 4.0,
        "6": 6.0,
        "9": 9.0,
        "mean": round(mean, 2),
        "− spread": round(mean - spread, 2),
        "+ spread": round(mean + spread, 2),
    }
    inside = int(((coins - mean).abs() <= spread).sum())
    return number_line(points, 0, 10, note="coins").picture(
        alt="A line of numbers from 0 to 10 with the five values, their mean and one spread to each side of it.",
        caption=f"The mean is {mean:.0f}, the spread {spread:.2f}. {inside} of the {len(coins)} numbers lie within one "
        "spread of the mean.",
    )


def two_spreads() -> Picture:
    """Two lists with one mean."""
    parts, sizes = [], []
    for row in ((4, 5, 6), (0, 5, 10)):
        sizes.append(statistics.pstdev(row))
        parts += [title(f"{', '.join(map(str, row))}: mean {statistics.mean(row)}, σ = {sizes[-1]:.2f}")]
        parts += [number_line({f"{value}": float(value) for value in row}, 0, 10)]
    return stack(*parts, gap=6).picture(
        alt="Two lines of numbers. On the first, three points stand close together around 5; on the second, they are "
        "far apart around 5.",
        caption=f"The same mean, and not the same spread: {sizes[0]:.2f} and {sizes[1]:.2f}, "
        f"{sizes[1] / sizes[0]:.0f} times as much.",
    )


def spread_of_sums() -> Picture:
    """The measured spread of sums of more and more numbers."""
    draws = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))
    counts = (1, 4, 9, 16, 25, 36, 49, 64)
    measured = [(float(n), draws[:, :n].sum(dim=1).std().item()) for n in counts]
    root = [(float(n), math.sqrt(n)) for n in range(1, 65)]
    return lines(
        {"measured": measured, "square root": root}, x="numbers in the sum", y="spread of the sum", y_from=0
    ).picture(
        alt="Two curves that lie on each other. They rise from one for a single number to eight for a sum of 64.",
        caption=f"Sums of {counts[0]} to {counts[-1]} numbers drawn by chance, {len(draws):,} of each. Four numbers "
        f"have a spread of {measured[1][1]:.1f}, sixteen of {measured[3][1]:.1f}: four times as many, twice the "
        f"spread. The two curves lie on each other.",
    )
