r"""Pictures: ``{picture} module:function`` runs the function and sets its SVG into the page.

The drawing kit itself is :mod:`docs._ext.drawing`; this file is its Sphinx half.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from docs._ext import runs
from docs._ext.drawing import Picture
from nanochat.common import InputError


class picture(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes so
    """A figure whose last child is its caption."""


def load(target: str) -> Picture:
    """Run a function of docs/pictures; guides in one file use the result's text and caption."""
    return runs.load(target, Picture)


def named_svg(svg: str, alt: str, name: str) -> str:
    """Give an SVG its role, its description, and ids that are unique on the page."""
    opened = re.match(r"\s*<svg\b", svg)
    if not opened:
        raise InputError("a picture must begin with <svg")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'\bhref="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    start = re.match(r"\s*<svg\b[^>]*>", svg)
    tag = start[0][:-1] + f' role="img" aria-labelledby="{name}-alt">'
    return f'{tag}<title id="{name}-alt">{html.escape(alt)}</title>{svg[start.end() :]}'


class PictureDirective(SphinxDirective):
    """Show the picture that a function draws."""

    required_arguments = 1
    final_argument_whitespace = False
    option_spec = {"name": directives.unchanged, "class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        """Run the function; a failure is a warning on the directive's line at every build."""
        target = self.arguments[0].strip()
        runs.connect(self.env.app)
        try:
            drawn = load(target)
        except InputError as error:
            runs.note(self.env, target, Picture, None)
            message = self.state_machine.reporter.warning(f"picture: {error}", line=self.lineno)
            return [message]
        runs.note(self.env, target, Picture, drawn)
        name = nodes.make_id(target.split(".")[-1])
        seen = self.env.current_document.setdefault("nano_pictures", [])
        seen.append(name)
        if seen.count(name) > 1:
            name = f"{name}-{seen.count(name)}"
        node = picture(svg=named_svg(drawn.svg, drawn.alt, name), text=drawn.text, alt=drawn.alt, target=target)
        node["ids"] = [f"picture-{name}"]
        node["classes"] += self.options.get("class", [])
        self.set_source_info(node)
        self.add_name(node)
        children, messages = self.parse_inline(drawn.caption, lineno=self.lineno)
        node += nodes.caption("", "", *children)
        return [node, *messages]


def visit_picture(translator: Any, node: picture) -> None:
    """Open the figure and write the SVG as it is."""
    translator.body.append(translator.starttag(node, "figure", CLASS="nc-picture"))
    translator.body.append(f'<div class="nc-frame">{node["svg"]}</div>\n<figcaption>')
    for child in node.children:
        for inner in child.children:
            inner.walkabout(translator)
    translator.body.append("</figcaption></figure>\n")
    raise nodes.SkipNode


def visit_picture_text(translator: Any, node: picture) -> None:
    """Write the plain form."""
    translator.new_state(0)
    translator.add_text(node["text"])
    translator.end_state(wrap=False)
    raise nodes.SkipNode


def setup_pictures(app: Any) -> None:
    """Register the directive ``picture``."""
    runs.connect(app)
    app.add_node(picture, html=(visit_picture, None), text=(visit_picture_text, None))
    app.add_directive("picture", PictureDirective)
