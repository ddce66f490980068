"""Where things stand: the repository, its guides, its package, its commit. Knows no Sphinx."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GENERATED = ("_build", "gallery", "verification", "_static", "_templates")
"""Folders of docs/ whose pages nobody wrote by hand."""


@dataclass(frozen=True)
class Project:
    """A repository with a package and a folder ``docs``."""

    root: Path
    """The folder that holds the package and ``docs``."""
    packages: tuple[str, ...] = ("nanochat",)
    """The packages that the guides are about."""
    guides: tuple[str, ...] = ("nano", "nanomath")
    """The folders of docs/ that hold guides."""
    companions: tuple[str, ...] = ("docs.claims", "docs.pictures", "docs.problems", "examples", "scripts")
    """Other code that a page may refer to."""

    @property
    def docs(self) -> Path:
        """The source directory of the site."""
        return self.root / "docs"

    def relative(self, path: Path) -> str:
        """A path as seen from the root, with forward slashes."""
        try:
            return Path(os.path.relpath(path, self.root)).as_posix()
        except ValueError:
            return path.as_posix()

    def docname(self, path: Path) -> str:
        """The name by which Sphinx knows a page."""
        return path.relative_to(self.docs).with_suffix("").as_posix()

    def pages(self) -> Iterator[Path]:
        """Every page that was written by hand, sorted."""
        for path in sorted(self.docs.rglob("*.md")):
            if path.relative_to(self.docs).parts[0] not in GENERATED:
                yield path

    def guide_pages(self) -> Iterator[Path]:
        """The pages of the guides, sorted."""
        for path in self.pages():
            if path.relative_to(self.docs).parts[0] in self.guides:
                yield path

    def write(self, path: Path, text: str) -> bool:
        """Write a file only if its content changes, whole or not at all. Says whether it did."""
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
        return True

    def commit(self) -> str:
        """The commit that the working tree stands on, short, with a word if files differ from it."""

        def git(*words: str) -> str:
            command = ["git", "-C", str(self.root), *words]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        try:
            changed = git("status", "--porcelain", "--untracked-files=no")
            return git("rev-parse", "--short=10", "HEAD") + (" with local changes" if changed else "")
        except (OSError, subprocess.CalledProcessError):
            return "no commit"
