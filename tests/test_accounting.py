"""The numbers that the guides quote equal those of real models."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nanochat import gpt
from nanochat.accounting import cache_bytes, compute_optimal_tokens, count_parameters, flops_per_token
from nanochat.engine import KVCache
from nanochat.gpt import GPT, GPTConfig

configs = st.builds(
    GPTConfig.from_depth,
    st.integers(1, 4),
    vocab_size=st.integers(1, 5).map(lambda n: 64 * n),
    sequence_len=st.integers(1, 40),
    width=st.integers(1, 12).map(lambda n: 16 * n),
    n_kv_head=st.sampled_from([1, None]),
)


@settings(max_examples=30, deadline=None)
@given(config=configs)
def test_parameters_are_those_of_the_model(config: GPTConfig) -> None:
    model = GPT(config)
    counted = count_parameters(config)
    assert counted.embedding == model.embed.weight.numel()
    assert counted.head == model.head.weight.numel()
    assert counted.matrices == sum(p.numel() for p in model.blocks.parameters())
    assert counted.total == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_operations_are_those_of_the_model(n_kv_head: int) -> None:
    """torch counts the multiplications and additions of one forward and backward; ours is the same number."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        # The fused kernel is not counted by torch, and skips the future, which our formula counts.
        k, v = (part.repeat_interleave(q.size(2) // part.size(2), dim=2) for part in (k, v))
        weights = torch.einsum("bthd,bshd->bhts", q, k).softmax(-1)
        return torch.einsum("bhts,bshd->bthd", weights, v)

    config = GPTConfig.from_depth(2, vocab_size=320, sequence_len=16, n_kv_head=n_kv_head)
    model = GPT(config)
    tokens = torch.zeros(3, 16, dtype=torch.long)
    with patch.object(gpt, "attend", attend), FlopCounterMode(display=False) as counter:
        model(tokens, tokens).backward()
    assert counter.get_total_flops() == 3 * 16 * flops_per_token(config)


def test_operations_grow_with_the_row() -> None:
    config = GPTConfig.from_depth(4, sequence_len=512)
    assert flops_per_token(config) == flops_per_token(config, sequence_len=512)
    assert flops_per_token(config, 1024) - flops_per_token(config, 512) == 12 * 4 * 256 * 512


@settings(max_examples=30, deadline=None)
@given(config=configs, batch_size=st.integers(1, 4), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_cache_bytes_are_those_of_the_cache(config: GPTConfig, batch_size: int, dtype: torch.dtype) -> None:
    cache = KVCache(config, batch_size, config.sequence_len, dtype)
    assert cache_bytes(config, batch_size, config.sequence_len, dtype) == cache.keys.nbytes + cache.values.nbytes


def test_tokens_deserved() -> None:
    config = GPTConfig.from_depth(2)
    assert compute_optimal_tokens(config) == 20 * count_parameters(config).total
