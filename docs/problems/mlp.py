"""Practice problems of the chapter on the MLP."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.accounting import count_parameters
from nanochat.gpt import MLP, GPTConfig


def squared_relu() -> Problem:
    """Three detectors."""
    seen = torch.tensor([-3.0, 0.5, 2.0])
    total = seen.relu().square().sum().item()
    return Problem(
        "Three questions fit a token by $-3$, $0.5$ and $2$. How bright are the three lamps after the squared ReLU, "
        "all "
        "added up? Two decimals will do.",
        round(total, 2),
        ("The negative one says $0$.", "The others are squared: $0.25$ and $4$.", f"Together ${total:.2f}$."),
        tolerance=0.005,
    )


def whole_detector() -> Problem:
    """One detector from its question to what it adds."""
    x, question, answer = torch.tensor([1.0, 0.5]), torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    fit = (x @ question).item()
    light = max(fit, 0.0) ** 2
    added = (light * answer)[1].item()
    return Problem(
        "A token's vector is $(1,\\ 0.5)$. A detector asks the question $(1,\\ 2)$, and its answer is $(0.5,\\ -1)$. "
        "What "
        "does it add to the *second* number of the vector?",
        round(added),
        (
            f"How well the question fits is a dot product: $1 \\cdot 1 + 0.5 \\cdot 2 = {fit:.0f}$.",
            f"It is positive, so the lamp burns with ${fit:.0f} \\cdot {fit:.0f} = {light:.0f}$.",
            f"It adds ${light:.0f}$ times its answer. The second number gets ${light:.0f} \\cdot (-1) = {added:.0f}$.",
        ),
    )


def stronger_fit() -> Problem:
    """How much brighter a better fit burns."""
    weak, strong = torch.tensor([0.5, 1.5]).relu().square().tolist()
    return Problem(
        "A question fits one token by $0.5$ and another one by $1.5$. How many times as bright is the lamp at the "
        "second?",
        round(strong / weak),
        (
            f"Squared, they are ${weak:.2f}$ and ${strong:.2f}$.",
            f"${strong:.2f} \\div {weak:.2f} = {strong / weak:.0f}$: three times the fit, squared.",
        ),
    )


def weights_of_mlp() -> Problem:
    """The weights of one MLP."""
    config = GPTConfig.from_depth(3)
    weights = sum(weight.numel() for weight in MLP(config).parameters())
    return Problem(
        f"A model is {config.n_embd} channels wide. How many weights does the MLP of one block have?",
        weights,
        (
            f"Four times as many detectors as channels: $4 \\cdot {config.n_embd} = {4 * config.n_embd}$.",
            f"Each has a question and an answer of ${config.n_embd}$ numbers each.",
            f"$2 \\cdot {config.n_embd} \\cdot {4 * config.n_embd} = {weights:,}$.".replace(",", "{,}"),
        ),
    )


def gated() -> Problem:
    """A third matrix."""
    config = GPTConfig.from_depth(2)
    block = count_parameters(config).matrices // config.n_layer
    mlp = sum(weight.numel() for weight in MLP(config).parameters())
    more = block + mlp // 2
    share = 100 * (more - block) / block
    return Problem(
        "Somebody gives each MLP a second widening matrix, as large as the first, and changes nothing else. A block "
        "had "
        "$12 \\cdot C^2$ weights. By how many percent does it grow? Round to a whole number.",
        round(share),
        (
            "The widening matrix has $C \\cdot 4C = 4 \\cdot C^2$ weights.",
            f"$4 \\div 12 = {share / 100:.3f}$, about {share:.0f} percent.",
        ),
        tolerance=0.5,
        unit="percent",
    )
