"""The third guide, written by the build: every claim, its proof, what was measured, what breaks it.

The pages are MyST, in ``docs/verification``, made from the verdicts before Sphinx reads anything and written
only where their content changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

from docs._ext import overview
from docs._ext.gate import MARKS, WORDS, proof_pages, report_of
from docs._ext.guides import plain
from docs._ext.overview import counted, escape, mutant_cell, quoted, title_of
from docs._ext.values import Work, citations, works
from docs._ext.verdicts import Report, Verdict


def badge(verdict: Verdict) -> str:
    """The status, marked for the style sheet and for the filter."""
    return f"[{MARKS[verdict.status]} {WORDS[verdict.status]}]{{.claim-status .{verdict.status}}}"


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


def chapter_page(report: Report, verdicts: list[Verdict], name: str) -> str:
    """The claims of a chapter, or of a part of a long one."""
    file = verdicts[0].sentence.file
    verified = sum(v.status == "verified" for v in verdicts)
    names = [name for name, found in proof_pages(report).items() if found[0].sentence.file == file]
    part = f" ({names.index(name) + 1} of {len(names)})" if len(names) > 1 else ""
    others = ", ".join(f"{{doc}}`{other}`" for other in names if other != name)
    parts = [
        f"# {escape(title_of(file))}{part}: the proofs\n",
        f"{counted(len(verdicts), 'claim')} of {{doc}}`/{report.project.docname(file)}`, {verified} verified. "
        + (f"The others: {others}. " if others else "")
        + "The summary of all: {doc}`index`.\n",
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


CLAIMS = "claims.js"


def write_pages(app: Sphinx) -> None:
    """Write the third guide; take away pages whose chapter is gone."""
    report = report_of(app)
    folder = report.project.docs / "verification"
    pages = {name: chapter_page(report, found, name) for name, found in proof_pages(report).items()}
    pages |= {
        "mutants": overview.mutants_page(report),
        "references": overview.references_page(report),
        "pictures": overview.pictures_page(report),
        "outside": outside_page(report),
    }
    pages["index"] = overview.index_page(report, list(pages))
    if app.builder.name == "html":
        pages["index"] += f"\n% The claims of this build: {write_claims(app)}\n"
    for name, text in pages.items():
        report.project.write(folder / f"{name}.md", text.rstrip("\n") + "\n")
    stale: list[Path] = [path for path in sorted(folder.glob("*.md")) if path.stem not in pages]
    for path in stale:
        path.unlink()


def write_claims(app: Sphinx) -> str:
    """Write all sentences, for the search of the summary, which also works where pages are read from a disk.

    Returns:
        A mark of what was written: the summary is written anew when it changes.
    """
    report = report_of(app)
    rows = []
    for name, verdicts in proof_pages(report).items():
        title = title_of(verdicts[0].sentence.file)
        for verdict in verdicts:
            uri = f"{name}{app.builder.out_suffix}#verified-{verdict.claim.id}"  # type: ignore[attr-defined]
            rows.append([verdict.status, verdict.sentence.span.text, uri, title])
    text = f"var nanoClaims = {json.dumps(rows)};\n"
    report.project.write(Path(app.outdir, "_static", CLAIMS), text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load_claims(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if page == "verification/index":
        app.add_js_file(CLAIMS, loading_method="defer", priority=400)


def setup_verification(app: Sphinx) -> None:
    """Write the pages after the claims are judged and before Sphinx looks for pages."""
    app.connect("builder-inited", write_pages, priority=200)
    app.connect("html-page-context", _load_claims)
    app.add_js_file("verification.js", loading_method="defer")
    app.add_css_file("truth.css")
