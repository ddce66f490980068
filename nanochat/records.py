"""Records: results that take too long for a page to make again, kept beside what is needed to doubt them.

An example of the gallery repeats a slice of its record while the site is built, and shows the rest. Whether the
record is still about the code as it is, a hash tells (:func:`code_hash`).
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import inspect
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from nanochat.report import hardware


def record_path(name: str) -> Path:
    """Name the file of a record.

    Args:
        name: The name of the file, such as ``reinforcement.json``.

    Returns:
        The file in ``docs/records`` of a checkout; where the package stands alone, in the present folder.
    """
    folder = Path(__file__).resolve().parents[1] / "docs" / "records"
    return (folder if folder.is_dir() else Path.cwd()) / name


def code_hash(modules: Iterable[ModuleType]) -> str:
    """Hash the code that a result depends on, without comments and docstrings.

    Args:
        modules: The modules, in an order that stays.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> from nanochat import accounting, optim
        >>> code_hash([accounting]) == code_hash([accounting]), code_hash([accounting]) == code_hash([optim])
        (True, False)
    """
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ""
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def circumstances(command: str, modules: Iterable[ModuleType]) -> dict[str, Any]:
    """Say how a record is being made: the first entries of each.

    Args:
        command: What makes it, to be typed in the folder of the project.
        modules: The code that it depends on.

    Returns:
        ``command``, ``date``, ``code`` (see :func:`code_hash`), ``hardware`` and ``software``.
    """
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads"
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "code": code_hash(modules),
        "hardware": f"{hardware()['cpu']}, {threads}",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
