"""The practice problems of the page on batches; each answer is computed."""

from __future__ import annotations

from docs.problems import Problem
from nanochat.dataloader import TokenLoader


def steps_of_an_epoch() -> Problem:
    """Steps until everything has been read once."""
    rows, length, total = 6144, 512, 16384
    a_step = total // length
    return Problem(
        f"A collection fills {rows:,} rows of {length} tokens. A step shall read {total:,} tokens. After how many "
        "steps has everything been read once?",
        rows // a_step,
        [
            f"A step reads ${total} / {length} = {a_step}$ rows.",
            f"${rows} / {a_step} = {rows // a_step}$.",
        ],
        unit="steps",
    )


def cropped() -> Problem:
    """Tokens that a row leaves out."""
    context, texts = 9, (5, 8)
    loader = TokenLoader([[1] * (n - 1) for n in texts], 1, context, bos=0)
    if loader.rows_per_epoch != 1:
        raise ValueError("the two texts should fill one row")
    lost = round(loader.cropped_share * loader.n_tokens)
    return Problem(
        f"A model has a context of {context} tokens. Two texts of {texts[0]} and {texts[1]} tokens, their `<|bos|>` "
        "included, come next. How many of their tokens does the row leave out?",
        lost,
        [
            f"A row takes one token more than the context: ${context} + 1 = {context + 1}$.",
            f"Together the texts have ${texts[0]} + {texts[1]} = {sum(texts)}$ tokens.",
            f"${sum(texts)} - {context + 1} = {lost}$ of them do not fit.",
        ],
        unit="tokens",
    )
