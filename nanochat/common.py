"""What every part of the package shares: the runtime, the paths, the errors, the log.

Nothing is decided when this module is imported. A command calls :func:`detect_runtime` once and hands
the value on, so that a test or a notebook can use another one.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

IGNORED = -1
"""The target of a position that does not count: the model is neither asked nor corrected there."""


class InputError(ValueError):
    """A value, a flag or a file that cannot be used.

    The message names the value, the rule that it breaks and the cure, in one line. Commands print it
    without a traceback; callers of the library catch it as a :class:`ValueError`.
    """


@dataclass(frozen=True)
class Runtime:
    """Where and how the arithmetic happens: one value that a command makes and passes on."""

    device: torch.device
    """The device that holds the weights."""
    dtype: torch.dtype
    """The precision of the matrix products; weights and optimizer state stay in float32."""
    rank: int = 0
    """The number of this process among all, from 0."""
    world_size: int = 1
    """How many processes train together."""
    local_rank: int = 0
    """The number of this process on its own machine, from 0."""
    threads: int = 1
    """Threads that one operation may use on the CPU."""

    @property
    def is_main(self) -> bool:
        """True for the one process that prints and saves."""
        return self.rank == 0


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The names that ``--dtype`` accepts, beside ``auto``."""


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``mps`` into a device that this machine has.

    Args:
        name: The name as given on the command line. ``auto`` takes a GPU where there is one.

    Returns:
        The device.

    Raises:
        InputError: If the name is unknown or the machine has no such device.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if has[kind])
    if name not in has:
        raise InputError(f"--device={name!r} is unknown: use one of auto, {', '.join(has)}")
    if not has[name]:
        raise InputError(f"--device={name} asks for a device that this machine does not have: use --device=cpu")
    return torch.device(name)


def detect_runtime(device: str = "auto", dtype: str = "auto", threads: int | None = None) -> Runtime:
    """Look at the machine and the environment once, and say what this process computes on.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        dtype: ``auto``, ``float32`` or ``bfloat16``. ``auto`` means bfloat16 on a GPU and float32 on a CPU,
            where only a measurement can tell which is faster (:func:`nanochat.train.faster_dtype`).
        threads: Threads for one operation on the CPU; None keeps the setting of torch.

    Returns:
        The runtime; rank and world size are those that ``torchrun`` put into the environment.

    Raises:
        InputError: If a name is unknown, or the device is missing here.

    Example:
        >>> detect_runtime(device="cpu", dtype="float32").world_size
        1
    """
    chosen = pick_device(device)
    if dtype == "auto":
        kind = torch.bfloat16 if chosen.type == "cuda" else torch.float32
    elif dtype in DTYPES:
        kind = DTYPES[dtype]
    else:
        raise InputError(f"--dtype={dtype!r} is unknown: use one of auto, {', '.join(DTYPES)}")
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads={threads} must be at least 1")
        torch.set_num_threads(threads)
    rank, world_size, local_rank = (
        int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if chosen.type == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"LOCAL_RANK={local_rank} asks for a GPU that is not there ({torch.cuda.device_count()} found): "
                f"start torchrun with --nproc_per_node={torch.cuda.device_count()}"
            )
        chosen = torch.device("cuda", local_rank)
    return Runtime(chosen, kind, rank, world_size, local_rank, torch.get_num_threads())


def base_dir() -> Path:
    """Return the folder in which tokenizers, checkpoints and reports live.

    ``$NANOCHAT_BASE_DIR`` when it is set, else ``~/.cache/nanochat``. The folder is not created here.

    Example:
        >>> isinstance(base_dir(), Path)
        True
    """
    given = os.environ.get("NANOCHAT_BASE_DIR")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "nanochat"


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module; nothing is printed until a command calls :func:`run_stage`."""
    return logging.getLogger(name)


def run_stage(main: Callable[[list[str] | None], object], argv: list[str] | None = None) -> int:
    """Run the ``main`` of a stage as a command: errors become one line and an exit status.

    Args:
        main: Takes the list of arguments (None means those of the process).
        argv: The arguments, without the program's name.

    Returns:
        0, or 1 after an :class:`InputError` or an operating-system error, or 130 after Ctrl-C. With
        ``--debug`` among the arguments, errors keep their traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format="%(message)s")
    logging.getLogger("rustbpe").setLevel(logging.WARNING)  # it reports every percent of a training
    try:
        main([word for word in arguments if word != "--debug"])
    except (InputError, OSError) as error:
        if debug:
            raise
        print(f"nanochat: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nanochat: stopped", file=sys.stderr)
        return 130
    return 0
