"""Pictures of the chapter on embeddings, each drawn from what the package computes."""

from __future__ import annotations

from docs.pictures import Picture, bars, bench, stack, title


def neighbours() -> Picture:
    """Whose vectors are nearest, before and after a short training."""
    parts, best = [], []
    for steps, ink in ((bench.STEPS, "accent"), (0, "muted")):
        tokens, table = bench.embeddings(steps)
        found = bench.neighbours(" Pip", tokens, table, 6)
        best.append(max(found.values()))
        when = f"after {steps} steps of training" if steps else "before training"
        parts += [title(f"nearest to Pip {when}"), bars(_named(found), top=1.0, ink=ink)]
    return stack(*parts, gap=8).picture(
        alt="Two groups of six bars. After training, the words nearest to Pip are mostly other names, with long bars. "
        "Before training they are any words, with short bars.",
        caption="The words whose vectors point most nearly where that of *Pip* points. The bars are cosines: 1 is the "
        f"same direction. The nearest one has {best[0]:.2f} after training. Before, when all vectors were random, it "
        f"had {best[1]:.2f}.",
    )


def _named(found: dict[str, float]) -> dict[str, float]:
    return {word.strip(): value for word, value in found.items()}
