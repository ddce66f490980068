"""Run an example of the gallery again when the code that it reaches has changed.

sphinx-gallery asks only whether the example's own text changed. Before it asks, the checksum of each
example whose reach (``reach.py``) is not the recorded one is taken away; the new one is recorded only
when the example ran through, which its fresh checksum shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from docs._ext.reach import Reach
from docs._ext.skin import project_of

logger = logging.getLogger(__name__)
RECORD = "reach.json"


def examples(app: Sphinx) -> Iterator[tuple[Path, Path]]:
    """Each example and its copy in the gallery's folder."""
    settings = getattr(app.config, "sphinx_gallery_conf", None) or {}
    sources, targets = settings.get("examples_dirs", []), settings.get("gallery_dirs", [])
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    targets = [targets] if isinstance(targets, (str, Path)) else targets
    for source, target in zip(sources, targets, strict=False):
        folder, gallery = Path(app.srcdir, source).resolve(), Path(app.srcdir, target).resolve()
        for path in sorted(folder.rglob("*.py")):
            yield path, gallery / path.relative_to(folder)


def _recorded(gallery: Path) -> dict[str, str]:
    try:
        content = json.loads((gallery / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def checksum_of(copy: Path) -> Path:
    """The file that the gallery leaves beside the copy of an example that ran through."""
    return copy.with_name(f"{copy.name}.md5")


def forget_stale(app: Sphinx) -> None:
    """Take away the checksum of each example whose code has changed, just before the gallery looks."""
    reach = Reach(project_of(app))
    app.truth_reaches = {}  # type: ignore[attr-defined]
    for path, copy in examples(app):
        now = reach.of_script(path)
        app.truth_reaches[path] = now  # type: ignore[attr-defined]
        if checksum_of(copy).is_file() and _recorded(copy.parent).get(path.name) != now:
            checksum_of(copy).unlink()
            logger.info("the code that %s reaches has changed: it runs again", path.name)


def record_success(app: Sphinx) -> None:
    """Record what each example reached that has run through: the gallery left it a checksum."""
    project = project_of(app)
    kept: dict[Path, dict[str, str]] = {}
    for path, copy in examples(app):
        kept.setdefault(copy.parent, {})
        if checksum_of(copy).is_file():
            kept[copy.parent][path.name] = app.truth_reaches[path]  # type: ignore[attr-defined]
    for folder, content in kept.items():
        if folder.is_dir():
            project.write(folder / RECORD, json.dumps(content, indent=1, sort_keys=True) + "\n")


def setup_rerun(app: Sphinx) -> None:
    """Stand around the gallery, which runs at the default priority."""
    app.connect("builder-inited", forget_stale, priority=480)
    app.connect("builder-inited", record_success, priority=520)
