"""References that cannot rot: the author names a symbol, the build finds its lines.

``{src}`nanochat.gpt.GPT.forward``` prints ``nanochat/gpt.py:64-126`` and links to these lines on the site's
own page of the source. ```` ```{in-code} nanochat.gpt.GPT.forward ```` shows the source itself.
"""

from __future__ import annotations

import hashlib
import html
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import __version__ as sphinx_version
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from docs._ext.project import Project
from docs._ext.skin import Use, depend, index_of, line_of, link, note, project_of, uses, warn
from docs._ext.sources import Index, Source, UnknownSymbol, display

WRITTEN = "source-pages.json"


class ExcerptNotFound(LookupError):
    """The text that bounds an excerpt is not in the source."""


def page_of(project: Project, path: Path) -> str:
    """The page of the site that shows a file."""
    return f"source/{project.relative(path).removesuffix('.py')}"


def reference(project: Project, source: Source, text: str = "") -> nodes.Node:
    """A link to the lines of a symbol."""
    where = display(project, source)
    child = nodes.inline("", text) if text else nodes.literal(where, where, classes=["src"])
    anchor = "" if source.kind == "module" else source.symbol
    title = f"{source.symbol}, {where}"
    return link(page_of(project, source.path), anchor, child, title=title, classes=["src-link"])


def excerpt(source: Source, first: str, last: str, docstring: bool) -> str:
    """The source of a symbol, without its docstring unless wanted, between two texts if given.

    Raises:
        ExcerptNotFound: If a text is in no line.
    """
    lines = (textwrap.dedent(source.text) if docstring else source.code).splitlines()
    begin, end = 0, len(lines)
    if first:
        begin = next((i for i, line in enumerate(lines) if first in line), -1)
    if last:
        end = next((i + 1 for i, line in enumerate(lines) if last in line and i >= max(begin, 0)), -1)
    for text, at in ((first, begin), (last, end)):
        if at < 0:
            raise ExcerptNotFound(f"{source.symbol} has no line with {text!r}: quote a line that it has")
    return textwrap.dedent("\n".join(lines[begin:end]))


class SrcRole(SphinxRole):
    """``{src}`symbol``` or ``{src}`text <symbol>```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Find the symbol; an unknown one is reported when all pages are read."""
        title, _, symbol = self.text.rpartition("<")
        symbol, title = (symbol.rstrip("> "), title.strip()) if title else (self.text.strip(), "")
        index = Index(Project(Path(self.env.srcdir).resolve().parent, tuple(self.config.code_packages)))
        try:
            source = index.lookup(symbol)
        except UnknownSymbol:
            note(self.env, Use("src", symbol, "", self.lineno))
            return [nodes.literal(symbol, symbol)], []
        where = display(index.project, source)
        note(self.env, Use("src", symbol, where, self.lineno, index.project.relative(source.path)))
        depend(self.env, source.path)
        return [reference(index.project, source, title)], []


class InCode(SphinxDirective):
    """The source of a symbol as it is at this build, under its file and lines."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "docstring": directives.flag,
        "from": directives.unchanged_required,
        "to": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Make the block; what cannot be found is reported when all pages are read."""
        symbol = self.arguments[0]
        first, last = self.options.get("from", ""), self.options.get("to", "")
        docstring = "docstring" in self.options
        index = Index(Project(Path(self.env.srcdir).resolve().parent, tuple(self.config.code_packages)))
        text = "\0".join((symbol, first, last, "docstring" if docstring else ""))
        try:
            source = index.lookup(symbol)
            code = excerpt(source, first, last, docstring)
        except LookupError:
            note(self.env, Use("in-code", text, "", self.lineno))
            return [nodes.literal_block(symbol, symbol)]
        where = display(index.project, source)
        note(self.env, Use("in-code", text, f"{where}\n{code}", self.lineno, index.project.relative(source.path)))
        depend(self.env, source.path)
        block = nodes.literal_block(code, code, language=lexer_of(source.path), classes=["in-code-text"])
        caption = nodes.paragraph("", "", reference(index.project, source), classes=["in-code-caption"])
        return [nodes.container("", caption, block, classes=["in-code"])]


def lexer_of(path: Path) -> str:
    """The name of the highlighter of a file."""
    try:
        return get_lexer_for_filename(path.name).aliases[0]
    except ClassNotFound:
        return "text"


def _look_up(index: Index, use: Use) -> str:
    """What a note shows now."""
    symbol, *bounds = use.text.split("\0")
    source = index.lookup(symbol)
    where = display(index.project, source)
    if not bounds:
        return where
    return f"{where}\n{excerpt(source, bounds[0], bounds[1], bool(bounds[2]))}"


def check_references(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Look up every symbol of every page again, on every build."""
    index = index_of(app)
    for docname in sorted(uses(env)):
        for use in uses(env)[docname]:
            if use.kind in ("src", "in-code"):
                try:
                    _look_up(index, use)
                except LookupError as error:
                    kind = "unknown" if isinstance(error, UnknownSymbol) else "excerpt"
                    line = line_of(env, docname, use)
                    warn(env.doc2path(docname), line, str(error), "code", kind)
    env.truth_sources = source_digest(app, env)  # type: ignore[attr-defined]
    return []


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Pages that show lines or source that have changed; the first page if any source has."""
    index = index_of(app)
    found = set()
    for docname, noted in uses(env).items():
        for use in noted:
            if use.kind in ("src", "in-code"):
                try:
                    now = _look_up(index, use)
                except LookupError:
                    now = ""
                if now != use.shown:
                    found.add(docname)
    if source_digest(app, env) != getattr(env, "truth_sources", ""):
        found.add(app.config.root_doc)
    return sorted(found & set(env.found_docs))


def source_digest(app: Sphinx, env: BuildEnvironment) -> str:
    """One hash of all pages of source."""
    digest = hashlib.sha256()
    for path in source_files(app, env):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def source_files(app: Sphinx, env: BuildEnvironment) -> list[Path]:
    """The files that have a page: the packages, the claims, and whatever else a page refers to."""
    project = project_of(app)
    files = {*Index(project).modules(), *(project.docs / "claims").glob("*.py")}
    files |= {project.root / use.file for noted in uses(env).values() for use in noted if use.file}
    return sorted(path for path in files if path.is_file())


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The site's own pages of source, those that changed: an anchor a line, and one a symbol that holds its lines."""
    if app.builder.format != "html":
        return
    project, index = project_of(app), index_of(app)
    cited: dict[str, set[str]] = {}
    for docname, noted in uses(app.env).items():
        for use in noted:
            if use.file:
                cited.setdefault(use.file, set()).add(docname)
    written, frame = _taken(app), _frame_digest(app)
    app.truth_source_pages = {}  # type: ignore[attr-defined]
    for path in source_files(app, app.env):
        name = project.relative(path)
        page = page_of(project, path)
        links = "".join(
            f'<li><a href="{app.builder.get_relative_uri(page, docname)}">'
            f"{html.escape(app.env.titles[docname].astext())}</a></li>"
            for docname in sorted(cited.get(name, ()))
            if docname in app.env.titles
        )
        key = hashlib.sha256("\0".join((frame, links)).encode() + path.read_bytes()).hexdigest()
        app.truth_source_pages[page] = key  # type: ignore[attr-defined]
        if written.get(page) == key and Path(app.outdir, f"{page}.html").is_file():
            continue
        symbols = index.symbols(path) if path.suffix == ".py" else []
        body = _body(_highlighted(app, path), [s for s in symbols if s.kind != "module"])
        spoken = f'<p>Pages that refer to this file:</p><ul class="source-cited">{links}</ul>' if links else ""
        context = {"title": name, "parents": [], "body": f"<h1><code>{name}</code></h1>{spoken}{body}"}
        yield page, context, "page.html"


def _frame_digest(app: Sphinx) -> str:
    """A hash of all that a page of source shows besides the source: settings, templates, the tree of pages, us."""
    digest = hashlib.sha256(repr((sphinx_version, app.builder.build_info.config_hash)).encode())  # type: ignore[attr-defined]
    digest.update(json.dumps(app.env.truth_frame, sort_keys=True).encode())  # type: ignore[attr-defined]
    docs = project_of(app).docs
    for folder in (docs / "_templates", docs / "_static", Path(__file__).parent):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".html", ".css", ".js", ".py"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _taken(app: Sphinx) -> dict[str, str]:
    """What the last build wrote into this folder. The record is away while a build goes on: it may be killed."""
    path = Path(app.doctreedir, WRITTEN)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    path.unlink(missing_ok=True)
    return content.get(str(app.outdir), {}) if isinstance(content, dict) else {}


def keep_written(app: Sphinx, exception: Exception | None) -> None:
    """Remember which source each page of source shows, after a build that wrote them all."""
    if exception is None and hasattr(app, "truth_source_pages"):
        content = json.dumps({str(app.outdir): app.truth_source_pages}, indent=1, sort_keys=True)
        project_of(app).write(Path(app.doctreedir, WRITTEN), content)


def _highlighted(app: Sphinx, path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    block = app.builder.highlighter.highlight_block(text, lexer_of(path), force=True)  # type: ignore[attr-defined]
    inside = block[block.index("<pre>") + 5 : block.rindex("</pre>")].removeprefix("<span></span>")
    lines = inside.split("\n")
    count = max(len(text.splitlines()), 1)
    lead = len(text) - len(text.lstrip("\n"))  # Pygments drops blank lines at the start
    return [*[""] * lead, *lines][:count] if lead else lines[:count]


def _body(lines: list[str], symbols: list[Source]) -> str:
    """The lines with their numbers, inside nested blocks, one a symbol, that the style sheet shades on arrival."""
    opens: dict[int, list[str]] = {}
    closes: dict[int, int] = {}
    for source in symbols:
        opens.setdefault(source.first, []).append(f'<span class="source-symbol" id="{html.escape(source.symbol)}">')
        closes[source.last] = closes.get(source.last, 0) + 1
    rows = []
    for number, line in enumerate(lines, 1):
        rows.append("".join(opens.get(number, ())))
        rows.append(
            f'<span class="source-line" id="L{number}">'
            f'<a class="source-number" href="#L{number}" aria-label="line {number}">{number}</a>{line}\n</span>'
        )
        rows.append("</span>" * closes.get(number, 0))
    return f'<div class="highlight source-page"><pre>{"".join(rows)}</pre></div>'


def setup_references(app: Sphinx) -> None:
    """Register the role, the directive and the pages of source."""
    app.add_role("src", SrcRole())
    app.add_directive("in-code", InCode)
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", check_references)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", keep_written)
