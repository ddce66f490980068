"""The workbench of the chapters on the model: small models with random numbers, and what is measured on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from docs._ext.mutation import swapped
from docs.pictures import pupil
from nanochat import engine, gpt
from nanochat.engine import Engine
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer

STEPS = 60
"""Steps of the short training after which the table of embeddings is looked at."""
NAMES = (" Pip", " Milo", " Finn", " Tilly", " Max", " Luna", " Hugo", " Otto")
"""Names of the stories that are one token each for the pupil."""


def lively(depth: int = 2, width: int = 64) -> GPT:
    """A small model all of whose matrices hold random numbers, so that every part has an effect."""
    model = GPT(GPTConfig.from_depth(depth, vocab_size=64, sequence_len=64, width=width))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * weight.size(-1) ** -0.5)
        model.embed.weight.copy_(torch.randn(model.embed.weight.shape, generator=generator))
    return model


def row(length: int, seed: int = 0) -> Tensor:
    """One row of random tokens, ``(1, T)``."""
    return torch.randint(0, 64, (1, length), generator=torch.Generator().manual_seed(seed))


def vectors(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers with mean 0 and spread 1."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sized(depth: int, **sizes: int) -> GPT:
    """A model without numbers, to look at its shapes: nothing is drawn or stored."""
    with torch.device("meta"), swapped("nanochat.gpt.GPT.init_weights", lambda self, seed=0: None):
        return GPT(GPTConfig.from_depth(depth, **sizes))


@contextlib.contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Note what goes into a part of a model while the block runs."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()


def rms(x: Tensor) -> Tensor:
    """The root mean square of each vector, by hand."""
    return x.square().mean(dim=-1).sqrt()


# ---- embeddings ----


def embeddings(steps: int) -> tuple[dict[str, int], Tensor]:
    """Train the pupil for so many steps; return its tokens of text, and its table, each row of length 1."""
    learned = pupil.taught(steps) if steps else pupil.new()
    names = {}
    for token in range(learned.tokenizer.special("<|bos|>")):
        with contextlib.suppress(UnicodeDecodeError):
            names[learned.tokenizer.token_bytes(token).decode()] = token
    return names, F.normalize(learned.model.embed.weight.detach(), dim=-1)


def names_alike(steps: int) -> float:
    """The mean cosine of two different names."""
    tokens, table = embeddings(steps)
    rows = table[[tokens[name] for name in NAMES]]
    return _mean_of_others(rows @ rows.T)


def neighbours(word: str, tokens: dict[str, int], table: Tensor, number: int = 4) -> dict[str, float]:
    """The words whose vectors are nearest to that of a word, with their cosines."""
    words = [w for w in tokens if w.startswith(" ") and len(w) > 2 and w != word]
    cosines = table[[tokens[w] for w in words]] @ table[tokens[word]]
    best = cosines.topk(number)
    return {words[place]: value for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)}


def _mean_of_others(square: Tensor) -> float:
    """The mean of a square table without its diagonal."""
    n = square.size(0)
    return ((square.sum() - square.trace()) / (n * (n - 1))).item()


# ---- positions ----


def rotated_dot(query_at: int, key_at: int, head_size: int = 64) -> float:
    """The dot product of one random query and one random key, turned to their positions."""
    q, k = vectors(1, 1, 1, head_size), vectors(1, 1, 1, head_size, seed=1)
    cos, sin = gpt.rotary_tables(200, head_size)
    q = gpt.apply_rotary(q, cos[query_at : query_at + 1], sin[query_at : query_at + 1])
    k = gpt.apply_rotary(k, cos[key_at : key_at + 1], sin[key_at : key_at + 1])
    return (q * k).sum().item()


def perfect_fit(distances: int, head_size: int = 64) -> list[float]:
    """The score of a key that equals its query in every pair, at each distance, as a share of that at none."""
    cos, sin = gpt.rotary_tables(distances, head_size)
    x = torch.ones(1, distances, 1, head_size)
    turned = gpt.apply_rotary(x, cos, sin)[0, :, 0]
    return (turned @ turned[0] / head_size).tolist()


# ---- MLP ----


def silent_share() -> float:
    """The share of zeros inside the MLP of a fresh model, between its two matrices."""
    mlp = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8)).blocks[0].mlp
    seen: list[Tensor] = []
    mlp.down.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        mlp(gpt.rms_norm(vectors(64, 256)))
    return (seen[0] == 0).float().mean().item()


# ---- the stream ----


def replacing_forward(self: gpt.Block, x: Tensor, cos: Tensor, sin: Tensor, cache: None = None) -> Tensor:
    """A block as it is, without the two pluses: each part replaces the stream."""
    x = self.attention(gpt.rms_norm(x), cos, sin, cache, self.layer)
    return self.mlp(gpt.rms_norm(x))


def _blocks(depth: int, replacing: bool) -> list[Tensor]:
    """Run forward and backward; return what went into each block, with its gradient."""
    model, kept = lively(depth), []

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        kept.append(inputs[0])

    for block in model.blocks:
        block.register_forward_pre_hook(keep)
    tokens, targets = (torch.cat([row(32, seed=first + n) for n in range(8)]) for first in (0, 100))
    with swapped("nanochat.gpt.Block.forward", replacing_forward) if replacing else contextlib.nullcontext():
        model(tokens, targets).backward()
    return kept


def alike(depth: int, replacing: bool = False) -> list[float]:
    """At each block, the mean cosine of the vectors of two different positions."""
    means = []
    for stream in _blocks(depth, replacing):
        rows = F.normalize(stream.detach()[0], dim=-1)
        means.append(_mean_of_others(rows @ rows.T))
    return means


def message(depth: int, replacing: bool = False) -> list[float]:
    """At each block, the cosine of the gradient that arrives there with the one at the last block."""
    kept = _blocks(depth, replacing)
    return [F.cosine_similarity(x.grad, kept[-1].grad, dim=-1).mean().item() for x in kept]


def message_sizes(depth: int, replacing: bool = False) -> list[float]:
    """At each block, the length of the gradient that arrives there."""
    return [x.grad.norm().item() for x in _blocks(depth, replacing)]


def sizes(depth: int, normalised: bool = True) -> list[float]:
    """At each block, the root mean square of the stream; infinite where it no longer fits into float32."""
    model, kept = lively(depth), []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].square().mean().sqrt().item()))
    left_out = contextlib.nullcontext() if normalised else swapped("nanochat.gpt.rms_norm", lambda x: x)
    with left_out, torch.no_grad():
        model(row(32))
    return kept


# ---- the start ----


def spreads(model: GPT) -> dict[str, float]:
    """The root mean square of the numbers of each kind of matrix, over all blocks."""
    kinds: dict[str, list[Tensor]] = {"embedding": [model.embed.weight]}
    for block in model.blocks:
        for name in ("query", "key", "value", "output"):
            kinds.setdefault(name, []).append(getattr(block.attention, name).weight)
        for name in ("up", "down"):
            kinds.setdefault(name, []).append(getattr(block.mlp, name).weight)
    kinds["head"] = [model.head.weight]
    return {
        name: torch.cat([w.detach().flatten() for w in weights]).square().mean().sqrt().item()
        for name, weights in kinds.items()
    }


# ---- writing ----


def writer() -> Engine:
    """An engine with a lively model and the smallest tokenizer, whose texts mean nothing."""
    tokenizer = Tokenizer.train(["a"], 265)
    model = GPT(GPTConfig.from_depth(2, vocab_size=tokenizer.vocab_size, sequence_len=128, width=64))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * weight.size(-1) ** -0.5)
        model.head.weight.mul_(3)
    return Engine(model, tokenizer)


def kite(temperature: float, top_k: int | None = None) -> list[float]:
    """The probabilities of four tokens with the scores 2, 1, 0 and -1."""
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    return engine.next_token_probabilities(scores, temperature, top_k)[0].tolist()


def positions(n_prompt: int, n_new: int, **settings: Any) -> int:
    """Write some tokens and count how many positions went through the model."""
    writing, counted = writer(), []
    writing.model.embed.register_forward_pre_hook(lambda _, inputs: counted.append(inputs[0].numel()))
    writing.generate(list(range(1, n_prompt + 1)), max_tokens=n_new, stop=(), **settings)
    return sum(counted)
