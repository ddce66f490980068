"""Pictures of the site itself: the map of the package, and the samples on the page of visual rules."""

from __future__ import annotations

import math

import nanochat
from docs.pictures import (
    SMALL,
    TEXT,
    WIDTH,
    Box,
    Drawing,
    Picture,
    bars,
    flow,
    grid,
    label,
    lines,
    number_line,
    path,
    rect,
    stack,
    title,
    token_strip,
)
from nanochat.figures import PALETTE, SERIES, show_piece

RIVER = (
    ("text", "", "nanochat.corpora"),
    ("tokens", "", "nanochat.tokenizer"),
    ("batches", "(B, T)", "nanochat.dataloader"),
    ("scores of every next token", "(B, T, V)", "nanochat.gpt"),
    ("better weights", "", "nanochat.optim, nanochat.train"),
    ("a checkpoint", "", "nanochat.checkpoint"),
    ("an answer, token by token", "", "nanochat.engine"),
)


def river() -> Picture:
    """Draw what flows through the package, and the module that makes each thing."""
    boxes = [Box(words, shape, SERIES[place % len(SERIES)]) for place, (words, shape, _) in enumerate(RIVER)]
    rows = nanochat.__doc__ or ""
    modules = rows.count(":mod:")
    return flow(boxes, [module for _, _, module in RIVER[1:]]).picture(
        "Boxes from top to bottom: text, tokens, batches, scores of every next token, better weights, a checkpoint, "
        "an answer; beside each arrow stands the module that makes the next thing.",
        f"What flows through the package. Each arrow is a module; {modules} modules stand on the map.",
    )


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def contrasts() -> dict[str, float]:
    """Return the lower of the contrasts of each text colour, on light and dark pages and panels."""
    names = [name for name in PALETTE if name not in ("line", "panel", "paper")]
    return {
        name: min(_contrast(PALETTE[name][dark], PALETTE[back][dark]) for back in ("paper", "panel") for dark in (0, 1))
        for name in names
    }


def palette() -> Picture:
    """Draw every colour with its name and its lowest contrast."""
    found = contrasts()
    shapes, text = [], []
    for place, (name, value) in enumerate(found.items()):
        x, y = 4 + (place % 2) * 200, (place // 2) * 40
        shapes.append(rect(x, y + 2, 44, 32, name, 0.9, 6, edge=False))
        shapes.append(rect(x + 48, y + 2, 44, 32, name, 0.14, 6))
        shapes.append(label(x + 102, y + 11, name, TEXT, name, "start", bold=True))
        shapes.append(label(x + 102, y + 27, f"{value:.1f} : 1", SMALL, "muted", "start", mono=True))
        text.append(f"{name:8} {PALETTE[name][0]} on light, {PALETTE[name][1]} on dark, contrast {value:.1f} to 1")
    drawing = Drawing("".join(shapes), 40 * math.ceil(len(found) / 2), "\n".join(text))
    lowest = min(found, key=lambda name: found[name])
    return drawing.picture(
        f"{len(found)} colours, each as a full and as a soft box, with its name and its lowest contrast.",
        f"The palette. The lowest contrast, that of {lowest}, is {found[lowest]:.1f} to 1; text needs 4.5 to 1.",
    )


def sizes() -> Picture:
    """Draw the sizes of letters and the widths."""
    shapes = [
        label(4, 14, f"Words in boxes are {TEXT} units high", TEXT, "ink", "start", bold=True),
        label(4, 40, f"Notes and numbers are {SMALL} units high, never less", SMALL, "muted", "start"),
        path([(1, 70), (WIDTH - 1, 70)], "accent", 2),
        path([(1, 64), (1, 76)], "accent", 2),
        path([(WIDTH - 1, 64), (WIDTH - 1, 76)], "accent", 2),
        label(WIDTH / 2, 88, f"{WIDTH} units", SMALL, "accent"),
    ]
    on_phone = 358 / WIDTH * SMALL
    text = f"words {TEXT} units, notes {SMALL} units, picture {WIDTH} units wide"
    return Drawing("".join(shapes), 98, text).picture(
        f"A sample of letters of {TEXT} and of {SMALL} units, and a line of {WIDTH} units.",
        f"Sizes. On a telephone with a text column of 358 pixels, the smallest letters are {on_phone:.1f} pixels high.",
    )


def tokens() -> Picture:
    """Draw tokens: the same piece has the same colour wherever it stands."""
    pieces = ["The", " cat", " saw", " the", " cat", ".", "\n"]
    same = sum(pieces.count(piece) for piece in {piece for piece in pieces if pieces.count(piece) > 1})
    shown = ", ".join(show_piece(piece) for piece in pieces)
    return token_strip(pieces, list(range(1, len(pieces) + 1))).picture(
        f"Seven coloured boxes side by side: {shown}. Both boxes of cat have one colour.",
        f"Tokens. {same} of the {len(pieces)} boxes hold the same piece and so have the same colour; a dot is a space.",
    )


def kit() -> Picture:
    """Draw a sample of every drawing of the kit."""
    shares = {"cat": 0.7, "dog": 0.2, "bird": 0.1}
    waves = [k / 10 for k in range(0, 63)]
    curves = {"sine": [(a, math.sin(a)) for a in waves], "cosine": [(a, math.cos(a)) for a in waves]}
    return stack(
        title("flow"),
        flow([[Box("queries", "(B, T, H, D)"), Box("keys", "(B, S, G, D)", "violet")], Box("scores", ink="amber")]),
        title("bars"),
        bars(shares),
        title("grid"),
        grid([[1, None, None], [0.4, 0.6, None], [0.1, 0.2, 0.7]], ["The", "·cat", "·sat"], ["The", "·cat", "·sat"]),
        title("lines"),
        lines(curves, "angle", "height"),
        title("number_line"),
        number_line({"loss now": 1.2, "loss at the start": 5.5}, 0, 6),
        gap=18,
    ).picture(
        "One sample of each drawing: boxes with arrows, bars, a grid of numbers, two curves, a number line.",
        f"The kit. The bars add up to {sum(shares.values()):.1f}; the sine begins at {curves['sine'][0][1]:.1f}, "
        f"the cosine at {curves['cosine'][0][1]:.1f}.",
    )
