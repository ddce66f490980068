"""Pictures of the big picture: what follows a word, and the way once around."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from docs._ext.drawing import Box, Picture, bars, flow
from docs.texts import alice


def after_the() -> Picture:
    """The words that follow "the" in Alice, with their shares."""
    row = alice().split()
    after = Counter(second for first, second in pairwise(row) if first == "the")
    total = after.total()
    shares = {word: count / total for word, count in after.most_common(8)}
    rest = 1 - sum(shares.values())
    (first, top), *_ = shares.items()
    return bars(shares, "{:.3f}".format).picture(
        alt=f"Bars: the probabilities of the eight most frequent words after “the” in Alice, from {first} "
        f"with {top:.3f} downwards.",
        caption=f"What comes after *the*? Of {total:,} places in the book, {after[first]} go on with *{first}*. The "
        f"{len(after) - 8:,} words that are not shown share {100 * rest:.0f} in every 100 between them: most of the "
        "probability lies in the long tail.",
    )


def around() -> Picture:
    """One turn of the loop: text, tokens, vectors, scores, probabilities, one more token."""
    return flow(
        [
            Box("text", "Alice was not a bit", "ink"),
            Box("tokens", "a row of numbers", "amber"),
            Box("vectors", "a list of numbers each", "accent"),
            Box("blocks", "look at each other, change", "accent"),
            Box("scores", "one for each possible token", "blue"),
            Box("probabilities", "they add up to one", "violet"),
            Box("one token", "drawn by chance", "rose"),
        ],
        ["cut and number", "look up", "layer by layer", "compare", "make shares", "draw"],
        back=1,
        again="again",
    ).picture(
        alt="Seven boxes from top to bottom: text, tokens, vectors, blocks, scores, probabilities, one token. From "
        "the last an arrow leads back to the second.",
        caption="Once around, for one token. The new token is put at the end of the row and the way begins "
        "again at the second "
        "box: an answer of a hundred tokens goes down here a hundred times.",
    )
