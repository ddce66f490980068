"""Practice problems of the chapter on the stream."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.gpt import GPT, GPTConfig


def stream_by_hand() -> Problem:
    """Add what the parts wrote."""
    parts = (2, 3, -1, 0, 4)
    return Problem(
        "One channel of a token enters the first block as $2$. In the two blocks of the model, attention and MLP write "
        "$3$, $-1$, $0$ and $4$ to it, in this order. What is it at the end?",
        sum(parts),
        ("Nothing is replaced. All that is written is added.", f"$2 + 3 - 1 + 0 + 4 = {sum(parts)}$."),
    )


def take_back() -> Problem:
    """Erase by adding."""
    stands, wanted = 5.0, 0.0
    return Problem(
        "A channel of the stream holds $5$, written by an earlier part. Nothing can be overwritten. What must a "
        "later part "
        "write so that the channel is $0$ for all parts after it?",
        round(wanted - stands),
        ("What it writes is added.", f"$5 + (-5) = 0$, so it writes ${wanted - stands:.0f}$."),
    )


def chain_of_pluses() -> Problem:
    """The slope of three parts in a row, each with a plus."""
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(3):
        y = y + 0.5 * y
    y.backward()
    slope = x.grad.item()
    return Problem(
        "Three parts follow each other, and each has the slope $0.5$. Each is *added* to what went in. What is the "
        "slope "
        "of the whole chain? Two decimals will do.",
        round(slope, 2),
        (
            "With the plus, each link has the slope $1 + 0.5 = 1.5$.",
            f"Slopes of a chain multiply: $1.5 \\cdot 1.5 \\cdot 1.5 = {slope:.3f}$.",
        ),
        tolerance=0.01,
    )


def ways_back() -> Problem:
    """Count the ways through a stack of parts."""
    parts = 2 * GPTConfig.from_depth(3).n_layer
    ways = 2**parts
    return Problem(
        "At each part, blame may pass through it or beside it. How many ways are there through a model of $3$ "
        "blocks, each "
        "with attention and MLP?",
        ways,
        (
            f"Three blocks have ${parts}$ parts.",
            f"Two choices at each: $2 \\cdot 2 \\cdot 2 \\cdot 2 \\cdot 2 \\cdot 2 = {ways}$.",
        ),
    )


def notes_of_depth() -> Problem:
    """How many vectors the stream is the sum of."""
    model = GPT(GPTConfig.from_depth(20, vocab_size=8, sequence_len=8, width=8))
    notes = 1 + sum(2 for _ in model.blocks)
    return Problem(
        "A model has depth $20$. Of how many vectors is its stream the sum at the end, the embedding included?",
        notes,
        ("Two parts write in each block: $2 \\cdot 20 = 40$.", f"With the embedding, $40 + 1 = {notes}$."),
    )
