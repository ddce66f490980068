"""The gate: every build checks every claim, and a false one stops it. The mark beside each claim on its page."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from docs._ext import verdicts
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


def chapter(report: Report, path: Path) -> str:
    """The page of VERIFICATION that holds the claims of a guide's page: its name, made unique."""

    def short(docname: str) -> str:
        parts = docname.split("/")
        return parts[-2] if parts[-1] == "index" and len(parts) > 1 else parts[-1]

    docname = report.project.docname(path)
    name = short(docname)
    pages = {report.project.docname(v.sentence.file) for v in report.verdicts}
    clash = name in ("index", "outside") or any(short(p) == name for p in pages - {docname})
    return docname.replace("/", "-") if clash else name


def entry(report: Report, verdict: Verdict) -> tuple[str, str]:
    """Page and anchor of a claim in VERIFICATION."""
    return f"verification/{chapter(report, verdict.sentence.file)}", f"verified-{verdict.claim.id}"


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
        mark = link(page, anchor, MARKS[verdict.status], title=title, classes=["claim-mark", verdict.status])
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
