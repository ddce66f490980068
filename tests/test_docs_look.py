"""The look of the site: symbols, formulas, pictures, problems, terms, palette, and a miniature site."""

from __future__ import annotations

import gzip
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from toy_site import run_sphinx

from docs._ext import drawing
from docs._ext.docstrings import plain_returns
from docs._ext.look import TAG, flatten, hang, hang_source
from docs._ext.marks import draw
from docs._ext.math import Renderer, arrange, keep_together, place_links
from docs._ext.pictures import named_svg
from docs._ext.symbols import Symbol, SymbolTable
from docs._ext.terms import link_first_uses, tipped
from docs.pictures import site
from docs.problems import Problem
from nanochat import figures
from nanochat.common import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def table() -> SymbolTable:
    return SymbolTable.load(ROOT / "docs" / "nanomath" / "symbols.toml")


@pytest.fixture(scope="module")
def katex(table: SymbolTable) -> Renderer:
    renderer = Renderer(table)
    yield renderer
    renderer.close()


# ---- symbols and formulas ----


def test_every_symbol_can_be_shown_and_links_to_itself(table: SymbolTable, katex: Renderer) -> None:
    assert len(table.symbols) > 100
    for symbol in table.symbols.values():
        for tex in {symbol.show or symbol.tex[0], *symbol.tex} - {r"\sqrt"}:
            whole = f"a{tex}" if tex.startswith("^") else tex
            rendered, wrong = katex.render(whole, True)
            assert not wrong, (symbol.key, wrong)
            assert f"sym:{symbol.key}" in rendered, (symbol.key, whole)


@pytest.mark.parametrize(
    ("tex", "keys"),
    [
        ("W_q", ["query-matrix"]),
        ("W_{q}", ["query-matrix"]),
        (r"W _ { q } x", ["query-matrix", "input"]),
        (r"\mathcal L", ["loss"]),
        (r"\beta_1 + \beta", ["beta-one", "beta"]),
        (r"\mathrm{softmax}(q)", ["softmax", "queries"]),
        (r"\text{Q and Z} + x", ["input"]),
        (r"\begin{matrix} a & b \\[2pt] x & y \end{matrix}", ["any-number", "rotation-base", "input", "output"]),
    ],
)
def test_the_longest_symbol_wins(table: SymbolTable, tex: str, keys: list[str]) -> None:
    marked = table.mark(tex)
    assert marked.keys == keys and not marked.unknown


def test_the_letters_of_the_shapes_mean_what_the_docstrings_say(table: SymbolTable) -> None:
    names = {letter: table.symbols[table.mark(letter).keys[0]].name for letter in "BTSVCLHGDN"}
    assert names["T"] == "tokens in a row" and names["H"] == "query heads" and names["D"] == "channels of a head"
    assert len(set(names.values())) == 10


@pytest.mark.parametrize(
    "tex", [r"\aleph", r"x + \operatorname{wrong}", r"\Xi_q", r"\mathrm{nosuchname}", "\\star x", "J"]
)
def test_what_has_no_meaning_is_named_with_the_cure(katex: Renderer, tex: str) -> None:
    rendered, wrong = katex.render(tex, False)
    assert not rendered and "no meaning for" in wrong and "symbols.toml" in wrong


def test_broken_tex_is_told_in_the_words_of_the_writer(katex: Renderer) -> None:
    wrong = katex.render(r"\frac{x", False)[1]
    assert "KaTeX cannot read" in wrong and "href" not in wrong


def test_a_formula_has_mathml_without_our_links(katex: Renderer) -> None:
    rendered = katex.render(r"\operatorname{softmax}\left(\frac{q k^\top}{\sqrt{D}}\right) v", True)[0]
    mathml = rendered[: rendered.index("</math>")]
    assert "sym:" not in mathml and r"\href" not in mathml and r"\sqrt{D}" in mathml
    assert 'aria-hidden="true"' not in rendered.replace('class="katex-strut"', "")[: len(mathml) + 200]
    for key in ("softmax", "queries", "keys", "transpose", "sqrt", "head-channels", "values"):
        assert f'href="sym:{key}"' in rendered


def test_scripts_keep_the_classes_that_space_them(table: SymbolTable, katex: Renderer) -> None:
    placed = place_links(katex.render("x_i", False)[0], table, "notation.html")
    assert "sym:" not in placed and placed.count('href="notation.html#sym-') == 2
    assert 'class="nc-tip nc-sym mtight"' in placed


def test_lines_of_a_formula_are_aligned() -> None:
    assert arrange(r"a &= b \\ c &= d").startswith(r"\begin{aligned}")
    assert arrange(r"\begin{matrix} a \\ b \end{matrix}") == r"\begin{matrix} a \\ b \end{matrix}"


def test_a_short_formula_keeps_the_signs_around_it() -> None:
    page = publish_doctree(
        r"From (:math:`x`), and :math:`a + b + c + d + e + f + g`. It is :math:`y`; or :math:`z` is."
    )

    class Html:
        format = "html"

    keep_together(type("App", (), {"builder": Html})(), page, "page")
    together = [node.astext() for node in page.findall(nodes.inline) if "nc-together" in node["classes"]]
    assert together == ["(x),", "y;"]
    assert page.astext() == "From (x), and a + b + c + d + e + f + g. It is y; or z is."


def test_renderings_are_kept_until_a_symbol_changes(tmp_path: Path) -> None:
    one = SymbolTable([Symbol("x", ("x",), "an x", "it is x")])
    first = Renderer(one, tmp_path / "katex.json")
    html = first.render("x", False)
    first.close()
    kept = json.loads((tmp_path / "katex.json").read_text(encoding="utf-8"))
    assert kept["formulas"] == {"Ix": list(html)}
    assert Renderer(one, tmp_path / "katex.json")._cache == kept["formulas"]
    other = SymbolTable([Symbol("x", ("x",), "an x", "it is another")])
    assert Renderer(other, tmp_path / "katex.json")._cache == {}


def test_two_meanings_for_one_letter_are_refused() -> None:
    with pytest.raises(ValueError, match="means both 'a' and 'b'"):
        SymbolTable([Symbol("a", ("x",), "n", "m"), Symbol("b", ("x",), "n", "m")])
    with pytest.raises(ValueError, match="used twice: a"):
        SymbolTable([Symbol("a", ("x",), "n", "m"), Symbol("a", ("y",), "n", "m")])


# ---- pictures ----


@pytest.mark.parametrize("draw", [site.river, site.palette, site.sizes, site.tokens, site.kit])
def test_pictures_of_the_site_are_complete(draw) -> None:
    picture = draw()
    root = ElementTree.fromstring(picture.svg)
    assert root.get("viewBox", "").startswith(f"0 0 {drawing.WIDTH} ")
    assert not re.search(r"(?:fill|stroke):\s*#", picture.svg), "colours are variables"
    sizes = [float(size) for size in re.findall(r"font-size:([\d.]+)px", picture.svg)]
    assert min(sizes) >= drawing.SMALL
    assert re.search(r"\d", picture.caption), "a caption has a measured number"


def test_svg_of_every_drawing_stays_inside_its_width() -> None:
    strip = drawing.token_strip([" word" * 3, "x", " long" * 4, b"\xc3", "\n"] * 3, list(range(15)))
    for one in (strip, drawing.flow([["a", "b", "c"], "d", ["e", "f"]]), drawing.bars({"name": 3.0, "other": 0})):
        for x, width in re.findall(r'<rect x="([\d.]+)"[^>]*? width="([\d.]+)"', one.shapes):
            assert 0 <= float(x) and float(x) + float(width) <= drawing.WIDTH


def test_a_way_that_parts_or_comes_back_is_a_graph_in_the_files() -> None:
    box = drawing.Box('say "x"', "(T)")
    ways = drawing.flow([box, ["b", "c"], "d"], ["cut", ""], graph=True)
    assert ways.text.splitlines() == [
        "flowchart TD",
        '    s0["say #quot;x#quot;<br>(T)"]',
        *('    s1a["b"]', '    s1b["c"]', '    s2["d"]'),
        *('    s0 -->|"cut"| s1a', '    s0 -->|"cut"| s1b', "    s1a --> s2", "    s1b --> s2"),
    ]
    ways = ["b", drawing.Box("c", ends=True)]
    ending = drawing.flow(["a", ways, "d"], ["cut", ""], graph=True)
    assert "s1a --> s2" in ending.text and "s1b --> s2" not in ending.text
    both = drawing.flow(["a", ["b", "c"], "d"])
    assert ending.shapes.count("<path") == both.shapes.count("<path") - 2  # a line and its tip
    straight, round_ = drawing.flow(["a", "b", "c"]), drawing.flow(["a", "b", "c"], back=1, again="again")
    assert round_.text.endswith('    s2 -->|"again"| s1') and "flowchart" not in straight.text
    assert round_.height == straight.height and round_.shapes.count("<path") == straight.shapes.count("<path") + 3
    for x in re.findall(r"[ML]([\d.]+) ", round_.shapes):
        assert 0 <= float(x) <= drawing.WIDTH


def test_drawings_refuse_what_they_cannot_show() -> None:
    for call in (
        lambda: drawing.flow([]),
        lambda: drawing.flow(["a", "b"], back=1),
        lambda: drawing.flow(["a", ["b", "c"]], back=0),
        lambda: drawing.flow(["a", "b"], ["x", "y"]),
        lambda: drawing.bars({"a": -1.0}),
        lambda: drawing.bars({"a": 0.0}),
        lambda: drawing.grid([[1.0], [1.0, 2.0]]),
        lambda: drawing.grid([[1.0]], ["a", "b"]),
        lambda: drawing.lines({"a": [(0, 1)]}),
        lambda: drawing.lines({"a": [(0, 1), (1, float("nan"))]}),
        lambda: drawing.number_line({"a": 9}, 0, 1),
        lambda: drawing.token_strip(["a"], [1, 2]),
        lambda: drawing.colour("pink"),
        lambda: drawing.Picture("<svg/>", "t", "", "c"),
        lambda: drawing.Picture("<p/>", "t", "a", "c"),
    ):
        with pytest.raises(InputError):
            call()


def test_an_svg_gets_a_name_and_ids_of_its_own() -> None:
    svg = '<svg viewBox="0 0 1 1"><path id="a"/><use href="#a"/><image href="data:x"/><g clip-path="url(#a)"/></svg>'
    named = named_svg(svg, 'says "a < b"', "one")
    root = ElementTree.fromstring(named)
    assert root.get("role") == "img" and root[0].text == 'says "a < b"'
    assert 'id="one-a"' in named and 'href="#one-a"' in named and "url(#one-a)" in named and 'href="data:x"' in named


# ---- palette, figures ----


def test_text_colours_keep_their_contrast() -> None:
    assert min(site.contrasts().values()) >= 4.5


def test_black_on_white_has_the_greatest_contrast() -> None:
    assert site._contrast("#000000", "#ffffff") == pytest.approx(21)


def test_a_token_keeps_its_colour_and_escapes_its_text() -> None:
    strip = figures.token_html([" <b>", b" <b>", "\n"], [1, 2, 3])
    found = re.findall(r'nc-token (nc-\w+)">([^<]*)<', strip._repr_html_())
    assert found[0] == found[1] and found[0][1] == "·&lt;b&gt;" and found[2][1] == "⏎"
    with pytest.raises(InputError):
        figures.token_html(["a"], [1, 2])


def test_figures_become_svg_that_follows_the_page() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    from docs._ext.gallery import figure_svg

    before = matplotlib.rcParams.copy()
    try:
        figures.use_style()
        made = []
        for _ in range(2):
            figure = matplotlib.figure.Figure()
            axes = figure.subplots()
            axes.plot([0, 1], [1, 0])
            axes.set_xlabel("step")
            figures.describe(figure, "a line", "It falls by 1.0.")
            made.append(figure_svg(figure, "f", figure.get_label()))
    finally:
        matplotlib.rcParams.update(before)
    assert made[0] == made[1], "the same figure gives the same page"
    assert "var(--nc-accent)" in made[0] and ">step</text>" in made[0] and "<title" in made[0]
    assert not [light for light, _ in figures.PALETTE.values() if light in made[0]]
    with pytest.raises(InputError):
        figures.describe(figure, "  ")


# ---- problems, docstrings ----


def test_problems_accept_right_answers_alone() -> None:
    number = Problem("How many?", 1024, ["Multiply."], unit="tokens")
    assert number.shown == "1,024 tokens"
    assert (
        number.accepts(" 1,024 ") and number.accepts("1024.0") and not number.accepts("1023") and not number.accepts("")
    )
    rounded = Problem("How much?", 0.6667, ["Divide."], tolerance=0.005)
    assert rounded.accepts("0.67") and not rounded.accepts("0.68")
    minus = Problem("What?", -3, ["Subtract."])
    assert minus.accepts("\N{MINUS SIGN}3")
    word = Problem("Which?", "the cat", ["Look."])
    assert word.accepts(" The  Cat") and not word.accepts("cat")
    with pytest.raises(InputError, match="tolerance"):
        Problem("How much?", 0.5, ["Halve."])


def test_returns_sections_have_no_types() -> None:
    assert plain_returns(["    Returns:", "        One: two.", "        Three.", ""]) == [
        "    :returns: One: two.",
        "        Three.",
        "",
    ]


# ---- what is done to finished pages ----


def test_a_long_line_of_code_hangs_below_its_own_beginning() -> None:
    long = "a" * 40
    page = hang(f'<div class="highlight"><pre><span></span>short\n    {long}\n>>> {long}</pre></div><p>{long}</p>')
    lines = page.split("\n")
    assert (
        "nc-line" not in lines[0]
        and 'style="--in:4"><span class="nc-together">    </span>a' in lines[1]
        and 'style="--in:4">>>> a' in lines[2]
    )
    assert page.count("nc-line") == 2 and TAG.sub("", page).count(long) == 3


def test_marks_that_go_over_the_end_of_a_line_are_closed_in_each() -> None:
    page = hang(f'<div class="highlight"><pre><span class="w">\n\n</span><span class="s">{"a" * 40}\nb</span></pre>')
    for line in page.removeprefix('<div class="highlight"><pre>').split("\n"):
        assert line.count("<span") == line.count("</span>"), line


def test_source_keeps_its_numbers_and_a_signature_no_list() -> None:
    line = '<span class="source-line" id="L7"><a class="source-number" href="#L7">7</a>  ' + "a" * 40
    assert 'id="L7" style="--in:2"><a' in hang_source(line)
    page = '<dt class="sig sig-object py"><dl><dd>x</dd></dl></dt><dd><dl><dd>y</dd></dl></dd>'
    assert flatten(page).count("<dl>") == 1 and "<dd>y</dd>" in flatten(page)


NUMBERED = """
# Book

```{toctree}
:numbered: 2

one
two
```
"""
ONE = """# One

✅ proved, `✅` as code, and ⚠️.

## A section

## Another

```{toctree}

deep
```
"""


def test_pages_are_numbered_and_marks_drawn(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nextensions = ['myst_parser']\nhtml_theme = 'basic'\n"
        "def setup(app):\n    from docs._ext import setup_features\n"
        "    setup_features(app, ('marks', 'numbering'))\n"
    )
    pages = {"index": NUMBERED, "one": ONE, "deep": "# Deep\n\n## Below\n", "two": "# Two\n"}
    for name, text in pages.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    for _ in range(2):  # the second build finds nothing to do
        built = run_sphinx(tmp_path, "-n", "-W", "-q", "-b", "html", ".", "out")
        assert built.status == 0, built.output
        one, deep, two = (
            (tmp_path / "out" / f"{name}.html").read_text(encoding="utf-8") for name in pages if name != "index"
        )
        heads = re.findall(r"<h[12]>(.*?)<a", one + deep + two)
        assert [TAG.sub("", head) for head in heads] == [
            *("1. One", "A section", "Another"),
            *("1.1. Deep", "Below"),
            "2. Two",
        ]
    assert one.count("<svg") == 2 and 'aria-hidden="true"' in one and "✅</span></code>" in one.replace("\n", "")
    assert one.count("✅") == 1 and "⚠" not in one and "\ufe0f" not in one
    assert 'aria-label="needs clarification"' in draw("⚠", alone=True)


# ---- a miniature site ----

CONF = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
project = "toy"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
html_theme = "basic"
html_math_renderer = "katex"
exclude_patterns = ["_build"]
def setup(app):
    from docs._ext import setup_features
    setup_features(app, ("math", "symbols", "terms", "pictures", "problems"))
"""
SYMBOLS = """
[[symbol]]
key = "ex"
tex = "x"
name = "input"
meaning = "what goes in"
group = "letters"
"""
INDEX = """# Toy

A {term}`thing` and $x$.

$$ x = 2 x $$ (twice)

See {eq}`twice`.

```{picture} toy_pictures:one
```

```{problem} toy_pictures:ask
```

```{toctree}
nanomath/notation
words
```
"""
NOTATION = """# Notation

```{symbol-table} letters
```
"""
WORDS = """# Words

Any $x$.

## Another

```{letters}
x: a thing
```

Now $x$.

## Things

:::{glossary}
thing
: What there is \\<here>. And more.
other
thing two
: A second one,
  with a second line.
:::
"""
PICTURES = """
from docs.pictures import bars
from docs.problems import Problem
from toy_number import NUMBER

def one():
    return bars({"a": NUMBER}).picture("One bar.", f"It is {NUMBER} long, as $x$ is.")

def ask():
    return Problem("What is $x$?", NUMBER, ["Look."])
"""


class Toy:
    """A site of three pages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        (self.source / "nanomath").mkdir(parents=True)
        for name, text in {
            "conf.py": CONF.format(root=str(ROOT), here=str(folder)),
            "nanomath/symbols.toml": SYMBOLS,
            "nanomath/notation.md": NOTATION,
            "index.md": INDEX,
            "words.md": WORDS,
        }.items():
            (self.source / name).write_text(text, encoding="utf-8")
        (folder / "toy_pictures.py").write_text(PICTURES, encoding="utf-8")
        (folder / "toy_number.py").write_text("NUMBER = 3\n", encoding="utf-8")

    def build(self) -> tuple[int, str]:
        """Build as the real site is built; return the exit status and what was said."""
        built = run_sphinx(self.folder, "-n", "-W", "--keep-going", "-q", "-b", "html", "source", "out")
        return built.status, built.output

    def page(self, name: str) -> str:
        return (self.folder / "out" / name).read_text(encoding="utf-8")


def test_the_first_use_of_a_term_is_a_link() -> None:
    page = publish_doctree(
        "The token\n=========\n\nA ``token``, and *two* tokens. Matrices; a language model, a model. "
        "Byte-pairs, queries.\n\nA token, a matrix, a model, a byte.\n"
    )
    terms = {"token": "t", "matrix": "m", "language model": "l", "model": "o", "byte": "b", "query": "q"}
    link_first_uses(page, terms, lambda anchor, words: tipped("", nodes.Text(words), refuri=f"#{anchor}", tip=""))
    links = [(link["refuri"], link.astext()) for link in page.findall(tipped)]
    named = [("#t", "tokens"), ("#m", "Matrices"), ("#l", "language model"), ("#o", "model"), ("#q", "queries")]
    assert links == [*named, ("#b", "byte")]
    assert "A token, and two tokens." in page.astext()


def test_a_small_site_end_to_end(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    status, said = toy.build()
    assert status == 0, said
    page = toy.page("index.html")
    assert 'href="nanomath/notation.html#sym-ex" title="input: what goes in"' in page
    assert 'id="sym-ex"' in toy.page("nanomath/notation.html")
    assert 'title="What there is &lt;here&gt;. And more."' in page and "words.html#term-thing" in page
    tips = re.findall('nc-sym.*? title="([^"]*)"', toy.page("words.html"))
    assert tips == ["input: what goes in", "here: a thing"]
    assert toy.page("words.html").count("<dd>") == 2 and 'id="term-thing-two"' in toy.page("words.html")
    assert 'class="eqno">(1)' in page
    assert page.count('role="img"') == 1 and "<title" in page and "It is 3 long" in page
    assert 'data-answer="3"' in page and "<details>" in page and "The answer is <strong>3</strong>" in page

    # what a picture depends on has changed, and no page has: the page follows
    (tmp_path / "toy_number.py").write_text("NUMBER = 44\n", encoding="utf-8")
    assert toy.build()[0] == 0
    assert "It is 44 long" in toy.page("index.html") and 'data-answer="44"' in toy.page("index.html")

    # a definition has changed: pages that show it follow
    (toy.source / "words.md").write_text(WORDS.replace("What there is", "All that is"), encoding="utf-8")
    assert toy.build()[0] == 0
    assert "All that is" in toy.page("index.html")

    # an error stops this build and the next one, which reads no page again
    (toy.source / "words.md").write_text(WORDS + "\nHere is $y$.\n", encoding="utf-8")
    for _ in range(2):
        status, said = toy.build()
        assert status != 0 and "no meaning for y" in said and f"words.md:{WORDS.count(chr(10)) + 2}" in said
    (toy.source / "words.md").write_text(WORDS, encoding="utf-8")
    (tmp_path / "toy_number.py").write_text("NUMBER = -1\n", encoding="utf-8")
    for _ in range(2):
        status, said = toy.build()
        assert status != 0 and "bars need values" in said and "index.md:9" in said


# ---- files that every page loads ----


def test_scripts_and_styles_are_light_and_ask_nobody() -> None:
    static = ROOT / "docs" / "_static"
    files = [*static.glob("*.js"), *static.glob("*.css"), static / "katex" / "katex.min.css"]
    assert len(files) >= 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(|@import|src=|fetch\()\s*["']?(?:https?:)?//""", text), file.name
    assert len((static / "tips.js").read_bytes()) < 4096
    fonts = sum(
        len((static / "katex" / "fonts" / f"KaTeX_{name}.woff2").read_bytes())
        for name in ("Main-Regular", "Math-Italic")
    )
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) + fonts < 80_000


def test_katex_style_and_script_are_of_one_version() -> None:
    folder = ROOT / "docs" / "_static" / "katex"
    version = re.search(r"KaTeX (\d+\.\d+\.\d+)", (folder / "README.md").read_text(encoding="utf-8"))[1]
    assert f'"{version}"' in (folder / "katex.min.js").read_text(encoding="utf-8")
    assert f'"{version}"' in (folder / "katex.min.css").read_text(encoding="utf-8")
    named = set(re.findall(r"fonts/(KaTeX_[\w-]+\.woff2)", (folder / "katex.min.css").read_text(encoding="utf-8")))
    assert named == {font.name for font in (folder / "fonts").iterdir()}
