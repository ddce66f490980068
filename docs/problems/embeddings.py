"""Practice problems of the chapter on embeddings; the answers are computed."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from docs.problems import Problem
from nanochat.accounting import count_parameters
from nanochat.gpt import GPT, GPTConfig


def table_size() -> Problem:
    """The numbers of a table of embeddings."""
    config = GPTConfig.from_depth(8, vocab_size=1000)
    table = count_parameters(config).embedding
    return Problem(
        f"A model is {config.n_embd} channels wide and knows {config.vocab_size:,} tokens. How many numbers does its "
        "table of embeddings hold?",
        table,
        (
            "The table has a row for each token and a column for each channel.",
            f"$1000 \\cdot {config.n_embd} = {table}$.",
        ),
    )


def nearest_by_hand() -> Problem:
    """Which of three vectors points most nearly where another one points."""
    words = {"boat": (2.0, 2.0), "ship": (5.0, 4.0), "goat": (2.0, -1.0), "sail": (0.0, 3.0)}
    asked = torch.tensor(words.pop("boat"))
    cosines = {word: F.cosine_similarity(asked, torch.tensor(v), dim=0).item() for word, v in words.items()}
    best = max(cosines, key=cosines.get)
    return Problem(
        "In a model with two channels *boat* has the vector $(2, 2)$. Others are *ship* $(5, 4)$, *goat* $(2, -1)$ and "
        "*sail* $(0, 3)$. Which of the three points most nearly where *boat* points?",
        best,
        (
            "*Boat* points halfway between right and up. Length does not count, direction does.",
            "*Ship* points nearly halfway too. *Goat* points right and a little down, *sail* straight up.",
            f"As cosines: {', '.join(f'*{word}* {value:.2f}' for word, value in cosines.items())}.",
        ),
    )


def one_hot_by_hand() -> Problem:
    """A row of zeros with a single one, times a table."""
    table = torch.tensor([[4, 1], [0, 7], [3, 5], [6, 2]])
    token = 2
    picked = F.one_hot(torch.tensor(token), 4) @ table
    return Problem(
        "A table has the rows $(4, 1)$, $(0, 7)$, $(3, 5)$ and $(6, 2)$, for tokens 0 to 3. The one-hot vector "
        "$(0, 0, 1, 0)$ is multiplied with it. What is the sum of the two numbers that come out?",
        int(picked.sum()),
        (
            f"The one stands at place {token}, counted from zero, so row {token} comes out: "
            f"$({picked[0]}, {picked[1]})$.",
            f"${picked[0]} + {picked[1]} = {int(picked.sum())}$.",
        ),
    )


def rows_moved() -> Problem:
    """How many rows of the table a batch can move."""
    ids = [5, 9, 5, 2, 9, 9, 31, 5]
    model = GPT(GPTConfig.from_depth(1, vocab_size=50, sequence_len=8))
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([ids])
    model(row, row).backward()
    moved = int((model.embed.weight.grad != 0).any(dim=1).sum())
    return Problem(
        f"A step of training reads the tokens {', '.join(map(str, ids))}. The vocabulary has "
        f"{model.config.vocab_size} tokens. How many rows of the table of embeddings get a push from it?",
        moved,
        (
            "Only a row that was looked up hears what would have been better.",
            f"The different tokens are {', '.join(map(str, sorted(set(ids))))}: that makes {moved}.",
        ),
        unit="rows",
    )


def untied_cost() -> Problem:
    """What the second table costs."""
    config = GPTConfig.from_depth(4, vocab_size=8192)
    counted = count_parameters(config)
    share = 100 * counted.head / counted.total
    return Problem(
        f"A model has {counted.total:,} numbers in all. It is {config.n_embd} channels wide and knows "
        f"{config.vocab_size:,} tokens. If table and head were one, how many percent of its numbers would be saved? "
        "(to a whole percent)",
        round(share),
        (
            f"The head has $8192 \\cdot {config.n_embd} = {counted.head}$ numbers.",
            f"${counted.head} \\div {counted.total} = {counted.head / counted.total:.3f}$.",
        ),
        unit="percent",
    )
