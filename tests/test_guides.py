"""The Python blocks of the guides, run from top to bottom, a page a test."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.example import SybilFailure
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from docs._ext.project import Project

PROJECT = Project(Path(__file__).resolve().parents[1])
PAGES = [page for page in PROJECT.pages() if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: PROJECT.docname(page))
def test_blocks_of_page(page: Path) -> None:
    document = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(PROJECT.docs)).parse(page)
    failures = []
    for example in document.examples():
        try:
            example.evaluate()
        except SybilFailure as failure:
            failures.append(f"{PROJECT.relative(page)}:{example.line}: {failure}")
    assert not failures, "\n".join(failures)
