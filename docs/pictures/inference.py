"""The pictures of the chapters on inference and on the pipeline."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from itertools import pairwise

import torch

from docs.pictures import (
    SMALL,
    Box,
    Drawing,
    Picture,
    bars,
    bench,
    flow,
    grid,
    label,
    path,
    pupil,
    rect,
    stack,
    storyteller,
    title,
)
from nanochat import stages
from nanochat.accounting import cache_bytes
from nanochat.gpt import GPTConfig

FOLLOWERS = ("kite", "boat", "ball", "house")
"""Four tokens with the scores 2, 1, 0 and -1."""


def temperatures() -> Picture:
    """The same scores at three temperatures."""
    parts, best = [], {}
    for temperature in (0.5, 1.0, 2.0):
        shares = bench.kite(temperature)
        best[temperature] = shares[0]
        parts += [
            title(f"temperature {temperature:g}"),
            bars(dict(zip(FOLLOWERS, shares, strict=True)), top=1.0),
        ]
    return stack(*parts, gap=8).picture(
        alt="Three groups of four bars for the same four words. At temperature 0.5 the first bar towers over the "
        "others, at 1 it leads, at 2 the bars are nearly even.",
        caption="Four words with the scores 2, 1, 0 and −1, at three temperatures. The best one has a share of "
        f"{best[0.5]:.2f} when cold and {best[2.0]:.2f} when warm. The order never changes.",
    )


def dart() -> Picture:
    """The shares of four tokens end to end on a line, and where darts fall."""
    shares = bench.kite(1.0)
    inks = ("accent", "amber", "violet", "rose")
    shapes, left, edges = [], 10.0, [0.0]
    for word, share, ink in zip(FOLLOWERS, shares, inks, strict=True):
        wide = 380 * share
        shapes.append(rect(left, 30, wide, 40, ink, 0.3, 0))
        if share > 0.06:
            shapes.append(label(left + wide / 2, 50, word, 14))
        left += wide
        edges.append(edges[-1] + share)
    shapes.append(label(388, 18, FOLLOWERS[-1], SMALL, anchor="end"))
    for place, edge in enumerate(edges):
        if place != 3:  # it would stand on top of the last one
            anchor = "start" if place == 0 else "end" if place > 1 else "middle"
            shapes.append(label(10 + 380 * edge, 84, f"{edge:.2f}", SMALL, "muted", anchor, mono=True))
    thrown = torch.rand(30, generator=torch.Generator().manual_seed(4)).tolist()
    for u in thrown:
        shapes.append(path([(10 + 380 * u, 96), (10 + 380 * u, 110)], "ink", 1.5))
    shapes.append(label(10, 122, "30 darts", SMALL, "muted", "start"))
    hits = [sum(low <= u < high for u in thrown) for low, high in pairwise(edges)]
    cells = [round(40 * edge) for edge in edges]
    line = "".join(word[0] * (high - low) for word, (low, high) in zip(FOLLOWERS, pairwise(cells), strict=True))
    text = f"0 |{line}| 1\n   {', '.join(f'{word} {n}' for word, n in zip(FOLLOWERS, hits, strict=True))} of 30 darts"
    return Drawing("".join(shapes), 132, text).picture(
        alt="A bar from zero to one, cut into four pieces as wide as the shares of the four words. Below it, "
        "thirty short "
        "lines where darts fell, most of them under the widest piece.",
        caption=f"The shares end to end: a dart between {edges[0]:.2f} and {edges[1]:.2f} means *{FOLLOWERS[0]}*. "
        "Of these "
        f"thirty, {hits[0]} do, {hits[1]} mean *{FOLLOWERS[1]}*, {hits[2]} *{FOLLOWERS[2]}* and {hits[3]} "
        f"*{FOLLOWERS[3]}*.",
    )


def circle() -> Picture:
    """What the pupil writes greedily and by chance."""
    decode = storyteller.desk().tokenizer.decode
    parts, shares = [], []
    for name, temperature in (("greedily", 0.0), ("drawn, temperature 0.5", 0.5)):
        row = storyteller.written(temperature)
        shares.append(storyteller.different(row))
        parts += [title(name), _paragraph(decode(row))]
    return stack(*parts, gap=4).picture(
        alt="Two short texts of the pupil. The first repeats the same few words over and over, the second does not.",
        caption=f"The first {storyteller.LENGTH} tokens of two stories of the pupil. Of the runs of four tokens in "
        "the "
        f"greedy one, {shares[0]:.0%} are different ones, in the other {shares[1]:.0%}. Neither makes sense: the "
        f"pupil has learned for {pupil.STEPS} steps.",
    )


def _paragraph(words: str) -> Drawing:
    """A text in lines."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in words)
    rows = textwrap.wrap(shown, 56)
    shapes = [label(6, 12 + 18 * row, line, SMALL, anchor="start") for row, line in enumerate(rows)]
    return Drawing("".join(shapes), 18.0 * len(rows) + 6, "\n".join(rows))


def tail() -> Picture:
    """How much of the probability lies beyond the best k tokens."""
    V = storyteller.scores().size(-1)
    kept = {k: storyteller.left_out(k) for k in (1, 5, 10, 20, 50, 100, 200)}
    return bars({f"all but {k}": share for k, share in kept.items()}, top=1.0, ink="rose").picture(
        alt="Falling bars: the fewer tokens are left out of the best ones, the smaller the share of the others.",
        caption="What the pupil gives to all tokens but the best *k*, at the average place of a story. The "
        f"{V - 100} worst "
        f"of its {V} tokens have {kept[100]:.2f} together. One draw is safe; a hundred are not.",
    )


def loop() -> Picture:
    """The loop of writing."""
    shown = flow(
        [
            Box("the text so far", "tokens"),
            Box("the model", "a score for each token", "violet"),
            Box("shares", "temperature, top-k", "amber"),
            Box("one token is drawn", "and put at the end", "rose"),
        ],
        ["read", "softmax", "chance"],
        back=0,
        again="again",
    )
    calls = bench.positions(1, 10)
    return shown.picture(
        alt="Four boxes from top to bottom: the text so far, the model, shares, one token is drawn. From the last an "
        "arrow leads back to the first.",
        caption=f"One round. The drawn token goes to the end of the text, and the round begins again: {calls} rounds "
        f"for {calls} tokens.",
    )


def work() -> Picture:
    """Which positions are computed at each step, with the cache and without."""
    steps = 6
    names, columns = [f"step {n}" for n in range(1, steps + 1)], [str(n) for n in range(1, steps + 1)]
    without = [[1.0 if place <= step else None for place in range(steps)] for step in range(steps)]
    kept = [
        [1.0 if place == step else 0.15 if place < step else None for place in range(steps)] for step in range(steps)
    ]

    def words(value: float) -> str:
        return "new" if value == 1 else "kept"

    drawing = stack(
        title("without a cache"),
        grid(without, names, columns, show=words, top=1.5),
        title("with the cache"),
        grid(kept, names, columns, show=words, top=1.5),
    )
    counted = [bench.positions(1, steps, use_cache=use) for use in (False, True)]
    return drawing.picture(
        alt="Two triangular tables of six steps. Without a cache every cell of the triangle is computed anew. With "
        "it, "
        "only the diagonal is new, and the rest is kept.",
        caption="A row is a step, a column a position. Six tokens take "
        f"{counted[0]} computed positions without a cache, the whole triangle, and {counted[1]} with it, the "
        "diagonal.",
    )


WORDS = ("Pip", "has", "a", "kite")
"""The row of the picture of one step; the last word is the newest."""


def one_more() -> Picture:
    """What is computed for one more token, without notes and with them."""
    rows = ("vectors", "queries", "keys", "values")
    without = [[1.0] * len(WORDS) for _ in rows]
    kept = [[None] * (len(WORDS) - 1) + [1.0], [None] * (len(WORDS) - 1) + [1.0]]
    kept += [[0.15] * (len(WORDS) - 1) + [1.0] for _ in range(2)]

    def words(value: float) -> str:
        return "new" if value == 1 else "kept"

    counts = [sum(cell == 1 for row in table for cell in row) for table in (without, kept)]
    return stack(
        title("without notes"),
        grid(without, rows, WORDS, show=words, top=1.5),
        title("with notes"),
        grid(kept, rows, WORDS, show=words, top=1.5),
    ).picture(
        alt="Two tables of four rows and four columns. In the first all cells are new. In the second only the last "
        "column "
        "is new; keys and values of the others are kept, their vectors and queries are not needed.",
        caption=f"What one layer needs to go on behind *kite*. Without notes {counts[0]} vectors are made, with "
        "notes "
        f"{counts[1]}. The crossed cells are needed by nobody any more.",
    )


def shared_notes() -> Picture:
    """The cache of one talk, for several numbers of key/value heads."""
    config, tokens = GPTConfig.from_depth(20), 2048
    sizes = {}
    for heads in (10, 5, 2, 1):
        sizes[heads] = cache_bytes(replace(config, n_kv_head=heads), 1, tokens, torch.bfloat16) / 1e6
    return bars({f"G = {heads}": size for heads, size in sizes.items()}, show="{:.0f} MB".format).picture(
        alt="Four bars: the fewer heads of keys and values, the shorter the bar.",
        caption=f"The cache of {tokens:,} tokens at depth {config.n_layer}, with {config.n_head} query heads and "
        "$G$ heads of "
        f"keys and values: from {sizes[10]:.0f} down to {sizes[1]:.0f} megabytes.",
    )


def one_prefill() -> Picture:
    """A prompt that is read once, and the rows that go on from it."""
    prompt, new, rows = 12, 8, 5
    once = bench.positions(prompt, new, num_samples=rows)
    apart = rows * bench.positions(prompt, new)
    wide, shapes = 380 / (prompt + new), []
    middle = 8.0 + 26 * (rows - 1) / 2
    for place in range(prompt):
        shapes.append(rect(8 + wide * place, middle, wide - 2, 22, "accent", 0.5, 2, edge=False))
    for row in range(rows):
        y = 8.0 + 26 * row
        for place in range(new):
            shapes.append(rect(12 + wide * (prompt + place), y, wide - 2, 22, "amber", 0.5, 2, edge=False))
    y = 8.0 + 26 * rows + 8
    shapes.append(label(8 + wide * prompt / 2, y, "the prompt, read once", SMALL, "muted"))
    shapes.append(label(12 + wide * (prompt + new / 2), y, f"{rows} rows", SMALL, "muted"))
    text = "\n".join(("#" * prompt if row == rows // 2 else " " * prompt) + " " + "o" * new for row in range(rows))
    return Drawing("".join(shapes), y + 14, text).picture(
        alt="One strip of cells on the left, the prompt. On its right five strips of cells, one below the other.",
        caption=f"A prompt of {prompt} tokens and {rows} continuations of {new}: {once} positions go through the "
        "model. One "
        f"after the other, it would be {apart}.",
    )


def pipeline() -> Picture:
    """The stages and what they hand on."""
    road = ("tok-train", "base-train", "mid-train", "chat-sft", "chat-rl")
    known = stages.stages()
    missing = [name for name in road if name not in known]
    if missing:
        raise LookupError(f"the road leads over stages that do not exist: {missing}")
    ends = [
        Box("chat-cli", "terminal", "green"),
        Box("chat-web", "browser", "green"),
        Box("export-hf", "away", "green"),
    ]
    drawing = flow(
        [
            Box("texts", "stories, prose, a folder", "muted"),
            Box("tok-train", "which pieces to cut", "violet"),
            Box("base-train", "to continue a text", "amber"),
            Box("mid-train", "what a chat looks like", "amber"),
            Box("chat-sft", "to answer", "amber"),
            Box("chat-rl", "to answer well", "amber"),
            ends,
        ],
        ["documents", "tokenizer.json", "base/d4/step_…", "mid/d4/step_…", "sft/d4/step_…", ""],
        graph=True,
    )
    return drawing.picture(
        alt="A column of boxes with arrows between: texts, tok-train, base-train, mid-train, chat-sft, chat-rl, and "
        "below them side by side chat-cli, chat-web and export-hf. Beside the arrows stands what is handed on.",
        caption=f"{len(road)} of the {len(known)} stages make a model, from its tokenizer on; beside the arrows stands "
        "what one hands to the next. Each can be run again without those before it.",
    )
