"""Run what pages run before Sphinx forks.

With ``-j`` pages are read in forked processes, and a pool of threads (torch's, or that of a tokenizer written in
Rust) does not survive a fork: the child waits for it forever. So the values, pictures and problems of all
pages are computed here, in the parent; the children inherit the results.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

from docs._ext.beforehand import make, targets
from docs._ext.skin import project_of
from docs._ext.values import ValueFailed, evaluate

VALUE = re.compile(r"\{val\}(`+)(.+?)\1", re.DOTALL)


def run_ahead(app: Sphinx) -> None:
    """Compute everything once; what fails is reported by the page that asks for it."""
    project = project_of(app)
    for page in project.pages():
        text = page.read_text(encoding="utf-8")
        for match in VALUE.finditer(text):
            try:
                evaluate(project, match[2].strip())
            except ValueFailed:
                continue
    for kind, target in targets(project):
        make(kind, target)


def setup_ahead(app: Sphinx) -> None:
    """Run after the gallery, the last that the parent runs before it reads pages."""
    app.connect("builder-inited", run_ahead, priority=600)
