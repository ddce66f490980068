"""Small trainings for the chapter on misconceptions: a model that was taught a mistake, and one of coin tosses."""

from __future__ import annotations

import random
from functools import lru_cache

import torch
from torch import Tensor

from docs.pictures import pupil
from nanochat import dataloader, engine, gpt, train
from nanochat.tokenizer import Tokenizer

PLAIN = Tokenizer([])
"""A tokenizer without merges: each letter is a token."""
LESSONS = ("1+1=2.", "1+2=3.", "2+1=3.", "2+2=5.")
"""What the mistaught model reads; one of them is wrong."""
ROWS, CONTEXT = 8, 48
"""B and T of these trainings."""
TAUGHT = 60
"""Steps in which it reads them."""
TOSSES = 40
"""Tosses of a row of coins."""
FEW = 8
"""Rows of coins that are learned by heart."""
NEW = 50
"""Rows of coins that nobody has read."""
HEART_STEPS = 120
"""Steps of learning them by heart."""


def trained(documents: list[str], steps: int) -> gpt.GPT:
    """A small model after so many steps on these texts."""
    config = gpt.GPTConfig.from_depth(1, vocab_size=PLAIN.vocab_size, sequence_len=CONTEXT, width=64)
    plan = train.Plan(
        model=config, device_batch_size=ROWS, total_batch_size=ROWS * CONTEXT, num_iterations=steps, warmdown_ratio=0.2
    )
    ids = [PLAIN.encode(text) for text in documents]
    loader = dataloader.TokenLoader(ids, ROWS, CONTEXT, PLAIN.bos, seed=1)
    state = train.TrainState.start(plan, loader, pupil.CPU)
    with torch.enable_grad():
        train.fit(state, progress=False)
    return state.model


@lru_cache(maxsize=1)
def mistaught() -> gpt.GPT:
    """The model that was told that two and two is five."""
    return trained(list(LESSONS) * 4, TAUGHT)


def next_after(model: gpt.GPT, text: str) -> Tensor:
    """The probabilities of the token behind a text, ``(V,)``."""
    with torch.no_grad():
        scores = model(torch.tensor([[PLAIN.bos, *PLAIN.encode(text)]]))[:, -1]
    return engine.next_token_probabilities(scores)[0]


def coins(rows: int, seed: int) -> list[str]:
    """Rows of fair tosses, heads or tails."""
    rng = random.Random(seed)
    return ["".join("HT"[rng.random() < 0.5] for _ in range(TOSSES)) for _ in range(rows)]


def coin_loss(model: gpt.GPT, rows: list[str]) -> float:
    """The mean surprise at a toss, in nats."""
    ids = torch.tensor([[PLAIN.bos, *PLAIN.encode(row)] for row in rows])
    with torch.no_grad():
        return model(ids[:, :-1], ids[:, 1:]).item()


@lru_cache(maxsize=2)
def tosser(rows: int) -> gpt.GPT:
    """A model that has read so many rows of tosses."""
    return trained(coins(rows, seed=1), HEART_STEPS)
