"""The commands: every module in here with a ``main`` is one stage.

``nanochat tok-train`` and ``python -m scripts.tok_train`` start the same one. A stage is thin. Its
``main(argv=None)`` turns flags into settings (:mod:`nanochat.stages.flags`), calls the package, and prints
what came of it. Whatever is worth importing lives in the package itself.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from nanochat import __version__
from nanochat.common import run_stage
from nanochat.stages.flags import closest

ORDER = (
    "download",
    "tok-train",
    "tok-eval",
    "base-train",
    "base-eval",
    "mid-train",
    "chat-sft",
    "chat-rl",
    "chat-eval",
    "report",
    "chat-cli",
    "chat-web",
    "export-hf",
    "import-hf",
)
"""The stages of the pipeline in the order in which they are run; the other ones are listed after them."""


def stages() -> dict[str, str]:
    """Return the names of all stages, each with the first line of its docstring.

    A stage is a module of this package that defines ``main``. The files are read and not imported, so that a
    list of commands comes at once.

    Example:
        >>> stages()["tok-train"]
        'Train a tokenizer on a corpus, and say how well it packs text that it has not seen.'
    """
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        tree = ast.parse(Path(__file__).with_name(f"{module.name}.py").read_bytes())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[module.name.replace("_", "-")] = (ast.get_docstring(tree) or "").split("\n")[0]
    first = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*first, *sorted(found.keys() - set(first))]}


def run(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one stage by name and return the exit status of its command.

    Args:
        name: The stage, as ``nanochat`` takes it, such as ``tok-train``.
        argv: Its flags; None means those of this process.
    """
    module = importlib.import_module(f"nanochat.stages.{name.replace('-', '_')}")
    return run_stage(module.main, None if argv is None else list(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``nanochat`` command: the first word names the stage, the others are its flags.

    Args:
        argv: The words of the command line; None means those of this process.

    Returns:
        The exit status: 0, or 1 after an error, or 2 if there is no such stage.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    known = stages()
    if words and words[0] in known:
        return run(words[0], words[1:])
    width = max(map(len, known))
    usage = "\n".join(
        ["usage: nanochat STAGE [--flag=value ...]", "", "stages (nanochat STAGE --help lists the flags):"]
        + [f"  {name:<{width}}  {line}" for name, line in known.items()]
    )
    if words[:1] == ["--version"]:
        print(f"nanochat {__version__}")
        return 0
    if words[:1] in (["-h"], ["--help"]):
        print(usage)
        return 0
    print(usage, file=sys.stderr)
    if words:
        print(
            f"nanochat: error: there is no stage {words[0]!r}{closest(words[0], list(known))}",
            file=sys.stderr,
        )
    return 2
