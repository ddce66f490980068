"""Command-line flags from a dataclass: one field is one flag, and the string under the field is its help.

A stage describes its settings once. The name of the field becomes the flag, its type decides what the flag
accepts, its default is the default, and the sentence below it is what ``--help`` prints and what the API
reference shows. Nothing is written twice, so nothing can drift apart.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import math
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields, is_dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from nanochat.common import InputError

Settings = typing.TypeVar("Settings")
"""The dataclass of a stage's settings."""
LARGEST_WHOLE = 2**63 - 1
"""The largest whole number that a flag takes: torch has no larger ones, for a seed as for a size."""
LARGEST_NUMBER = 3.4e38
"""The largest number that a flag takes: in the float32 of a model, what is larger is infinity."""


def field_docs(kind: type) -> dict[str, str]:
    """Read the string under each field of a dataclass, from its source.

    Python forgets these strings when it runs the class, so they are read from the file.

    Args:
        kind: The dataclass; fields that it inherits count.

    Returns:
        The field names with their strings.

    Example:
        >>> from nanochat.common import Runtime
        >>> field_docs(Runtime)["world_size"]
        'How many processes train together.'
    """
    docs = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body
        for above, below in pairwise(body):
            if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr):
                docs[above.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return docs


def short_flag(letter: str, default: object) -> typing.Any:
    """Make a field of the settings that can also be typed as a dash and one letter.

    Args:
        letter: The letter.
        default: The value where the flag is not given.

    Returns:
        The field, to stand behind the ``=`` of its declaration.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Settings:
        ...     num_shards: int = short_flag("n", 8)
        >>> Settings().num_shards
        8
    """
    return field(default=default, metadata={"short": f"-{letter}"})


def closest(name: str, known: Sequence[str]) -> str:
    """Say which known name was probably meant.

    Example:
        >>> closest("--dept", ["--depth", "--data"])
        ': did you mean --depth?'
        >>> closest("--zzz", ["--depth", "--data"])
        ''
    """
    near = get_close_matches(name.replace("_", "-"), known, n=1)
    return f": did you mean {near[0]}?" if near else ""


def parse_flags(
    kind: type[Settings], argv: Sequence[str] | None, prog: str, description: str | None = None
) -> Settings:
    """Turn the words of a command line into the settings of a stage.

    Args:
        kind: The dataclass of the settings. Its fields are int, float, str, bool, Path or a Literal of
            strings, each possibly ``| None``, each with a string below it. A field made by :func:`short_flag`
            can be typed with one letter too.
        argv: The words after the command; None means those of this process.
        prog: The command as it is typed, for the usage line.
        description: What the stage does; of a docstring, the first paragraph is shown.

    Returns:
        The settings.

    Raises:
        SystemExit: With status 2, after the usage and one line that names the flag, if a flag is unknown (the
            nearest is suggested), repeated, empty, or of the wrong type, or if the dataclass refuses the
            values with an :class:`nanochat.common.InputError`. With status 0 after ``--help``.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_plain((description or "").split("\n\n")[0]),
        epilog="--debug shows where in the code an error came from.",
        allow_abbrev=False,
    )
    docs, hints = field_docs(kind), typing.get_type_hints(kind)
    for each in fields(kind):
        if each.name not in docs:
            raise TypeError(f"{kind.__name__}.{each.name} has no string below it: write its --help there")
        default = each.default if each.default_factory is MISSING else each.default_factory()
        shown = "" if default is None or default is MISSING else f" (default: {default})"
        parser.add_argument(
            *filter(None, [each.metadata.get("short")]),
            "--" + each.name.replace("_", "-"),
            default=None if default is MISSING else default,
            required=default is MISSING,
            help=(_plain(docs[each.name]) + shown).replace("%", "%%"),
            **_accepts(hints[each.name]),
        )
    _check_names(parser, words)
    found, left_over = parser.parse_known_args(words)
    if left_over:
        parser.error(f"{left_over[0]!r} is not expected here{closest('-' + left_over[0], list(_flags(parser)))}")
    try:
        return kind(**vars(found))
    except InputError as error:
        parser.error(str(error))


def _plain(text: str) -> str:
    """Take the markup out of a docstring, which a terminal would show as it stands."""
    return " ".join(re.sub(r":\w+:`~?([^`]+)`", r"\1", text).replace("``", "").split())


def _flags(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return every flag of a parser with the name of its field."""
    return {flag: action.dest for action in parser._actions for flag in action.option_strings}


def _check_names(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Refuse unknown flags, naming the nearest, and repeated ones, of which argparse would take the last."""
    flags, seen = _flags(parser), set()
    for word in words:
        name = word.split("=", 1)[0] if word.startswith("--") else word[:2]  # -n8 is -n with the value 8
        if not word.startswith("--") and name not in flags:
            continue
        if name not in flags:
            parser.error(f"unknown flag {name}{closest(name, list(flags))}")
        if flags[name] in seen:
            parser.error(f"{name} is given twice: give it once")
        seen.add(flags[name])


def _accepts(hint: object) -> dict[str, object]:
    """Return what argparse needs to know for a field of this type."""
    if isinstance(hint, types.UnionType):
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    return {"type": _READERS[hint], "metavar": hint.__name__.upper()}


def _reader(read: Callable[[str], object], expected: str) -> Callable[[str], object]:
    def convert(word: str) -> object:
        try:
            if word.strip():
                return read(word)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(
            f"{word!r} is not {expected}" if word.strip() else f"is empty, give {expected}"
        )

    return convert


def _whole(word: str) -> int:
    number = int(word)
    if abs(number) > LARGEST_WHOLE:
        raise argparse.ArgumentTypeError(f"{word!r} is out of range: give at most {LARGEST_WHOLE}")
    return number


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError
    if abs(number) > LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"{word!r} is out of range: give at most {LARGEST_NUMBER}")
    return number


_READERS = {
    int: _reader(_whole, "a whole number"),
    float: _reader(_finite, "a finite number"),
    str: _reader(str, "a text"),
    Path: _reader(lambda word: Path(word).expanduser(), "a path"),
}
