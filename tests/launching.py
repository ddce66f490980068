"""Start processes as a shell or ``torchrun`` would, watch them, and never leave one behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEADLINE = 300.0
"""Seconds after which a process that should have ended is taken for one that hangs."""
# A shell that starts a job in the background lets it ignore Ctrl-C, and it would hand that down to everything here.
STAGE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from nanochat.stages import main
sys.exit(main())
"""
"""A program that is the ``nanochat`` command."""


@dataclass
class Done:
    """How a process ended."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process: one thread, this package, and nothing of a ``torchrun`` around the tests."""
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "PYTHONUTF8")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **more,
    }


class Started:
    """A running process whose output goes to files, so that it never waits for a reader."""

    def __init__(self, command: Sequence[str], env: dict[str, str], folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    def complained(self) -> str:
        """Return what it has written to standard error so far."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, ready: Callable[[str], bool]) -> str:
        """Wait until what it printed is what was waited for."""
        for _ in polls():
            printed = self.printed()
            if ready(printed):
                return printed
            assert self.process.poll() is None, f"it ended: {self.done()}"
        raise AssertionError(f"never came: {self.printed()}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def done(self) -> Done:
        """Wait for its end."""
        code = self.process.wait(DEADLINE)
        return Done(code, self.printed(), self.complained())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def polls() -> Iterator[None]:
    """Wait a little between two looks, and give up after the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        yield
        time.sleep(0.02)


@contextmanager
def start(program: str | Sequence[str], *args: str, **env: str) -> Iterator[Started]:
    """Start one process: the text of a Python program, or the words behind ``python``."""
    words = ["-c", program] if isinstance(program, str) else list(program)
    with tempfile.TemporaryDirectory() as folder:
        started = Started([sys.executable, *words, *args], environment(**env), Path(folder))
        try:
            yield started
        finally:
            started.close()


def finish(program: str | Sequence[str], *args: str, **env: str) -> Done:
    """Start one process and wait for its end."""
    with start(program, *args, **env) as started:
        return started.done()


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def start_world(program: str, *args: str, n: int = 2, own: Sequence[dict[str, str]] = (), **env: str) -> Iterator[list]:
    """Start processes as ``torchrun`` does, without its seconds: each with its place in the environment.

    Args:
        program: The text of a Python program.
        args: Its arguments.
        n: How many processes.
        own: For each rank, what its environment has more.
        env: What all have more.
    """
    shared = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **env}
    own = own or [{}] * n
    with tempfile.TemporaryDirectory() as folder:
        world = []
        try:
            for rank in range(n):
                place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                files = Path(folder) / str(rank)
                files.mkdir()
                command = [sys.executable, "-c", program, *args]
                world.append(Started(command, environment(**{**shared, **place, **own[rank]}), files))
            yield world
        finally:
            for started in world:
                started.close()


def finish_world(program: str, *args: str, **options: object) -> list[Done]:
    """Start processes as ``torchrun`` does and wait until all have ended."""
    with start_world(program, *args, **options) as world:
        return [started.done() for started in world]
