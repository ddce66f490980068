"""Where every name of the code stands: dotted symbol -> file, lines, source. By ``ast``, without importing.

Covers modules, functions, classes, methods, class attributes, instance attributes (``self.x`` in
``__init__``) and module constants. Knows no Sphinx.
"""

from __future__ import annotations

import ast
import difflib
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from docs._ext.project import Project

TOPS = ("docs", "examples", "scripts", "tests")
"""Folders beside the packages in which symbols are looked up."""


class UnknownSymbol(LookupError):
    """A name that the code does not have; the message proposes the nearest ones."""


@dataclass(frozen=True)
class Source:
    """A stretch of a file."""

    symbol: str
    path: Path
    first: int
    last: int
    kind: str
    """module, class, function or value."""
    docstring: tuple[int, int] | None = None
    """First and last line of its docstring."""

    @property
    def text(self) -> str:
        """The lines, as they are."""
        return "\n".join(_lines(self.path, _stamp(self.path))[self.first - 1 : self.last])

    @property
    def code(self) -> str:
        """The lines without the docstring, moved to the margin."""
        lines = _lines(self.path, _stamp(self.path))
        kept = [
            line
            for number, line in enumerate(lines[self.first - 1 : self.last], self.first)
            if not (self.docstring and self.docstring[0] <= number <= self.docstring[1])
        ]
        return textwrap.dedent("\n".join(kept)).strip("\n")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=512)
def _lines(path: Path, stamp: tuple[int, int]) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def docstring_node(node: ast.AST) -> ast.Expr | None:
    """The statement that is a node's docstring."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[0]
    return None


@lru_cache(maxsize=512)
def _parsed(path: Path, stamp: tuple[int, int]) -> dict[str, tuple[int, int, str, tuple[int, int] | None]]:
    """Names inside a file -> first line, last line, kind, docstring lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found: dict[str, tuple[int, int, str, tuple[int, int] | None]] = {}

    def lines_of(node: ast.AST) -> tuple[int, int] | None:
        doc = docstring_node(node)
        return (doc.lineno, doc.end_lineno or doc.lineno) if doc else None

    def add(name: str, first: int, last: int, kind: str, doc: tuple[int, int] | None = None) -> None:
        found.setdefault(name, (first, last, kind, doc))

    def assigned(node: ast.stmt) -> list[ast.expr]:
        if isinstance(node, ast.Assign):
            return [t for target in node.targets for t in getattr(target, "elts", [target])]
        return [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for index, node in enumerate(body):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                add(prefix + node.name, first, node.end_lineno or first, kind, lines_of(node))
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")
                elif node.name in ("__init__", "__post_init__") and prefix:
                    for inner in ast.walk(node):
                        for target in assigned(inner) if isinstance(inner, ast.stmt) else []:
                            if isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self":
                                add(
                                    prefix + target.attr,
                                    inner.lineno,
                                    inner.end_lineno or inner.lineno,
                                    "value",
                                )
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                for part in ("body", "orelse", "finalbody"):
                    visit(getattr(node, part, []), prefix)
            else:
                last = node.end_lineno or node.lineno
                after = body[index + 1] if index + 1 < len(body) else None
                if isinstance(after, ast.Expr) and isinstance(getattr(after.value, "value", None), str):
                    last = after.end_lineno or last
                for target in assigned(node):
                    if isinstance(target, ast.Name):
                        add(prefix + target.id, node.lineno, last, "value")

    visit(tree.body, "")
    total = len(_lines(path, stamp))
    found[""] = (1, max(total, 1), "module", lines_of(tree))
    return found


def module_file(root: Path, dotted: str) -> Path | None:
    """The file of a module, if the repository has it."""
    base = root.joinpath(*dotted.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@dataclass(frozen=True)
class Index:
    """The symbols of a project, read when asked for and read again when a file changes."""

    project: Project

    def lookup(self, symbol: str) -> Source:
        """Find a symbol, ``nanochat.gpt.GPT.forward``, or a file of the repository, ``speedrun.sh``.

        Raises:
            UnknownSymbol: If the code does not have it.
        """
        root = self.project.root
        if "/" in symbol or (root / symbol).is_file():
            path = root / symbol
            if ".." in path.parts or not path.is_file():
                raise UnknownSymbol(f"the repository has no file {symbol}")
            return Source(symbol, path, 1, max(len(_lines(path, _stamp(path))), 1), "module")
        parts = symbol.split(".")
        if parts[0] in (*self.project.packages, *TOPS):
            for cut in range(len(parts), 0, -1):
                path = module_file(root, ".".join(parts[:cut]))
                if path is None:
                    continue
                names = _parsed(path, _stamp(path))
                inside = ".".join(parts[cut:])
                if inside in names:
                    return Source(symbol, path, *names[inside])
                near = difflib.get_close_matches(inside, names, 3, 0.5)
                hint = " or ".join(f"{'.'.join(parts[:cut])}.{name}" for name in near)
                raise UnknownSymbol(
                    f"{self.project.relative(path)} has no {inside!r}" + (f": did you mean {hint}?" if hint else "")
                )
        near = difflib.get_close_matches(symbol, list(self.names()), 3, 0.6)
        hint = f": did you mean {' or '.join(near)}?" if near else ": write it dotted, from the package on"
        raise UnknownSymbol(f"the code has no {symbol!r}{hint}")

    def modules(self) -> list[Path]:
        """Every file of the packages, sorted."""
        found = []
        for package in self.project.packages:
            base = self.project.root / package
            found += sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        return [path for path in found if path.is_file()]

    def dotted(self, path: Path) -> str:
        """The dotted name of a file's module."""
        parts = list(path.relative_to(self.project.root).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def symbols(self, path: Path) -> list[Source]:
        """What a file defines, outer before inner."""
        module = self.dotted(path)
        rows = [
            Source(f"{module}.{name}" if name else module, path, *row)
            for name, row in _parsed(path, _stamp(path)).items()
        ]
        return sorted(rows, key=lambda source: (source.first, -source.last, source.symbol))

    def names(self) -> dict[str, Source]:
        """Every symbol of the packages."""
        return {source.symbol: source for path in self.modules() for source in self.symbols(path)}

    def public(self) -> dict[str, list[str]]:
        """Public top-level names -> the modules that define them; and each module's own last name."""
        found: dict[str, list[str]] = {}
        for path in self.modules():
            module = self.dotted(path)
            for name in _parsed(path, _stamp(path)):
                if name and "." not in name and not name.startswith("_"):
                    found.setdefault(name, []).append(module)
        return found


def display(project: Project, source: Source) -> str:
    """How readers see a reference: ``nanochat/gpt.py:64-126``."""
    where = project.relative(source.path)
    if source.kind == "module":
        return where
    return f"{where}:{source.first}" + (f"-{source.last}" if source.last > source.first else "")
