"""The pictures of the guides: each function draws one from numbers that it computes, and returns a Picture.

The kit is at hand here: ``from docs.pictures import Box, Picture, bars, flow, grid, lines, number_line, stack``.
"""

from docs._ext.drawing import (
    SMALL,
    TEXT,
    WIDTH,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    colour,
    flow,
    grid,
    label,
    lines,
    moved,
    number_line,
    path,
    rect,
    stack,
    title,
    token_strip,
)

__all__ = [
    "SMALL",
    "TEXT",
    "WIDTH",
    "Box",
    "Drawing",
    "Picture",
    "arrow",
    "bars",
    "colour",
    "flow",
    "grid",
    "label",
    "lines",
    "moved",
    "number_line",
    "path",
    "rect",
    "stack",
    "title",
    "token_strip",
]
