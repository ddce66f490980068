"""The model that comes with the package, opened: its two tables, what passes through it, and where it gets lost."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from nanochat import gpt, interop
from nanochat.corpora.stories import stories
from nanochat.gpt import GPT
from nanochat.tokenizer import Tokenizer

WEIGHTS = "nanochat/assets/shipped/weights.safetensors"
"""Its numbers, from the root of the repository."""
GROUPS = {
    "names": ("Pip", "Milo", "Finn", "Tilly", "Max", "Luna"),
    "animals": ("dog", "cat", "mouse", "duck", "frog", "rabbit"),
    "places": ("river", "hill", "park", "meadow", "garden", "forest"),
    "things": ("kite", "puppet", "drum", "boat", "lantern", "wagon"),
    "colours": ("red", "blue", "green", "yellow", "silver", "golden"),
}
"""Six words of each kind; every one is a single token."""


@lru_cache(maxsize=1)
def whole() -> tuple[GPT, Tokenizer]:
    """The model and its tokenizer, loaded once: to be looked at, not to be changed."""
    model, tokenizer, _ = interop.shipped_model()
    return model.requires_grad_(False), tokenizer


# ---- its tables ----


@lru_cache(maxsize=1)
def words() -> dict[str, int]:
    """Every token that is a blank and at least two letters, by its letters."""
    tokenizer = whole()[1]
    found = {}
    for token in range(tokenizer.bos):
        piece = tokenizer.token_bytes(token)
        if piece[:1] == b" " and len(piece) > 2 and piece[1:].isalpha():
            found[piece[1:].decode()] = token
    return found


def table() -> Tensor:
    """The table of embeddings, each row of length 1, ``(V, C)``."""
    return F.normalize(whole()[0].embed.weight, dim=-1)


def head() -> Tensor:
    """The table of the output head, each row of length 1, ``(V, C)``."""
    return F.normalize(whole()[0].head.weight, dim=-1)


def cosine(one: str, other: str, rows: Tensor) -> float:
    """The cosine of two words in a table whose rows have length 1."""
    return (rows[words()[one]] @ rows[words()[other]]).item()


def nearest(word: str, number: int) -> dict[str, float]:
    """The words whose embeddings point most nearly where that of a word points, with their cosines."""
    others = [other for other in words() if other != word]
    cosines = table()[[words()[other] for other in others]] @ table()[words()[word]]
    best = cosines.topk(number)
    return {others[place]: value for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)}


def alike(group: str, rows: Tensor) -> float:
    """The mean cosine of two different words of a group."""
    members = GROUPS[group]
    pairs = [cosine(a, b, rows) for a in members for b in members if a != b]
    return sum(pairs) / len(pairs)


# ---- what it reads ----


def rows(n_rows: int, length: int) -> tuple[Tensor, Tensor]:
    """New stories, one after the other: inputs and targets, ``(B, T)`` each."""
    tokenizer = whole()[1]
    told = iter(stories(n_rows * (2 + length // 40), seed=12345))
    made = []
    for _ in range(n_rows):
        ids: list[int] = []
        while len(ids) <= length:
            ids += [tokenizer.bos, *tokenizer.encode(next(told).text)]
        made.append(ids[: length + 1])
    tokens = torch.tensor(made)
    return tokens[:, :-1], tokens[:, 1:]


def longer(length: int, theta: float | None = None) -> GPT:
    """The same numbers in a model with a longer context, and with another base of the rotation if asked for."""
    model = whole()[0]
    twin = GPT(replace(model.config, sequence_len=length, rope_theta=theta or model.config.rope_theta))
    twin.load_state_dict(model.state_dict())
    return twin


@lru_cache(maxsize=1)
def loss_by_place() -> list[float]:
    """Its mean loss on stories at each place of rows four times as long as any that it was trained on."""
    length = 4 * whole()[0].config.sequence_len
    inputs, targets = rows(3, length)
    with torch.no_grad():
        return longer(length)(inputs, targets, reduction="none").mean(dim=0).tolist()


def mean_loss(model: GPT, inputs: Tensor, targets: Tensor) -> float:
    """The mean loss on some rows."""
    with torch.no_grad():
        return model(inputs, targets).item()


# ---- what passes through it ----


def streams() -> list[Tensor]:
    """What enters each block while it reads two rows of stories, ``(B, T, C)`` each."""
    model, kept = whole()[0], []
    hooks = [block.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0])) for block in model.blocks]
    with torch.no_grad():
        model(rows(2, 128)[0])
    for hook in hooks:
        hook.remove()
    return kept


def sizes() -> list[float]:
    """The size of the stream before each block at the token in the middle: a few tokens have far larger vectors."""
    return [x.square().mean(dim=-1).sqrt().median().item() for x in streams()]


def raw_scores() -> list[float]:
    """For each layer, the largest score that its queries and keys would give if they were not normalised."""
    model, largest = whole()[0], []
    for block, x in zip(model.blocks, streams(), strict=True):
        attention, shape = block.attention, (*x.shape[:2], model.config.n_head, model.config.head_size)
        tables = model.cos[: x.size(1)], model.sin[: x.size(1)]
        made = (F.linear(gpt.rms_norm(x), part.weight).view(shape) for part in (attention.query, attention.key))
        largest.append(_largest(*(gpt.apply_rotary(part, *tables) for part in made)))
    return largest


def scores() -> list[float]:
    """For each layer, the largest score of its queries and keys as they are."""
    model, largest = whole()[0], []
    for block, x in zip(model.blocks, streams(), strict=True):
        places = x.size(1)
        q, k, _ = block.attention.project(gpt.rms_norm(x), model.cos[:places], model.sin[:places])
        largest.append(_largest(q, k))
    return largest


def _largest(q: Tensor, k: Tensor) -> float:
    """The largest dot product of a query and a key before it or at its place, divided by the root of their size."""
    products = torch.einsum("bthd,bshd->bhts", q, k) / q.size(-1) ** 0.5
    return products.tril().abs().max().item()
