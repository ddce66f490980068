"""Glossaries as they are written: the terms, their forms in a text, and whether a guide explains before it uses.

Each term of a guide's glossary names the section that teaches it, in a paragraph of its definition that begins with
``Taught in`` and holds a link. A page before that one may use the term only after a page has introduced it: explained
it in passing and marked it ``{term}``, which shows the definition to whoever points at it. Words that also have an
everyday meaning are left out, as nobody can tell which is meant. Knows no Sphinx.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from docs._ext import guides
from docs._ext.counting import LISTS
from docs._ext.project import Project

EVERYDAY = frozenset(
    "bit block character context decode depth detector document encode engine epoch frequency group head index "
    "infinity key length limit mean merge nat power process product prompt rank request reward rotation sample score "
    "seed server shape stage state step stream sum surprise target temperature try value weight width".split()
) | {"per cent"}
"""Terms that a sentence may also use as words like any other."""

_GLOSSARY = re.compile(r"^(:{3,})\{glossary\}[^\n]*\n(.*?)^\1\s*$", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"((?:^(?!: )\S.*\n)+)((?:^(?:: |[ \t]).*\n|^\n)*)", re.MULTILINE)
"""One or more terms, each on its line, and what is said of them."""
_HOME = re.compile(r"Taught in \[[^\]]+\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def pattern(terms: Collection[str]) -> re.Pattern[str]:
    """What finds a term in a text: also in the plural, and at the beginning of a sentence.

    >>> pattern(["matrix", "byte", "Muon"]).findall("Matrices of bytes, and Muon; a byte-pair.")
    ['Matrices', 'bytes', 'Muon']
    """
    forms: dict[str, str] = {}
    for term in terms:
        plural = re.sub(r"y$", "ies", re.sub(r"ix$", "ices", term))
        for form in (term, f"{term}s", f"{term}es", plural):
            forms[form] = f"[{form[0]}{form[0].upper()}]{re.escape(form[1:])}" if form[0].islower() else re.escape(form)
    longest = sorted(forms, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(forms[form] for form in longest)})(?![\w-])")


def term_of(words: str, terms: Collection[str]) -> str:
    """The term of which some words are a form; empty if there is none."""
    for form in (words, words[:1].lower() + words[1:]):
        for base in (form, form[:-1], form[:-2], re.sub(r"ies$", "y", form), re.sub(r"ices$", "ix", form)):
            if base in terms:
                return base
    return ""


@dataclass(frozen=True)
class Entry:
    """A term of a glossary."""

    name: str
    line: int
    """Where it stands in the glossary, from 1."""
    home: str
    """The page that teaches it, as a docname; empty if the entry names none."""


def entries(text: str, docname: str) -> list[Entry]:
    """The terms of a glossary page.

    Args:
        text: The source of the page.
        docname: Its name, against which links are read.
    """
    found: list[Entry] = []
    for glossary in _GLOSSARY.finditer(text):
        for entry in _ENTRY.finditer(glossary[2]):
            home = _HOME.search(entry[2])
            page = posixpath.normpath(posixpath.join(posixpath.dirname(docname), home[1])) if home else ""
            first = text.count("\n", 0, glossary.start(2) + entry.start()) + 1
            found += [
                Entry(name.strip(), line, page.removesuffix(".md"))
                for line, name in enumerate(entry[1].splitlines(), first)
            ]
    return found


@dataclass(frozen=True)
class Use:
    """A term in the prose of a page."""

    name: str
    words: str
    line: int
    marked: bool
    """Whether the writer wrote ``{term}``."""
    heading: bool
    """Whether it stands in a heading, which announces what its section explains."""


def uses(text: str, names: frozenset[str]) -> Iterator[Use]:
    """Every use of a term in the prose of a page, in order.

    Args:
        text: The source of the page.
        names: The terms to look for.
    """
    finder = pattern(names)
    for paragraph in guides.paragraphs(text):
        row = 0
        for token in guides.inline(paragraph.text):
            if token.type in ("softbreak", "hardbreak"):
                row += 1
            elif token.type == "myst_role" and token.meta["name"] == "term":
                target = re.search(r"<([^<>]+)>$", token.content)
                name = term_of(target[1] if target else token.content, names)
                if name:
                    yield Use(name, guides.role_text(token.content), paragraph.line + row, True, paragraph.heading > 0)
            elif token.type == "text":
                for match in finder.finditer(token.content):
                    yield Use(term_of(match[0], names), match[0], paragraph.line + row, False, paragraph.heading > 0)


def misplaced(project: Project) -> Iterator[tuple[Path, int, str]]:
    """File, line and message of what stands in the wrong order, in every guide that has a glossary of its own.

    The first page of a guide is its table of contents, and pages that only list are looked things up in: both are
    left out.
    """
    for glossary in project.guide_pages():
        terms = entries(glossary.read_text(encoding="utf-8"), project.docname(glossary))
        if terms:
            start = f"{project.docname(glossary).split('/')[0]}/index"
            pages = [page for page in guides.reading_order(project, start)[1:] if project.docname(page) not in LISTS]
            yield from _in_order(project, glossary, terms, pages)


def _in_order(
    project: Project, glossary: Path, terms: list[Entry], pages: list[Path]
) -> Iterator[tuple[Path, int, str]]:
    homes = {entry.name: entry.home for entry in terms}
    place = {project.docname(page): number for number, page in enumerate(pages)}
    known: set[str] = set()
    used_at_home: set[str] = set()
    for page in pages:
        here = project.docname(page)
        for use in uses(page.read_text(encoding="utf-8"), frozenset(homes)):
            home = homes[use.name]
            if home == here:
                used_at_home.add(use.name)
            if use.marked or home == here:
                known.add(use.name)
            early = use.name not in known and place.get(home, -1) > place[here]
            if early and not use.heading and use.name not in EVERYDAY:
                known.add(use.name)  # said once
                yield (
                    page,
                    use.line,
                    f"{use.words!r} is a term that only {home} teaches: explain it here in passing and mark it "
                    f"{{term}}`{use.name}`, or use an everyday word",
                )
    for entry in terms:
        if not entry.home:
            yield (
                glossary,
                entry.line,
                f"the term {entry.name!r} does not say which section teaches it: end its definition with a paragraph "
                "'Taught in [Section](page.md#section).'",
            )
        elif entry.home in place and entry.name not in used_at_home:
            yield (
                glossary,
                entry.line,
                f"the term {entry.name!r} is taught in {entry.home}, which never uses the word",
            )
