"""The sandbox: right programs pass, wrong ones fail however they end, and real attacks get nowhere."""

import concurrent.futures
import io
import json
import os
import secrets
import shutil
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat import _sandboxed, sandbox
from nanochat.common import InputError
from nanochat.sandbox import Outcome, SandboxError, run_program

TESTS = "assert double(4) == 8\nassert double('ab') == 'abab'"
RIGHT = "def double(x):\n    return x + x"
WRONG = "def double(x):\n    return 0"


PROBES = {
    "bubblewrap": "bwrap --unshare-all --ro-bind / / true",
    "namespaces": "unshare --user --map-root-user --mount --net --pid --ipc --uts --fork mount -t tmpfs none /dev",
}
"""Commands that work where a way of isolation is offered; they do not go through the code that is tested."""


@pytest.fixture(scope="module", params=PROBES)
def way(request: pytest.FixtureRequest) -> sandbox.Way:
    """Every way of isolation that this system offers."""
    command = PROBES[request.param].split()
    command[0] = (sandbox._bubblewrap() if command[0] == "bwrap" else shutil.which(command[0])) or ""
    if not command[0]:
        pytest.skip(f"{PROBES[request.param].split()[0]} is not installed")
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this system does not allow {request.param}: {tried.stderr.strip()}")
    return request.param


def run(way: sandbox.Way, program: str, tests: str = TESTS, timeout_s: float = 20.0, memory: int = 2**28) -> Outcome:
    return sandbox._run(way, textwrap.dedent(program), textwrap.dedent(tests), timeout_s, memory)


def value(way: sandbox.Way, body: str, timeout_s: float = 20.0) -> Outcome:
    """What a function of the program returns or raises, as the tests see it."""
    program = "def attack():\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return run(way, program, "answer = attack()\nraise Exception(f'answer {answer!r}')", timeout_s)


def attempts(way: sandbox.Way, *bodies: str) -> list[str]:
    """For each function of one program what came of it: the name of an exception, or what it returned."""
    program = "\n".join(
        f"def attack_{n}():\n" + textwrap.indent(textwrap.dedent(body), "    ") for n, body in enumerate(bodies)
    )
    tests = "said = []\n" + "\n".join(
        f"try:\n    said.append(repr(attack_{n}()).replace(' ', ''))\n"
        f"except Exception as error:\n    said.append(type(error).__name__)"
        for n in range(len(bodies))
    )
    problem = run(way, program, f"{tests}\nraise Exception(' '.join(said) + ' end')").problem
    assert problem.startswith("Exception: ") and " end " in problem, problem
    return problem.removeprefix("Exception: ").partition(" end ")[0].split()


def test_isolation_is_what_works(way: sandbox.Way) -> None:
    """Bubblewrap first; namespaces where it is missing."""
    assert sandbox.isolation() == way or (sandbox.isolation(), way) == ("bubblewrap", "namespaces")


def test_right_and_wrong(way: sandbox.Way) -> None:
    right = run(way, RIGHT)
    assert (right.passed, right.problem, right.way) == (True, "", way)
    wrong = run(way, WRONG)
    assert not wrong.passed and wrong.problem == "AssertionError (tests, line 1: assert double(4) == 8)"


HUMAN_EVAL = """

METADATA = {"author": "nobody"}


def check(candidate):
    import math
    solution = candidate([1, 2, 3], scale=2.0)
    assert math.isclose(solution["mean"], 4.0), "the mean is wrong"
    assert candidate([]) == {} and candidate([], scale=1) == {}
    assert candidate([1, 1])["seen"] == {1} and candidate([5, 1])["ends"] == (1, 5)
    try:
        candidate(None)
    except TypeError:
        pass
    else:
        raise AssertionError("None is no list")
    assert LIMIT == 10**30


check(summary)
"""

SUMMARY = """
    import math
    from collections import Counter

    LIMIT = 10**30

    def summary(numbers, scale=1.0):
        if numbers is None:
            raise TypeError("no list")
        print("called with", numbers)
        if not numbers:
            return {}
        return {"mean": math.fsum(numbers) / len(numbers) * scale, "seen": set(Counter(numbers)),
                "ends": (min(numbers), max(numbers))}

    if __name__ == "__main__":
        raise SystemExit("the program is not the main one")
"""


def test_tests_in_the_usual_form(way: sandbox.Way) -> None:
    """A check that takes the function, names arguments, expects an exception, reads a constant."""
    outcome = run(way, SUMMARY, HUMAN_EVAL)
    assert outcome.passed, outcome.problem
    assert outcome.printed.startswith("called with [1, 2, 3]\ncalled with []\n")
    outcome = run(way, SUMMARY.replace("* scale", ""), HUMAN_EVAL)
    assert outcome.problem == (
        'AssertionError: the mean is wrong (tests, line 9: assert math.isclose(solution["mean"], 4.0), '
        '"the mean is wrong")'
    )


ENDINGS = ["raise SystemExit", "raise SystemExit(0)", "import sys; sys.exit(0)", "import os; os._exit(0)",
           "import os; os.abort()", "import ctypes; ctypes.string_at(0)", "raise KeyboardInterrupt",
           "import os; os.kill(os.getpid(), 9); os._exit(0)", "import os; os.closerange(3, 64)"]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_wrong_program_that_ends_well_has_failed(way: sandbox.Way, ending: str) -> None:
    """Section 1: at the level of the module, in the function, and where the tests catch everything."""
    assert not run(way, f"{WRONG}\n{ending}").passed
    forgiving = "try:\n    double(1)\nexcept BaseException:\n    pass"
    assert not run(way, f"def double(x):\n    {ending}\n    return 0", forgiving).passed


CHEATS = {
    "equal to everything": "class Yes:\n    __eq__ = lambda a, b: True\n\ndef double(x):\n    return Yes()",
    "a number equal to everything": (
        "class Yes(int):\n    __eq__ = lambda a, b: True\n    __hash__ = int.__hash__\n"
        "def double(x):\n    return Yes(0)"
    ),
    "another check": f"{WRONG}\ndef check(candidate):\n    pass\ncandidate = lambda x: x + x",
    "other builtins": (
        f"import builtins\nbuiltins.AssertionError = ValueError\nbuiltins.isinstance = lambda a, b: True\n"
        f"abs = len = str = repr = AssertionError = lambda *a: 8\n{WRONG}"
    ),
    "no asserts": f"import sys\nsys.flags = None\n__debug__ = False\n{WRONG}",
    "a verdict of its own": (
        "import json, os\ndef double(x):\n"
        "    for nonce in ('', '0' * 64):\n"
        "        words = json.dumps({'nonce': nonce, 'event': 'passed', 'problem': ''}).encode() + b'\\n'\n"
        "        for end in range(1, 64):\n"
        "            try:\n                os.write(end, words)\n            except OSError:\n                pass\n"
        "    return 0"
    ),
    "code instead of a value": (
        "import sys\nsys.modules['__main__'].pack = lambda value: ['eval', '8']\ndef double(x):\n    return 0"
    ),
    "a class as a value": (
        "import sys\nsys.modules['__main__'].pack = lambda value: ['__class__', 8]\ndef double(x):\n    return 0"
    ),
    "garbage in the pipes": (
        "import os\nfor end in range(3, 64):\n    try:\n        os.write(end, b'\\xff' * 999)\n    except OSError:\n"
        f"        pass\n{WRONG}"
    ),
    "answers before the questions": (
        "import json, os, struct\nwords = json.dumps({'value': 8}).encode()\nfor end in range(3, 64):\n    try:\n"
        "        os.write(end, (struct.pack('>I', len(words)) + words) * 9)\n    except OSError:\n"
        f"        pass\n{WRONG}"
    ),
    "a value without end": "def double(x):\n    a = []\n    for _ in range(10**5):\n        a = [a]\n    return a",
    "a value in itself": "def double(x):\n    a = []\n    a.append(a)\n    return a",
    "a huge value": "def double(x):\n    return 'x' * 2**25",
    "another exception": "class double(Exception):\n    pass\nraise double",
    "no Python": "def double(x) return",
    "a null character": "def double(x):\n    return '\0'",
    "nothing": "",
    "not a function": "double = 8",
    "endless recursion": "def double(x):\n    return double(x)",
    "too much memory": "def double(x):\n    return len(bytearray(2**34))",
    "an exception that lies": (
        "class Lie(Exception):\n    def __str__(self):\n        import os\n        os._exit(0)\n"
        "def double(x):\n    raise Lie"
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_wrong_program_cannot_pass(way: sandbox.Way, cheat: str) -> None:
    outcome = sandbox._run(way, CHEATS[cheat], TESTS, 20.0, 2**28)
    assert not outcome.passed and outcome.problem and "\n" not in outcome.problem


@pytest.mark.parametrize("number", ["1" * 64, "2" * 63, ""])
def test_a_verdict_counts_with_the_right_number_alone(number: str) -> None:
    """The second wall: a program has no descriptor of the line that verdicts come on."""
    said = json.dumps({"nonce": number, "event": "passed", "problem": ""}).encode()
    assert sandbox._next_message(io.BytesIO(said), "2" * 64) == ("gone", "")
    assert sandbox._next_message(io.BytesIO(said), number) == ("passed", "")
    assert sandbox._next_message(io.BytesIO(said[:-1]), number) == ("gone", "")


SECRET = secrets.token_hex(16)


def test_no_file_of_the_system_or_of_the_user(way: sandbox.Way, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    paths = ["/etc/passwd", str(tmp_path / "secret"), os.path.abspath(sandbox.__file__)]
    assert all(Path(path).exists() for path in paths)
    assert attempts(way, *(f"return open({path!r}).read()" for path in paths)) == ["FileNotFoundError"] * 3
    proc, etc, outside = attempts(
        way,
        "import os\nreturn os.listdir('/proc')",
        "import os\nreturn os.listdir('/etc')",
        "import os\nos.chdir('/')\nos.chdir('../../..')\nreturn [name in os.listdir('.') for name in ('usr', 'home')]",
    )
    assert (proc, etc, outside) == ("FileNotFoundError", "['ld.so.cache']", "[True,False]")


def test_no_environment(way: sandbox.Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOCHAT_TEST_SECRET", SECRET)
    outcome = value(way, "import os\nreturn dict(os.environb)")
    assert outcome.problem.startswith("Exception: answer {") and SECRET not in outcome.problem
    read = (f"import os\nreturn open(f'/proc/{who}/environ').read()" for who in ("self", "1", "{os.getppid()}"))
    assert attempts(way, *read) == ["FileNotFoundError"] * 3


def test_nothing_of_the_tests(way: sandbox.Way) -> None:
    """All that the program can get hold of: its descriptors, its arguments, every object in its memory."""
    search = f"""
        import gc, os, sys
        sought = bytes.fromhex("{SECRET.encode().hex()}").decode()
        found = [str(sys.argv), str(sys.orig_argv)]
        for end in range(64):
            try:
                found.append(str(os.pread(end, 10**6, 0)))
            except OSError as error:
                found.append(type(error).__name__)
        for thing in gc.get_objects():
            found += [item for item in gc.get_referents(thing) if type(item) is str]
        return [text for text in found if sought in text and text is not sought], len(found)
    """
    program = "def attack():\n" + textwrap.indent(textwrap.dedent(search), "    ")
    outcome = run(way, program, f"answer = attack()\nassert answer[1] > 1000 and not answer[0]\n# {SECRET}")
    assert outcome.passed, outcome.problem
    found = run(way, f"{program}\nkept = ['{SECRET}']", "assert attack()[0]")
    assert found.passed, "the search finds what is there"


def test_no_network(way: sandbox.Way) -> None:
    families = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK")
    opened = (f"import socket\nreturn str(socket.socket(socket.{name}, socket.SOCK_DGRAM))" for name in families)
    looked_up = "import socket\nreturn socket.getaddrinfo('example.com', 80)"
    assert attempts(way, *opened, looked_up) == ["PermissionError"] * 4 + ["gaierror"]


def test_nothing_is_written(way: sandbox.Way, tmp_path: Path) -> None:
    library = os.path.dirname(os.__file__)
    places = ("/x", "/tmp/x", "/dev/shm/x", "/usr/x", "x", str(tmp_path / "x"), f"{library}/x")
    others = ("import tempfile\nreturn tempfile.mkstemp()", "import os\nos.remove(os.__file__)",
              "import os\nos.memfd_create('x')", "import os\nos.chmod(os.__file__, 0)")  # fmt: skip
    said = attempts(way, *(f"open({place!r}, 'w').write('x')" for place in places), *others)
    assert len(said) == 11 and set(said) <= {"OSError", "FileNotFoundError", "PermissionError"}, said
    assert not list(tmp_path.iterdir()) and not Path(library, "x").exists() and os.access(os.__file__, os.R_OK)


def test_no_process(way: sandbox.Way) -> None:
    said = attempts(
        way,
        "import os\nreturn os.fork()",
        "import os\nreturn os.posix_spawn('/usr/bin/sleep', ['sleep', '60'], {})",
        "import os\nreturn os.execv('/usr/bin/sleep', ['sleep', '60'])",
        "import subprocess\nreturn subprocess.run(['/usr/bin/id'])",
        "import subprocess\nreturn subprocess.Popen('id', shell=True, start_new_session=True)",
        "import multiprocessing\np = multiprocessing.get_context('fork').Process()\np.start()",
        "import os\nwhile True:\n    os.fork()",
        "import os\nreturn os.system('id') >> 8",
    )
    assert set(said[:7]) <= {"PermissionError", "FileNotFoundError"} and said[7] == "127", said


def test_the_kernel_is_not_to_be_asked(way: sandbox.Way) -> None:
    """Past Python, right into the C library: namespaces, mounts, tracing, the raw calls that make a process."""
    body = """
        import ctypes
        c = ctypes.CDLL(None, use_errno=True)
        asked = [c.unshare(0x10000000), c.unshare(0x20000), c.chroot(b"/"), c.mount(b"a", b"/", b"tmpfs", 0, None),
                 c.ptrace(16, 1, 0, 0), c.setuid(0) and 0, c.fork(), c.vfork(), c.shmget(0, 4096, 0o1600),
                 c.syscall(435, ctypes.create_string_buffer(88), 88)]
        return asked
    """
    outcome = value(way, body)
    assert "answer [-1, -1, -1, -1, -1, 0, -1, -1, -1, -1]" in outcome.problem


def test_no_other_process_is_seen(way: sandbox.Way) -> None:
    body = """
        import os
        refused = 0
        for number in [-1, os.getppid() or 1, *range(2, 200), *range(30000, 30100)]:
            if number != os.getpid():
                try:
                    os.kill(number, 9)
                except (ProcessLookupError, PermissionError):
                    refused += 1
        return refused
    """
    assert value(way, body).problem.startswith(("Exception: answer 30", "Exception: answer 29"))


def alive(mark: int) -> list[str]:
    """Processes with this number among their arguments; those that were killed get a moment to be gone."""
    for _ in range(100):
        if not (found := marked(mark)):
            break
        time.sleep(0.1)
    return found


def marked(mark: int) -> list[str]:
    """Processes with this number among their arguments, at this moment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(mark).encode() in path.read_bytes().split(b"\0"):
                found.append(str(path))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.mark.parametrize(
    "body", ["while True:\n    pass", "import time\ntime.sleep(60)", "import signal\nsignal.pause()",
             "import threading\nwhile True:\n    try:\n        threading.Thread(target=print).start()\n"
             "    except RuntimeError:\n        pass",
             "while True:\n    try:\n        print('x' * 10**6)\n    except OSError:\n        pass"],
)  # fmt: skip
def test_time_is_limited_and_nothing_stays(way: sandbox.Way, body: str) -> None:
    """Also a flood of output ends here; it costs neither memory nor a file."""
    mark = 2**28 + secrets.randbelow(2**20)
    program = "def attack():\n" + textwrap.indent(body, "    ")
    outcome = run(way, program, "attack()", 0.5, mark)
    assert not outcome.passed and outcome.problem == "it did not end within 0.5 seconds"
    assert 0.5 <= outcome.seconds and len(outcome.printed) <= 2**16
    assert alive(mark) == []


def test_output_is_cut_off(way: sandbox.Way) -> None:
    outcome = run(way, "def double(x):\n    while True:\n        print('x' * 10**5)")
    assert not outcome.passed and "File too large" in outcome.problem and outcome.printed == "x" * 2**16
    outcome = run(way, f"print('hello' * 9)\n{RIGHT}")
    assert outcome.passed and outcome.printed == "hello" * 9 + "\n"


def test_long_sources(way: sandbox.Way) -> None:
    """A command line could not hold them."""
    assert run(way, RIGHT + "\n#" + "x" * 400_000, TESTS + "\n#" + "x" * 400_000).passed


def test_many_at_once(way: sandbox.Way) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda n: run(way, RIGHT if n % 2 else WRONG), range(12)))
    assert [outcome.passed for outcome in outcomes] == [False, True] * 6


def test_what_is_no_fault_of_the_program(way: sandbox.Way, monkeypatch: pytest.MonkeyPatch) -> None:
    for tests in ("assert double(", "double(lambda x: x)", "double(object())", "try:\n    double(print)\nexcept: pass"):
        with pytest.raises(SandboxError, match="tests"):
            run(way, RIGHT, tests)
    monkeypatch.setattr(sandbox, "_python", lambda: "/bin/nothing")
    with pytest.raises((SandboxError, OSError), match="did not start|No such file"):
        run(way, RIGHT)


def test_late_start_is_no_fault_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "START_S", 1e-3)
    with pytest.raises(SandboxError, match="did not start"):
        sandbox._run("none", RIGHT, TESTS, 5.0, 2**28)


def test_without_isolation_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sandbox, "isolation", lambda: None)
    with pytest.raises(SandboxError, match="unsafe=True"):
        run_program(f"open({str(tmp_path / 'x')!r}, 'w')", "")
    assert not list(tmp_path.iterdir())
    outcome = run_program(RIGHT, TESTS, unsafe=True)
    assert outcome.passed and outcome.way == "none"
    assert not run_program(WRONG + "\nimport os\nos._exit(0)", TESTS, unsafe=True).passed
    mark = 2**28 + secrets.randbelow(2**20)
    assert not run_program("while True: pass", "", 0.5, mark, unsafe=True).passed and alive(mark) == []


def test_the_public_function(way: sandbox.Way) -> None:
    outcome = run_program(RIGHT, TESTS)
    assert outcome.passed and outcome.way == sandbox.isolation()
    assert not run_program(WRONG, TESTS).passed


@pytest.mark.parametrize(
    "wrong",
    [{"program": b""}, {"tests": None}, {"timeout_s": 0}, {"timeout_s": float("nan")}, {"timeout_s": "5"},
     {"timeout_s": True}, {"memory_bytes": 0}, {"memory_bytes": 2.0**30}, {"program": "#" * 2**21}],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_arguments_without_meaning(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        run_program(**{"program": RIGHT, "tests": TESTS, **wrong})


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
        | st.complex_numbers(allow_nan=False)
    ),
    max_leaves=8,
)


@given(plain)
def test_values_cross_unchanged(thing: object) -> None:
    read, write = os.pipe()
    channel = _sandboxed.Channel(read, write)
    channel.send(_sandboxed.pack(thing))
    back = _sandboxed.unpack(channel.receive())
    channel.reader.close(), channel.writer.close()
    assert back == thing and type(back) is type(thing)


def test_names_that_the_tests_want() -> None:
    tests = """
        import math as m
        from os import path
        K = 3
        def check(candidate, more=K):
            solution = [w for w in candidate(LIMIT)]
            global made
            made = helper(m.pi, path, len(solution))
            return lambda q: q + made + other
        class Thing(Base):
            field = later
        check(solution)
        for n in (1, 2): print(n)
        try: pass
        except ValueError as error: print(error)
    """
    assert _sandboxed.names_wanted(textwrap.dedent(tests)) == {
        "LIMIT", "helper", "other", "Base", "later", "solution",
    }  # fmt: skip
