"""Pictures of how the model that comes with the package was made, from its record."""

from __future__ import annotations

from docs.pictures import Picture, lines
from nanochat.shipping import shipped_record


def losses() -> Picture:
    """The loss in each stage of its training."""
    stages = shipped_record()["stages"]
    ends = {name: (stage["loss"][0][1], stage["loss"][-1][1]) for name, stage in stages.items()}
    told = "; ".join(f"{name}: from {first:.2f} to {last:.2f}" for name, (first, last) in ends.items())
    curves = {name: [tuple(point) for point in stage["loss"]] for name, stage in stages.items()}
    return lines(curves, x="steps of the stage", y="nats a token", y_from=0).picture(
        f"{len(stages)} curves, one for each stage: those of the early stages fall from far up, and all end low.",
        f"The loss of the model that comes along, at some steps of each stage. {told}. Each stage counts other tokens, "
        "so compare a curve with itself and not with the others.",
    )
