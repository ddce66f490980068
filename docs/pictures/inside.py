"""A look inside trained models: which detectors burn where, and what the head reads off the stream on the way.

Beside it, a lesson that a model without a stream cannot learn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from docs._ext.mutation import swapped
from docs.pictures import bench, pupil, recall, shipped
from nanochat import gpt
from nanochat.common import IGNORED
from nanochat.gpt import GPT, GPTConfig

ROWS, LENGTH = 16, 256
"""Rows of new stories, and their length, that the model that comes with the package reads."""
LESSON_STEPS, LESSON_ROWS, LESSON_WIDTH = 50, 32, 32
"""Steps, rows of a step and width of the lesson with and without a stream."""


def word(token: int) -> str:
    """A token of the model that comes with the package, as text."""
    tokenizer = shipped.whole()[1]
    return "<|bos|>" if token == tokenizer.bos else tokenizer.token_bytes(token).decode(errors="replace")


@lru_cache(maxsize=1)
def read() -> tuple[Tensor, Tensor]:
    """New stories, which no model was trained on: inputs and targets, ``(B, T)`` each."""
    return shipped.rows(ROWS, LENGTH)


# ---- detectors ----


@lru_cache(maxsize=1)
def light() -> tuple[Tensor, ...]:
    """How bright each detector of each block burns while the model that comes with the package reads, ``(BT, 4C)``."""
    model, seen = shipped.whole()[0], []
    with contextlib.ExitStack() as stack, torch.no_grad():
        kept = [stack.enter_context(bench.inputs_of(block.mlp.down)) for block in model.blocks]
        model(read()[0])
        seen = [one[0].flatten(0, 1) for one in kept]
    return tuple(seen)


@dataclass(frozen=True)
class Detector:
    """The detector of the last block whose answer is most about some words."""

    channel: int
    """Its number."""
    says: tuple[int, ...]
    """The tokens that its answer makes likelier most."""
    pushes: tuple[float, ...]
    """By how much an answer of length 1 in its direction would raise the score of each of them."""
    share: float
    """The share of its light that falls where one of the words comes next."""
    due: float
    """How bright it burns on average where one of the words comes next."""
    elsewhere: float
    """How bright it burns on average at all other places."""
    common: float
    """The share of places at which one of the words comes next."""


@lru_cache(maxsize=8)
def detector(group: str, n_said: int = 8) -> Detector:
    """Find the detector by its answer alone, then look where it burns."""
    model = shipped.whole()[0]
    wanted = torch.tensor([shipped.words()[one] for one in shipped.GROUPS[group]])
    down = model.blocks[-1].mlp.down.weight
    pushed = model.head.weight @ (down / down.norm(dim=0))
    channel = int(pushed[wanted].mean(0).argmax())
    best = pushed[:, channel].topk(n_said)
    burns = light()[-1][:, channel]
    due = torch.isin(read()[1].flatten(), wanted)
    return Detector(
        channel=channel,
        says=tuple(best.indices.tolist()),
        pushes=tuple(best.values.tolist()),
        share=(burns[due].sum() / burns.sum()).item(),
        due=burns[due].mean().item(),
        elsewhere=burns[~due].mean().item(),
        common=due.float().mean().item(),
    )


def piece(length: int = 24) -> tuple[list[int], list[float]]:
    """The stretch of what was read that has the most places, with the light of their detector at each token."""
    inputs, targets = (each.flatten() for each in read())
    wanted = torch.tensor([shipped.words()[one] for one in shipped.GROUPS["places"]])
    start = int(torch.isin(targets, wanted).float().unfold(0, length, 1).sum(1).argmax())
    burns = light()[-1][start : start + length, detector("places").channel]
    return inputs[start : start + length].tolist(), burns.tolist()


def dark() -> list[float]:
    """The share of lamps that are dark at a token, for each block of the model that comes with the package."""
    return [(seen == 0).float().mean().item() for seen in light()]


def brightest_tenth() -> tuple[float, float]:
    """The share of a fresh MLP's light that its brightest tenth gives, and what it would be without the square."""
    mlp = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8)).blocks[0].mlp
    with bench.inputs_of(mlp.down) as seen, torch.no_grad():
        mlp(gpt.rms_norm(bench.vectors(200, 256)))
    few = seen[0].size(1) // 10
    shares = []
    for lamps in (seen[0], seen[0].sqrt()):
        ordered = lamps.sort(dim=1, descending=True).values
        shares.append((ordered[:, :few].sum(1) / ordered.sum(1)).mean().item())
    return shares[0], shares[1]


# ---- the stream ----


def streams(model: GPT, tokens: Tensor, left_out: Sequence[int] = ()) -> Iterator[Tensor]:
    """The stream of a model, ``(B, T, C)``: after the embedding, and after each block that is not left out."""
    cos, sin = model.cos[: tokens.size(1)], model.sin[: tokens.size(1)]
    x = gpt.rms_norm(model.embed(tokens))
    yield x
    for block in model.blocks:
        if block.layer not in left_out:
            x = block(x, cos, sin)
            yield x


def read_off(model: GPT, x: Tensor) -> Tensor:
    """The scores that the head would give if the stream ended here."""
    return gpt.soft_cap(model.head(gpt.rms_norm(x)), model.config.softcap)


@lru_cache(maxsize=1)
def _kept_aside() -> tuple[tuple[int, ...], ...]:
    """Stories that the pupil has not read, as rows of tokens."""
    tok = pupil.whole().tokenizer
    return tuple((tok.bos, *tok.encode(text))[: pupil.CONTEXT + 1] for text in pupil.texts("val"))


@lru_cache(maxsize=16)
def losses(young: bool, left_out: tuple[int, ...] = ()) -> tuple[float, ...]:
    """The mean surprise at new stories, if the guess is read off after each stage.

    Args:
        young: The pupil; otherwise the model that comes with the package.
        left_out: Blocks that are left out.
    """
    if young:
        model, batches = pupil.whole().model, [torch.tensor([row]) for row in _kept_aside()]
        pairs = [(row[:, :-1], row[:, 1:]) for row in batches]
    else:
        model, pairs = shipped.whole()[0], [read()]
    sums, counted = torch.zeros(1), 0
    with torch.no_grad():
        for inputs, targets in pairs:
            stages = [read_off(model, x).flatten(0, 1) for x in streams(model, inputs, left_out)]
            each = [F.cross_entropy(stage, targets.flatten(), reduction="sum") for stage in stages]
            sums, counted = sums + torch.stack(each), counted + targets.numel()
    return tuple((sums / counted).tolist())


@lru_cache(maxsize=2)
def written(young: bool) -> dict[str, float]:
    """The size of what the embedding and each part of a model write to the stream, at the token in the middle."""
    if young:
        model, inputs = pupil.whole().model, torch.tensor([_kept_aside()[0][:-1]])
    else:
        model, inputs = shipped.whole()[0], read()[0][:4]
    sizes: dict[str, float] = {}

    def note(name: str, x: Tensor) -> None:
        sizes[name] = bench.rms(x).median().item()

    hooks = []
    for number, block in enumerate(model.blocks, 1):
        for name, part in ((f"attention {number}", block.attention), (f"MLP {number}", block.mlp)):
            hooks.append(part.register_forward_hook(lambda *call, name=name: note(name, call[2])))
    with torch.no_grad():
        note("embedding", next(streams(model, inputs)))
        model(inputs)
    for hook in hooks:
        hook.remove()
    return sizes


# ---- a lesson with and without a stream ----


@lru_cache(maxsize=16)
def lesson(depth: int, replacing: bool = False) -> float:
    """Teach a model of random matrices to answer with the name in its row; return the share of right answers."""
    model = bench.lively(depth, LESSON_WIDTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005, weight_decay=0.0)
    without = swapped("nanochat.gpt.Block.forward", bench.replacing_forward)
    with torch.no_grad():
        model.head.weight.mul_(0.1)
    with without if replacing else contextlib.nullcontext():
        for step in range(LESSON_STEPS):
            tokens, answers, _ = recall.rows(LESSON_ROWS, seed=step)
            targets = torch.full_like(tokens, IGNORED)
            targets[:, -1] = answers
            optimizer.zero_grad()
            model(tokens, targets).backward()
            optimizer.step()
        tokens, answers, _ = recall.rows(200, seed=10_000)
        with torch.no_grad():
            return (model(tokens)[:, -1].argmax(-1) == answers).float().mean().item()
