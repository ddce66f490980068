"""One look for every picture: palette, plot style, token colours.

Examples, report cards, the site and its drawings take their colours from :data:`PALETTE`, so that a token is
the same colour wherever it is seen. Each colour has a form for a light page and one for a dark page. All but
``line``, ``panel`` and ``paper`` keep a contrast of at least 4.5 to 1 against page and panel, so that they
may be used for text.

The plots need matplotlib, which the optional extra ``docs`` installs; it is imported only when a plot is
styled. The palette and the token strips need nothing.
"""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nanochat.common import InputError

PALETTE: dict[str, tuple[str, str]] = {
    "ink": ("#1f2328", "#e6e3dc"),
    "muted": ("#5b626b", "#a6adb6"),
    "line": ("#d9d4c9", "#3a4149"),
    "panel": ("#f6f3ec", "#1d2127"),
    "paper": ("#fffefb", "#15181c"),
    "accent": ("#0b6b73", "#62c9cf"),
    "blue": ("#2a5ba8", "#8db4f5"),
    "amber": ("#8c5500", "#e5b35c"),
    "rose": ("#a83050", "#f294a8"),
    "green": ("#33703c", "#8fcf9a"),
    "violet": ("#6a41a1", "#c2a6ef"),
}
"""Name of a colour to its form on a light and on a dark page; ``ink`` is text, ``paper`` the page."""

SERIES = ("accent", "amber", "violet", "rose", "blue", "green")
"""The colours of lines, bars and tokens, in the order in which they are used."""

HEAT = "#1f9aa3"
"""The colour of heat maps, laid over the page more thickly for larger values: it suits both pages."""


def token_colour(piece: str | bytes) -> str:
    """Return the name of the colour of a token: always the same for the same piece of text.

    Args:
        piece: The token's text or bytes.

    Returns:
        A name out of :data:`SERIES`.

    >>> token_colour(" the") == token_colour(b" the")
    True
    """
    raw = piece.encode() if isinstance(piece, str) else bytes(piece)
    return SERIES[zlib.crc32(raw) % len(SERIES)]


def show_piece(piece: str | bytes) -> str:
    """Return a token's text with its white space made visible.

    A space is ``·``, a new line ``⏎``, a tab ``⇥``. Bytes that are no text of their own, such as
    half of a character, are shown as ``<c3>``.

    >>> show_piece(" the"), show_piece(b"caf" + bytes([0xc3]))
    ('·the', 'caf<c3>')
    """
    if isinstance(piece, bytes):
        piece = piece.decode("utf-8", errors="backslashreplace")
        for byte in range(0x80, 0x100):
            piece = piece.replace(f"\\x{byte:02x}", f"<{byte:02x}>")
    return piece.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")


@dataclass(frozen=True)
class TokenStrip:
    """A row of coloured tokens; a notebook and the site's examples show it as HTML, a terminal as text."""

    pieces: tuple[str | bytes, ...]
    """The tokens, as text or as bytes."""
    ids: tuple[int, ...] = ()
    """Their numbers in the vocabulary, printed below each; empty to leave them out."""

    def __str__(self) -> str:
        """Return the strip for a terminal: ``|Once|·upon|``."""
        return "|" + "|".join(show_piece(piece) for piece in self.pieces) + "|"

    def _repr_html_(self) -> str:
        """Return the strip as HTML."""
        out = []
        for place, piece in enumerate(self.pieces):
            number = f"<small>{self.ids[place]}</small>" if self.ids else ""
            text = html.escape(show_piece(piece))
            out.append(f'<span class="nc-token nc-{token_colour(piece)}">{text}{number}</span>')
        return f'<p class="nc-tokens">{"".join(out)}</p>'


def token_html(pieces: Iterable[str | bytes], ids: Sequence[int] = ()) -> TokenStrip:
    """Make a strip of coloured tokens, which an example shows by ending a cell with it.

    Args:
        pieces: The tokens, as text or as bytes (``Tokenizer.token_bytes`` of each id).
        ids: Their numbers, one for each piece, or nothing.

    Returns:
        An object that shows itself as HTML on a page and as text in a terminal.

    Raises:
        InputError: If the ids are not as many as the pieces; pass one for each, or none.

    >>> print(token_html(["Once", " upon"], [7, 12]))
    |Once|·upon|
    """
    pieces, ids = tuple(pieces), tuple(ids)
    if ids and len(ids) != len(pieces):
        raise InputError(f"{len(ids)} ids for {len(pieces)} tokens: pass one id for each token, or none")
    return TokenStrip(pieces, ids)


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("plots need matplotlib: install it with `pip install 'nanochat[docs]'`") from error
    return matplotlib


def use_style(dark: bool = False) -> None:
    """Give every following matplotlib figure the look of the site.

    The letters are sized for a figure that is as wide as a telephone, so that they stay readable there.

    Args:
        dark: Take the colours for a dark page; the site needs the light ones and recolours them itself.

    Raises:
        InputError: If matplotlib is missing; the message says how to install it.
    """
    matplotlib = _matplotlib()
    colour = {name: pair[dark] for name, pair in PALETTE.items()}
    matplotlib.rcParams.update(matplotlib.rcParamsDefault)
    matplotlib.rcParams.update(
        {
            "figure.figsize": (4.8, 3.1),
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "axes.facecolor": "none",
            "axes.edgecolor": colour["muted"],
            "axes.labelcolor": colour["ink"],
            "axes.titlecolor": colour["ink"],
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": matplotlib.cycler(color=[colour[name] for name in SERIES]),
            "grid.color": colour["line"],
            "grid.linewidth": 0.6,
            "text.color": colour["ink"],
            "xtick.color": colour["muted"],
            "ytick.color": colour["muted"],
            "xtick.labelcolor": colour["ink"],
            "ytick.labelcolor": colour["ink"],
            "font.family": "sans-serif",
            "font.size": 9.5,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "patch.edgecolor": colour["paper"],
            "image.interpolation": "nearest",
            "svg.fonttype": "none",
            "svg.hashsalt": "nanochat",
        }
    )
    if "nanochat" not in matplotlib.colormaps:
        matplotlib.colormaps.register(heat_map())
    matplotlib.rcParams["image.cmap"] = "nanochat"


def heat_map() -> Any:
    """Return the colour map of heat maps: transparent at 0, :data:`HEAT` at 1, right on any page.

    Even the strongest colour lets some of the page through, so that a number written on it can be read on both.

    Raises:
        InputError: If matplotlib is missing; the message says how to install it.
    """
    _matplotlib()
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    return LinearSegmentedColormap.from_list("nanochat", [to_rgba(HEAT, 0.04), to_rgba(HEAT, 0.65)])


def describe(figure: Any, alt: str, caption: str = "") -> None:
    """Say what a figure shows: for readers who cannot see it, and below the picture for those who can.

    Args:
        figure: A matplotlib figure.
        alt: One or two sentences that replace the picture: what is drawn, and what it shows.
        caption: What to see in it, with a measured number; printed below the picture.

    Raises:
        InputError: If the alternative text is empty; write what the figure shows.
    """
    if not alt.strip():
        raise InputError("a figure's alternative text is empty: say in a sentence what it shows")
    for axes in figure.axes:
        if axes.images:  # lines across a heat map only hide it
            axes.grid(False)
    figure.set_label(alt.strip())
    figure.nanochat_caption = caption.strip()
