"""Practice problems of the chapter on embeddings; the answers are computed."""

from __future__ import annotations

from docs.problems import Problem
from nanochat.accounting import count_parameters
from nanochat.gpt import GPTConfig


def table_size() -> Problem:
    """The numbers of a table of embeddings."""
    config = GPTConfig.from_depth(8, vocab_size=1000)
    table = count_parameters(config).embedding
    return Problem(
        f"A model is {config.n_embd} channels wide and knows {config.vocab_size:,} tokens. How many numbers does its "
        "table of embeddings hold?",
        table,
        (
            "The table has a row for each token and a column for each channel.",
            f"$1000 \\cdot {config.n_embd} = {table}$.",
        ),
    )
