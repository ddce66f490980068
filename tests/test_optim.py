"""The optimizers do what their formulas say, each parameter belongs to one, and the schedule goes up, level, down."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.common import InputError
from nanochat.gpt import GPT
from nanochat.optim import NEWTON_SCHULZ, Muon, lr_multiplier, make_optimizers, muon_momentum, orthogonalize
from nanochat.train import Plan

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def random_matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_orthogonalize_evens_out_the_stretches_and_keeps_the_directions(
    shape: tuple[int, int], seed: int, scale: float
) -> None:
    g = random_matrix(*shape, seed=seed)
    u, s, vh = torch.linalg.svd(g, full_matrices=False)
    a, b, c = NEWTON_SCHULZ
    expected = s / s.norm()
    for _ in range(5):
        expected = a * expected + b * expected**3 + c * expected**5
    out = orthogonalize(scale * g)
    assert out.shape == g.shape
    assert torch.allclose(out, u @ expected.diag() @ vh, atol=1e-3)
    large = s > 0.02 * s.norm()
    assert (expected[large] > 0.6).all() and (expected < 1.3).all()


def test_orthogonalize_takes_stacks_and_turns_with_the_matrix() -> None:
    stack = random_matrix(3, 6, 4)
    out = orthogonalize(stack)
    for one, result in zip(stack, out, strict=True):
        assert torch.allclose(orthogonalize(one), result, atol=1e-9)
        assert torch.allclose(orthogonalize(one.mT), result.mT, atol=1e-9)
        assert torch.allclose(orthogonalize(-one), -result, atol=1e-9)
    assert orthogonalize(torch.zeros(4, 4)).abs().max() == 0


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16)])
def test_muon_is_its_formula(shape: tuple[int, int]) -> None:
    p = torch.nn.Parameter(random_matrix(*shape))
    w, mean = p.detach().clone(), torch.zeros(shape, dtype=torch.float64)
    muon = Muon([p], lr=0.1, momentum=0.9, weight_decay=0.5)
    for step in range(3):
        g = random_matrix(*shape, seed=step + 1)
        p.grad = g.clone()
        muon.step()
        mean = 0.9 * mean + 0.1 * g
        ahead = 0.1 * g + 0.9 * mean
        w = w * (1 - 0.1 * 0.5) - 0.1 * max(1, shape[0] / shape[1]) ** 0.5 * orthogonalize(ahead)
        assert torch.allclose(p, w, atol=1e-9)


def test_muon_moves_a_stack_as_it_moves_each_alone() -> None:
    together = [torch.nn.Parameter(random_matrix(6, 4, seed=i)) for i in range(3)]
    together.append(torch.nn.Parameter(random_matrix(4, 6, seed=3)))
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    optimizers = [Muon(together), *(Muon([p]) for p in alone)]
    for step in range(2):
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            p.grad = random_matrix(*p.shape, seed=10 * step + i)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.allclose(p, q, atol=1e-9) for p, q in zip(together, alone, strict=True))


def test_muon_leaves_what_has_no_gradient() -> None:
    p, q = (torch.nn.Parameter(random_matrix(4, 4)) for _ in range(2))
    before = q.detach().clone()
    p.grad = random_matrix(4, 4, seed=1)
    Muon([p, q], weight_decay=0.1).step()
    assert torch.equal(q, before) and not torch.equal(p, before)


def test_muon_refuses_vectors_and_closures() -> None:
    with pytest.raises(InputError, match=r"shape \(3,\) belongs to AdamW"):
        Muon([torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(InputError, match="no closure"):
        Muon([torch.nn.Parameter(torch.ones(3, 3))]).step(lambda: 0.0)


def test_muon_finds_a_matrix() -> None:
    target = random_matrix(8, 8)
    p = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
    muon = Muon([p], lr=0.1)
    for step in range(200):
        muon.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        p.grad = p.detach() - target
        muon.step()
    assert (p - target).norm() < 0.05 * target.norm()


def test_every_parameter_has_one_optimizer(make_model: Callable[..., GPT], plan: Plan) -> None:
    model = make_model(depth=3, n_kv_head=2)
    adamw, muon = make_optimizers(model, plan)
    assert isinstance(adamw, torch.optim.AdamW) and isinstance(muon, Muon)
    in_adamw, in_muon = ([p for group in o.param_groups for p in group["params"]] for o in (adamw, muon))
    assert [id(p) for p in in_adamw] == [id(model.embed.weight), id(model.head.weight)]
    assert {id(p) for p in in_muon} == {id(p) for p in model.blocks.parameters()} and len(in_muon) == 18
    assert len({id(p) for p in in_adamw + in_muon}) == len(list(model.parameters()))


def test_learning_rates_shrink_with_the_width(make_model: Callable[..., GPT], plan: Plan) -> None:
    for width, factor in ((64, math.sqrt(12)), (256, math.sqrt(3))):
        adamw, muon = make_optimizers(make_model(width=width), plan)
        embedding, head = adamw.param_groups
        assert embedding["lr"] == pytest.approx(plan.embedding_lr * factor)
        assert head["lr"] == pytest.approx(plan.head_lr * factor)
        assert muon.param_groups[0]["lr"] == plan.matrix_lr
        assert all(group["initial_lr"] == group["lr"] for o in (adamw, muon) for group in o.param_groups)


def test_adamw_is_its_formula(make_model: Callable[..., GPT], plan: Plan) -> None:
    model = make_model()
    adamw, _ = make_optimizers(model, plan)
    p = model.head.weight
    lr, (beta1, beta2) = adamw.param_groups[1]["lr"], adamw.param_groups[1]["betas"]
    w, m, v = p.detach().double(), 0.0, 0.0
    for step in range(1, 4):
        g = random_matrix(*p.shape, seed=step)
        p.grad = g.float()
        adamw.step()
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w - lr * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + 1e-10)
        assert torch.allclose(p.double(), w, atol=1e-5)


# The schedule ------------------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 300),
    warmup=st.integers(0, 50).map(lambda percent: percent / 100),
    warmdown=st.integers(0, 50).map(lambda percent: percent / 100),
    final=st.floats(0, 1),
)
def test_schedule_goes_up_level_down(n: int, warmup: float, warmdown: float, final: float) -> None:
    try:
        plan = Plan.from_depth(
            1, num_iterations=n, warmup_ratio=warmup, warmdown_ratio=warmdown, final_lr_fraction=final
        )
    except InputError:
        assert round(warmup * n) + round(warmdown * n) > n  # rounding can take one step too many
        return
    factors = [lr_multiplier(step, plan) for step in range(n)]
    assert all(0 < f <= 1 for f in factors)
    up, down = plan.warmup_steps, plan.warmdown_steps
    assert factors[:up] == [pytest.approx((i + 1) / up) for i in range(up)]
    assert factors[up : n - down] == [1.0] * (n - down - up)
    falling = factors[max(n - down - 1, 0) :]
    assert all(later <= earlier + 1e-12 for earlier, later in zip(falling, falling[1:], strict=False))
    assert lr_multiplier(n, plan) == pytest.approx(final if down else 1.0)
    if down:
        step = (1 - final) / down
        assert factors[-1] == pytest.approx(final + step)


def test_schedule_in_numbers() -> None:
    plan = Plan.from_depth(1, num_iterations=10, warmup_ratio=0.2, warmdown_ratio=0.4, final_lr_fraction=0.5)
    assert [lr_multiplier(step, plan) for step in range(10)] == [0.5, 1, 1, 1, 1, 1, 1, 0.875, 0.75, 0.625]
    assert lr_multiplier(100, plan) == 0.5
    level = replace(plan, warmup_ratio=0.0, warmdown_ratio=0.0)
    assert {lr_multiplier(step, level) for step in range(10)} == {1.0}


def test_momentum_grows_for_three_hundred_steps() -> None:
    values = [muon_momentum(step) for step in (0, 150, 300, 10_000)]
    assert values == [pytest.approx(v) for v in (0.85, 0.90, 0.95, 0.95)]
