"""Builds of a miniature site: what is false stops every build, and what moves is followed."""

import json
import re
from pathlib import Path

import pytest
from toy_site import ToySite

from docs._ext.gate import PER_PAGE


@pytest.fixture
def site(tmp_path: Path) -> ToySite:
    return ToySite(tmp_path)


def test_true_site_builds_and_links_both_ways(site: ToySite) -> None:
    built = site.build()
    assert (built.status, built.warnings) == (0, []), built.output
    page = site.html("nano/x")
    assert 'href="../verification/x.html#verified-sq"' in page and "✅" in page
    entry = site.html("verification/x")
    assert 'href="../nano/x.html#claim-sq"' in entry and "docs/nano/x.md:3" in entry
    assert "two squared" in entry and "got 8, expected 4" in entry  # what was measured, and under the mutant
    assert "verified-sq" in entry and "return" in entry  # the anchor, and the check's own source
    assert "it cubes" in site.html("verification/mutants") and "2 mutants break" in site.html("verification/mutants")
    references = site.html("verification/references")
    assert "toy/maths.py:26-27" in references and 'href="../nano/x.html"' in references
    rows = json.loads(
        (site.root / "docs/_build/html/_static/claims.js").read_text().removeprefix("var nanoClaims = ")[:-2]
    )
    assert rows[1] == ["verified", "The limit is 15.", "x.html#verified-lim", "Squares"]
    assert "claims.js" in site.html("verification/index") and "claims.js" not in entry
    whole = site.html("print/nano")
    assert whole.count("<h1") == 1 and 'id="nano-x--claim-sq"' in whole and 'href="#nano-x--other-bodies"' in whole
    assert 'href="../verification/x.html#verified-sq"' in whole and 'href="../source/toy/maths.html#toy.maths' in whole
    assert 'id="toy.maths.Thing.area"' in site.html("source/toy/maths")
    assert "15,000" in page and "Cubes are not squares." in site.html("api")
    assert 'href="nano/x.html#other-bodies"' in site.html("api")  # the docstring's quote leads to its section


def test_counted_tables_follow_the_guides(site: ToySite) -> None:
    index = site.root / "docs" / "index.md"
    index.write_text(index.read_text() + "\n```{counted} statistics\n```\n\n{whole}`NANO.md` and {printed}`nano`\n")
    with index.open("a") as page:
        page.write("\n```{counted} total\n```\n\n```{counted} problems\n```\n")
    assert site.build().status == 0
    before = site.html("index")
    assert 'href="NANO.md"' in before and 'href="print/nano.html"' in before
    assert before.index("Both guides together have") < before.index("<h2>NANO")
    words = len((site.root / "docs/_build/html/NANO.md").read_text().split())
    assert f'<td class="text-right"><p>{words}</p></td>' in before
    site.guide.write_text(site.guide.read_text() + "\n## Three more words\n")
    assert site.build().status == 0
    assert f'<td class="text-right"><p>{words + 4}</p></td>' in site.html("index")
    assert "Three more words" in site.html("print/nano")
    index.write_text(index.read_text().replace("{counted} statistics", "{counted} sheep"))
    built = site.build()
    assert built.status != 0 and "there is no table 'sheep'; there are: statistics, problems" in built.output


def test_many_claims_of_a_page_get_several_pages_of_proofs(site: ToySite) -> None:
    for number in range(PER_PAGE):
        with site.guide.open("a") as guide, site.claims.open("a") as claims:
            guide.write(f"\n[So it is.]{{#claim-more-{number} .claim}}\n")
            claims.write(f'\n\n@claim("more-{number}")\ndef more_{number}():\n    return "So it is."\n')
    built = site.build()
    assert (built.status, built.warnings) == (0, []), built.output
    first, second = site.html("verification/x"), site.html("verification/x-2")
    assert first.count("claim-status verified") == second.count("claim-status verified") == PER_PAGE // 2 + 1
    assert 'href="x-2.html"' in first and 'href="../verification/x-2.html#verified-more-9"' in site.html("nano/x")
    assert 'href="x.html"' in site.html("verification/index") and 'href="x-2.html"' in site.html("verification/index")


def test_false_claim_stops_every_build(site: ToySite) -> None:
    assert site.build().status == 0
    site.edit(site.code, "LIMIT = 15", "LIMIT = 16")
    for options in ((), (), ("-j", "2")):  # at once, again without any change, and in parallel
        built = site.build(*options)
        assert built.status != 0
        (warning,) = [line for line in built.warnings if "claims.false" in line]
        assert "docs/nano/x.md:6: WARNING: claim 'lim': the guide says: 'The limit is 15.'" in warning
        assert "the code says: 'The limit is 16.'" in warning and "--accept lim" in warning
    assert "❌" in site.html("nano/x")
    site.edit(site.code, "LIMIT = 16", "LIMIT = 15")
    assert site.build().status == 0
    assert "❌" not in site.html("nano/x")


def test_every_failure_is_named_with_its_line(site: ToySite) -> None:
    site.guide.write_text(
        site.guide.read_text()
        + "\n[Nobody proves this.]{#claim-nobody .claim}\n"  # line 19
        + "\n[]{#claim-empty .claim}\n"
        + "\n[The limit is 15.]{#claim-lim .claim}\n"
        + "\n[It raises.]{#claim-raises .claim}\n"
        + "\n[It survives.]{#claim-survives .claim}\n"
        + "\n{src}`toy.maths.sqare` and gpt.py:42 and {val}`LIMT`. The 7 dwarfs. {cite}`nobody`\n"
        + "\n```{in-code} toy.maths.Nothing\n```\n",
        encoding="utf-8",
    )
    site.claims.write_text(
        site.claims.read_text()
        + '@claim("lonely")\ndef lonely():\n    return "x"\n'
        + '@claim("empty")\ndef empty():\n    return "x"\n'
        + '@claim("lim")\ndef again():\n    return "x"\n'
        + '@claim("raises", about="toy.maths.nothing", killed_by="unheard")\ndef raises():\n    return 1 / 0\n'
        + '@claim("survives", about="toy.maths.square", killed_by="low")\ndef survives():\n    return "It survives."\n'
        + '@claim("unbroken", about="toy.maths.square")\ndef unbroken():\n    return "x"\n'
    )
    site.edit(site.guide, "Cubes are not squares.", "Cubes are no squares.")
    (site.root / "docs" / "claims" / "b.py").write_text("import toy.nothing\n")
    built = site.build()
    assert built.status != 0
    expected = {
        "x.md:19: WARNING: claim 'nobody' has no function": "claims.unknown",
        "x.md:21: WARNING: claim 'empty' has an empty sentence": "claims.empty",
        "x.md:23: WARNING: claim 'lim' stands at docs/nano/x.md:6 already": "claims.duplicate",
        "x.md:25: WARNING: claim 'raises': its check at docs/claims/a.py:": "claims.checker",
        "x.md:29: WARNING: 'gpt.py:42' will rot": "lint.line",
        "x.md:29: WARNING: '7' is only typed": "lint.number",
        "x.md:29: WARNING: toy/maths.py has no 'sqare': did you mean toy.maths.square?": "code.unknown",
        "x.md:29: WARNING: {val}`LIMT` cannot be computed": "values.failed",
        "x.md:29: WARNING: {cite}`nobody`": "cite.unknown",
        "x.md:31: WARNING: toy/maths.py has no 'Nothing'": "code.unknown",
        "a.py:27: WARNING: claim 'lonely' has no sentence in any guide": "claims.unused",
        "WARNING: claim 'lim' is proved by another function already": "claims.duplicate",
        "WARNING: claim 'raises' is about toy.maths.nothing, but toy/maths.py has no 'nothing'": "claims.about",
        "WARNING: claim 'raises': no mutant 'unheard'": "claims.mutant",
        "WARNING: claim 'survives' does not fall under the mutant 'low'": "claims.survived",
        "WARNING: claim 'unbroken' is about toy.maths.square and names no mutant": "claims.mutant",
        "b.py:1: WARNING: the file cannot be run: ModuleNotFoundError": "claims.checker",
        "maths.py:11: WARNING: docs/nano/x.md does not say 'Cubes are not squares.'": "quotes.false",
    }
    missing = [
        (text, kind)
        for text, kind in expected.items()
        if not any(text in line and f"[{kind}]" in line for line in built.warnings)
    ]
    assert not missing, built.warnings
    again = site.build()
    assert again.status != 0
    ours = [sorted(line for line in one.warnings if "[docutils]" not in line) for one in (built, again)]
    assert ours[0] == ours[1]  # also those found in pages that were not read again


def test_moved_function_is_followed(site: ToySite) -> None:
    assert site.build().status == 0
    before = site.html("nano/x")
    assert "toy/maths.py:26-27" in before
    site.edit(site.code, "LIMIT = 15", "#\n" * 40 + "LIMIT = 15")
    built = site.build()
    assert built.status == 0, built.output
    assert "0 run, 2 remembered" in built.output  # comments change no verdict
    assert "toy/maths.py:66-67" in site.html("nano/x") and "toy/maths.py:26-27" not in site.html("nano/x")
    assert 'id="L67"' in site.html("source/toy/maths")
    assert "toy/maths.py:66-67" in (site.root / "docs/_build/html/NANO.md").read_text()


def test_a_page_of_source_is_written_again_when_it_must_be(site: ToySite) -> None:
    other = site.root / "toy" / "more.py"
    other.write_text("LEAST = 3\n")
    assert site.build().status == 0
    page, maths = (site.root / "docs/_build/html/source/toy" / name for name in ("more.html", "maths.html"))
    old = page.stat().st_mtime_ns, maths.stat().st_mtime_ns
    assert site.build().status == 0
    assert (page.stat().st_mtime_ns, maths.stat().st_mtime_ns) == old
    other.write_text("MOST = 4\n")
    assert site.build().status == 0
    assert "MOST" in page.read_text() and maths.stat().st_mtime_ns == old[1]
    site.edit(site.guide, "# Squares", "# Cubes")  # the frame of every page shows the titles
    assert site.build().status == 0
    assert maths.stat().st_mtime_ns > old[1]
    page.unlink()
    assert site.build().status == 0
    assert "MOST" in page.read_text()


def test_value_and_source_follow_the_code(site: ToySite) -> None:
    assert site.build().status == 0
    site.edit(site.code, "LIMIT = 15", "LIMIT = 16")
    site.edit(site.code, "return square(self.size)", "return square(self.size) + 0")
    site.edit(site.guide, "*15*", "*16*")
    built = site.build()
    assert built.status == 0, built.output
    page = site.html("nano/x")
    assert "16,000" in page and '<span class="o">+</span>' in page


def test_no_change_reads_no_page_and_reproduces(site: ToySite) -> None:
    assert site.build().status == 0
    pages = {p: p.read_bytes() for p in sorted((site.root / "docs/_build/html").rglob("*.html"))}
    generated = {p: p.stat().st_mtime_ns for p in (site.root / "docs/verification").glob("*.md")}
    again = site.build()
    assert "no targets are out of date" in again.output and "0 added, 0 changed, 0 removed" in again.output
    assert generated == {p: p.stat().st_mtime_ns for p in (site.root / "docs/verification").glob("*.md")}
    fresh = site.build("-E", "-a", "-j", "2")
    assert fresh.status == 0, fresh.output
    for page, content in pages.items():
        assert page.read_bytes() == content, page


def test_optimised_python_is_refused(site: ToySite) -> None:
    built = site.run("-O", "-m", "sphinx", "-b", "html", "docs", "docs/_build/html")
    assert built.status != 0 and "without -O" in built.output


def test_suppressing_is_refused(site: ToySite) -> None:
    built = site.build("-D", "suppress_warnings=claims.false")
    assert built.status != 0 and "must stop the build" in built.output


def test_one_file_guides_are_plain(site: ToySite) -> None:
    site.edit(
        site.guide,
        "## Other bodies",
        ":::{note}\nA [link](index.md), {term}`word <other>`.\n:::\n\n$$\nx^2\n$$\n\n## Other bodies",
    )
    site.edit(site.guide, "{term}`word <other>`", "`code`")
    assert site.build().status == 0
    out = site.root / "docs/_build/html"
    text = (out / "NANO.md").read_text()
    marked = r"\*\*9\*\*, for `any_thing`\. \[✅\]\((\S+)#(\S+)\) More words\."
    proof = re.search(r"The \*square\* of \$3\$ is\n" + marked, text)
    assert proof and f"### {proof[2]}\n\n✅ VERIFIED" in (out / proof[1]).read_text()
    assert "`toy/maths.py:26-27`, 15,000, and 2 of it." in text
    assert "> **Note.**\n>\n> A [link](#nano), `code`." in text
    assert "```python\ndef area(self) -> float:\n    return square(self.size)\n```" in text
    assert "{" not in text.replace("{#", "") and "### Other bodies" in text
    proofs = (out / "VERIFICATION.md").read_text()
    assert "✅ VERIFIED" in proofs and "docs/nano/x.md:3" in proofs
    assert "| How many | NANO | VERIFICATION |" in (out / "README_GUIDES.md").read_text()
    assert text.strip() in (out / "llms-full.txt").read_text()


def test_undecided_claim_is_listed_with_its_command(site: ToySite) -> None:
    site.guide.write_text(site.guide.read_text() + "\n[A long run ends at one.]{#claim-long .claim}\n")
    site.claims.write_text(
        site.claims.read_text()
        + '@claim("long", about="toy.maths.square", undecided="It takes a day.", decide_with="bash speedrun.sh")\n'
        + 'def long():\n    return "A long run ends at one."\n'
    )
    assert site.build().status == 0
    index = site.html("verification/index")
    assert "It takes a day." in index and "speedrun.sh" in index
    assert "NEEDS CLARIFICATION" in site.html("verification/x") and "⚠️" in site.html("nano/x")
    assert "ends at one. [⚠️](VERIFICATION.md#long)" in (site.root / "docs/_build/html/NANO.md").read_text()
    site.edit(site.claims, ', decide_with="bash speedrun.sh"', "")
    assert site.build().status != 0


def test_citation_is_linked_and_listed(site: ToySite) -> None:
    site.edit(site.guide, "Cubes are", "A paper had 12 heads {cite}`vaswani`. Cubes are")
    (site.root / "docs" / "references.toml").write_text(
        '[vaswani]\nauthors = "Vaswani, Shazeer"\nname = "Vaswani et al."\ntitle = "Attention"\nyear = 2017\n'
        'url = "https://arxiv.org/abs/1706.03762"\n'
    )
    built = site.build()
    assert built.status == 0, built.output
    assert 'href="../verification/outside.html#cite-vaswani"' in site.html("nano/x")
    assert "A paper had 12 heads." in site.html("verification/outside")


def test_parallel_build_outlives_pools_of_threads(site: ToySite) -> None:
    (site.root / "toy" / "bpe.py").write_text(
        "import rustbpe\n\n\ndef train(n: int) -> int:\n    tokenizer = rustbpe.Tokenizer()\n"
        '    tokenizer.train_from_iterator(iter(["the cat"] * n), vocab_size=260, pattern=r"\\w+")\n    return n\n'
    )
    site.edit(site.claims, "check(square(2.0)", "from toy.bpe import train\n    train(9)\n    check(square(2.0)")
    for page in ("a", "b", "c"):
        (site.root / "docs" / "nano" / f"{page}.md").write_text(f"# {page}\n\n{{val}}`train({ord(page)})`\n")
    site.edit(site.root / "docs" / "nano" / "index.md", "x\n", "x\na\nb\nc\n")
    built = site.build("-j", "2")
    assert built.status == 0, built.output
    assert '<span class="val">97</span>' in site.html("nano/a")
