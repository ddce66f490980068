"""Several processes, played by threads: the same exchanges as under ``torchrun``, without starting anything.

Each thread is a process of its own number. What PyTorch would send over the network goes through :class:`Network`,
which adds up, hands around and counts the bytes. All else is the code of the package as it is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

from docs.pictures import pupil
from nanochat import dataloader, distributed, gpt, optim, train
from nanochat.common import Runtime

PATIENCE = 120.0
"""Seconds that a thread waits for another, which only a mistake in the code lets pass."""


class _Done:
    """What an exchange in the background returns; here it is over at once."""

    def wait(self) -> None:
        """There is nothing to wait for."""


class Network:
    """The part of ``torch.distributed`` that the package uses, between threads."""

    ReduceOp = dist.ReduceOp

    def __init__(self, n: int) -> None:
        self.n = n
        self.meeting = threading.Condition()
        self.rounds: dict[int, dict[int, Any]] = {}
        self.taken = [0] * n
        self.broken = False
        self.mail: dict[tuple[int, int], queue.Queue[Tensor]] = {
            (a, b): queue.Queue() for a in range(n) for b in range(n)
        }
        self.here = threading.local()
        self.summed: list[list[Tensor]] = [[] for _ in range(n)]
        """Of each process, the tensors of more than one number that it gave to be added up."""
        self.handed: list[list[Tensor]] = [[] for _ in range(n)]
        """Of each process, the tensors that it handed to the others."""

    def is_initialized(self) -> bool:
        """Whether this thread is one of the processes."""
        return hasattr(self.here, "rank")

    def get_world_size(self) -> int:
        """How many there are."""
        return self.n

    def get_rank(self) -> int:
        """The number of this one."""
        return self.here.rank

    def _swap(self, value: Any) -> list[Any]:
        """Let every thread see the value of each; broken off when one of them is gone before it gave its own."""
        rank = self.here.rank
        with self.meeting:
            values = self.rounds.setdefault(self.taken[rank], {})
            values[rank] = value
            self.taken[rank] += 1
            self.rounds.pop(min(self.taken) - 2, None)
            self.meeting.notify_all()
            self.meeting.wait_for(lambda: len(values) == self.n or self.broken, PATIENCE)
            if len(values) < self.n:
                raise RuntimeError("a thread is gone")
            return [values[each] for each in range(self.n)]

    def leave(self) -> None:
        """End the connection, as a process does that crashes."""
        with self.meeting:
            self.broken = True
            self.meeting.notify_all()

    def all_reduce(self, tensor: Tensor, how: Any = dist.ReduceOp.SUM, async_op: bool = False) -> _Done:
        """Add up, or take the largest."""
        if tensor.numel() > 1:
            self.summed[self.here.rank].append(tensor.detach().clone())
        stacked = torch.stack(self._swap(tensor.detach().clone()))
        tensor.copy_(stacked.sum(0) if how == dist.ReduceOp.SUM else stacked.amax(0))
        return _Done()

    def broadcast(self, tensor: Tensor, owner: int, async_op: bool = False) -> _Done:
        """Copy a tensor from its owner."""
        if self.here.rank == owner:
            self.handed[owner].append(tensor.detach().clone())
        tensor.copy_(self._swap(tensor.detach().clone())[owner])
        return _Done()

    def all_gather_object(self, values: list[Any], value: Any) -> None:
        """Let everyone have the value of each."""
        values[:] = self._swap(value)

    def send(self, tensor: Tensor, to: int) -> None:
        """Send a tensor to one other."""
        self.mail[self.here.rank, to].put(tensor.clone())

    def recv(self, tensor: Tensor, sender: int) -> None:
        """Wait for a tensor from one other."""
        tensor.copy_(self.mail[sender, self.here.rank].get(timeout=PATIENCE))


@dataclass
class Run:
    """What came of it."""

    network: Network
    """What was exchanged."""
    results: list[Any]
    """What each process returned, or the exception with which it ended."""


def run(n: int, work: Callable[[int], Any]) -> Run:
    """Let n processes do some work, each knowing its rank.

    Args:
        n: How many.
        work: What each does, given its rank. An exception ends this process and, at their next exchange, the others.
    """
    network = Network(n)
    results: list[Any] = [None] * n

    def one(rank: int) -> None:
        network.here.rank = rank
        try:
            results[rank] = work(rank)
        except Exception as error:
            results[rank] = error
            network.leave()

    with mock.patch.object(distributed, "dist", network):
        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Run(network, results)


def loader(rows: int, rank: int = 0, n: int = 1) -> dataloader.TokenLoader:
    """The pupil's loader, as one of n processes has it."""
    tokenizer, ids = pupil.tokens(pupil.VOCABULARY)
    return dataloader.TokenLoader(ids, rows, pupil.CONTEXT, tokenizer.bos, seed=1, rank=rank, world_size=n)


def state(rank: int = 0, n: int = 1, **settings: Any) -> train.TrainState:
    """The pupil before its first step, as one of n processes holds it: the step has two rows in all."""
    runtime = Runtime(torch.device("cpu"), torch.float32, rank=rank, world_size=n)
    one = pupil.new(rows=2 // n, runtime=runtime, **settings)
    one.state.loader = loader(2 // n, rank, n)
    return one.state


@dataclass
class Team:
    """Two processes that trained the pupil together."""

    network: Network
    """What they exchanged."""
    states: list[train.TrainState]
    """What each holds."""
    gradients: list[Tensor] = field(default_factory=list)
    """Of each, the whole gradient of the last step as one vector, as it stood when the step was to be taken."""


def team(steps: int = 1, batches: Callable[[int], Any] | None = None, **settings: Any) -> Team:
    """Let two processes train the pupil.

    Args:
        steps: For so many steps.
        batches: Another loader for each rank; None means their halves of the pupil's own.
        settings: Fields of the plan.
    """
    states = [state(rank, 2, **settings) for rank in range(2)]
    gradients: list[Tensor] = [torch.empty(0)] * 2
    if batches is not None:
        for rank, one in enumerate(states):
            one.loader = batches(rank)
    measure = torch.nn.utils.clip_grad_norm_

    def work(rank: int) -> None:
        for _ in range(steps):
            train.train_step(states[rank])

    def noted(parameters: list[torch.nn.Parameter], limit: float) -> Tensor:
        gradients[distributed.rank()] = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        return measure(parameters, limit)

    with mock.patch.object(torch.nn.utils, "clip_grad_norm_", noted):
        done = run(2, work)
    for result in done.results:
        if isinstance(result, Exception):
            raise result
    return Team(done.network, states, gradients)


def gradient_alone(batches: Any = None) -> Tensor:
    """The whole gradient of the pupil's first step, taken by one process."""
    alone = state()
    if batches is not None:
        alone.loader = batches
    found: list[Tensor] = []
    measure = torch.nn.utils.clip_grad_norm_

    def noted(parameters: list[torch.nn.Parameter], limit: float) -> Tensor:
        found.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
        return measure(parameters, limit)

    with mock.patch.object(torch.nn.utils, "clip_grad_norm_", noted):
        train.train_step(alone)
    return found[0]


def remembered(one: train.TrainState) -> dict[str, int]:
    """How many numbers the optimizers of a process remember, by the name of the parameter; none for those it has not.

    AdamW's count of steps is left out: it is a single number.
    """
    names = {id(p): name for name, p in one.model.named_parameters()}
    return {
        names[id(p)]: sum(tensor.numel() for what, tensor in memory.items() if what != "step")
        for optimizer in one.optimizers
        for p, memory in optimizer.state.items()
        if memory
    }


@dataclass(frozen=True)
class Memory:
    """What the fullest of some processes keeps for its model, in bytes."""

    weights: int
    """The whole model."""
    gradients: int
    """A slope for each weight, until the shares are parted."""
    averages: int
    """What its optimizers remember."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.averages


@lru_cache(maxsize=4)
def _sizes(depth: int) -> tuple[tuple[int, int], ...]:
    """Of each parameter its numbers, and how many numbers its optimizer will remember of it."""
    config = model_of(depth)
    with torch.device("meta"):  # shapes without memory
        model = gpt.GPT(config)
    optimizers = optim.make_optimizers(model, train.Plan(model=config, total_batch_size=8 * config.sequence_len))
    averages = {
        id(p): 1 if isinstance(optimizer, optim.Muon) else 2
        for optimizer in optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    }
    return tuple((p.numel(), averages[id(p)] * p.numel()) for p in model.parameters())


def model_of(depth: int) -> gpt.GPTConfig:
    """The models of the table: those that the page on the budget speaks of."""
    return gpt.GPTConfig.from_depth(depth, *((65536, 2048) if depth >= 20 else (16384, 512)))


def memory(depth: int, n: int) -> Memory:
    """Compute what the fullest of n processes keeps; each number takes four bytes."""
    sizes, averages = zip(*_sizes(depth), strict=True)
    ranks = distributed.owners(sizes, n)
    shares = [sum(a for a, owner in zip(averages, ranks, strict=True) if owner == each) for each in range(n)]
    return Memory(4 * sum(sizes), 4 * sum(sizes), 4 * max(shares))
