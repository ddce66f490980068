"""``{counted} NAME``: a table that the build counts, such as how long the guides are, or where the problems stand.

The text of each table is Markdown and knows no Sphinx, so that the guides as single files hold the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from docs._ext.counting import Counts, count, made_in
from docs._ext.overview import GUIDES, counted, title_of
from docs._ext.project import Project
from docs._ext.skin import link

FILES = {"NANO.md": "nano/index", "NANOMATH.md": "nanomath/index", "VERIFICATION.md": "verification/index"}
"""Each guide as a file -> the page whose toctree it follows."""
LONGEST = 110
"""A question is listed with so many characters at most."""


def statistics(project: Project, whole: dict[str, str]) -> str:
    """How much each guide holds; lines and words are those of the guide as one file."""
    columns = [["How many", "Lines", "Words", "Topics", "Code references", "Pictures", "Claims", "Problems"]]
    for file, text in whole.items():
        found: Counts = count(project, FILES[file])
        if file == "VERIFICATION.md":
            proved = sum(count(project, FILES[guide]).claims for guide in whole if guide != file)
            rest: list[str] = ["all of both", f"{found.references:,}", "", f"{proved:,}", ""]
        else:
            numbers = (found.topics, found.references, found.pictures, found.claims, found.problems)
            rest = [f"{number:,}" for number in numbers]
        lines, words = f"{text.count(chr(10)):,}", f"{len(text.split()):,}"
        columns.append([file.removesuffix(".md"), lines, words, *rest])
    head, *rows = (f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))
    return "\n".join([head, "|---" + "|--:" * len(whole) + "|", *rows])


def problems(project: Project, whole: dict[str, str]) -> str:
    """All practice problems, by chapter, each a link."""
    parts = []
    for start in GUIDES:
        chapters: dict[Path, list[str]] = {}
        for made in made_in(project, start):
            if made.kind == "problem":
                place = f"{{asked}}`{project.docname(made.page)}#{made.number}`"
                chapters.setdefault(made.page, []).append(f"- {place}: {opening(made.target)}")
        number, name = sum(map(len, chapters.values())), start.partition("/")[0].upper()
        parts.append(f"## {name}\n\n{counted(number, 'problem')} in {counted(len(chapters), 'chapter')}.\n")
        for page, lines in chapters.items():
            parts += [f"### {title_of(page)}\n", "\n".join(lines), ""]
    return "\n".join(parts)


def total(project: Project, whole: dict[str, str]) -> str:
    """How many problems there are; a paragraph of its own, for headings are set before what stands around them."""
    number = sum(count(project, start).problems for start in GUIDES)
    return f"Both guides together have {counted(number, 'problem')}."


def opening(target: str) -> str:
    """The beginning of a question, without links and roles."""
    from docs._ext.problems import load

    try:
        words = re.sub(r"\{\w+\}`([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1", " ".join(load(target).question.split()))
    except ValueError:
        return target  # reported by the page that asks it
    words = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\{[^}]*\})", r"\1", words)
    if len(words) > LONGEST:
        cut = words.rfind(" ", 0, LONGEST)
        while words.count("$", 0, cut) % 2 or words.count("`", 0, cut) % 2:
            cut = words.rfind(" ", 0, cut)
        words = f"{words[:cut].rstrip(' ,:;')} …"
    # Brackets in words would make a link of them; in a formula or in code they are meant.
    return re.sub(r"\$[^$]*\$|`[^`]*`|([\[\]])", lambda match: f"\\{match[1]}" if match[1] else match[0], words)


TABLES: dict[str, Callable[[Project, dict[str, str]], str]] = {
    "statistics": statistics,
    "problems": problems,
    "total": total,
}


# ---- the skin: Sphinx ----


def _noted(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    if not hasattr(env, "truth_counted"):
        env.truth_counted = {}  # type: ignore[attr-defined]
    return env.truth_counted  # type: ignore[attr-defined]


def table(app: Sphinx, name: str) -> str:
    """One table of this build."""
    return app.truth_tables[name]  # type: ignore[attr-defined]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class CountedDirective(SphinxDirective):
    """Show a table that the build counts."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it stood on the page."""
        name = self.arguments[0]
        if name not in TABLES:
            raise self.error(f"counted: there is no table {name!r}; there are: {', '.join(TABLES)}")
        text = table(self.env.app, name)
        _noted(self.env).setdefault(self.env.docname, {})[name] = _digest(text)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class AskedRole(SphinxRole):
    """``{asked}`nano/tokenization#2``` links to a practice problem by its page and number."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link."""
        page, _, number = self.text.partition("#")
        return [link(page, f"problem-{number}", f"Problem {number}")], []


def _outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Count once, before pages are read; the pages whose table is another one now."""
    from docs._ext.single_file import whole_guides
    from docs._ext.skin import project_of

    project, whole = project_of(app), whole_guides(app)
    app.truth_tables = {name: make(project, whole) for name, make in TABLES.items()}  # type: ignore[attr-defined]
    return [
        docname
        for docname, tables in _noted(env).items()
        if docname in env.found_docs and any(_digest(table(app, name)) != was for name, was in tables.items())
    ]


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _noted(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    _noted(env).update({name: held for name, held in _noted(other).items() if name in docnames})


def setup_counted(app: Any) -> None:
    """Register the directive ``counted`` and the role ``asked``."""
    app.add_directive("counted", CountedDirective)
    app.add_role("asked", AskedRole())
    app.connect("env-get-outdated", _outdated, priority=800)  # the pictures of the files are remembered by then
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
