"""The tree of pages beside every page, made quickly: plainly made, it would be most of the time of writing the site.

Sphinx copies the headings of all pages for each page that it writes, and drops all but the titles again.
Here the titles are taken out once. What Sphinx makes of them is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def titles_of(toc: nodes.bullet_list) -> nodes.bullet_list:
    """The headings of a page without those below its title; the trees of further pages stay.

    Args:
        toc: What ``env.tocs`` holds of the page. It is not changed.
    """
    slim = nodes.bullet_list("", **toc.attributes)
    for top in toc.children:
        if not isinstance(top, nodes.list_item) or len(top) < 2:
            slim += top.deepcopy()
            continue
        kept = nodes.list_item("", top[0].deepcopy(), **top.attributes)
        if subtrees := list(top.findall(addnodes.toctree)):
            kept += nodes.bullet_list("", *(tree.deepcopy() for tree in subtrees), **top[1].attributes)
        slim += kept
    return slim


@contextmanager
def only_titles(env: BuildEnvironment, slim: dict[str, nodes.bullet_list]) -> Iterator[None]:
    """Let Sphinx see the titles alone, taken out of the headings the first time."""
    whole = env.tocs
    if not slim:
        slim.update({page: titles_of(toc) for page, toc in whole.items()})
    env.tocs = slim
    try:
        yield
    finally:
        env.tocs = whole


def quick_tree(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Make the tree from the titles; once for all pages of a folder that stand in no tree themselves."""
    if "toctree" not in context:
        return
    trees: dict[str, str] = app.__dict__.setdefault("truth_trees", {})
    slim: dict[str, nodes.bullet_list] = app.__dict__.setdefault("truth_titles", {})
    make, place = context["toctree"], page if page in app.env.found_docs else page.rpartition("/")[0] + "/"

    def toctree(**options: Any) -> str:
        key = f"{place} {sorted(options.items())}"
        if key not in trees:
            if options.get("titles_only"):
                with only_titles(app.env, slim):
                    trees[key] = make(**options)
            else:
                trees[key] = make(**options)
        return trees[key]

    context["toctree"] = toctree


def setup_sidebar(app: Sphinx) -> None:
    """Step in between Sphinx, which offers the tree, and the theme, which asks for it."""
    app.connect("html-page-context", quick_tree, priority=100)
