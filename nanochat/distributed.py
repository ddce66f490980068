"""Several processes that train one model: how they meet, add up, and end together.

``torchrun --nproc_per_node=2 -m scripts.base_train`` starts the same program twice and gives each process its number,
the *rank*. Every process holds the whole model and reads its own rows of each batch. Three exchanges make the many
one again:

1. the gradients of all processes are added up (:func:`sum_gradients`);
2. each process moves its own share of the parameters, so that it alone remembers what the optimizer needs for them,
   and hands the moved ones to the others (:func:`own_share`). Optimizer state is divided by the number of processes,
   the first stage of Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020;
3. a checkpoint brings the shares back together, by the name of the parameter (:func:`collect`).

Each function here does nothing, and returns what it was given, where there is only one process. Wherever a process
waits for the others, all must call the same functions in the same order. One that fails takes the others with it:
:func:`together` tells them why, and where it cannot (a crash), their next exchange ends with a
:class:`ConnectionError` and not with endless waiting.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from functools import wraps
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nanochat.common import InputError, Runtime

TIMEOUT = 1800.0
"""Seconds that a process waits for the others before it gives up, where ``$NANOCHAT_TIMEOUT`` names no other number."""
PULSE = 1.0
"""Seconds between two signs of life while some processes work and others wait (:func:`take_turns`)."""


# Meeting and parting ---------------------------------------------------------------------------------------------


@contextmanager
def distributed(runtime: Runtime, timeout: float | None = None) -> Iterator[None]:
    """Connect the processes of a run for as long as a ``with`` block lasts; one process alone needs nothing.

    They talk by gloo between CPUs and by NCCL between GPUs. Inside the block only the process of rank 0 prints: the
    others compute the same and would say the same.

    Args:
        runtime: Rank and number of processes, as ``torchrun`` gave them.
        timeout: Seconds that a process waits for the others; None takes ``$NANOCHAT_TIMEOUT``, else half an hour.

    Yields:
        Nothing; the other functions of this module know the connection.

    Raises:
        InputError: If the processes cannot find each other, or the device cannot be shared.
        ConnectionError: If another process ended, or kept this one waiting for too long.

    Example:
        >>> from nanochat.common import detect_runtime
        >>> with distributed(detect_runtime("cpu")):
        ...     all_sum(3)
        3
    """
    if runtime.world_size == 1 or dist.is_initialized():
        yield
        return
    if runtime.device.type == "mps":
        raise InputError("Apple's GPU cannot be shared by several processes: use --device=cpu, or one process")
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not address or not port:
        raise InputError(
            f"WORLD_SIZE={runtime.world_size} announces several processes, but MASTER_ADDR and MASTER_PORT do not say "
            f"where they meet: start them with torchrun, or unset WORLD_SIZE"
        )
    gpu = runtime.device.type == "cuda"
    if gpu:
        torch.cuda.set_device(runtime.device)
    # Every optimizer imports this. Imported while processes are connected, it keeps the threads of the connection alive
    # after its end, and now and then they abort a process that has done its work.
    from torch import _dynamo  # noqa: F401

    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            timeout=timedelta(seconds=_timeout() if timeout is None else timeout),
            rank=runtime.rank,
            world_size=runtime.world_size,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the {runtime.world_size} processes do not find each other at {address}:{port} "
            f"({_first_words(error)}): start all of them, and if another program uses the port, choose a free "
            f"one with torchrun --master-port"
        ) from error
    failed = True
    try:
        if runtime.is_main:
            yield
        else:
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
                yield
        barrier()  # whoever left early would close connections that the others may still use
        failed = False
    finally:
        # After a failure NCCL could wait here for processes that will not come; the end of this process will do.
        if not (failed and gpu):
            dist.destroy_process_group()


def _timeout() -> float:
    """Read how long to wait from the environment."""
    given = os.environ.get("NANOCHAT_TIMEOUT", "")
    try:
        seconds = float(given or TIMEOUT)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e8:
        raise InputError(f"NANOCHAT_TIMEOUT={given!r} must be a number of seconds above 0: unset it, or give one")
    return seconds


def world_size() -> int:
    """Return how many processes are connected; 1 outside of :func:`distributed`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among those connected, from 0; 0 outside of :func:`distributed`."""
    return dist.get_rank() if dist.is_initialized() else 0


def check_connected(runtime: Runtime) -> None:
    """Refuse to train as one of several processes that do not know of each other.

    Args:
        runtime: What the process believes to be.

    Raises:
        InputError: If it counts other processes than are connected.
    """
    if runtime.world_size != world_size():
        raise InputError(
            f"{runtime.world_size} processes were started and {world_size()} are connected: train inside of "
            f"`with distributed(runtime):`"
        )


# Exchanges -------------------------------------------------------------------------------------------------------


def _exchange(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an exchange that fails say what that means: somebody else is gone."""

    @wraps(function)
    def exchange(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            if world_size() == 1:
                raise
            raise ConnectionError(
                f"rank {rank()} stops, because it lost contact with another process, which ended or was stuck; what "
                f"that one printed says why ({_first_words(error)})"
            ) from error

    return exchange


@_exchange
def _reduce(value: Any, how: Any) -> Any:
    """Combine a number or a tensor of all processes."""
    if world_size() == 1:
        return value
    combined = value.detach().clone() if isinstance(value, Tensor) else torch.tensor(value)
    if isinstance(value, float):
        combined = combined.double()
    dist.all_reduce(combined, how)
    return combined if isinstance(value, Tensor) else combined.item()


def _first_words(error: Exception) -> str:
    """Keep of a message of the libraries below what says something: neither their source files nor their advice."""
    return re.sub(r"^\[/\S*\] *", "", str(error)).split("\n")[0].split(". ")[0].rstrip(".")


def all_sum(value: Any) -> Any:
    """Add up a number, or a tensor, over all processes.

    Args:
        value: An int, a float, or a tensor, of the same kind and shape everywhere.

    Returns:
        The sum, of the same kind; every process gets it.

    Example:
        >>> all_sum(2.5)
        2.5
    """
    return _reduce(value, dist.ReduceOp.SUM)


def all_max(value: Any) -> Any:
    """Find the largest value of a number, or of each place of a tensor, over all processes.

    Args:
        value: An int, a float, or a tensor, of the same kind and shape everywhere.

    Returns:
        The largest one, of the same kind; every process gets it.
    """
    return _reduce(value, dist.ReduceOp.MAX)


@_exchange
def all_gather(value: Any) -> list[Any]:
    """Let every process have the value of each.

    Args:
        value: Plain data; it travels pickled between processes that trust each other.

    Returns:
        The values in the order of the ranks.

    Example:
        >>> all_gather("a")
        ['a']
    """
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(value: Any) -> Any:
    """Give every process the value of the process of rank 0.

    Args:
        value: Plain data; only that of rank 0 matters.

    Returns:
        The value of rank 0.
    """
    return all_gather(value if rank() == 0 else None)[0]


def barrier() -> None:
    """Wait until every process has come here."""
    all_sum(0)


def share(items: Sequence[Any]) -> Sequence[Any]:
    """Return this process's part of a list: every N-th item, N being the number of processes.

    Args:
        items: The same list on every process.

    Returns:
        The items at rank, rank + N, rank + 2N, ...; the parts of all processes together are the list.

    Example:
        >>> share([5, 6, 7])
        [5, 6, 7]
    """
    return items[rank() :: world_size()]


# Refusing together -----------------------------------------------------------------------------------------------


@contextmanager
def together(what: str) -> Iterator[None]:
    """Do something that every process must be able to do; where one cannot, all of them refuse.

    The block must not exchange anything itself: a process that leaves it early would let the others wait.

    Args:
        what: What is done, for the message, such as ``"read the data"``.

    Yields:
        Nothing; what the block raises is raised here, on the other processes as well.

    Raises:
        InputError: On the processes that could, naming those that could not and why.

    Guide:
        "The first rule: what every process must be able to do, they try together."
        (nano/training/processes)
    """
    own: Exception | None = None
    try:
        yield
    except ConnectionError:
        raise
    except (InputError, OSError) as error:
        own = error
    problems = all_gather(None if own is None else f"{own}")
    if own is not None:
        raise own
    failed = [number for number, problem in enumerate(problems) if problem is not None]
    if failed:
        raise InputError(f"rank {rank()} stops, because rank {failed[0]} could not {what}: {problems[failed[0]]}")


def take_turns(work: Iterator[object], what: str) -> None:
    """Let long work go on in some of the processes, while the others wait for as long as it takes.

    A process that waits for another in an exchange gives up after :data:`TIMEOUT`. Here all meet every
    :data:`PULSE` seconds, in the midst of the work. So nobody waits for longer than that, and one that fails or ends
    takes the others with it at once.

    Args:
        work: Does a little of the work whenever it is asked for the next item, whatever that is; each item must take
            far less time than :data:`TIMEOUT`. Empty in a process that has nothing to do.
        what: What is done, for the message.

    Raises:
        InputError: On every process, if one could not; see :func:`together`.
        ConnectionError: If another process ended.

    Example:
        >>> found = []
        >>> take_turns((found.append(number) for number in range(3)), "count")
        >>> found
        [0, 1, 2]
    """
    done = object()
    busy = True
    while any(all_gather(busy)):
        with together(what):
            until = time.monotonic() + PULSE
            while busy:
                busy = next(work, done) is not done
                if time.monotonic() >= until:
                    break


def agree(**facts: Any) -> None:
    """Make sure that every process starts from the same facts.

    Args:
        facts: Plain data by name, such as the fingerprint of the tokenizer.

    Raises:
        InputError: On every process, if one has another fact than that of rank 0; a sentence for each.
    """
    everyone = all_gather(facts)
    problems = [
        f"{name.replace('_', ' ')} is {theirs[name]!r} on rank {number} and {value!r} on rank 0"
        for number, theirs in enumerate(everyone)
        for name, value in everyone[0].items()
        if theirs[name] != value
    ]
    if problems:
        raise InputError(
            f"rank {rank()} stops, because the processes would not train the same: {'; '.join(problems)}: give all "
            f"machines the same files and the same flags"
        )


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Compute a short number that all bits of some tensors decide, to compare them without sending them around.

    Args:
        tensors: Of any shape and type.

    Returns:
        Eight hexadecimal digits.

    Example:
        >>> fingerprint([torch.zeros(2)]) == fingerprint([torch.zeros(2)])
        True
    """
    found = 0
    for tensor in tensors:
        found = zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), found)
    return f"{found:08x}"


# Sharing the work of a step --------------------------------------------------------------------------------------


def owners(sizes: Sequence[int], n_processes: int) -> list[int]:
    """Share out parameters so that each process remembers about as much: the largest first, to whom has least.

    Args:
        sizes: Numbers in each parameter.
        n_processes: How many processes there are.

    Returns:
        The rank that moves each parameter; the same on every process, because it follows from the sizes alone.

    Example:
        >>> owners([10, 60, 30, 20], 2)
        [1, 0, 1, 1]

    Guide:
        "It follows from the sizes alone, so nobody has to be asked."
        (nano/training/processes)
    """
    load = [0] * n_processes
    chosen = [0] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda i: -sizes[i]):  # a stable order: equal ones as they come
        chosen[number] = load.index(min(load))
        load[chosen[number]] += sizes[number]
    return chosen


def owned(parameters: Sequence[nn.Parameter]) -> list[bool]:
    """Say of each parameter whether this process is the one that moves it.

    Args:
        parameters: All parameters of the model, in the order in which the model lists them.
    """
    return [owner == rank() for owner in owners([p.numel() for p in parameters], world_size())]


@_exchange
def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place; every process then holds the gradient of the whole step.

    Args:
        parameters: All parameters of the model; their ``grad`` is replaced by the sum.

    Guide:
        "Here the rounds happen at the same time, in different places."
        (nano/training/processes)
    """
    if world_size() == 1:
        return
    pending = []
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        pending.append(dist.all_reduce(p.grad, async_op=True))
    for work in pending:
        work.wait()


@contextmanager
def own_share(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let each process move its own share of the parameters, and hand them around afterwards.

    On the way in, the gradients of all other parameters are dropped: an optimizer leaves a parameter without a gradient
    where it is, and makes no memory for it. On the way out, each parameter is sent from its owner to everybody.

    Args:
        parameters: All parameters of the model, in the order in which the model lists them.

    Yields:
        Nothing; the block takes the optimizers' steps.

    Guide:
        "Only the owner keeps its averages."
        (nano/training/processes)
    """
    if world_size() == 1:
        yield
        return
    for p, mine in zip(parameters, owned(parameters), strict=True):
        if not mine:
            p.grad = None
    yield
    _hand_around(parameters)


@_exchange
def _hand_around(parameters: Sequence[nn.Parameter]) -> None:
    """Send each parameter from its owner to everybody."""
    ranks = owners([p.numel() for p in parameters], world_size())
    pending = [dist.broadcast(p.detach(), owner, async_op=True) for p, owner in zip(parameters, ranks, strict=True)]
    for work in pending:
        work.wait()


@_exchange
def collect(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring tensors that are spread over the processes to the process of rank 0.

    Args:
        tensors: Those of this process, by a name that no other process uses.

    Returns:
        All of them, on the CPU, on rank 0; nothing on the others.

    Guide:
        "The averages are spread over the owners, and have to be brought together first."
        (nano/training/processes)
    """
    listed = all_gather({name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()})
    found: dict[str, Tensor] = {}
    for owner, names in enumerate(listed):
        for name, (shape, dtype) in names.items():
            if owner == rank() == 0:
                found[name] = tensors[name].detach().cpu()
            elif rank() == 0:
                found[name] = torch.empty(shape, dtype=dtype)
                dist.recv(found[name], owner)
            elif owner == rank():
                dist.send(tensors[name].detach().cpu(), 0)
    return found
