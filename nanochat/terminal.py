"""What may be shown on a terminal or a page: text that does nothing but stand there.

What a model writes, and what strangers type, may hold characters that a terminal obeys. Everything that prints such
text passes it through :func:`visible`.
"""

from __future__ import annotations

import io
import os
import re
from typing import TextIO


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


def has_colour(stream: TextIO) -> bool:
    """Tell whether colours may be sent: to a terminal that knows them, unless ``NO_COLOR`` is set.

    Args:
        stream: Where the text goes.

    Example:
        >>> import io
        >>> has_colour(io.StringIO())
        False
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def dim(text: str, stream: TextIO) -> str:
    """Make a text fainter than the others where the stream can show it, and leave it as it is elsewhere.

    Args:
        text: What is less important; it must be safe to print (:func:`visible`).
        stream: Where it will be printed.
    """
    return f"\x1b[2m{text}\x1b[22m" if text and has_colour(stream) else text


def be_lenient(*streams: TextIO | None) -> None:
    """Let no character of a text stop the program, whatever the language settings of the system are.

    Bytes that are no text are read as U+FFFD; characters that a terminal has no letter for are printed by their number.

    Args:
        streams: Standard input and output; None, and streams that a program put in their place, are left alone.
    """
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            if stream.readable():
                stream.reconfigure(encoding="utf-8", errors="replace")
            else:
                stream.reconfigure(errors="backslashreplace")
