"""Practice problems of the shorter chapters on the model."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.accounting import count_parameters
from nanochat.gpt import GPTConfig, soft_cap


def squared_relu() -> Problem:
    """Three detectors."""
    seen = torch.tensor([-3.0, 0.5, 2.0])
    total = seen.relu().square().sum().item()
    return Problem(
        "Three detectors see $-3$, $0.5$ and $2$. What do they say after the squared ReLU, all three added up? "
        "Two decimals will do.",
        round(total, 2),
        ("The negative one says $0$.", "The others are squared: $0.25$ and $4$.", f"Together ${total:.2f}$."),
        tolerance=0.005,
    )


def stream_by_hand() -> Problem:
    """Add what the parts wrote."""
    parts = (2, 3, -1, 0, 4)
    return Problem(
        "One channel of a token enters the first block as $2$. In the two blocks of the model, attention and MLP write "
        "$3$, $-1$, $0$ and $4$ to it, in this order. What is it at the end?",
        sum(parts),
        ("Nothing is replaced. All that is written is added.", f"$2 + 3 - 1 + 0 + 4 = {sum(parts)}$."),
    )


def size_of_depth() -> Problem:
    """The weights in the blocks of a small model."""
    config = GPTConfig.from_depth(2)
    width, matrices = config.n_embd, count_parameters(config).matrices
    return Problem(
        "How many weights do the blocks of a model of depth 2 have? Its width is $64$ for each layer.",
        matrices,
        (
            f"The width is $2 \\cdot 64 = {width}$.",
            f"A block has $12 \\cdot C^2$ weights: $12 \\cdot {width} \\cdot {width} = {matrices // 2}$.",
            f"Two blocks have ${matrices}$.",
        ),
    )


def capped() -> Problem:
    """The largest lead that one score can have."""
    high, low = soft_cap(torch.tensor([1e6, -1e6]), GPTConfig.from_depth(4).softcap).tolist()
    return Problem(
        "Every score is capped at $15$. By how much can the score of one token exceed that of another at most?",
        round(high - low),
        ("The highest score is $15$, the lowest $-15$.", f"$15 - (-15) = {high - low:.0f}$."),
    )
