"""The look of the site: one palette for pages, code and pictures, in a light and a dark scheme.

The colours come from :mod:`nanochat.figures`; this file only hands them to furo and to Pygments. What cannot
be said with colours alone stands in ``docs/_static/nanochat.css``.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from pygments.style import Style
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Token,
)
from sphinx.application import Sphinx

from docs._ext.project import Project
from nanochat.figures import HEAT, PALETTE

STATIC = Path(__file__).resolve().parents[1] / "_static"


def _styles(dark: bool) -> dict[Any, str]:
    colour = {name: pair[dark] for name, pair in PALETTE.items()}
    return {
        Token: colour["ink"],
        Comment: f"italic {colour['muted']}",
        Keyword: f"bold {colour['accent']}",
        Keyword.Constant: colour["violet"],
        Name.Builtin: colour["blue"],
        Name.Builtin.Pseudo: f"italic {colour['muted']}",
        Name.Class: f"bold {colour['blue']}",
        Name.Function: f"bold {colour['blue']}",
        Name.Decorator: colour["violet"],
        Name.Exception: colour["rose"],
        Name.Tag: colour["accent"],
        Name.Attribute: colour["blue"],
        String: colour["green"],
        String.Doc: f"italic {colour['green']}",
        String.Escape: colour["amber"],
        Number: colour["amber"],
        Operator: colour["ink"],
        Operator.Word: f"bold {colour['accent']}",
        Punctuation: colour["muted"],
        Generic.Prompt: colour["muted"],
        Generic.Output: colour["ink"],
        Generic.Heading: f"bold {colour['ink']}",
        Generic.Subheading: f"bold {colour['ink']}",
        Generic.Deleted: colour["rose"],
        Generic.Inserted: colour["green"],
        Generic.Traceback: colour["rose"],
        Generic.Emph: "italic",
        Generic.Strong: "bold",
        Error: colour["rose"],
    }


class Light(Style):
    """Code on a light page."""

    name = "nanochat-light"
    background_color = PALETTE["panel"][0]
    highlight_color = "#e3f0ef"
    line_number_color = PALETTE["muted"][0]
    styles = _styles(dark=False)


class Dark(Style):
    """Code on a dark page."""

    name = "nanochat-dark"
    background_color = PALETTE["panel"][1]
    highlight_color = "#24393d"
    line_number_color = PALETTE["muted"][1]
    styles = _styles(dark=True)


FURO = {
    "color-brand-primary": "accent",
    "color-brand-content": "accent",
    "color-brand-visited": "violet",
    "color-background-primary": "paper",
    "color-background-secondary": "panel",
    "color-background-border": "line",
    "color-foreground-primary": "ink",
    "color-foreground-secondary": "muted",
    "color-foreground-muted": "muted",
    "color-foreground-border": "muted",
    "color-sidebar-background": "panel",
    "color-sidebar-link-text": "ink",
    "color-sidebar-link-text--top-level": "ink",
    "color-inline-code-background": "panel",
    "color-api-name": "ink",
    "color-api-pre-name": "muted",
    "color-api-keyword": "accent",
}


def variables(dark: bool) -> dict[str, str]:
    """Return the CSS variables of one scheme: ``nc-ink`` and so on, and furo's own in terms of them."""
    own = {f"nc-{name}": pair[dark] for name, pair in PALETTE.items()}
    own["nc-heat"] = HEAT
    own["nc-thumbnail"] = "invert(0.9) hue-rotate(180deg)" if dark else "none"  # they are drawn for a light page
    return own | {name: f"var(--nc-{colour})" for name, colour in FURO.items()}


CODE = re.compile(r'(<div class="highlight"><pre>)(.*?)(</pre>)', re.S)
TAG = re.compile(r"<[^>]*>")
ACROSS = re.compile(
    r"(<span\b[^>]*>)([^<]*\n[^<]*)</span>"
)  # the gallery's code has marks that go over the end of a line


LONG = 36
"""A line of so many characters fits a phone."""
WORDS = re.compile(r"(<[^>]*>)|([^<]+)")
DASHED = re.compile(r"-+(?:&\w+;|[^\s&-])")
BEGINNING = re.compile(r"^((?:<[^>]*>)*)( +)")


def _unbroken(line: str) -> str:
    """Let no line end behind the dash of a flag or an arrow, nor in front of a word that is longer than the rest.

    >>> _unbroken("a --run")
    'a <span class="nc-together">--r</span>un'
    """
    line = WORDS.sub(lambda m: m[1] or DASHED.sub(r'<span class="nc-together">\g<0></span>', m[2]), line)
    return BEGINNING.sub(r'\1<span class="nc-together">\2</span>', line)


def hang(body: str) -> str:
    """Let a long line of code go on below itself, a step further in than it began: nobody has to scroll sideways.

    >>> hang(f'<div class="highlight"><pre>  {"a" * 40}</pre>')[:73]
    '<div class="highlight"><pre><span class="nc-line" style="--in:2"><span cl'
    """

    def parts(match: re.Match[str]) -> str:
        return "\n".join(f"{match[1]}{part}</span>" if part else "" for part in match[2].split("\n"))

    def lines(match: re.Match[str]) -> str:
        out = []
        for line in ACROSS.sub(parts, match[2]).split("\n"):
            bare = html.unescape(TAG.sub("", line))
            if len(bare) > LONG:
                step = len(bare) - len(bare.removeprefix(">>> ").removeprefix("... ").lstrip(" "))
                line = f'<span class="nc-line" style="--in:{step}">{_unbroken(line)}</span>'
            out.append(line)
        return match[1] + "\n".join(out) + match[3]

    return CODE.sub(lines, body)


SOURCE = re.compile(r'(<span class="source-line" id="L\d+")(><a [^>]*>\d+</a>)(.*)')


def hang_source(body: str) -> str:
    """Do the same for a page of source, whose lines are marked already."""

    def line(match: re.Match[str]) -> str:
        bare = html.unescape(TAG.sub("", match[3]))
        step = len(bare) - len(bare.lstrip(" "))
        return f'{match[1]} style="--in:{step}"{match[2]}{match[3]}' if len(bare) > LONG else match[0]

    return SOURCE.sub(line, body)


SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.S)


def flatten(body: str) -> str:
    """Make the parameters of a signature lines of text: Sphinx nests a list of definitions in the name of one."""

    def lines(match: re.Match[str]) -> str:
        text = match[0].replace("<dl>", '<span class="nc-parameters">').replace("</dl>", "</span>")
        return text.replace("<dd>", '<span class="nc-parameter">').replace("</dd>", "</span>")

    return SIGNATURE.sub(lines, body)


def _theme(app: Sphinx, config: Any) -> None:
    config.html_theme_options = {
        "light_css_variables": variables(dark=False),
        "dark_css_variables": variables(dark=True),
        "sidebar_hide_name": True,
        **config.html_theme_options,
    }


def _context(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if not page.startswith("gallery/"):
        for kind in ("css_files", "script_files"):  # what the gallery alone needs
            context[kind] = [
                one for one in context[kind] if not str(one.filename).startswith(("_static/sg_", "_static/sg-"))
            ]
    context["logo_svg"] = (STATIC / "logo.svg").read_text(encoding="utf-8").strip()
    context["commit"] = app.nano_commit
    tree = context.get("furo_navigation_tree", "")  # a heading needs a level
    body = context.get("body", "")
    context["body"] = hang_source(body) if page.startswith("source/") else flatten(hang(body))
    tree = tree.replace('class="caption" role="heading"', 'class="caption"')
    context["furo_navigation_tree"] = tree.replace(": the proofs</a>", "</a>")  # they stand below VERIFICATION


def _note_commit(app: Sphinx) -> None:
    app.nano_commit = Project(STATIC.parents[1]).commit()


def setup_look(app: Sphinx) -> None:
    """Give the site its colours, its code styles and its style sheet."""
    app.connect("builder-inited", _note_commit)
    app.connect("config-inited", _theme, priority=100)
    app.connect("html-page-context", _context, priority=900)  # after furo's own
    app.add_css_file("katex/katex.min.css", priority=400)
    app.add_css_file("nanochat.css", priority=700)
    app.add_js_file("tips.js", loading_method="defer")
    app.add_js_file("problems.js", loading_method="defer")
    app.add_js_file("scroll.js", loading_method="defer")
