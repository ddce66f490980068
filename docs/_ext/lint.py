"""Typed numbers, line numbers that will rot, terms before their definition: each with its place and its cure.

    python -m docs._ext.lint

A number in a guide is computed (a claim, ``{val}``), proved (a doctest), mathematics (``$...$``), supposed by
the text (``[3]{.given}``) or cited (``{cite}`` in the same sentence). Knows no Sphinx.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs._ext import glossary, guides
from docs._ext.project import Project

NUMBER = re.compile(r"(?<![\w.\-/:²³])[-−]?\d[\d.,_]*%?")
LINES = re.compile(r"\b[\w/.-]*\w\.(?:py|sh|js|toml|md|html|css):\d+")
LABEL = re.compile(r"\b(?:version|step|part|level|stage|exercise|example|problem|way|question|case)\s+$", re.IGNORECASE)
FREE = frozenset({"given", "claim", "cite", "val"})
CURE = (
    "make it a claim, compute it with {val}`...`, mark what the text supposes as [3]{.given}, write mathematics "
    "in $...$, or cite it with {cite}`key` in the same sentence"
)


@dataclass(frozen=True)
class Finding:
    """Something to mend."""

    kind: str
    """``number``, ``line`` or ``term``."""
    file: Path
    line: int
    message: str


def bare_numbers(sentence: str) -> Iterator[tuple[int, str]]:
    """Numbers of a sentence that nothing stands for: lines below its first, and the number."""
    found: list[tuple[int, str]] = []
    depth: list[bool] = []
    row, before = 0, ""
    for token in guides.inline(sentence):
        if token.type == "span_open":
            classes = set(str(token.attrs.get("class", "")).split())
            depth.append(bool(classes & FREE) or str(token.attrs.get("id", "")).startswith("claim-"))
        elif token.type == "span_close":
            depth.pop()
        elif token.type in ("softbreak", "hardbreak"):
            row += 1
            before = " "
        elif token.type == "myst_role" and token.meta["name"] == "cite":
            return
        elif token.type == "text" and not any(depth):
            text = before + token.content
            for match in NUMBER.finditer(text):
                number = match[0].rstrip(".,_")
                label = LABEL.search(text[: match.start()]) and len(number) == 1
                if not label and match.start() >= len(before):
                    found.append((row, number))
            before = text[-20:]
        else:
            before = " "
    yield from found


def lint_page(path: Path, numbers: bool) -> Iterator[Finding]:
    """All findings of a page."""
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        for match in LINES.finditer(line):
            message = (
                f"{match[0]!r} will rot: name the symbol, {{src}}`package.module.name`, and the build prints its lines"
            )
            yield Finding("line", path, number, message)
    for paragraph in guides.paragraphs(text) if numbers else ():
        for line, sentence in guides.split_sentences(paragraph):
            for row, number in bare_numbers(sentence):
                yield Finding("number", path, line + row, f"{number!r} is only typed: {CURE}")


def lint(project: Project) -> list[Finding]:
    """All findings of a project: numbers and terms in the guides, line numbers on every page."""
    inside = set(project.guide_pages())
    pages = [finding for path in project.pages() for finding in lint_page(path, path in inside)]
    return pages + [Finding("term", *found) for found in glossary.misplaced(project)]


def check_lint(app) -> None:  # noqa: ANN001 - Sphinx stays out of this module
    """Warn of every finding, on every build."""
    from docs._ext.skin import project_of, warn

    for finding in lint(project_of(app)):
        warn(finding.file, finding.line, finding.message, "lint", finding.kind)


def setup_lint(app) -> None:  # noqa: ANN001
    """Lint on every build."""
    app.connect("builder-inited", check_lint, priority=120)


def main() -> int:
    """The command line."""
    project = Project(Path(__file__).parents[2])
    found = lint(project)
    for finding in found:
        print(f"{project.relative(finding.file)}:{finding.line}: [{finding.kind}] {finding.message}")
    print(f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
