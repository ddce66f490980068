"""Pictures of the chapter on normalization, each drawn from what the package computes."""

from __future__ import annotations

import math

from docs.pictures import Picture, bench, lines


def stream_sizes() -> Picture:
    """How large the stream is at each block, with the norms and without."""
    with_norms, without = bench.sizes(12), [size for size in bench.sizes(12, False) if math.isfinite(size)]
    series = {
        "with norms": [(n, math.log10(size)) for n, size in enumerate(with_norms, 1)],
        "without": [(n, math.log10(size)) for n, size in enumerate(without, 1)],
    }
    drawing = lines(series, x="block", y="how many zeros the size of the stream has", marks=True, y_from=0)
    return drawing.picture(
        alt="Two lines over twelve blocks. With norms the size of the stream stays near one. Without, it shoots up and "
        "ends at the sixth block.",
        caption=f"The same random model with its norms and without. With them, the stream grows to "
        f"{with_norms[-1]:.1f} times its first size. Without them it has "
        f"{len(str(round(without[-1])))} digits before block {len(without)}, and then no longer fits into "
        "the computer's numbers.",
    )
