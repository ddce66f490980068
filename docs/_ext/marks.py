"""The marks of VERIFICATION, drawn: not every machine has a font with emoji, and a proof must not show as an empty box.

The text files keep the characters. On a page each becomes a small picture with a name; it stays when the page is
printed, and it takes the colours of the page.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

DRAWN = {
    "✅": ("verified", '<circle cx="8" cy="8" r="7.5"/><path d="M4.4 8.3l2.5 2.6 4.8-5.4"/>'),
    "⚠": (
        "needs clarification",
        '<path class="nc-solid" d="M8 .8 15.6 15H.4z"/><path d="M8 5.6v4.6"/><path d="M8 12.4v.3"/>',
    ),
    "❌": ("false", '<circle cx="8" cy="8" r="7.5"/><path d="M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6"/>'),
}
"""Character -> what it says, and its picture in a square of 16 units."""
MARK = re.compile(f"([{''.join(DRAWN)}])\ufe0f?")


def draw(character: str, alone: bool) -> str:
    """Return the picture of a mark.

    Args:
        character: One of :data:`DRAWN`.
        alone: Whether no words beside it say the same: then it needs a name.
    """
    name, shapes = DRAWN[character]
    said = f'role="img" aria-label="{name}"' if alone else 'aria-hidden="true"'
    return f'<svg class="nc-mark nc-mark-{name.split()[0]}" viewBox="0 0 16 16" {said}>{shapes}</svg>'


def draw_marks(app: Any, doctree: nodes.document, docname: str) -> None:
    """Replace the characters of a page, but not those of code."""
    if app.builder.format != "html":
        return
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw | nodes.math | nodes.title):
            continue
        parts = MARK.split(str(text))
        if len(parts) == 1:
            continue
        alone = not "".join(parts[::2]).strip()
        new = [
            nodes.raw("", draw(part, alone), format="html") if place % 2 else nodes.Text(part)
            for place, part in enumerate(parts)
            if part
        ]
        text.parent.replace(text, new)


def setup_marks(app: Any) -> None:
    """Draw them after the claims have got theirs."""
    app.connect("doctree-resolved", draw_marks, priority=950)
