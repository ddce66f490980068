"""Make the local inventories of torch, numpy and others: the names that our pages link to.

Sphinx would fetch these lists from the network, and a build must not depend on that. Each name is checked against the
installed packages. The list for Python is Python's own (Debian's package ``python3.11-doc`` holds it). Links lead to
the public documentation. Run it after a name was added::

    python -m docs._inventories.make
"""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent

TORCH = """
torch.Tensor py:class tensors.html
torch.Generator py:class generated/torch.Generator.html
torch.device py:class tensor_attributes.html
torch.dtype py:class tensor_attributes.html
torch.nn.Module py:class generated/torch.nn.Module.html
torch.nn.Linear py:class generated/torch.nn.Linear.html
torch.nn.Embedding py:class generated/torch.nn.Embedding.html
torch.nn.ModuleList py:class generated/torch.nn.ModuleList.html
torch.nn.Parameter py:class generated/torch.nn.parameter.Parameter.html
torch.nn.parameter.Parameter py:class generated/torch.nn.parameter.Parameter.html
torch.optim.Optimizer py:class optim.html
torch.optim.AdamW py:class generated/torch.optim.AdamW.html
torch.nn.functional.scaled_dot_product_attention py:function generated/$.html
torch.nn.functional.cross_entropy py:function generated/torch.nn.functional.cross_entropy.html
torch.compile py:function generated/torch.compile.html
torch.multinomial py:function generated/torch.multinomial.html
torch.no_grad py:class generated/torch.no_grad.html
torch.inference_mode py:class generated/torch.autograd.grad_mode.inference_mode.html
torch.save py:function generated/torch.save.html
torch.load py:function generated/torch.load.html
torch.manual_seed py:function generated/torch.manual_seed.html
torch.distributed py:module distributed.html
torch.distributed.ProcessGroup py:class distributed.html
"""

ALIASES = {  # where a class is defined, as annotations spell it, to where it is documented
    "torch._tensor.Tensor": "torch.Tensor",
    "torch._C.Generator": "torch.Generator",
    "torch._C.device": "torch.device",
    "torch._C.dtype": "torch.dtype",
    "torch.nn.modules.module.Module": "torch.nn.Module",
    "torch.nn.modules.linear.Linear": "torch.nn.Linear",
    "torch.nn.modules.sparse.Embedding": "torch.nn.Embedding",
    "torch.nn.modules.container.ModuleList": "torch.nn.ModuleList",
    "torch.optim.optimizer.Optimizer": "torch.optim.Optimizer",
    "torch.optim.adamw.AdamW": "torch.optim.AdamW",
    "pydantic.main.BaseModel": "pydantic.BaseModel",
    "pydantic_core._pydantic_core.ValidationError": "pydantic.ValidationError",
}

NUMPY = """
numpy.ndarray py:class reference/generated/numpy.ndarray.html
numpy.random.Generator py:class reference/random/generator.html
numpy.dtype py:class reference/generated/numpy.dtype.html
numpy.float32 py:class reference/arrays.scalars.html
numpy.int64 py:class reference/arrays.scalars.html
"""

TIKTOKEN = """
tiktoken.core.Encoding py:class tiktoken/core.py
tiktoken.Encoding py:class tiktoken/core.py
"""

PYDANTIC = """
pydantic.BaseModel py:class pydantic/main.py
pydantic.ValidationError py:exception pydantic/__init__.py
"""

STARLETTE = """
starlette.exceptions.HTTPException py:exception starlette/exceptions.py
starlette.responses.Response py:class starlette/responses.py
"""

SSE_STARLETTE = """
sse_starlette.sse.EventSourceResponse py:class sse_starlette/sse.py
"""

UVICORN = """
uvicorn.config.Config py:class uvicorn/config.py
uvicorn.server.Server py:class uvicorn/server.py
"""


def names(table: str) -> dict[str, tuple[str, str]]:
    """Read a table: name to its kind and its page, where ``$`` stands for the name."""
    rows = (line.split() for line in table.split("\n") if line.strip())
    return {row[0]: (row[1], row[-1].replace("$", row[0])) for row in rows}


def check(name: str) -> None:
    """Look a name up in the installed package, so that the inventory cannot promise what does not exist.

    Raises:
        LookupError: If the installed package has no such name.
    """
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                raise LookupError(f"{name}: the installed {parts[0]} has no such name; take it out of the table")
            found = getattr(found, part)
        return
    raise LookupError(f"{name}: cannot import {parts[0]}")


def inventory(project: str, version: str, table: dict[str, tuple[str, str]]) -> bytes:
    """Return an inventory in the format that Sphinx reads (its version 2)."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: {version}\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = []
    for name, (kind, page) in sorted(table.items()):
        anchor = "#module-$" if kind == "py:module" else "#" + ALIASES.get(name, "$")
        lines.append(f"{name} {kind} 1 {page}{anchor if page.endswith('.html') else ''} -\n")
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    """Write the inventories beside this file."""
    tables = {"torch": TORCH, "numpy": NUMPY, "tiktoken": TIKTOKEN, "pydantic": PYDANTIC, "starlette": STARLETTE}
    tables |= {"sse_starlette": SSE_STARLETTE, "uvicorn": UVICORN}
    for project, text in tables.items():
        table = names(text)
        table |= {alias: table[name] for alias, name in ALIASES.items() if name in table}
        for name in table:
            if name not in ALIASES:
                check(name)
        (HERE / f"{project}.inv").write_bytes(inventory(project, "", table))
        print(f"{project}.inv: {len(table)} names")


if __name__ == "__main__":
    main()
