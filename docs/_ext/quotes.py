"""Docstrings quote the guides, word for word, where ``help()`` shows them; each build checks the quotes.

A section of a docstring::

    Guide:
        "The sentence as it stands in the guide." (nano/model/attention)

The quote must stand in the prose of that page, white space and markup aside. On the site it becomes a quote
with a link to the section it stands in.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from docs._ext import guides
from docs._ext.project import Project
from docs._ext.skin import link, project_of, warn
from docs._ext.sources import Index, docstring_node

SECTION = re.compile(r"^(?P<indent>[ \t]*)Guide:[ \t]*$")
QUOTE = re.compile(r'"(?P<quote>[^"]+)"\s*\((?P<page>[\w/.-]+)\)\s*', re.DOTALL)


@dataclass(frozen=True)
class Quote:
    """What a docstring says that a guide says."""

    file: Path
    line: int
    text: str
    page: str
    """The page, as ``nano/model/attention``; empty where the section cannot be read."""


def sections(lines: list[str]) -> list[tuple[int, int]]:
    """First and last line (from 0, last excluded) of each ``Guide:`` section, its heading included."""
    found = []
    for number, line in enumerate(lines):
        heading = SECTION.match(line)
        if heading:
            margin, end = len(heading["indent"]), number + 1
            while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > margin):
                end += 1
            found.append((number, end))
    return found


def parse(lines: list[str]) -> list[tuple[int, str, str]]:
    """Offset, text and page of each quote of a section's lines; an empty page where it is malformed."""
    body = "\n".join(lines)
    found, at = [], len(body) - len(body.lstrip())
    while at < len(body.rstrip()):
        match = QUOTE.match(body, at)
        offset = body.count("\n", 0, at)
        if match is None:
            return [*found, (offset, body[at:].strip(), "")]
        found.append((offset, " ".join(match["quote"].split()), match["page"].removesuffix(".md")))
        at = match.end()
    return found


def quotes(project: Project) -> list[Quote]:
    """Every quote in the docstrings of the packages."""
    found = []
    for path in Index(project).modules():
        text = path.read_text(encoding="utf-8")
        if "Guide:" not in text:
            continue
        for node in ast.walk(ast.parse(text, str(path))):
            statement = docstring_node(node)
            if statement is None:
                continue
            source = text.splitlines()[statement.lineno - 1 : statement.end_lineno]
            closing = source[-1].rstrip()
            source[-1] = re.sub(r"(\"\"\"|''')$", "", closing)
            for first, last in sections(source):
                for offset, quote, page in parse(source[first + 1 : last]):
                    found.append(Quote(path, statement.lineno + first + 1 + offset, quote, page))
    return found


@lru_cache(maxsize=256)
def _words(path: Path, stamp: int) -> list[tuple[str, str]]:
    """Section title -> the words of its prose, in order."""
    text = path.read_text(encoding="utf-8")
    found: list[tuple[str, list[str]]] = [("", [])]
    for paragraph in guides.paragraphs(text):
        if paragraph.heading:
            found.append((guides.plain(paragraph.text), []))
        found[-1][1].append(guides.plain(paragraph.text))
    return [(title, "\n".join(parts)) for title, parts in found]


def locate(project: Project, quote: str, page: str) -> str | None:
    """The title of the section of a page in which a quote stands, or None."""
    path = project.docs / f"{page}.md"
    if not path.is_file():
        return None
    wanted = guides.plain(quote)
    for title, words in _words(path, path.stat().st_mtime_ns):
        if wanted in words:
            return title
    return None


def check_quotes(app: Sphinx) -> None:
    """Look up every quote, on every build."""
    project = project_of(app)
    for quote in quotes(project):
        if not quote.page:
            message = f'a Guide: section holds "the sentence" (folder/page), not {quote.text[:60]!r}'
            warn(quote.file, quote.line, message, "quotes", "form")
        elif not (project.docs / f"{quote.page}.md").is_file():
            message = f"the docstring quotes {quote.page}, but docs/{quote.page}.md does not exist"
            warn(quote.file, quote.line, message, "quotes", "page")
        elif locate(project, quote.text, quote.page) is None:
            message = (
                f"docs/{quote.page}.md does not say {quote.text!r} (any more): quote a sentence that stands there, "
                "or put it back"
            )
            warn(quote.file, quote.line, message, "quotes", "false")


class GuideRole(SphinxRole):
    """``{guide}`page#anchor``` or with a title: a link into a guide."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link."""
        title, _, target = self.text.rpartition("<")
        target = target.rstrip("> ")
        page, _, anchor = target.partition("#")
        return [link(page, anchor, title.strip() or target, classes=["guide-link"])], []


def show_quotes(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn each ``Guide:`` section into a quote with a link, before napoleon reads the docstring."""
    project = project_of(app)
    for first, last in reversed(sections(lines)):
        margin = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        shown: list[str] = []
        for _, quote, page in parse(lines[first + 1 : last]):
            path = project.docs / f"{page}.md"
            if not page or not path.is_file():
                continue  # reported by check_quotes
            section = locate(project, quote, page) or ""
            heading = guides.title(path.read_text(encoding="utf-8"), page)
            named = f"{heading}, {section}" if section and section != heading else heading
            named = re.sub(r"[<>`\\]", "", named)
            anchor = nodes.make_id(section) if section and section != heading else ""
            words = re.sub(r"([\\*`|_])", r"\\\1", guides.plain(quote))
            shown += [
                f"{margin}.. rst-class:: guide-quote",
                "",
                f"{margin}   “{words}” — :guide:`{named} <{page}#{anchor}>`",
                "",
            ]
        lines[first:last] = ["", f"{margin}..", "", *shown]  # the comment keeps the return type out of the quote


def setup_quotes(app: Sphinx) -> None:
    """Check the quotes on every build and show them where autodoc shows docstrings."""
    app.add_role("guide", GuideRole())
    app.connect("builder-inited", check_quotes, priority=110)
    app.connect("autodoc-process-docstring", show_quotes, priority=400)
