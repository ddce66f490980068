"""Practice problems of the chapter on positions; the answers are computed."""

from __future__ import annotations

from docs.pictures import bench
from docs.problems import Problem


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
