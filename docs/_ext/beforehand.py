"""Run in several processes what a build would run one after another, so that it only has to remember.

Nothing is judged here: the build looks at every claim, picture and problem itself, and runs again what it does not
remember. ``python -m docs._ext.beforehand`` does it for the whole site.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from docs._ext import verdicts
from docs._ext.claims import load
from docs._ext.project import Project

MOST = 8
"""So many processes at most: each takes half a gigabyte."""
DIRECTIVE = re.compile(r"^[ >]*(?:`{3,}|:{3,})\{(picture|problem)\}[ \t]+(\S+)", re.MULTILINE)

Task = tuple[Callable[..., None], tuple[Any, ...]]
"""A function and its arguments."""


def targets(project: Project) -> Iterator[tuple[str, str]]:
    """Every picture and problem that a page asks for: its kind, and the function that makes it."""
    for page in project.pages():
        for match in DIRECTIVE.finditer(page.read_text(encoding="utf-8")):
            yield match[1], match[2]


def make(kind: str, target: str) -> None:
    """Make a picture or a problem and remember it; what fails is reported by the page that asks for it."""
    from docs._ext import pictures, problems
    from nanochat.common import InputError

    try:
        (pictures if kind == "picture" else problems).load(target)
    except InputError:
        return


def prove(project: Project, file: Path, mutants: bool, only: Collection[str]) -> None:
    """Run the claims of a file, or only some of them, and remember what the code said."""
    verdicts.make_importable(project)
    wanted = [claim.id for claim in load(project.docs / "claims").claims if claim.file == file]
    if ids := [id for id in wanted if id in only or not only]:
        verdicts.judge(project, ids=ids, mutants=mutants)


def proofs(project: Project, mutants: bool, only: Collection[str] = ()) -> list[Task]:
    """A task for each file of claims, the longest first: claims of one file often share a model that they train.

    Args:
        project: The repository.
        mutants: Whether each claim must also fall under its mutants.
        only: The claims to run; all of them if there are none.
    """
    files = sorted((project.docs / "claims").glob("*.py"), key=lambda path: path.stat().st_size, reverse=True)
    return [(prove, (project, file, mutants, only)) for file in files]


def drawings(project: Project) -> list[Task]:
    """A task for each file of pictures and problems, which often share a model too."""
    from docs._ext import runs

    files: dict[str, dict[tuple[str, str], None]] = {}
    for kind, target in targets(project):
        files.setdefault(target.partition(":")[0], {})[kind, target] = None
    return [(runs.fill, (make, tuple(wanted))) for wanted in sorted(files.values(), key=len, reverse=True)]


def run(tasks: list[Task], processes: int) -> None:
    """Run tasks in several processes.

    Args:
        tasks: What to run, best the longest first.
        processes: How many.
    """
    # Not forked: a forked process would wait for ever for the threads of torch.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(function, *given) for function, given in tasks]:
            done.result()


if __name__ == "__main__":
    here = Project(Path(__file__).resolve().parents[2])
    sys.path.insert(0, str(here.root))
    run([*proofs(here, mutants=True), *drawings(here)], min(os.cpu_count() or 1, MOST))
