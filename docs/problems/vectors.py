"""Practice problems of the page on vectors."""

from __future__ import annotations

import torch

from docs.problems import Problem


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


def adding() -> Problem:
    """Twice one arrow and another one."""
    total = 2 * torch.tensor([1.0, 3.0]) + torch.tensor([4.0, -1.0])
    return Problem(
        r"What is the second number of $2 \cdot [\,1,\ 3\,] + [\,4,\ -1\,]$?",
        round(total[1].item()),
        (
            r"Multiply every place: $2 \cdot [\,1,\ 3\,] = [\,2,\ 6\,]$.",
            rf"Add place by place: $[\,2 + 4,\ 6 - 1\,] = [\,{total[0]:.0f},\ {total[1]:.0f}\,]$.",
        ),
    )


def transposed() -> Problem:
    """One place of a product with a transposed matrix."""
    queries, keys = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[4.0, 1.0], [2.0, 5.0]])
    product = queries @ keys.T
    return Problem(
        r"The rows of $Q$ are two queries, $[\,1,\ 2\,]$ and $[\,3,\ 0\,]$. The rows of $K$ are two keys, "
        r"$[\,4,\ 1\,]$ and $[\,2,\ 5\,]$. Which number of $Q K^\top$ stands in row $1$ and column $2$?",
        round(product[0, 1].item()),
        (
            "Row $1$, column $2$ holds the dot product of the first query with the second key.",
            rf"$1 \cdot 2 + 2 \cdot 5 = {product[0, 1]:.0f}$.",
        ),
    )


def sour() -> Problem:
    """One place of a list."""
    pear = torch.tensor([7.0, 1.0, 4.0])
    return Problem(
        r"A pear is $\mathbf{a} = [\,7,\ 1,\ 4\,]$: how sweet, how sour, how hard. How much is $a_1 + a_3$?",
        round((pear[0] + pear[2]).item()),
        (
            "$a_1$ is the first place, $7$, and $a_3$ the third, $4$.",
            f"$7 + 4 = {(pear[0] + pear[2]).item():.0f}$.",
        ),
    )


def place_by_place() -> Problem:
    """A product place by place, and its largest place."""
    product = torch.tensor([3.0, -2.0, 5.0]) * torch.tensor([2.0, -4.0, 1.0])
    return Problem(
        r"What is the second number of $[\,3,\ -2,\ 5\,] \odot [\,2,\ -4,\ 1\,]$?",
        round(product[1].item()),
        ("Only the second places count.", rf"$(-2) \cdot (-4) = {product[1].item():.0f}$: same signs give plus."),
    )


def entry() -> Problem:
    """One place of a table."""
    table = torch.tensor([[5.0, 1.0], [2.0, 9.0], [4.0, 7.0]])
    return Problem(
        r"What is $W_{32}$ for $W = \begin{bmatrix} 5 & 1 \\ 2 & 9 \\ 4 & 7 \end{bmatrix}$?",
        round(table[2, 1].item()),
        ("The first number names the row, the second the column.", f"Row 3, column 2: ${table[2, 1].item():.0f}$."),
    )


def stretched() -> Problem:
    """The length of an arrow after a matrix."""
    matrix, arrow = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 1.0])
    length = (matrix @ arrow).norm().item()
    return Problem(
        r"The arrow $[\,1,\ 1\,]$ goes through the matrix $\begin{bmatrix} 3 & 0 \\ 0 & 4 \end{bmatrix}$. How long "
        r"is it then?",
        round(length),
        (
            r"Row by row: $3 \cdot 1 + 0 \cdot 1 = 3$ and $0 \cdot 1 + 4 \cdot 1 = 4$.",
            rf"Its length is $\sqrt{{9 + 16}} = \sqrt{{25}} = {length:.0f}$.",
        ),
    )
