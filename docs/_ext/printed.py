"""Each guide as ONE page to print: ``print/nano.html`` and so on, put together from the pages that were built.

Links inside a guide stay inside its page, all others lead to the site. The answers of the practice problems, which a
reader of paper cannot unfold, stand at the end.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from docs._ext import guides
from docs._ext.counted import FILES
from docs._ext.single_file import PRINTED as FOLDER
from docs._ext.skin import link, project_of

GUIDES = {start.partition("/")[0]: start for start in FILES.values()}
"""Name of a printed guide -> the page whose toctree it follows."""
_ARTICLE = re.compile(
    r'<article[^>]*>(.*)</article>|<div class="body" role="main">(.*?)<div class="clearer">', re.DOTALL
)
_HEAD = re.compile(r'<link rel="stylesheet"[^>]*>|<style>.*?</style>', re.DOTALL)
_TIP = re.compile(r'(?<=<a class="reference internal nc-tip nc-term")( href="[^"]*") title="[^"]*"')
_HEADERLINK = re.compile(r'<a class="headerlink".*?</a>', re.DOTALL)
_HEADING = re.compile(r"<(/?)h([1-6])\b")
_NAMED = re.compile(r'\b(id|for|aria-labelledby|aria-describedby)="([^"]*)"')
_LINK = re.compile(r'\b(href|src)="([^"]*)"')
_URL = re.compile(r"url\(#([^)]+)\)")
_CODE = re.compile(r"<details><summary>The code it is about, and its check</summary>.*?</details>", re.DOTALL)
_PROBLEM = re.compile(
    r'(<section class="nc-problem" id="([^"]+)" aria-label=")([^"]+)(".*?)<details><summary>Show the answer</summary>'
    r"(.*?)</details>",
    re.DOTALL,
)
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}, to print</title>
{head}
</head>
<body data-theme="light" class="nc-printed">
<main><article>
{body}
</article></main>
</body>
</html>
"""


def name_of(docname: str) -> str:
    """What the ids of a page begin with on the printed one.

    >>> name_of("nano/model/attention")
    'nano-model-attention'
    """
    return docname.replace("/", "-")


def chapter(text: str, docname: str, inside: frozenset[str], deeper: int) -> str:
    """The article of a built page, with ids of its own, links that hold, and headings ``deeper`` levels down.

    Args:
        text: The built page.
        docname: Its name.
        inside: The names of all pages that are printed with it.
        deeper: How many levels its headings move down.
    """
    found = _ARTICLE.search(text)
    body = (found[1] or found[2]) if found else ""
    body = _CODE.sub("", _HEADERLINK.sub("", body))  # on paper nothing unfolds, is followed, or is pointed at
    body = _TIP.sub(r"\1", body)  # a sign in a formula keeps its tip: it may be all that a screen reader can say of it
    name = name_of(docname)

    def target(match: re.Match[str]) -> str:
        attribute, address = match[1], html.unescape(match[2])
        if re.match(r"[a-z]+:|//", address):
            return match[0]
        path, _, anchor = address.partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(docname), path)) if path else f"{docname}.html"
        page = there.removesuffix(".html")
        if page in inside:
            address = f"#{name_of(page)}" + (f"--{anchor}" if anchor else "")
        else:
            address = posixpath.relpath(there, FOLDER) + (f"#{anchor}" if anchor else "")
        return f'{attribute}="{html.escape(address)}"'

    body = _LINK.sub(target, body)
    body = _NAMED.sub(lambda m: f'{m[1]}="{" ".join(f"{name}--{id}" for id in m[2].split())}"', body)
    body = _URL.sub(lambda m: f"url(#{name}--{m[1]})", body)
    return _HEADING.sub(lambda m: f"<{m[1]}h{min(int(m[2]) + deeper, 6)}", body)


def printed(out: Path, docnames: list[str], titles: dict[str, str]) -> str:
    """One guide as one page.

    Args:
        out: Where the built pages lie.
        docnames: Its pages, in order.
        titles: The title of each.
    """
    inside = frozenset(docnames)
    first = (out / f"{docnames[0]}.html").read_text(encoding="utf-8")
    parts, answers = [], []
    for place, docname in enumerate(docnames):
        text = (out / f"{docname}.html").read_text(encoding="utf-8")
        given: list[str] = []

        def set_aside(match: re.Match[str], given: list[str] = given, title: str = titles[docname]) -> str:
            given.append(f'<div class="nc-answer"><p><a href="#{match[2]}">{match[3]}</a></p>{match[5]}</div>')
            return f"{match[1]}{html.escape(title)}: {match[3]}{match[4]}"

        body = _PROBLEM.sub(set_aside, chapter(text, docname, inside, min(place, 1)))
        parts.append(f'<div class="nc-chapter" id="{name_of(docname)}">{body}</div>')
        if given:
            answers.append(f"<h3>{html.escape(titles[docname])}</h3>{''.join(given)}")
    if answers:
        parts.append(f'<div class="nc-chapter" id="answers"><h2>Answers</h2>{"".join(answers)}</div>')
    head = "\n".join(match[0] for match in _HEAD.finditer(first[: first.index("</head>")]))
    return PAGE.format(title=html.escape(titles[docnames[0]]), head=head, body="\n".join(parts))


def write_printed(app: Sphinx, exception: Exception | None) -> None:
    """Write the pages to print."""
    if exception is not None or app.builder.name != "html":
        return
    project, out = project_of(app), Path(app.outdir)
    titles = {name: node.astext() for name, node in app.env.titles.items()}
    for name, start in GUIDES.items():
        docnames = [project.docname(path) for path in guides.reading_order(project, start)]
        made = out / FOLDER / f"{name}.html"
        sources = [Path(__file__), *(out / f"{docname}.html" for docname in docnames)]
        if docnames and not (made.is_file() and made.stat().st_mtime_ns > max(s.stat().st_mtime_ns for s in sources)):
            project.write(made, printed(out, docnames, titles))
            os.utime(made)  # as new as its pages, also if it is the same as before


class PrintedRole(SphinxRole):
    """``{printed}`nano``` links to a guide as one page to print."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link."""
        return [link(f"/{FOLDER}/{self.text}.html", "", f"{self.text.upper()} to print")], []


def setup_printed(app: Sphinx) -> None:
    """Write after pages whose source is gone have been swept out, before the build lets go of its lock."""
    app.add_role("printed", PrintedRole())
    app.connect("build-finished", write_printed, priority=700)
