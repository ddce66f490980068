"""A miniature project with a package, a guide and claims, and a way to build its site, for the tests of docs/_ext."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

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
        return Built(done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr))

    def build(self, *options: str) -> Built:
        """Build the site as it is built in earnest, with warnings as errors."""
        return self.run("-m", "sphinx", "-n", "-W", "-b", "html", *options, "docs", "docs/_build/html")

    def html(self, page: str) -> str:
        """A built page."""
        return (self.root / "docs" / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8")

    def command(self, *options: str) -> Built:
        """The command line of the claims."""
        return self.run("-m", "docs._ext.claims", "--root", str(self.root), "--package", "toy", *options)
