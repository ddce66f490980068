"""Bits per byte: every byte counted once, whatever the cut."""

import math

import pytest
import torch

from nanochat.common import InputError
from nanochat.evaluate import bits_per_byte, score_text, xz_bits_per_byte
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer

TEXTS = ["The cat sat on the mat. " * 9, "Zwei süße Möwen 🐦", "x", ""]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, vocab_size=272)


def fresh(sequence_len: int, tokenizer: Tokenizer) -> GPT:
    return GPT(GPTConfig.from_depth(1, vocab_size=tokenizer.vocab_size, sequence_len=sequence_len))


@pytest.mark.parametrize("sequence_len", [1, 2, 7, 64, 512])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_token_and_byte_is_counted_once(sequence_len: int, batch_size: int, tokenizer: Tokenizer) -> None:
    score = score_text(fresh(sequence_len, tokenizer), tokenizer, TEXTS, batch_size)
    assert score.tokens == sum(len(tokenizer.encode(text)) for text in TEXTS)
    assert score.bytes == sum(len(text.encode()) for text in TEXTS)
    # A fresh model finds every token equally likely, so each costs log V.
    assert score.loss == pytest.approx(math.log(tokenizer.vocab_size), rel=1e-5)


def test_agrees_with_a_plain_sum(tokenizer: Tokenizer) -> None:
    model = fresh(256, tokenizer)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    bits = 0.0
    for text in TEXTS:
        ids = torch.tensor([[tokenizer.bos, *tokenizer.encode(text)]])
        log_p = model(ids[:, :-1]).log_softmax(-1) if ids.numel() > 1 else torch.zeros(1, 0, 1)
        bits -= log_p.gather(-1, ids[:, 1:, None]).sum().item() / math.log(2)
    expected = bits / sum(len(text.encode()) for text in TEXTS)
    assert bits_per_byte(model, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-5)


def test_no_text_is_refused(tokenizer: Tokenizer) -> None:
    for texts in ([], [""]):
        with pytest.raises(InputError, match="no text"):
            bits_per_byte(fresh(8, tokenizer), tokenizer, texts)
        with pytest.raises(InputError, match="no text"):
            xz_bits_per_byte(texts)
