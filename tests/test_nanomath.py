"""NANOMATH keeps its promise: each topic has one sentence, a picture, a worked example, a use and a problem."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document

from docs._ext import guides
from docs._ext import symbols as symbols_of_site
from docs._ext.math import place_links
from docs._ext.pictures import load as load_picture
from docs._ext.problems import load as load_problem
from docs._ext.project import Project
from docs._ext.single_file import Flattener
from docs._ext.symbols import SymbolTable

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


# ---- letters that mean something else in one section ----

TABLE = SymbolTable.load(FOLDER / "symbols.toml")
HERE = re.compile(r"^(`{3,}|:{3,})\{letters\}\n(.*?)^\1", re.M | re.S)


def test_a_section_can_give_a_letter_another_meaning() -> None:
    inner = nodes.section("", nodes.math("", "x"), nodes.comment("", letters=TABLE.meanings(["x: a lone number"])))
    coins = TABLE.meanings(["x: the coins of five friends", "n: how many they are"])
    said = nodes.comment("", letters=coins)
    outer = nodes.section("", nodes.math("", "x"), said, nodes.paragraph("", "", nodes.math("", "n")), inner)
    page = new_document("page")
    page += [outer, nodes.section("", nodes.math("", "x"))]
    symbols_of_site._spread(None, page)
    first, second, within, beyond = page.findall(nodes.math)
    assert not list(page.findall(nodes.comment)) and "letters" not in beyond
    assert first["letters"] == second["letters"] == coins
    assert within["letters"] == {**coins, "input": "a lone number"}
    link = '<a href="sym:input">x</a>'
    assert 'title="here: the coins of five friends"' in place_links(link, TABLE, "notation.html", first["letters"])
    assert f'title="{TABLE.symbols["input"].tip}"' in place_links(link, TABLE, "notation.html", beyond.get("letters"))


@pytest.mark.parametrize("line", ["x", "x:", ": a list", "x y: two", r"\aleph: unknown", "2: a number"])
def test_a_meaning_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="letters: "):
        TABLE.meanings([line])
    with pytest.raises(ValueError, match="two meanings here"):
        TABLE.meanings(["x: one", "x: another"])


def test_letters_that_are_given_a_meaning_are_used_where_it_holds() -> None:
    found, idle = 0, []
    for path in PROJECT.pages():
        text = path.read_text(encoding="utf-8")
        head, *parts = re.split(r"^(?=## )", text, flags=re.M)
        for part in (head, *parts):
            for block in HERE.finditer(part):
                scope = text if part is head else part
                formulas = [match[1] or match[2] for match in MATHS.finditer(scope)]
                used = {key for formula in formulas for key in TABLE.mark(formula).keys}
                here = TABLE.meanings(block[2].splitlines())
                found += len(here)
                idle += [f"{path.name}: {key}" for key in here if key not in used]
                assert block[0] not in Flattener(PROJECT).page(PROJECT.docname(path))
    assert found >= 5 and not idle, f"no formula of the section uses {idle}"


# ---- arithmetic that is written as mathematics ----

MATHS = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$(?!\d)", re.S)
RELATION = re.compile(r"(=|\\approx|\\ne|\\le|\\ge|<|>)")
CALCULABLE = re.compile(r"(?:[\d.+\-*/() ]|root|lb|pi)+")


def group(tex: str, start: int) -> int:
    """Where the group ends that begins at a brace."""
    depth = 0
    for place in range(start, len(tex)):
        depth += (tex[place] == "{") - (tex[place] == "}")
        if not depth:
            return place + 1
    return len(tex)


def calculation(tex: str) -> str | None:
    """Numbers and signs as Python, or None where anything else takes part."""
    while found := re.search(r"\\frac(?=\{)", tex):
        middle = group(tex, found.end())
        end = group(tex, middle)
        above, below = tex[found.end() + 1 : middle - 1], tex[middle + 1 : end - 1]
        tex = f"{tex[: found.start()]}(({above})/({below})){tex[end:]}"
    while found := re.search(r"\\sqrt(?=\{)", tex):
        end = group(tex, found.end())
        tex = f"{tex[: found.start()]}root({tex[found.end() + 1 : end - 1]}){tex[end:]}"
    tex = tex.replace("{,}", "").replace(r"\log_2", "lb ").replace(r"\,\%", "/100").replace(r"\%", "/100")
    tex = re.sub(r"\\[,; ]|\\ldots", " ", tex)
    tex = re.sub(r"(?<=\d)\s*\\pi", "*pi", tex).replace(r"\pi", "pi")
    tex = re.sub(r"\^\{([^{}]*)\}", r"**(\1)", tex)
    tex = re.sub(r"\^(\d)", r"**\1", tex)
    tex = re.sub(r"\\times|\\cdot", "*", tex).replace(r"\div", "/").replace("{", "(").replace("}", ")").strip()
    tex = re.sub(r"lb\s+(\d+)", r"lb(\1)", tex)
    good = CALCULABLE.fullmatch(tex) and re.search(r"\d", tex) and not re.search(r"\d\s+[\d(]|\)\s*[\d(]|\d\(", tex)
    return tex if good else None


def value(python: str) -> float:
    return float(eval(python, {"root": math.sqrt, "lb": math.log2, "pi": math.pi}))


def equations(tex: str) -> list[tuple[str, str, str]]:
    """The neighbours of each sign that compares, where both are numbers."""
    found = []
    tex = re.sub(r"\\(?:begin|end)\{aligned\}", " ", tex)
    tex = re.sub(r"\\\\\s*&\s*(?:\\quad\s*)?(?==)|&\s*(?==)", " ", tex)  # a line may go on in the next one
    for part in re.split(r"\\q+uad|\\text\{[^{}]*\}|\\\\|&", tex):
        pieces = RELATION.split(part)
        found += [(pieces[k - 1], pieces[k], pieces[k + 1]) for k in range(1, len(pieces), 2)]
    return found


def holds(left: str, sign: str, right: str) -> bool | None:
    """Whether a comparison of numbers is true; None where it is not one of numbers."""
    sides = [calculation(side) for side in (left, right)]
    if None in sides:
        return None
    try:
        a, b = (value(side) for side in sides if side)
    except (SyntaxError, ZeroDivisionError):
        return None
    if sign == r"\approx" or r"\ldots" in left + right:
        decimals = len((re.search(r"\.(\d+)", right) or re.search(r"()", ""))[1])
        return abs(a - b) <= 0.51 * 10**-decimals
    if sign == "=":
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return {r"\ne": a != b, r"\le": a <= b, r"\ge": a >= b, "<": a < b, ">": a > b}[sign]


def test_the_reader_of_arithmetic_finds_mistakes() -> None:
    assert holds(r"2 + 3 \times 4", "=", "14") and not holds(r"(2 + 3) \times 4", "=", "14")
    assert holds(r"\sqrt{\frac{2}{3}}", r"\approx", "0.82") and not holds(r"\sqrt{2}", r"\approx", "1.5")
    assert holds("2^{10}", "=", "1024") and holds("x", "=", "3") is None
    assert [holds(*one) for one in equations("2 \\times 3 \\\\\n&\\quad = 6 = 7")] == [True, False]
    assert [holds(*one) for one in equations(r"\begin{aligned} 2 + 3 &= 5 \\ 4 &= 5 \end{aligned}")] == [True, False]


def written_out(page: Path) -> Iterator[str]:
    """The formulas of a page, of its problems and of the captions of its pictures."""
    text = re.sub(r"^```python$.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    words = [text]
    for target in re.findall(r"\{problem\} (\S+)", text):
        problem = load_problem(target)
        words += [problem.question, *problem.steps]
    words += [load_picture(target).caption for target in re.findall(r"\{picture\} (\S+)", text)]
    for some in words:
        yield from (match[1] or match[2] for match in MATHS.finditer(some))


@pytest.mark.parametrize("page", TEACHING, ids=lambda page: page.stem)
def test_every_sum_that_is_written_out_is_right(page: Path) -> None:
    verdicts = [(one, holds(*one)) for formula in written_out(page) for one in equations(formula)]
    wrong = ["".join(one).strip() for one, verdict in verdicts if verdict is False]
    assert not wrong, f"{page.name} calculates wrongly: {wrong}"
    assert any(verdict for _, verdict in verdicts), f"no sum of {page.name} was understood"
