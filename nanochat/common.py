"""What every part of the package shares: the runtime, the paths, the errors, the log.

Nothing is decided when this module is imported. A command calls :func:`detect_runtime` once and hands
the value on, so that a test or a notebook can use another one.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

IGNORED = -1
"""The target of a position that does not count: the model is neither asked nor corrected there."""
MAX_THREADS = 1024
"""The most threads that can be asked for."""


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
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"--threads={threads} must be from 1 to {MAX_THREADS}")
        torch.set_num_threads(threads)
    rank, world_size, local_rank = place_among_processes()
    if chosen.type == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"LOCAL_RANK={local_rank} asks for a GPU that is not there ({torch.cuda.device_count()} found): "
                f"start torchrun with --nproc_per_node={torch.cuda.device_count()}"
            )
        chosen = torch.device("cuda", local_rank)
    return Runtime(chosen, kind, rank, world_size, local_rank, torch.get_num_threads())


def place_among_processes() -> tuple[int, int, int]:
    """Read from the environment which of how many processes this is, as ``torchrun`` puts it there.

    Returns:
        Rank, number of processes, and rank on this machine; 0, 1, 0 where no one started several.

    Raises:
        InputError: If the three do not fit together.
    """
    given = {name: os.environ.get(name, default) for name, default in _PLACE.items()}
    try:
        rank, world_size, local_rank = (int(value) for value in given.values())
        fits = 0 <= local_rank <= rank < world_size
    except ValueError:
        fits = False
    if not fits:
        written = ", ".join(f"{name}={value}" for name, value in given.items())
        raise InputError(f"{written} is no place among processes: start several with torchrun, or unset all three")
    return rank, world_size, local_rank


_PLACE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def base_dir() -> Path:
    """Return the folder in which tokenizers, checkpoints and reports live.

    ``$NANOCHAT_BASE_DIR`` when it is set, else ``~/.cache/nanochat``. The folder is not created here.

    Example:
        >>> isinstance(base_dir(), Path)
        True
    """
    given = os.environ.get("NANOCHAT_BASE_DIR")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "nanochat"


def push_to_disk(path: Path) -> None:
    """Return when a file, or the names in a folder, would survive a power cut.

    Args:
        path: A file that was written, or the folder in which one got its name. Windows opens no folders: there the
            system itself decides when names are safe.

    Raises:
        OSError: If the disk does not take it.

    Example:
        >>> push_to_disk(Path.cwd())
    """
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module; nothing is printed until a command calls :func:`run_stage`."""
    return logging.getLogger(name)


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, by Ctrl-C or by the system, and has put its work in order."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
        """The number of the signal that asked."""


@dataclass
class StopRequest:
    """What :func:`stop_on_signal` hands out: whether somebody asked this run to stop."""

    signum: int = 0
    """The number of the signal that asked this process; 0 while none did."""
    agreed: int = 0
    """The number on which all processes agreed between two steps; :func:`nanochat.train.fit` then ends."""


@contextmanager
def stop_on_signal(speaks: bool = True) -> Iterator[StopRequest]:
    """Let a run end in good order: the first Ctrl-C or SIGTERM is a request, a second one ends the process at once.

    A signal that the process was started to ignore (``nohup``) stays ignored, and outside of the main thread, where
    Python hears no signals, nothing changes. A request that nobody agreed to in time is carried out at the end of the
    block.

    Args:
        speaks: Whether to print that the request was heard.

    Yields:
        The request, to be looked at between two steps.
    """
    request = StopRequest()
    before: dict[int, object] = {}

    def hear(signum: int, frame: FrameType | None) -> None:
        request.signum = signum
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        if speaks:
            # Not print(): the signal may have come in the middle of one.
            name = signal.Signals(signum).name
            os.write(2, f"\nnanochat: {name}: stopping after this step; a second one stops at once\n".encode())

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, hear)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
    if request.signum and not request.agreed:
        signal.raise_signal(request.signum)


def run_stage(main: Callable[[list[str] | None], object], argv: list[str] | None = None) -> int:
    """Run the ``main`` of a stage as a command: errors become one line and an exit status.

    Args:
        main: Takes the list of arguments (None means those of the process).
        argv: The arguments, without the program's name.

    Returns:
        0; 1 after an :class:`InputError`, an operating-system error, or when memory ran out; 128 and the number of the
        signal when the run was stopped: 130 after Ctrl-C, 143 after SIGTERM. With ``--debug`` among the arguments,
        errors keep their traceback. Among several processes, the message names the rank.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    rank, several = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1") != "1"
    speaks = not several or rank == "0"  # what all would say, one says
    level = logging.DEBUG if debug else logging.INFO if speaks else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s")
    logging.getLogger("rustbpe").setLevel(logging.WARNING)  # it reports every percent of a training
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":  # a terminal that knows ASCII alone shows the rest as codes
            stream.reconfigure(errors="backslashreplace")
    where = f" (rank {rank})" if several else ""
    try:
        main([word for word in arguments if word != "--debug"])
    except Exception as error:
        _tell_torchrun(error)
        message = _in_one_line(error)
        if debug or message is None:
            raise
        print(f"nanochat: error{where}: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        if speaks:
            print(f"nanochat: stopped{where}{f': {stop}' if str(stop) else ''}", file=sys.stderr)
        return 128 + getattr(stop, "signum", signal.SIGINT)
    return 0


def _in_one_line(error: Exception) -> str | None:
    """Write an error that a user can do something about in one line; None for a fault of the program."""
    message = " ".join(str(error).split())
    if isinstance(error, (InputError, OSError)):
        return message
    # What Python says by a plain RuntimeError where ~nobody stands in a path, or where this user has no home.
    if isinstance(error, RuntimeError) and "home directory" in message:
        return f"{message.rstrip('.')} that a ~ stands for: write the path in full, or set NANOCHAT_BASE_DIR"
    # On a CPU, torch says by a plain RuntimeError that memory ran out.
    full = isinstance(error, RuntimeError) and "allocate memory" in message
    if full or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return f"memory ran out ({message[:200]}): lower --device-batch-size or --sequence-len, or use a smaller model"
    return None


def _tell_torchrun(error: Exception) -> None:
    """Leave the message where ``torchrun`` looks for it, so that its summary names the cause and not only a number."""
    if "TORCHELASTIC_ERROR_FILE" not in os.environ or isinstance(error, ConnectionError):
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(error)
