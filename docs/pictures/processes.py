"""Pictures of the page on several processes, drawn from what two of them really exchange."""

from __future__ import annotations

import torch

from docs._ext.drawing import SMALL, TEXT, Drawing, Picture, arrow, grid, label, rect, stack, title
from docs.pictures import pupil, several
from nanochat.figures import show_piece

FEW = 6
"""Tokens of a row that are shown."""


def _start_of_row(rank: int) -> str:
    tokenizer, _ = pupil.tokens(pupil.VOCABULARY)
    inputs, _ = several.loader(1, rank, 2).next_batch()
    words = "".join(tokenizer.token_bytes(token).decode() for token in inputs[0, 1 : 1 + FEW].tolist())
    return show_piece(words).strip()


def one_step() -> Picture:
    """Two processes take a step of the pupil together."""
    team = several.team()
    own = [torch.cat([t.flatten() for t in given]).norm().item() for given in team.network.summed]
    whole = team.gradients[0].norm().item()
    weights = [sum(p.numel() for p in one.model.parameters()) for one in team.states]
    moves = [sum(t.numel() for t in given) for given in team.network.handed]
    both = zip(*(one.model.parameters() for one in team.states), strict=True)
    alike = sum(int((a == b).sum()) for a, b in both)
    wide, left = 184.0, (8.0, 208.0)
    shapes: list[str] = []
    lines: list[str] = []

    def pair(top: float, ink: str, head: str, notes: list[str], deep: float = 46.0) -> None:
        for x, note in zip(left, notes, strict=True):
            shapes.append(rect(x, top, wide, deep, ink))
            shapes.append(label(x + wide / 2, top + 15, head, TEXT))
            shapes.append(label(x + wide / 2, top + 33, note, SMALL, "muted", mono=True))
        lines.append(f"{head:<22}{notes[0]:<26}{notes[1]}")

    def down(top: float) -> None:
        shapes.extend(arrow(x + wide / 2, top, x + wide / 2, top + 20) for x in left)

    for rank, x in enumerate(left):
        shapes.append(label(x + wide / 2, 10, f"process {rank}", TEXT, bold=True))
    lines.append(f"{'':<22}{'process 0':<26}process 1")
    pair(24, "muted", "the whole model", [f"{n:,} weights" for n in weights])
    down(72)
    pair(94, "blue", "its own row", [f"{_start_of_row(rank)} …" for rank in range(2)])
    down(142)
    pair(164, "amber", "its gradient", [f"length {length:.3f}" for length in own])
    shapes.append(arrow(left[0] + wide / 2, 212, 170, 232))
    shapes.append(arrow(left[1] + wide / 2, 212, 230, 232))
    shapes.append(rect(108, 234, 184, 46, "rose"))
    shapes.append(label(200, 249, "sum of the gradients", TEXT))
    shapes.append(label(200, 267, f"length {whole:.3f}", SMALL, "muted", mono=True))
    lines.append(f"{'':<13}sum of the gradients, length {whole:.3f}, for both")
    shapes.append(arrow(170, 282, left[0] + wide / 2, 302))
    shapes.append(arrow(230, 282, left[1] + wide / 2, 302))
    pair(304, "green", "moves its share", [f"{n:,} weights" for n in moves])
    down(352)
    shapes.append(arrow(left[0] + wide * 0.7, 352, left[1] + wide * 0.3, 372))
    shapes.append(arrow(left[1] + wide * 0.3, 352, left[0] + wide * 0.7, 372))
    pair(374, "muted", "the same model again", [f"{alike:,} alike"] * 2)
    return Drawing("".join(shapes), 422, "\n".join(lines)).picture(
        "Two columns, one for each process: the whole model, its own row, its gradient; the two gradients meet in a "
        "sum; then each moves its share, and both hold the same model again.",
        f"The pupil's first step by two processes. Their gradients have the lengths {own[0]:.3f} and {own[1]:.3f}, "
        f"and the sum has {whole:.3f}: less than both together, because the rows pull in different directions. In the "
        f"end {alike:,} of {weights[0]:,} weights are alike.",
    )


def memory() -> Picture:
    """What a process keeps, by the number of processes."""
    parts = []
    for depth, unit, size in ((4, "million", 1e6), (20, "billion", 1e9)):
        found = [several.memory(depth, n) for n in (1, 2, 8)]
        cells = [[m.weights / size, m.gradients / size, m.averages / size, m.total / size] for m in found]
        show = "{:.0f}".format if depth == 4 else "{:.2f}".format
        names = ["1 process", "2 processes", "8 processes"]
        parts.append(title(f"depth {depth}, in {unit}s of bytes"))
        parts.append(grid(cells, names, ["weights", "gradients", "averages", "together"], show))
    one, eight = several.memory(20, 1).total, several.memory(20, 8).total
    return stack(*parts, gap=6).picture(
        "Two tables with a row for 1, 2 and 8 processes: the columns for weights and gradients stay as they are, the "
        "column for the averages gets smaller.",
        "What the fullest process keeps for its model. Read each column downwards: only the averages are shared. "
        f"At depth 20, a process alone keeps {one / 1e9:.1f} billion bytes, and the fullest of eight "
        f"{eight / 1e9:.1f}.",
    )
