"""What some code reaches, as one hash: the key under which a verdict or an example's output may be kept.

The import closure is followed statically through the repository. Files are hashed as syntax trees
without docstrings and comments, so that a comma in a docstring does not retrain a model. The versions of
Python and torch are part of every hash.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from docs._ext.project import Project
from docs._ext.sources import TOPS, module_file

Import = tuple[str, str, int]
"""Module, imported name (or ""), level of a relative import."""


class _Bare(ast.NodeTransformer):
    """Drop every statement that is only a string."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(node, ast.stmt | ast.Module):
            kept = [s for s in body if not (isinstance(s, ast.Expr) and _is_string(s.value))]
            node.body = kept or ([] if isinstance(node, ast.Module) else [ast.Pass()])
        return node


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def bare(tree: ast.AST) -> str:
    """A syntax tree as text, without docstrings, comments and positions."""
    return ast.dump(_Bare().visit(tree))


def _read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@lru_cache(maxsize=1024)
def _file(path: Path, stamp: tuple[int, int]) -> tuple[str, tuple[Import, ...]]:
    """Digest and imports of a file."""
    tree = _read(path)
    imports = tuple(_imports(tree))
    return hashlib.sha256(bare(tree).encode()).hexdigest(), imports


def _imports(tree: ast.AST) -> list[Import]:
    """The imports that a program runs: those for type checkers alone are none."""
    found: list[Import] = []
    queue = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, "", 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name, node.level) for alias in node.names]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            queue += node.orelse
        else:
            queue += ast.iter_child_nodes(node)
    return found


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def versions() -> tuple[str, ...]:
    """Python and torch, as they are installed."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = "none"
    return (f"python {platform.python_version()}", f"torch {torch}")


class Reach:
    """Import closures in one repository."""

    def __init__(self, project: Project) -> None:
        self.root = project.root
        self.tops = {*project.packages, *TOPS}
        self._resolved: dict[tuple[Import, str], list[Path]] = {}
        self._direct: dict[tuple[Path, tuple[int, int]], list[Path]] = {}
        self._reached: dict[tuple[Path, str], set[Path]] = {}

    def _resolve(self, wanted: Import, package: str) -> list[Path]:
        """The files that an import runs, looked up once by each reach."""
        key = (wanted, package if wanted[2] else "")
        if key not in self._resolved:
            self._resolved[key] = self._look_up(wanted, package)
        return self._resolved[key]

    def _look_up(self, wanted: Import, package: str) -> list[Path]:
        """The files that an import runs: the module, a submodule, and the packages around them."""
        module, name, level = wanted
        if level:
            parts = package.split(".")
            module = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
        if module.split(".")[0] not in self.tops:
            return []
        targets = [module, *([f"{module}.{name}"] if name else [])]
        found = []
        for target in targets:
            parts = target.split(".")
            for cut in range(1, len(parts) + 1):
                path = module_file(self.root, ".".join(parts[:cut]))
                if path is not None and path not in found:
                    found.append(path)
        return found

    def _package(self, path: Path) -> str:
        return ".".join(path.relative_to(self.root).parent.parts)

    def closure(self, imports: Iterable[Import], package: str = "") -> set[Path]:
        """Every file of the repository that these imports reach. The site's own machinery is not followed."""
        queue = [path for wanted in imports for path in self._resolve(wanted, package)]
        seen: set[Path] = set()
        machinery = self.root / "docs" / "_ext"
        while queue:
            path = queue.pop()
            if path in seen:
                continue
            if path.parent == machinery:
                seen.update({path} if path.name == "claims.py" else ())  # what a check means; no more of it
                continue
            seen.add(path)
            queue += self._imported(path)
        return seen

    def _imported(self, path: Path) -> list[Path]:
        """The files that a file imports itself."""
        key = (path, _stamp(path))
        if key not in self._direct:
            package = self._package(path)
            found = (one for wanted in _file(*key)[1] for one in self._resolve(wanted, package))
            self._direct[key] = list(dict.fromkeys(found))
        return self._direct[key]

    def digest(self, files: Iterable[Path], *more: str) -> str:
        """One hash of files, without their docstrings and comments, of the versions and of ``more``."""
        total = hashlib.sha256("\n".join([*versions(), *more]).encode())
        for path in sorted(files):
            total.update(f"\n{path.relative_to(self.root).as_posix()} {_file(path, _stamp(path))[0]}".encode())
        return total.hexdigest()

    def digest_of_all(self, files: Iterable[Path]) -> str:
        """The same as :meth:`digest`, looked up while no file is written."""
        return _digest_of_all(self.root, tuple((path, _stamp(path)) for path in files))

    def settled(self, files: Iterable[Path], since: float) -> bool:
        """Whether none of the files was written after a moment: what has run is then what the hash is of."""
        return all(path.stat().st_mtime < since for path in files)

    def of_script(self, path: Path) -> str:
        """The hash of a script and of all that it reaches. Its own text counts in full: it is a page."""
        text = path.read_text(encoding="utf-8")
        return self.digest(self.closure(_imports(ast.parse(text, str(path)))), text)

    def of_symbols(self, symbols: Iterable[str]) -> set[Path]:
        """The files reached by importing the modules that hold dotted symbols."""
        return self.closure([(symbol.rpartition(".")[0] or symbol, symbol.rpartition(".")[2], 0) for symbol in symbols])

    def needs(self, path: Path, name: str, file: Path) -> bool:
        """Whether a top-level function stands in a file or reaches it. Looked up once."""
        if not path.is_relative_to(self.root):
            return False
        if (path, name) not in self._reached:
            self._reached[path, name] = {path, *(one.resolve() for one in self.of_function(path, name)[0])}
        return file in self._reached[path, name]

    def of_function(self, path: Path, name: str) -> tuple[set[Path], str]:
        """What a top-level function reaches, and its own source with the helpers of its file that it uses.

        Only the imports that bind a name used by the function, or by a helper that it uses, are
        followed: an edit of one chapter's module does not re-run every claim of a file.
        """
        statements = _statements(path, _stamp(path))
        queue = [statement for statement in statements if name in statement.binds or statement.always]
        seen: dict[int, _Statement] = {}
        imports: list[Import] = []
        while queue:
            statement = queue.pop()
            if statement.place in seen:
                continue
            seen[statement.place] = statement
            imports += statement.imports
            queue += [other for other in statements if other.binds & statement.uses]
        text = "\n".join(sorted(statement.text for statement in seen.values()))
        return self.closure(imports, self._package(path)), text


@lru_cache(maxsize=8)
def _digest_of_all(root: Path, files: tuple[tuple[Path, tuple[int, int]], ...]) -> str:
    return Reach(Project(root)).digest(path for path, _ in files)


@dataclass(frozen=True)
class _Statement:
    """A top-level statement of a module, as far as reach asks."""

    place: int
    binds: frozenset[str]
    """The names that it gives a meaning to."""
    uses: frozenset[str]
    """The names that stand in it."""
    imports: tuple[Import, ...]
    text: str
    always: bool
    """It binds nothing and may change anything."""


@lru_cache(maxsize=256)
def _statements(path: Path, stamp: tuple[int, int]) -> tuple[_Statement, ...]:
    """The top-level statements of a file."""
    found = []
    for place, node in enumerate(_read(path).body):
        binds = frozenset(_binds(node))
        uses = frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
        always = not binds and not (isinstance(node, ast.Expr) and _is_string(node.value))
        found.append(_Statement(place, binds, uses, tuple(_imports(node)), bare(node), always))
    return tuple(found)


def _binds(node: ast.stmt) -> list[str]:
    """The names that a statement of a module gives a meaning to."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]
    return []
