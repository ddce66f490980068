"""The pictures of the chapter on the web page, drawn from what a real server sends."""

from __future__ import annotations

from typing import Any

from docs.pictures import SMALL, Box, Drawing, Picture, bars, flow, label, rect, serving, stack, title
from docs.pictures.tools import tokenizer
from nanochat.web.guard import as_line

TURNS = (5, 3, 4)
"""Tokens of the answers that share a worker in the picture."""
PLACES = 2
"""Answers that are written at the same time there."""


def stations() -> Picture:
    """From the browser to the model and back."""
    reply = serving.answered()
    events = reply.events()
    return flow(
        [
            Box("the page", "your words, and your wishes", "green"),
            Box("the guard", "size, key, host", "rose"),
            Box("the server", "words to a prompt", "amber"),
            Box("the queue", "a place to write", "muted"),
            Box("the worker", "one token for each chat", "violet"),
            Box("the reader", "tokens to certain text", "amber"),
            Box("the page", f"{len(events)} events", "green"),
        ],
        ["a request", "a checked request", f"{events[0]['prompt_tokens']} tokens", "a job", "tokens", "events"],
    ).picture(
        "A column of seven boxes: the page, the guard, the server, the queue, the worker, the reader, and the page "
        "again.",
        f"The way of one question. It goes down as one request; the answer comes back in {len(reply.pieces)} small "
        "pieces.",
    )


def _short(event: dict[str, Any]) -> list[str]:
    """An event as it is sent, in lines, with an ellipsis for the fields that the chapter does not speak of."""

    def fields(*names: str) -> str:
        return ",".join(f"{as_line(name)}:{as_line(event[name])}" for name in names)

    if event["type"] == "token":
        return [f"data: {{{fields('type', 'id', 'piece')},…,", f"  {fields('parts')}}}"]
    if event["type"] == "start":
        return [f"data: {{{fields('type')},…,", f"  {fields('prompt_tokens')},…,{fields('seed')}}}"]
    return [f"data: {{{fields('type', 'reason')},…}}"]


def wire() -> Picture:
    """The first, some middle and the last events of an answer, as they are sent."""
    events = serving.answered().events()
    tokens = [event for event in events if event["type"] == "token"]
    euro = next(place for place, event in enumerate(tokens) if event["id"] == tokenizer().encode("€")[0])
    chosen = [events[0], *tokens[:2], None, *tokens[euro : euro + 3], None, events[-1]]
    shapes, lines, y = [], [], 6.0
    for event in chosen:
        if event is None:
            shapes.append(label(200, y + 8, "⋮", SMALL, "muted"))
            lines.append("    ...")
            y += 22
            continue
        ink = {"start": "green", "token": "accent", "end": "rose"}[event["type"]]
        cut = _short(event)
        shapes.append(rect(2, y, 396, 12 + 17 * len(cut), ink, 0.1))
        for row, line in enumerate(cut):
            shapes.append(label(10, y + 14 + 17 * row, line, SMALL, anchor="start", mono=True))
        lines += [*cut, ""]
        y += 18 + 17 * len(cut)
    silent = sum(not event["parts"] for event in tokens)
    return Drawing("".join(shapes), y, "\n".join(lines)).picture(
        "A list of lines that begin with data. The first is the start, then come tokens, at the end stands the end. "
        "Of three tokens for the euro sign, only the third has a part.",
        f"Some of the {len(events)} events, shortened where dots stand. The sign € is three tokens; the first two "
        "bring no part, the third brings all of it, written as `\\u20ac`, the number of the sign. "
        f"{silent} of the {len(tokens)} tokens bring nothing to show.",
    )


def turns() -> Picture:
    """Three answers, two places: who writes each token."""
    order = serving.turns(TURNS, PLACES)
    names = sorted(set(order))
    inks = dict(zip(names, ("accent", "amber", "violet"), strict=True))
    wide = 350 / len(order)
    shapes, lines = [], []
    for row, name in enumerate(names):
        y = 6.0 + 32 * row
        shapes.append(label(20, y + 13, name, bold=True, ink=inks[name]))
        cells = ""
        for place, writer in enumerate(order):
            own = writer == name
            shapes.append(rect(40 + wide * place, y, wide - 2, 26, inks[name] if own else "line", 0.55 if own else 0.2,
                               3, edge=False))  # fmt: skip
            cells += name if own else "."
        lines.append(f"{name} {cells}")
    y = 6.0 + 32 * len(names)
    shapes.append(label(40, y + 6, "first token", SMALL, "muted", "start"))
    shapes.append(label(388, y + 6, "last", SMALL, "muted", "end"))
    begins = order.index(names[-1]) + 1
    last = len(order) - order[::-1].index(names[1])
    return Drawing("".join(shapes), y + 16, "\n".join(lines)).picture(
        "Three rows of cells for the answers A, B and C. A and B take turns; when B has ended, C takes its turns "
        "with A.",
        f"A worker with {PLACES} places and answers of {TURNS[0]}, {TURNS[1]} and {TURNS[2]} tokens that come "
        "together. "
        f"B ends with the token number {last}; C gets its place and writes its first one as number {begins}.",
    )


def least_sure(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The token of an answer that the model found least likely."""
    return min((e for e in events if e["type"] == "token" and e["chosen"]), key=lambda e: e["chosen"]["own"])


def panel() -> Picture:
    """The candidates of one token with both probabilities."""
    events = serving.answered(temperature=0.4, top_k=2).events()
    token = least_sure(events)
    best = token["candidates"][:4]
    rows = [(one["piece"].strip("<|>"), one["own"], one["drawn_with"]) for one in best]
    start = events[0]
    return stack(
        title("what the model gave"),
        bars({name: own for name, own, _ in rows}, top=1.0),
        title(f"what it was drawn with: temperature {start['temperature']:g}, top-k {start['top_k']}"),
        bars({name: drawn for name, _, drawn in rows}, top=1.0, ink="amber"),
        gap=8,
    ).picture(
        "Two groups of four bars for the same four tokens. In the second group the first bar is longer, and only "
        "two are "
        "left.",
        f"The place at which our model was least sure. It gave {token['chosen']['own']:.2f} to the token that came, "
        f"“{token['piece']}”, which was then drawn with {token['chosen']['drawn_with']:.2f}.",
    )
