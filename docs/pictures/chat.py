"""Pictures of the chapter on chats, all drawn from what the package computes."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from docs.pictures import (
    SMALL,
    TEXT,
    WIDTH,
    Box,
    Drawing,
    Picture,
    arrow,
    bars,
    flow,
    label,
    path,
    pupil,
    rect,
    stack,
    talk,
    title,
)
from nanochat import conversation
from nanochat.common import IGNORED
from nanochat.conversation import Conversation, Message
from nanochat.figures import show_piece

WRITERS = {"given": "muted", "user": "blue", "assistant": "accent", "calculator": "amber"}
"""Who wrote a token, and the colour of it."""


def _piece(token: int) -> str:
    tok = talk.tokenizer()
    names = {number: name for name, number in tok.special_ids.items()}
    return names.get(token) or show_piece(tok.token_bytes(token))


def _writers(ids: list[int], mask: list[int]) -> list[str]:
    """Who wrote each token of a chat: the mask says what the assistant did, the marks tell the rest."""
    inside, out = "given", []
    opens = {"<|user_start|>": "user", "<|output_start|>": "calculator"}
    closes = {"<|user_end|>": "given", "<|output_end|>": "given"}
    for token, own in zip(ids, mask, strict=True):
        name = _piece(token)
        marks = name in opens or name in closes
        out.append("assistant" if own else "calculator" if "output" in name else "given" if marks else inside)
        inside = opens.get(name) or closes.get(name) or inside
    return out


@lru_cache(maxsize=1)
def _row() -> tuple[list[int], list[int]]:
    both = conversation.render(talk.tokenizer(), talk.example())
    return both.ids, both.mask


def stages() -> Picture:
    """The two stages of training, and the two halves of the second."""
    chats = talk.rendered()
    share = sum(sum(chat.mask) for chat in chats) / sum(len(chat.ids) for chat in chats)
    return flow(
        [
            Box("new model", "knows nothing", "muted"),
            Box("base model", "continues texts", "blue"),
            Box("mid-trained model", "knows what a chat is", "amber"),
            Box("chat model", "answers", "accent"),
        ],
        ["texts: all tokens count", "chats: all tokens count", "chats: answers count"],
    ).picture(
        "Four boxes from top to bottom: new model, base model, mid-trained model, chat model.",
        "From a model that knows nothing to one that answers. The first arrow is by far the longest; the other two are "
        f"the second stage, in two halves. In the chats of this page {share:.0%} of the tokens count at the last "
        "arrow.",
    )


def before_after() -> Picture:
    """What the pupil says to three questions, before and after."""
    shapes, y, rows = [], 4.0, []
    chats = [talk.new_chats()[k] for k in (0, 5, 14)]
    for chat in chats:
        question = chat.messages[0].text
        base = " ".join(talk.said(pupil.whole().model, chat).split())
        tuned = talk.said(talk.tuned(), chat)
        lines = [("asked", question, "blue"), ("before", base[:41] + "…", "muted"), ("after", tuned, "accent")]
        for who, words, ink in lines:
            shapes.append(label(56, y + 8, who, SMALL, ink, "end", bold=True))
            shapes.append(label(64, y + 8, words, SMALL, "ink", "start", mono=True))
            rows.append(f"{who:>7}  {words}")
            y += 21
        rows.append("")
        y += 9
    asked, form, right = talk.answered(True)
    return Drawing("".join(shapes), y - 4, "\n".join(rows).rstrip()).picture(
        "Three questions. Before, the pupil goes on with scraps of a story; after, it gives a short sentence that "
        "ends, and that is nonsense.",
        f"The same pupil before and after {talk.STEPS} steps on chats. Of {asked} new questions it now answers "
        f"{form} in the right form and {right} rightly.",
    )


def row() -> Picture:
    """A whole chat, token by token."""
    ids, mask = _row()
    shapes, x, y = [], 2.0, 26.0
    for name, ink in WRITERS.items():
        words = name if name != "given" else "given marks"
        shapes.append(rect(x, 2, 12, 12, ink, 0.3))
        shapes.append(label(x + 17, 8, words, SMALL, ink, "start"))
        x += 37 + 7.2 * len(words)
    x = 2.0
    for token, own, who in zip(ids, mask, _writers(ids, mask), strict=True):
        words = _piece(token)
        special = words.startswith("<|")
        width = max(26.0, (7.9 if special else 9.0) * len(words) + 10, 7.9 * len(str(token)) + 6)
        if x + width > WIDTH - 2:
            x, y = 2.0, y + 60
        ink = WRITERS[who]
        shapes.append(rect(x, y, width, 26, ink, 0.3 if own else 0.06))
        shapes.append(label(x + width / 2, y + 13, words, SMALL if special else TEXT, mono=True))
        shapes.append(label(x + width / 2, y + 34, str(token), SMALL, "muted", mono=True))
        if own:
            shapes.append(path([(x + 1, y + 45), (x + width - 1, y + 45)], "accent", 4))
        x += width + 3
    rows = [
        f"{'counts' if own else '':<7} {who:<11} {token:>4}  {_piece(token)}"
        for token, own, who in zip(ids, mask, _writers(ids, mask), strict=True)
    ]
    return Drawing("".join(shapes), y + 50, "\n".join(rows)).picture(
        "A chat as a strip of tokens with their numbers, coloured by who wrote them; a thick line runs below the "
        "assistant's.",
        f"Who wrote what, and what counts: the thick line below a token is the loss mask. {sum(mask)} of {len(ids)} "
        "tokens have it. What the calculator wrote stands in the middle of the answer and has none.",
    )


def shift() -> Picture:
    """What the model reads and what it is asked, place by place."""
    chat = Conversation((Message.user("Hi!"), Message.assistant("Hello!")))
    both = conversation.render(talk.tokenizer(), chat)
    inputs, targets = talk.loader([both, both], length=len(both.ids) - 1).next_batch()
    shapes = [
        label(108, 10, "the model reads", SMALL, "ink", bold=True),
        label(302, 10, "and is asked for", SMALL, "ink", bold=True),
    ]
    rows = [f"{'reads':>20}    asked for"]
    asked = 0
    for place, (token, target) in enumerate(zip(inputs[0].tolist(), targets[0].tolist(), strict=True)):
        y = 26.0 + 28 * place
        shapes.append(label(14, y + 12, str(place), SMALL, "muted", mono=True))
        shapes.append(rect(28, y, 160, 24, "muted", 0.06))
        shapes.append(label(108, y + 12, _piece(token), SMALL, mono=True))
        if target != IGNORED:
            asked += 1
            shapes.append(arrow(192, y + 12, 218, y + 12, "accent"))
            shapes.append(rect(222, y, 160, 24, "accent", 0.3))
            shapes.append(label(302, y + 12, _piece(target), SMALL, mono=True))
        else:
            shapes.append(label(302, y + 12, "nothing", SMALL, "muted"))
        rows.append(f"{_piece(token):>20} -> {_piece(target) if target != IGNORED else '(nothing)'}")
    first = next(k for k, target in enumerate(targets[0].tolist()) if target != IGNORED)
    return Drawing("".join(shapes), 26.0 + 28 * inputs.size(1), "\n".join(rows)).picture(
        "Two columns: the tokens of a short chat, and beside each the token that it is asked for, or nothing.",
        f"Place by place. The asking begins at place {first}, where `<|assistant_start|>` is read: from there on "
        f"{asked} places are asked, each for the token of the next line.",
    )


def packing() -> Picture:
    """Some rows of chats, with what counts in them."""
    loader, tok = talk.loader(), talk.tokenizer()
    shapes, y, rows, chats, counted, places = [], 2.0, [], 0, 0, 0
    for _ in range(4):
        inputs, targets = loader.next_batch()
        for ids, asked in zip(inputs.tolist(), targets.tolist(), strict=True):
            scale = (WIDTH - 4) / len(ids)
            last = max(k for k, target in enumerate(asked) if target != IGNORED) + 1
            starts = [k for k, token in enumerate(ids) if token == tok.bos and k <= last]
            for start, end in zip(starts, [*starts[1:], last + 1], strict=True):
                end = min(end, len(ids))
                shapes.append(rect(2 + start * scale, y, (end - start) * scale - 1, 18, "muted", 0.12, 2))
            for counts, run in groupby(range(len(ids)), key=lambda k: asked[k] != IGNORED):
                if counts:
                    first, *more = run
                    shapes.append(
                        rect(2 + first * scale, y + 2, (1 + len(more)) * scale, 14, "accent", 0.8, 0, edge=False)
                    )
            chats, counted, places = chats + len(starts), counted + sum(t != IGNORED for t in asked), places + len(ids)
            rows.append("".join("#" if t != IGNORED else "." if k <= last else " " for k, t in enumerate(asked))[::4])
            y += 24
    text = "\n".join(f"|{row}|" for row in rows)
    return Drawing("".join(shapes), y - 4, text).picture(
        "Eight rows, each filled with whole chats from left to right; in each chat the places that count are filled.",
        f"The first {len(rows)} rows that the pupil reads: {chats} whole chats, each in a frame. Filled are the "
        f"{counted:,} of {places:,} places that are asked for something. An end without a frame is empty.",
    )


def user_words() -> Picture:
    """Surprise at answers and at the user's words, before and after both ways of training."""
    models = {"before": pupil.whole().model, "answers count": talk.tuned(), "all counts": talk.tuned(True)}
    both = {name: talk.surprise(model) for name, model in models.items()}
    answers, words = ({name: pair[k] for name, pair in both.items()} for k in (0, 1))
    top = max([*answers.values(), *words.values()])
    return stack(
        title("surprise at answers, nats a token"),
        bars(answers, top=top),
        title("surprise at the user's words"),
        bars(words, top=top, ink="blue"),
        gap=6,
    ).picture(
        "Two groups of three bars. Answers: the second and third bar are short. The user's words: the second bar is "
        "the longest, the third is short.",
        "New questions and answers. With the mask the pupil's surprise at answers falls to "
        f"{answers['answers count']:.1f} nats, and the user's words become stranger to it, "
        f"{words['answers count']:.1f}. Without, it learns to ask too: {words['all counts']:.1f}.",
    )
