"""What may be shown on a terminal or a page: text that does nothing but stand there.

What a model writes, and what strangers type, may hold characters that a terminal obeys. Everything that prints such
text passes it through :func:`visible`.
"""

from __future__ import annotations

import re


def visible(text: str) -> str:
    """Make every character of a text visible, so that showing it does nothing else.

    A terminal obeys some characters: they move the cursor, change colours, rename the window. Others reverse
    the direction of the letters behind them. A text that a model or a stranger wrote may hold both. Here each one is
    replaced by a picture of itself; newlines and tabs stay.

    Args:
        text: Any text.

    Returns:
        Text that can be printed anywhere in which UTF-8 can.

    Example:
        >>> visible("red: " + chr(27) + "[31m")
        'red: ␛[31m'
    """
    return _OBEYED.sub(_picture, text)


# Controls but newline and tab; half characters (surrogates); marks of direction; separators of lines.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xD800 <= code <= 0xDFFF:
        return chr(0xFFFD)
    return chr(0x2421) if code == 0x7F else f"<U+{code:04X}>"
