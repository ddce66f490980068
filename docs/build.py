"""Build the site: train the tiny model, run Sphinx, say how long each part took.

``python -m docs.build`` is what ``make site`` runs; ``--draft`` leaves the examples out and is done in seconds.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docs._ext.built import use_built_folder
from docs._ext.project import Project

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "docs" / "_build"


@contextmanager
def only_build(folder: Path) -> Iterator[None]:
    """Hold the lock of a build folder, so that two builds never write the same pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(
                f"another build is writing into {folder}: wait until it is done (the lock goes when it ends)"
            )
        yield


def main(argv: list[str] | None = None) -> int:
    """Build the site and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--draft", action="store_true", help="do not run the examples")
    parser.add_argument("--jobs", default="1", help="processes that read and write pages")
    options = parser.parse_args(argv)
    use_built_folder(Project(ROOT))
    environment = {
        # Small tensors are faster when idle threads sleep than when they spin, above all on a busy machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        **os.environ,
    }
    parts: list[tuple[str, float]] = []

    def run(name: str, *command: str) -> int:
        begin = time.perf_counter()
        status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment).returncode
        parts.append((name, time.perf_counter() - begin))
        return status

    out = BUILD / ("draft" if options.draft else "html")
    with only_build(BUILD):
        # A draft shares no doctree with the full build: each would make the other stale.
        doctrees = BUILD / f"doctrees-{out.name}"
        draft = ["-D", "plot_gallery=0"] if options.draft else []
        status = 0
        if not options.draft:
            status = run("train the tiny model", "nanochat.tiny")
        status = status or run(
            "build the pages",
            *("sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", "-c", ".", "-d", str(doctrees)),
            *("-j", options.jobs, *draft, "docs", str(out)),
        )
    print()
    for name, seconds in (*parts, ("all", sum(seconds for _, seconds in parts))):
        print(f"{name:24}{seconds:7.1f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{'most memory at once':24}{peak / 2**20 if sys.platform != 'darwin' else peak / 2**30:7.1f} GiB")
    if status:
        print("\nthe site was NOT built: the messages above say what to mend", file=sys.stderr)
        return status
    print(
        f"\nopen {out.relative_to(ROOT) / 'index.html'}" + ("" if options.draft else ", or run: make serve")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
