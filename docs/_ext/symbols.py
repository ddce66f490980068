r"""Symbols: every letter of every formula has one meaning, written down once.

``docs/nanomath/symbols.toml`` holds them. :class:`SymbolTable` reads a formula token by token, looks for the
longest registered symbol at each place and wraps it in ``\href{sym:KEY}{...}``, which KaTeX turns into a
link. What is a letter, a Greek letter, an operator or a named function and is not registered is reported: such a
formula stops the build. Where a section uses a letter for something else, ``{letters}`` says so.

The upper part of this file knows nothing of Sphinx.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEME = "sym:"
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\s+|%[^\n]*|.", re.S)

FREE_GROUP = {  # what stands in the braces after these is no mathematics
    *(r"\text", r"\textbf", r"\textit", r"\texttt", r"\textrm", r"\textsf", r"\tag", r"\label", r"\mbox"),
    *(r"\hspace", r"\vspace", r"\textcolor", r"\color", r"\phantom", r"\vphantom", r"\hphantom"),
}
FONTS = {
    r"\mathrm",
    r"\operatorname",
    r"\mathbf",
    r"\mathbb",
    r"\mathcal",
    r"\mathit",
    r"\mathsf",
    r"\boldsymbol",
}
NAMES = {r"\mathrm", r"\operatorname", r"\mathit", r"\mathsf"}  # several letters in these are one name
STRUCTURE = {
    *(r"\frac", r"\dfrac", r"\tfrac", r"\sqrt", r"\left", r"\right", r"\middle", r"\limits", r"\nolimits"),
    *(r"\big", r"\Big", r"\bigg", r"\Bigg", r"\bigl", r"\bigr", r"\Bigl", r"\Bigr", r"\biggl", r"\biggr"),
    *(
        r"\quad",
        r"\qquad",
        r"\,",
        r"\;",
        r"\:",
        r"\!",
        r"\ ",
        r"\\",
        r"\{",
        r"\}",
        r"\|",
        r"\%",
        r"\#",
        r"\_",
    ),
    *(r"\$", r"\&", r"\begin", r"\end", r"\underbrace", r"\overbrace", r"\overline", r"\underline", r"\hat"),
    *(
        r"\bar",
        r"\tilde",
        r"\vec",
        r"\widehat",
        r"\dot",
        r"\displaystyle",
        r"\textstyle",
        r"\substack",
        r"\boxed",
    ),
    *(r"\ldots", r"\cdots", r"\dots", r"\vdots", r"\ddots", r"\colon", r"\langle", r"\rangle", r"\lvert"),
    *(r"\rvert", r"\lVert", r"\rVert", r"\vert", r"\Vert", r"\lfloor", r"\rfloor", r"\lceil", r"\rceil"),
    *(r"\overset", r"\underset", r"\stackrel", r"\xrightarrow", r"\hline", r"\tfrac", r"\prime", r"\small"),
    *FONTS,
}


@dataclass(frozen=True)
class Symbol:
    """One symbol and its one meaning."""

    key: str
    """Short name in lower case, the anchor of its row: ``query-matrix``."""
    tex: tuple[str, ...]
    """How it is written in TeX; the first way is the one that the table shows."""
    name: str
    """Its name in words, for hovering and for the search."""
    meaning: str
    """What it means, one sentence."""
    say: str = ""
    """How it is read aloud."""
    home: str = ""
    """The page that teaches it, such as ``nano/model/attention``."""
    group: str = "letters"
    """The part of the table that it stands in."""
    show: str = ""
    """TeX for the table where the first way cannot stand alone, such as a root."""

    @property
    def tip(self) -> str:
        """What the reader sees on hovering."""
        return f"{self.name}: {self.meaning}"


@dataclass
class Marked:
    """A formula with its symbols marked."""

    tex: str
    """The formula with links around its symbols."""
    keys: list[str] = field(default_factory=list)
    """The keys of its symbols, in order."""
    unknown: list[str] = field(default_factory=list)
    """What has no meaning yet; empty in a good formula."""


def tokens_of(tex: str) -> list[str]:
    r"""Cut TeX into its tokens, white space and comments included.

    >>> tokens_of(r"W_q \cdot x")
    ['W', '_', 'q', ' ', '\\cdot', ' ', 'x']
    """
    return TOKEN.findall(tex)


def _spellings(tex: str) -> list[tuple[str, ...]]:
    """Return the token sequences of a symbol: with and without braces around single tokens."""
    plain = [token for token in tokens_of(tex) if not token.isspace()]
    out: list[list[str]] = [[]]
    place = 0
    while place < len(plain):
        token = plain[place]
        out = [[*one, token] for one in out]
        place += 1
        if token in {"_", "^"} or token in FONTS:
            if plain[place : place + 1] == ["{"] and plain[place + 2 : place + 3] == ["}"]:
                inner, place = plain[place + 1], place + 3
            elif place < len(plain) and plain[place] != "{":
                inner, place = plain[place], place + 1
            else:
                continue
            out = [[*one, *form] for one in out for form in ([inner], ["{", inner, "}"])]
    return [tuple(one) for one in out]


class SymbolTable:
    """All registered symbols, and the marking of formulas with them."""

    def __init__(self, symbols: list[Symbol]) -> None:
        self.symbols = {symbol.key: symbol for symbol in symbols}
        if len(self.symbols) != len(symbols):
            keys = [symbol.key for symbol in symbols]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            raise ValueError(f"symbols.toml: keys used twice: {', '.join(twice)}; give each symbol its own")
        self._spelled: dict[tuple[str, ...], Symbol] = {}
        for symbol in symbols:
            for tex in symbol.tex:
                for spelling in _spellings(tex):
                    other = self._spelled.setdefault(spelling, symbol)
                    if other is not symbol:
                        raise ValueError(f"symbols.toml: {tex} means both {other.key!r} and {symbol.key!r}; keep one")
        self._longest = max((len(spelling) for spelling in self._spelled), default=0)
        self.digest = hashlib.sha256(repr(symbols).encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> SymbolTable:
        """Read ``symbols.toml``."""
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("symbol", [])
        symbols = []
        for row in rows:
            tex = row.pop("tex")
            row["tex"] = (tex,) if isinstance(tex, str) else tuple(tex)
            try:
                symbols.append(Symbol(**row))
            except TypeError as error:
                raise ValueError(f"{path}: symbol {row.get('key', tex)!r}: {error}") from error
        return cls(symbols)

    def mark(self, tex: str) -> Marked:
        """Mark every symbol of a formula."""
        tokens = tokens_of(tex)
        out: list[str] = []
        marked = Marked("")
        place = 0
        while place < len(tokens):
            token = tokens[place]
            if token.isspace() or token.startswith("%"):
                out.append(" ")
                place += 1
                continue
            end, symbol = self._match(tokens, place)
            if symbol:
                marked.keys.append(symbol.key)
                out.append(_wrap(symbol, "".join(tokens[place:end])))
                place = end
                continue
            place = self._plain(tokens, place, out, marked)
        marked.tex = "".join(out)
        return marked

    def meanings(self, lines: Iterable[str]) -> dict[str, str]:
        """Read what letters mean in one section, a line each: ``x: the coins of five friends, a list``.

        Returns:
            The key of each letter and what it means there.
        """
        here = {}
        for line in filter(str.strip, lines):
            tex, _, meaning = (part.strip() for part in line.partition(":"))
            marked = self.mark(tex)
            if not meaning or marked.unknown or len(marked.keys) != 1:
                raise ValueError(f"letters: {line.strip()!r} is not one symbol of symbols.toml, a colon and a meaning")
            if marked.keys[0] in here:
                raise ValueError(f"letters: {tex} has two meanings here; keep one")
            here[marked.keys[0]] = meaning
        return here

    def _match(self, tokens: list[str], start: int) -> tuple[int, Symbol | None]:
        """Return the end and the symbol of the longest match at a place."""
        best: tuple[int, Symbol | None] = (start, None)
        seen: list[str] = []
        place = start
        while place < len(tokens) and len(seen) < self._longest:
            if not tokens[place].isspace():
                seen.append(tokens[place])
                symbol = self._spelled.get(tuple(seen))
                if symbol:
                    best = (place + 1, symbol)
            place += 1
        return best

    def _plain(self, tokens: list[str], place: int, out: list[str], marked: Marked) -> int:
        """Copy one token that starts no symbol, or report it; return the next place."""
        token = tokens[place]
        out.append(token)
        place += 1
        if token in FREE_GROUP or token in {r"\begin", r"\end"}:
            place = _copy_group(tokens, place, out)
            if token == r"\begin" and out[-2:-1] == ["array"]:
                place = _copy_group(tokens, place, out)
        elif token in NAMES and tokens[place : place + 1] == ["{"]:
            close = _closing(tokens, place)
            word = "".join(tokens[place + 1 : close])
            if re.fullmatch(r"[A-Za-z][A-Za-z ]+", word):
                marked.unknown.append(f"{token}{{{word}}}")
                out.extend(tokens[place : close + 1])
                place = close + 1
        elif token == r"\\" and tokens[place : place + 1] == ["["]:
            close = tokens.index("]", place)
            out.extend(tokens[place : close + 1])
            place = close + 1
        elif token.startswith("\\"):
            if token not in STRUCTURE:
                marked.unknown.append(token)
        elif token.isalpha():
            marked.unknown.append(token)
        return place


def _closing(tokens: list[str], start: int) -> int:
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place] == "{") - (tokens[place] == "}")
        if depth == 0:
            return place
    return len(tokens) - 1  # KaTeX reports the missing brace


def _copy_group(tokens: list[str], place: int, out: list[str]) -> int:
    while place < len(tokens) and tokens[place].isspace():
        place += 1
    if tokens[place : place + 1] != ["{"]:
        return place
    close = _closing(tokens, place)
    out.append("{")
    out.append("".join(tokens[place + 1 : close]))
    out.append("}")
    return close + 1


LIMITS = {r"\sum", r"\prod", r"\max", r"\min", r"\lim", r"\arg\max", r"\arg\min"}


def _wrap(symbol: Symbol, tex: str) -> str:
    if tex == r"\sqrt":
        return tex  # takes an argument; the renderer links the root sign itself
    link = rf"\href{{{SCHEME}{symbol.key}}}{{{tex}}}"
    if tex.replace(" ", "") in LIMITS:
        return rf"\mathop{{{link}}}"
    if symbol.group in {"functions", "operations"} and not tex.startswith("^"):
        return link  # keeps the spacing of an operator
    if tex.startswith(("^", "_")):
        return rf"{tex[0]}{{\href{{{SCHEME}{symbol.key}}}{{{tex[1:]}}}}}"
    return f"{{{link}}}"


# ---- the skin: Sphinx ----


def table_of(app: Any) -> SymbolTable:
    """Return the symbol table of a build, read once."""
    return app.nano_symbols


def _load(app: Any, config: Any) -> None:
    path = Path(app.srcdir) / config.nano_symbols_file
    if path.exists():
        app.nano_symbols = SymbolTable.load(path)
    else:
        app.nano_symbols = SymbolTable([])
    config.nano_symbols_digest = app.nano_symbols.digest


def _spread(app: Any, doctree: Any) -> None:
    """Tell the formulas of a section what its letters mean there; an inner section comes after and wins."""
    from docutils import nodes

    for said in [one for one in doctree.findall(nodes.comment) if "letters" in one]:
        for formula in said.parent.findall(lambda one: isinstance(one, nodes.math | nodes.math_block)):
            formula["letters"] = {**formula.get("letters", {}), **said["letters"]}
        said.parent.remove(said)


def setup_symbols(app: Any) -> None:
    """Add ``{symbol-table} model``, the rows of one group, and ``{letters}``, which gives letters a meaning here."""
    from docutils import nodes
    from sphinx import addnodes
    from sphinx.util.docutils import SphinxDirective

    class LettersDirective(SphinxDirective):
        """What letters mean in the formulas of the section around it: a line each, ``x: the coins, a list``."""

        has_content = True

        def run(self) -> list[nodes.Node]:
            try:
                here = table_of(self.env.app).meanings(self.content)
            except ValueError as error:
                raise self.error(str(error)) from error
            return [nodes.comment("", letters=here)]

    def row(*cells: nodes.Node, **attributes: Any) -> nodes.row:
        return nodes.row("", *(nodes.entry("", cell) for cell in cells), **attributes)

    class SymbolTableDirective(SphinxDirective):
        """The rows of the table of symbols, all or those of one group."""

        optional_arguments = 1

        def run(self) -> list[nodes.Node]:
            symbols = table_of(self.env.app).symbols.values()
            group = self.arguments[0] if self.arguments else ""
            wanted = [symbol for symbol in symbols if group in ("", symbol.group)]
            if not wanted:
                groups = ", ".join(sorted({symbol.group for symbol in symbols}))
                raise self.error(f"symbol-table: no symbol is of the group {group!r}; there are: {groups}")
            head = row(*(nodes.paragraph(text=word) for word in ("Symbol", "Name, and how to say it", "Meaning")))
            body = nodes.tbody("", *(self.symbol_row(symbol) for symbol in wanted))
            columns = [nodes.colspec(colwidth=width) for width in (16, 26, 58)]
            return [nodes.table("", nodes.tgroup("", *columns, nodes.thead("", head), body, cols=3))]

        def symbol_row(self, symbol: Symbol) -> nodes.row:
            shown = symbol.show or symbol.tex[0]
            target = nodes.inline("", "", nodes.math(shown, shown), ids=[f"sym-{symbol.key}"])
            meaning = nodes.paragraph("", symbol.meaning[:1].upper() + symbol.meaning[1:] + ".")
            if symbol.home:
                meaning += nodes.Text(" Taught in ")
                meaning += addnodes.pending_xref(
                    "", nodes.inline(text=symbol.home), refdomain="std", reftype="doc", refwarn=True,
                    reftarget="/" + symbol.home, refexplicit=False, refdoc=self.env.docname,
                )  # fmt: skip
                meaning += nodes.Text(".")
            name = nodes.paragraph(text=symbol.name)
            if symbol.say:
                name += [nodes.Text(": "), nodes.emphasis(text=f"“{symbol.say}”")]
            return row(nodes.paragraph("", "", target), name, meaning)

    app.add_config_value("nano_symbols_file", "nanomath/symbols.toml", "env", [str])
    app.add_config_value("nano_symbols_digest", "", "env", [str])
    app.add_config_value("nano_notation", "nanomath/notation", "html", [str])
    app.connect("config-inited", _load)
    app.add_directive("symbol-table", SymbolTableDirective)
    app.add_directive("letters", LettersDirective)
    app.connect("doctree-read", _spread)
