"""Settings of the site; the machinery lives in docs/_ext, which also holds every default.

Build with ``sphinx-build -n -W --keep-going -b html -c . docs docs/_build/html`` (``make site``).
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

import nanochat  # noqa: E402 - found through the line above

project = "nanochat"
author = "the nanochat authors"
release = version = nanochat.__version__
needs_sphinx = "9.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx_autodoc_typehints",
    "sphinx_gallery.gen_gallery",
    "docs._ext",
]
exclude_patterns = ["_build", "_ext", "_static", "_templates", "_inventories", "**/__pycache__"]
nitpicky = True

myst_enable_extensions = ["attrs_inline", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 72
napoleon_google_docstring, napoleon_numpy_docstring = True, False
always_use_bars_union = True

INVENTORIES = ROOT / "docs" / "_inventories"  # local, so that a build asks the network for nothing
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", str(INVENTORIES / "python.inv")),
    "torch": ("https://docs.pytorch.org/docs/stable", str(INVENTORIES / "torch.inv")),
    "tiktoken": ("https://github.com/openai/tiktoken/blob/main", str(INVENTORIES / "tiktoken.inv")),
    "numpy": ("https://numpy.org/doc/stable", str(INVENTORIES / "numpy.inv")),
    "pydantic": ("https://github.com/pydantic/pydantic/blob/main", str(INVENTORIES / "pydantic.inv")),
    "starlette": ("https://github.com/Kludex/starlette/blob/main", str(INVENTORIES / "starlette.inv")),
    "sse_starlette": ("https://github.com/sysid/sse-starlette/blob/main", str(INVENTORIES / "sse_starlette.inv")),
    "uvicorn": ("https://github.com/Kludex/uvicorn/blob/main", str(INVENTORIES / "uvicorn.inv")),
}

extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}

html_theme = "furo"
html_title = "nanochat"
html_static_path = ["docs/_static"]
templates_path = ["docs/_templates"]
html_favicon = "docs/_static/logo.svg"
html_copy_source = html_show_sphinx = html_show_copyright = False
html_math_renderer = "katex"
pygments_style, pygments_dark_style = "docs._ext.look.Light", "docs._ext.look.Dark"


def setup(app):
    """Read docs/ also when Sphinx was called with the repository as its source, as ``sphinx-build . OUT``."""
    if Path(app.srcdir).resolve() == ROOT:
        app.srcdir = type(app.srcdir)(ROOT / "docs")
