"""Docstrings as this package writes them, for napoleon.

Napoleon reads a colon in the first line of an attribute's docstring, or of a ``Returns:`` section, as the end of a
type. Here types stand in annotations and a colon is a colon. Both places are rewritten before napoleon sees them.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

RETURNS = re.compile(r"^(\s*)(Returns|Yields):\s*$")
FIELD = {"Returns": ":returns:", "Yields": ":yields:"}


def plain_returns(lines: list[str]) -> list[str]:
    """Write ``Returns:`` and ``Yields:`` sections as fields, whose text has no type in front.

    >>> plain_returns(["Count.", "", "Returns:", "    The sum: all of it.", "", "More."])
    ['Count.', '', ':returns: The sum: all of it.', '', 'More.']
    """
    out: list[str] = []
    place = 0
    while place < len(lines):
        found = RETURNS.match(lines[place])
        if not found:
            out.append(lines[place])
            place += 1
            continue
        margin = len(found[1])
        body = []
        place += 1
        while place < len(lines) and (not lines[place].strip() or _indent(lines[place]) > margin):
            body.append(lines[place])
            place += 1
        blank = []
        while body and not body[-1].strip():
            blank.append(body.pop())
        cut = min((_indent(line) for line in body if line.strip()), default=0)
        words = [line[cut:] for line in body]
        if words:
            out.append(f"{found[1]}{FIELD[found[2]]} {words[0]}")
            out += [f"{found[1]}    {line}".rstrip() for line in words[1:]]
        out += blank
    return out


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment: now the first line has no colon
    else:
        lines[:] = plain_returns(lines)


def setup_docstrings(app: Any) -> None:
    """Rewrite docstrings before napoleon, whose own handler has the priority 500."""
    # Printed hundreds of times by sphinx-autodoc-typehints 3.6, and nothing that a writer of this site could cure.
    warnings.filterwarnings("ignore", message=r".*_RstSnippetParser\.set_application", category=DeprecationWarning)
    app.connect("autodoc-process-docstring", _process, priority=400)
