"""What runs inside the sandboxes: the side of the program and the side of the tests. Knows the standard library alone.

:mod:`nanochat.sandbox` starts it twice, as a script, each time in a sandbox of its own. The two talk through a pair of
pipes, in plain values written as JSON. The tests' side asks, the program's side answers; neither can run anything in
the other.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import os
import platform
import struct
import symtable
import sys
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_MESSAGE = 2**24
"""The longest message between the two sides, in bytes."""
MAX_PRINTED = 2**20
"""How many bytes a side may print: its output is the only file that it can write to."""
MAX_WORDS = 500
"""The longest description of a problem, in characters."""

# --- The walls -----------------------------------------------------------------------------------------------------
# Numbers of system calls: x86_64, aarch64 (None where there is no such call).
DENIED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "pivot_root": (155, 41), "chroot": (161, 51),
    "socket": (41, 198), "shmget": (29, 194), "memfd_create": (319, 279), "io_uring_setup": (425, 425),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
}  # fmt: skip
"""What a program that computes has no need of: other programs and processes, networks, memory that nobody counts."""
CLONE = (56, 220)
CLONE3, MOUNT_SETATTR = 435, 442  # new calls have the same number everywhere
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def confine(walls: str, paths: Sequence[str], memory_bytes: int, seconds: int) -> None:
    """Take away from this process what untrusted code must not have; there is no way back.

    Args:
        walls: ``namespaces``: the process is alone in fresh namespaces and has to shut the file system out by itself;
            ``bubblewrap``: that is done; ``none``: it cannot be done, take what there is.
        paths: Folders and files that stay readable.
        memory_bytes: The most address space.
        seconds: The most seconds of work.
    """
    import resource  # which not every system has; those that do not have it cannot isolate either

    if walls == "namespaces":
        _leave_the_file_system(paths)
    limits = {
        "RLIMIT_AS": memory_bytes, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": MAX_PRINTED, "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0, "RLIMIT_NPROC": 64, "RLIMIT_MSGQUEUE": 0,
    }  # fmt: skip
    for name, most in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError) if walls == "none" else contextlib.nullcontext():
            resource.setrlimit(getattr(resource, name), (most, most))
    with contextlib.suppress(KeyError, OSError, AttributeError) if walls == "none" else contextlib.nullcontext():
        _drop_privileges()
        _deny_calls()


def _call(what: str, *arguments: object) -> None:
    """Call the C library; a failure becomes an OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), what)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}{arguments[:2]}: {os.strerror(number)}")


def _leave_the_file_system(paths: Sequence[str]) -> None:
    """Make a new root that holds the given paths, all of it read-only, and let go of the old one."""
    root = "/dev"  # any folder will do to stand on; this one exists everywhere, and nothing in it is needed
    _call("mount", b"none", root.encode(), b"tmpfs", 0, b"size=1m")
    for path in paths:
        place = root + path
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), place)
            continue
        if os.path.isdir(path):
            os.makedirs(place, exist_ok=True)
        else:
            os.close(os.open(place, os.O_CREAT))
        bind_all_below = 0x1000 | 0x4000
        _call("mount", path.encode(), place.encode(), None, bind_all_below, None)
    read_only_no_setuid_no_devices, recursive, here = 1 | 2 | 4, 0x8000, -100
    settings = struct.pack("QQQQ", read_only_no_setuid_no_devices, 0, 0, 0)
    _call("syscall", MOUNT_SETATTR, here, root.encode(), recursive, settings, ctypes.c_size_t(len(settings)))
    os.chdir(root)
    column, _ = ARCHITECTURES[platform.machine()]
    _call("syscall", DENIED["pivot_root"][column], b".", b".")  # the old root now lies upon the new one,
    _call("umount2", b".", 2)  # and goes
    os.chdir("/")


def _drop_privileges() -> None:
    """Give up every privilege that the namespaces gave, and the way to new ones."""
    no_new_privileges = 38
    _call("prctl", no_new_privileges, 1, 0, 0, 0)
    version_3 = struct.pack("II", 0x20080522, 0)
    _call("capset", version_3, bytes(24))


def _deny_calls() -> None:
    """Let the kernel refuse the calls of :data:`DENIED` and new processes; threads stay possible.

    The filter is a small program of jumps for the kernel: (code, steps if true, steps if false, operand).
    """
    column, architecture = ARCHITECTURES[platform.machine()]
    load, equal, above, has_bits, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, not_permitted, not_there = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    number_at, architecture_at, first_argument_at = 0, 4, 16
    program = [
        (load, 0, 0, architecture_at), (equal, 1, 0, architecture), (answer, 0, 0, kill),
        (load, 0, 0, number_at), (above, 0, 1, 0x40000000), (answer, 0, 0, not_permitted),  # a second set of numbers
        (equal, 0, 1, CLONE3), (answer, 0, 0, not_there),  # the C library then takes clone, which can be looked into
    ]  # fmt: skip
    for numbers in DENIED.values():
        if numbers[column] is not None:
            program += [(equal, 0, 1, numbers[column]), (answer, 0, 0, not_permitted)]
    a_thread = 0x10000
    program += [
        (equal, 0, 3, CLONE[column]), (load, 0, 0, first_argument_at), (has_bits, 1, 0, a_thread),
        (answer, 0, 0, not_permitted), (answer, 0, 0, allow),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    set_filter, as_program = 22, 2
    _call("prctl", set_filter, as_program, ctypes.c_char_p(pointer), 0, 0)


# --- Values that can cross ---------------------------------------------------------------------------------------


def pack(value: Any) -> Any:
    """Write a plain value as JSON can hold it.

    Raises:
        TypeError: If the value is anything else than numbers, texts, bytes, None and collections of them.
    """
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else ["int", hex(value)]
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, bytes | bytearray):
        return ["bytes", bytes(value).hex()]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, *map(pack, value)]
    if isinstance(value, range):
        return ["range", pack(value.start), pack(value.stop), pack(value.step)]
    if isinstance(value, dict):
        return ["dict", *([pack(key), pack(item)] for key, item in value.items())]
    raise TypeError(f"a {type(value).__name__} cannot leave the sandbox: only plain values can")


def unpack(value: Any) -> Any:
    """Read what :func:`pack` wrote, or raise: the writer is not to be trusted."""
    if not isinstance(value, list):
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError("the program's side sent something that is no value")
    kind, *rest = value
    made: Mapping[str, Callable[..., Any]] = {
        "int": lambda text: int(text, 16),
        "complex": complex,
        "bytes": bytes.fromhex,
        "range": lambda *ends: range(*map(unpack, ends)),
        "list": lambda *items: [unpack(item) for item in items],
        "tuple": lambda *items: tuple(unpack(item) for item in items),
        "set": lambda *items: {unpack(item) for item in items},
        "frozenset": lambda *items: frozenset(unpack(item) for item in items),
        "dict": lambda *pairs: {unpack(key): unpack(item) for key, item in pairs},
    }
    return made[kind](*rest)


class Channel:
    """Messages over a pair of pipes, each with its length in front.

    Args:
        read: The file descriptor to read from.
        write: The file descriptor to write to.
    """

    def __init__(self, read: int, write: int) -> None:
        self.reader, self.writer = os.fdopen(read, "rb"), os.fdopen(write, "wb")

    def send(self, message: object) -> None:
        """Send one message.

        Raises:
            ValueError: If it is too long.
        """
        data = json.dumps(message).encode("ascii")
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a value of {len(data):,} bytes is too large to leave the sandbox")
        self.writer.write(struct.pack(">I", len(data)) + data)
        self.writer.flush()

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            EOFError: If the other side is gone, or sends more than it may.
        """
        head = self.reader.read(4)
        length = struct.unpack(">I", head)[0] if len(head) == 4 else MAX_MESSAGE + 1
        data = self.reader.read(length) if length <= MAX_MESSAGE else b""
        if len(data) < length:
            raise EOFError
        return json.loads(data)


def described(error: BaseException) -> list[str]:
    """The name of an exception and what it says."""
    try:
        words = str(error)[:MAX_WORDS]
    except BaseException:  # a class of the program may do anything in its __str__
        words = ""
    return [type(error).__name__, words]


def _fresh(name: str) -> dict[str, Any]:
    """The names of an empty module."""
    sys.modules[name] = types.ModuleType(name)
    return vars(sys.modules[name])


# --- The side of the program ---------------------------------------------------------------------------------------


def serve(channel: Channel, source: str) -> None:
    """Run the program, then answer the tests' calls of its functions until nobody asks any more."""
    space = _fresh("program")
    channel.send("ready")
    wanted = channel.receive()
    try:
        exec(compile(source, "program", "exec"), space)
        found = {name: space[name] for name in wanted if name in space}
        modules = [name for name, value in found.items() if isinstance(value, types.ModuleType)]
        functions = [name for name, value in found.items() if callable(value)]
        values = {name: pack(found[name]) for name in set(found) - {*modules, *functions}}
        channel.send({"found": {"modules": modules, "functions": functions, "values": values}})
    except BaseException as error:  # a program may raise SystemExit, too
        channel.send({"raised": described(error)})
        return
    while True:
        try:
            name, arguments, named = channel.receive()
        except EOFError:  # the tests are done
            return
        try:
            result = space[name](*unpack(arguments), **unpack(named))
            channel.send({"value": pack(result)})
        except BaseException as error:
            channel.send({"raised": described(error)})


# --- The side of the tests -----------------------------------------------------------------------------------------


class Ended(Exception):
    """The program ended, or broke the rules of the channel: whatever the tests make of it, they have failed."""


class Unusable(BaseException):
    """The tests themselves cannot be used: that says nothing about the program."""


class Program:
    """The program as the tests see it: functions whose calls are carried over.

    Args:
        channel: To the program's side.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.ended = ""
        """Why nothing can be asked any more."""
        self.unusable = ""
        """Why nothing can be said about the program."""

    def ask(self, message: object, key: str) -> Any:
        """Send a message and return the part of the answer under ``key``; raise what the program raised."""
        if self.ended:
            raise Ended(self.ended)
        try:
            self.channel.send(message)
            answer = self.channel.receive()
            if "raised" not in answer:
                return answer[key]
            name, words = map(str, answer["raised"])
        except (OSError, EOFError):
            self.ended = "the program ended before the tests did"
            raise Ended(self.ended) from None
        except (ValueError, TypeError, KeyError, RecursionError):
            self.ended = "the program's side sent what cannot be read"
            raise Ended(self.ended) from None
        if name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
            self.ended = f"the program raised {name}"
            raise Ended(self.ended)
        raise _exception(name, words)

    def function(self, name: str) -> Callable[..., Any]:
        """A stand-in for a function of the program."""

        def stand_in(*arguments: Any, **named: Any) -> Any:
            try:
                message = [name, pack(arguments), pack(named)]
            except TypeError as error:
                self.unusable = f"the tests call {name} with a value that cannot cross ({error})"
                raise Unusable from None
            value = self.ask(message, "value")
            try:
                return unpack(value)
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError, MemoryError):
                self.ended = "the program's side sent a value that cannot be read"
                raise Ended(self.ended) from None

        stand_in.__name__ = name
        return stand_in


def _exception(name: str, words: str) -> Exception:
    """An exception as the program raised it, of the same name where Python has such a one."""
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(TypeError):  # some need more than a message
            return known(words)
    return type(name, (Exception,), {})(words) if name.isidentifier() else Exception(words)


def names_wanted(tests: str) -> set[str]:
    """What the tests use at the level of the module and do not make themselves."""
    module = symtable.symtable(tests, "tests", "exec")
    used: set[str] = set()
    made = set(vars(builtins))
    tables = [module]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                used.add(symbol.get_name())
            if (table is module or symbol.is_declared_global()) and (symbol.is_assigned() or symbol.is_imported()):
                made.add(symbol.get_name())
    return used - made


def judge(channel: Channel, tests: str, tell: Callable[[str, str], None]) -> None:
    """Run the tests against the program and tell the outcome.

    Args:
        channel: To the program's side.
        tests: Their source.
        tell: Takes the event (``ready``, ``passed``, ``failed`` or ``unusable``) and the problem.
    """
    try:
        if channel.receive() != "ready":
            raise EOFError
    except (OSError, EOFError, ValueError):
        return tell("unusable", "the program's side did not start")
    tell("ready", "")
    program = Program(channel)
    try:
        wanted = names_wanted(tests)
        code = compile(tests, "tests", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return tell("unusable", f"the tests are no Python: {' '.join(described(error))}")
    try:
        found = program.ask(sorted(wanted), "found")
        space = _fresh("tests")
        space |= {name: __import__(name) for name in wanted & sys.stdlib_module_names & set(found["modules"])}
        space |= {name: program.function(name) for name in wanted & set(found["functions"])}
        space |= {name: unpack(found["values"][name]) for name in wanted & set(found["values"])}
        exec(code, space)
    except BaseException as error:
        problem = program.ended or _where(error, tests)
    else:
        problem = program.ended  # the tests may have caught it and gone on
    if program.unusable:
        return tell("unusable", program.unusable)
    return tell("failed", problem) if problem else tell("passed", "")


def _where(error: BaseException, tests: str) -> str:
    """Say what went wrong, and at which line of the tests."""
    name, words = described(error)
    what = f"{name}: {words}" if words else name
    lines = tests.splitlines()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == "tests" and frame.lineno is not None and frame.lineno <= len(lines):
            return f"{what} (tests, line {frame.lineno}: {lines[frame.lineno - 1].strip()[:MAX_WORDS]})"
    return what


def main(role: str, walls: str, memory_bytes: str, seconds: str, read: str, write: str, *rest: str) -> None:
    """Read the source from the standard input, raise the walls, and play the role."""
    source = sys.stdin.buffer.read().decode("utf-8")
    nothing, end = os.pipe()
    os.dup2(nothing, 0)  # a program that asks for input learns that there is none
    os.close(nothing)
    os.close(end)
    sys.set_int_max_str_digits(0)
    channel = Channel(int(read), int(write))
    if role == "program":
        confine(walls, rest, int(memory_bytes), int(seconds))
        serve(channel, source)
    else:
        told, *paths = rest
        nonce, _, tests = source.partition("\n")
        confine(walls, paths, int(memory_bytes), int(seconds))

        def tell(event: str, problem: str) -> None:
            os.write(int(told), json.dumps({"nonce": nonce, "event": event, "problem": problem}).encode() + b"\n")

        judge(channel, tests, tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
