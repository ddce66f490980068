r"""How good a model is, in numbers that can be compared.

The loss per token depends on the tokenizer: longer tokens are harder to guess. Bits per byte do not: they say how many
bits the model needs for each byte of a text, whatever pieces it reads, and so they can be compared with other
models and with file compressors.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from nanochat.common import IGNORED, InputError
from nanochat.gpt import GPT
from nanochat.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextScore:
    """What a model needs to write down a text."""

    nats: float
    """Sum of the cross-entropies of all tokens, in nats."""
    tokens: int
    """Tokens that were predicted."""
    bytes: int
    """Bytes of UTF-8 that those tokens stand for."""

    @property
    def loss(self) -> float:
        """Cross-entropy for each token, in nats."""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of text."""
        return self.nats / math.log(2) / self.bytes


@torch.no_grad()
def score_text(
    model: GPT,
    tokenizer: Tokenizer,
    documents: Iterable[str],
    batch_size: int = 16,
    max_tokens: int | None = None,
) -> TextScore:
    """Let a model predict every token of some documents.

    A document that is longer than the context is cut into rows. Each row after the first begins with the last token of
    the one before it, so that every token is predicted exactly once and no byte is counted twice or left out.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        documents: Texts that the model was not trained on.
        batch_size: Rows computed at once.
        max_tokens: Stop after the document with which this number is reached; None means all of them.

    Returns:
        The score.

    Raises:
        InputError: If there is no text.

    Guide:
        "A text longer than the context is cut into rows so that each of its bytes is counted exactly once."
        (nano/training/measuring)
    """
    lengths = torch.tensor(tokenizer.n_bytes_per_token())
    context = model.config.sequence_len
    nats, n_tokens, n_bytes = 0.0, 0, 0
    rows: list[Sequence[int]] = []

    def flush() -> None:
        nonlocal nats, n_tokens, n_bytes
        longest = max(len(row) for row in rows) - 1
        inputs = torch.zeros((len(rows), longest), dtype=torch.long)
        targets = torch.full((len(rows), longest), IGNORED)
        for i, row in enumerate(rows):
            inputs[i, : len(row) - 1] = torch.tensor(row[:-1])
            targets[i, : len(row) - 1] = torch.tensor(row[1:])
        loss = model(inputs.to(model.device), targets.to(model.device), reduction="sum")
        counted = targets[targets != IGNORED]
        nats += loss.item()
        n_tokens += counted.numel()
        n_bytes += int(lengths[counted].sum())
        rows.clear()

    seen = 0
    for document in documents:
        ids = [tokenizer.bos, *tokenizer.encode(document)]
        for start in range(0, len(ids) - 1, context):
            rows.append(ids[start : start + context + 1])
            if len(rows) == batch_size:
                flush()
        seen += len(ids) - 1
        if max_tokens is not None and seen >= max_tokens:
            break
    if rows:
        flush()
    if not n_bytes:
        raise InputError("there is no text to score: give at least one document that is not empty")
    return TextScore(nats, n_tokens, n_bytes)


def bits_per_byte(model: GPT, tokenizer: Tokenizer, documents: Iterable[str], batch_size: int = 16) -> float:
    r"""Say how many bits a model needs for each byte of a text.

    :math:`\frac{1}{\ln 2} \sum_t \mathcal{L}_t \,/\, \text{bytes}`: the losses of all tokens in bits, divided by the
    bytes of the text. Eight would be no compression at all; lower is better.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        documents: Texts that the model was not trained on.
        batch_size: Rows computed at once.

    Returns:
        Bits per byte.

    Raises:
        InputError: If there is no text.

    Guide:
        "It is the number of yes-or-no answers that the model still needs for each byte of the text."
        (nano/training/measuring)
    """
    return score_text(model, tokenizer, documents, batch_size).bits_per_byte


def xz_bits_per_byte(documents: Iterable[str]) -> float:
    """Say how many bits ``xz -9`` needs for each byte of the same text: a yardstick that anyone can repeat.

    The documents are joined by newlines and compressed together. The compressor starts with no knowledge and learns
    from the text as it goes.

    Args:
        documents: The texts.

    Returns:
        Bits per byte.

    Raises:
        InputError: If there is no text.

    Example:
        >>> xz_bits_per_byte(["to be or not to be, "] * 1000) < 0.1
        True

    Guide:
        "So it profits from a long text that repeats itself, and it has a hard time with a short one."
        (nano/training/measuring)
    """
    text = "\n".join(documents).encode()
    if not text:
        raise InputError("there is no text to compress: give at least one document that is not empty")
    return 8 * len(lzma.compress(text, preset=9)) / len(text)
