"""What the features that check the guides share on the Sphinx side: the project, warnings, notes of use.

A page notes what it uses (a symbol, a computed value, a citation) in the environment. Every build looks at
every note again, also of pages that it does not read: a warning that is given while a page is read is
forgotten by the next build, which would then be green with a false page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from docs._ext.project import Project
from docs._ext.sources import Index

logger = logging.getLogger(__name__)
TYPES = ("claims", "code", "quotes", "lint", "values", "cite", "examples")
"""The types of the warnings by which a page is called false. They cannot be suppressed."""


@dataclass(frozen=True)
class Use:
    """Something that a page says and that another build may find changed."""

    kind: str
    text: str
    """What the author wrote: a symbol, an expression, a key."""
    shown: str
    """What the page shows for it; empty if it could not be found."""
    line: int
    file: str = ""
    """The file, from the root, that it points to."""


def project_of(app: Sphinx) -> Project:
    """The repository that a build is about."""
    root = Path(app.srcdir).resolve().parent
    return Project(root, tuple(app.config.code_packages), tuple(app.config.guide_folders))


def index_of(app: Sphinx) -> Index:
    """The symbols of the build's code."""
    return Index(project_of(app))


def warn(file: Path | str, line: int, message: str, type: str, subtype: str) -> None:
    """Say what is false, where, and how it is cured."""
    logger.warning("%s", message, location=f"{file}:{line}", type=type, subtype=subtype)


def uses(env: BuildEnvironment) -> dict[str, list[Use]]:
    """What each page uses."""
    if not hasattr(env, "truth_uses"):
        env.truth_uses = {}  # type: ignore[attr-defined]
    return env.truth_uses  # type: ignore[attr-defined]


def note(env: BuildEnvironment, use: Use) -> None:
    """Remember that the page being read uses something."""
    uses(env).setdefault(env.docname, []).append(use)


def line_of(env: BuildEnvironment, docname: str, use: Use) -> int:
    """The very line of a use: a role knows only where its paragraph begins."""
    lines = Path(env.doc2path(docname)).read_text(encoding="utf-8").splitlines()
    wanted = use.text.partition("\0")[0]
    for number in range(use.line, min(use.line + 60, len(lines)) + 1):
        if wanted in lines[number - 1]:
            return number
    return use.line


def depend(env: BuildEnvironment, file: Path) -> None:
    """Re-read the page being read when this file changes."""
    env.note_dependency(str(file))


class inner_link(nodes.Inline, nodes.TextElement):  # noqa: N801 - docutils names its nodes so
    """A link to another page of the site by the name of the page, made relative when pages are written."""


def link(page: str, anchor: str, text: nodes.Node | str, *, title: str = "", classes: Iterable[str] = ()) -> inner_link:
    """Make such a link."""
    child = nodes.Text(text) if isinstance(text, str) else text
    return inner_link("", "", child, page=page, anchor=anchor, reftitle=title, classes=list(classes))


def resolve_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn inner links into references; into their text where the format has no pages."""
    for node in list(doctree.findall(inner_link)):
        if app.builder.format != "html":
            node.replace_self(node.children)
            continue
        page, anchor = node["page"], node["anchor"]
        if page.startswith("/"):  # a file beside the pages
            uri = relative_uri(app.builder.get_target_uri(docname), page[1:])
        else:
            uri = app.builder.get_relative_uri(docname, page) + (f"#{anchor}" if anchor else "")
        new = nodes.reference("", "", *node.children, internal=True, refuri=uri, classes=node["classes"])
        if node["reftitle"]:
            new["reftitle"] = node["reftitle"]
        node.replace_self(new)


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    uses(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: BuildEnvironment) -> None:
    theirs = uses(other)
    uses(env).update({docname: theirs[docname] for docname in docnames if docname in theirs})


def _refuse_silence(app: Sphinx, config: Any) -> None:
    silent = [name for name in config.suppress_warnings if name.split(".")[0] in TYPES]
    if silent:
        raise ConfigError(f"suppress_warnings hides {silent}: take it out, a false page must stop the build")


def setup_skin(app: Sphinx) -> None:
    """Register the configuration and the notes."""
    if not __debug__:
        raise ConfigError("python -O drops asserts, and lies with them: build the site without -O")
    app.add_config_value("code_packages", ["nanochat"], "env")
    app.add_config_value("guide_folders", ["nano", "nanomath"], "env")
    app.add_node(inner_link)
    app.connect("config-inited", _refuse_silence)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("doctree-resolved", resolve_links, priority=900)
