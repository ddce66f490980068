"""The site's own Sphinx extension: a core that knows no Sphinx, and one ``setup_<feature>`` a file.

The truth of the guides: ``claims``, ``verdicts``, ``guides``, ``sources``, ``reach``, ``mutation``, ``accept``,
``beforehand``, ``command``, ``counting`` and ``lint`` are the core; ``skin``, ``gate``, ``references``,
``verification``, ``overview``, ``quotes``, ``values``, ``ahead``, ``built``, ``rerun``, ``bounds``, ``ending``,
``counted``, ``single_file``, ``printed`` and ``used_in`` hand it to Sphinx. The look: ``look``, ``docstrings``,
``math``, ``symbols``, ``terms``, ``pictures``, ``problems``, ``gallery``, ``marks``, ``numbering`` and ``sidebar``.
"""

from __future__ import annotations

import importlib
from typing import Any

TRUTH = (
    *("skin", "gate", "references", "verification", "quotes", "lint", "values"),
    *("ahead", "built", "rerun", "bounds", "ending", "counted", "single_file", "printed", "used_in"),
)
"""Features that check the guides; ``skin`` first, the others build on it."""
LOOK = (
    *("look", "docstrings", "math", "symbols", "terms", "pictures", "problems", "gallery", "marks", "numbering"),
    "sidebar",
)
"""Features that show them."""


def setup_features(app: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Set up some features; the tests take fewer than the site."""
    for name in names:
        module = importlib.import_module(f"{__name__}.{name}")
        getattr(module, f"setup_{name}")(app)
    return {"version": "1", "env_version": 3, "parallel_read_safe": True, "parallel_write_safe": True}


def setup(app: Any) -> dict[str, Any]:
    """Set up all features."""
    return setup_features(app, (*TRUTH, *LOOK))
