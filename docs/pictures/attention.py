"""The pictures of the chapter on attention, each drawn from what the package computes."""

from __future__ import annotations

import torch
from torch import Tensor

from docs.pictures import (
    SMALL,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    flow,
    grid,
    label,
    lines,
    recall,
    rect,
    stack,
    title,
)
from nanochat import gpt
from nanochat.gpt import GPT, GPTConfig

WORDS = ("Pip", "has", "a", "red", "kite", ".")
"""The row of most pictures."""


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def causal_mask() -> Picture:
    """Who may read whom."""
    mask = gpt.causal_mask(len(WORDS), len(WORDS))
    cells = [[1.0 if yes else None for yes in row] for row in mask.tolist()]
    drawing = grid(cells, WORDS, WORDS, show=lambda _: "yes", note="a row: the reader; a column: whose note")
    yes = int(mask.sum())
    return drawing.picture(
        alt="A table of six words against the same six words. The cells on the diagonal and below it say yes, those "
        "above it are struck out.",
        caption=f"The mask of six tokens. Read along a row: *{WORDS[3]}*, the fourth word, may read "
        f"{int(mask[3].sum())} notes, its own included. All {yes} permissions lie on the diagonal or below it; "
        f"the other {mask.numel() - yes} places are the future.",
    )


def equal_weights() -> Picture:
    """The table of weights of a plain average."""
    zero = torch.zeros(1, 4, 1, 2)
    weights = gpt.attention_weights(zero, zero)[0, 0]
    cells = [[w if w > 0 else None for w in row] for row in weights.tolist()]
    names = [f"token {n}" for n in range(1, 5)]
    drawing = grid(cells, names, [str(n) for n in range(1, 5)], note="a row: the reader; a column: whose note")
    return drawing.picture(
        alt="A triangular table of weights. The first row holds 1, the second twice 0.50, the third three times 0.33, "
        "the fourth four times 0.25.",
        caption=f"The weights of a plain average. Every row adds up to {weights[3].sum():.0f}; the further down, the "
        f"thinner it is spread, down to {weights[3, 0]:.2f} for each of four notes.",
    )


def from_score_to_weight() -> Picture:
    """One score is raised."""
    parts = []
    for raised in (0.0, 2.0):
        scores = torch.tensor([raised, 0.0, 0.0, 0.0])
        names = [f"note {n}, score {s:.0f}" for n, s in enumerate(scores.tolist(), 1)]
        parts += [title("all scores equal" if not raised else "the first score raised to 2")]
        parts += [bars(dict(zip(names, scores.softmax(0).tolist(), strict=True)), top=1.0)]
    after = torch.tensor([2.0, 0.0, 0.0, 0.0]).softmax(0)
    return stack(*parts, gap=8).picture(
        alt="Two groups of four bars. With equal scores all four weights are 0.25. With the first score raised to 2 "
        "the first weight is 0.71 and the others are 0.10 each.",
        caption="What softmax makes of the scores of the last token. Raise one score, and its weight grows from "
        f"{0.25:.2f} to {after[0]:.2f}. The others shrink to make room: the sum stays {after.sum():.0f}.",
    )


def decoder_encoder() -> Picture:
    """The same scores with and without the mask."""
    words = ("Pip", "holds", "his", "kite")
    q, k = _random(1, 4, 1, 8, seed=4), _random(1, 4, 1, 8, seed=5)
    masked = gpt.attention_weights(q, k)[0, 0]
    free = (torch.einsum("td,sd->ts", q[0, :, 0], k[0, :, 0]) / 8**0.5).softmax(dim=-1)
    cells = [[w if w > 0 else None for w in row] for row in masked.tolist()]
    drawing = stack(
        title("decoder: with the mask"),
        grid(cells, words, words, top=1.0),
        title("encoder: without it"),
        grid(free.tolist(), words, words, top=1.0),
    )
    return drawing.picture(
        alt="Two tables of weights from the same scores. In the first, the upper right triangle is empty. In the "
        "second, every cell is filled.",
        caption="The same random scores, read by a decoder and by an encoder. In the decoder *Pip* can read only "
        f"itself, with weight {masked[0, 0]:.2f}. In the encoder *Pip* gives {1 - free[0, 0]:.2f} of its weight to "
        "words that come later.",
    )


def three_matrices() -> Picture:
    """From the vector of a token to query, key and value."""
    model = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=8))
    attention = model.blocks[0].attention
    x = _random(1, 1, 256)
    with torch.no_grad():
        made = attention.project(x, model.cos[:1], model.sin[:1])
    sizes = [tuple(part.weight.shape) for part in (attention.query, attention.key, attention.value)]
    per_head = [tuple(part.shape[2:]) for part in made]
    matrices = [
        Box(f"{name} matrix", f"{rows} × {columns}", ink)
        for name, (rows, columns), ink in zip(
            ("query", "key", "value"), sizes, ("accent", "amber", "violet"), strict=True
        )
    ]
    results = [
        Box(f"{name}\n{what}", f"{heads} × {size}", ink)
        for name, what, (heads, size), ink in zip(
            ("query", "key", "value"),
            ("the list", "the sign", "the goods"),
            per_head,
            ("accent", "amber", "violet"),
            strict=True,
        )
    ]
    return flow([Box("vector of one token", f"{x.size(-1)} numbers", "ink"), matrices, results], graph=True).picture(
        alt="One vector goes into three matrices, which make a query, a key and a value of it.",
        caption=f"One vector, three uses. In a model of depth 4 each matrix holds {attention.query.weight.numel():,} "
        f"learned numbers and makes {per_head[0][0]} vectors of {per_head[0][1]} numbers, one for each head.",
    )


def saturated() -> Picture:
    """One query and eight keys, with and without the division."""
    q, k = _random(1, 1, 1, 64, seed=26), _random(1, 8, 1, 64, seed=126)
    divided = gpt.attention_weights(q, k)[0, 0, 0]
    raw = (k[0, :, 0] @ q[0, 0, 0]).softmax(dim=0)
    names = [f"key {n}" for n in range(1, 9)]
    drawing = stack(
        title("scores divided by 8"),
        bars(dict(zip(names, divided.tolist(), strict=True)), top=1.0),
        title("scores not divided"),
        bars(dict(zip(names, raw.tolist(), strict=True)), top=1.0, ink="rose"),
        gap=8,
    )
    return drawing.picture(
        alt="Two groups of eight bars for the same query and keys. With the division all eight bars can be seen. "
        "Without it one bar takes nearly everything.",
        caption="One random query, eight random keys, 64 channels. With the division the largest weight is "
        f"{divided.max():.2f} and every key is heard, the faintest with {divided.min():.2f}. Without it one key takes "
        f"{raw.max():.2f}, and the six faintest together have {raw.sort().values[:6].sum():.4f}.",
    )


def largest_weight() -> Picture:
    """How the largest weight grows with the size of the head."""
    sizes = (2, 4, 8, 16, 32, 64, 128)
    curves: dict[str, list[tuple[float, float]]] = {"divided": [], "not divided": []}
    for D in sizes:
        q, k = _random(1000, 1, 1, D), _random(1000, 8, 1, D, seed=1)
        divided = gpt.attention_weights(q, k)[:, 0, 0].amax(dim=-1).mean().item()
        raw = (k[:, :, 0] @ q[:, 0, 0, :, None])[..., 0].softmax(dim=-1).amax(dim=-1).mean().item()
        curves["divided"].append((D, divided))
        curves["not divided"].append((D, raw))
    drawing = lines(curves, x="D, channels of a head", y="largest of eight weights, on average", marks=True, y_from=0)
    first, last = curves["not divided"][0][1], curves["not divided"][-1][1]
    low, high = (choose(y for _, y in curves["divided"]) for choose in (min, max))
    return drawing.picture(
        alt="Two curves over the size of the head. Without the division the largest weight climbs towards one. With it "
        "the curve stays level.",
        caption=f"A thousand random queries for each size. Not divided, the largest of eight weights climbs from "
        f"{first:.2f} to {last:.2f}. Divided, it stays between {low:.2f} and {high:.2f}.",
    )


def sharpest_look() -> Picture:
    """What three factors before the cosine allow, at the start and at best."""
    keys = 512
    q, k = _random(200, 64), _random(keys, 64, seed=1)
    cosines = torch.nn.functional.cosine_similarity(q[:, None], k[None], dim=-1)
    best = torch.full((keys,), -1.0)
    best[0] = 1.0
    factors = {"cosine": 1, "8 × cosine": 8, "64 × cosine": 64}
    start = {n: (f * cosines).softmax(dim=-1).amax(dim=-1).mean().item() for n, f in factors.items()}
    end = {n: (f * best).softmax(dim=0)[0].item() for n, f in factors.items()}
    drawing = stack(
        title("at the start: random directions"),
        bars(start, show=_percent, top=1.0, ink="amber"),
        title("at its sharpest: one key fits, none else"),
        bars(end, show=_percent, top=1.0),
        gap=8,
    )
    return drawing.picture(
        alt="Two groups of three bars: the largest weight among 512 keys if the score is the cosine alone, eight times "
        "the cosine or 64 times the cosine, for random directions and for a perfect fit.",
        caption=f"The largest weight among {keys} keys. The cosine alone can give a perfect fit no more than "
        f"{_percent(end['cosine'])}. Times 64, chance alone decides at the start: one key has "
        f"{_percent(start['64 × cosine'])}. Times 8, it starts at {_percent(start['8 × cosine'])} and can end at "
        f"{_percent(end['8 × cosine'])}.",
    )


def _users(groups: int, heads: int = 4) -> list[int]:
    """For each query head the key/value head that it reads, found by changing one after the other."""
    q, k, v = _random(1, 3, heads, 4), _random(1, 3, groups, 4, seed=1), _random(1, 3, groups, 4, seed=2)
    reads = [0] * heads
    for group in range(groups):
        other = v.clone()
        other[:, :, group] += 1
        far = (gpt.attend(q, k, other) - gpt.attend(q, k, v)).abs().amax(dim=(0, 1, 3))
        for head in range(heads):
            if far[head] > 1e-4:
                reads[head] = group
    return reads


def groups() -> Picture:
    """Which query head reads which key/value head."""
    parts = []
    for count, words in ((4, "G = 4: everybody has their own"), (2, "G = 2: two share"), (1, "G = 1: all share one")):
        reads = _users(count)
        shapes = []
        for head, group in enumerate(reads):
            centre, below = 50 + 100 * head, (group + 0.5) * 400 / count
            shapes += [rect(centre - 40, 2, 80, 28, "accent"), label(centre, 16, f"query {head + 1}", SMALL + 1)]
            shapes.append(arrow(centre, 32, below + (centre - below) * 0.25, 62, "muted"))
        for group in range(count):
            centre = (group + 0.5) * 400 / count
            shapes += [rect(centre - 46, 64, 92, 28, "amber"), label(centre, 78, f"key/value {group + 1}", SMALL + 1)]
        text = "\n".join(f"query {head + 1} --> key/value {group + 1}" for head, group in enumerate(reads))
        parts += [title(words), Drawing("".join(shapes), 96, text)]
    pairs = _users(2)
    return stack(*parts, gap=8).picture(
        alt="Three rows of four query heads. They point to four, to two and to one key/value heads.",
        caption="Four query heads with four, two and one key/value heads, as found by changing one key/value head and "
        f"watching who notices. With two, query heads 1 and 2 read the same one, and so do 3 and 4: {pairs.count(0)} "
        "shopping lists for each stall.",
    )


def shapes() -> Picture:
    """The shape of everything on the way through attention."""
    model = GPT(GPTConfig.from_depth(4, vocab_size=64, sequence_len=32, n_kv_head=2))
    attention = model.blocks[0].attention
    x = _random(3, 10, 256)
    with torch.no_grad():
        q, k, v = attention.project(x, model.cos[:10], model.sin[:10])
        read = gpt.attend(q, k, v)
        weights = gpt.attention_weights(q, k)
        added = attention(x, model.cos[:10], model.sin[:10])

    def shape(tensor: Tensor) -> str:
        return ", ".join(map(str, tensor.shape))

    drawing = flow(
        [
            Box("normalised stream: B, T, C", shape(x), "ink"),
            [
                Box("queries\nB, T, H, D", shape(q), "accent"),
                Box("keys\nB, T, G, D", shape(k), "amber"),
                Box("values\nB, T, G, D", shape(v), "violet"),
            ],
            [
                Box("turned\nand normalised", shape(q), "accent"),
                Box("turned\nand normalised", shape(k), "amber"),
                Box("unturned\nand as they are", shape(v), "violet"),
            ],
            Box("weights: B, H, T, T\nqueries · keys, ÷ √D, mask, softmax", shape(weights), "blue"),
            Box("read by each head: B, T, H, D\nweighted sums of the values", shape(read), "violet"),
            Box("heads side by side: B, T, C\nflatten", shape(read.flatten(2)), "violet"),
            Box("added to the stream: B, T, C\noutput matrix", shape(added), "ink"),
        ]
    )
    return drawing.picture(
        alt="Boxes from top to bottom: the stream; queries, keys and values side by side; weights; what each head "
        "read; the heads side by side; what is added to the stream. Each box names its shape.",
        caption="Three rows of ten tokens in a layer of depth 4 with two key/value heads. The weights are the only "
        f"thing with two token axes: {weights[0].numel():,} numbers for each row.",
    )


def cost() -> Picture:
    """How many weights a head has, by the length of the row."""
    measured = []
    for T in (64, 128, 256, 512, 1024):
        weights = gpt.attention_weights(_random(1, T, 1, 4), _random(1, T, 1, 4, seed=1))
        measured.append((T, int((weights > 0).sum()) / 1000))
    straight = [(T, measured[0][1] * T / measured[0][0]) for T, _ in measured]
    drawing = lines(
        {"attention": measured, "a straight line": straight},
        x="T, tokens in a row",
        y="weights above zero in one head, thousands",
        marks=True,
        y_from=0,
    )
    return drawing.picture(
        alt="A curve that bends upwards with the length of the row, far above a straight line.",
        caption=f"Counted in one head. From {measured[0][0]} to {measured[-1][0]:,} tokens, {measured[-1][0] // 64} "
        f"times as many, the weights grow {measured[-1][1] / measured[0][1]:.0f}-fold.",
    )


def lesson() -> Picture:
    """What the question reads, before and after training."""
    before, after = recall.outcome(0), recall.outcome(50)
    heads = [f"head {n}" for n in range(1, len(after.looks) + 1)]
    parts = []
    for words, result in (("before training", before), ("after 50 steps", after)):
        parts += [title(words), grid(result.weights[:, -1].tolist(), heads, result.words, top=1.0)]
    name, best = after.words[2], max(range(4), key=lambda head: after.looks[head])
    return stack(*parts, gap=10).picture(
        alt="Two tables: four heads against the eight words of a row. Before training the weights are spread over all "
        "words; after it most heads have nearly all their weight on the name.",
        caption=f"What *who?* reads in a row that the model has not seen in training. Look at the column *{name}*. "
        f"Over 200 new rows, head {best + 1} gives the name {before.looks[best]:.1f} of its weight before "
        f"and {after.looks[best]:.1f} after.",
    )
