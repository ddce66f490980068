"""The gallery: examples run while the site is built, and their figures are set into the page as SVG.

A figure of matplotlib becomes inline SVG whose letters are text and whose palette colours are CSS variables, so that
it follows the colour scheme and can be read by everybody; a PNG is kept for the thumbnail. What a figure shows is said
with :func:`nanochat.figures.describe`.
"""

from __future__ import annotations

import html
import io
import os
import re
from pathlib import Path
from typing import Any

from docs._ext.pictures import named_svg
from docs._ext.rerun import checksum_of, examples
from nanochat.figures import PALETTE

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r"/plot_\d\d_",
    "ignore_pattern": r"__init__\.py|/_",
    "image_scrapers": ("docs._ext.gallery.scrape",),
    "reset_modules": ("docs._ext.gallery.reset",),
    "doc_module": ("nanochat",),
    "backreferences_dir": "gallery/backreferences",
    "inspect_global_variables": False,
    "capture_repr": ("_repr_html_", "__repr__"),
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # a time differs from build to build
    "write_computation_times": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "default_thumb_file": str(ROOT / "docs" / "_static" / "thumbnail.png"),
}
MOST_ALONE = 2
"""Examples that run one after the other; more are shared among processes."""
MOST_AT_ONCE = 3
"""Processes of examples. Each takes up to a gigabyte of memory."""
NUMBERS = re.compile(r"(\d+\.\d{3})\d+")
FIGURE = """
.. raw:: html

{figure}

"""


def recolour(svg: str) -> str:
    """Replace the colours of a light page by variables, which a dark page gives other values."""
    for name, (light, _) in PALETTE.items():
        svg = re.sub(re.escape(light), f"var(--nc-{name})", svg, flags=re.IGNORECASE)
    return svg


def figure_svg(figure: Any, name: str, alt: str) -> str:
    """Return a matplotlib figure as an ``<svg>`` element for a page.

    Args:
        figure: The figure.
        name: A prefix that makes its ids unique on the page.
        alt: What it shows.
    """
    held = io.StringIO()
    figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    svg = held.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    head += 'class="nc-svg nc-plot" '
    head += f'viewBox="0 0 {width} {height}" width="{float(width):.0f}" height="{float(height):.0f}">'
    svg = re.sub(r"<svg\b[^>]*>", head, svg, count=1)
    svg = re.sub(r"font: ([^;\"]*?)'[^\"]*?(;|\")", r"font: \1var(--font-stack)\2", svg)
    svg = NUMBERS.sub(r"\1", recolour(svg))
    return named_svg(re.sub(r"\n\s*", "\n", svg), alt, name)


def scrape(block: tuple, block_vars: dict[str, Any], gallery_conf: dict[str, Any], **unused: Any) -> str:
    """Turn the open figures of an example's block into figures of its page.

    Raises:
        ValueError: If a figure was not described; the message names the example and the call that does it.
    """
    import matplotlib.pyplot as plt

    out = []
    paths = block_vars["image_path_iterator"]
    for number in plt.get_fignums():
        figure = plt.figure(number)
        source = Path(block_vars["src_file"])
        alt = figure.get_label()
        if not alt:
            raise ValueError(
                f"{source.name}:{block[2]}: a figure has no description: "
                "call nanochat.figures.describe(figure, alt, caption)"
            )
        png = Path(paths.next())
        figure.savefig(png, format="png", dpi=150, facecolor=PALETTE["paper"][0], metadata={"Software": None})
        svg = figure_svg(figure, png.stem.replace("_", "-"), alt)
        caption = getattr(figure, "nanochat_caption", "")
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        whole = f'<figure class="nc-picture"><div class="nc-frame">{svg}</div>{below}</figure>'
        indented = "\n".join("    " + line for line in whole.splitlines() if line.strip())
        out.append(FIGURE.format(figure=indented))
    plt.close("all")
    return "".join(out)


def reset(gallery_conf: dict[str, Any], file: str) -> None:
    """Give every example the same start: the style of the site and fixed seeds."""
    import random

    from nanochat.figures import use_style

    use_style()
    random.seed(0)


def _defaults(app: Any, config: Any) -> None:
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF as PLAIN

    own = {key: value for key, value in config.sphinx_gallery_conf.items() if value != PLAIN.get(key)}
    config.sphinx_gallery_conf = {**DEFAULTS, **own}


def _forget_examples(app: Any, config: Any) -> None:
    """Remove what was made of examples that are gone: sphinx-gallery leaves it, and Sphinx would show it."""
    made, examples = config.sphinx_gallery_conf["gallery_dirs"], config.sphinx_gallery_conf["examples_dirs"]
    folder = Path(app.srcdir) / made
    stems = {path.stem for path in Path(examples).glob("*.py")}
    for page in folder.glob("*.rst"):
        if page.stem not in {"index", *stems}:
            for path in folder.glob(f"{page.stem}.*"):
                path.unlink()


def _name_cards(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Make a card of the gallery a link with a name: sphinx-gallery hides it and repeats it beside the link."""
    body = context.get("body", "")
    if "sphx-glr-thumbcontainer" in body:
        body = re.sub(
            r'<div class="sphx-glr-thumbcontainer" tooltip="([^"]*)"', r'<div class="nc-card" data-about="\1"', body
        )
        body = re.sub(r'<div class="sphx-glr-thumbcontainer"', '<div class="nc-card"', body)
        body = re.sub(r'\s*<div class="sphx-glr-thumbnail-title">.*?</div>', "", body, flags=re.S)
        context["body"] = body.replace('class="sphx-glr-thumbnails"', 'class="nc-cards"')


def _share(app: Any) -> None:
    """Run the examples in several processes if several must run: each process costs some seconds to begin with."""
    stale = sum(
        not checksum_of(copy).is_file() or copy.read_text(encoding="utf-8") != path.read_text(encoding="utf-8")
        for path, copy in examples(app)
    )
    if stale > MOST_ALONE and app.config.sphinx_gallery_conf["plot_gallery"]:
        app.config.sphinx_gallery_conf["parallel"] = min(os.cpu_count() or 1, MOST_AT_ONCE)


def setup_gallery(app: Any) -> None:
    """Set the gallery's defaults before the gallery reads them."""
    app.connect("config-inited", _defaults, priority=5)
    app.connect("config-inited", _forget_examples, priority=6)
    app.connect("builder-inited", _share, priority=490)
    app.connect("html-page-context", _name_cards)
