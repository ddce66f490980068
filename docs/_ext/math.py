"""Formulas: KaTeX runs while the site is built, so that a page needs no script to show them.

``docs/_static/katex/katex.min.js`` runs in QuickJS (PyPI ``quickjs-ng``). A formula that KaTeX cannot read,
or that uses a symbol without a meaning (see :mod:`docs._ext.symbols`), is a warning at every build, with its
page and line.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from docs._ext.symbols import SCHEME, SymbolTable, table_of

KATEX = Path(__file__).resolve().parents[1] / "_static" / "katex" / "katex.min.js"
SETUP = """
function render(tex, display) {
  return JSON.stringify(katex.renderToString(tex, {
    displayMode: display, output: "htmlAndMathml", throwOnError: true, trust: true,
    strict: function (code) { return code === "htmlExtension" ? "ignore" : "error"; },
  }));
}
"""
MATHML_LINK = re.compile(rf' href="{SCHEME}[^"]*"')
ANNOTATION = re.compile(r"(<annotation[^>]*>).*(</annotation>)", re.S)
HTML_LINK = re.compile(rf'<a( class="[^"]*")? href="{SCHEME}([^"]*)"')
BOUNDED = re.compile(rf"(\\mathop\{{\\href\{{{SCHEME}[^{{}}]*\}}\{{[^{{}}]*\}}\}})(?=[_^])")
ROOT_SIGN = re.compile(r'(<span class="hide-tail"[^>]*>)(<svg.*?</svg>)(</span>)', re.S)
SHORT = 24
"""A formula of at most so many characters stays in one line with the signs around it."""
OPENING, CLOSING = re.compile(r"[(\[“‘]+$"), re.compile(r"^[.,;:!?)\]”’]+")
logger = logging.getLogger(__name__)


class Renderer:
    """KaTeX in an interpreter that is opened at the first formula and must be closed at the end."""

    def __init__(self, table: SymbolTable, cache_file: Path | None = None) -> None:
        self.table = table
        self._context: Any = None
        self._file = cache_file
        version = hashlib.sha256(KATEX.read_bytes() + Path(__file__).read_bytes()).hexdigest()
        self._version = version + table.digest
        self._cache: dict[str, list[str]] = {}
        self._dirty = False
        if cache_file and cache_file.exists():
            stored = json.loads(cache_file.read_text(encoding="utf-8"))
            if stored.get("version") == self._version:
                self._cache = stored["formulas"]

    def render(self, tex: str, display: bool) -> tuple[str, str]:
        """Return the HTML of a formula, with ``sym:KEY`` links, and what is wrong with it (or nothing)."""
        key = f"{'D' if display else 'I'}{tex}"
        if key not in self._cache:
            self._cache[key] = list(self._render(tex, display))
            self._dirty = True
        return tuple(self._cache[key])  # type: ignore[return-value]

    def _render(self, tex: str, display: bool) -> tuple[str, str]:
        tex = arrange(tex) if display else tex
        marked = self.table.mark(tex)
        if marked.unknown:
            names = ", ".join(dict.fromkeys(marked.unknown))
            return "", (
                f"no meaning for {names} in the formula {tex.strip()!r}: give each a [[symbol]] in "
                r"docs/nanomath/symbols.toml, or put words into \text{...}"
            )
        if self._context is None:
            import quickjs

            self._context = quickjs.Context()
            self._context.eval(KATEX.read_text(encoding="utf-8"))
            self._context.eval(SETUP)
        import quickjs

        try:
            self._katex(tex, display)  # first as it was written, so that an error speaks of the writer's own text
            # KaTeX sets bounds below a displayed sum, but not by itself below one that is wrapped in a link
            out = self._katex(BOUNDED.sub(r"\1\\limits ", marked.tex) if display else marked.tex, display)
        except quickjs.JSException as error:
            return "", f"KaTeX cannot read the formula {tex.strip()!r}: {str(error).splitlines()[0]}"
        mathml, sep, rest = out.partition("</math>")
        mathml = ANNOTATION.sub(lambda match: match[1] + html.escape(tex.strip()) + match[2], mathml)
        out = MATHML_LINK.sub("", mathml) + sep + rest
        if "sqrt" in self.table.symbols:
            out = ROOT_SIGN.sub(rf'\1<a href="{SCHEME}sqrt">\2</a>\3', out)
        if HTML_LINK.search(out):  # links stand in the visible half: tips.js hides it from screen readers
            out = out.replace('class="katex-html" aria-hidden="true"', 'class="katex-html"')
        return out, ""

    def _katex(self, tex: str, display: bool) -> str:
        # through JSON, because QuickJS hands a string made of pieces over as something that Python cannot read
        return json.loads(self._context.eval(f"render({json.dumps(tex)}, {json.dumps(display)})"))

    def close(self) -> None:
        """Close the interpreter and keep what was rendered."""
        self._context = None
        if self._file and self._dirty:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": self._version, "formulas": self._cache}, ensure_ascii=False)
            self._file.write_text(text, encoding="utf-8")


def arrange(tex: str) -> str:
    r"""Put several lines of one displayed formula under each other, at their ``&``."""
    parts = [part for part in tex.split("\n\n") if part.strip()]
    bare = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", tex, flags=re.S)
    if len(parts) > 1 or r"\\" in bare:
        return r"\begin{aligned}" + "\\\\\n".join(parts) + r"\end{aligned}"
    return tex


def place_links(rendered: str, table: SymbolTable, notation_url: str, here: Mapping[str, str] | None = None) -> str:
    """Turn ``sym:KEY`` into links to the table of symbols that carry the meaning, which is another one ``here``."""

    def link(match: re.Match[str]) -> str:
        symbol = table.symbols[html.unescape(match[2])]
        tip = html.escape(f"here: {here[symbol.key]}" if here and symbol.key in here else symbol.tip)
        classes = (match[1] or ' class=""')[8:-1]  # KaTeX needs its own classes for the spacing of scripts
        return f'<a class="{f"nc-tip nc-sym {classes}".strip()}" href="{notation_url}#sym-{symbol.key}" title="{tip}"'

    return HTML_LINK.sub(link, rendered)


def _renderer(app: Any) -> Renderer:
    if not hasattr(app, "nano_katex"):
        app.nano_katex = Renderer(table_of(app), Path(app.doctreedir) / "katex.json")
    return app.nano_katex


def _html(translator: Any, node: nodes.math | nodes.math_block) -> str:
    tex, display = node.astext(), isinstance(node, nodes.math_block)
    builder = translator.builder
    app = builder.app if hasattr(builder, "app") else builder._app
    rendered, wrong = _renderer(app).render(tex, display)
    if wrong:  # reported by _check, with page and line
        return f'<code class="nc-broken">{html.escape(tex)}</code>'
    notation = app.config.nano_notation
    url = ""
    if builder.current_docname != notation:
        url = builder.get_relative_uri(builder.current_docname, notation)
    return place_links(rendered, table_of(app), url, node.get("letters"))


def visit_math(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append('<span class="math notranslate nohighlight">')
    translator.body.append(_html(translator, node) + "</span>")
    raise nodes.SkipNode


def visit_math_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own, with its number when it has a label."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append(_html(translator, node) + "</div>\n")
    raise nodes.SkipNode


def keep_together(app: Any, doctree: nodes.document, docname: str) -> None:
    """Let no line end between a short formula and the bracket before it or the full stop behind it."""
    if app.builder.format != "html":
        return
    for formula in list(doctree.findall(nodes.math)):
        parent = formula.parent
        place = parent.index(formula)
        before, after = parent[place - 1] if place else None, parent[place + 1] if place + 1 < len(parent) else None
        opened = OPENING.search(before) if isinstance(before, nodes.Text) else None
        closed = CLOSING.search(after) if isinstance(after, nodes.Text) else None
        if len(formula.astext()) > SHORT or not (opened or closed):
            continue
        row: list[nodes.Node] = [formula]
        first, last = place, place + 1
        if opened:
            row.insert(0, nodes.Text(opened[0]))
            first -= 1
        if closed:
            row.append(nodes.Text(closed[0]))
            last += 1
        new: list[nodes.Node] = [nodes.inline("", "", *row, classes=["nc-together"])]
        if opened:
            new.insert(0, nodes.Text(str(before)[: opened.start()]))
        if closed:
            new.append(nodes.Text(str(after)[closed.end() :]))
        parent[first:last] = [one for one in new if one.astext()]


def _collect(app: Any, doctree: nodes.document) -> None:
    found = []
    for node in doctree.findall(lambda one: isinstance(one, nodes.math | nodes.math_block)):
        around: Any = node
        while around is not None and around.line is None:
            around = around.parent
        source = next((one.source for one in (node, around) if one is not None and one.source), None)
        where = f"{source or app.env.doc2path(app.env.docname)}:{around.line if around is not None else 1}"
        found.append((node.astext(), isinstance(node, nodes.math_block), where))
    _formulas(app.env)[app.env.docname] = found


def _formulas(env: Any) -> dict[str, list[tuple[str, bool, str]]]:
    if not hasattr(env, "nano_formulas"):
        env.nano_formulas = {}
    return env.nano_formulas


def _purge(app: Any, env: Any, docname: str) -> None:
    _formulas(env).pop(docname, None)


def _merge(app: Any, env: Any, docnames: Any, other: Any) -> None:
    _formulas(env).update({name: found for name, found in _formulas(other).items() if name in docnames})


def _check(app: Any, env: Any) -> None:
    """Report every broken formula of the site, at every build, also one of a page that was not read again."""
    if app.builder.format != "html":
        return
    renderer = _renderer(app)
    for docname in sorted(_formulas(env)):
        for tex, display, where in _formulas(env)[docname]:
            wrong = renderer.render(tex, display)[1]
            if wrong:
                logger.warning(wrong, location=where, type="nano", subtype="math")


def _close(app: Any, exception: Exception | None) -> None:
    if hasattr(app, "nano_katex"):
        app.nano_katex.close()
        del app.nano_katex


def setup_math(app: Any) -> None:
    """Register KaTeX as the renderer ``katex`` of ``html_math_renderer``."""
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", _collect)
    app.connect("doctree-resolved", keep_together, priority=960)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("env-updated", _check)
    app.connect("build-finished", _close)
