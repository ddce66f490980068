"""The third guide, written by the build: every claim, its proof, what was measured, what breaks it.

The pages are MyST, in ``docs/verification``, made from the verdicts before Sphinx reads anything and written
only where their content changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

from docs._ext import guides
from docs._ext.gate import MARKS, WORDS, chapter, report_of
from docs._ext.guides import plain
from docs._ext.values import Work, citations, works
from docs._ext.verdicts import Report, Verdict

INTRO = """\
# VERIFICATION

Every statement that the guides make about the code is proved by running the code. A function returns the
sentence with the numbers that it computed, the build compares it with the guide letter by letter, and a
difference stops the build. A claim about the code counts only when a *mutant*, a known way to break the
code, makes it fall.

- ✅ **VERIFIED**: the code says this sentence, and falls silent when it is broken.
- ⚠️ **NEEDS CLARIFICATION**: this machine cannot decide it; the reason and the command that would are given.
- What the guides say about the world outside this code carries a citation: {doc}`outside`.

Check it yourself, without the site: `python -m docs._ext.claims --mutants`.
"""


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>$|~#])", r"\\\1", " ".join(text.split()))


def quoted(verdict: Verdict) -> str:
    """The sentence with its markup, without links, which lead elsewhere from another page."""
    raw = " ".join(line.lstrip("> \t") for line in verdict.sentence.span.raw.splitlines())
    return re.sub(r"(?<!\!)\[([^\]]*)\]\([^)]*\)", r"\1", raw)


def badge(verdict: Verdict) -> str:
    """The status, marked for the style sheet and for the filter."""
    return f"[{MARKS[verdict.status]} {WORDS[verdict.status]}]{{.claim-status .{verdict.status}}}"


def chapters(report: Report) -> dict[str, list[Verdict]]:
    """Page of VERIFICATION -> its claims, in the order of the guides."""
    order = {path: number for number, path in enumerate(guides.reading_order(report.project))}
    found: dict[str, list[Verdict]] = {}
    for verdict in sorted(report.verdicts, key=lambda v: (order.get(v.sentence.file, len(order)), v.sentence.line)):
        found.setdefault(chapter(report, verdict.sentence.file), []).append(verdict)
    return found


def chapter_title(verdicts: list[Verdict]) -> str:
    """The title of the guide's page that the claims stand in."""
    file = verdicts[0].sentence.file
    return guides.title(file.read_text(encoding="utf-8"), file.stem)


def write_entry(report: Report, verdict: Verdict) -> Iterator[str]:
    """One claim, as MyST."""
    claim = verdict.claim
    yield f"(verified-{claim.id})=\n## {escape(claim.id)}\n"
    yield f"{badge(verdict)}\n"
    yield f"> {quoted(verdict)}\n"
    about = ", ".join(f"{{src}}`{symbol}`" for symbol in claim.about) or "mathematics; no code of the package"
    yield f"Stands in {{claim}}`{claim.id}`. About: {about}. Proved by {{src}}`{claim.symbol}`.\n"
    if verdict.status == "false":
        yield f"The code says: {escape(plain(verdict.said)) or 'nothing, its check failed'}\n"
    if claim.undecided:
        yield f"**Why this machine cannot decide it.** {claim.undecided.strip()} This would:\n"
        yield f"```console\n$ {claim.decide_with}\n```\n"
    if verdict.measured:
        yield "| Checked on the way | Measured | Expected |\n|---|---|---|"
        for row in verdict.measured:
            yield f"| {escape(row.why)} | {escape(row.got)} | {escape(row.expected)} |"
        yield ""
    if verdict.kills:
        yield "| Mutant | What it breaks | What the broken code says |\n|---|---|---|"
        for kill in verdict.kills:
            yield f"| {mutant_cell(report, kill.mutant)} | {'❌ survives: ' * (not kill.killed)}{escape(kill.effect)} |"
        yield ""
    yield "<details><summary>The code it is about, and its check</summary>\n"
    for symbol in (*claim.about, claim.symbol):
        yield f"```{{in-code}} {symbol}\n```\n"
    yield "</details>\n"


def mutant_cell(report: Report, id: str) -> str:
    """Name and words of a mutant, as two cells."""
    mutant = report.registry.mutant(id)
    return f"{{src}}`{id} <{mutant.symbol}>` | {escape(mutant.what)}" if mutant else f"{escape(id)} | "


def index_page(report: Report) -> str:
    """The page to skim: counts, what is undecided, all claims, the kill table."""
    groups = chapters(report)
    parts = [INTRO, "## Summary\n", "| Chapter | Claims | ✅ | ⚠️ | Killed by |\n|---|--:|--:|--:|--:|"]

    def row(name: str, verdicts: list[Verdict]) -> str:
        count = {status: sum(v.status == status for v in verdicts) for status in MARKS}
        mutants = len({kill.mutant for v in verdicts for kill in v.kills if kill.killed})
        false = f" and {count['false']} ❌" if count["false"] else ""
        return f"| {name} | {len(verdicts)} | {count['verified']}{false} | {count['undecided']} | {mutants} mutants |"

    parts += [row(f"[{escape(chapter_title(found))}]({name}.md)", found) for name, found in groups.items()]
    parts += [row("**all**", report.verdicts), ""]
    undecided = [v for v in report.verdicts if v.claim.undecided]
    parts.append("## What needs clarification\n")
    if not undecided:
        parts.append("Nothing: every claim is decided by this build.\n")
    for verdict in undecided:
        parts.append(f"- {quoted(verdict)} ([{escape(verdict.claim.id)}](#verified-{verdict.claim.id}))")
        parts.append(f"  {verdict.claim.undecided.strip()} Decided by `{verdict.claim.decide_with}`.\n")
    parts.append("## All claims\n\n| Status | Sentence | Check |\n|---|---|---|")
    for found in groups.values():
        for v in found:
            parts.append(
                f"| {badge(v)} | {escape(v.sentence.span.text)} | [{escape(v.claim.id)}](#verified-{v.claim.id}) |"
            )
    parts.append("\n## What breaks them\n")
    parts.append("Each mutant breaks the package in the process of the test; the claims beside it fell.\n")
    parts.append("| Mutant | What it breaks | Claims that fell |\n|---|---|---|")
    fallen: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        for kill in verdict.kills:
            if kill.killed:
                fallen.setdefault(kill.mutant, []).append(verdict.claim.id)
    for mutant in sorted(fallen):
        ids = ", ".join(f"[{escape(id)}](#verified-{id})" for id in sorted(fallen[mutant]))
        parts.append(f"| {mutant_cell(report, mutant)} | {ids} |")
    toctree = "\n".join([*groups, "outside"])
    parts.append(f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{toctree}\n```\n")
    return "\n".join(parts)


def chapter_page(report: Report, verdicts: list[Verdict]) -> str:
    """All claims of a chapter."""
    verified = sum(v.status == "verified" for v in verdicts)
    docname = report.project.docname(verdicts[0].sentence.file)
    parts = [
        f"# {escape(chapter_title(verdicts))}: the proofs\n",
        f"{len(verdicts)} claims of {{doc}}`/{docname}`, {verified} verified. The summary of all: {{doc}}`index`.\n",
    ]
    for verdict in verdicts:
        parts += write_entry(report, verdict)
    return "\n".join(parts)


def outside_page(report: Report) -> str:
    """What the guides say about the world, with its sources."""
    found = works(report.project)
    parts = [
        "# The world outside\n",
        "What a paper found, what another model has, what a year was: this code cannot compute it, so it is "
        "cited. Sources, and the sentences that rest on them.\n",
    ]
    sentences = citations(report.project)
    for key in sorted(found):
        if key not in sentences:
            continue
        work: Work = found[key]
        parts.append(f"(cite-{key})=\n## {escape(work.short)}\n")
        parts.append(f"{escape(work.authors)}: [{escape(work.title)}]({work.url}), {work.year}.\n")
        for file, line, sentence in sentences[key]:
            docname = report.project.docname(file)
            where = f"{report.project.relative(file)}:{line}"
            parts.append(f"- {escape(sentence)} ({{doc}}`{where} </{docname}>`)")
        parts.append("")
    return "\n".join(parts)


def write_pages(app: Sphinx) -> None:
    """Write the third guide; take away pages whose chapter is gone."""
    report = report_of(app)
    folder = report.project.docs / "verification"
    pages = {name: chapter_page(report, found) for name, found in chapters(report).items()}
    pages |= {"index": index_page(report), "outside": outside_page(report)}
    for name, text in pages.items():
        report.project.write(folder / f"{name}.md", text.rstrip("\n") + "\n")
    stale: list[Path] = [path for path in sorted(folder.glob("*.md")) if path.stem not in pages]
    for path in stale:
        path.unlink()


def setup_verification(app: Sphinx) -> None:
    """Write the pages after the claims are judged and before Sphinx looks for pages."""
    app.connect("builder-inited", write_pages, priority=200)
    app.add_js_file("verification.js", loading_method="defer")
    app.add_css_file("truth.css")
