"""A lesson small enough to watch: learn to answer with the one name that stood in the row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from nanochat.common import IGNORED
from nanochat.gpt import GPT, GPTConfig

NAMES = ("Pip", "Bruno", "Hugo", "Finn", "Ruby", "Tilly", "Olive", "Luna")
"""Tokens 1 to 8: the names, of which each row holds one."""
FILLERS = ("a", "the", "red", "kite", "and", "runs", "home", "sun")
"""How the fillers, tokens 16 to 47, are written in pictures: eight words in turn."""
ROW_LENGTH = 8
"""T, the tokens of a row; the last of them is the question."""


def rows(n_rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw rows of fillers with one name at a random place and the question at the end.

    Args:
        n_rows: B, how many rows.
        seed: The seed of the draw.

    Returns:
        Tokens ``(B, T)``, the names ``(B,)`` and their places ``(B,)``.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(16, 48, (n_rows, ROW_LENGTH), generator=generator)
    names = torch.randint(1, 1 + len(NAMES), (n_rows,), generator=generator)
    places = torch.randint(0, ROW_LENGTH - 1, (n_rows,), generator=generator)
    tokens[torch.arange(n_rows), places] = names
    tokens[:, -1] = 0  # the question: which name was it?
    return tokens, names, places


def lesson(steps: int) -> tuple[GPT, float]:
    """Teach a model of one layer to answer the question; return it with its last loss."""
    model = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=ROW_LENGTH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    loss = torch.tensor(0.0)
    for step in range(steps):
        tokens, names, _ = rows(64, seed=step)
        targets = torch.full_like(tokens, IGNORED)
        targets[:, -1] = names  # only the answer counts
        loss = model(tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


@dataclass(frozen=True)
class Outcome:
    """What a model does with rows that it has not seen."""

    loss: float
    """The loss of the last step, in nats."""
    right: float
    """The share of right answers."""
    looks: tuple[float, ...]
    """For each head, the weight that the question gives to the place of the name, on average."""
    weights: Tensor
    """The weights of one row, whose name stands third, ``(H, T, T)``."""
    words: tuple[str, ...]
    """That row in words."""


@lru_cache(maxsize=4)
def outcome(steps: int) -> Outcome:
    """Teach for so many steps and try the model on new rows."""
    model, loss = lesson(steps)
    tokens, names, places = rows(200, seed=10_000)
    with torch.no_grad():
        answers = model(tokens)[:, -1].argmax(dim=-1)
    weights = next(model.attention_maps(tokens))
    looks = weights[torch.arange(len(tokens)), :, -1, places].mean(dim=0)
    shown = places.tolist().index(2)
    words = tuple(
        "who?" if i == 0 else NAMES[i - 1] if i < 16 else FILLERS[i % len(FILLERS)] for i in tokens[shown].tolist()
    )
    right = (answers == names).float().mean().item()
    return Outcome(loss, right, tuple(looks.tolist()), weights[shown], words)
