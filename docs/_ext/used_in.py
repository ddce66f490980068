"""The way back from the reference to the examples: each name of the API lists the examples that use it.

An example's source is read, not run, so a draft of the site has the same links as the whole one. Imports say which
object a name stands for; annotations of functions, properties and fields say of which class a value is. In::

    run = tiny.load_or_train()
    run.engine.complete("Once")

``load_or_train`` returns a ``TinyRun``, whose ``engine`` is an ``Engine``, so the last line uses ``Engine.complete``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import types
import typing
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from docs._ext.skin import project_of, warn

PAGE = "gallery/{stem}"


class _Instance:
    """A value of which only the class is known."""

    def __init__(self, kind: type) -> None:
        self.kind = kind


class Names(ast.NodeVisitor):
    """Collects the names of some packages that a source uses, each as ``module.qualname`` of where it is defined.

    Args:
        packages: Names of the packages, such as ``nanochat``.
    """

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages
        self.bound: dict[str, Any] = {}
        self.used: dict[str, int] = {}
        """The names, each with the line of its first use."""

    def visit_Import(self, node: ast.Import) -> None:  # noqa: N802, D102 - the names that ast calls
        for alias in node.names:
            if self._ours(alias.name) and alias.asname:
                self.bound[alias.asname] = importlib.import_module(alias.name)
            elif self._ours(alias.name):
                importlib.import_module(alias.name)
                root = alias.name.partition(".")[0]
                self.bound[root] = importlib.import_module(root)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802, D102
        if not (node.module and self._ours(node.module)):
            return
        module = importlib.import_module(node.module)
        for alias in node.names:
            try:
                found = importlib.import_module(f"{node.module}.{alias.name}")
            except ModuleNotFoundError:
                found = getattr(module, alias.name)
                self._note(module, alias.name, found, node.lineno)
            self.bound[alias.asname or alias.name] = found

    def visit_Assign(self, node: ast.Assign) -> None:  # noqa: N802, D102
        value = self._value(node.value)
        for target in node.targets:
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, map(self._value, node.value.elts), strict=True))
            for place, held in pairs:
                if isinstance(place, ast.Name):
                    self.bound[place.id] = held
                else:
                    self.visit(place)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802, D102
        before = dict(self.bound)
        for argument in node.args.args:
            kind = self._value(argument.annotation) if argument.annotation is not None else None
            self.bound[argument.arg] = _Instance(kind) if isinstance(kind, type) else None
        self.generic_visit(node)
        self.bound = before

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802, D102
        self._value(node)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: N802, D102
        self._value(node)

    def _ours(self, module: str) -> bool:
        return module.partition(".")[0] in self.packages

    def _value(self, node: ast.expr) -> Any:
        """Return the object, or the instance, that an expression stands for; None where nothing is known."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(self._value(node.value), node.attr, node.lineno)
        if isinstance(node, ast.Call):
            called = self._value(node.func)
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self.visit(argument)
            if isinstance(called, type):
                return _Instance(called)
            return _instance_of(called, "return") if callable(called) else None
        self.generic_visit(node)
        return None

    def _attribute(self, owner: Any, name: str, line: int) -> Any:
        if owner is None:
            return None
        kind = owner.kind if isinstance(owner, _Instance) else owner
        found = inspect.getattr_static(kind, name, None)
        self._note(kind, name, found, line)
        if isinstance(found, property):
            return _instance_of(found.fget, "return")
        if isinstance(owner, _Instance) and not callable(getattr(kind, name, None)):
            return _instance_of(kind, name)
        return getattr(kind, name, None)

    def _note(self, owner: Any, name: str, found: Any, line: int) -> None:
        """Write down a public attribute under the place in which it is defined."""
        if name.startswith("_"):
            return
        if isinstance(owner, types.ModuleType):
            home = getattr(found, "__module__", None) if isinstance(found, type | types.FunctionType) else None
            module, path = home or _home(owner, name), getattr(found, "__qualname__", name) if home else name
        elif isinstance(owner, type):
            holder = next(
                (base for base in owner.__mro__ if name in vars(base) or name in inspect.get_annotations(base)), None
            )
            if holder is None:
                return
            module, path = holder.__module__, f"{holder.__qualname__}.{name}"
        else:
            return
        if self._ours(module):
            self.used.setdefault(f"{module}.{path}", line)


def _home(module: types.ModuleType, name: str) -> str:
    """The module that assigns a constant, which may have been imported from there."""
    tree = ast.parse(Path(module.__file__ or "").read_bytes())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _home(importlib.import_module(node.module), alias.name)
    return module.__name__


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except (NameError, TypeError):  # an annotation that only a type checker can resolve
        return {}


def _instance_of(owner: Any, name: str) -> _Instance | None:
    """The instance that an annotation promises: of a field, or of what a function returns."""
    hint = _hints(owner).get(name)
    if isinstance(hint, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        hint = kinds[0] if len(kinds) == 1 else None
    return _Instance(hint) if isinstance(hint, type) else None


def used_names(source: str, packages: tuple[str, ...] = ("nanochat",)) -> dict[str, int]:
    """Find the names of some packages that a Python source uses.

    Args:
        source: The text of the file.
        packages: The packages.

    Returns:
        Each name, as ``module.qualname``, with the line on which it is first used.

    Example:
        >>> used_names("from nanochat.gpt import GPTConfig as C; C.from_depth(4).head_size")
        {'nanochat.gpt.GPTConfig': 1, 'nanochat.gpt.GPTConfig.from_depth': 1, 'nanochat.gpt.GPTConfig.head_size': 1}
    """
    names = Names(packages)
    names.visit(ast.parse(source))
    return names.used


def examples_by_name(folder: Path, packages: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """For each name that the examples of a folder use: the examples, by file name, each with its line."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("[!_]*.py")):
        try:
            names = used_names(path.read_text(encoding="utf-8"), packages)
        except (SyntaxError, ImportError, AttributeError) as error:
            line = getattr(error, "lineno", None) or 1
            warn(path, line, f"the example cannot be read: {type(error).__name__}: {error}", "examples", "unreadable")
            continue
        for name, line in names.items():
            found.setdefault(name, {})[path.name] = line
    return found


def _noted(env: BuildEnvironment) -> dict[str, dict[str, list[str]]]:
    """For each page of the reference: the names that it describes, each with its examples."""
    if not hasattr(env, "examples_of"):
        env.examples_of = {}  # type: ignore[attr-defined]
    return env.examples_of  # type: ignore[attr-defined]


def _read_examples(app: Sphinx) -> None:
    project = project_of(app)
    app.examples_by_name = examples_by_name(project.root / "examples", tuple(project.packages))  # type: ignore[attr-defined]


def _outdated(app: Sphinx, env: BuildEnvironment, *sets: set[str]) -> list[str]:
    """Read again the pages of which a name is used by other examples than before."""
    now = app.examples_by_name  # type: ignore[attr-defined]
    return [
        docname
        for docname, names in _noted(env).items()
        if any(list(now.get(name, {})) != files for name, files in names.items())
    ]


def _show(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Add the line "In the gallery" to a docstring."""
    files = list(app.examples_by_name.get(name, {}))  # type: ignore[attr-defined]
    _noted(app.env).setdefault(app.env.current_document.docname, {})[name] = files
    if files:
        links = " · ".join(f":doc:`/{PAGE.format(stem=Path(file).stem)}`" for file in files)
        lines += ["", ".. rst-class:: nc-used-in", "", f"   In the gallery: {links}", ""]


def _all_have_a_home(app: Sphinx, env: BuildEnvironment) -> None:
    """Stop the build when an example uses a name that no page of the reference describes."""
    described = {name for names in _noted(env).values() for name in names}
    if not described:  # a site without a reference has no way back
        return
    root = project_of(app).root
    for name, files in app.examples_by_name.items():  # type: ignore[attr-defined]
        if name in described:
            continue
        for file, line in files.items():
            message = (
                f"the example uses {name}, which no page of the reference describes: give it a docstring and its "
                f"module a page in docs/api"
            )
            warn(root / "examples" / file, line, message, "examples", "home")


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _noted(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    _noted(env).update({name: held for name, held in _noted(other).items() if name in docnames})


def setup_used_in(app: Sphinx) -> None:
    """Look at the examples first, then at every docstring that autodoc shows."""
    app.connect("builder-inited", _read_examples, priority=90)
    app.connect("env-get-outdated", _outdated)
    app.connect("autodoc-process-docstring", _show, priority=600)  # after napoleon, so it stands below the fields
    app.connect("env-updated", _all_have_a_home)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
