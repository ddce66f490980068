"""The picture of the page on examinations, drawn from what the package computes."""

from __future__ import annotations

from docs.pictures import Picture, lines
from nanochat.evaluate import TaskScore

COUNTS = range(10, 1001, 10)
"""Numbers of questions."""


def points(share: float, n: int) -> float:
    """The margin of a test with n questions, in points of a hundred."""
    right = round(share * n)
    score = TaskScore("quiz", total=n, reward=right, correct=right, well_formed=n, too_long=0, chance=0.0)
    return 100 * score.margin


def margin() -> Picture:
    """How far luck moves a mark, by the number of questions."""
    curve = [(float(n), points(0.5, n)) for n in COUNTS]
    drawn = lines({"half of the answers right": curve}, x="questions", y="margin, points of a hundred", y_from=0)
    return drawn.picture(
        "A curve that falls steeply at first and slowly later.",
        f"The margin of a mark. It falls from {curve[0][1]:.1f} points for {COUNTS[0]} questions to "
        f"{curve[-1][1]:.1f} for {COUNTS[-1]:,}.",
    )
