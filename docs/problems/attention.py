"""Practice problems of the chapter on attention."""

from __future__ import annotations

import math

import torch

from docs.problems import Problem
from nanochat.gpt import GPTConfig, attention_weights, causal_mask


def mask_pairs() -> Problem:
    """Count the permissions of a mask."""
    T = 4
    yes = int(causal_mask(T, T).sum())
    return Problem(
        f"A row has {T} tokens. How many times does its causal mask say yes?",
        yes,
        (
            "The first token may read one note, its own. The second may read two, the third three, the fourth four.",
            f"$1 + 2 + 3 + 4 = {yes}$.",
        ),
    )


def running_average() -> Problem:
    """Average up to a position."""
    notes = torch.tensor([6.0, 2.0, 1.0, 5.0])
    heard = notes[:3].mean().item()
    return Problem(
        "Four tokens have notes of one number each: $6$, $2$, $1$, $5$. All weights in a row of the table are equal, "
        "and the mask is causal. What does the *third* token receive?",
        round(heard),
        (
            "The third token may read the notes of the first three: $6$, $2$ and $1$. The fourth is in its future.",
            rf"Each has the weight $\frac{{1}}{{3}}$: $(6 + 2 + 1) \div 3 = {heard:.0f}$.",
        ),
    )


def softmax_two_scores() -> Problem:
    """Softmax of two scores by hand."""
    scores = torch.tensor([math.log(3), 0.0])
    first = scores.softmax(dim=0)[0].item()
    return Problem(
        r"A token may read two notes. Their scores are such that $e^{s}$ is $3$ for the first and $1$ for the second. "
        "What is the weight of the first, as a number between $0$ and $1$?",
        round(first, 2),
        (
            "Softmax divides each power by the sum of all.",
            rf"The sum is $3 + 1 = 4$, so the weight is $\frac{{3}}{{4}} = {first:.2f}$.",
        ),
        tolerance=0.005,
    )


def dot_score() -> Problem:
    """A dot product of query and key."""
    query, key = torch.tensor([1.5, 0.5]), torch.tensor([1.0, 3.0])
    score = (query @ key).item()
    return Problem(
        "The query of *his* is $(1.5,\\ 0.5)$, as above. A new word has the key $(1,\\ 3)$. What is their dot product?",
        round(score),
        ("Multiply number by number: $1.5 \\cdot 1 = 1.5$ and $0.5 \\cdot 3 = 1.5$.", f"Add up: ${score:.0f}$."),
    )


def divide_by() -> Problem:
    """The divisor of a large head."""
    config = GPTConfig.from_depth(20)
    exact = math.sqrt(config.head_size)
    return Problem(
        f"A model of depth 20 has heads of {config.head_size} channels. By what does its code divide the dot products? "
        "Two decimals will do.",
        round(exact, 2),
        (
            f"By the square root of $D$, and $D = {config.head_size}$.",
            rf"$\sqrt{{{config.head_size}}} = {exact:.2f}$.",
        ),
        tolerance=0.01,
    )


def highest_score() -> Problem:
    """The bound of a score, in a head of 16 channels."""
    D = 16
    bound = math.sqrt(D)
    return Problem(
        f"A model with QK-norm has heads of ${D}$ channels. What is the highest score that a key can get?",
        round(bound),
        (
            r"A score is $\sqrt{D}\,\cos\varphi$, and a cosine is never above one.",
            rf"So the highest is $\sqrt{{{D}}} = {bound:.0f}$, when the key points exactly where the query does.",
        ),
    )


def heads_of_width() -> Problem:
    """From width and heads to the size of a head."""
    config = GPTConfig(n_embd=384, n_head=6, n_kv_head=2, n_layer=2)
    rows = config.n_kv_head * config.head_size
    return Problem(
        f"A model has $C = {config.n_embd}$ channels, $H = {config.n_head}$ query heads and $G = {config.n_kv_head}$ "
        "key/value heads. How many numbers does one token's key have, over all key/value heads together?",
        rows,
        (
            rf"A head has $D = C \div H = {config.n_embd} \div {config.n_head} = {config.head_size}$ channels. Keys "
            "are compared with queries, so they have as many.",
            rf"With $G = {config.n_kv_head}$ heads of keys that makes ${config.n_kv_head} \cdot {config.head_size} = "
            rf"{rows}$.",
        ),
    )


def shape_of_weights() -> Problem:
    """The number of weights of a batch."""
    weights = attention_weights(torch.zeros(2, 8, 4, 2), torch.zeros(2, 8, 4, 2))
    return Problem(
        "A layer with $H = 4$ heads reads $B = 2$ rows of $T = 8$ tokens. How many numbers are in its table of "
        "weights, those that are zero included?",
        weights.numel(),
        (
            "The table has the shape $B, H, T, T$: each head of each row has a weight for every pair.",
            rf"$2 \cdot 4 \cdot 8 \cdot 8 = {weights.numel()}$.",
        ),
    )


def four_times() -> Problem:
    """The growth of the cost."""
    short, long = (attention_weights(torch.zeros(1, T, 1, 2), torch.zeros(1, T, 1, 2)).numel() for T in (100, 300))
    factor = long // short
    return Problem(
        "You make the rows three times as long. About how many times as many weights must each head compute?",
        factor,
        (
            "Three times as many readers, and each has three times as many notes to read.",
            rf"$3 \cdot 3 = {factor}$.",
        ),
        unit="times",
    )
