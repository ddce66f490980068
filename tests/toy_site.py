"""A miniature project with a package, a guide and claims, and a way to build its site, for the tests of docs/_ext."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SERVER = """
import importlib, json, os, sys, time
import sphinx.application, sphinx.cmd.build
import torch, sphinx_gallery.gen_gallery, matplotlib.pyplot, numpy.random
from docs._ext import LOOK, TRUTH
for name in (
    *sphinx.application.builtin_extensions, "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
    *(f"docs._ext.{feature}" for feature in (*TRUTH, *LOOK)),
):
    importlib.import_module(name)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        for stream in (0, 1, 2):
            os.dup2(os.open(job["log"] if stream else os.devnull, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
        os.chdir(job["folder"])
        sys.path.insert(0, job["folder"])
        status = 70
        try:
            status = sphinx.cmd.build.main(job["options"])
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    end = time.monotonic() + job["seconds"]
    done, status = 0, 0
    while not done:
        done, status = os.waitpid(child, os.WNOHANG)
        if not done and time.monotonic() > end:
            os.kill(child, 9)
            end = float("inf")
        time.sleep(0.005)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Builds that start at once: what they import is imported once, and each runs in a fork that knows no other."""


@cache
def server() -> subprocess.Popen[str]:
    """The process that builds fork from; it ends with the tests."""
    command = [sys.executable, "-c", SERVER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def end() -> None:
        process.communicate()

    atexit.register(end)
    return process


def run_sphinx(folder: Path, *options: str) -> Built:
    """Run ``python -m sphinx`` in a folder, two minutes at most; a process that was killed has a status below zero."""
    log = folder / "build.log"
    log.unlink(missing_ok=True)
    job = {"folder": str(folder), "log": str(log), "options": options, "seconds": 120}
    process = server()
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    status = int(process.stdout.readline())
    return Built(status, plain_text(log.read_text(encoding="utf-8")))


def plain_text(output: str) -> str:
    """What a terminal shows, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


CONF = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, str(Path(__file__).parents[1])]
project = "toy"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["attrs_inline", "attrs_block", "colon_fence", "deflist", "dollarmath"]
exclude_patterns = ["_build"]
html_theme = "basic"
code_packages = ["toy"]
def setup(app):
    from docs._ext import TRUTH, setup_features
    setup_features(app, tuple(name for name in TRUTH if name != "built"))
"""

PACKAGE = '''"""A toy."""

LIMIT = 15
"""The cap."""


def square(x: float) -> float:
    """Multiply a number with itself.

    Guide:
        "Cubes are not
        squares." (nano/x)
    """
    return x * x


class Thing:
    """A thing."""

    size: int = 3

    def __init__(self) -> None:
        super().__init__()
        self.inner = 4

    def area(self) -> float:
        return square(self.size)
'''

CLAIMS = """
from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited, swapped
from toy.maths import LIMIT, Thing, square


@claim("sq", about="toy.maths.square", killed_by="cube")
def sq():
    check(square(2.0), 4.0, "two squared")
    return f"The square of 3 is {square(3.0):.0f}, for `any_thing`."


@claim("lim", about=("toy.maths.LIMIT",), killed_by="low")
def lim():
    return f"The limit is {LIMIT}."


@mutant("cube", "it cubes")
def cube():
    return edited("toy.maths.square", "x * x", "x * x * x")


@mutant("low", "the limit is low")
def low():
    with swapped("toy.maths.LIMIT", 3):
        yield
"""

INDEX = """# Door

```{toctree}
nano/index
api
verification/index
```
"""

GUIDE = """# Squares

Words. [The *square* of $3$ is
**9**, for `any_thing`.]{#claim-sq .claim} More words.

> [The limit
> is *15*.]{#claim-lim .claim}

See {src}`toy.maths.Thing.area`, {val}`LIMIT * 1000`, and [2]{.given} of it.

## Other bodies

Cubes are not squares.

```{in-code} toy.maths.Thing
:from: def area
```
"""

API = """# API

```{eval-rst}
.. automodule:: toy.maths
   :members:
```
"""


@dataclass
class Built:
    """How a build ended."""

    status: int
    output: str

    @property
    def warnings(self) -> list[str]:
        """The lines of its warnings."""
        return [line for line in self.output.splitlines() if "WARNING:" in line]


class ToySite:
    """A miniature project in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.guide = root / "docs" / "nano" / "x.md"
        self.code = root / "toy" / "maths.py"
        self.claims = root / "docs" / "claims" / "a.py"
        files = {
            root / "toy" / "__init__.py": "",
            self.code: PACKAGE,
            self.claims: CLAIMS,
            self.guide: GUIDE,
            root / "docs" / "conf.py": CONF.format(root=str(ROOT)),
            root / "docs" / "index.md": INDEX,
            root / "docs" / "api.md": API,
            root / "docs" / "nano" / "index.md": "# NANO\n\n```{toctree}\nx\n```\n",
        }
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def edit(self, path: Path, old: str, new: str) -> None:
        """Change a file in one place."""
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{old!r} occurs {text.count(old)} times in {path}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *command: str) -> Built:
        """Run Python in the project."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root, env=environment, capture_output=True, text=True, timeout=120
        )
        return Built(done.returncode, plain_text(done.stdout + done.stderr))

    def build(self, *options: str) -> Built:
        """Build the site as it is built in earnest, with warnings as errors."""
        return run_sphinx(self.root, "-n", "-W", "-b", "html", *options, "docs", "docs/_build/html")

    def html(self, page: str) -> str:
        """A built page."""
        return (self.root / "docs" / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8")

    def command(self, *options: str) -> Built:
        """The command line of the claims."""
        return self.run("-m", "docs._ext.claims", "--root", str(self.root), "--package", "toy", *options)
