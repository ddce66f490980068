"""Pictures of how the model that comes with the package was made, from its record."""

from __future__ import annotations

from collections.abc import Sequence

from docs.pictures import Picture, lines
from nanochat.shipping import shipped_record

TOP = 1.5
"""Where the axis ends: the first steps of the early stages lie far above all that follows."""


def below(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a curve that ends low, from where it last comes down through the top."""
    late = max((place + 1 for place, (_, loss) in enumerate(points) if loss > TOP), default=0)
    kept = list(points[late:])
    if late:
        (x0, y0), (x1, y1) = points[late - 1], points[late]
        kept.insert(0, (x0 + (x1 - x0) * (y0 - TOP) / (y0 - y1), TOP))
    return kept


def losses() -> Picture:
    """The loss in each stage of its training."""
    stages = shipped_record()["stages"]
    ends = {name: (stage["loss"][0][1], stage["loss"][-1][1]) for name, stage in stages.items()}
    told = "; ".join(f"{name}: from {first:.2f} to {last:.2f}" for name, (first, last) in ends.items())
    curves = {name: below([(step, loss) for step, loss in stage["loss"]]) for name, stage in stages.items()}
    high = " and ".join(name for name, (first, _) in ends.items() if first > TOP)
    return lines(curves, x="steps of the stage", y="nats a token", y_from=0, y_to=TOP).picture(
        f"{len(stages)} curves, one for each stage: those of {high} come in from above, and all end low.",
        f"The loss of the model that comes along, at some steps of each stage. {told}. ({high} begin above the "
        "picture.) Each stage counts other tokens, so compare a curve with itself and not with the others.",
    )
