"""The model: what it may see, what it must not see, and that its parts do what their formulas say."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat.common import InputError
from nanochat.engine import KVCache
from nanochat.gpt import (
    GPT,
    GPTConfig,
    apply_rotary,
    attend,
    attention_weights,
    causal_mask,
    rms_norm,
    rotary_tables,
    soft_cap,
)

MakeModel = Callable[..., GPT]

relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(320, shape, generator=torch.Generator().manual_seed(seed))


# The configuration -------------------------------------------------------------------------------------------

WRONG = [
    ({"n_layer": 0}, "n_layer=0"),
    ({"n_layer": -1}, "n_layer=-1"),
    ({"n_layer": 2.0}, "n_layer=2.0"),
    ({"n_layer": True}, "n_layer=True"),
    ({"vocab_size": 0}, "vocab_size=0"),
    ({"sequence_len": 0}, "sequence_len=0"),
    ({"n_embd": 250}, "n_embd=250 is not divisible by n_head=4.*take n_head=5"),
    ({"n_head": 3, "n_kv_head": 3}, "n_embd=256 is not divisible by n_head=3.*take n_head=[24]"),
    ({"n_kv_head": 3}, "n_head=4 is not divisible by n_kv_head=3.*take n_kv_head=[24]"),
    ({"n_kv_head": 8}, "n_head=4 is not divisible by n_kv_head=8.*take n_kv_head=4"),
    ({"n_embd": 12}, "n_embd=12 with n_head=4 gives heads of 3 channels"),
]


@pytest.mark.parametrize(("sizes", "message"), WRONG)
def test_sizes_that_do_not_fit_are_refused(sizes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        GPTConfig(**sizes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [0, -1, 1.5, True, "4"])
def test_depths_that_are_none_are_refused(depth: object) -> None:
    with pytest.raises(InputError, match="depth="):
        GPTConfig.from_depth(depth)


@pytest.mark.parametrize("width", [0, -64, 100, 7, 64.0])
def test_widths_that_are_none_are_refused(width: object) -> None:
    with pytest.raises(InputError, match="width="):
        GPTConfig.from_depth(2, width=width)


def test_sizes_are_refused_without_assertions_too() -> None:
    code = "from nanochat.gpt import GPTConfig\nGPTConfig(n_embd=250)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-O", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "InputError: n_embd=250 is not divisible" in done.stderr


@given(depth=st.integers(1, 200))
def test_every_depth_is_legal(depth: int) -> None:
    config = GPTConfig.from_depth(depth)
    assert config.n_embd == 64 * depth and config.n_layer == depth
    assert config.n_head >= 4 and config.head_size <= 128 and config.head_size % 2 == 0
    assert config.head_size * config.n_head == config.n_embd


@given(width=st.integers(1, 400).map(lambda n: 8 * n))
def test_every_multiple_of_eight_is_a_width(width: int) -> None:
    config = GPTConfig.from_depth(3, width=width)
    fewer = [n for n in range(4, config.n_head) if width % (2 * n) == 0 and width // n <= 128]
    assert config.n_embd == width and not fewer, "fewer heads would have done"


# The parts ---------------------------------------------------------------------------------------------------


@given(scale=st.floats(1, 1000), size=st.integers(2, 64), seed=st.integers(0, 99))
def test_rms_norm_gives_length_one_to_any_length(scale: float, size: int, seed: int) -> None:
    x = random_tensor(3, size, seed=seed)
    x = x / x.norm(dim=-1, keepdim=True)  # far above epsilon
    out = rms_norm(scale * x)
    assert torch.allclose(out.square().mean(-1), torch.ones(3), atol=1e-3)
    assert torch.allclose(out, rms_norm(x), rtol=1e-3, atol=1e-4)
    assert (torch.sign(out) == torch.sign(x)).all()


def test_rms_norm_keeps_zero() -> None:
    assert rms_norm(torch.zeros(2, 8)).abs().max() == 0


@given(shift=st.integers(0, 40), first=st.integers(0, 20), second=st.integers(0, 20))
def test_rotation_sees_distances_only(shift: int, first: int, second: int) -> None:
    q, k = random_tensor(1, 1, 1, 16), random_tensor(1, 1, 1, 16, seed=1)
    cos, sin = rotary_tables(64, 16)

    def score(i: int, j: int) -> float:
        return float((apply_rotary(q, cos[[i]], sin[[i]]) * apply_rotary(k, cos[[j]], sin[[j]])).sum())

    assert score(first, second) == pytest.approx(score(first + shift, second + shift), abs=1e-4)


def test_rotation_keeps_lengths_and_turns_clockwise() -> None:
    x = random_tensor(2, 10, 3, 8)
    cos, sin = rotary_tables(10, 8)
    turned = apply_rotary(x, cos, sin)
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-5)
    assert torch.equal(turned[:, 0], x[:, 0])
    east = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    assert apply_rotary(east, *rotary_tables(2, 2))[0, 1, 0].tolist() == pytest.approx([math.cos(1), -math.sin(1)])


def test_rotation_frequencies() -> None:
    cos, sin = rotary_tables(5, 8, theta=10000.0)
    for pair in range(4):
        angle = 3 * 10000.0 ** (-2 * pair / 8)
        assert cos[3, pair] == pytest.approx(math.cos(angle), abs=1e-6)
        assert sin[3, pair] == pytest.approx(math.sin(angle), abs=1e-6)


@pytest.mark.parametrize(("n_queries", "n_keys"), [(1, 1), (1, 7), (7, 7), (3, 7)])
@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_attend_is_the_formula(n_queries: int, n_keys: int, n_kv_head: int) -> None:
    q = random_tensor(2, n_queries, 4, 8)
    k, v = random_tensor(2, n_keys, n_kv_head, 8, seed=1), random_tensor(2, n_keys, n_kv_head, 8, seed=2)
    weights = attention_weights(q, k)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, n_queries), atol=1e-6)
    assert (weights[..., ~causal_mask(n_queries, n_keys)] == 0).all()
    out = torch.zeros(2, n_queries, 4, 8)
    for b in range(2):
        for h in range(4):
            g = h // (4 // n_kv_head)
            for t in range(n_queries):
                seen = n_keys - n_queries + t + 1
                p = (k[b, :seen, g] @ q[b, t, h] / math.sqrt(8)).softmax(0)
                assert torch.allclose(weights[b, h, t, :seen], p, atol=1e-6)
                out[b, t, h] = p @ v[b, :seen, g]
    assert torch.allclose(attend(q, k, v), out, atol=1e-5)


@given(z=st.floats(-1000, 1000), cap=st.floats(0.5, 100))
def test_soft_cap_bends_and_keeps_order(z: float, cap: float) -> None:
    bent, above = soft_cap(torch.tensor([z, z + 1.0]), cap).tolist()
    assert abs(bent) <= cap * (1 + 1e-6) and abs(bent) <= abs(z) + 1e-5
    assert above >= bent


# The whole model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_fresh_model_knows_nothing(depth: int) -> None:
    """Every token is equally likely, so the loss is the logarithm of the vocabulary."""
    model = GPT(GPTConfig.from_depth(depth, vocab_size=320, sequence_len=16))
    tokens = random_tokens(3, 16)
    assert model(tokens).abs().max() == 0
    assert model(tokens, tokens).item() == pytest.approx(math.log(320), abs=1e-5)


def test_the_future_is_not_seen_and_the_past_is(make_model: MakeModel) -> None:
    model = make_model(n_kv_head=2)
    tokens = random_tokens(1, 24)
    before = model(tokens)
    for changed in (0, 7, 23):
        other = tokens.clone()
        other[0, changed] = (other[0, changed] + 1) % 320
        difference = (model(other) - before).abs().amax(-1)[0]
        assert (difference[:changed] == 0).all()
        assert (difference[changed:] > 1e-6).all()


def test_rows_do_not_see_each_other(make_model: MakeModel) -> None:
    model = make_model()
    tokens = random_tokens(5, 20)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(model(tokens[order]), model(tokens)[order], atol=1e-5)
    assert torch.allclose(model(tokens[:1]), model(tokens)[:1], atol=1e-5)


def test_the_order_of_tokens_matters(make_model: MakeModel) -> None:
    """Without positions, the last token would see a set."""
    model = make_model()
    tokens = random_tokens(1, 20)
    swapped = tokens.clone()
    swapped[0, [3, 11]] = tokens[0, [11, 3]]
    assert (model(swapped)[0, -1] - model(tokens)[0, -1]).abs().max() > 1e-3


@relaxed
@given(pieces=st.lists(st.integers(1, 8), min_size=1, max_size=6), n_kv_head=st.sampled_from([1, 2, 4]))
def test_cached_equals_uncached(pieces: list[int], n_kv_head: int, make_model: MakeModel) -> None:
    model = make_model(n_kv_head=n_kv_head, sequence_len=48)
    tokens = random_tokens(2, sum(pieces))
    cache = KVCache(model.config, 2, sum(pieces))
    cached = torch.cat([model(part, cache=cache) for part in tokens.split(pieces, dim=1)], dim=1)
    assert torch.allclose(cached, model(tokens), atol=1e-4)
    assert cache.length == sum(pieces)


def test_grouped_heads_are_shared_heads(make_model: MakeModel) -> None:
    """Two key/value heads compute what four do when they are equal in pairs."""
    few, many = make_model(n_kv_head=2), make_model(n_kv_head=4)
    weights = few.state_dict()
    for name in weights:
        if ".key." in name or ".value." in name:
            heads = weights[name].view(2, few.config.head_size, -1)
            weights[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    many.load_state_dict(weights)
    tokens = random_tokens(2, 24)
    assert torch.allclose(few(tokens), many(tokens), atol=1e-5)


def test_losses(make_model: MakeModel) -> None:
    model = make_model()
    tokens, targets = random_tokens(2, 12), random_tokens(2, 12, seed=1)
    each = model(tokens, targets, reduction="none")
    expected = -model(tokens).log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    assert torch.allclose(each, expected, atol=1e-5)
    assert torch.allclose(model(tokens, targets), each.mean())
    assert torch.allclose(model(tokens, targets, reduction="sum"), each.sum())
    targets[0, :7] = -1
    some = model(tokens, targets, reduction="none")
    assert (some[0, :7] == 0).all() and torch.equal(some[1], each[1])
    assert torch.allclose(model(tokens, targets), some.sum() / 17)


def test_logits_stay_within_the_cap(make_model: MakeModel) -> None:
    model = make_model()
    with torch.no_grad():
        model.head.weight.mul_(1000)
    assert 14.9 < model(random_tokens(2, 12)).abs().max() <= 15


@pytest.mark.parametrize(("token", "shown"), [(320, "320"), (-1, "-1"), (10**9, "1000000000")])
def test_ids_outside_the_vocabulary_are_refused(token: int, shown: str, make_model: MakeModel) -> None:
    tokens = random_tokens(2, 12)
    tokens[1, 5] = token
    with pytest.raises(InputError, match=rf"token id {shown} is outside the vocabulary \(0 to 319\)"):
        make_model()(tokens)


def test_rows_longer_than_the_context_are_refused(make_model: MakeModel) -> None:
    model = make_model()
    model(random_tokens(1, 24))
    with pytest.raises(InputError, match="25 tokens are more than the context of 24"):
        model(random_tokens(1, 25))
    cache = KVCache(model.config, 1, 24)
    model(random_tokens(1, 24), cache=cache)
    with pytest.raises(InputError, match="25 tokens are more than the context of 24"):
        model(random_tokens(1, 1), cache=cache)


def test_bfloat16_is_for_the_products_only(make_model: MakeModel) -> None:
    model = make_model()
    tokens = random_tokens(2, 24)
    exact = model(tokens)
    model.compute_dtype = torch.bfloat16
    rough = model(tokens)
    assert rough.dtype == torch.float32 and model.embed.weight.dtype == torch.float32
    error = (rough - exact).abs()
    assert 0 < error.mean() < 0.05 * exact.abs().mean()
    model(tokens, tokens).backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_first_weights_are_those_of_the_seed() -> None:
    config = GPTConfig.from_depth(2, vocab_size=320, sequence_len=16)
    one, same, other = GPT(config), GPT(config), GPT(config)
    other.init_weights(1)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embed.weight, other.embed.weight)
    for block in one.blocks:
        assert block.attention.output.weight.abs().max() == block.mlp.down.weight.abs().max() == 0
        assert block.mlp.up.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert one.embed.weight.std().item() == pytest.approx(1, rel=0.05)


def test_attention_maps_are_what_the_model_does(make_model: MakeModel) -> None:
    model = make_model(depth=3, n_kv_head=2)
    tokens = random_tokens(2, 10)
    before = model(tokens)
    maps = list(model.attention_maps(tokens))
    assert [tuple(m.shape) for m in maps] == [(2, 4, 10, 10)] * 3
    assert all(torch.allclose(m.sum(-1), torch.ones(2, 4, 10), atol=1e-5) and (m.triu(1) == 0).all() for m in maps)
    assert torch.equal(model(tokens), before)
    # With the first layer's map, its attention can be computed by hand.
    block = model.blocks[0].attention
    x = rms_norm(rms_norm(model.embed(tokens)))
    _, _, v = block.project(x, model.cos[:10], model.sin[:10])
    read = torch.einsum("bhts,bshd->bthd", maps[0], v.repeat_interleave(2, dim=2))
    assert torch.allclose(block.output(read.flatten(2)), block(x, model.cos[:10], model.sin[:10]), atol=1e-5)
