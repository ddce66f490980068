"""Numbers of chapters: Sphinx counts the sections of a page together with the pages below it; a reader counts pages.

Without this, the first page below a chapter of six sections may be called its seventh section.
"""

from __future__ import annotations

from typing import Any

from sphinx import addnodes


def page_numbers(env: Any) -> dict[str, tuple[int, ...]]:
    """Return the number of every page below a numbered table of contents."""
    found: dict[str, tuple[int, ...]] = {}

    def below(page: str, number: tuple[int, ...], depth: int) -> None:
        place = 0
        for tree in env.tocs[page].findall(addnodes.toctree):
            levels = depth or tree.get("numbered", 0)
            for _, name in tree["entries"] if levels else ():
                if name in env.tocs and name not in found:
                    place += 1
                    found[name] = (*number, place)
                    if levels > 1:
                        below(name, found[name], levels - 1)
            if not depth:
                place = 0

    for page in sorted(env.tocs):
        if any(tree.get("numbered") for tree in env.tocs[page].findall(addnodes.toctree)):
            below(page, (), 0)
    return found


def number_pages(app: Any, env: Any) -> None:
    """Put these numbers in the place of Sphinx's own, after it has compared and kept those."""
    numbers = page_numbers(env)
    for page, toc in env.tocs.items():
        own = numbers.get(page)
        places = list(toc.findall(lambda one: "anchorname" in getattr(one, "attributes", {})))
        # A section that is not named here would take the number of its page.
        env.toc_secnumbers[page] = (
            {one["anchorname"]: () if one["anchorname"] else own for one in places} if own else {}
        )
        for node in places:
            node.attributes.pop("secnumber", None)
            if own and not node["anchorname"]:
                node["secnumber"] = own
        for title in (env.titles[page], env.longtitles.get(page)):
            if title is not None:
                title.attributes.pop("secnumber", None)
                if own:
                    title["secnumber"] = own


def setup_numbering(app: Any) -> None:
    """Number after the environment is kept and before pages are written."""
    app.connect("env-check-consistency", number_pages)
