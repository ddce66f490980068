"""How a build ends, for the next one: one build at a time, and no warning forgotten.

Sphinx notes that a page is read before it writes the page, and forgets the warnings of a page that it does not read
again. So a build that was killed would leave old or half-written pages for ever, and one that failed would pass at the
next try. Here the build writes down what it has begun; the next one reads those pages again.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.util.logging import is_suppressed_warning

from docs._ext.references import page_of, source_files
from docs._ext.skin import TYPES, project_of

RECORD = "unfinished.json"
ALL = "*"
"""Stands for every page."""
REPEATED = (*TYPES, "sphinx_gallery")
"""Types of the warnings that every build gives anew, whatever it reads."""


class Busy(SphinxError):
    """Another build has the lock."""

    category = "Two builds at once"


def lock(path: Path) -> IO[str]:
    """Hold a file until the one who got it closes it or ends, however it ends.

    Raises:
        Busy: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open means locked
    try:
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return held  # a system without such locks
    except BlockingIOError:
        held.seek(0)
        who = held.read().strip()
        held.close()
        by = f" (process {who})" if who else ""
        raise Busy(
            f"another build{by} is writing into {path.parent}: wait until it is done, the lock goes when it ends"
        ) from None
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held


class Ear(logging.Handler):
    """Hears every warning of a build and notes the page that it is about."""

    def __init__(self, app: Sphinx) -> None:
        super().__init__(logging.WARNING)
        self.app = app
        self.pages: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the page; all pages where the warning names none."""
        type, subtype = getattr(record, "type", "") or "", getattr(record, "subtype", "") or ""
        if type not in REPEATED and not is_suppressed_warning(type, subtype, self.app.config.suppress_warnings):
            self.pages.add(self.page(getattr(record, "location", None)))

    def page(self, location: Any) -> str:
        """The name of the page of a place: a page and a line, a node, or ``file:line``."""
        if isinstance(location, tuple):
            location = location[0]
        if not isinstance(location, str):
            location = getattr(location, "source", None) or ""
        while location:
            if location in self.app.project.docnames:
                return location
            name = self.app.project.path2doc(location) if os.path.isabs(location) else None
            if name in self.app.project.docnames:
                return str(name)
            location = location.rpartition(":")[0]
        return ALL


def _record(app: Sphinx) -> Path:
    return Path(app.doctreedir) / RECORD


def _begin(app: Sphinx, config: Any) -> None:
    """Refuse a second build: it would write the same generated pages, also into another folder."""
    app.truth_lock = lock(Path(app.srcdir) / "_build" / ".pages.lock")  # type: ignore[attr-defined]


def _again(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """The pages that the last build did not bring to a good end; then mark this one as begun."""
    pages: set[str] = set()
    if _record(app).is_file():
        try:
            pages = set(json.loads(_record(app).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            pages = {ALL}
    project_of(app).write(_record(app), json.dumps([ALL]))
    return sorted(set(env.found_docs) if ALL in pages else pages & set(env.found_docs))


def _end(app: Sphinx, exception: Exception | None) -> None:
    """Write down the pages that gave warnings. After an error the mark of the beginning stays: all pages."""
    ear: Ear = app.truth_ear  # type: ignore[attr-defined]
    logging.getLogger("sphinx").removeHandler(ear)
    if exception is not None:
        return
    if ear.pages:
        project_of(app).write(_record(app), json.dumps(sorted(ear.pages)))
    else:
        with suppress(FileNotFoundError):
            _record(app).unlink()


def _reframe(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write every page again when a title or the order of the pages changed: each page's frame shows them."""
    frame = {name: (env.titles[name].astext(), env.toctree_includes.get(name, [])) for name in sorted(env.all_docs)}
    changed = getattr(env, "truth_frame", None) != frame
    env.truth_frame = frame  # type: ignore[attr-defined]
    return list(frame) if changed else []


def _sweep(app: Sphinx, exception: Exception | None) -> None:
    """Remove the pages of sources that are gone; Sphinx would leave them where readers and search still find them."""
    if exception is not None or app.builder.name != "html":
        return
    project, out = project_of(app), Path(app.outdir)
    names = {"genindex", "py-modindex", "search", *app.env.found_docs}
    names |= {page_of(project, path) for path in source_files(app, app.env)}
    for path in out.rglob("*.html"):
        name = path.relative_to(out).with_suffix("").as_posix()
        if name not in names and not name.startswith(("_", "print/")):  # printed.py makes those
            path.unlink()
    for path in (out / "_sources").rglob("*.txt"):
        if app.project.path2doc(Path(app.srcdir, path.relative_to(out / "_sources").with_suffix(""))) not in names:
            path.unlink()


def _release(app: Sphinx, exception: Exception | None) -> None:
    app.truth_lock.close()  # type: ignore[attr-defined]


def setup_ending(app: Sphinx) -> None:
    """Begin before anything is written; end before others that may stop the end."""
    app.truth_ear = Ear(app)  # type: ignore[attr-defined]
    logging.getLogger("sphinx").addHandler(app.truth_ear)  # type: ignore[attr-defined]
    app.connect("config-inited", _begin, priority=1)
    app.connect("env-get-outdated", _again)
    app.connect("env-updated", _reframe, priority=900)
    app.connect("build-finished", _end, priority=1)
    app.connect("build-finished", _sweep)
    app.connect("build-finished", _release, priority=999)
