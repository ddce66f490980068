"""Practice problems of the pages on vectors and on circles."""

from __future__ import annotations

import torch

from docs.problems import Problem
from nanochat.gpt import apply_rotary, rotary_tables


def length() -> Problem:
    """The length of an arrow."""
    a = torch.tensor([6.0, 8.0])
    return Problem(
        r"How long is the arrow $[\,6,\ 8\,]$?",
        round(a.norm().item()),
        ("Square the steps: $36$ and $64$.", f"Add them and take the root: $\\sqrt{{100}} = {a.norm():.0f}$."),
    )


def dot() -> Problem:
    """A dot product with a negative part."""
    a, b = torch.tensor([2.0, -1.0, 4.0]), torch.tensor([3.0, 5.0, 1.0])
    return Problem(
        r"What is the dot product of $[\,2,\ -1,\ 4\,]$ and $[\,3,\ 5,\ 1\,]$?",
        round((a @ b).item()),
        (
            r"Multiply place by place: $2 \cdot 3 = 6$, $-1 \cdot 5 = -5$, $4 \cdot 1 = 4$.",
            f"Add up: $6 - 5 + 4 = {(a @ b).item():.0f}$.",
        ),
    )


def judge() -> Problem:
    """A third judge."""
    apple, taste = torch.tensor([8.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 4.0])
    verdict = (taste @ apple).item()
    return Problem(
        r"A third judge joins the panel, with the row $[\,0,\ 1,\ 4\,]$. What is the verdict on the "
        r"apple $[\,8,\ 2,\ 3\,]$?",
        round(verdict),
        (
            "The verdict is the dot product of the judge's row with the apple.",
            rf"$0 \cdot 8 + 1 \cdot 2 + 4 \cdot 3 = {verdict:.0f}$.",
        ),
    )


def shape() -> Problem:
    """The shape of a product."""
    product = torch.zeros(10, 256) @ torch.zeros(256, 64)
    return Problem(
        r"A matrix of shape $10 \times 256$ is multiplied by one of shape $256 \times 64$. How many numbers does "
        r"the result have?",
        product.numel(),
        (
            rf"The inner numbers agree and vanish. The outer ones stay: ${product.size(0)} \times {product.size(1)}$.",
            rf"$10 \cdot 64 = {product.numel()}$.",
        ),
    )


def tensor() -> Problem:
    """The size of a tensor."""
    x = torch.zeros(4, 100, 256)
    return Problem(
        "A batch has $B = 4$ rows of $T = 100$ tokens, and each token has $C = 256$ channels. How many numbers "
        "is that?",
        x.numel(),
        ("Multiply the sizes of all directions.", rf"$4 \cdot 100 \cdot 256 = {x.numel():,}$.".replace(",", r"{,}")),
    )


def turned() -> Problem:
    """How far apart two positions are turned."""
    cos, sin = rotary_tables(12, 2)
    x = apply_rotary(torch.ones(1, 12, 1, 2), cos, sin)[0, :, 0]
    gaps = [n for n in range(12) if n < 11 and torch.allclose(x[11] @ x[n], x[7] @ x[3], atol=1e-4)]
    return Problem(
        "A query at position $7$ meets a key at position $3$. The same query and key meet again, and now the query "
        "stands at position $11$. At which position, below $11$, must the key stand for the same dot product?",
        gaps[-1],
        (
            "Only the difference of the positions counts: $7 - 3 = 4$.",
            f"$11 - 4 = {gaps[-1]}$.",
        ),
    )
