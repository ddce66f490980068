"""NANOMATH keeps its promise: each topic has one sentence, a picture, a worked example, a use and a problem."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs._ext import guides
from docs._ext.project import Project
from docs._ext.single_file import Flattener

PROJECT = Project(Path(__file__).resolve().parents[1])
FOLDER = PROJECT.docs / "nanomath"
TEACHING = [path for path in guides.reading_order(PROJECT, "nanomath/index") if path.stem not in ("index", "glossary")]
SYMBOLS = tomllib.loads((FOLDER / "symbols.toml").read_text(encoding="utf-8"))["symbol"]


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    text = page.read_text(encoding="utf-8")
    return {
        part.partition("\n")[0].strip(): part.partition("\n")[2] for part in re.split(r"^## ", text, flags=re.M)[1:]
    }


TOPICS = [(page, name, text) for page in TEACHING if page.stem != "notation" for name, text in sections(page).items()]


@pytest.mark.parametrize("page,name,text", TOPICS, ids=[f"{page.stem}-{name}" for page, name, _ in TOPICS])
def test_a_topic_has_all_its_parts(page: Path, name: str, text: str) -> None:
    first = text.strip().split("\n\n")[0]
    assert first.startswith("**") and first.endswith((".**", "?**")), f"{name} does not begin with its one sentence"
    said = guides.split_sentences(guides.Paragraph(1, first.strip("*")))
    assert len(said) == 1, f"the opening of {name} is more than one sentence: {said}"
    assert "{picture}" in text, f"{name} has no picture"
    assert "```python\n>>>" in text, f"{name} has no worked example that runs"
    assert text.count("**In nanochat:**") == 1, f"{name} does not say where nanochat uses it"
    use = text.partition("**In nanochat:**")[2]
    assert re.search(r"\{src\}|\{doc\}|\{ref\}|\{val\}|\]\([\w/.-]+\.md", use), f"the use of {name} leads nowhere"
    assert "{problem}" in use, f"{name} ends without a problem"


def test_there_are_as_many_topics_pictures_and_problems_as_promised() -> None:
    whole = "\n".join(page.read_text(encoding="utf-8") for page in TEACHING)
    assert len(TOPICS) >= 30
    assert len(set(re.findall(r"\{picture\} (\S+)", whole))) >= 20
    assert len(set(re.findall(r"\{problem\} (\S+)", whole))) >= 35


@pytest.mark.parametrize("page", TEACHING, ids=lambda page: page.stem)
def test_no_page_is_too_long(page: Path) -> None:
    assert len(guides.page_text(page.read_text(encoding="utf-8")).split()) <= 3000


def test_the_first_page_leads_to_every_topic() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    missing = [
        f"{page.stem}: {name}"
        for page, name, _ in TOPICS
        if f"{page.stem}.md#{re.sub(r'[^a-z0-9 -]', '', name.lower()).replace(' ', '-')}" not in index
    ]
    assert not missing, f"docs/nanomath/index.md does not link to {missing}"


def test_every_greek_letter_that_is_used_can_be_said() -> None:
    table = sections(FOLDER / "notation.md")["Greek letters"]
    names = {
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
    }
    names |= {"xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"}
    used = set()
    for symbol in SYMBOLS:
        spellings = [symbol["tex"]] if isinstance(symbol["tex"], str) else symbol["tex"]
        macros = re.findall(r"\\(?:var)?([a-zA-Z]+)", " ".join(spellings))
        used |= {macro.lower() for macro in macros} & names
    missing = [name for name in sorted(used) if f"| {name} |" not in table]
    assert used and not missing, f"the alphabet of docs/nanomath/notation.md lacks {missing}"


def test_every_symbol_says_how_it_is_read() -> None:
    silent = [symbol["key"] for symbol in SYMBOLS if not symbol.get("say")]
    assert not silent, f"docs/nanomath/symbols.toml does not tell how to say {silent}"
    homeless = [
        symbol["key"] for symbol in SYMBOLS if not (PROJECT.docs / f"{symbol.get('home', 'index')}.md").is_file()
    ]
    assert not homeless, f"the home of {homeless} does not exist"


def test_the_guide_in_one_file_has_the_tables_of_symbols() -> None:
    page = Flattener(PROJECT).page("nanomath/notation")
    missing = [symbol["key"] for symbol in SYMBOLS if f"| {symbol['name']} | {symbol['say']} |" not in page]
    assert not missing, f"the tables of NANOMATH.md lack {missing}"
