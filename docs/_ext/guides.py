"""Read the guides as text: marked spans, paragraphs, headings, and words without their markup.

Knows Markdown (the parser that MyST builds on) and no Sphinx, so that the same reading serves the build,
the command line and the tests.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs import attrs_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

from docs._ext.project import Project

PROSE_DIRECTIVES = frozenset(
    "note tip warning important hint caution danger attention error seealso admonition topic sidebar "
    "epigraph pull-quote highlights dropdown card grid grid-item grid-item-card tab-set tab-item details "
    "versionadded versionchanged deprecated glossary list-table container div compound".split()
)
"""Directives whose body is prose. The body of every other fence is code, maths or data."""

_FENCE = re.compile(r"^(?P<indent>[ >]*)(?P<mark>`{3,}|~{3,}|:{3,})\s*(?P<info>.*)$")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)*?(?<!`)\1(?!`)", re.DOTALL)
_GAP = re.compile(r"\n[ \t>]*\n")
_ATTRIBUTES = re.compile(r"\]\{([^{}\n]*)\}")
_MATH = re.compile(r"(?<![\\$])\$(?![\s$])(?:(?!\n[ \t]*\n)[^$\\]|\\.)+?(?<!\s)\$(?!\d)", re.DOTALL)
_PREFIX = re.compile(r"^[ \t]*(?:>[ \t]?)*[ \t]*(?:#{1,6}[ \t]+|[-*+][ \t]+|\d{1,3}[.)][ \t]+)?")
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)[ \t]*#*$")


@dataclass(frozen=True)
class Span:
    """A bracketed span with attributes, ``[text]{#id .class}``."""

    id: str
    classes: frozenset[str]
    line: int
    """The line on which it opens, from 1."""
    start: int
    """Where the text begins in the page, in characters."""
    end: int
    """Where the text ends in the page."""
    raw: str
    """The text with its markup."""

    @property
    def text(self) -> str:
        """The text without markup, white space made single."""
        return plain(self.raw)


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together: a paragraph, a list item, a heading, a row of a table."""

    line: int
    """The line on which it begins, from 1."""
    text: str
    heading: int = 0
    """The level, 1 to 6, if it is a heading."""


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark")
    return parser.use(attrs_plugin, spans=True).use(dollarmath_plugin).use(myst_role_plugin)


@lru_cache(maxsize=4096)
def inline(text: str) -> tuple[Token, ...]:
    """The tokens of a run of inline Markdown: text, code, maths, roles, spans, links."""
    return tuple(_markdown().parseInline(text)[0].children or ())


def role_text(content: str) -> str:
    """What a role shows: ``title <target>`` gives the title."""
    match = re.fullmatch(r"(.*?)\s*<[^<>]+>", content, re.DOTALL)
    return match.group(1) if match and match.group(1) else content


@lru_cache(maxsize=8192)
def plain(raw: str) -> str:
    """Words without markup and with single spaces: what two sentences are compared by."""
    raw = "\n".join(re.sub(r"^[ \t]*(?:>[ \t]?)*", "", line) for line in raw.splitlines())
    parts = []
    for token in inline(raw):
        if token.type == "myst_role":
            parts.append(role_text(token.content))
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type != "html_inline":
            parts.append(token.content)
    return " ".join(re.sub(r"\[\^[^\]]+\]", "", "".join(parts)).split())


@lru_cache(maxsize=2048)
def literal_lines(text: str) -> tuple[bool, ...]:
    """For each line, whether it is anything but prose: a fence, code, maths, front matter, a comment."""
    literal: list[bool] = []
    stack: list[tuple[str, bool]] = []
    options = front = dollars = False
    for number, line in enumerate(text.splitlines()):
        stripped = line.strip().lstrip("> ").strip()
        if number == 0 and stripped == "---":
            front = True
            literal.append(True)
            continue
        if front:
            literal.append(True)
            front = stripped != "---"
            continue
        fence = _FENCE.match(line)
        code_inside = bool(stack) and stack[-1][1]
        if fence and not (code_inside and fence["info"]):
            mark, info = fence["mark"], fence["info"].strip()
            literal.append(True)
            if stack and not info and mark[0] == stack[-1][0][0] and len(mark) >= len(stack[-1][0]):
                stack.pop()
            elif not code_inside and (info or mark[0] != ":"):
                name = re.match(r"\{([\w:-]+)\}", info)
                stack.append((mark, not (name and name[1] in PROSE_DIRECTIVES)))
                options = True
            continue
        if code_inside:
            literal.append(True)
            continue
        if stripped.startswith("$$") or dollars:
            toggles = stripped.count("$$") % 2 == 1
            literal.append(True)
            dollars = dollars != toggles
            continue
        option = options and bool(re.match(r":[\w-]+:", stripped))
        options = option
        comment = stripped.startswith("%") or bool(re.fullmatch(r"\([\w.:-]+\)=", stripped))
        comment = comment or bool(re.fullmatch(r"<!--.*-->|\+\+\+.*|\|?[\s:|-]*-[\s:|-]*\|[\s:|-]*", stripped))
        literal.append(option or comment)
    return tuple(literal)


@lru_cache(maxsize=16384)
def spans(text: str) -> tuple[Span, ...]:
    """Every bracketed span with attributes outside of code and maths, in order."""
    hidden = bytearray(len(text))
    offset = 0
    prose = []
    for line, literal in zip(text.splitlines(keepends=True), literal_lines(text), strict=True):
        prose.append("\n" + " " * (len(line) - 1) if literal else line)
    visible = "".join(prose)
    for pattern in (_CODE, _MATH):
        for match in pattern.finditer(visible):
            hidden[match.start() : match.end()] = b"\1" * (match.end() - match.start())
        visible = "".join("x" if hide else char for char, hide in zip(visible, hidden, strict=True))
    found: list[Span] = []
    stack: list[int] = []
    while offset < len(visible):
        char = visible[offset]
        if char == "\\":
            offset += 1
        elif char == "\n" and _GAP.match(visible, offset):
            stack.clear()
        elif char == "[":
            stack.append(offset)
        elif char == "]" and stack:
            opened = stack.pop()
            attributes = _ATTRIBUTES.match(visible, offset)
            if attributes:
                words = attributes[1].split()
                ids = [word[1:] for word in words if word.startswith("#")]
                classes = frozenset(word[1:] for word in words if word.startswith("."))
                raw = text[opened + 1 : offset]
                line = text.count("\n", 0, opened) + 1
                found.append(Span(ids[0] if ids else "", classes, line, opened + 1, offset, raw))
        offset += 1
    return tuple(sorted(found, key=lambda span: span.start))


def formulas(text: str) -> list[str]:
    """The formulas of a page: in a line, and those that stand alone."""
    lines = list(zip(text.splitlines(), literal_lines(text), strict=True))
    prose = "\n".join("" if literal else line for line, literal in lines)
    alone = sum(line.lstrip("> ").startswith("$$") for line, _ in lines)
    return [match[0] for match in _MATH.finditer(_CODE.sub("", prose))] + ["$$"] * (alone // 2)


@lru_cache(maxsize=2048)
def paragraphs(text: str) -> tuple[Paragraph, ...]:
    """The prose of a page, cut where Markdown cuts it, without the marks of lists, quotes and tables."""
    found: list[Paragraph] = []
    gathered: list[str] = []
    began = 0

    def close() -> None:
        if gathered:
            found.append(Paragraph(began, "\n".join(gathered)))
            gathered.clear()

    for number, (line, literal) in enumerate(zip(text.splitlines(), literal_lines(text), strict=True), 1):
        bare = line.strip().lstrip("> ").strip()
        heading = _HEADING.match(bare)
        if literal or not bare:
            close()
        elif heading:
            close()
            found.append(Paragraph(number, heading[2], len(heading[1])))
        elif bare.startswith("|"):
            close()
            found.append(Paragraph(number, bare.strip("|")))
        else:
            prefix = _PREFIX.match(line)
            marked = prefix is not None and prefix[0].strip(" \t>") != ""
            if marked:
                close()
            if not gathered:
                began = number
            gathered.append(line[prefix.end() :] if prefix else line)
    close()
    return tuple(found)


def headings(text: str) -> list[tuple[int, int, str]]:
    """Line, level and text of every heading."""
    return [(p.line, p.heading, plain(p.text)) for p in paragraphs(text) if p.heading]


@lru_cache(maxsize=512)
def title(text: str, default: str = "") -> str:
    """The first heading of a page."""
    return next((plain(p.text) for p in paragraphs(text) if p.heading), default)


def page_text(text: str) -> str:
    """All words of a page's prose, without markup, one paragraph a line."""
    return "\n".join(plain(paragraph.text) for paragraph in paragraphs(text))


@dataclass(frozen=True)
class Sentence:
    """A claim as it stands in a guide."""

    id: str
    file: Path
    span: Span

    @property
    def line(self) -> int:
        """The line on which it opens."""
        return self.span.line


def sentences(path: Path) -> Iterator[Sentence]:
    """The claims of a page: spans of class ``claim`` or with an id that begins with ``claim-``."""
    text = path.read_text(encoding="utf-8")
    if "claim" not in text:
        return
    for span in spans(text):
        if "claim" in span.classes or span.id.startswith("claim-"):
            yield Sentence(span.id.removeprefix("claim-"), path, span)


_TOCTREE = re.compile(r"^(`{3,}|:{3,})\{toctree\}.*?\n(.*?)^\1", re.DOTALL | re.MULTILINE)


def toctree(text: str) -> list[str]:
    """The entries of a page's toctrees, as they are written."""
    entries = []
    for match in _TOCTREE.finditer(text):
        for line in match[2].splitlines():
            line = line.strip()
            if line and not line.startswith(":"):
                title, _, target = line.rpartition("<")
                entries.append(target.rstrip("> ") if title else line)
    return entries


def reading_order(project: Project, start: str = "index") -> list[Path]:
    """The pages in the order of the toctrees, from ``start`` on, each once."""
    found: list[Path] = []

    def walk(docname: str) -> None:
        path = project.docs / f"{docname}.md"
        if not path.is_file() or path in found:
            return
        found.append(path)
        for entry in toctree(path.read_text(encoding="utf-8")):
            base = entry.lstrip("/") if entry.startswith("/") else posixpath.join(posixpath.dirname(docname), entry)
            walk(posixpath.normpath(base).removesuffix(".md"))

    walk(start)
    return found


def split_sentences(paragraph: Paragraph) -> list[tuple[int, str]]:
    """Line and raw text of each sentence of a paragraph; code, maths and spans are not cut."""
    text = paragraph.text
    hidden = {i for pattern in (_CODE, _MATH) for match in pattern.finditer(text) for i in range(*match.span())}
    for span in spans(text):
        hidden.update(range(span.start - 1, span.end + 1))
    found, start = [], 0
    for match in re.finditer(r"[.!?][)\"”’*_]*(?=\s+\S)|$", text):
        if match.start() in hidden or text[: match.start()].endswith(
            (" e.g", " i.e", " al", " vs", " eq", "(e.g", "(i.e")
        ):
            continue
        piece = text[start : match.end()]
        if piece.strip():
            lead = len(piece) - len(piece.lstrip())
            found.append((paragraph.line + text.count("\n", 0, start + lead), piece.strip()))
        start = match.end()
    return found
