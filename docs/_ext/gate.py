"""The gate: every build checks every claim, and a false one stops it. The mark beside each claim on its page."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from docs._ext import guides, verdicts
from docs._ext.skin import Use, inner_link, line_of, link, note, project_of, uses, warn
from docs._ext.verdicts import Report, Verdict

logger = logging.getLogger(__name__)
MARKS = {"verified": "✅", "undecided": "⚠️", "false": "❌"}
WORDS = {"verified": "VERIFIED", "undecided": "NEEDS CLARIFICATION", "false": "FALSE"}


def check_claims(app: Sphinx) -> None:
    """Judge all claims before anything is read. Runs on every build, whatever has changed."""
    report = verdicts.judge(project_of(app))
    app.truth_report = report  # type: ignore[attr-defined]
    for failure in report.failures:
        warn(failure.file, failure.line, failure.message, "claims", failure.kind)
    logger.info("%s", report.summary())


def report_of(app: Sphinx) -> Report:
    """The verdicts of this build."""
    return app.truth_report  # type: ignore[attr-defined]


RESERVED = ("index", "outside", "mutants", "references", "pictures")
"""Pages of VERIFICATION that hold no chapter."""
PER_PAGE = 10
"""A page of proofs holds at most so many claims; a longer chapter has several pages."""


def chapter(report: Report, path: Path) -> str:
    """The page of VERIFICATION that holds the claims of a guide's page: its name, made unique."""

    def short(docname: str) -> str:
        parts = docname.split("/")
        return parts[-2] if parts[-1] == "index" and len(parts) > 1 else parts[-1]

    docname = report.project.docname(path)
    name = short(docname)
    pages = {report.project.docname(v.sentence.file) for v in report.verdicts}
    clash = name in RESERVED or any(short(p) == name for p in pages - {docname})
    return docname.replace("/", "-") if clash else name


def proof_pages(report: Report) -> dict[str, list[Verdict]]:
    """Page of VERIFICATION -> its claims, in the order of the guides. A long chapter is cut into even parts."""
    if report.pages:
        return report.pages
    order = {path: number for number, path in enumerate(guides.reading_order(report.project))}
    chapters: dict[Path, list[Verdict]] = {}
    for verdict in sorted(report.verdicts, key=lambda v: (order.get(v.sentence.file, len(order)), v.sentence.line)):
        chapters.setdefault(verdict.sentence.file, []).append(verdict)
    for path, found in chapters.items():
        name = chapter(report, path)
        parts = -(-len(found) // PER_PAGE)
        for part in range(parts):
            cut = found[part * len(found) // parts : (part + 1) * len(found) // parts]
            report.pages[f"{name}-{part + 1}" if part else name] = cut
    return report.pages


def entry(report: Report, verdict: Verdict) -> tuple[str, str]:
    """Page and anchor of a claim in VERIFICATION."""
    page = next(name for name, found in proof_pages(report).items() if any(one is verdict for one in found))
    return f"verification/{page}", f"verified-{verdict.claim.id}"


class ClaimRole(SphinxRole):
    """``{claim}`some-id``` links to the place where the claim stands in its guide."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link; where it leads is filled in when pages are written."""
        note(self.env, Use("claim", self.text, self.text, self.lineno))
        node = link("", f"claim-{self.text}", nodes.literal(self.text, self.text))
        node["claim"] = self.text
        return [node], []


def check_links(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Every claim that a page links to must stand in a guide, on every build."""
    known = report_of(app).by_id()
    for docname in sorted(uses(env)):
        for use in uses(env)[docname]:
            if use.kind == "claim" and use.text not in known:
                line = line_of(env, docname, use)
                message = f"no claim '{use.text}' stands in a guide: name one that does"
                warn(env.doc2path(docname), line, message, "claims", "link")
    return []


def mark_claims(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the mark behind each claim: a link to how it was checked."""
    report = report_of(app)
    known = report.by_id()
    for node in list(doctree.findall(inner_link)):
        verdict = known.get(node.get("claim", ""))
        if verdict is not None:
            where = f"{report.project.relative(verdict.sentence.file)}:{verdict.sentence.line}"
            node["page"] = report.project.docname(verdict.sentence.file)
            node[0] = nodes.literal(where, where)
        elif "claim" in node:
            node.replace_self(node.children)
    for node in list(doctree.findall(nodes.inline)):
        ids = [name.removeprefix("claim-") for name in node["ids"] if name.startswith("claim-")]
        verdict = known.get(ids[0]) if ids and "claim" in node["classes"] else None
        if verdict is None or report.project.docname(verdict.sentence.file) != docname:
            continue
        page, anchor = entry(report, verdict)
        title = f"{WORDS[verdict.status]}: how this sentence is checked"
        # A space that does not break, so that no line begins with a mark.
        mark = link(page, anchor, f"\u00a0{MARKS[verdict.status]}", title=title, classes=["claim-mark", verdict.status])
        node += mark


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Pages whose marks changed since they were written."""
    report = report_of(app)
    now = {v.claim.id: (report.project.docname(v.sentence.file), v.status, *entry(report, v)) for v in report.verdicts}
    before: dict[str, tuple[str, ...]] = getattr(env, "truth_marks", {})
    env.truth_marks = now  # type: ignore[attr-defined]
    changed = {now.get(id, before.get(id, ("",)))[0] for id in {*now, *before} if now.get(id) != before.get(id)}
    return sorted(changed & set(env.found_docs))


def setup_gate(app: Sphinx) -> None:
    """Check on every build, before the gallery runs."""
    app.add_role("claim", ClaimRole())
    app.connect("builder-inited", check_claims, priority=100)
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", check_links)
    app.connect("doctree-resolved", mark_claims)
