"""Practice problems of the chapter on normalization; the answers are computed."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.gpt import rms_norm


def norm_by_hand() -> Problem:
    """RMSNorm of a vector of two numbers."""
    x = torch.tensor([1.0, 7.0])
    last = rms_norm(x)[1].item()
    return Problem(
        "RMSNorm is applied to the vector $(1, 7)$. What becomes of the $7$? Two decimals will do.",
        round(last, 2),
        (
            "The squares are $1$ and $49$. Their mean is $25$.",
            "The root of $25$ is $5$: the usual size of the two numbers.",
            f"Divide by it: $7 \\div 5 = {last:.1f}$.",
        ),
        tolerance=0.005,
    )
