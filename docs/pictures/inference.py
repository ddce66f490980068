"""The pictures of the chapters on inference and on the pipeline."""

from __future__ import annotations

from docs.pictures import Box, Picture, bars, bench, flow, grid, stack, title
from nanochat import stages

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
        caption="Four words with the scores 2, 1, 0 and -1, at three temperatures. The best one has a share of "
        f"{best[0.5]:.2f} when cold and {best[2.0]:.2f} when warm. The order never changes.",
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
    )
    calls = bench.positions(1, 10)
    return shown.picture(
        alt="Four boxes from top to bottom: the text so far, the model, shares, one token is drawn.",
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
        alt="Two triangular tables of six steps. Without a cache every cell of the triangle is computed anew. With it, "
        "only the diagonal is new, and the rest is kept.",
        caption="A row is a step, a column a position. Six tokens take "
        f"{counted[0]} computed positions without a cache, the whole triangle, and {counted[1]} with it, the diagonal.",
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
    )
    return drawing.picture(
        alt="A column of boxes with arrows between: texts, tok-train, base-train, mid-train, chat-sft, chat-rl, and "
        "below them side by side chat-cli, chat-web and export-hf. Each arrow names the file that is handed on.",
        caption=f"{len(road)} of the {len(known)} stages make a model; beside each arrow stands the file that one "
        "hands to the next. Each can be run again without those before it.",
    )
