"""The plan refuses what cannot be, one step is one step however it is cut, and nothing broken reaches the weights."""

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat.accounting import count_parameters
from nanochat.common import InputError, Runtime
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPTConfig
from nanochat.optim import Muon
from nanochat.train import Plan, StepMetrics, TrainState, faster_dtype, fit, readable_time, train_step

MakeState = Callable[..., TrainState]


class Batches:
    """A loader that hands out given rows, a few at a time, from the start again after the last."""

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor, rows: int) -> None:
        self.inputs, self.targets, self.rows, self.place = inputs, targets, rows, 0

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = slice(self.place, self.place + self.rows)
        self.place = (self.place + self.rows) % len(self.inputs)
        return self.inputs[chosen], self.targets[chosen]

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = state["place"]


@pytest.fixture
def rows(plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(plan.model.vocab_size, (4, plan.model.sequence_len + 1), generator=generator)
    return tokens[:, :-1], tokens[:, 1:].clone()


# The plan ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"device_batch_size": 0}, "device_batch_size=0"),
        ({"num_iterations": 0}, "num_iterations=0"),
        ({"total_batch_size": -96}, "total_batch_size=-96"),
        ({"matrix_lr": -0.1}, "matrix_lr=-0.1"),
        ({"head_lr": math.nan}, "head_lr=nan"),
        ({"embedding_lr": math.inf}, "embedding_lr=inf"),
        ({"warmup_ratio": 1.5}, "warmup_ratio=1.5"),
        ({"final_lr_fraction": -0.1}, "final_lr_fraction=-0.1"),
        ({"warmup_ratio": 0.7, "warmdown_ratio": 0.7}, "add up to more than all steps"),
    ],
)
def test_plans_that_cannot_be_are_refused(changed: dict, message: str, plan: Plan) -> None:
    with pytest.raises(InputError, match=message):
        replace(plan, **changed)


@pytest.mark.parametrize(
    ("total", "processes", "nearest"),
    [(100, 1, "take 96 or 144"), (47, 1, "take 48"), (96, 3, "take 144"), (240, 2, "take 192 or 288")],
)
def test_batches_that_do_not_divide_name_the_nearest_that_do(
    total: int, processes: int, nearest: str, plan: Plan
) -> None:
    with pytest.raises(InputError, match=rf"total_batch_size={total} .*2 x 24 x {processes} = .*{nearest}$"):
        replace(plan, total_batch_size=total).accumulation(processes)


@given(
    depth=st.integers(1, 30),
    rows=st.integers(1, 8),
    rounds=st.integers(1, 5),
    processes=st.integers(1, 8),
    steps=st.integers(1, 10**6),
)
def test_plan_is_arithmetic(depth: int, rows: int, rounds: int, processes: int, steps: int) -> None:
    total = rows * 512 * rounds * processes
    plan = Plan.from_depth(depth, device_batch_size=rows, total_batch_size=total, num_iterations=steps)
    assert plan.accumulation(processes) == rounds
    assert plan.tokens == steps * total
    deserved = 20 * count_parameters(plan.model).total
    assert (plan.compute_optimal_iterations - 1) * total < deserved <= plan.compute_optimal_iterations * total
    assert Plan.from_dict(plan.as_dict()) == plan
    assert f"{plan.tokens:,}" in plan.describe()


def test_plan_cannot_change(plan: Plan) -> None:
    with pytest.raises(FrozenInstanceError):
        plan.num_iterations = 5  # type: ignore[misc]


def test_time_is_told_before_it_passes(plan: Plan) -> None:
    assert "time" not in plan.describe()
    assert plan.describe(tokens_per_second=plan.tokens / 75).splitlines()[-1].startswith("time        about 1 min 15 s")
    assert readable_time(59.6) == "1 min 0 s"


# One step ----------------------------------------------------------------------------------------------------


def stepped(plan: Plan, rows: tuple[torch.Tensor, torch.Tensor], at_once: int, runtime: Runtime) -> TrainState:
    cut = replace(plan, device_batch_size=at_once)
    state = TrainState.start(cut, Batches(*rows, at_once), runtime)
    with torch.no_grad():  # a fresh head is zero and passes no gradient on
        state.model.head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    train_step(state)
    return state


def first_gradient(state: TrainState) -> dict[str, torch.Tensor]:
    """Read the gradient of the first step out of the optimizers, which remember a known share of it."""
    gradients = {}
    for name, p in state.model.named_parameters():
        for optimizer in state.optimizers:
            memory = optimizer.state.get(p, {})
            if "mean" in memory:
                gradients[name] = memory["mean"] / (1 - 0.85)
            elif "exp_avg" in memory:
                gradients[name] = memory["exp_avg"] / (1 - 0.8)
    return gradients


@pytest.mark.parametrize("ignored", ["none", "some", "a whole round"])
@pytest.mark.parametrize("at_once", [1, 2])
def test_rounds_give_the_gradient_of_one_large_batch(
    at_once: int, ignored: str, plan: Plan, rows: tuple[torch.Tensor, torch.Tensor], runtime: Runtime
) -> None:
    inputs, targets = rows
    if ignored == "some":
        targets[3, 5:] = -1
        targets[0, :2] = -1
    elif ignored == "a whole round":
        targets[2:] = -1
    whole = stepped(plan, (inputs, targets), 4, runtime)
    parts = stepped(plan, (inputs, targets), at_once, runtime)
    assert parts.history[0].loss == pytest.approx(whole.history[0].loss, rel=1e-6)
    assert parts.history[0].grad_norm == pytest.approx(whole.history[0].grad_norm, rel=1e-4)
    one, other = first_gradient(whole), first_gradient(parts)
    assert len(one) == len(list(whole.model.parameters()))
    for name in one:
        assert torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-6 * float(one[name].abs().max())), name


def test_gradient_is_that_of_the_loss(plan: Plan, rows: tuple[torch.Tensor, torch.Tensor], runtime: Runtime) -> None:
    """A small move along each of a few weights changes the loss as the gradient says."""
    state = TrainState.start(replace(plan, device_batch_size=4), Batches(*rows, 4), runtime)
    model = state.model
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * p.shape[-1] ** -0.5)
    model.double()
    model.compute_dtype = torch.float64
    model(*rows).backward()
    for name, p in model.named_parameters():
        with torch.no_grad():
            direction = torch.randn(p.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
            slope = float((p.grad * direction).sum())
            p.add_(direction, alpha=1e-2)
            above = model(*rows).item()
            p.sub_(direction, alpha=2e-2)
            below = model(*rows).item()
            p.add_(direction, alpha=1e-2)
        assert slope == pytest.approx((above - below) / 2e-2, rel=0.05, abs=1e-4), name


def test_first_loss_is_the_logarithm_of_the_vocabulary(make_state: MakeState, plan: Plan) -> None:
    assert make_state(1).history[0].loss == pytest.approx(math.log(plan.model.vocab_size), rel=1e-6)


@pytest.mark.parametrize("limit", [0.0, 0.01, 1e6])
def test_long_gradients_are_shortened(
    limit: float, plan: Plan, rows: tuple[torch.Tensor, torch.Tensor], runtime: Runtime
) -> None:
    state = stepped(replace(plan, grad_clip=limit), rows, 4, runtime)
    used = math.sqrt(sum(float(g.double().square().sum()) for g in first_gradient(state).values()))
    found = state.history[0].grad_norm
    assert found > 0.01
    assert used == pytest.approx(min(found, limit) if limit else found, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_numbers_never_reach_the_weights(bad: float, make_state: MakeState) -> None:
    state = make_state(3)
    with torch.no_grad():
        state.model.blocks[0].mlp.up.weight[0, 0] = bad
    weights = copy.deepcopy(state.model.state_dict())
    with pytest.raises(InputError, match="step 3: loss .* diverged and was stopped before the weights were touched"):
        train_step(state)
    assert state.step == 3 and len(state.history) == 3
    for name, weight in state.model.state_dict().items():
        assert torch.equal(weight.nan_to_num(), weights[name].nan_to_num())


def test_step_without_a_counted_token_is_no_accident(
    plan: Plan, rows: tuple[torch.Tensor, torch.Tensor], runtime: Runtime
) -> None:
    inputs, targets = rows
    state = TrainState.start(plan, Batches(inputs, torch.full_like(targets, -1), 2), runtime)
    before = copy.deepcopy(state.model.state_dict())
    metrics = train_step(state)
    assert (metrics.loss, metrics.grad_norm) == (0.0, 0.0)
    assert all(torch.equal(weight, before[name]) for name, weight in state.model.state_dict().items())


def test_schedule_reaches_the_optimizers(make_state: MakeState, plan: Plan) -> None:
    seen = []

    def look(state: TrainState, metrics: StepMetrics) -> None:
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                assert group["lr"] == group["initial_lr"] * metrics.lr_multiplier
        assert isinstance(state.optimizers[1], Muon)
        seen.append((metrics.step, metrics.lr_multiplier, state.optimizers[1].param_groups[0]["momentum"]))

    fit(make_state(0), on_step=look)
    assert [step for step, _, _ in seen] == list(range(1, 31))
    factors = [factor for _, factor, _ in seen]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1]) and factors[-1] == pytest.approx(1 / 12)
    momenta = [momentum for _, _, momentum in seen]
    assert momenta == sorted(momenta) and momenta[0] == pytest.approx(0.85)


# The loop ----------------------------------------------------------------------------------------------------


def test_training_learns_and_repeats_itself(make_state: MakeState) -> None:
    one, other = make_state(30), make_state(30)
    assert [m.loss for m in one.history] == [m.loss for m in other.history]
    assert one.history[-1].loss < 0.6 * one.history[0].loss


def test_pausing_changes_nothing(make_state: MakeState) -> None:
    paused = fit(fit(make_state(4), until=11, progress=False), progress=False)
    assert [m.loss for m in paused.history] == [m.loss for m in make_state(30).history]
    assert paused.step == 30
    assert fit(paused).step == 30 and len(paused.history) == 30


def test_time_limit_stops_with_a_word(make_state: MakeState) -> None:
    state = make_state(0)
    with pytest.raises(InputError, match=r"1 of 30 steps, over the limit of 0 s"):
        fit(state, max_seconds=0.0)
    assert state.step == 1
    fit(state, until=2, max_seconds=0.0)  # the last step is taken: there is nothing left to refuse


def test_precision_is_tried_out(runtime: Runtime) -> None:
    sizes = GPTConfig.from_depth(1, vocab_size=64, sequence_len=16)
    dtype, speed = faster_dtype(Plan(model=sizes, device_batch_size=2, total_batch_size=32), runtime)
    assert dtype in (torch.float32, torch.bfloat16) and speed > 0


def test_memory_setting_is_harmless() -> None:
    code = (
        "import torch\n"
        "from nanochat.train import keep_freed_memory\n"
        "print(keep_freed_memory(), float((torch.ones(1000, 1000) @ torch.ones(1000)).sum()))"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    told, result = done.stdout.split()
    assert told in ("True", "False") and float(result) == 1e6


def test_world_sees_every_row_once(plan: Plan, make_loader: Callable[..., TokenLoader]) -> None:
    """Two processes of one round read what one process reads in two."""
    one = make_loader(plan)
    two = [make_loader(plan, rank, 2) for rank in range(2)]
    for _ in range(5):
        alone = [one.next_batch()[0] for _ in range(2)]
        together = [loader.next_batch()[0] for loader in two]
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
