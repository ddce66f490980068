"""Build the site: train the tiny model, run Sphinx, say how long each part took.

``python -m docs.build`` is what ``make site`` runs; ``--draft`` leaves the examples out and is done in seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from docs._ext.built import use_built_folder
from docs._ext.ending import Busy, lock
from docs._ext.project import Project

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "docs" / "_build"
STAMP = BUILD / ".beforehand"
"""As old as the last time that claims and pictures were run on all processors."""
FOLDERS = ("nanochat", "docs/claims", "docs/pictures", "docs/problems")
"""What the claims, the pictures and the problems are made of."""


def main(argv: list[str] | None = None) -> int:
    """Read the command line, take the lock, build."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--draft", action="store_true", help="do not run the examples")
    parser.add_argument("--jobs", default="1", help="processes that read and write pages")
    options = parser.parse_args(argv)
    if not __debug__:
        sys.exit("python -O drops asserts, and lies with them: build the site without -O")
    try:
        held = lock(BUILD / ".lock")
    except Busy as busy:
        sys.exit(str(busy))
    with held:
        return build(options.draft, options.jobs, held.fileno())


def build(draft: bool, jobs: str, held: int) -> int:
    """Build the site and return the exit status.

    Args:
        draft: Whether to leave the examples out.
        jobs: Processes that read and write pages.
        held: The file that is the lock. The processes started here hold it too: should this one be killed, the
            lock stays until they have ended.
    """
    use_built_folder(Project(ROOT))  # not before the lock: it removes the folders of older code
    environment = {
        # Threads that wait spin for a moment and then sleep. Spinning without end is a little faster on an idle machine
        # and takes twice as long on a busy one; sleeping at once is slower on an idle one.
        "GOMP_SPINCOUNT": "2000",
        "TOKENIZERS_PARALLELISM": "false",
        **os.environ,
    }
    parts: list[tuple[str, float]] = []

    def run(name: str, *command: str) -> int:
        begin = time.perf_counter()
        status = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, pass_fds=(held,)
        ).returncode
        parts.append((name, time.perf_counter() - begin))
        return status

    out = BUILD / ("draft" if draft else "html")
    # A draft shares no doctree with the full build: each would make the other stale.
    doctrees = BUILD / f"doctrees-{out.name}"
    status = 0 if draft else run("train the tiny model", "nanochat.tiny")
    if not status and not draft and changed_since(STAMP):
        begin = time.perf_counter()
        run_beforehand(environment, held)
        parts.append(("claims and pictures", time.perf_counter() - begin))
    status = status or run(
        "build the pages",
        *("sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", "-c", ".", "-d", str(doctrees)),
        *("-j", jobs, *(("-D", "plot_gallery=0") if draft else ()), "docs", str(out)),
    )
    print()
    for name, seconds in (*parts, ("all", sum(seconds for _, seconds in parts))):
        print(f"{name:24}{seconds:7.1f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{'most memory at once':24}{peak / 2**20 if sys.platform != 'darwin' else peak / 2**30:7.1f} GiB")
    if status:
        print("\nthe site was NOT built: the messages above say what to mend", file=sys.stderr)
        return status
    print(f"\nopen {out.relative_to(ROOT) / 'index.html'}" + ("" if draft else ", or run: make serve"))
    return 0


def changed_since(path: Path) -> bool:
    """Whether the package or the proofs changed since a file was written; also if it never was."""
    sources = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    return not path.exists() or max(file.stat().st_mtime for file in sources) > path.stat().st_mtime


def run_beforehand(environment: dict[str, str], held: int) -> None:
    """Run claims and pictures on all processors, so that the build remembers them. It tells what is wrong with them.

    Args:
        environment: The environment of the build.
        held: See :func:`build`.
    """
    subprocess.run(
        [sys.executable, "-m", "docs._ext.beforehand"],
        cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1"}, pass_fds=(held,),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    STAMP.touch()


if __name__ == "__main__":
    sys.exit(main())
