"""Sentences that the code can say itself: the decorators, the checks, the registry.

A file of ``docs/claims`` holds functions that run the code and return the sentence that a guide makes
about it::

    @claim("relu-squared", about="nanochat.gpt.MLP", killed_by="relu-for-relu2")
    def relu_squared() -> str:
        got = activation(3.0)
        check(got, 9.0, "the activation is the square of the positive part")
        return f"The activation of 3 is {got:.0f}."

The guide marks its copy, ``[The activation of 3 is 9.]{#claim-relu-squared .claim}``, and every build
compares the two (``verdicts.py``). Run by hand::

    python -m docs._ext.claims                  check every claim
    python -m docs._ext.claims --mutants        and see each claim fall under the mutants that it names
    python -m docs._ext.claims --accept [id...] rewrite the guide's sentences, after showing the difference
    python -m docs._ext.claims --say [id...]    print the sentences as the code says them, marked, to paste

This module knows neither Sphinx nor torch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any


class CheckFailed(Exception):
    """What the code does is not what the claim says. Carries got, expected and why."""

    def __init__(self, got: object, expected: object, why: str) -> None:
        self.got, self.expected, self.why = shown(got), shown(expected), why
        super().__init__(f"{why}: got {self.got}, expected {self.expected}")


@dataclass(frozen=True)
class Measurement:
    """One comparison that a check made and that held."""

    why: str
    got: str
    expected: str


_measured: ContextVar[list[Measurement] | None] = ContextVar("measured", default=None)


def shown(value: object) -> str:
    """A value as one short line that is the same on every machine: floats to six digits."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value if len(value) <= 120 else value[:119] + "…"
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        shape = tuple(value.shape)
        flat = value.reshape(-1)[:6].tolist() if math.prod(shape) else []
        numbers = ", ".join(shown(number) for number in flat)
        if not shape:
            return numbers
        return f"[{numbers}{', …' if math.prod(shape) > 6 else ''}] of shape {shape}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(shown(item) for item in value[:8]) + (", …" if len(value) > 8 else "")
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else text[:119] + "…"


def equal(got: Any, expected: Any) -> bool:
    """Exact equality, also of tensors and arrays, whose shapes must agree too."""
    shapes = [tuple(value.shape) for value in (got, expected) if hasattr(value, "shape")]
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        return False
    same = got == expected
    return bool(same.all() if hasattr(same, "all") else same)


class Check:
    """Compare, remember what was measured, and raise :class:`CheckFailed` where it does not hold.

    A function with variants, because a bare ``assert`` vanishes under ``python -O`` and says nothing of
    what it saw. ``why`` is the rule in words; VERIFICATION prints it beside the two values.
    """

    def __call__(self, got: Any, expected: Any, why: str) -> None:
        """Exact equality."""
        self._judge(equal(got, expected), got, shown(expected), why)

    def close(self, got: Any, expected: Any, why: str, *, rel: float = 0.0, abs: float = 0.0) -> None:
        """Equality up to ``abs + rel * |expected|``, for what came out of floating point."""
        if rel <= 0.0 and abs <= 0.0:
            raise ValueError("check.close needs rel= or abs= above zero; use check(...) for what is exact")
        far = got - expected
        far = far.abs().max().item() if hasattr(far, "abs") else math.fabs(far)
        size = expected.abs().max().item() if hasattr(expected, "abs") else math.fabs(expected)
        limit = abs + rel * size
        self._judge(far <= limit, got, f"{shown(expected)} ± {shown(float(limit))}", why)

    def true(self, condition: Any, why: str) -> None:
        """A condition that must hold."""
        self._judge(bool(condition), bool(condition), "True", why)

    def below(self, got: Any, limit: Any, why: str) -> None:
        """A number strictly below a limit."""
        self._judge(bool(got < limit), got, f"below {shown(limit)}", why)

    def above(self, got: Any, limit: Any, why: str) -> None:
        """A number strictly above a limit."""
        self._judge(bool(got > limit), got, f"above {shown(limit)}", why)

    def raises(self, kind: type[BaseException], call: Callable[[], object], why: str) -> str:
        """A call that must be refused with an exception of this kind. Returns its message."""
        try:
            got = call()
        except kind as error:
            self._judge(True, f"{type(error).__name__}: {error}", kind.__name__, why)
            return str(error)
        raise CheckFailed(got, f"{kind.__name__} raised", why)

    @staticmethod
    def _judge(holds: bool, got: object, expected: str, why: str) -> None:
        if not holds:
            raise CheckFailed(got, expected, why)
        measured = _measured.get()
        if measured is not None:
            measured.append(Measurement(why, shown(got), expected))


check = Check()


@contextlib.contextmanager
def measuring() -> Iterator[list[Measurement]]:
    """Collect what the checks inside the block measure."""
    measured: list[Measurement] = []
    token = _measured.set(measured)
    try:
        yield measured
    finally:
        _measured.reset(token)


@dataclass(frozen=True)
class Claim:
    """A function that proves a sentence of a guide and returns it."""

    id: str
    function: Callable[[], str]
    about: tuple[str, ...] = ()
    """Dotted symbols of the package that the sentence is about; none for mathematics."""
    killed_by: tuple[str, ...] = ()
    """Mutants under which the claim must fall; at least one where ``about`` is given."""
    undecided: str = ""
    """Why this machine cannot decide it. The function still runs: it computes what can be computed."""
    decide_with: str = ""
    """The command that would decide it; required with ``undecided``."""
    reads: tuple[str, ...] = ()
    """Files, from the root of the repository, that the check reads (records, weights)."""

    @property
    def file(self) -> Path:
        """The file that holds the function."""
        return Path(self.function.__code__.co_filename)

    @property
    def line(self) -> int:
        """The line of its first decorator."""
        return self.function.__code__.co_firstlineno

    @property
    def symbol(self) -> str:
        """The dotted name of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


@dataclass(frozen=True)
class Mutant:
    """A way to break the package, in the process, that some claims must notice."""

    id: str
    what: str
    function: Callable[[], AbstractContextManager[object]]

    @property
    def file(self) -> Path:
        """The file that holds the function."""
        return Path(inspect.unwrap(self.function).__code__.co_filename)

    @property
    def line(self) -> int:
        """The line of its first decorator."""
        return inspect.unwrap(self.function).__code__.co_firstlineno

    @property
    def symbol(self) -> str:
        """The dotted name of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


@dataclass
class Registry:
    """What the files of ``docs/claims`` declare."""

    claims: list[Claim] = field(default_factory=list)
    mutants: list[Mutant] = field(default_factory=list)
    broken: list[tuple[Path, int, str]] = field(default_factory=list)
    """Files that cannot be imported: path, line, the error."""

    def claim(self, id: str) -> Claim | None:
        """The first claim of this id."""
        return next((claim for claim in self.claims if claim.id == id), None)

    def mutant(self, id: str) -> Mutant | None:
        """The first mutant of this id."""
        return next((mutant for mutant in self.mutants if mutant.id == id), None)


_collecting: ContextVar[Registry | None] = ContextVar("collecting", default=None)
_default = Registry()


def _registry() -> Registry:
    return _collecting.get() or _default


def _names(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else tuple(value)


def claim(
    id: str,
    *,
    about: str | tuple[str, ...] | list[str] = (),
    killed_by: str | tuple[str, ...] | list[str] = (),
    undecided: str = "",
    decide_with: str = "",
    reads: str | tuple[str, ...] | list[str] = (),
) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Register a function that proves and returns the sentence ``id`` of a guide.

    Args:
        id: The name that the guide's span carries after ``claim-``.
        about: Dotted symbols of the package that the sentence is about. Leave out for mathematics.
        killed_by: Mutants of ``docs/claims/mutants.py`` under which it must fall. Required with ``about``.
        undecided: Why this machine cannot decide it; gives the status NEEDS CLARIFICATION.
        decide_with: The command that would decide it.
        reads: Files that the check reads, from the root, so that their change re-runs it.
    """

    def register(function: Callable[[], str]) -> Callable[[], str]:
        _registry().claims.append(
            Claim(id, function, _names(about), _names(killed_by), undecided, decide_with, _names(reads))
        )
        return function

    return register


def mutant(id: str, what: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a way to break the package.

    The function is a generator that patches, yields once and restores, or returns a context manager
    such as ``edited(...)`` and ``swapped(...)`` of ``docs/_ext/mutation.py``.

    Args:
        id: The name that claims give in ``killed_by``.
        what: What it changes, in words, for the kill table.
    """

    def register(function: Callable[[], Any]) -> Callable[[], Any]:
        manager = contextlib.contextmanager(function) if inspect.isgeneratorfunction(function) else function
        _registry().mutants.append(Mutant(id, what, manager))
        return function

    return register


def load(folder: Path, prefix: str = "docs.claims") -> Registry:
    """Run every file of a folder of claims, each anew, and return what they declare.

    A file that raises is recorded and does not hide the others.
    """
    registry = Registry()
    token = _collecting.set(registry)
    try:
        for path in sorted(folder.glob("*.py")):
            if path.stem == "__init__":
                continue
            name = f"{prefix}.{path.stem}"
            try:
                _execute(name, path)
            except (Exception, SystemExit) as error:
                frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
                line = frames[-1].lineno if frames else getattr(error, "lineno", None)
                registry.broken.append((path, line or 1, f"{type(error).__name__}: {error}"))
    finally:
        _collecting.reset(token)
    return registry


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


if __name__ == "__main__":
    from docs._ext.command import main  # works with the imported module's registry, not with a second one

    sys.exit(main())
