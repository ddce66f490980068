"""Terms: a word of the glossary shows its definition wherever a page uses it.

``{term}`` links to the glossary, as always in Sphinx. Here each such link also gets the first paragraph of the
definition as its title, which a browser shows on hovering; ``tips.js`` shows it on focus and on a tap too.

On a page of the guides the first use of every term becomes such a link by itself, so that no writer has to remember.
Words that also have an everyday meaning (:data:`docs._ext.glossary.EVERYDAY`) are linked only where the writer says so.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Mapping
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.domains.std import Glossary as StandardGlossary
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import relative_uri

from docs._ext.glossary import EVERYDAY, pattern, term_of

LONGEST = 320
"""A definition is cut at the end of a sentence before so many characters."""


class tipped(nodes.General, nodes.Inline, nodes.Element):  # noqa: N801 - docutils names its nodes so
    """A link that carries what its target says."""


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text after its last full sentence that still fits.

    >>> shorten("One. Two is longer. Three.", 12)
    'One.'
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", text[:longest])]
    return text[: ends[-1]] if ends else text[: text.rfind(" ", 0, longest - 1)] + "…"


def _tips(env: Any) -> dict[str, dict[str, str]]:
    if not hasattr(env, "nano_terms"):
        env.nano_terms = {}
    return env.nano_terms


def _names(env: Any) -> dict[str, dict[str, str]]:
    if not hasattr(env, "nano_term_names"):
        env.nano_term_names = {}
    return env.nano_term_names


def _collect(app: Any, doctree: nodes.document) -> None:
    found: dict[str, str] = {}
    names = {
        term.astext(): term["ids"][0]
        for glossary in doctree.findall(addnodes.glossary)
        for term in glossary.findall(nodes.term)
        if term["ids"]
    }
    _names(app.env)[app.env.docname] = names
    for glossary in doctree.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            definition = next(iter(item.findall(nodes.definition)), None)
            if definition is None:
                continue
            first = next(iter(definition.findall(nodes.paragraph)), definition)
            for term in item.findall(nodes.term):
                found.update((anchor, shorten(first.astext())) for anchor in term["ids"])
    _tips(app.env)[app.env.docname] = found


def _purge(app: Any, env: Any, docname: str) -> None:
    _tips(env).pop(docname, None)
    _names(env).pop(docname, None)


def _merge(app: Any, env: Any, docnames: Any, other: Any) -> None:
    for of in (_tips, _names):
        of(env).update({name: found for name, found in of(other).items() if name in docnames})


def _changed(app: Any, env: Any) -> list[str]:
    """Write every page anew when a definition has changed: any page may show it."""
    digest = hashlib.sha256(repr((sorted(_tips(env).items()), sorted(_names(env).items()))).encode()).hexdigest()
    before, env.nano_terms_digest = getattr(env, "nano_terms_digest", digest), digest
    return sorted(env.found_docs) if before != digest else []


class Glossary(StandardGlossary):
    """The glossary of Sphinx, which also takes Markdown's ``: definition`` below a term."""

    def run(self) -> list[nodes.Node]:
        """Indent definitions, and set each term apart, so that none is taken for the other."""
        lines = StringList()
        for place, line in enumerate(self.content.data):
            source, offset = self.content.items[place]
            if line[:1].strip() and not line.startswith(": ") and lines and lines[-1][:1] == " ":
                lines.append("", source, offset)
            lines.append("  " + line[2:] if line.startswith(": ") else line, source, offset)
        self.content = lines
        return super().run()


UNTOUCHED = (nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.caption, nodes.raw)


def link_first_uses(document: nodes.document, terms: Mapping[str, str], make: Callable[[str, str], nodes.Node]) -> None:
    """Make the first use of each term in the prose of a page a link, unless it is one.

    Args:
        document: The page.
        terms: The terms, each with its anchor.
        make: Makes the link, from an anchor and the words of the page.
    """
    if not terms:
        return
    finder, done = pattern(terms), set()
    for paragraph in list(document.findall(nodes.paragraph)):
        for text in list(paragraph.findall()):
            if isinstance(text, tipped):
                done.add(text["refuri"].partition("#")[2])
            if not isinstance(text, nodes.Text) or _inside(text, paragraph):
                continue
            words, made, start = str(text), [], 0
            for match in finder.finditer(words):
                anchor = terms.get(term_of(match[0], terms), "")
                if not anchor or anchor in done:
                    continue
                done.add(anchor)
                made += [nodes.Text(words[start : match.start()]), make(anchor, match[0])]
                start = match.end()
            if made:
                place = text.parent.index(text)
                text.parent[place : place + 1] = [one for one in (*made, nodes.Text(words[start:])) if one.astext()]


def _inside(text: nodes.Node, paragraph: nodes.Node) -> bool:
    """Whether a text is part of something in its paragraph that must stay as it is."""
    node = text.parent
    while node is not paragraph:
        if isinstance(node, (*UNTOUCHED, tipped)):
            return True
        node = node.parent
    return isinstance(paragraph.parent, UNTOUCHED)


class AddTips(SphinxPostTransform):
    """Give every resolved ``{term}`` the definition of its target, and the first use of a term a link."""

    default_priority = 200  # after the references are resolved
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Look at every link of the page."""
        tips = {anchor: text for found in _tips(self.env).values() for anchor, text in found.items()}
        for link in list(self.document.findall(nodes.reference)):
            inner = link.children[0] if link.children else None
            if not (isinstance(inner, nodes.Element) and "std-term" in inner.get("classes", [])):
                continue
            anchor = link.get("refid") or link.get("refuri", "").partition("#")[2]
            if anchor not in tips:
                continue
            new = tipped("", *link.children, tip=tips[anchor], refuri=link.get("refuri") or "#" + anchor)
            link.replace_self(new)
        self.link(tips)

    def link(self, tips: dict[str, str]) -> None:
        """Link first uses, on the pages of the guides that are no glossary themselves."""
        docname = self.env.current_document.docname
        names = _names(self.env)
        if docname.split("/")[0] not in getattr(self.config, "guide_folders", ()) or names.get(docname):
            return
        homes = {anchor: home for home, found in names.items() for anchor in found.values()}
        terms = {name: anchor for found in names.values() for name, anchor in found.items() if name not in EVERYDAY}

        def make(anchor: str, words: str) -> nodes.Node:
            uri = relative_uri(f"{docname}.html", f"{homes[anchor]}.html")
            return tipped("", nodes.Text(words), tip=tips.get(anchor, ""), refuri=f"{uri}#{anchor}")

        link_first_uses(self.document, terms, make)


def visit_tipped(translator: Any, node: tipped) -> None:
    """Open the link."""
    uri, tip = html.escape(node["refuri"]), html.escape(node["tip"])
    translator.body.append(f'<a class="reference internal nc-tip nc-term" href="{uri}" title="{tip}">')


def depart_tipped(translator: Any, node: tipped) -> None:
    """Close the link."""
    translator.body.append("</a>")


def setup_terms(app: Any) -> None:
    """Collect definitions and hand them to the links."""
    app.add_node(tipped, html=(visit_tipped, depart_tipped))
    app.add_post_transform(AddTips)
    app.add_directive_to_domain("std", "glossary", Glossary, override=True)
    app.connect("doctree-read", _collect)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("env-updated", _changed)
