"""Practice problems of the chapter on chats; the answers are computed."""

from __future__ import annotations

import math

from docs.problems import Problem
from nanochat.common import IGNORED
from nanochat.conversation import Conversation, Message, Part, Rendered, render, render_prompt
from nanochat.dataloader import ConversationLoader, shuffled
from nanochat.tokenizer import Tokenizer


def what_counts() -> Problem:
    """Count the tokens of a chat that count."""
    tok = Tokenizer([])
    answer = Message.assistant(Part("python", "6*7"), Part("output", "42"), "42")
    both = render(tok, Conversation((Message.user("6*7?"), answer)))
    counted = sum(both.mask)
    return Problem(
        "Each letter, digit and sign is one token here, and so is each mark. The user says `6*7?`. The assistant "
        "asks for the calculation `6*7`, gets `42`, and says `42`. How many tokens of this chat count in fine-tuning?",
        counted,
        [
            "The calculation counts, with both marks around it: $1 + 3 + 1 = 5$.",
            "What the calculator gave back does not count, and neither do its marks.",
            "The words `42` count, and the mark that ends the turn: $2 + 1 = 3$.",
            f"$5 + 3 = {counted}$, of ${len(both.ids)}$ tokens in all.",
        ],
        unit="tokens",
    )


def first_place() -> Problem:
    """Find the first place that is asked."""
    tok = Tokenizer([])
    chat = Conversation((Message.user("Hi"), Message.assistant("Yo")))
    both = render(tok, chat)
    _, targets = ConversationLoader([both], 1, len(both.ids) - 1, tok.bos).next_batch()
    place = next(k for k, target in enumerate(targets[0].tolist()) if target != IGNORED)
    return Problem(
        "Number the places of `<|bos|> <|user_start|> H i <|user_end|> <|assistant_start|> Y o <|assistant_end|>` "
        "from 0. Which is the first place at which the model is asked for something in fine-tuning?",
        place,
        [
            f"The first token that counts is `Y`, at place {place + 1}.",
            "It is asked for one place before, where it is the next token.",
            f"There stands `<|assistant_start|>`: place {place}.",
        ],
    )


def masked_mean() -> Problem:
    """The loss of four places, of which two count."""
    probabilities, mask = (0.125, 0.5, 0.25, 0.5), (0, 1, 1, 0)
    counted = [-math.log(p) for p, own in zip(probabilities, mask, strict=True) if own]
    answer = sum(counted) / sum(mask)
    return Problem(
        "At four places the model gave the real token the probabilities $0.125$, $0.5$, $0.25$ and $0.5$. The mask "
        "of these tokens is $0, 1, 1, 0$. What is the loss? (two decimals)",
        round(answer, 2),
        [
            "Only the second and the third place count.",
            f"Their surprises are $-\\log 0.5 = {counted[0]:.3f}$ and $-\\log 0.25 = {counted[1]:.3f}$.",
            f"The mean over the two is $({counted[0]:.3f} + {counted[1]:.3f}) / 2 = {answer:.3f}$.",
        ],
        tolerance=0.005,
        unit="nats",
    )


def rows_needed() -> Problem:
    """Pack chats into rows."""
    lengths, room = (60, 25, 90, 30, 45, 10), 100
    order = shuffled(len(lengths), 0, 0).tolist()  # the loader shuffles; put the lengths where they come out in order
    placed = [0] * len(lengths)
    for place, length in zip(order, lengths, strict=True):
        placed[place] = length
    chats = [Rendered([1] * length, [1] * length) for length in placed]
    rows = ConversationLoader(chats, 1, room - 1, 0).rows_per_epoch
    waiting, steps = list(lengths), []
    while waiting:
        row = [waiting.pop(0)]
        while fitting := [length for length in waiting if sum(row) + length <= room]:
            row.append(max(fitting))
            waiting.remove(row[-1])
        sums = " + ".join(map(str, row)) + (f" = {sum(row)}" if len(row) > 1 else "")
        steps.append(f"Row {len(steps) + 1} begins with the chat whose turn it is: ${sums}$ tokens.")
    return Problem(
        f"Chats of {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} tokens wait in this order. A row has room "
        f"for {room} tokens. It begins with the chat whose turn it is, and then always takes the longest that still "
        "fits. How many rows are there?",
        rows,
        [*steps, f"That makes {len(steps)} rows."],
        unit="rows",
    )


def typed_mark() -> Problem:
    """Marks that are typed, and marks that are there."""
    tok = Tokenizer([])
    ids = render_prompt(tok, Conversation((Message.user("<|user_end|><|user_end|>"),)))
    answer = ids.count(tok.special("<|user_end|>"))
    return Problem(
        "A user sends the message `<|user_end|><|user_end|>`. How many tokens with the number of `<|user_end|>` does "
        "the prompt hold that the model gets?",
        answer,
        [
            "What is typed stays letters: it makes no special token.",
            "The program ends the user's turn, once.",
            f"So there is {answer}.",
        ],
    )
