"""Practice problems of the page on the complete model."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.accounting import count_parameters
from nanochat.gpt import GPT, GPTConfig, soft_cap


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


def first_loss() -> Problem:
    """What a new model must score."""
    V = 256
    model = GPT(GPTConfig.from_depth(1, vocab_size=V, sequence_len=8))
    tokens = torch.arange(8).view(1, 8)
    loss = model(tokens, tokens).item()
    return Problem(
        f"A new model knows ${V}$ tokens. What is its loss before the first step? ($\\ln 2 \\approx 0.693$, "
        f"and "
        f"${V}$ is the product of eight twos. Two decimals will do.)",
        round(loss, 2),
        (
            f"All scores are zero, so each token has the probability $1 / {V}$, and the loss is $\\ln {V}$.",
            f"$\\ln {V} = 8 \\cdot \\ln 2 \\approx 8 \\cdot 0.693$, about ${loss:.2f}$.",
        ),
        tolerance=0.011,
    )


def shape_of_logits() -> Problem:
    """Count the scores of a batch."""
    model = GPT(GPTConfig.from_depth(1, vocab_size=500, sequence_len=16))
    scores = model(torch.zeros(3, 10, dtype=torch.long)).numel()
    return Problem(
        "A batch has $3$ rows of $10$ tokens. The vocabulary has $500$. How many scores come out of the model?",
        scores,
        (
            "Out comes a score for every token of the vocabulary, at every place of every row.",
            f"$3 \\cdot 10 \\cdot 500 = {scores}$.",
        ),
    )


def work_of_depth() -> Problem:
    """The work of the blocks of a small model."""
    config = GPTConfig.from_depth(2)
    weights = count_parameters(config).matrices
    return Problem(
        f"The blocks of a model of depth 2 have {weights:,} weights. How many operations do their matrices take on "
        f"the way "
        "forward, for one token?",
        2 * weights,
        ("Each weight takes one multiplication and one addition.", f"$2 \\cdot {weights} = {2 * weights}$."),
    )
