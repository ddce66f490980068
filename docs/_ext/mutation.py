"""Break the package inside the process, and mend it again.

Two ways, both context managers, for ``docs/claims/mutants.py``::

    edited("nanochat.gpt.MLP.forward", "square()", "abs()")     the function's text, changed
    swapped("nanochat.gpt.rms_norm", lambda x: x)               another object under every name it has

Knows neither Sphinx nor torch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

CACHED = type(functools.lru_cache(lambda: None))
"""What ``lru_cache`` and ``cache`` make of a function."""


class MutantDoesNotApply(Exception):
    """The text or the name that a mutant wants to change is not there (any more)."""


def resolve(symbol: str) -> tuple[Any, str, Any]:
    """Owner, attribute name and raw value of a dotted symbol, importing its module."""
    parts = symbol.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            owner: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                continue
            raise
        for part in parts[cut:-1]:
            owner = getattr(owner, part, None)
        raw = inspect.getattr_static(owner, parts[-1], None)
        if raw is None and not hasattr(owner, parts[-1]):
            raise MutantDoesNotApply(f"{name} has no {'.'.join(parts[cut:])}")
        return owner, parts[-1], raw
    raise MutantDoesNotApply(f"no module of {symbol} can be imported")


def _function(value: Any) -> types.FunctionType:
    """The plain function inside decorators, properties, static and class methods."""
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value)
    if isinstance(value, functools.cached_property):
        value = value.func
    value = inspect.unwrap(value)
    if not isinstance(value, types.FunctionType):
        raise MutantDoesNotApply(f"{value!r} is not a function: use swapped(...)")
    return value


@contextlib.contextmanager
def edited(symbol: str, *changes: str) -> Iterator[None]:
    """Run the block with the text of a function changed, wherever the function is already known.

    The new code goes into the very function object, so that ``from m import f`` sees it too.

    Args:
        symbol: The dotted name of the function or method.
        changes: Pairs of old and new text. Each old text must occur exactly once.

    Raises:
        MutantDoesNotApply: If an old text is not there, or more than once.
    """
    function = _function(resolve(symbol)[2])
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        if text.count(old) != 1:
            raise MutantDoesNotApply(f"{old!r} occurs {text.count(old)} times in {symbol}, not once")
        text = text.replace(old, new)
    code = _compiled(text, function)
    kept = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = kept


def _compiled(text: str, function: types.FunctionType) -> types.CodeType:
    """The code object of a changed function, with the free variables of the original."""
    free = function.__code__.co_freevars
    name = function.__name__
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("def ", "async def ")))
    body = "\n".join("    " + line for line in lines[start:])
    wrapped = f"def outer({', '.join(free)}):\n{body}\n    return {name}\n"
    future = sys.modules[function.__module__].__dict__.get("annotations")
    flags = future.compiler_flag if hasattr(future, "compiler_flag") else 0
    module = compile(wrapped, f"<{name}, mutated>", "exec", flags=flags, dont_inherit=True)
    outer = next(c for c in module.co_consts if isinstance(c, types.CodeType))
    code = next(c for c in outer.co_consts if isinstance(c, types.CodeType) and c.co_name == name)
    if code.co_freevars != free:
        raise MutantDoesNotApply(f"the change of {name} adds or drops a variable from outside: {code.co_freevars}")
    return code


@contextlib.contextmanager
def swapped(symbol: str, new: Any) -> Iterator[None]:
    """Run the block with another object in the place of ``symbol``.

    A name of a module is replaced in every module that imported it; an attribute of a class, in the class.
    """
    owner, name, old = resolve(symbol)
    places: list[tuple[Any, str]] = [(owner, name)]
    if isinstance(owner, types.ModuleType):
        tops = {owner.__name__.split(".")[0], "docs", "tests", "__main__"}
        for other in list(sys.modules.values()):
            if isinstance(other, types.ModuleType) and other.__name__.split(".")[0] in tops:
                places += [(other, n) for n, v in list(vars(other).items()) if v is old and (other, n) != (owner, name)]
        if not callable(old):  # equal small constants are one object: replace the name where it stands alone
            places = [(place, n) for place, n in places if n == name]
    if isinstance(owner, type) and isinstance(old, staticmethod):
        new = staticmethod(new)
    for place, n in places:
        setattr(place, n, new)
    try:
        yield
    finally:
        for place, n in places:
            setattr(place, n, old)


def changed_file(broken: AbstractContextManager[object]) -> Path | None:
    """The file whose code a mutant changes while it is in force, or None if nobody knows.

    Args:
        broken: What :func:`edited` or :func:`swapped` returned, and it has been entered. Of anything else nobody knows.
    """
    generator = getattr(broken, "gen", None)
    if generator is None or generator.gi_code not in (edited.__wrapped__.__code__, swapped.__wrapped__.__code__):
        return None
    owner = generator.gi_frame.f_locals["function" if generator.gi_code is edited.__wrapped__.__code__ else "owner"]
    name = owner.__name__ if isinstance(owner, types.ModuleType) else owner.__module__
    return Path(sys.modules[name].__file__).resolve()


def forget_caches(tops: tuple[str, ...], depends: Callable[[Path, str], bool] = lambda file, name: True) -> None:
    """Empty each ``lru_cache`` of these packages, of the claims and the pictures: they hold results of other code.

    Args:
        tops: The packages.
        depends: Whether a function of a file depends on what was changed; those that do not keep their results.
    """
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType):
            continue
        name = module.__name__
        if name.split(".")[0] in tops or name.startswith(("docs.claims", "docs.pictures")):
            for value in list(vars(module).values()):
                for inner in [value, *(vars(value).values() if isinstance(value, type) else ())]:
                    if isinstance(inner, CACHED):  # asking each object for the method takes a hundred times as long
                        home = sys.modules.get(inner.__module__)
                        alone = inner.__qualname__ == inner.__name__ and getattr(home, "__file__", None)
                        if not alone or depends(Path(home.__file__).resolve(), inner.__name__):
                            inner.cache_clear()
