r"""Counting: parameters, arithmetic, memory, and how many tokens a model of a size deserves.

Pure arithmetic on a :class:`~nanochat.gpt.GPTConfig`; no model is built. The guides quote these numbers, and the
tests compare them with real models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nanochat.gpt import GPTConfig

CHINCHILLA_RATIO = 20
"""Training tokens for each parameter at which compute is spent best, after :arxiv:`2203.15556`, table 3, rounded."""


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers a model has learned, by what they are for."""

    embedding: int
    """Numbers in the table that turns tokens into vectors: V times C."""
    matrices: int
    """Numbers in the matrices of the blocks."""
    head: int
    """Numbers in the matrix that turns vectors into scores: V times C."""

    @property
    def total(self) -> int:
        """All of them: N."""
        return self.embedding + self.matrices + self.head


def count_parameters(config: GPTConfig) -> ParameterCount:
    r"""Count the parameters of a model from its sizes.

    A block has :math:`2 C^2` for queries and output, :math:`2 C G D` for keys and values, and :math:`8 C^2` for the
    MLP: with as many key/value heads as query heads, :math:`12 C^2` together.

    Args:
        config: The sizes.

    Returns:
        The counts.

    Example:
        >>> count_parameters(GPTConfig.from_depth(4, vocab_size=16384)).total
        11534336

    Guide:
        "In the smallest model nearly all numbers are vocabulary: the two tables." (nano/model/complete)
    """
    width, kv_width = config.n_embd, config.n_kv_head * config.head_size
    block = 2 * width * width + 2 * width * kv_width + 8 * width * width
    table = config.vocab_size * width
    return ParameterCount(embedding=table, matrices=config.n_layer * block, head=table)


def flops_per_token(config: GPTConfig, sequence_len: int | None = None) -> int:
    r"""Count the floating-point operations that training spends on one token.

    Each number in a matrix costs one multiplication and one addition on the way forward and twice that on the way back:
    :math:`6 N` without the embedding, which is only looked up. Attention adds :math:`12 L C T`, as if every
    position read all T (after :arxiv:`2204.02311`, appendix B).

    Args:
        config: The sizes.
        sequence_len: T; None means the context of the model.

    Returns:
        Operations for one token, forward and backward together.

    Example:
        >>> flops_per_token(GPTConfig.from_depth(4), sequence_len=512)
        50331648

    Guide:
        "So learning from one token takes about six operations for each weight:" (nano/training/budget)
    """
    counted = count_parameters(config)
    length = config.sequence_len if sequence_len is None else sequence_len
    return 6 * (counted.matrices + counted.head) + 12 * config.n_layer * config.n_embd * length


def cache_bytes(config: GPTConfig, batch_size: int, n_tokens: int, dtype: torch.dtype = torch.float32) -> int:
    """Count the bytes that the keys and values of some rows take.

    Args:
        config: The sizes.
        batch_size: B, the rows.
        n_tokens: S, the positions held of each row.
        dtype: The precision of keys and values.

    Returns:
        Bytes: two vectors (key and value) for each layer, row, position and key/value head.

    Example:
        >>> cache_bytes(GPTConfig.from_depth(4), batch_size=1, n_tokens=1)
        8192

    Guide:
        "Speed is bought with memory." (nano/inference/kv-cache)
    """
    per_position = 2 * config.n_layer * config.n_kv_head * config.head_size
    return batch_size * n_tokens * per_position * dtype.itemsize


def compute_optimal_tokens(config: GPTConfig) -> int:
    """Say how many training tokens a model of this size deserves: 20 for each parameter.

    The ratio is that of :arxiv:`2203.15556`, measured on other models; take it as a rule of thumb.

    Args:
        config: The sizes.

    Returns:
        Tokens.

    Example:
        >>> compute_optimal_tokens(GPTConfig.from_depth(4, vocab_size=16384))
        230686720

    Guide:
        "Model and text should grow together, and a good rule of thumb is twenty tokens for each weight."
        (nano/training/budget)
    """
    return CHINCHILLA_RATIO * count_parameters(config).total
