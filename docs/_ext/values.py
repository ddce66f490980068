"""Numbers that nobody types: ``{val}`` computes them, ``{cite}`` says who found them.

``{val}`GPTConfig.from_depth(20).n_embd``` is evaluated while the site is built, with the public names of the
package at hand (and ``math``). Integers get thousands separators, floats six digits; an f-string gives any other form.
``{cite}`gpt2``` names an entry of ``docs/references.toml``.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import math
import multiprocessing
import re
import sys
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole

from docs._ext import guides
from docs._ext.claims import shown
from docs._ext.project import Project
from docs._ext.reach import Reach
from docs._ext.skin import Use, depend, index_of, line_of, link, note, project_of, uses, warn
from docs._ext.sources import Index


class ValueFailed(Exception):
    """An expression that cannot be computed."""


def _names(index: Index, expression: str) -> dict[str, Any]:
    """What the names of an expression mean."""
    tree = ast.parse(expression.strip(), mode="eval")
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    public = index.public()
    modules = {index.dotted(path).rpartition(".")[2]: index.dotted(path) for path in index.modules()}
    found: dict[str, Any] = {"math": math}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or node.id in {*found, *stored} or hasattr(builtins, node.id):
            continue
        homes = public.get(node.id, [])
        if node.id in index.project.packages:
            found[node.id] = _package(node.id, expression)
        elif len(homes) == 1:
            found[node.id] = getattr(importlib.import_module(homes[0]), node.id)
        elif homes:
            choices = " or ".join(f"{home.rpartition('.')[2]}.{node.id}" for home in homes)
            raise ValueFailed(f"{node.id} stands in several modules: write {choices}")
        elif node.id in modules:
            found[node.id] = importlib.import_module(modules[node.id])
        else:
            raise ValueFailed(f"no public name of the package is called {node.id}")
    return found


def _package(name: str, expression: str) -> Any:
    """A package, with those of its modules imported that a dotted expression names."""
    for node in ast.walk(ast.parse(expression.strip(), mode="eval")):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if dotted.replace(".", "").replace("_", "").isalnum() and dotted.startswith(f"{name}."):
                try:
                    importlib.import_module(dotted)
                except ImportError:
                    continue
    return importlib.import_module(name)


def evaluate(project: Project, expression: str) -> str:
    """Compute an expression and show it.

    Raises:
        ValueFailed: If it cannot be computed; the message says why.
    """
    shown_or_failed = _evaluate(project, expression, Reach(project).digest_of_all(Index(project).modules()))
    if isinstance(shown_or_failed, ValueFailed):
        raise shown_or_failed
    return shown_or_failed


@lru_cache(maxsize=4096)
def _evaluate(project: Project, expression: str, digest: str) -> str | ValueFailed:
    """The text, or the failure: that too is remembered, so that a forked process does not try again."""
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))
    try:
        names = _names(Index(project), expression)
        torch = sys.modules.get("torch")
        if torch and multiprocessing.parent_process() is not None:
            torch.set_num_threads(1)  # a pool of threads does not survive the fork of -j
        value = eval(compile(expression.strip(), "<val>", "eval"), names)  # noqa: S307 - the author's own page
    except ValueFailed as error:
        return error
    except (Exception, SystemExit) as error:
        return ValueFailed(f"{type(error).__name__}: {error}")
    if value is None:
        return ValueFailed("it gives None")
    return value if isinstance(value, str) else shown(value)


class ValRole(SphinxRole):
    """``{val}`expression```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Compute it; a failure is reported when all pages are read."""
        project = Project(Path(self.env.srcdir).resolve().parent, tuple(self.config.code_packages))
        expression = nodes.unescape(self.text).strip()
        try:
            text = evaluate(project, expression)
        except ValueFailed:
            text = ""
        note(self.env, Use("val", expression, text, self.lineno))
        return [nodes.inline("", text or expression, classes=["val"])], []


@dataclass(frozen=True)
class Work:
    """An entry of ``docs/references.toml``."""

    authors: str
    title: str
    year: int
    url: str
    name: str = ""

    @property
    def short(self) -> str:
        """How a sentence cites it: ``Vaswani et al., 2017``."""
        return f"{self.name or self.authors.split(',')[0]}, {self.year}"


def works(project: Project) -> dict[str, Work]:
    """The sources that may be cited."""
    path = project.docs / "references.toml"
    if not path.is_file():
        return {}
    return {key: Work(**row) for key, row in tomllib.loads(path.read_text(encoding="utf-8")).items()}


def citations(project: Project) -> dict[str, list[tuple[Path, int, str]]]:
    """Key -> file, line and sentence of every citation in the guides."""
    found: dict[str, list[tuple[Path, int, str]]] = {}
    for path in project.pages():
        text = path.read_text(encoding="utf-8")
        for paragraph in guides.paragraphs(text) if "{cite}`" in text else ():
            for line, sentence in guides.split_sentences(paragraph):
                for token in guides.inline(sentence):
                    if token.type == "myst_role" and token.meta["name"] == "cite":
                        words = guides.plain(re.sub(r"\s*\{cite\}`[^`]*`", "", sentence))
                        found.setdefault(token.content.strip(), []).append((path, line, words))
    return found


class CiteRole(SphinxRole):
    """``{cite}`key```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Link to the entry; an unknown key is reported when all pages are read."""
        project = Project(Path(self.env.srcdir).resolve().parent, tuple(self.config.code_packages))
        work = works(project).get(self.text.strip())
        note(self.env, Use("cite", self.text.strip(), work.short if work else "", self.lineno))
        if work is None:
            return [nodes.inline("", self.text)], []
        depend(self.env, project.docs / "references.toml")
        title = f"{work.authors}: {work.title}"
        return [
            link("verification/outside", f"cite-{self.text.strip()}", f"({work.short})", title=title, classes=["cite"])
        ], []


def check_values(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Compute every value and look up every citation of every page again, on every build."""
    project = project_of(app)
    known = works(project)
    for docname in sorted(uses(env)):
        for use in uses(env)[docname]:
            where = (env.doc2path(docname), line_of(env, docname, use))
            if use.kind == "val":
                try:
                    evaluate(project, use.text)
                except ValueFailed as error:
                    warn(*where, f"{{val}}`{use.text}` cannot be computed: {error}", "values", "failed")
            elif use.kind == "cite" and use.text not in known:
                warn(*where, f"{{cite}}`{use.text}`: docs/references.toml has no such entry: add it", "cite", "unknown")
    return []


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Pages that show a value which is another one now."""
    project, found = index_of(app).project, set()
    known = works(project)
    for docname, noted in uses(env).items():
        for use in noted:
            if use.kind == "val":
                try:
                    now = evaluate(project, use.text)
                except ValueFailed:
                    now = ""
            elif use.kind == "cite":
                now = known[use.text].short if use.text in known else ""
            else:
                continue
            if now != use.shown:
                found.add(docname)
    return sorted(found & set(env.found_docs))


def setup_values(app: Sphinx) -> None:
    """Register the roles."""
    app.add_role("val", ValRole())
    app.add_role("cite", CiteRole())
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", check_values)
