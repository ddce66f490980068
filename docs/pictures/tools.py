"""Pictures of the chapters on tools and on the journey of a token, and the pupil that both look at.

The pupil adds two small sums of money. It copies both numbers into a call, and the engine does the rest. Its tokenizer
is that of the chapter on training, in which no story has a euro: the sign is three tokens, one for each of its bytes.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from docs._ext.drawing import SMALL, Box, Drawing, Picture, bars, flow, label, rect, stack, title
from docs.pictures import pupil
from nanochat import conversation, dataloader, gpt, train
from nanochat.conversation import Conversation, Message, Part
from nanochat.engine import Engine, Step, next_token_probabilities
from nanochat.figures import show_piece
from nanochat.tokenizer import Tokenizer
from nanochat.web.answers import Answer, Scores, Written, show_token
from nanochat.web.messages import ChatRequest
from nanochat.web.server import page_events
from nanochat.web.worker import Ended

LARGEST = 9
"""The largest number of a sum."""
CONTEXT = 40
"""T of the pupil."""
STEPS = 100
"""Steps of its training."""
ROWS = 12
"""B of its training."""
OPENINGS = ("It is ", "It is ", "That makes ", "")
"""How an answer begins; the first is twice as frequent as each of the others."""
SEED = 1
"""The seed of the answer that both chapters follow."""
SETTINGS: dict[str, Any] = {name: ChatRequest.model_fields[name].default for name in ("temperature", "top_k")}
"""What a request to the server asks for, unless it says otherwise."""
SEVERAL = 4
"""The seed of the four answers that are written at once."""
PLAIN = Tokenizer([])
"""A tokenizer without merges, for what needs no model that has learned."""


def tokenizer() -> Tokenizer:
    """The tokenizer of the pupil."""
    return pupil.tokens(pupil.VOCABULARY)[0]


def question(a: int, b: int) -> Conversation:
    """A chat that waits for an answer."""
    return Conversation((Message.user(f"{a}+{b} €?"),))


def lesson(a: int, b: int, opening: str) -> Conversation:
    """The same with an answer, as the pupil is shown it."""
    result = str(a + b)
    return question(a, b).then(
        Message.assistant(opening, Part("python", f"{a}+{b}"), Part("output", result), f"{result} €.")
    )


@lru_cache(maxsize=1)
@torch.enable_grad()
def model() -> gpt.GPT:
    """The pupil after its training: to be looked at."""
    rng, tok = random.Random(1), tokenizer()
    chats = []
    for _ in range(ROWS * STEPS):
        a, b = (1 + int(rng.random() * LARGEST) for _ in range(2))
        chats.append(conversation.render(tok, lesson(a, b, OPENINGS[int(rng.random() * len(OPENINGS))])))
    config = gpt.GPTConfig.from_depth(2, vocab_size=tok.vocab_size, sequence_len=CONTEXT, width=64)
    plan = train.Plan(
        model=config,
        device_batch_size=ROWS,
        total_batch_size=ROWS * CONTEXT,
        num_iterations=STEPS,
    )
    loader = dataloader.ConversationLoader(chats, ROWS, CONTEXT, tok.bos, 1)
    state = train.TrainState.start(plan, loader, pupil.CPU)
    train.fit(state, progress=False)
    return state.model


def engine() -> Engine:
    """An engine for the pupil."""
    return Engine(model(), tokenizer())


def prompt(a: int = 4, b: int = 3) -> list[int]:
    """The tokens of a question."""
    return conversation.render_prompt(tokenizer(), question(a, b))


def written(seed: int = SEED, **settings: Any) -> list[Step]:
    """The steps of the answer that both chapters follow, or of another seed."""
    return list(engine().stream(prompt(), **{**SETTINGS, "seed": seed, **settings}))


def scores() -> Tensor:
    """The scores at the first place of the answer, ``(V,)``."""
    with torch.no_grad():
        return model()(torch.tensor([prompt()]))[0, -1]


def piece(token: int) -> str:
    """A token as it is shown: white space visible, a byte that is no text as a number."""
    raw, marks = tokenizer().token_bytes(token), set(tokenizer().special_ids.values())
    return raw.decode() if token in marks else show_piece(raw)


class Parrot:
    """In place of a model: writes one given row of tokens and nothing else, and remembers what it was shown."""

    def __init__(self, text: list[int]) -> None:
        self.config = gpt.GPTConfig.from_depth(1, vocab_size=PLAIN.vocab_size, sequence_len=128, width=64)
        self.compute_dtype, self.device = torch.float32, torch.device("cpu")
        self.text, self.shown = deque(text), []

    def __call__(self, rows: Tensor, cache: object = None) -> Tensor:
        """Score the next token of its row with 1 and all others with 0; a place that is forced takes one too."""
        self.shown += rows[0].tolist()
        out = torch.zeros(rows.size(0), rows.size(1), self.config.vocab_size)
        out[:, -1, self.text.popleft()] = 1
        return out


def parroted(parts: list[str], before: str = "<|assistant_start|>", forced: int = 0) -> tuple[list[Step], list[int]]:
    """Let a parrot write some marks and texts behind one more mark.

    Args:
        parts: Marks or texts.
        before: The last mark of the prompt.
        forced: Places that are not the parrot's, behind the first ``<|python_end|>``.

    Returns:
        The steps, and the tokens that the parrot was shown.
    """
    ids = [[PLAIN.special(part)] if part in PLAIN.special_ids else PLAIN.encode(part) for part in parts]
    row = [token for part in ids for token in part]
    place = row.index(PLAIN.special("<|python_end|>")) + 1
    bird = Parrot([*row[:place], *[0] * forced, *row[place:]])
    start = [PLAIN.bos, PLAIN.special(before)]
    steps = list(Engine(bird, PLAIN).stream(start, temperature=0, max_tokens=len(bird.text)))
    return steps, bird.shown


def events() -> list[dict[str, Any]]:
    """What the server sends to the page while the answer is written."""
    tok, steps = tokenizer(), written(max_tokens=None)
    kept = Scores(model())
    try:
        answer = Answer(tok, kept, SETTINGS["temperature"], SETTINGS["top_k"], 3)
        found = []
        for step in engine().stream(prompt(), **SETTINGS, seed=SEED):
            found.append(answer.take(step))
    finally:
        kept.close()
    if len(found) != len(steps):
        raise RuntimeError("the same seed gave another answer")

    class Writing:
        ahead, tokens, reader = 0, len(found), answer.reader

        async def events(self) -> AsyncIterator[Written | Ended]:
            for one in (*found, Ended("stop")):
                yield one

    async def lines() -> list[dict[str, str]]:
        chat = SimpleNamespace(show=partial(show_token, tok))
        return [line async for line in page_events(chat, Writing(), prompt(), 0, {**SETTINGS, "seed": SEED}, "7")]

    return [json.loads(line["data"]) for line in asyncio.run(lines())]


# ---- pictures of the chapter on tools ------------------------------------------------------------------------


def two_hands() -> Picture:
    """An answer token by token, in two lanes: what the model writes and what the engine does."""
    shapes = [
        label(110, 10, "the model", SMALL, "accent", bold=True),
        label(300, 10, "the engine", SMALL, "amber", bold=True),
    ]
    rows, y = [f"{'the model':>22}   the engine"], 24.0
    steps = written()
    for step in steps:
        words, put = piece(step.tokens[0]), step.forced[0]
        x, ink = (220.0, "amber") if put else (30.0, "accent")
        shapes.append(rect(x, y, 160, 22, ink, 0.14))
        shapes.append(label(x + 80, y + 11, words, SMALL, mono=True))
        rows.append(f"{'' if put else words:>22}   {words if put else ''}".rstrip())
        y += 25
    count = sum(step.forced[0] for step in steps)
    return Drawing("".join(shapes), y, "\n".join(rows)).picture(
        "Two columns, read from top to bottom. The model writes It is, a mark, 4+3 and another mark; then the engine "
        "writes three tokens, and the model goes on to the end.",
        f"One answer to *4+3 €?*, from top to bottom. The model wrote {len(steps) - count} of its {len(steps)} tokens, "
        f"and the engine {count}. The sign € is three tokens of one byte each.",
    )


def several() -> Picture:
    """Four rows at each step: who writes."""
    rows = several_rows()
    deep = len(rows)
    shapes, lines = [], []
    for k, (name, ink) in enumerate(
        (("words", "blue"), ("the call", "accent"), ("forced", "amber"), ("ended", "line"))
    ):
        shapes.append(rect(52 + 86 * k, 2, 12, 12, ink, 0.45))
        shapes.append(label(69 + 86 * k, 8, name, SMALL, "ink", "start"))
    wide = 340 / max(map(len, rows))
    inks = {"w": "blue", "c": "accent", "f": "amber", ".": "line"}
    for i, kinds in enumerate(rows):
        y = 26.0 + 30 * i
        shapes.append(label(48, y + 12, f"row {i + 1}", SMALL, "ink", "end"))
        for j, kind in enumerate(kinds):
            shapes.append(rect(54 + wide * j, y, wide - 1, 24, inks[kind], 0.45, 2, edge=False))
        lines.append(f"row {i + 1} {kinds}")
    y = 26.0 + 30 * deep
    shapes.append(label(54, y + 8, "first token", SMALL, "muted", "start"))
    shapes.append(label(394, y + 8, "last", SMALL, "muted", "end"))
    starts = sorted({kinds.index("f") + 1 for kinds in rows})
    return Drawing("".join(shapes), y + 18, "\n".join([*lines, "w words, c the call, f forced, . ended"])).picture(
        "Four strips of cells. In each, three forced cells follow a call, and they stand at different places.",
        f"Four answers to one question, written at once: a column is one step. The results are forced at "
        f"{len(starts)} different places; the first row to be forced is so at step {starts[0]}, the last at step "
        f"{starts[-1]}.",
    )


def several_rows(number: int = 4) -> list[str]:
    """For each row and step a letter: w for words, c for a call, f for forced, a point for a row that has ended."""
    mark = tokenizer().special
    rows, calling = [""] * number, [False] * number
    for step in engine().stream(prompt(), number, **SETTINGS, seed=SEVERAL):
        for row, (token, active, forced) in enumerate(zip(step.tokens, step.active, step.forced, strict=True)):
            calling[row] |= token == mark("<|python_start|>")
            rows[row] += "." if not active else "f" if forced else "c" if calling[row] else "w"
            calling[row] &= token != mark("<|python_end|>")
    return rows


# ---- pictures of the journey ---------------------------------------------------------------------------------


def stations() -> Picture:
    """The stations of the journey, with their real numbers."""
    tok, config, ids = tokenizer(), model().config, prompt()
    steps = written()
    key = tok.encode("4")[0]
    C, L, V = config.n_embd, config.n_layer, config.vocab_size
    first = steps[0]
    return flow(
        [
            Box("the key 4", "U+0034", "muted"),
            Box("token", f"{key}", "violet"),
            Box("prompt", f"{len(ids)} ids, ours at place {ids.index(key)}", "violet"),
            Box("row of the table", f"{C} numbers", "blue"),
            Box(f"{L} blocks", f"(1, {len(ids)}, {C}) in and out", "blue"),
            Box("scores", f"(1, {len(ids)}, {V})", "amber"),
            Box("probabilities", f"{V} of them, {SETTINGS['top_k']} not zero", "amber"),
            Box("one is drawn", f"{first.tokens[0]}, with {first.probabilities[0]:.2f}", "rose"),
            Box("text", f"“{tok.decode(first.tokens)}”", "green"),
            Box("browser", f"one of {len(events())} events", "green"),
        ],
        [
            "UTF-8, merges",
            "marks around it",
            "look up",
            "normalise",
            "head, soft-cap",
            "temperature, top-k",
            "dice",
            "bytes to characters",
            "server-sent events",
        ],
    ).picture(
        "A column of ten boxes from the key to the browser, each with the numbers of this journey.",
        f"The ten stations. Those from the table to the draw are passed again for each of the {len(steps)} tokens of "
        "the answer.",
    )


def first_place() -> Picture:
    """The probabilities at the first place of the answer, as the model gives them and as they are drawn from."""
    own = next_token_probabilities(scores()[None])[0]
    drawn = next_token_probabilities(scores()[None], SETTINGS["temperature"], SETTINGS["top_k"])[0]
    best = own.topk(5).indices.tolist()
    names = [f"{token} {piece(token).strip('<|>')}" for token in best]
    return stack(
        title("the model"),
        bars({name: own[n].item() for name, n in zip(names, best, strict=True)}, top=1.0),
        title(f"temperature {SETTINGS['temperature']:g}, top-k {SETTINGS['top_k']}"),
        bars({name: drawn[n].item() for name, n in zip(names, best, strict=True)}, top=1.0, ink="amber"),
        gap=8,
    ).picture(
        "Two groups of five bars for the same five tokens. Three of them share nearly everything; in the second "
        "group the first bar is longer.",
        f"The five likeliest first tokens of the answer. The model gives {own[best[0]]:.2f} to the first; at the "
        f"temperature of the page it is {drawn[best[0]]:.2f}.",
    )
