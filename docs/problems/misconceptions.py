"""Practice problems of the chapter on misconceptions."""

from __future__ import annotations

import math

import torch

from docs.pictures import bench
from docs.problems import Problem
from nanochat.engine import next_token_probabilities


def four_sides() -> Problem:
    """The lowest loss on a fair die of four sides."""
    loss = -next_token_probabilities(torch.zeros(1, 4)).log()[0, 0].item()
    return Problem(
        "A text consists of the throws of a fair die with four sides. What is the lowest loss, in nats, that any "
        "model can "
        "have on new throws? ($\\log 2 = 0.693$; two decimals will do.)",
        round(loss, 2),
        (
            "Each side has a probability of $0.25$, and no model can know more.",
            f"The surprise is $-\\log 0.25 = 2 \\cdot \\log 2 = {loss:.2f}$.",
        ),
        tolerance=0.015,
        unit="nats",
    )


def one_in_ten() -> Problem:
    """A true answer that is said in many ways."""
    ways, share, wrong = 8, 0.1, 0.2
    answer = round(ways * share, 2)
    return Problem(
        f"A model may say the truth in {ways} ways, and gives each of them ${share}$. One wrong answer has "
        f"${wrong}$. Greedy "
        "decoding says the wrong one. What is the probability that an answer drawn at temperature $1$ is true?",
        answer,
        (
            f"Each of the {ways} ways has less than the wrong one, so greedy passes them all by.",
            f"Drawn by chance, one of them comes with ${ways} \\cdot {share} = {answer}$.",
        ),
        tolerance=0.005,
    )


def whole_answer() -> Problem:
    """The probability of a row of tokens."""
    each, length = 0.9, 10
    answer = math.prod([each] * length)
    return Problem(
        f"The panel shows an answer of {length} tokens. The model gave ${each}$ to each of them. How likely was "
        "this very "
        "answer, at temperature $1$ and without top-k? Two decimals will do.",
        round(answer, 2),
        (
            f"One after the other means: multiply. ${each}^{{{length}}} = {answer:.2f}$.",
            "So the answer as a whole was less likely than not, although each token was nearly sure.",
        ),
        tolerance=0.006,
    )


def how_many_texts() -> Problem:
    """Seeds, and temperature zero."""
    writer = bench.writer()
    seeds = range(1, 4)
    cold = {tuple(writer.generate([5], max_tokens=9, temperature=0, seed=seed, stop=())[0]) for seed in seeds}
    warm = {tuple(writer.generate([5], max_tokens=9, seed=seed, stop=())[0]) for seed in (*seeds, *seeds)}
    answer = len(cold) + len(warm)
    return Problem(
        f"You ask the same thing with the seeds {', '.join(map(str, seeds))} at temperature $0$, then with the "
        "same three "
        "seeds at temperature $1$, and with these once more. Suppose that different dice always lead to different "
        "texts, "
        "and that none of them is the greedy one. How many different texts do you get?",
        answer,
        (
            "At temperature $0$ the seed has no say: one text.",
            f"At temperature $1$ each seed gives a text of its own: {len(warm)}. The second time the same ones "
            "come back.",
            f"Together {answer}.",
        ),
        unit="texts",
    )
