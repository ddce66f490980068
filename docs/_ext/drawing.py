"""A small drawing kit: pictures as inline SVG, each with a form in plain text.

Every function returns a :class:`Drawing`; :func:`stack` puts several below each other, and :meth:`Drawing.picture`
makes a :class:`Picture` of one. Colours are the names of :data:`nanochat.figures.PALETTE`; they become CSS variables,
so that a picture follows the colour scheme of the page. A picture is 400 units wide, about the width of a telephone,
and its letters are at least 13 units high: they stay readable there. Knows no Sphinx.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nanochat.common import InputError
from nanochat.figures import PALETTE, SERIES, show_piece, token_colour

WIDTH = 400
"""The width of every picture, in its own units."""
TEXT = 15
"""The size of letters in boxes and labels, in the same units."""
SMALL = 13
"""The size of numbers and notes: the smallest that is used."""
PAD = 8


@dataclass(frozen=True)
class Picture:
    """What a function in ``docs/pictures`` returns."""

    svg: str
    """The picture: one ``<svg>`` element."""
    text: str
    """The same in plain text, for guides that are read in a terminal."""
    alt: str
    """What a reader who sees neither needs to know, in a sentence or two."""
    caption: str
    """What to see in it, with a measured number; may hold Markdown and formulas."""

    def __post_init__(self) -> None:
        for name in ("svg", "text", "alt", "caption"):
            if not str(getattr(self, name)).strip():
                raise InputError(f"a picture's {name} is empty: every picture has all four of svg, text, alt, caption")
        if not self.svg.lstrip().startswith("<svg"):
            raise InputError("a picture's svg must begin with <svg: it is set into the page as it is")


@dataclass(frozen=True)
class Drawing:
    """A part of a picture: shapes that begin at (0, 0), their height, and the same as text."""

    shapes: str
    """SVG elements."""
    height: float
    """How high they are; the width is always :data:`WIDTH`."""
    text: str
    """The text form."""

    def svg(self) -> str:
        """Return the whole ``<svg>`` element."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="nc-svg" viewBox="0 0 {WIDTH} {_n(self.height)}" '
            f'width="{WIDTH}" height="{_n(self.height)}">{self.shapes}</svg>'
        )

    def picture(self, alt: str, caption: str) -> Picture:
        """Make a picture of the drawing.

        Args:
            alt: What it shows, for readers who cannot see it.
            caption: What to see in it, with a measured number.
        """
        return Picture(self.svg(), self.text, alt, caption)


# ---- pieces of SVG ----


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def colour(name: str) -> str:
    """Return the CSS of a palette colour.

    Raises:
        InputError: If the palette has no such colour; the message lists those it has.
    """
    if name == "heat":
        return "var(--nc-heat)"
    if name not in PALETTE:
        raise InputError(f"no colour {name!r} in the palette: take one of {', '.join(PALETTE)}")
    return f"var(--nc-{name})"


def label(
    x: float,
    y: float,
    words: str,
    size: float = TEXT,
    ink: str = "ink",
    anchor: str = "middle",
    mono: bool = False,
    bold: bool = False,
) -> str:
    """Return a line of text whose middle is at height ``y``."""
    style = f"fill:{colour(ink)};font-size:{_n(size)}px"
    kind = ' class="nc-mono"' if mono else ""
    weight = ";font-weight:600" if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y + size * 0.35)}" text-anchor="{anchor}"{kind} style="{style}{weight}">'
        f"{html.escape(words, quote=False)}</text>"
    )


def rect(
    x: float, y: float, width: float, height: float, ink: str, fill: float = 0.12, round: float = 5, edge: bool = True
) -> str:
    """Return a box: an edge in a palette colour, filled with ``fill`` parts of it."""
    stroke = colour(ink) if edge else "none"
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(round)}" '
        f'style="fill:{colour(ink)};fill-opacity:{_n(fill)};stroke:{stroke}"/>'
    )


def path(points: Iterable[tuple[float, float]], ink: str = "muted", width: float = 1.5, dash: str = "") -> str:
    """Return a line through points."""
    d = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    dashed = f";stroke-dasharray:{dash}" if dash else ""
    style = f"fill:none;stroke:{colour(ink)};stroke-width:{_n(width)};stroke-linejoin:round{dashed}"
    return f'<path d="{d}" style="{style}"/>'


def arrow(x1: float, y1: float, x2: float, y2: float, ink: str = "muted") -> str:
    """Return an arrow from the first point to the second."""
    angle = math.atan2(y2 - y1, x2 - x1)
    ends = [(x2 - 8 * math.cos(angle + turn), y2 - 8 * math.sin(angle + turn)) for turn in (-0.45, 0.45)]
    head = f"M{_n(x2)} {_n(y2)}L{_n(ends[0][0])} {_n(ends[0][1])}L{_n(ends[1][0])} {_n(ends[1][1])}Z"
    stem = path([(x1, y1), (x2 - 5 * math.cos(angle), y2 - 5 * math.sin(angle))], ink)
    return stem + f'<path d="{head}" style="fill:{colour(ink)}"/>'


def moved(shapes: str, x: float, y: float) -> str:
    """Return shapes moved by (x, y)."""
    return f'<g transform="translate({_n(x)} {_n(y)})">{shapes}</g>'


def _wide(words: str) -> int:
    """Return the columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def _share(character: str) -> float:
    """Return about how wide a bold character is, as a share of the size of the font; rather too much."""
    if character in "fijlrt,.'|()[] ":
        return 0.36
    return 0.92 if character in "mwMW" else 0.74 if character.isupper() else 0.62


def _fill(words: str, width: int, align: str = "<") -> str:
    space = max(0, width - _wide(words))
    left = {"<": 0, ">": space, "^": space // 2}[align]
    return " " * left + words + " " * (space - left)


def _need(good: bool, message: str) -> None:
    if not good:
        raise InputError(message)


# ---- drawings ----


@dataclass(frozen=True)
class Box:
    """One box of a :func:`flow`."""

    words: str
    """What stands in it; ``\\n`` begins a new line."""
    note: str = ""
    """A smaller line below, such as a shape ``(B, T, C)``."""
    ink: str = "accent"
    """Its colour."""
    ends: bool = False
    """Whether the way ends here, so that no arrow leads on."""


Step = str | Box | Sequence[str | Box]


def flow(
    steps: Sequence[Step], arrows: Sequence[str] = (), back: int | None = None, again: str = "", graph: bool = False
) -> Drawing:
    """Draw boxes from top to bottom, with arrows between them.

    Args:
        steps: One box a row, or a list of boxes that stand side by side (at most four). A string is a box.
        arrows: A word beside each arrow, one fewer than steps; leave it out for plain arrows.
        back: The row to which an arrow leads back from the last one, the first being 0: the way is a round.
        again: A word beside that arrow.
        graph: Whether the form in plain text is a graph in Mermaid, for a way that parts; a round always is one.

    >>> print(flow(["text", "tokens"], ["cut"]).text)
    +------+
    | text |
    +------+
       |  cut
       v
    +--------+
    | tokens |
    +--------+
    """
    rows = [[one] if isinstance(one, str | Box) else list(one) for one in steps]
    boxes = [[box if isinstance(box, Box) else Box(box) for box in row] for row in rows]
    _need(bool(boxes) and all(1 <= len(row) <= 4 for row in boxes), "a flow needs rows of one to four boxes")
    _need(not arrows or len(arrows) == len(boxes) - 1, "a flow needs one arrow word fewer than it has rows")
    if back is not None:
        ends = 0 <= back < len(boxes) - 1 and len(boxes[back]) == len(boxes[-1]) == 1
        _need(ends, "a flow goes back from one box in its last row to one box in an earlier row")
    shapes, y, lines, middles = [], 2.0, [], []
    for place, row in enumerate(boxes):
        gap = 10
        width = min(260.0, (WIDTH - 4 - gap * (len(row) - 1)) / len(row))
        height = max(12 + 18 * len(box.words.split("\n")) + (16 if box.note else 0) for box in row)
        left = (WIDTH - width * len(row) - gap * (len(row) - 1)) / 2
        middles.append(y + height / 2)
        word = arrows[place] if arrows and place + 1 < len(boxes) else ""
        parts = bool(word) and len(row) == 1 and len(boxes[place + 1]) % 2 == 0  # the word stands between the arrows
        drop = 44 if parts else 30
        for column, box in enumerate(row):
            x = left + column * (width + gap)
            shapes.append(rect(x, y, width, height, box.ink))
            words = box.words.split("\n")
            top = y + (height - 18 * len(words) - (16 if box.note else 0)) / 2 + 9
            for number, line in enumerate(words):
                shapes.append(label(x + width / 2, top + 18 * number, line, bold=not number))
            if box.note:
                shapes.append(label(x + width / 2, top + 18 * len(words) - 1, box.note, SMALL, "muted", mono=True))
            if box.ends:
                continue
            if place + 1 < len(boxes) and len(boxes[place + 1]) in (1, len(row)):
                end = WIDTH / 2 if len(boxes[place + 1]) == 1 and len(row) > 1 else x + width / 2
                shapes.append(arrow(x + width / 2, y + height + 2, end, y + height + drop - 2))
            elif place + 1 < len(boxes) and len(row) == 1:
                count = len(boxes[place + 1])
                wide = min(260.0, (WIDTH - 4 - gap * (count - 1)) / count)
                start = (WIDTH - wide * count - gap * (count - 1)) / 2
                for number in range(count):
                    end = start + number * (wide + gap) + wide / 2
                    shapes.append(arrow(WIDTH / 2, y + height + 2, end, y + height + drop - 2))
        lines += _text_boxes(row)
        if place + 1 < len(boxes):
            if parts:
                shapes.append(label(WIDTH / 2, y + height + drop - 11, word, SMALL, "muted"))
            elif word:
                shapes.append(label(WIDTH / 2 + 14, y + height + 14, word, SMALL, "muted", "start"))
            lines += [f"   |  {word}".rstrip(), "   v"]
        y += height + drop
    if back is not None:
        right = (WIDTH + 260) / 2
        shapes.append(path([(right, middles[-1]), (right + 24, middles[-1]), (right + 24, middles[back])]))
        shapes.append(arrow(right + 24, middles[back], right + 2, middles[back]))
        shapes.append(
            label(WIDTH - 2, (middles[-1] + middles[back]) / 2, again, SMALL, "muted", "end") if again else ""
        )
    text = _mermaid(boxes, arrows, back, again) if graph or back is not None else "\n".join(lines)
    return Drawing("".join(shapes), y - 28, text)


def _mermaid(boxes: Sequence[Sequence[Box]], arrows: Sequence[str], back: int | None, again: str) -> str:
    """Return the boxes of a flow as a graph in Mermaid, which many readers of Markdown draw."""

    def quoted(words: str) -> str:
        return '"' + words.replace('"', "#quot;").replace("\n", "<br>") + '"'

    def edge(start: str, end: str, word: str) -> str:
        return f"    {start} -->{f'|{quoted(word)}|' if word else ''} {end}"

    names = [
        [f"s{row}{'abcd'[place] if len(boxes[row]) > 1 else ''}" for place in range(len(boxes[row]))]
        for row in range(len(boxes))
    ]
    lines = ["flowchart TD"]
    for row, here in enumerate(boxes):
        for name, box in zip(names[row], here, strict=True):
            lines.append(f"    {name}[{quoted(box.words + (chr(10) + box.note if box.note else ''))}]")
    for row, word in enumerate([*arrows] or [""] * (len(boxes) - 1)):
        above, below = names[row], names[row + 1]
        if len(above) == len(below):
            pairs = [*zip(above, below, strict=True)]
        else:
            pairs = [(start, end) for start in above for end in below if 1 in (len(above), len(below))]
        ended = {name for name, box in zip(above, boxes[row], strict=True) if box.ends}
        lines += [edge(start, end, word) for start, end in pairs if start not in ended]
    if back is not None:
        lines.append(edge(names[-1][0], names[back][0], again))
    return "\n".join(lines)


def _text_boxes(row: Sequence[Box]) -> list[str]:
    parts = []
    deep = max(len(box.words.split("\n")) + bool(box.note) for box in row)
    for box in row:
        inner = box.words.split("\n") + ([box.note] if box.note else [])
        inner += [""] * (deep - len(inner))
        wide = max(map(_wide, inner))
        edge = "+" + "-" * (wide + 2) + "+"
        parts.append([edge, *(f"| {_fill(line, wide)} |" for line in inner), edge])
    return ["  ".join(lines).rstrip() for lines in zip(*parts, strict=True)]


def token_strip(pieces: Sequence[str | bytes], ids: Sequence[int] = (), marks: Sequence[str] = ()) -> Drawing:
    """Draw tokens side by side, in the colours that they have everywhere on the site.

    Args:
        pieces: The tokens as text or bytes.
        ids: Their numbers, printed below.
        marks: A word above each token, such as its probability; an empty one for none.

    >>> print(token_strip(["Once", " upon"], [7, 12]).text)
    |Once|·upon|
    |   7|   12|
    """
    _need(bool(pieces), "a token strip needs at least one token")
    for name, extra in (("ids", ids), ("marks", marks)):
        _need(not extra or len(extra) == len(pieces), f"a token strip needs as many {name} as tokens, or none")
    shapes, x, y = [], 2.0, 2.0
    above, below = (16 if marks else 0), (17 if ids else 0)
    for place, piece in enumerate(pieces):
        words = show_piece(piece)
        under = str(ids[place]) if ids else ""
        over = marks[place] if marks else ""
        width = max(24.0, 9.0 * _wide(words) + 12, 7.4 * len(under) + 8, 7.4 * len(over) + 6)
        if x + width > WIDTH - 2 and x > 2:
            x, y = 2.0, y + above + 30 + below + 6
        ink = token_colour(piece)
        if over:
            shapes.append(label(x + width / 2, y + 6, over, SMALL, "muted", mono=True))
        shapes.append(rect(x, y + above, width, 28, ink, 0.16))
        shapes.append(label(x + width / 2, y + above + 14, words, TEXT, mono=True))
        if under:
            shapes.append(label(x + width / 2, y + above + 37, under, SMALL, "muted", mono=True))
        x += width + 3
    rows = [tuple(map(show_piece, pieces))]
    rows = ([tuple(marks)] if marks else []) + rows + ([tuple(map(str, ids))] if ids else [])
    widths = [max(_wide(row[i]) for row in rows) for i in range(len(pieces))]
    text = "\n".join("|" + "|".join(_fill(w, n, ">") for w, n in zip(row, widths, strict=True)) + "|" for row in rows)
    return Drawing("".join(shapes), y + above + 30 + below, text)


def bars(
    values: Mapping[str, float],
    show: Callable[[float], str] = "{:.2f}".format,
    top: float | None = None,
    ink: str | Mapping[str, str] = "accent",
) -> Drawing:
    """Draw one bar a row, its name left and its value right.

    Args:
        values: Name to value; values must not be negative.
        show: How a value is printed.
        top: The value of a full bar; the largest one if left out.
        ink: A colour, or a colour by name.

    >>> print(bars({"cat": 0.75, "dog": 0.25}).text)
    cat ############################## 0.75
    dog ##########                     0.25
    """
    _need(bool(values), "bars need at least one value")
    _need(
        all(v >= 0 and math.isfinite(v) for v in values.values()), "bars need values that are finite and not negative"
    )
    top = max(values.values()) if top is None else top
    _need(top > 0, "bars need a value above zero, or `top` to say what a full bar is")
    mono = max(8.6 * _wide(name) for name in values)
    left = min(170.0, mono + 10)
    right = 7.6 * max(len(show(v)) for v in values.values()) + 8
    room = WIDTH - left - right - 4
    shapes, lines = [], []
    wide, number = max(_wide(n) for n in values), max(len(show(v)) for v in values.values())
    for place, (name, value) in enumerate(values.items()):
        y = 4 + place * 26
        tint = ink if isinstance(ink, str) else ink.get(name, "accent")
        length = room * min(1.0, value / top)
        shapes.append(label(left - 6, y + 10, name, SMALL + 1, anchor="end", mono=True))
        shapes.append(rect(left, y, max(length, 1), 20, tint, 0.75, 3, edge=False))
        shapes.append(label(left + length + 6, y + 10, show(value), SMALL, "ink", "start", mono=True))
        mark = "#" * round(30 * min(1.0, value / top))
        lines.append(f"{_fill(name, wide)} {mark:<30} {show(value):>{number}}")
    return Drawing("".join(shapes), 4 + 26 * len(values), "\n".join(lines))


def grid(
    values: Sequence[Sequence[float | None]],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    show: Callable[[float], str] | None = "{:.2f}".format,
    top: float | None = None,
    note: str = "",
) -> Drawing:
    """Draw a matrix as a grid: a larger value has a deeper colour, ``None`` is a cell that is not allowed.

    Args:
        values: The matrix, row by row.
        rows: A name for each row.
        columns: A name for each column.
        show: How a value is printed, or None to show colours alone.
        top: The size of value that gets the full colour; the largest one if left out.
        note: A line below, such as what rows and columns are.

    >>> print(grid([[1, None], [0.4, 0.6]], ["a", "b"], ["a", "b"]).text)
         a    b
    a 1.00    -
    b 0.40 0.60
    """
    table = [list(row) for row in values]
    _need(bool(table) and bool(table[0]), "a grid needs at least one row and one column")
    deep, wide = len(table), len(table[0])
    _need(all(len(row) == wide for row in table), "a grid needs rows of one length")
    _need(not rows or len(rows) == deep, f"a grid of {deep} rows needs as many row names, or none")
    _need(not columns or len(columns) == wide, f"a grid of {wide} columns needs as many column names, or none")
    sizes = [abs(value) for row in table for value in row if value is not None]
    full = (max(sizes, default=1.0) or 1.0) if top is None else top
    left = min(130.0, max((8.0 * _wide(r) for r in rows), default=0) + 10) if rows else 2
    cell = min(56.0, (WIDTH - left - 4) / wide)
    words = [[None if v is None else show(v) if show else "" for v in row] for row in table]
    longest = max((len(w) for row in words for w in row if w), default=0)
    size = min(SMALL + 0.0, (cell - 3) / max(1, longest) / 0.6)
    shown = size >= 9  # smaller numbers could not be read; the colours remain
    tall = min(cell, 34.0) if shown and longest else min(cell, 30.0)
    slant = bool(columns) and any(7.6 * _wide(c) > cell for c in columns)
    head = 0.0
    if columns:
        head = max(7.6 * _wide(c) for c in columns) * 0.72 + 14 if slant else 20.0
    left = max(left, (WIDTH - cell * wide) / 2 if not rows else left)
    shapes = []
    for j, name in enumerate(columns):
        x = left + cell * (j + 0.5)
        if slant:
            turned = label(0, 0, name, SMALL, "ink", "start", mono=True)
            shapes.append(f'<g transform="translate({_n(x)} {_n(head - 6)}) rotate(-45)">{turned}</g>')
        else:
            shapes.append(label(x, head - 10, name, SMALL, mono=True))
    for i, row in enumerate(table):
        y = head + i * tall
        if rows:
            shapes.append(label(left - 6, y + tall / 2, rows[i], SMALL, anchor="end", mono=True))
        for j, value in enumerate(row):
            x = left + j * cell
            if value is None:
                shapes.append(rect(x + 1, y + 1, cell - 2, tall - 2, "line", 0.25, 3, edge=False))
                mid_x, mid_y = x + cell / 2, y + tall / 2
                shapes.append(path([(mid_x - 4, mid_y + 4), (mid_x + 4, mid_y - 4)], "muted", 1))
                continue
            share = min(1.0, abs(value) / full)
            ink = "heat" if value >= 0 else "rose"
            shapes.append(rect(x + 1, y + 1, cell - 2, tall - 2, ink, 0.05 + 0.6 * share, 3, edge=False))
            if shown and words[i][j]:
                shapes.append(label(x + cell / 2, y + tall / 2, (words[i][j] or "").replace("-", "−"), size, mono=True))
    height = head + deep * tall + 2
    if note:
        shapes.append(label(left + cell * wide / 2, height + 10, note, SMALL, "muted"))
        height += 20
    spelled = show or "{:.2f}".format
    cells = [["-" if v is None else spelled(v) for v in row] for row in table]
    widths = [max(_wide(c) for c in [*(r[j] for r in cells), *(columns[j : j + 1])]) for j in range(wide)]
    first = max(map(_wide, rows), default=0)
    lines = []
    if columns:
        lines.append(
            " ".join([" " * first] * bool(rows) + [_fill(c, n, ">") for c, n in zip(columns, widths, strict=True)])
        )
    for i, row in enumerate(cells):
        start = [_fill(rows[i], first)] if rows else []
        lines.append(" ".join(start + [_fill(c, n, ">") for c, n in zip(row, widths, strict=True)]))
    if note:
        lines.append(note)
    return Drawing("".join(shapes), height, "\n".join(lines))


def _ticks(low: float, high: float, about: int, whole: bool = False) -> list[float]:
    span = high - low or 1.0
    raw = max(span / about, float(whole))
    power = 10.0 ** math.floor(math.log10(raw))
    nice = (1, 2, 5, 10) if whole and power < 10 else (1, 2, 2.5, 5, 10)
    step = min((s * power for s in nice if s * power >= raw * 0.999), default=raw)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 10) + 0.0 for k in range(first, int(math.floor(high / step + 1e-9)) + 1)]


def _tick(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}").replace("-", "−")


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x: str = "",
    y: str = "",
    marks: bool = False,
    y_from: float | None = None,
    y_to: float | None = None,
) -> Drawing:
    """Draw curves over two axes, the first series in the accent colour; names stand above the plot.

    Args:
        series: Name to its points (x, y), in order.
        x: What the x axis counts, with its unit.
        y: What the y axis counts, with its unit.
        marks: Put a dot on each point.
        y_from: The lower end of the y axis; taken from the points if left out.
        y_to: The upper end of the y axis.
    """
    _need(bool(series) and all(len(points) > 1 for points in series.values()), "each line needs at least two points")
    _need(len(series) <= len(SERIES), f"at most {len(SERIES)} lines can be told apart by colour")
    every = [point for points in series.values() for point in points]
    _need(all(math.isfinite(v) for point in every for v in point), "lines need finite numbers")
    x0, x1 = min(p[0] for p in every), max(p[0] for p in every)
    y0 = min(p[1] for p in every) if y_from is None else y_from
    y1 = max(p[1] for p in every) if y_to is None else y_to
    if y0 == y1:
        y0, y1 = y0 - 0.5, y1 + 0.5
    if x0 == x1:
        x0, x1 = x0 - 0.5, x1 + 0.5
    whole = all(float(point[0]).is_integer() for points in series.values() for point in points)
    y_marks, x_marks = _ticks(y0, y1, 5), _ticks(x0, x1, 5, whole)
    named = len(series) > 1 or any(series)
    left = 7.6 * max(len(_tick(v)) for v in y_marks) + 12
    top = (20.0 if named else 4.0) + (18 if y else 0)
    bottom = top + 190
    right = WIDTH - 14.0

    def place(px: float, py: float) -> tuple[float, float]:
        return left + (px - x0) / (x1 - x0) * (right - left), bottom - (py - y0) / (y1 - y0) * (bottom - top)

    shapes = []
    if y:
        shapes.append(label(2, top - 12 - (20 if named else 0), y, SMALL, "muted", "start"))
    for value in y_marks:
        height = place(x0, value)[1]
        shapes.append(path([(left, height), (right, height)], "line", 1))
        shapes.append(label(left - 6, height, _tick(value), SMALL, "ink", "end", mono=True))
    for value in x_marks:
        across = place(value, y0)[0]
        shapes.append(path([(across, bottom), (across, bottom + 4)], "muted", 1))
        shapes.append(label(min(across, WIDTH - 4 * len(_tick(value))), bottom + 14, _tick(value), SMALL, mono=True))
    shapes.append(path([(left, bottom), (right, bottom)], "muted", 1))
    across = left
    dashes = ("", "6 3", "2 3", "9 3 2 3", "1 3", "12 4")
    for number, (name, points) in enumerate(series.items()):
        ink = SERIES[number]
        shapes.append(path([place(*point) for point in points], ink, 2.2, dashes[number]))
        if marks:
            for point in points:
                cx, cy = place(*point)
                shapes.append(f'<circle cx="{_n(cx)}" cy="{_n(cy)}" r="3" style="fill:{colour(ink)}"/>')
        if name:
            shapes.append(path([(across, top - 12), (across + 20, top - 12)], ink, 2.2, dashes[number]))
            shapes.append(label(across + 25, top - 12, name, SMALL, ink, "start", bold=True))
            across += 34 + SMALL * sum(_share(c) for c in name)
    height = bottom + 24
    if x:
        shapes.append(label((left + right) / 2, bottom + 32, x, SMALL, "muted"))
        height = bottom + 42
    return Drawing("".join(shapes), height, _text_lines(series, x, y))


def _text_lines(series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> str:
    """Return a few points of each curve as a table."""
    out = []
    for name, points in series.items():
        few = points
        if len(points) > 9:
            few = [points[round(k * (len(points) - 1) / 8)] for k in range(9)]
        out.append(" ".join(filter(None, [name, f"({y} by {x})" if x and y else y or x])).strip() or "curve")
        heads, values = [f"{a + 0.0:.4g}" for a, _ in few], [f"{b + 0.0:.4g}" for _, b in few]  # minus zero is zero
        wide = [max(len(a), len(b)) for a, b in zip(heads, values, strict=True)]
        for mark, row in (("x", heads), ("y", values)):
            out.append(f"  {mark} " + " ".join(_fill(w, n, ">") for w, n in zip(row, wide, strict=True)))
    return "\n".join(out)


def number_line(points: Mapping[str, float], low: float, high: float, note: str = "") -> Drawing:
    """Draw named points on a line of numbers.

    Args:
        points: Name to its place.
        low: The left end.
        high: The right end.
        note: A line below.

    >>> print(number_line({"a": 1, "b": 3}, 0, 4).text)
    0 .......... 4
    a at 1
    b at 3
    """
    _need(low < high, f"a number line from {low} to {high} has no length: low must be below high")
    outside = [name for name, value in points.items() if not low <= value <= high]
    _need(not outside, f"{', '.join(outside)} lie outside of {low} to {high}: widen the line")
    left, right = 16.0, WIDTH - 16.0
    order = sorted(points.items(), key=lambda item: item[1])
    levels: list[float] = []  # the right end of the last label on each level
    placed = []
    for name, value in order:
        across = left + (value - low) / (high - low) * (right - left)
        half = 4.2 * _wide(name) + 4
        center = min(max(across, half), WIDTH - half)
        level = next((k for k, end in enumerate(levels) if end <= center - half), len(levels))
        if level == len(levels):
            levels.append(0.0)
        levels[level] = center + half
        placed.append((name, across, center, level))
    y = 14.0 + 18 * len(levels)
    shapes = [path([(left - 10, y), (right + 10, y)], "muted", 1.5)]
    for value in _ticks(low, high, 6):
        across = left + (value - low) / (high - low) * (right - left)
        shapes.append(path([(across, y - 4), (across, y + 4)], "muted", 1))
        shapes.append(label(across, y + 15, _tick(value), SMALL, "ink", mono=True))
    for number, (name, across, center, level) in enumerate(placed):
        ink = SERIES[number % len(SERIES)]
        height = y - 16 - 18 * level
        shapes.append(path([(across, y), (across, height + 7)], ink, 1))
        shapes.append(f'<circle cx="{_n(across)}" cy="{_n(y)}" r="4.5" style="fill:{colour(ink)}"/>')
        shapes.append(label(center, height, name, SMALL, ink, bold=True))
    if note:
        shapes.append(label(WIDTH / 2, y + 36, note, SMALL, "muted"))
    text = [
        f"{low:g} .......... {high:g}",
        *(name if name.replace("−", "-") == f"{value:g}" else f"{name} at {value:g}" for name, value in order),
        *([note] if note else []),
    ]
    return Drawing("".join(shapes), y + (46 if note else 26), "\n".join(text))


def title(words: str) -> Drawing:
    """Draw a line of text, to stand above a part of a stack."""
    return Drawing(label(2, 10, words, TEXT, "ink", "start", bold=True), 20, words)


def stack(*drawings: Drawing, gap: float = 14) -> Drawing:
    """Put drawings below each other."""
    _need(bool(drawings), "a stack needs at least one drawing")
    shapes, y = [], 0.0
    for one in drawings:
        shapes.append(moved(one.shapes, 0, y))
        y += one.height + gap
    return Drawing("".join(shapes), y - gap, "\n\n".join(one.text for one in drawings))
