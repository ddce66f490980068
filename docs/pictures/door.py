"""The picture of the first page: one sentence on its way through a model, every colour and bar computed."""

from __future__ import annotations

import torch

from docs.pictures import SMALL, TEXT, WIDTH, Drawing, Picture, arrow, bars, label, rect, stack, token_strip
from docs.pictures.pupil import STEPS, new
from nanochat import train
from nanochat.accounting import count_parameters
from nanochat.figures import show_piece, token_colour

SENTENCE = "Max was a"
"""What the model reads: short, so that every token can be drawn."""
CHANNELS = 6
"""How many numbers of each vector are shown."""
SHOWN = 4
"""How many of the possible next tokens are shown."""


def _thread(start: float, end: float, y: float, weight: float) -> str:
    """Return a bent line from one token down to the last, as thick as its weight."""
    bend = f"M{start:.1f} {y:.1f}C{start:.1f} {y + 26:.1f} {end:.1f} {y + 6:.1f} {end:.1f} {y + 34:.1f}"
    look = f"stroke-width:{1 + 9 * weight:.1f};stroke-opacity:{0.25 + 0.6 * weight:.2f}"
    return f'<path d="{bend}" style="fill:none;stroke:var(--nc-accent);stroke-linecap:round;{look}"/>'


def way() -> Picture:
    """A sentence, its tokens, their vectors, who reads whom, and the probabilities of the next token."""
    pupil = new()
    tokenizer, model = pupil.tokenizer, pupil.model
    ids = [tokenizer.bos, *tokenizer.encode(SENTENCE)]
    pieces = ["<|bos|>", *(tokenizer.decode([one]) for one in ids[1:])]
    row = torch.tensor([ids])
    with torch.no_grad():
        before = model(row)[0, -1].float().softmax(dim=-1)
    train.fit(pupil.state, until=STEPS, progress=False)
    with torch.no_grad():
        vectors = model.embed(row)[0, :, :CHANNELS].float()
        looks = [layer[0].mean(dim=0)[-1].tolist() for layer in model.attention_maps(row)]
        chances = model(row)[0, -1].float().softmax(dim=-1)
    best = chances.topk(SHOWN)
    shares = {show_piece(tokenizer.decode([int(one)])): float(p) for p, one in zip(*best, strict=True)}

    count = len(ids)
    column = (WIDTH - 4) / count
    middles = [2 + column * (place + 0.5) for place in range(count)]
    wide = column - 10
    shapes = [label(WIDTH / 2, 12, f"“{SENTENCE} …”", 20, bold=True)]
    y = 40.0
    shapes += [arrow(x, y - 13, x, y - 1) for x in middles[1:]]
    for x, piece, number in zip(middles, pieces, ids, strict=True):
        ink = token_colour(piece)
        shapes.append(rect(x - wide / 2, y, wide, 30, ink, 0.2, 6))
        shapes.append(label(x, y + 15, show_piece(piece), SMALL if len(piece) > 6 else TEXT, mono=True))
        shapes.append(label(x, y + 41, str(number), SMALL, "muted", mono=True))
    y += 56
    top = vectors.abs().max().item()
    cell = 15.0
    for x, vector in zip(middles, vectors.tolist(), strict=True):
        shapes.append(arrow(x, y - 3, x, y + 10))
        for place, value in enumerate(vector):
            ink = "accent" if value >= 0 else "rose"
            shapes.append(
                rect(x - 16, y + 13 + place * cell, 32, cell - 2, ink, 0.08 + 0.85 * abs(value) / top, 3, False)
            )
        shapes.append(label(x, y + 17 + CHANNELS * cell, "⋮", TEXT, "muted"))
    y += 30 + CHANNELS * cell
    # Who is read: one arc of each layer from the last token to every token, as strong as its weight.
    height = 30 + 42.0 * len(looks)
    shapes.append(rect(2, y, WIDTH - 4, height, "accent", 0.06, 12))
    for layer, weights in enumerate(looks):
        base = y + 30 + 42.0 * layer
        for x, weight in zip(middles, weights, strict=True):
            shapes.append(_thread(x, middles[-1], base, weight))
            shapes.append(f'<circle cx="{x:.1f}" cy="{base:.1f}" r="4" style="fill:var(--nc-accent)"/>')
        shapes.append(label(16, base - 15, f"layer {layer + 1}", SMALL, "accent", "start", bold=True))
    y += height
    shapes.append(arrow(middles[-1], y + 2, middles[-1], y + 26))
    shapes.append(label(middles[-1] - 12, y + 14, "what comes next?", SMALL, "muted", "end"))
    head = Drawing("".join(shapes), y + 28, "")
    drawn = stack(
        head,
        bars(
            shares,
            "{:.2f}".format,
            1.15 * max(shares.values()),
            {name: token_colour(name.replace("·", " ")) for name in shares},
        ),
        gap=6,
    )

    strip = token_strip(pieces, ids).text
    rows = ["  ".join(f"{value:+.1f}" for value in vector) + " ..." for vector in vectors.tolist()]
    read = [" ".join(f"{weight:.2f}" for weight in weights) for weights in looks]
    text = "\n".join(
        [f"“{SENTENCE} …”", "", "cut into tokens, each with its number:", strip, "", "each token becomes a vector:"]
        + rows
        + ["", "how much the last token reads each of them:"]
        + [f"layer {number}: {weights}" for number, weights in enumerate(read, 1)]
        + ["", "what comes next:", bars(shares, "{:.2f}".format).text]
    )
    first, size = next(iter(shares)), count_parameters(model.config).total
    return Picture(
        drawn.svg(),
        text,
        f"A sentence is cut into {count} tokens, each becomes a column of coloured numbers, {len(looks)} layers let "
        f"the last token read the others, and bars show what may come next: {', '.join(shares)}.",
        f"“{SENTENCE} …” on its way through a model of {size:,} parameters, which learned from stories while this page "
        f"was built. Thick lines are tokens that the last one reads most. Before its lesson the model gave "
        f"*{first[1:]}* a chance of {before[best.indices[0]]:.3f}; now {shares[first]:.2f}.",
    )
