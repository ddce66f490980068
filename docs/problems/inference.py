"""Practice problems of the chapters on inference and on the pipeline."""

from __future__ import annotations

import math

import torch

from docs.pictures import bench
from docs.problems import Problem
from nanochat.accounting import cache_bytes
from nanochat.common import IGNORED
from nanochat.engine import next_token_probabilities
from nanochat.gpt import GPTConfig


def cooled() -> Problem:
    """A temperature of one half, by hand."""
    scores = torch.tensor([[math.log(2), 0.0]])
    first = next_token_probabilities(scores, temperature=0.5)[0, 0].item()
    return Problem(
        "Two tokens have scores whose powers $e^z$ are $2$ and $1$, so at temperature $1$ they have two thirds and one "
        "third. What is the probability of the first at temperature $0.5$? Two decimals will do.",
        round(first, 2),
        (
            r"Dividing the scores by $0.5$ doubles them, and doubling a score squares its power: $e^{2z} = (e^z)^2$.",
            f"The powers are now $4$ and $1$. The first has $4 \\div 5 = {first:.1f}$.",
        ),
        tolerance=0.005,
    )


def top_two() -> Problem:
    """Cut two of four tokens off."""
    shares = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    second = next_token_probabilities(shares.log(), top_k=2)[0, 1].item()
    return Problem(
        "Four tokens have the probabilities $0.5$, $0.3$, $0.15$ and $0.05$. What is the probability of the second one "
        "with `top_k=2`? Three decimals will do.",
        round(second, 3),
        (
            "The first two stay. Together they have $0.8$.",
            f"Scaled up to one, the second has $0.3 \\div 0.8 = {second:.3f}$.",
        ),
        tolerance=0.0005,
    )


def triangle() -> Problem:
    """Count the positions without a cache."""
    anew = bench.positions(1, 20, use_cache=False)
    return Problem(
        "The engine writes $20$ tokens after a prompt of one token, without a cache. How many positions go through the "
        "model in all?",
        anew,
        (
            "For the first token the model reads $1$ position, for the second $2$, and so on up to $20$.",
            f"$1 + 2 + \\ldots + 20 = 20 \\cdot 21 \\div 2 = {anew}$.",
        ),
    )


def cache_of_a_chat() -> Problem:
    """The bytes of a small model's cache."""
    config = GPTConfig.from_depth(2)
    counted = cache_bytes(config, 1, 100)
    return Problem(
        f"A model has {config.n_layer} layers and {config.n_embd} channels, and every query head has keys and values "
        "of its own. Each number takes 4 bytes. How many bytes does the cache of 100 tokens take?",
        counted,
        (
            f"A token has a key and a value in each layer: $2 \\cdot {config.n_layer} = {2 * config.n_layer}$ vectors.",
            f"All heads together, each vector has {config.n_embd} numbers of $4$ bytes: "
            f"${2 * config.n_layer} \\cdot {config.n_embd} \\cdot 4 = {counted // 100}$ bytes.",
            f"A hundred tokens take ${counted}$.",
        ),
        unit="bytes",
    )


def counted_targets() -> Problem:
    """How many tokens of a conversation are learned from."""
    question, answer = 7, 5
    targets = torch.tensor([IGNORED] * question + [1] * answer)
    learned = int((targets != IGNORED).sum())
    return Problem(
        f"A conversation has a question of {question} tokens and an answer of {answer}. Every token of the question "
        "has the target $-1$. From how many guesses does the model learn?",
        learned,
        ("A target of $-1$ asks nothing.", f"What is left are the {learned} tokens of the answer."),
    )
