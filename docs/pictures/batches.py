"""Pictures of the page on batches, drawn from what the package computes."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from docs.pictures import SMALL, Box, Drawing, Picture, flow, label, lines, pupil, rect
from nanochat import dataloader, gpt
from nanochat.figures import SERIES

SIZES = (1, 2, 4, 8, 16)
"""Rows of the batches whose gradients are compared."""
AFTER = 8
"""Steps that the pupil has taken before."""


def loader(seed: int) -> dataloader.TokenLoader:
    """A loader of the pupil's stories."""
    tok, ids = pupil.tokens(pupil.VOCABULARY)
    return dataloader.TokenLoader(ids, 2, pupil.CONTEXT, tok.bos, seed)


def _gradient(model: gpt.GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    model.zero_grad()
    model(inputs, targets).backward()
    return torch.cat([p.grad.flatten() for p in model.blocks.parameters() if p.grad is not None])


@lru_cache(maxsize=1)
def likeness() -> dict[int, float]:
    """The mean cosine between the gradients of two batches, in the matrices of the blocks, by the batches' rows."""
    one = pupil.taught(AFTER)
    batches = [pupil.batch(one) for _ in range(16)]
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    rows = [_gradient(one.model, inputs[i : i + 1], targets[i : i + 1]) for i in range(len(inputs))]
    found = {}
    for size in SIZES:
        means = [torch.stack(rows[i : i + size]).mean(0) for i in range(0, len(rows), size)]
        pairs = zip(means[::2], means[1::2], strict=True)
        cosines = [torch.cosine_similarity(a, b, dim=0).item() for a, b in pairs]
        found[size] = sum(cosines) / len(cosines)
    return found


def pipeline() -> Picture:
    """The road from texts to a batch, with the pupil's numbers."""
    texts = pupil.texts("train")
    one = loader(1)
    held_out = pupil.STORIES - len(texts)
    return flow(
        [
            Box("texts", f"{pupil.STORIES} stories", "blue"),
            [
                Box("to learn from", f"{len(texts)} stories", "blue"),
                Box("kept aside", f"{held_out}", "muted", ends=True),
            ],
            Box("tokens", f"{one.n_tokens:,}", "violet"),
            Box("rows", f"{one.rows_per_epoch} of {one.sequence_len + 1}", "amber"),
            Box("batch", f"{one.batch_size} x {one.sequence_len}", "accent"),
        ],
        ["split by their hash", "encoded, each behind a mark", "shuffled, laid in rows", "cut into questions, answers"],
        graph=True,
    ).picture(
        "Boxes from top to bottom: texts, split in two; those to learn from become tokens, then rows, then batches.",
        f"The road of the pupil's texts. {len(texts)} of {pupil.STORIES} stories are read; they are {one.n_tokens:,} "
        f"tokens, which fill {one.rows_per_epoch} rows in the first epoch.",
    )


def rows() -> Picture:
    """A few rows of the first epoch, document by document."""
    one = loader(1)
    tok, _ = pupil.tokens(pupil.VOCABULARY)
    inputs = torch.cat([one.next_batch()[0] for _ in range(4)])
    wide, shapes, text = 380.0, [], []
    for k, row in enumerate(inputs.tolist()):
        y = 26 + 24.0 * k
        starts = [i for i, token in enumerate(row) if token == tok.bos]
        line = []
        for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(row)], strict=True)):
            left, right = (2 + wide * place / len(row) for place in (begin, end))
            shapes.append(rect(left, y, right - left - 1.5, 18, SERIES[number % len(SERIES)], 0.25))
            line.append("#" + "=" * round(38 * (end - begin) / len(row) - 1))
        text.append("".join(line))
    shapes.append(label(2, 12, "each bar is a story; a row ends where it is full", SMALL, "ink", "start"))
    both = sum(row.count(tok.bos) for row in inputs.tolist())
    drawn = Drawing("".join(shapes), 26 + 24.0 * len(inputs), "\n".join(text))
    return drawn.picture(
        "Eight rows, each filled with one or two bars; each row begins with a new bar, and the last bar of a row is "
        "cut at its end.",
        f"The first {len(inputs)} rows of the pupil's first epoch. They hold {both} beginnings of stories. Each row "
        "starts with a story; what does not fit at its end is left out.",
    )


def luck() -> Picture:
    """How much the gradients of two batches agree, by the size of the batches."""
    found = likeness()
    drawn = lines(
        {"two different batches": [(float(size), value) for size, value in found.items()]},
        x="rows in each batch",
        y="cosine between their gradients",
        marks=True,
        y_from=0,
        y_to=1,
    )
    return drawn.picture(
        "A curve that rises with the rows of a batch.",
        f"After {AFTER} steps, the gradients of two single rows have a cosine of {found[1]:.2f} on average, those of "
        f"two batches of 16 rows one of {found[16]:.2f}. At one they would point the same way. Only the matrices of "
        "the blocks are looked at.",
    )
