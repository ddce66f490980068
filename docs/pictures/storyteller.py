"""The pupil of the chapter on training at its desk: how it writes, and how sure it is. For inference."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from docs.pictures import bench, pupil
from nanochat import engine, gpt
from nanochat.tokenizer import Tokenizer

LENGTH = 100
"""Tokens that it writes."""
RUN = 4
"""Tokens of a run that may come again."""
STORIES = 6
"""Held-out stories on which its scores are looked at."""


def desk() -> engine.Engine:
    """An engine with the pupil."""
    learned = pupil.whole()
    return engine.Engine(learned.model, learned.tokenizer)


def written(temperature: float, seed: int = 1) -> list[int]:
    """The tokens of a text from its beginning on, whatever they are."""
    writer = desk()
    return writer.generate([writer.tokenizer.bos], max_tokens=LENGTH, temperature=temperature, seed=seed, stop=())[0]


def different(row: list[int]) -> float:
    """The share of different ones among all runs of four tokens in a row."""
    runs = [tuple(row[place : place + RUN]) for place in range(len(row) - RUN + 1)]
    return len(set(runs)) / len(runs)


@lru_cache(maxsize=1)
def scores() -> Tensor:
    """The pupil's scores at all places of some stories that it never read, ``(T, V)``."""
    learned = pupil.whole()
    found = []
    for text in pupil.texts("val")[:STORIES]:
        ids = [learned.tokenizer.bos, *learned.tokenizer.encode(text)][: pupil.CONTEXT]
        with torch.no_grad():
            found.append(learned.model(torch.tensor([ids]))[0])
    return torch.cat(found)


def favourite(temperature: float) -> float:
    """The mean probability of the likeliest token."""
    return engine.next_token_probabilities(scores(), temperature).max(dim=-1).values.mean().item()


def left_out(top_k: int) -> float:
    """The mean probability of all tokens that are not among the best k."""
    p = engine.next_token_probabilities(scores())
    return 1 - p.topk(top_k).values.sum(dim=-1).mean().item()


# ---- small machines ----


@torch.no_grad()
def all_pairs(start: int) -> tuple[Tensor, tuple[int, int]]:
    """The probability of each pair of tokens behind a first one, ``(V, V)``, and the greedy pair."""
    writer = bench.writer()
    V = writer.model.config.vocab_size
    first = writer.model(torch.tensor([[start]]))[0, -1].softmax(dim=-1)
    rows = torch.stack((torch.full((V,), start), torch.arange(V)), dim=1)
    second = writer.model(rows)[:, -1].softmax(dim=-1)
    one, two = writer.generate([start], max_tokens=2, temperature=0, stop=())[0]
    return first[:, None] * second, (one, two)


def operations(n_new: int, **settings: Any) -> int:
    """Operations in matrices, as PyTorch counts them, for so many tokens behind a prompt of one."""
    with FlopCounterMode(display=False) as counter:
        bench.writer().generate([1], max_tokens=n_new, stop=(), **settings)
    return counter.get_total_flops()


class Clock:
    """In place of a model: each row wants to end at a step of its own, and writes a letter until then.

    Args:
        ends: For each row the number of its last token, from 2 on.
    """

    def __init__(self, ends: tuple[int, ...]) -> None:
        self.tokenizer = Tokenizer([])
        self.config = gpt.GPTConfig.from_depth(1, vocab_size=self.tokenizer.vocab_size, sequence_len=64, width=64)
        self.compute_dtype, self.device = torch.float32, torch.device("cpu")
        self.ends, self.calls = ends, 0

    def __call__(self, rows: Tensor, cache: object = None) -> Tensor:
        """Score the next token of each row: the mark that ends it, or a letter."""
        self.calls += 1
        scores = torch.zeros(rows.size(0), rows.size(1), self.config.vocab_size)
        for row in range(rows.size(0)):
            over = rows.size(0) > 1 and self.calls >= self.ends[row]
            scores[row, -1, self.tokenizer.bos if over else 65] = 1
        return scores


def rows_that_end(ends: tuple[int, ...]) -> list[engine.Step]:
    """The steps of an engine whose rows end at these steps."""
    clock = Clock(ends)
    return list(engine.Engine(clock, clock.tokenizer).stream([65], len(ends), max_tokens=20, temperature=0))
