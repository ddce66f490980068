"""What the guides hold, counted at every build: references, pictures, problems, topics. Knows no Sphinx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs._ext import guides
from docs._ext.project import Project

_MADE = re.compile(
    r"\{src\}`(?P<src>[^`]+)`|^[ >]*(?:`{3,}|:{3,})\{(?P<name>in-code|picture|problem)\}[ \t]+(?P<target>\S+)",
    re.MULTILINE,
)
ASIDE = re.compile(r"^(practice|problems|exercises)\b|^what to remember$", re.IGNORECASE)
"""Headings that name no topic."""
LISTS = frozenset({"nano/glossary", "nanomath/glossary", "nanomath/notation"})
"""Pages that lead and list, and teach no topic of their own."""


@dataclass(frozen=True)
class Made:
    """Something on a page that the build makes from a name."""

    kind: str
    """``src``, ``in-code``, ``picture`` or ``problem``."""
    target: str
    """The symbol or the function."""
    page: Path
    number: int
    """Its place among those of its kind on the page, from 1."""


@dataclass(frozen=True)
class Counts:
    """How much a guide holds."""

    pages: int
    topics: int
    """Sections that teach something."""
    references: int
    """Places of the code that it shows or names with file and lines."""
    pictures: int
    problems: int
    claims: int
    """Sentences that are proved."""
    doctests: int
    """Lines of Python whose result the tests compare."""
    formulas: int


def made_on(page: Path) -> Iterator[Made]:
    """Everything on a page that the build makes from a name, in order."""
    seen: dict[str, int] = {}
    for match in _MADE.finditer(page.read_text(encoding="utf-8")):
        kind = match["name"] or "src"
        target = match["target"] or match["src"].rpartition("<")[2].rstrip("> ").strip()
        seen[kind] = seen.get(kind, 0) + 1
        yield Made(kind, target, page, seen[kind])


def made_in(project: Project, start: str) -> list[Made]:
    """Everything that the build makes on the pages below one."""
    return [made for page in guides.reading_order(project, start) for made in made_on(page)]


def count(project: Project, start: str) -> Counts:
    """Count what stands on a page and all pages below it.

    Args:
        project: The repository.
        start: The first page, as ``nano/index``.
    """
    pages = guides.reading_order(project, start)
    made = made_in(project, start)
    texts = [page.read_text(encoding="utf-8") for page in pages]
    taught = [text for page, text in zip(pages, texts, strict=True) if project.docname(page) not in {start, *LISTS}]
    headings = [paragraph for text in taught for paragraph in guides.paragraphs(text) if paragraph.heading == 2]

    def of(*kinds: str) -> int:
        return sum(one.kind in kinds for one in made)

    return Counts(
        pages=len(pages),
        topics=sum(not ASIDE.search(heading.text) for heading in headings),
        references=of("src", "in-code"),
        pictures=of("picture"),
        problems=of("problem"),
        claims=sum(1 for page in pages for _ in guides.sentences(page)),
        doctests=sum(len(re.findall(r"^\s*>>> ", text, re.MULTILINE)) for text in texts),
        formulas=sum(len(guides.formulas(text)) for text in texts),
    )
