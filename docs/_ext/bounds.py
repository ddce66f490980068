"""Bounds of the examples: none runs for ever, none shows what only one machine can show.

The clock: an example that runs longer than ``example_seconds`` (a setting of conf.py) is stopped like one that raises,
at its own line. Code that no signal can reach is ended with the whole build a minute later.

The output: what an example prints stands on a public page and should be the same on every machine. So it holds no path
of a private folder and no duration; times may be drawn beside each other, in a picture.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sphinx.application import Sphinx

from docs._ext.rerun import checksum_of, examples
from docs._ext.skin import project_of, warn

SECONDS = 900
"""Training the tiny model, which the first of its examples does, stops by itself after ten minutes."""
GRACE = 60
"""Seconds between the exception and the end of the build, for code that does not let the exception through."""
NAME = "docs._ext.bounds.watch"
TIME = re.compile(
    r"\d+(?:\.\d+)? ?(?:s|ms|µs|us|sec|secs|seconds?|min|minutes?|hours?|(?:tokens|steps|it)/s)(?![\w/-])"
)
"""How a duration or a speed is written."""
BLOCK = re.compile(r"^\.\. GENERATED FROM PYTHON SOURCE LINES (\d+)-\d+$")


class TooLong(Exception):  # noqa: N818 - what it says is how it is named
    """An example ran longer than it may."""


def inside(frame: FrameType | None, file: str) -> bool:
    """Whether a call stack passes through a file."""
    while frame is not None:
        if os.path.basename(frame.f_code.co_filename) == file:
            return True
        frame = frame.f_back
    return False


def watch(gallery_conf: dict[str, Any], file: str | None, when: str) -> None:
    """Set the clock before an example and stop it behind. The gallery calls this.

    Args:
        gallery_conf: The settings of the gallery.
        file: The example; None before a folder of them.
        when: ``before`` or ``after``.
    """
    alarm = getattr(signal, "SIGALRM", None)
    if alarm is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    limit = gallery_conf.get("example_seconds", SECONDS)
    if file is None or when != "before" or limit <= 0:
        return
    name = os.path.basename(file)

    def stop(number: int, frame: FrameType | None) -> None:
        if inside(frame, name):  # and not the gallery, which would fall over it
            raise TooLong(f"{name} ran longer than {limit:g} s: make it do less, or raise example_seconds in conf.py")

    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=sys.__stderr__)
    if alarm is not None:
        try:
            signal.signal(alarm, stop)
        except ValueError:  # not the main thread: the end of the build remains
            return
        signal.setitimer(signal.ITIMER_REAL, limit, 1.0)  # again, should the example swallow it


def private(root: Path) -> re.Pattern[str]:
    """What no page may show: the folder of the repository and the home folder."""
    folders = {str(root), str(root.resolve()), str(Path.home()), str(Path.home().resolve())}
    words = "|".join(re.escape(folder) for folder in sorted(folders, key=len, reverse=True) if len(folder) > 1)
    return re.compile(rf"(?<![\w/.])(?:{words})(?![\w-])[^\s'\"<>)&]*")


def shown_paths(page: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """The line of the example, and the path, of each private path that the page of an example shows."""
    line = 1
    for row in page.splitlines():
        if block := BLOCK.match(row):
            line = int(block[1])
        for match in pattern.finditer(row):
            yield line, match[0]


def printed_times(page: str) -> Iterator[tuple[int, str]]:
    """The line of the example, and the words, of each duration or speed that an example has printed."""
    line, margin, inside = 1, 0, False
    for row in page.splitlines():
        if block := BLOCK.match(row):
            line = int(block[1])
        if row.strip() == ".. rst-class:: sphx-glr-script-out":
            inside, margin = True, len(row) - len(row.lstrip())
        elif inside and row.strip() and len(row) - len(row.lstrip()) <= margin:
            inside = False
        elif inside:
            for match in TIME.finditer(row):
                yield line, match[0].strip()


def check_output(app: Sphinx) -> None:
    """Look at every page of an example that ran through; one that shows a private path or a time did not."""
    pattern = private(project_of(app).root)
    for path, copy in examples(app):
        page = copy.with_suffix(".rst")
        if not checksum_of(copy).is_file() or not page.is_file():
            continue
        text = page.read_text(encoding="utf-8")
        paths, times = dict.fromkeys(shown_paths(text, pattern)), dict.fromkeys(printed_times(text))
        for line, shown in paths:
            message = (
                f"{path.name} shows {shown!r}, a folder of this machine: print a relative path, the name of the file, "
                "or nothing"
            )
            warn(path, line, message, "examples", "path")
        for line, shown in times:
            message = (
                f"{path.name} prints {shown!r}, which another build measures differently: print a ratio rounded to "
                "what holds, or draw it"
            )
            warn(path, line, message, "examples", "time")
        if paths or times:
            checksum_of(copy).unlink()


def _hold(app: Sphinx, config: Any) -> None:
    """Add the clock to whatever the gallery does around examples."""
    settings = getattr(config, "sphinx_gallery_conf", None)
    if settings is None:
        return
    resets = settings.get("reset_modules", ("matplotlib", "seaborn"))  # as the gallery has it
    resets = (resets,) if isinstance(resets, str) else tuple(resets)
    if NAME not in resets:
        resets = (*resets, NAME)
    config.sphinx_gallery_conf = {**settings, "reset_modules": resets, "reset_modules_order": "both"}


def _set(app: Sphinx) -> None:
    """Hand the setting to the gallery, whose processes may be others. It accepts its own keys only, until now."""
    if settings := getattr(app.config, "sphinx_gallery_conf", None):
        settings["example_seconds"] = float(app.config.example_seconds)


def setup_bounds(app: Sphinx) -> None:
    """Stand around the gallery: before it reads its settings, and between its run and the record of it."""
    app.add_config_value("example_seconds", SECONDS, "", types=(int, float))
    app.connect("config-inited", _hold, priority=7)
    app.connect("builder-inited", _set, priority=490)
    app.connect("builder-inited", check_output, priority=510)
