"""Practice problems of the chapter on normalization; the answers are computed."""

from __future__ import annotations

import torch

from docs._ext.mutation import swapped
from docs.pictures import bench
from docs.pictures.normalization import layer_norm
from docs.problems import Problem
from nanochat import gpt
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


def larger_by_hand() -> Problem:
    """The same vector, ten times as large."""
    x = torch.tensor([10.0, -70.0])
    first = rms_norm(x)[0].item()
    return Problem(
        "And what becomes of the $10$ in the vector $(10, -70)$? Two decimals will do.",
        round(first, 2),
        (
            "The sign vanishes in the square. $100$ and $4900$ have the mean $2500$, and its root is $50$.",
            f"$10 \\div 50 = {first:.1f}$. Ten times the vector $(1, -7)$ gives what $(1, -7)$ gives.",
        ),
        tolerance=0.005,
    )


def layer_by_hand() -> Problem:
    """Layer norm of the same vector."""
    x = torch.tensor([[[1.0, 7.0]]])
    last = layer_norm(x)[0, 1].item()
    return Problem(
        "Layer norm is applied to $(1, 7)$ instead: take the mean away, then divide by the root mean square of what is "
        "left. What becomes of the $7$?",
        round(last),
        (
            "The mean is $4$. Taken away, it leaves $(-3, 3)$.",
            "The squares are $9$ and $9$, their mean is $9$, the root is $3$.",
            f"$3 \\div 3 = {last:.0f}$. (Of two numbers, layer norm leaves only which one is larger.)",
        ),
    )


def length_after() -> Problem:
    """The length of a normalised vector."""
    channels = 256
    length = rms_norm(bench.vectors(channels)).norm().item()
    return Problem(
        f"A vector of {channels} numbers goes through RMSNorm. How long is the arrow that comes out?",
        round(length),
        (
            f"The mean of the {channels} squares is $1$, so their sum is ${channels}$.",
            f"The length is the root of the sum of squares: $\\sqrt{{{channels}}} = {length:.0f}$.",
        ),
    )


def count_of_norms() -> Problem:
    """How often the function is called in a deep model."""
    calls, real, model, depth = [], gpt.rms_norm, bench.lively(depth=12), 12

    def counting(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(x)

    with swapped("nanochat.gpt.rms_norm", counting), torch.no_grad():
        model(bench.row(4))
    return Problem(
        f"How often is `rms_norm` called on one pass through a model of depth {depth}?",
        len(calls),
        (
            "Once after the embedding and once before the head.",
            "Four times in each block: before attention, before the MLP, on the queries and on the keys.",
            f"$2 + 4 \\cdot {depth} = {len(calls)}$.",
        ),
        unit="times",
    )


def who_leaks() -> Problem:
    """Which of the three lets the future through."""
    return Problem(
        "A model reads one text with a causal mask in its attention. Which norm would still tell a token something "
        "about words that come after it: batch norm, layer norm or RMSNorm?",
        "batch norm",
        (
            "Layer norm and RMSNorm look at one token at a time. What they do not see, they cannot tell.",
            "Batch norm takes the mean of a channel over all tokens, also over later ones, and changes each by it.",
        ),
    )
