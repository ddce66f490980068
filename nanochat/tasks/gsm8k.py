"""GSM8K: word problems of grade school mathematics, from the hub.

``openai/gsm8k`` (MIT; :arxiv:`2110.14168`): 7,473 problems to learn from and 1,319 to test on. Their solutions are
written with a calculator: ``48/2 = <<48/2=24>>24 clips`` becomes a call, its output, and the text behind it.
"""

from __future__ import annotations

import random
import re
from fractions import Fraction

from nanochat.calculator import CalculatorError, calculate
from nanochat.conversation import Conversation, Message, Part
from nanochat.hub import fetch_hub, read_rows
from nanochat.tasks.base import Task, bad_row, check_split, final_number

DATASET = "openai/gsm8k"
"""The data set on the hub."""


class GSM8K(Task):
    """Word problems. The reward is 1 when the number behind ``####`` is right.

    Args:
        split: ``"train"`` or ``"test"``.
        limit: The most questions; None for all.
        seed: Chooses the order.

    Raises:
        InputError: If the file cannot be had, or a row has no final number.
    """

    name = "gsm8k"
    title = "grade school mathematics (GSM8K)"
    credit = "openai/gsm8k, MIT licence"

    def __init__(self, split: str = "train", limit: int | None = None, seed: int = 0) -> None:
        check_split(self.name, split)
        path = fetch_hub(DATASET, f"main/{split}-00000-of-00001.parquet")
        items = []
        for number, row in enumerate(read_rows(path, {"question": str, "answer": str}), 1):
            if not row["question"].strip():
                raise bad_row(path, number, "question", "is blank")
            result = final_number(row["answer"])
            if result is None:
                raise bad_row(path, number, "answer", "does not end with #### and one number")
            items.append((row["question"], row["answer"], result))
        super().__init__(items, limit, seed)

    def _ask(self, item: tuple[str, str, Fraction], rng: random.Random) -> Conversation:
        return Conversation((Message.user(item[0]), Message.assistant(*solution_parts(item[1]))))

    def _score(self, item: tuple[str, str, Fraction], asked: Conversation, answer: Message) -> float:
        return float(final_number(answer.text) == item[2])


def solution_parts(solution: str) -> list[Part]:
    """Cut a solution at its calculations.

    A calculation that our calculator refuses, or for which it has another result, stays out: in a chat the model would
    not get what the solution goes on with.

    Args:
        solution: Text with ``<<expression=result>>`` in it.

    Returns:
        The parts of the assistant's message.

    Example:
        >>> [part.text for part in solution_parts("48/2 = <<48/2=24>>24 clips. #### 24")]
        ['48/2 = ', '48/2', '24', '24 clips. #### 24']
    """
    parts: list[Part] = []
    text = ""
    for place, piece in enumerate(re.split(r"<<(.*?)>>", solution)):
        if place % 2 == 0:
            text += piece
            continue
        expression, _, result = piece.rpartition("=")
        try:
            output = calculate(expression)
            agrees = Fraction(output) == Fraction(result)
        except (CalculatorError, ValueError, ZeroDivisionError):
            continue
        if agrees:
            parts += [Part("text", text)] * bool(text) + [Part("python", expression), Part("output", output)]
            text = ""
    return [*parts, Part("text", text)] if text else parts
