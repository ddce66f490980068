"""Practice problems of the chapter on the web page."""

from __future__ import annotations

import torch

from docs.pictures import serving, tools
from docs.problems import Problem
from nanochat.conversation import Conversation, Message, render_prompt
from nanochat.engine import next_token_probabilities
from nanochat.web.answers import AnswerReader
from nanochat.web.guard import TokenBuckets


def third_question() -> Problem:
    """The tokens that the model reads for the third question of a chat."""
    question, answer = "4+3 €?", "It is 7 €."
    sizes = [len(tools.PLAIN.encode(words)) for words in (question, answer)]
    turns = (Message.user(question), Message.assistant(answer))
    read = len(render_prompt(tools.PLAIN, Conversation((*turns, *turns, Message.user(question)))))
    return Problem(
        f"In a chat, each question is {sizes[0]} tokens long and each answer {sizes[1]}. Every message stands "
        "between two "
        "marks, one mark begins the whole chat, and one more opens the answer that is wanted. How many tokens does "
        "the "
        "model read to answer the third question?",
        read,
        (
            f"Three questions with their marks are $3 \\cdot ({sizes[0]} + 2) = {3 * (sizes[0] + 2)}$ tokens.",
            f"Two answers with theirs are $2 \\cdot ({sizes[1]} + 2) = {2 * (sizes[1] + 2)}$.",
            f"With the first mark and the last: ${3 * (sizes[0] + 2)} + {2 * (sizes[1] + 2)} + 2 = {read}$. The "
            "page sends "
            "the whole chat each time.",
        ),
        unit="tokens",
    )


def whose_turn() -> Problem:
    """Who writes a token when three answers share a worker."""
    lengths, number = (2, 4, 3), 7
    order = serving.turns(lengths, 3)
    return Problem(
        f"Answers A, B and C of {lengths[0]}, {lengths[1]} and {lengths[2]} tokens begin together, and there is a "
        "place "
        f"for each. The worker goes round, a token each. Whose token is number {number}?",
        order[number - 1],
        (
            "Two rounds with all three: A B C A B C. Then A is done.",
            f"The next round is B C, and the last one B. In a row: {' '.join(order)}.",
            f"Number {number} is {order[number - 1]}.",
        ),
    )


def two_numbers() -> Problem:
    """From the model's probability to that of the draw."""
    own = torch.tensor([[0.5, 0.3, 0.2]])
    drawn = next_token_probabilities(own.log(), temperature=0.5, top_k=2)[0, 0].item()
    return Problem(
        "The panel says that the model gave $0.5$, $0.3$ and $0.2$ to three tokens. The settings were top-k $2$ and "
        "temperature $0.5$, which squares the shares before they are scaled up to one. With what probability was the "
        "first one drawn? Two decimals will do.",
        round(drawn, 2),
        (
            "Top-k leaves the first two. Their squares are $0.25$ and $0.09$.",
            f"The first has $0.25 \\div (0.25 + 0.09) = {drawn:.3f}$.",
        ),
        tolerance=0.005,
    )


def what_shows() -> Problem:
    """Which tokens of a calculation bring something to the page."""
    parts = ["<|python_start|>", "17+25", "<|python_end|>", "<|output_start|>", "42", "<|output_end|>", "42"]
    ids = [
        token
        for part in parts
        for token in ([tools.PLAIN.special(part)] if part in tools.PLAIN.special_ids else tools.PLAIN.encode(part))
    ]
    reader = AnswerReader(tools.PLAIN)
    shown = sum(bool(reader.read(token)) for token in ids)
    return Problem(
        f"Each digit and each mark is one token. An answer is `{''.join(parts)}`, {len(ids)} tokens. How many of "
        "them bring "
        "something for the page to show?",
        shown,
        (
            "The call comes whole with `<|python_end|>`: one token brings it.",
            "The result comes whole with `<|output_end|>`: one more.",
            f"The two digits of the words behind come each by itself. Together {shown}.",
        ),
        unit="tokens",
    )


def bucket() -> Problem:
    """How long a visitor waits."""
    rate, spent = 120, 150
    buckets = TokenBuckets(rate, clock=lambda: 0.0)
    buckets.spend("one", spent)
    wait = buckets.wait_s("one")
    return Problem(
        f"A bucket holds {rate} tokens and gets {rate} a minute. It was full, and an answer took {spent}. A new "
        "question "
        "is let in when there is one token in the bucket. After how many seconds is that? One decimal will do.",
        wait,
        (
            f"The bucket stands at ${rate} - {spent} = {rate - spent}$.",
            f"It needs {spent - rate + 1} tokens, and {rate // 60} flow in each second: "
            f"${spent - rate + 1} \\div {rate // 60} = {wait:g}$ seconds.",
        ),
        tolerance=0.05,
        unit="seconds",
    )
