"""Arrows on a plane, for the pages on vectors and on circles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docs.pictures import SMALL, WIDTH, Drawing, arrow, colour, label, path


@dataclass(frozen=True)
class Arrow:
    """An arrow from one point to another."""

    end: tuple[float, float]
    """Where it points to."""
    ink: str = "accent"
    """Its colour."""
    start: tuple[float, float] = (0.0, 0.0)
    """Where it begins."""
    beside: bool = False
    """Its name stands beside its middle, on the right of one who walks along it, and not at its tip."""
    short: float = 0.0
    """The share that the drawing leaves out at the tip, so as not to cover what stands there."""


def plane(
    arrows: Mapping[str, Arrow],
    x: tuple[float, float],
    y: tuple[float, float],
    circle: bool = False,
    dashed: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> Drawing:
    """Draw named arrows on squared paper.

    Args:
        arrows: Name to arrow; the name stands beside the tip.
        x: The left and the right end of the paper.
        y: The lower and the upper end.
        circle: Draw the circle of radius one too.
        dashed: Pairs of points that a dashed line joins.
    """
    unit = min(WIDTH / (x[1] - x[0]), 300 / (y[1] - y[0]))
    left = (WIDTH - unit * (x[1] - x[0])) / 2

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + (point[0] - x[0]) * unit, (y[1] - point[1]) * unit

    shapes = []
    for across in range(math.ceil(x[0]), math.floor(x[1]) + 1):
        ink = "muted" if across == 0 else "line"
        shapes.append(path([place((across, y[0])), place((across, y[1]))], ink, 1))
    for up in range(math.ceil(y[0]), math.floor(y[1]) + 1):
        shapes.append(path([place((x[0], up)), place((x[1], up))], "muted" if up == 0 else "line", 1))
    if circle:
        centre = place((0, 0))
        shapes.append(
            f'<circle cx="{centre[0]:.2f}" cy="{centre[1]:.2f}" r="{unit:.2f}" '
            f'style="fill:none;stroke:{colour("muted")};stroke-width:1.5"/>'
        )
    for start, end in dashed:
        shapes.append(path([place(start), place(end)], "muted", 1.2, "4 3"))
    text = []
    for name, one in arrows.items():
        drawn = tuple(b + one.short * (a - b) for a, b in zip(one.start, one.end, strict=True))
        shapes.append(arrow(*place(one.start), *place(drawn), one.ink))
        tip = place(one.end)
        away = math.atan2(one.end[1] - one.start[1], one.end[0] - one.start[0])
        half = 4.2 * len(name)
        if one.beside:
            tip = tuple((a + b) / 2 for a, b in zip(place(one.start), tip, strict=True))
            away -= math.pi / 2
        centre = tip[0] + (half + 6) * math.cos(away), tip[1] - 13 * math.sin(away) - (12 if abs(away) < 0.1 else 0)
        centre = min(max(centre[0], half), WIDTH - half), max(centre[1], 8)
        shapes.append(label(*centre, name, SMALL + 1, one.ink, bold=True))
        text.append(f"{name}: from ({one.start[0]:.3g}, {one.start[1]:.3g}) to ({one.end[0]:.3g}, {one.end[1]:.3g})")
    return Drawing("".join(shapes), unit * (y[1] - y[0]), "\n".join(text))
