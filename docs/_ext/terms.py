"""Terms: a word of the glossary shows its definition wherever a page uses it.

``{term}`` links to the glossary, as always in Sphinx. Here each such link also gets the first paragraph of the
definition as its title, which a browser shows on hovering; ``tips.js`` shows it on focus and on a tap too.
"""

from __future__ import annotations

import hashlib
import html
import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.domains.std import Glossary as StandardGlossary
from sphinx.transforms.post_transforms import SphinxPostTransform

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


def _collect(app: Any, doctree: nodes.document) -> None:
    found: dict[str, str] = {}
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


def _merge(app: Any, env: Any, docnames: Any, other: Any) -> None:
    _tips(env).update({name: found for name, found in _tips(other).items() if name in docnames})


def _changed(app: Any, env: Any) -> list[str]:
    """Write every page anew when a definition has changed: any page may show it."""
    digest = hashlib.sha256(repr(sorted(_tips(env).items())).encode()).hexdigest()
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


class AddTips(SphinxPostTransform):
    """Give every resolved ``{term}`` the definition of its target."""

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
