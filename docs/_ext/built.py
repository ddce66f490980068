"""The folder of the model that the site trains, named after the code that made it.

A change of the code that the recipe reaches gives another folder, so that no page can ever show a model of older
code; the folders of older code are removed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from docs._ext.project import Project
from docs._ext.reach import Reach

VARIABLE = "NANOCHAT_BASE_DIR"


def built_folder(project: Project) -> Path:
    """The base folder of everything that the examples save, for the code as it is now."""
    reach = Reach(project)
    key = reach.digest(reach.closure([("nanochat.tiny", "", 0)]))
    return project.docs / "_build" / "base" / key[:16]


def use_built_folder(project: Project) -> Path:
    """Point the package at the folder, unless the user points it elsewhere, and remove the folders of older code."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    folder = built_folder(project)
    if folder.parent.is_dir():
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    os.environ[VARIABLE] = str(folder)
    return folder


def setup_built(app: Any) -> None:
    """Choose the folder before the examples run."""
    from docs._ext.skin import project_of

    app.connect("builder-inited", lambda app: use_built_folder(project_of(app)), priority=50)
