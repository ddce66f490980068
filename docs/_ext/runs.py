"""What pages run: functions of docs/pictures and docs/problems, named ``module:function``.

A page that shows the result of a function must not go stale when the package changes, and must not pass twice with
an error. So every build runs the functions of all pages again before it decides which pages to read, and a page is read
again when a result has changed or a function has failed.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from nanochat.common import InputError

_RESULTS: dict[str, Any] = {}


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
        _RESULTS[key] = _run(target, kind)
    return _RESULTS[key]


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
        result = function()
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        raise InputError(f"{target} failed at {where}: {type(error).__name__}: {error}") from error
    if not isinstance(result, kind):
        raise InputError(f"{target} returned {type(result).__name__}, and must return {kind.__name__}")
    return result


def source_of(target: str) -> str | None:
    """Return the file that a target stands in, once it was imported."""
    module = sys.modules.get(target.partition(":")[0])
    return getattr(module, "__file__", None)


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
