"""The training loop: a plan, a state, one step, and the loop around it.

All stages of training share this file. They differ in where their batches come from and in how long they go on.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from nanochat.accounting import compute_optimal_tokens, count_parameters, flops_per_token
from nanochat.common import IGNORED, InputError, Runtime, StopRequest
from nanochat.distributed import all_max, all_sum, check_connected, own_share, sum_gradients
from nanochat.gpt import GPT, GPTConfig
from nanochat.optim import Muon, lr_multiplier, make_optimizers, muon_momentum


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training run that do not depend on what the model is made of.

    Each field is also a flag of the training stages, and the sentence below it is the flag's help.
    """

    device_batch_size: int = 8
    """Rows that one process computes at once; lower it when memory runs out, the result stays the same."""
    total_batch_size: int = 4096
    """Tokens of one step over all processes and accumulation rounds."""
    num_iterations: int = 1000
    """Steps, each one move of the weights."""
    matrix_lr: float = 0.02
    """Learning rate of Muon, for the matrices of the blocks."""
    embedding_lr: float = 0.2
    """Learning rate of AdamW for the embedding, at width 768."""
    head_lr: float = 0.004
    """Learning rate of AdamW for the output head, at width 768."""
    weight_decay: float = 0.0
    """Share of the matrices, times the learning rate, that each step takes away."""
    grad_clip: float = 1.0
    """The gradient is shortened to this length where it is longer; 0 turns it off."""
    warmup_ratio: float = 0.0
    """Share of the steps over which the learning rates rise."""
    warmdown_ratio: float = 0.4
    """Share of the steps over which the learning rates fall at the end."""
    final_lr_fraction: float = 0.0
    """What is left of the learning rates after the last step, as a share."""
    seed: int = 42
    """Seed of the first weights and of the order of the documents."""


@dataclass(frozen=True, kw_only=True)
class Plan(Recipe):
    """Everything that a training run decides before its first step.

    Pure arithmetic: the same arguments give the same plan on every machine.

    Example:
        >>> Plan.from_depth(4).model.n_embd
        256

    Raises:
        InputError: If a value is out of range, or the batch does not divide evenly.

    Guide:
        "A model that reads each story only once or twice can hardly learn it by heart." (nano/training/measuring)
    """

    model: GPTConfig
    """The sizes of the model."""

    def __post_init__(self) -> None:
        for name in ("device_batch_size", "total_batch_size", "num_iterations"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name}={value!r} must be a whole number of at least 1")
        for name in ("matrix_lr", "embedding_lr", "head_lr", "weight_decay", "grad_clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name}={value} must be a finite number, at least 0")
        for name in ("warmup_ratio", "warmdown_ratio", "final_lr_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)} must be between 0 and 1")
        if self.warmup_ratio + self.warmdown_ratio > 1:
            raise InputError(
                f"warmup_ratio={self.warmup_ratio} and warmdown_ratio={self.warmdown_ratio} add up to more than all "
                f"steps: make their sum at most 1"
            )
        self.accumulation(1)

    @classmethod
    def from_depth(cls, depth: int, *, vocab_size: int = 16384, sequence_len: int = 512, **overrides: Any) -> Plan:
        """Derive the plan of a base model from its depth; any field can be set to something else.

        Args:
            depth: L, the number of layers.
            vocab_size: The size of the vocabulary, V.
            sequence_len: T, the context in tokens.
            overrides: Fields of :class:`Recipe` by name.

        Returns:
            The plan.
        """
        return cls(model=GPTConfig.from_depth(depth, vocab_size, sequence_len), **overrides)

    @property
    def warmup_steps(self) -> int:
        """Steps over which the learning rates rise."""
        return round(self.warmup_ratio * self.num_iterations)

    @property
    def warmdown_steps(self) -> int:
        """Steps over which the learning rates fall."""
        # A sum of shares of at most 1 must not round up to one step too many.
        return min(round(self.warmdown_ratio * self.num_iterations), self.num_iterations - self.warmup_steps)

    @property
    def tokens(self) -> int:
        """Training tokens of the whole run."""
        return self.num_iterations * self.total_batch_size

    @property
    def flops(self) -> int:
        """Floating-point operations of the whole run."""
        return self.tokens * flops_per_token(self.model)

    @property
    def compute_optimal_iterations(self) -> int:
        """Steps after which the model has seen 20 tokens for each of its parameters."""
        return math.ceil(compute_optimal_tokens(self.model) / self.total_batch_size)

    def accumulation(self, world_size: int) -> int:
        """Say how many rounds of forward and backward each process does for one step.

        Args:
            world_size: The number of processes.

        Returns:
            Rounds.

        Raises:
            InputError: If the batch does not divide evenly; the message names the nearest sizes that do.
        """
        once = self.device_batch_size * self.model.sequence_len * world_size
        if self.total_batch_size % once:
            below, above = self.total_batch_size // once * once, -(-self.total_batch_size // once) * once
            nearest = f"{below} or {above}" if below else f"{above}"
            raise InputError(
                f"total_batch_size={self.total_batch_size} tokens is not a multiple of device_batch_size x "
                f"sequence_len x processes = {self.device_batch_size} x {self.model.sequence_len} x {world_size} = "
                f"{once}: take {nearest}"
            )
        return self.total_batch_size // once

    def describe(self, tokens_per_second: float | None = None) -> str:
        """Say in a few lines what will happen, before it happens.

        Args:
            tokens_per_second: The measured speed, for the estimate of time.

        Returns:
            Lines of text.
        """
        model, counted = self.model, count_parameters(self.model)
        lines = [
            f"model       {model.n_layer} layers, width {model.n_embd}, {model.n_head} heads of {model.head_size}, "
            f"context {model.sequence_len}, vocabulary {model.vocab_size}",
            f"parameters  {counted.total:,}: embedding {counted.embedding:,}, matrices {counted.matrices:,}, "
            f"head {counted.head:,}",
            f"batch       {self.total_batch_size:,} tokens a step, {self.device_batch_size} rows at once",
            f"horizon     {self.num_iterations:,} steps, {self.tokens:,} tokens, "
            f"{self.tokens / counted.total:.2f} for each parameter, {self.flops:.2e} operations",
            f"optimal     {self.compute_optimal_iterations:,} steps would give 20 tokens for each parameter: "
            f"--num-iterations={self.compute_optimal_iterations}",
        ]
        if tokens_per_second:
            duration = readable_time(self.tokens / tokens_per_second)
            lines.append(f"time        about {duration} at {tokens_per_second:,.0f} tokens/s")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, to be saved."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["model"] = {f.name: getattr(self.model, f.name) for f in fields(self.model)}
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Plan:
        """Make a plan from what :meth:`as_dict` returned."""
        return cls(**{**plain, "model": GPTConfig(**plain["model"])})


def readable_time(seconds: float) -> str:
    """Write a duration as a person would say it.

    Example:
        >>> readable_time(75), readable_time(7300)
        ('1 min 15 s', '2 h 1 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Loader(Protocol):
    """What training asks of its data: batches without end, and a place to go on from."""

    def next_batch(self) -> tuple[Tensor, ...]:
        """Return inputs and targets, each ``(B, T)``; and weights ``(B, T)`` where tokens shall not count alike."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position as plain data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""


@dataclass
class StepMetrics:
    """What one step measured."""

    step: int
    """The number of steps taken so far, this one included."""
    loss: float
    """Mean cross-entropy of the step's tokens in nats, before the weights moved."""
    grad_norm: float
    """Length of the whole gradient, before it was shortened."""
    lr_multiplier: float
    """The factor of the schedule."""
    seconds: float
    """Duration of the step."""


@dataclass
class TrainState:
    """Everything that changes while a model trains, so that it can be saved and taken up again."""

    plan: Plan
    """What was decided before."""
    model: GPT
    """The model."""
    loader: Loader
    """Where the batches come from."""
    runtime: Runtime
    """Where the arithmetic happens."""
    optimizers: list[torch.optim.Optimizer]
    """AdamW and Muon."""
    step: int = 0
    """Steps taken."""
    history: list[StepMetrics] = field(default_factory=list)
    """What each step of this process measured."""

    @classmethod
    def start(cls, plan: Plan, loader: Loader, runtime: Runtime, model: GPT | None = None) -> TrainState:
        """Make a model with fresh weights and its optimizers.

        Args:
            plan: The plan.
            loader: Batches of ``(device_batch_size, sequence_len)``.
            runtime: Where to compute.
            model: A model that learnt before and goes on learning, under fresh optimizers; None makes a new one.

        Returns:
            The state before the first step.
        """
        if model is None:
            model = GPT(plan.model)
            model.init_weights(plan.seed)
        model.to(runtime.device)
        model.compute_dtype = runtime.dtype
        return cls(plan, model, loader, runtime, make_optimizers(model, plan))


def train_step(state: TrainState) -> StepMetrics:
    """Take one step: forward, backward, and one move of the weights.

    The gradient is the mean over all tokens of the step, however many rounds of accumulation they come in. Where the
    loader gives weights, each token's cross-entropy is multiplied by its weight first. A step in which no token counts
    is taken and moves nothing. A loss or gradient that is not a finite number stops the run before it can reach the
    weights. Several processes take the step together
    (:mod:`nanochat.distributed`); one alone has nobody to add up or share with.

    Args:
        state: The state; its model, optimizers, loader and step move on.

    Returns:
        What the step measured.

    Raises:
        InputError: If the loss or the gradient is not finite.

    Guide:
        "Then each of its numbers is moved a tiny bit, in the direction that would have made the surprise smaller."
        (nano/training/index)
    """
    begin = time.perf_counter()
    plan, model = state.plan, state.model
    rounds = plan.accumulation(state.runtime.world_size)
    loss_sum = torch.zeros((), device=model.device)
    batches = [state.loader.next_batch() for _ in range(rounds)]
    # Rounds may count different numbers of tokens, so the step is divided by all of them and not each round by its own.
    n_targets = all_sum(sum(int((targets != IGNORED).sum()) for _, targets, *_ in batches))
    counted = max(1, n_targets)
    for batch in batches:
        inputs, targets, *weights = (part.to(model.device, non_blocking=True) for part in batch)
        if weights:
            loss = (model(inputs, targets, reduction="none") * weights[0]).sum() / counted
        else:
            loss = model(inputs, targets, reduction="sum") / counted
        loss.backward()
        loss_sum += loss.detach()
    parameters = list(model.parameters())
    sum_gradients(parameters)
    limit = plan.grad_clip if plan.grad_clip > 0 else math.inf
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    mean_loss, grad_norm = all_sum(loss_sum).item(), norm.item()
    if not (math.isfinite(mean_loss) and math.isfinite(grad_norm)):
        raise InputError(
            f"step {state.step}: loss {mean_loss}, gradient {grad_norm}: training diverged and was stopped before the "
            f"weights were touched; lower the learning rates, or resume from an earlier step"
        )
    factor = lr_multiplier(state.step, plan)
    with own_share(parameters):
        # Without a target there is no gradient, and what the optimizers remember of earlier steps must not act alone.
        for optimizer in state.optimizers if n_targets else ():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
                if isinstance(optimizer, Muon):
                    group["momentum"] = muon_momentum(state.step)
            optimizer.step()
    model.zero_grad(set_to_none=True)
    state.step += 1
    metrics = StepMetrics(state.step, mean_loss, grad_norm, factor, time.perf_counter() - begin)
    state.history.append(metrics)
    return metrics


def fit(
    state: TrainState,
    on_step: Callable[[TrainState, StepMetrics], None] | None = None,
    until: int | None = None,
    progress: bool = True,
    max_seconds: float | None = None,
    stop: StopRequest | None = None,
) -> TrainState:
    """Take steps until the plan is fulfilled, or somebody asks to stop.

    Args:
        state: Where to start from; a state that was loaded goes on where it stopped.
        on_step: Called after each step with the state and what the step measured: to print, evaluate or save.
        until: Stop after this many steps in all; None means as many as planned.
        progress: Whether to show a progress bar on the terminal.
        max_seconds: Refuse to go on after so much wall-clock time.
        stop: Looked at between two steps; when a process was asked to stop, all of them end before the next step.

    Returns:
        The same state, after its last step.

    Raises:
        InputError: If the time ran out.
    """
    check_connected(state.runtime)
    last = state.plan.num_iterations if until is None else min(until, state.plan.num_iterations)
    begin = time.perf_counter()
    state.model.train()
    shown = progress and state.runtime.is_main and sys.stderr.isatty()
    with tqdm(total=last, initial=min(state.step, last), unit="step", disable=not shown) as bar:
        while not _asked_to_stop(stop) and state.step < last:
            metrics = train_step(state)
            bar.update()
            bar.set_postfix(loss=f"{metrics.loss:.3f}", refresh=False)
            if on_step is not None:
                on_step(state, metrics)
            spent = time.perf_counter() - begin
            if max_seconds is not None and spent > max_seconds and state.step < last:
                raise InputError(
                    f"training took {spent:.0f} s for {state.step} of {last} steps, over the limit of "
                    f"{max_seconds:.0f} s: give it a quieter machine, fewer steps, or a higher limit"
                )
    return state


def _asked_to_stop(stop: StopRequest | None) -> bool:
    """Say whether any process was asked to stop, and remember it; all processes get the same answer."""
    if stop is not None:
        stop.agreed = all_max(stop.signum)
    return stop is not None and stop.agreed > 0


def faster_dtype(plan: Plan, runtime: Runtime, rows: int | None = None) -> tuple[torch.dtype, float]:
    """Find out by trying which precision trains faster here.

    bfloat16 halves the time on some processors and multiplies it on others, and nothing but a measurement tells. Each
    precision takes one step to warm up and then two, whose faster one counts, on a model and data that are thrown
    away.

    Args:
        plan: The sizes.
        runtime: The device.
        rows: Rows of the trial batch; None means those of the plan.

    Returns:
        The faster precision and its speed in tokens a second.

    Guide:
        "On ordinary processors it can be faster or many times slower, and nothing but a trial tells."
        (nano/training/budget)
    """
    n_rows = plan.device_batch_size if rows is None else rows
    shape = (n_rows, plan.model.sequence_len)
    model = GPT(plan.model).to(runtime.device)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(plan.model.vocab_size, shape, generator=generator).to(runtime.device)
    speed = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.compute_dtype = dtype
        durations = []
        for _ in range(3):
            begin = time.perf_counter()
            model(tokens, tokens).backward()
            if runtime.device.type == "cuda":
                torch.cuda.synchronize()
            durations.append(time.perf_counter() - begin)
        speed[dtype] = n_rows * plan.model.sequence_len / min(durations[1:])
    best = max(speed, key=speed.__getitem__)
    return best, speed[best]


def keep_freed_memory() -> bool:
    """Tell the C library to keep memory that was freed, for the next step needs as much again.

    Giving large blocks back to the system and asking for them again at each step costs time on Linux.
    Elsewhere this does nothing.

    Returns:
        Whether the setting took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # names and numbers of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library without mallopt, such as musl
        return False
    return bool(mallopt(m_mmap_max, 0) and mallopt(m_trim_threshold, 1 << 30) and mallopt(m_top_pad, 1 << 26))
