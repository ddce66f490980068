"""The engine: cached and uncached generation agree, and arguments without meaning are refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.common import InputError
from nanochat.engine import Engine, KVCache, next_token_probabilities, sample
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer


def random_model(seed: int = 0, n_kv_head: int | None = None, depth: int = 2, sequence_len: int = 24) -> GPT:
    """A model whose weights are all random: a fresh one would score every token alike."""
    config = GPTConfig.from_depth(depth, vocab_size=320, sequence_len=sequence_len, n_kv_head=n_kv_head)
    model = GPT(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * p.shape[-1] ** -0.5)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat and the dog sat on the log " * 4], vocab_size=272)


@pytest.fixture(scope="module")
def engine(tokenizer: Tokenizer) -> Engine:
    return Engine(random_model(), tokenizer)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_kv_head=st.sampled_from([1, 2, 4]),
    prompt=st.lists(st.integers(0, 319), min_size=1, max_size=10),
    num_samples=st.integers(1, 4),
)
def test_cache_changes_no_token(
    seed: int, n_kv_head: int, prompt: list[int], num_samples: int, tokenizer: Tokenizer
) -> None:
    """Row 38: over random models and prompts, up to the last place of the context, one row or several."""
    engine = Engine(random_model(seed, n_kv_head), tokenizer)
    with_cache, without = (
        engine.generate(prompt, num_samples, temperature=0, stop=(), use_cache=use) for use in (True, False)
    )
    assert with_cache == without
    assert [len(row) for row in with_cache] == [24 - len(prompt)] * num_samples


def test_cache_in_pieces_gives_the_same_logits() -> None:
    model = random_model(3)
    tokens = torch.randint(320, (2, 20), generator=torch.Generator().manual_seed(1))
    whole = model(tokens)
    cache = KVCache(model.config, 2, 20)
    parts = [model(part, cache=cache) for part in tokens.split([1, 5, 1, 9, 4], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    assert cache.length == 20


def test_same_seed_same_text(engine: Engine) -> None:
    first, again = (engine.generate([1, 2], 3, seed=7, max_tokens=12) for _ in range(2))
    assert first == again
    assert first != engine.generate([1, 2], 3, seed=8, max_tokens=12)


def test_rows_of_one_prompt_differ_from_their_first_token(engine: Engine) -> None:
    first_tokens = next(engine.stream([1, 2], 64, temperature=2.0, seed=0)).tokens
    assert len(set(first_tokens)) > 10


def test_stop_token_ends_a_row_and_is_not_returned(engine: Engine) -> None:
    free = engine.generate([5], max_tokens=10, temperature=0, stop=())[0]
    stopped = engine.generate([5], max_tokens=10, temperature=0, stop=(free[4],))[0]
    assert stopped == free[: free.index(free[4])]


def test_rows_end_one_by_one(engine: Engine) -> None:
    steps = list(engine.stream([5], 8, max_tokens=20, temperature=1.5, stop=range(0, 320, 6)))
    counted = [sum(step.active) for step in steps]
    assert counted[0] == 8
    assert counted == sorted(counted, reverse=True)


def test_gradients_stay_on_for_the_caller_between_two_tokens(engine: Engine) -> None:
    for _ in engine.stream([1], max_tokens=2):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_complete_returns_the_beginning_too(engine: Engine) -> None:
    texts = engine.complete("the cat", 2, max_tokens=4)
    assert len(texts) == 2 and all(text.startswith("the cat") for text in texts)


def test_no_tokens_asked_no_tokens_given(engine: Engine) -> None:
    assert engine.generate([1], 2, max_tokens=0) == [[], []]


@pytest.mark.parametrize("prompt", [[], ["x"], [True], [[1]], [-1], [320], [1.0], [None]], ids=repr)
def test_bad_prompts(engine: Engine, prompt: list) -> None:
    with pytest.raises(InputError, match="prompt"):
        engine.generate(prompt)


def test_too_long_prompts_tell_length_and_limit(engine: Engine) -> None:
    with pytest.raises(InputError, match="1000000 tokens, the context holds 24"):
        engine.generate([1] * 10**6)
    with pytest.raises(InputError, match="at most 4 new tokens"):
        engine.generate([1] * 20, max_tokens=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1}, {"temperature": math.nan}, {"temperature": math.inf}, {"temperature": 1e-320},
        {"temperature": "0.5"}, {"temperature": True}, {"top_k": -1}, {"top_k": 0}, {"top_k": 1.5},
        {"top_k": True}, {"max_tokens": -1}, {"max_tokens": 10**9}, {"num_samples": 0}, {"num_samples": -1},
        {"seed": -1}, {"seed": 2**64}, {"seed": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_without_meaning(engine: Engine, wrong: dict) -> None:
    """Row 36, and before the first token: the call itself raises, not the first step."""
    arguments = {"prompt": [1], **wrong}
    with pytest.raises(InputError, match=next(iter(wrong))):
        engine.stream(**arguments)


def test_top_k_over_the_vocabulary_means_all_of_it(engine: Engine) -> None:
    assert engine.generate([1], max_tokens=5, top_k=10**9) == engine.generate([1], max_tokens=5)


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_damaged_scores_stop_generation(temperature: float, poison: float) -> None:
    """Row 37: also at temperature 0, where argmax would return a token without a word."""
    with pytest.raises(InputError, match="NaN"):
        sample(torch.tensor([[0.0, poison]]), temperature)


def test_probabilities() -> None:
    z = torch.tensor([[1.0, 2.0, 3.0, 0.0]])
    torch.testing.assert_close(next_token_probabilities(z), z.softmax(-1))
    torch.testing.assert_close(next_token_probabilities(z, temperature=2.0), (z / 2).softmax(-1))
    kept = next_token_probabilities(z, top_k=2)
    assert (kept > 0).tolist() == [[False, True, True, False]]
    torch.testing.assert_close(kept[0, 1:3], z[0, 1:3].softmax(-1))
    assert next_token_probabilities(z, temperature=0).tolist() == [[0, 0, 1, 0]]


def test_samples_follow_the_probabilities() -> None:
    z = torch.tensor([0.0, 1.0, 2.0])
    drawn = sample(z.expand(60_000, 3), generator=torch.Generator().manual_seed(0))
    shares = drawn.bincount(minlength=3) / drawn.numel()
    torch.testing.assert_close(shares, z.softmax(0), atol=0.01, rtol=0)


def test_tokenizer_of_another_model_is_refused(tokenizer: Tokenizer) -> None:
    small = GPT(GPTConfig.from_depth(1, vocab_size=64, sequence_len=8))
    with pytest.raises(InputError, match="the tokenizer has 272 tokens, the model 64"):
        Engine(small, tokenizer)


def test_cache_refuses_what_does_not_fit() -> None:
    config = GPTConfig.from_depth(1, vocab_size=64, sequence_len=8)
    for batch_size, capacity in ((0, 4), (1, 0), (1, 9)):
        with pytest.raises(InputError, match="impossible"):
            KVCache(config, batch_size, capacity)
    cache = KVCache(config, 1, 2)
    with pytest.raises(InputError, match="do not fit"):
        GPT(config)(torch.zeros(1, 3, dtype=torch.long), cache=cache)
