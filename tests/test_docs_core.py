"""The core of docs/_ext: reading guides, checks, mutants, what code reaches, the lint, accepting."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_site import ToySite

from docs._ext import glossary, guides, lint, quotes, values, verdicts
from docs._ext.accept import merged
from docs._ext.claims import CheckFailed, check, measuring, shown
from docs._ext.guides import plain
from docs._ext.mutation import MutantDoesNotApply, edited, swapped
from docs._ext.project import Project
from docs._ext.reach import Reach
from docs._ext.sources import Index, UnknownSymbol, display


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToySite]:
    """A miniature project whose package this process can import, and forgets again."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    kept = dict(sys.modules)
    yield ToySite(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "toy" or name.startswith("docs.claims.")]:
        del sys.modules[name]
    sys.modules.update({name: module for name, module in kept.items() if name not in sys.modules})


@pytest.fixture
def project(site: ToySite) -> Project:
    return Project(site.root, ("toy",))


# Reading guides


def test_spans_are_found_with_their_lines() -> None:
    text = (
        "# T\n\n[One *two*\nthree `[x]{.y}` [4]{.given} $a[1]$.]{#claim-a .claim} and [b](c.md) [no]{.given\n}\n\n"
        "```python\n[x]{#claim-b .claim}\n```\n\n````{note}\n```text\n[x]{#claim-c .claim}\n```\n"
        "[In a note.]{#claim-d .claim}\n````\n\n> - [In a\n>   quote.]{#claim-e .claim}\n\n"
        "| a | [cell]{#claim-f .claim} |\n|---|---|\n\n$$\n[x]{#claim-g .claim}\n$$\n\n[open\n\nno]{#claim-h .claim}\n"
    )
    claims = {span.id: span for span in guides.spans(text) if "claim" in span.classes}
    assert {id: span.line for id, span in claims.items()} == {
        "claim-a": 3, "claim-d": 15, "claim-e": 18, "claim-f": 21
    }  # fmt: skip
    assert claims["claim-a"].text == "One two three [x]{.y} 4 a[1]."
    assert claims["claim-e"].text == "In a quote."


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("*a* **b** _c_ `d_e` f_g", "a b c d_e f_g"),
        ("{term}`tokens <token>` and {src}`x.y`", "tokens and x.y"),
        ("[a *2*](b.md) [3]{.given} $x_1$ ![alt](p.svg)", "a 2 3 x_1 alt"),
        ("> a\n> b\\\nc", "a b c"),
        ("a\u00a0 b[^1] <b>c</b>", "a b c"),
    ],
)
def test_plain_leaves_markup_aside(raw: str, words: str) -> None:
    assert plain(raw) == words


@given(st.text(alphabet="ab1 \n*_`[]{}$>#.:(", max_size=80))
def test_reading_never_fails_and_lines_fit(text: str) -> None:
    assert len(guides.literal_lines(text)) == len(text.splitlines())
    for span in guides.spans(text):
        assert text[span.start : span.end] == span.raw and text[span.start - 1] == "["
    guides.page_text(text)


def test_reading_order_follows_toctrees(project: Project) -> None:
    names = [project.docname(path) for path in guides.reading_order(project)]
    assert names == ["index", "nano/index", "nano/x", "api"]


# Checks


@pytest.mark.parametrize(
    "fails",
    [
        lambda: check(1, 2, "w"),
        lambda: check(float("nan"), float("nan"), "w"),
        lambda: check(torch.zeros(2), torch.zeros(2, 1), "w"),
        lambda: check(torch.zeros(2), torch.tensor([0.0, 1.0]), "w"),
        lambda: check.close(1.0, 1.2, "w", abs=0.1),
        lambda: check.close(float("nan"), 1.0, "w", rel=0.1),
        lambda: check.close(torch.tensor([1.0, 9.0]), torch.tensor([1.0, 1.0]), "w", rel=0.1),
        lambda: check.true([], "w"),
        lambda: check.below(1, 1, "w"),
        lambda: check.above(float("nan"), 1, "w"),
        lambda: check.raises(ValueError, lambda: 3, "w"),
    ],
)
def test_checks_raise_with_what_they_saw(fails) -> None:  # noqa: ANN001
    with pytest.raises(CheckFailed, match="w: got .*, expected"), measuring() as measured:
        fails()
    assert measured == []


def test_checks_remember_what_held() -> None:
    with measuring() as measured:
        check(torch.eye(2), torch.eye(2), "the identity")
        check.close(1.0, 1.05, "near", rel=0.1)
        assert check.raises(ValueError, lambda: int("x"), "no number").startswith("invalid literal")
    assert [m.why for m in measured] == ["the identity", "near", "no number"]
    assert measured[0].got == "[1, 0, 0, 1] of shape (2, 2)"
    with pytest.raises(ValueError, match="rel= or abs="):
        check.close(1.0, 1.0, "exact")


def test_shown_is_short_and_rounds() -> None:
    assert shown(1234567) == "1,234,567" and shown(1 / 3) == "0.333333" and shown(True) == "True"
    assert len(shown("x" * 999)) == 120


# Mutants


def test_edited_reaches_every_name_and_is_undone(site: ToySite) -> None:
    import toy.maths
    from toy.maths import square

    thing = toy.maths.Thing()
    with edited("toy.maths.square", "x * x", "x + x"):
        assert square(5) == 10 and thing.area() == 6
        with edited("toy.maths.Thing.__init__", "= 4", "= 5"):
            assert toy.maths.Thing().inner == 5  # a method that uses super()
    assert square(5) == 25 and toy.maths.Thing().inner == 4
    with pytest.raises(RuntimeError), edited("toy.maths.square", "x * x", "x + x"):
        raise RuntimeError
    assert square(5) == 25


def test_swapped_reaches_every_module(site: ToySite) -> None:
    (site.root / "toy" / "other.py").write_text("from toy.maths import LIMIT, square as sq\n")
    import toy.maths
    import toy.other

    with swapped("toy.maths.square", lambda x: 0), swapped("toy.maths.LIMIT", 1):
        assert (toy.maths.square(3), toy.other.sq(3), toy.other.LIMIT) == (0, 0, 1)
    assert (toy.maths.square(3), toy.other.sq(3), toy.other.LIMIT) == (9, 9, 15)


@pytest.mark.parametrize(
    ("symbol", "old"),
    [("toy.maths.square", "gone"), ("toy.maths.square", "x"), ("toy.maths.gone", "x"), ("toy.gone.x", "x")],
)
def test_mutant_that_does_not_apply_says_so(site: ToySite, symbol: str, old: str) -> None:
    with pytest.raises(MutantDoesNotApply), edited(symbol, old, "y"):
        pass


def test_crash_under_a_mutant_is_no_kill(site: ToySite, project: Project) -> None:
    site.edit(site.claims, '"x * x * x"', '"x * nothing"')
    report = verdicts.judge(project)
    (failure,) = report.failures
    assert failure.kind == "survived" and "NameError" in failure.message


def test_caches_do_not_hide_a_mutant(site: ToySite, project: Project) -> None:
    site.edit(site.claims, '\n\n@claim("sq"', '\nimport functools\nsquare = functools.lru_cache(square)\n\n@claim("sq"')
    assert verdicts.judge(project).failures == []


# Verdicts that are remembered


def judge(project: Project) -> tuple[set[str], list[str]]:
    """Ids of the claims that ran, and failures."""
    report = verdicts.judge(project)
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]
    ran = {verdict.claim.id for verdict in report.verdicts if not verdict.remembered}
    return ran, [failure.message for failure in report.failures]


def test_verdict_is_remembered_until_what_it_reaches_changes(site: ToySite, project: Project) -> None:
    assert judge(project) == ({"sq", "lim"}, [])
    assert judge(project) == (set(), [])
    site.edit(site.code, '"""Multiply a number with itself.', '"""Multiply, a number with itself.')
    site.edit(site.code, "LIMIT = 15", "LIMIT = 15  # a comment")
    assert judge(project) == (set(), [])
    site.edit(site.claims, "two squared", "two, squared")
    assert judge(project) == ({"sq"}, [])  # the other claim of the file does not run
    (site.root / "toy" / "other.py").write_text("X = 1\n")
    assert judge(project) == (set(), [])  # reached by nobody
    site.edit(site.code, '"""A toy."""', '"""A toy."""\nfrom toy import other')
    assert judge(project) == ({"sq", "lim"}, [])
    (site.root / "toy" / "other.py").write_text("X = 2\n")
    assert judge(project) == ({"sq", "lim"}, [])
    (site.root / "docs" / "_build" / "claims.json").write_text("{ damaged")
    assert judge(project) == ({"sq", "lim"}, [])


def test_several_processes_fill_one_memory(site: ToySite, project: Project) -> None:
    (site.root / "docs" / "claims" / "b.py").write_text(
        site.claims.read_text().replace('"sq"', '"sq2"').replace('"lim"', '"lim2"').replace('"cube"', '"cube2"')
        .replace('"low"', '"low2"')
    )  # fmt: skip
    text = site.guide.read_text()
    more = text.split("\n\n", 1)[1].replace("claim-sq", "claim-sq2").replace("claim-lim", "claim-lim2")
    site.guide.write_text(text + more)
    built = site.command("--mutants", "--jobs=2")
    assert built.status == 0 and "0 run, 4 remembered" in built.output, built.output
    assert "0 run, 4 remembered" in site.command("--mutants").output


def test_an_id_that_no_claim_has_is_no_success(site: ToySite) -> None:
    asked = site.command("sq", "sqr")
    assert asked.status == 2 and "no claim sqr in docs/claims" in asked.output


def test_remembered_verdict_is_still_compared(site: ToySite, project: Project) -> None:
    assert judge(project) == ({"sq", "lim"}, [])
    site.edit(site.guide, "**9**", "**8**")
    ran, failures = judge(project)
    assert ran == set() and "the code says: 'The square of 3 is 9" in failures[0]


def test_failed_check_is_not_remembered(site: ToySite, project: Project) -> None:
    site.edit(site.claims, "4.0,", "5.0,")
    for _ in range(2):
        _, failures = judge(project)
        assert "two squared: got 4, expected 5" in failures[0]


def test_changed_mutant_and_read_file_run_again(site: ToySite, project: Project) -> None:
    site.edit(site.claims, 'killed_by="low")', 'killed_by="low", reads="record.json")')
    (site.root / "record.json").write_text("1")
    assert judge(project) == ({"sq", "lim"}, [])
    (site.root / "record.json").write_text("2")
    assert judge(project) == ({"lim"}, [])
    site.edit(site.claims, '"toy.maths.LIMIT", 3', '"toy.maths.LIMIT", 15')
    ran, failures = judge(project)
    assert ran == set() and "does not fall under the mutant 'low'" in failures[0]


# Accepting


@pytest.mark.parametrize(
    ("raw", "said", "new"),
    [
        ("The *limit*\nis *14*.", "The limit is 15.", "The *limit*\nis *15*."),
        ("a {term}`tokens <token>` of **12,345**", "a tokens of 12,999", "a {term}`tokens <token>` of **12,999**"),
        ("x **4** heads", "x 16 heads now", "x **16** heads now"),
        ("quite *other*", "words", "words"),
        ("a [b](c.md) d", "a b e", "a [b](c.md) e"),
    ],
)
def test_accepting_keeps_markup(raw: str, said: str, new: str) -> None:
    assert merged(raw, said) == new


@given(
    st.lists(st.sampled_from(["a", "*b*", "`c`", "**4**,", "[d](e)", "$x$"]), min_size=1), st.text("abc4. ", min_size=1)
)
def test_accepting_always_gives_what_the_code_says(words: list[str], said: str) -> None:
    assert plain(merged(" ".join(words), said)) == plain(said)


def test_accept_command_rewrites_the_guide(site: ToySite) -> None:
    site.edit(site.code, "LIMIT = 15", "LIMIT = 1500")
    site.edit(site.code, "return x * x", "return x * x  # same")
    shown_first = site.command()
    assert shown_first.status == 1 and "[false] claim 'lim'" in shown_first.output
    done = site.command("--accept", "lim")
    assert done.status == 0, done.output
    assert "  - The limit is 15.\n  + The limit is 1500." in done.output
    assert "> [The limit\n> is *1500*.]{#claim-lim .claim}" in site.guide.read_text()
    assert site.command("--mutants").status == 0
    assert "[The limit is 1500.]{#claim-lim .claim}" in site.command("--say", "lim").output


# Sources, reach, quotes, lint, values


def test_index_finds_every_kind_of_symbol(project: Project) -> None:
    index = Index(project)
    for symbol, where in {
        "toy.maths": "toy/maths.py",
        "toy.maths.LIMIT": "toy/maths.py:3-4",
        "toy.maths.square": "toy/maths.py:7-14",
        "toy.maths.Thing.size": "toy/maths.py:20",
        "toy.maths.Thing.inner": "toy/maths.py:24",
        "docs.claims.a.sq": "docs/claims/a.py:7-10",
        "toy/maths.py": "toy/maths.py",
    }.items():
        assert display(project, index.lookup(symbol)) == where
    assert '"""' not in index.lookup("toy.maths.square").code
    for unknown in ("toy.maths.squar", "toy.nothing", "os.path", "../x", "square"):
        with pytest.raises(UnknownSymbol):
            index.lookup(unknown)


def test_script_is_hashed_with_all_that_it_reaches(site: ToySite, project: Project) -> None:
    script = site.root / "examples" / "01_x.py"
    script.parent.mkdir()
    script.write_text("import toy.maths\n")
    first = Reach(project).of_script(script)
    site.edit(site.code, '"""A thing."""', '"""A, thing."""')
    assert Reach(project).of_script(script) == first
    site.edit(site.code, "= 4", "= 5")
    assert Reach(project).of_script(script) != first


def test_quotes_are_found_with_their_lines(site: ToySite, project: Project) -> None:
    site.edit(
        site.code,
        '"""A thing."""',
        '"""A thing.\n\n    Guide:\n        "Words." (nano/x) "More" (nano/y)\n        bad\n    """',
    )
    assert [(q.line, q.text, q.page) for q in quotes.quotes(project)] == [
        (11, "Cubes are not squares.", "nano/x"),
        (21, "Words.", "nano/x"),
        (21, "More", "nano/y"),
        (22, "bad", ""),
    ]
    assert quotes.locate(project, "Cubes are  *not*\nsquares.", "nano/x") == "Other bodies"
    assert quotes.locate(project, "Cubes are squares.", "nano/x") is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It has 12 layers and 3.5 GB.", ["12", "3.5"]),
        ("A 2x model, 10% of 1,000.", ["2", "10%", "1,000"]),
        ("GPT-2, int8, H100, UTF-8, float32 and ReLU2 are names.", []),
        ("`12` and $12$ and [12]{.given} and {val}`12` and [12 x]{#claim-y .claim}.", []),
        ("It had 12 heads {cite}`vaswani`. It has 13.", ["13"]),
        ("Version 2 and step 3.", []),
        ("[12 heads](x.md)", ["12"]),
    ],
)
def test_bare_numbers(tmp_path: Path, text: str, numbers: list[str]) -> None:
    page = tmp_path / "x.md"
    page.write_text(text)
    found = [finding.message.split("'")[1] for finding in lint.lint_page(page, numbers=True)]
    assert [number.rstrip("x") for number in found] == numbers


GLOSSARY = """# Words
:::{glossary}
token
: A piece of text.

  Taught in [The pieces](two.md#the-pieces).
loss
: A measure of surprise.

  Taught in [Two](two.md).
rank
: A place.
stage
: A command.

  Taught in [One](one.md).
:::
"""


def book(folder: Path, one: str, two: str) -> list[str]:
    """What is in the wrong order in a guide of two chapters and a glossary."""
    pages = {
        "index": "# Contents\n\nTokens and losses.\n\n```{toctree}\none\ntwo\nglossary\n```\n",
        "one": one,
        "two": two,
        "glossary": GLOSSARY,
    }
    for name, text in pages.items():
        path = folder / "docs" / "nano" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = glossary.misplaced(Project(folder, guides=("nano",)))
    return [f"{file.stem}:{line}: {message}" for file, line, message in found]


def test_a_term_is_not_used_before_it_is_introduced(tmp_path: Path) -> None:
    two = "# Two\n\nTokens, and their loss.\n"
    early = book(tmp_path, "# One\n\nA stage, and\nTokens.\n", two)
    assert [message.partition(" is a term that only nano/two teaches")[0] for message in early][:1] == [
        "one:4: 'Tokens'"
    ]
    assert "{term}`token`" in early[0]
    assert len(early) == 2 and early[1].startswith("glossary:11: the term 'rank' does not say"), early
    marked = book(tmp_path, "# One: tokens\n\nPieces are {term}`tokens <token>`, and each token a stage.\n", two)
    assert marked == early[1:]


def test_a_page_that_teaches_a_term_uses_it(tmp_path: Path) -> None:
    found = book(tmp_path, "# One\n\nA stage.\n", "# Two\n\nNothing about losses, but of tokenizers.\n")
    assert "glossary:3: the term 'token' is taught in nano/two, which never uses the word" in found
    assert not any("'loss'" in message for message in found)


def test_values_are_computed_and_errors_explained(site: ToySite, project: Project) -> None:
    for expression, text in {
        "LIMIT": "15",
        "toy.maths.LIMIT * 1000": "15,000",
        "maths.square(0.5)": "0.25",
        'f"{square(1 / 3):.2e}"': "1.11e-01",
        "[n for n in range(LIMIT) if n > 13]": "[14]",
        "math.isqrt(17)": "4",
    }.items():
        assert values.evaluate(project, expression) == text
    for wrong in ("LIMT", "1 +", "1 / 0", "None"):
        with pytest.raises(values.ValueFailed):
            values.evaluate(project, wrong)
