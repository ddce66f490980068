"""Pictures of the pages Numbers and Probability."""

from __future__ import annotations

import math
import random

import torch

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Drawing,
    Picture,
    arrow,
    bars,
    label,
    lines,
    number_line,
    path,
    rect,
)
from nanochat.gpt import GPT, GPTConfig

DISTRIBUTION = {"Queen": 0.5, "King": 0.3, "Duchess": 0.2}
"""The distribution of the page."""


def line() -> Picture:
    """The line of numbers with a few of them named."""
    points = {"−3": -3.0, "−0.5": -0.5, "2.5": 2.5, "4": 4.0}
    return number_line(points, -5, 5, note="further right is greater").picture(
        alt="A line from −5 to 5 with four numbers marked: " + ", ".join(points) + ".",
        caption="The line of numbers. $2.5$ lies half way between $2$ and $3$. From $-3$ to $4$ it is "
        f"{4 - -3} steps: three to zero, and four more.",
    )


def rows() -> Picture:
    """Four rows of three, and three rows of four."""
    shapes, text = [], []
    for left, deep, wide, ink in ((40, 4, 3, "accent"), (230, 3, 4, "amber")):
        for row in range(deep):
            for column in range(wide):
                x, y = left + 30 * column, 22 + 30 * row
                shapes.append(rect(x, y, 22, 22, ink, 0.5, 11, edge=False))
        shapes.append(label(left + 15 * wide - 4, 160, f"{deep} × {wide} = {deep * wide}", TEXT))
        text.append("\n".join(["o " * wide] * deep) + f"\n{deep} x {wide} = {deep * wide}")
    return Drawing("".join(shapes), 174, "\n\n".join(text)).picture(
        alt="Twelve dots twice: four rows of three, and three rows of four.",
        caption=f"The same {4 * 3} dots, seen from two sides. So the order of the factors does not matter.",
    )


def doubling() -> Picture:
    """Powers of two, as bars."""
    values = {f"2{raised}": float(2**n) for n, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸")}
    return bars(values, "{:.0f}".format).picture(
        alt="Bars of the powers of two from 1 to 256; each is twice as long as the one above.",
        caption=f"Each bar is twice as long as the one above it. Eight doublings lead from $1$ to ${2**8}$; "
        "eight more lead to "
        f"{2**16:,}, which would need a page {2**16 // 2**8} times as wide.",
    )


def square_root() -> Picture:
    """A square of 25 small squares; its side is the root."""
    side = 5
    shapes = []
    for row in range(side):
        for column in range(side):
            shapes.append(rect(120 + 28 * column, 10 + 28 * row, 26, 26, "accent", 0.16, 2))
    shapes.append(label(120 + 14 * side, 10 + 28 * side + 16, f"side: √{side * side} = {side}", TEXT))
    shapes.append(
        label(120 + 28 * side + 14, 10 + 14 * side, f"area: {side} × {side} = {side * side}", SMALL, "ink", "start")
    )
    text = "\n".join(["[]" * side] * side) + f"\nside {side}, area {side * side}"
    return Drawing("".join(shapes), 10 + 28 * side + 30, text).picture(
        alt="A square of five by five small squares: the area is 25, the side is 5.",
        caption=f"Squaring goes from the side to the area: $5^2 = {side**2}$. The root goes back: "
        f"$\\sqrt{{{side**2}}} = {math.isqrt(side**2)}$.",
    )


def bag() -> Picture:
    """Ten balls, and the same as two strips."""
    red, blue = 7, 3
    shapes = [
        rect(
            4 + (WIDTH - 8) * (place + 0.5) / (red + blue) - 15,
            5,
            30,
            30,
            "rose" if place < red else "blue",
            0.6,
            15,
            edge=False,
        )
        for place in range(red + blue)
    ]
    cut = 4 + (WIDTH - 8) * red / (red + blue)
    shapes += [rect(4, 48, cut - 6, 30, "rose", 0.2), rect(cut, 48, WIDTH - 4 - cut, 30, "blue", 0.2)]
    shapes += [label(cut / 2, 63, f"red {red / 10}", TEXT), label((cut + WIDTH) / 2, 63, f"blue {blue / 10}", TEXT)]
    text = "R " * red + "B " * blue + f"\nred {red / 10}, blue {blue / 10}"
    return Drawing("".join(shapes), 82, text).picture(
        alt="Seven red and three blue balls; below, a strip divided at 0.7.",
        caption=f"{red} of {red + blue} balls are red. The strip below is as wide as *certain*, which is "
        f"$1$; red has {red / 10} of it.",
    )


def ladder() -> Picture:
    """A random number falls onto one of three strips."""
    chance = random.Random(0)
    draws = [chance.random() for _ in range(6)]
    shapes, edge, text = [], 0.0, []
    scale = WIDTH - 20
    for (name, p), ink in zip(DISTRIBUTION.items(), ("rose", "blue", "violet"), strict=True):
        shapes.append(rect(10 + scale * edge, 60, scale * p - 2, 34, ink, 0.2))
        shapes.append(label(10 + scale * (edge + p / 2), 77, name, SMALL))
        text.append(f"{edge:.1f} to {edge + p:.1f}: {name}")
        edge += p
    for mark in (0.0, 0.5, 0.8, 1.0):
        shapes.append(label(10 + scale * mark, 106, f"{mark:g}", SMALL, "muted", mono=True))
    order = [10 + scale * draw for draw in sorted(draws)]
    taken: list[tuple[float, float, float]] = []  # of each label: its ends, and how high it stands
    for x, draw in zip(order, sorted(draws), strict=True):
        close = [other - x for other in order if 0 < abs(other - x) < 20]
        side = "middle" if not close else "end" if min(close) > 0 else "start"
        start = x - {"middle": 17, "end": 34, "start": 0}[side]
        high = 38.0
        while any(start < b and a < start + 34 and high == level for a, b, level in taken):
            high -= 18
        taken.append((start, start + 34, high))
        shapes.append(arrow(x, high + 8, x, 58))
        shapes.append(label(x, high, f"{draw:.2f}", SMALL, "ink", side, mono=True))

    def hit(draw: float) -> str:
        total = 0.0
        for name, p in DISTRIBUTION.items():
            total += p
            if draw < total:
                return name
        return name

    names = [hit(draw) for draw in draws]
    text.append("draws: " + ", ".join(f"{draw:.2f} {name}" for draw, name in zip(draws, names, strict=True)))
    return Drawing("".join(shapes), 116, "\n".join(text)).picture(
        alt="A line from 0 to 1 cut into strips of 0.5, 0.3 and 0.2; six random numbers fall onto it.",
        caption=f"Six random numbers and where they fall: {', '.join(names)}. They are the six draws of the "
        "code below.",
    )


def settle() -> Picture:
    """The share of an outcome over many draws, for three seeds."""
    series: dict[str, list[tuple[float, float]]] = {}
    ends = []
    for seed in range(3):
        chance, hits, points = random.Random(seed), 0, []
        for draw in range(1, 2001):
            hits += chance.random() < 0.5
            if draw in (10, 20, 40, 70) or draw % 100 == 0:
                points.append((float(draw), hits / draw))
        series[f"seed {seed}"] = points
        ends.append(points)
    early = [points[0][1] for points in ends]
    late = [points[-1][1] for points in ends]
    return lines(series, x="draws", y="share of Queen so far", y_from=0.2, y_to=0.8).picture(
        alt="Three jagged curves that begin far apart and come together near one half.",
        caption="Three runs of draws with a probability of $0.5$. After ten draws the shares are "
        f"{', '.join(f'{s:.1f}' for s in early)}; after two thousand "
        f"they are {', '.join(f'{s:.3f}' for s in late)}.",
    )


def balance() -> Picture:
    """The weighted mean as the point at which a beam balances."""
    prizes = {10: 0.2, -1: 0.8}
    mean = sum(value * p for value, p in prizes.items())
    low, high = -3, 12

    def at(value: float) -> float:
        return 20 + (value - low) / (high - low) * (WIDTH - 40)

    shapes = [path([(at(low), 90), (at(high), 90)], "ink", 3)]
    for value, p in prizes.items():
        size = 90 * p
        shapes.append(rect(at(value) - 16, 88 - size, 32, size, "accent", 0.3, 3))
        shapes.append(label(at(value), 88 - size - 10, f"{p}", SMALL, mono=True))
        shapes.append(label(at(value), 104, f"{value}".replace("-", "−"), SMALL, mono=True))
    x = at(mean)
    shapes.append(path([(x, 93), (x - 10, 112), (x + 10, 112), (x, 93)], "rose", 2))
    shapes.append(label(x, 124, f"{mean:g}", TEXT, "rose", mono=True, bold=True))
    text = "\n".join(f"weight {p} at {value}" for value, p in prizes.items()) + f"\nbalances at {mean:g}"
    return Drawing("".join(shapes), 134, text).picture(
        alt=f"A beam with a weight of 0.8 at −1 and one of 0.2 at 10; it balances at {mean:g}.",
        caption=f"Put each prize on a beam, as heavy as it is likely. The beam balances at the expectation, {mean:g}.",
    )


def sharing() -> Picture:
    """One, shared among ever smaller numbers."""
    below = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1)
    values = {f"1 ÷ {number:g}": 1 / number for number in below}
    return bars(values, "{:g}".format).picture(
        alt="Bars of one divided by 4, 2, 1, 0.5, 0.25 and 0.1; the smaller the divisor, the longer the bar.",
        caption=f"The smaller the number below, the larger the result: ${1 / below[0]:g}$ for $4$, "
        f"${1 / below[-1]:g}$ for $0.1$. There is no bar for zero.",
    )


def per_cent() -> Picture:
    """Thirty of a hundred."""
    share, size = 30, 17.0
    pitch = (WIDTH - 8) / 20
    shapes = [
        rect(5 + pitch * (place % 20), 5 + pitch * (place // 20), size, size, ink, strength, 2, edge=False)
        for place in range(100)
        for ink, strength in [("accent", 0.7) if place < share else ("muted", 0.2)]
    ]
    text = "\n".join("".join("#" if 20 * row + n < share else "." for n in range(20)) for row in range(5))
    return Drawing("".join(shapes), 5 * pitch + 8, text).picture(
        alt="A hundred small squares in five rows of twenty; the first thirty are filled.",
        caption=f"{share} of 100 squares: ${share}\\,\\%$, or ${share / 100}$. Of $50$ squares it would be "
        f"${share * 50 // 100}$.",
    )


def half_of_half() -> Picture:
    """All tosses, half of them, and half of the half."""
    chance = random.Random(0)
    tosses = [(chance.random() < 0.5, chance.random() < 0.5) for _ in range(10_000)]
    heads = sum(first for first, _ in tosses)
    both = sum(first and second for first, second in tosses)
    values = {"all pairs": 1.0, "first is heads": heads / len(tosses), "both are heads": both / len(tosses)}
    return bars(values, "{:.3f}".format).picture(
        alt="Three bars: all pairs of tosses, those that begin with heads, about half, and those with heads twice, "
        "about a quarter.",
        caption=f"{len(tosses):,} pairs of tosses by a computer. {heads / len(tosses):.3f} of them begin with heads, "
        f"and {both / len(tosses):.3f} are heads twice: near $0.5$ and near $0.25$.",
    )


def weights_on_a_line() -> Picture:
    """The first weights of a new model, on the line."""
    model = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8))
    weights = [round(weight, 2) for weight in model.embed.weight[11].tolist()[:6]]
    points = {f"{weight:.2f}".replace("-", "−"): weight for weight in weights}
    below = sum(weight < 0 for weight in weights)
    end = math.ceil(max(abs(weight) for weight in weights))
    return number_line(points, -end, end, note="six numbers of a new model").picture(
        alt=f"A line of numbers with {len(weights)} points around zero, {below} of them to its left.",
        caption=f"{len(weights)} numbers of a new model, as chance has drawn them. {below} of them are "
        f"negative, and the one furthest from zero is ${max(weights, key=abs):.2f}$.",
    )


def walk() -> Picture:
    """Adding and subtracting as walks."""
    low, high = -3, 7

    def at(value: float) -> float:
        return 20 + (value - low) / (high - low) * (WIDTH - 40)

    shapes, text = [], []
    walks = ((2, 3, "accent"), (2, -3, "amber"))
    for place, (start, step, ink) in enumerate(walks):
        y = 44 + 66 * place
        end = start + step
        sign = "+" if step > 0 else "−"
        shapes.append(path([(at(low), y), (at(high), y)], "muted", 1.5))
        for value in range(low, high + 1):
            shapes.append(path([(at(value), y - 4), (at(value), y + 4)], "muted", 1))
            shapes.append(label(at(value), y + 15, f"{value}".replace("-", "−"), SMALL, mono=True))
        shapes.append(arrow(at(start), y - 14, at(end), y - 14, ink))
        words = f"{start} {sign} {abs(step)} = {end}".replace("-", "−")
        shapes.append(label(at((start + end) / 2), y - 29, words, TEXT, ink, bold=True))
        text.append(f"from {start} {abs(step)} steps {'right' if step > 0 else 'left'} to {end}: {words}")
    return Drawing("".join(shapes), 134, "\n".join(text)).picture(
        alt="Two lines of numbers. On the first an arrow runs from 2 three steps to the right, on the second from 2 "
        "three steps to the left.",
        caption=f"Both walks start at $2$ and take three steps. The first arrives at ${2 + 3}$, the second at "
        f"${2 - 3}$, {(2 + 3) - (2 - 3)} steps apart.",
    )


def brackets() -> Picture:
    """Four rows of three and two."""
    deep, first, second = 4, 3, 2
    shapes, text = [], []
    for row in range(deep):
        for column in range(first + second):
            ink = "accent" if column < first else "amber"
            x = 110 + 30 * column + (14 if column >= first else 0)
            shapes.append(rect(x, 8 + 30 * row, 22, 22, ink, 0.5, 11, edge=False))
        text.append("o " * first + "| " + "x " * second)
    y = 8 + 30 * deep + 12
    shapes.append(label(110 + 15 * first - 4, y, f"{deep} × {first} = {deep * first}", SMALL, "accent", bold=True))
    shapes.append(label(124 + 30 * first + 26, y, f"{deep} × {second} = {deep * second}", SMALL, "amber", bold=True))
    text.append(f"{deep} x {first} and {deep} x {second}: {deep * (first + second)}")
    return Drawing("".join(shapes), y + 12, "\n".join(text)).picture(
        alt="Four rows of five dots. In each row three dots have one colour and two another.",
        caption=f"Four rows of five dots: ${deep} \\times ({first} + {second}) = {deep * (first + second)}$. By "
        f"colour, they are ${deep * first} + {deep * second} = {deep * first + deep * second}$.",
    )


def short_numbers() -> Picture:
    """The numbers around a tenth that bfloat16 has."""
    middle = torch.tensor(0.1, dtype=torch.bfloat16)
    one = torch.tensor(float("inf"), dtype=torch.bfloat16)
    near = [torch.nextafter(middle, -one).item(), middle.item(), torch.nextafter(middle, one).item()]
    points = {f"{value:.5f}": value for value in near} | {"a tenth": 0.1}
    return number_line(points, 0.0994, 0.1008, note="three neighbours among the short numbers").picture(
        alt="A short piece of the line of numbers. Three points have equal distances; a tenth lies between the first "
        "two, close to the second.",
        caption=f"Short numbers near a tenth are {near[1] - near[0]:.5f} apart. A tenth is none of them and becomes "
        f"{near[1]:.5f}, its nearest neighbour.",
    )
