"""The pages of VERIFICATION that sum up: the summary, the kill table, every reference, every picture.

Each is MyST; ``verification.py`` writes them with the proofs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from docs._ext import guides
from docs._ext.counting import count, made_in
from docs._ext.gate import MARKS, proof_pages
from docs._ext.project import Project
from docs._ext.sources import Index
from docs._ext.verdicts import Report, Verdict

GUIDES = ("nano/index", "nanomath/index")
INTRO = """\
# VERIFICATION

The guides make statements about the code. This guide proves them, one by one. The proofs are run again at every
build.

A function runs the code and returns the sentence with the numbers that it computed. The build compares it with the
guide, letter by letter, and a difference stops the build. A claim about the code counts only when a *mutant* makes
it fall. A mutant is a known way to break the code.

- ✅ **VERIFIED**: the code says this sentence, and no longer says it when it is broken.
- ⚠️ **NEEDS CLARIFICATION**: this machine cannot decide it. The reason stands beside it, with the command that would.

| Page | What it shows |
|---|---|
| the chapters below | each claim with its code, its check, what was measured, and its mutants |
| {doc}`mutants` | every way in which the code was broken, and the claims that noticed |
| {doc}`references` | every place of the code that the guides name, with file and lines |
| {doc}`pictures` | every picture, and the function that draws it |
| {doc}`outside` | what the guides say about the world outside this code, with its sources |

Check it yourself, without the site: `python -m docs._ext.claims --mutants`.

:::{container} nc-claim-search
Every chapter below lists its claims in full.
:::
"""

UNVERIFIED = """\
## What is not verified, and why

- **Explanations and comparisons.** "Tokens ask and answer" is a way to think. No program can say whether it helps.
  Judge it yourself.
- **The world outside.** What a paper found or a machine costs cannot be computed here. Such sentences carry a source:
  {doc}`outside`. Nobody checked the sources by machine.
- **Long runs.** Trainings that take longer than a build are recorded, with the command, the seed and a hash of the
  code. The build says so when a record is older than the code. The pages repeat a short part of a run, and not the
  whole.
- **Time.** How long something takes depends on the machine. No claim is about seconds.
- **Graphics cards, and many machines.** The build runs on a processor. What differs on a GPU, or between two nodes,
  is tested where there is one, and is no part of these proofs.
- **The last digit.** What came out of training or of decimal arithmetic is stated rounded, or as a bound. Another
  version of the libraries may differ below that.
- **That the mutants are enough.** A claim that falls under its mutants can fail. It may still overlook a fault that
  nobody thought of.
- **Mathematics itself.** The worked examples of NANOMATH are run by the tests. Its sentences in words are not proved
  by a program.
"""


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>$|~#])", r"\\\1", " ".join(text.split()))


def title_of(path: Path) -> str:
    """The title of a page of the guides."""
    return guides.title(path.read_text(encoding="utf-8"), path.stem)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "claim"), counted(2, "claim")
    ('1 claim', '2 claims')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def filter_box(words: str) -> str:
    """The place where the script puts a field that filters the table below."""
    return f":::{{container}} nc-filter\n{words}\n:::\n"


def index_page(report: Report, pages: Iterable[str]) -> str:
    """The page to skim: counts, what is undecided, what is not verified."""
    parts = [INTRO, "## Summary\n", *summary(report), ""]
    undecided = [verdict for verdict in report.verdicts if verdict.claim.undecided]
    parts.append("## What needs clarification\n")
    if not undecided:
        parts.append("Nothing: every claim is decided by this build.\n")
    for verdict in undecided:
        parts.append(f"- {quoted(verdict)} ([{escape(verdict.claim.id)}](#verified-{verdict.claim.id}))")
        parts.append(f"  {verdict.claim.undecided.strip()} Decided by `{verdict.claim.decide_with}`.\n")
    parts += [UNVERIFIED, "## What else every build checks\n", *other_checks(report)]
    parts.append("\n```{toctree}\n:hidden:\n:maxdepth: 1\n\n" + "\n".join(pages) + "\n```\n")
    return "\n".join(parts)


def summary(report: Report) -> Iterator[str]:
    """The chapters with their counts, each page of proofs a link, under the parts of the guides."""
    yield "| Chapter | Claims | ✅ | ⚠️ | Mutants that it fell under |\n|---|--:|--:|--:|--:|"

    def row(name: str, verdicts: list[Verdict]) -> str:
        number = {status: sum(v.status == status for v in verdicts) for status in MARKS}
        mutants = len({kill.mutant for v in verdicts for kill in v.kills if kill.killed})
        false = f" and {number['false']} ❌" if number["false"] else ""
        return f"| {name} | {len(verdicts)} | {number['verified']}{false} | {number['undecided']} | {mutants} |"

    chapters: dict[Path, list[str]] = {}
    for name, verdicts in proof_pages(report).items():
        chapters.setdefault(verdicts[0].sentence.file, []).append(name)
    before = ""
    for path, names in chapters.items():
        found = [verdict for name in names for verdict in proof_pages(report)[name]]
        part = part_of(report.project, path)
        if part != before and part != title_of(path):
            yield f"| **{escape(part)}** | | | | |"
        before = part
        more = "".join(f", [{number}]({name}.md)" for number, name in enumerate(names[1:], 2))
        yield row(f"[{escape(title_of(path))}]({names[0]}.md){more}", found)
    yield row("**all**", report.verdicts)


def part_of(project: Project, path: Path) -> str:
    """The title of the part that a page belongs to: of the page that leads the folder."""
    parts = project.docname(path).split("/")
    for leader in ("/".join(parts[:2]), "/".join([*parts[:2], "index"]), f"{parts[0]}/index"):
        page = project.docs / f"{leader}.md"
        if page.is_file():
            return title_of(page)
    return ""


def quoted(verdict: Verdict) -> str:
    """The sentence with its markup, without links, which lead elsewhere from another page."""
    raw = " ".join(line.lstrip("> \t") for line in verdict.sentence.span.raw.splitlines())
    return re.sub(r"(?<!\!)\[([^\]]*)\]\([^)]*\)", r"\1", raw)


def other_checks(report: Report) -> Iterator[str]:
    """What a build looks at besides the claims, counted."""
    from docs._ext.quotes import quotes

    project = report.project
    both = [count(project, start) for start in GUIDES if (project.docs / f"{start}.md").is_file()]

    def total(name: str) -> str:
        return f"{sum(getattr(one, name) for one in both):,}"

    yield "| What | How many | How |\n|---|--:|---|"
    yield (
        f"| references to the code | {total('references')} | each symbol is looked up, and its file and lines are "
        "printed as they are now |"
    )
    yield f"| pictures | {total('pictures')} | drawn by a function, anew when the code changes that it looks at |"
    yield f"| practice problems | {total('problems')} | the answer is computed by a function |"
    yield f"| formulas | {total('formulas')} | each letter must have its one meaning in the notation |"
    yield f"| quotes in docstrings | {len(list(quotes(project))):,} | the sentence must stand in the guide |"
    yield f"| lines of worked examples | {total('doctests')} | run by the tests, which compare what is printed |"


def mutants_page(report: Report) -> str:
    """The kill table."""
    fallen: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        for kill in verdict.kills:
            if kill.killed:
                fallen.setdefault(kill.mutant, []).append(verdict.claim.id)
    without = sum(not verdict.kills for verdict in report.verdicts)
    parts = [
        "# Mutants: what breaks the claims\n",
        f"{counted(len(fallen), 'mutant')} break the package, one at a time, while the claims beside each are run "
        "again. All of these claims fell. A claim about mathematics or about a text alone needs no mutant, since no "
        f"code of the package is in it: {without} of {len(report.verdicts)}.\n",
        filter_box("Each mutant leads to its own source."),
        "| Mutant | What it breaks | Claims that fell |\n|---|---|---|",
    ]
    for mutant in sorted(fallen):
        ids = ", ".join(f"[{escape(id)}](#verified-{id})" for id in sorted(fallen[mutant]))
        parts.append(f"| {mutant_cell(report, mutant)} | {ids} |")
    return "\n".join(parts)


def mutant_cell(report: Report, id: str) -> str:
    """Name and words of a mutant, as two cells."""
    mutant = report.registry.mutant(id)
    return f"{{src}}`{id} <{mutant.symbol}>` | {escape(mutant.what)}" if mutant else f"{escape(id)} | "


def references_page(report: Report) -> str:
    """Every place of the code that a guide names or a claim is about, by file, with the pages that do."""
    project, index = report.project, Index(report.project)
    pages: dict[str, list[Path]] = {}
    claims: dict[str, int] = {}
    for start in GUIDES:
        for made in made_in(project, start):
            if made.kind in ("src", "in-code") and made.page not in pages.setdefault(made.target, []):
                pages[made.target].append(made.page)
    for verdict in report.verdicts:
        for symbol in verdict.claim.about:
            claims[symbol] = claims.get(symbol, 0) + 1
    files: dict[str, list[tuple[int, str]]] = {}
    for symbol in {*pages, *claims}:
        try:
            source = index.lookup(symbol)
        except LookupError:
            continue  # reported by the page that names it
        files.setdefault(project.relative(source.path), []).append((source.first, symbol))
    found = sum(map(len, files.values()))
    parts = [
        "# References: where in the code it happens\n",
        f"The guides and their claims refer to {counted(found, 'place')} of the code in {counted(len(files), 'file')}. "
        "Each is found by its name at every build, so its lines are those of the code as it is now. "
        "The format is `file:first-last`: any editor can jump there.\n",
        filter_box("Follow a reference to its shaded lines."),
        "{.nc-topics}\n| Place | Name | Claims | Explained in |\n|---|---|--:|---|",
    ]
    place = river(project)
    for file in sorted(files, key=lambda file: (place.get(re.split(r"[/.]", f"{file}/")[1], len(place)), file)):
        for _, symbol in sorted(files[file]):
            shown = ", ".join(f"{{doc}}`/{project.docname(page)}`" for page in pages.get(symbol, ()))
            name = symbol.rpartition(".")[2] if symbol != file else ""
            parts.append(f"| {{src}}`{symbol}` | {f'`{name}`' if name else ''} | {claims.get(symbol, '')} | {shown} |")
    return "\n".join(parts)


def river(project: Project) -> dict[str, int]:
    """Module -> its place in the order in which the data flows: that of the pages of the reference."""
    index = project.docs / "api" / "index.md"
    names = guides.toctree(index.read_text(encoding="utf-8")) if index.is_file() else []
    return {name: place for place, name in enumerate(names)}


def pictures_page(report: Report) -> str:
    """Every picture of the guides, with the function that draws it."""
    project = report.project
    made = [one for start in GUIDES for one in made_in(project, start) if one.kind == "picture"]
    parts = [
        "# Pictures: what draws them\n",
        f"The guides have {counted(len(made), 'picture')}. Each is drawn by a function while the site is built, and "
        "drawn anew when the code that it looks at changes. Its function says where its numbers come from.\n",
        filter_box("Follow a name to the function that draws."),
        "| Chapter | Pictures |\n|---|---|",
    ]
    chapters: dict[Path, list[str]] = {}
    for one in made:
        module, _, name = one.target.partition(":")
        chapters.setdefault(one.page, []).append(f"{{src}}`{name.replace('_', ' ')} <{module}.{name}>`")
    for page, names in chapters.items():
        parts.append(f"| {{doc}}`/{project.docname(page)}` | {', '.join(names)} |")
    return "\n".join(parts)
